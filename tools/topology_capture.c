/*
 * hotlane topology capture: the report is made once, and what was read for it is the archive; so a
 * capture has everything that a report needs and nothing else. Files that also hold what is
 * nobody's business were cut down when they were read (hl_host_text_kept), the machine's XML when
 * it was made.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "tar.h"
#include "topology_report.h"

#define INTERVAL_MS 1000

typedef struct capture {
    FILE *archive;
    FILE *manifest;
    char *manifest_text;
    size_t manifest_size;
    bool failed;
} capture;

/* A folder's names matter too: a folder that is there and empty says something. */
static void add(void *context, const char *path, const char *text)
{
    capture *const to = context;
    const bool is_folder = path[strlen(path) - 1] == '/';
    if (strchr(path, '\n') != NULL)
        return;
    if (!tar_add(to->archive, path + 1, is_folder ? "" : text, is_folder ? 0 : strlen(text)))
        to->failed = true;
    fprintf(to->manifest, "%s\n", path);
}

static hl_status write_archive(hl_host *host, const hl_topology *topology, const char *path,
                               hl_error *error)
{
    capture to = {.archive = fopen(path, "we")};
    if (to.archive == NULL)
        return hl_error_set(error, HL_SYSTEM, "capture: %s: %s", path, strerror(errno));
    to.manifest = open_memstream(&to.manifest_text, &to.manifest_size);
    to.failed = to.manifest == NULL;
    if (!to.failed) {
        add(&to, "/hotlane/topology.xml", topology->xml);
        hl_host_each(host, add, &to);
        to.failed |= fclose(to.manifest) != 0 ||
                     !tar_add(to.archive, "hotlane/manifest", to.manifest_text, to.manifest_size) ||
                     !tar_end(to.archive);
    }
    to.failed |= fclose(to.archive) != 0;
    free(to.manifest_text);
    if (to.failed) {
        unlink(path);
        return hl_error_set(error, HL_SYSTEM, "capture: %s cannot be written", path);
    }
    return HL_OK;
}

/* Looks at everything that a report of any configuration could look at. The plan decides only about
 * which CPUs are hot, so all of ours are looked at in turn. */
static hl_status look_at_all(hl_host *host, const hl_topology *topology, hl_error *error)
{
    hl_status status = HL_OK;
    hl_checks_wait(host, 0, INTERVAL_MS);
    for (uint32_t i = 0; i < topology->cpu_count && status == HL_OK; i++) {
        char lcores[64];
        if (!topology->cpus[i].allowed)
            continue;
        snprintf(lcores, sizeof lcores, "hot@%u", topology->cpus[i].os_index);
        const hl_thread_request thread = {
            .name = "hot", .role = HL_ROLE_PARTITION, .domain = "hot"};
        const hl_plan_request request = {.threads = &thread, .thread_count = 1, .lcores = lcores};
        hl_plan *plan = NULL;
        hl_finding *findings = NULL;
        uint32_t count;
        status = hl_plan_make(topology, &request, &plan, error);
        const hl_check_input input = {.topology = topology,
                                      .plan = plan,
                                      .host = host,
                                      .wants_huge_pages = true,
                                      .wants_locked_memory = true};
        if (status == HL_OK)
            status = hl_checks_run(&input, &findings, &count, error);
        free(findings);
        hl_plan_free(plan);
    }
    return status;
}

hl_status topology_capture(const char *path, hl_error *error)
{
    hl_host *host = NULL;
    hl_topology *topology = NULL;
    hl_status status = hl_host_open(NULL, &host, error);
    const hl_topology_source source = {.host = host, .want_devices = true};
    if (status == HL_OK)
        status = hl_topology_load(&source, &topology, error);
    if (status == HL_OK)
        status = look_at_all(host, topology, error);
    if (status == HL_OK)
        status = write_archive(host, topology, path, error);
    hl_topology_free(topology);
    hl_host_close(host);
    return status;
}
