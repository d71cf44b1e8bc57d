#include "affinity/topology.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <hwloc.h>

#include "affinity/cgroup.h"
#include "affinity/describe.h"
#include "base/error.h"

static hl_status refuse_file(const char *path, const char *reason, hl_error *error)
{
    return hl_error_set(error, HL_BAD_INPUT,
                        "topology: %s: %s; an hwloc XML file (lstopo FILE.xml) would be right",
                        path, reason);
}

static hl_status set_xml(hwloc_topology_t machine, const char *path, hl_error *error)
{
    struct stat facts;
    if (stat(path, &facts) != 0 || access(path, R_OK) != 0)
        return refuse_file(path, strerror(errno), error);
    if (S_ISDIR(facts.st_mode))
        return refuse_file(path, "is a directory", error);
    if (hwloc_topology_set_xml(machine, path) != 0)
        return refuse_file(path, "cannot be understood", error);
    return HL_OK;
}

static bool is_captured(const hl_topology_source *source)
{
    return source->host != NULL && !hl_host_is_live(source->host);
}

/* A capture made by us holds the machine as hwloc saw it; of any other, hwloc reads the files. */
static hl_status set_captured(hwloc_topology_t machine, const hl_host *host, hl_error *error)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/hotlane/topology.xml", hl_host_root(host));
    if (access(path, F_OK) == 0)
        return set_xml(machine, path, error);
    snprintf(path, sizeof path, "%s/sys/devices/system/cpu/online", hl_host_root(host));
    if (access(path, F_OK) != 0)
        return hl_error_set(error, HL_BAD_INPUT,
                            "topology: %s is missing, and no hotlane/topology.xml is there: the "
                            "capture does not tell its CPUs; give them with --input",
                            path);
    /* Of CPUID only this machine's could be read. */
    if (hwloc_topology_set_components(machine, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST, "x86") !=
            0 ||
        setenv("HWLOC_FSROOT", hl_host_root(host), 1) != 0)
        return hl_error_set(error, HL_SYSTEM, "topology: hwloc cannot be told of %s",
                            hl_host_root(host));
    return HL_OK;
}

static hl_status set_source(hwloc_topology_t machine, const hl_topology_source *source,
                            hl_error *error)
{
    if (source->xml_path != NULL && source->synthetic != NULL)
        return hl_error_set(error, HL_INVALID,
                            "topology: xml_path and synthetic are both given; give one of them");
    if (source->xml_path != NULL)
        return set_xml(machine, source->xml_path, error);
    if (source->synthetic == NULL && is_captured(source))
        return set_captured(machine, source->host, error);
    if (source->synthetic != NULL && hwloc_topology_set_synthetic(machine, source->synthetic) != 0)
        return hl_error_set(error, HL_BAD_INPUT,
                            "topology: synthetic description \"%s\" cannot be understood; \"pack:2 "
                            "core:12 pu:2\" is one",
                            source->synthetic);
    return HL_OK;
}

/* Loads it with all CPUs, also those that are not ours, so that a hot core's sibling in foreign
 * hands is seen. */
static hl_status load(hwloc_topology_t machine, const hl_topology_source *source, hl_error *error)
{
    const hl_status status = set_source(machine, source, error);
    if (status != HL_OK)
        return status;
    if (hwloc_topology_set_flags(machine, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED) != 0)
        return hl_error_set(error, HL_SYSTEM, "topology: hwloc refuses a flag: %s",
                            strerror(errno));
    if (source->want_devices)
        hwloc_topology_set_io_types_filter(machine, HWLOC_TYPE_FILTER_KEEP_IMPORTANT);
    const int loaded = hwloc_topology_load(machine);
    unsetenv("HWLOC_FSROOT");
    if (loaded == 0)
        return HL_OK;
    if (source->xml_path != NULL)
        return refuse_file(source->xml_path, "cannot be understood", error);
    return hl_error_set(error, HL_SYSTEM, "topology: hwloc cannot load it: %s", strerror(errno));
}

/* The affinity mask of the process's first thread into ret_mask, and the isolated CPUs of the
 * cpuset with it where it is the mask that every process begins with. */
static bool read_mask(hwloc_topology_t machine, hl_host *host, hwloc_const_bitmap_t cpuset,
                      hwloc_bitmap_t ret_mask)
{
    if (host == NULL)
        return false;
    const char *mask = hl_host_text_kept(host, NULL, HL_HOST_STATUS_LINES, "/proc/self/status");
    mask = mask != NULL ? strstr(mask, "Cpus_allowed_list:") : NULL;
    if (mask != NULL)
        mask += strlen("Cpus_allowed_list:") + strspn(mask + strlen("Cpus_allowed_list:"), " \t");
    char list[4096];
    snprintf(list, sizeof list, "%.*s", mask != NULL ? (int)strcspn(mask, "\n") : 0,
             mask != NULL ? mask : "");
    if (list[0] == '\0' || hwloc_bitmap_list_sscanf(ret_mask, list) != 0)
        return false;
    const char *const isolated = hl_host_text(host, NULL, "/sys/devices/system/cpu/isolated");
    hwloc_bitmap_t apart = hwloc_bitmap_alloc(), rest = hwloc_bitmap_alloc();
    if (apart != NULL && rest != NULL && isolated != NULL && isolated[0] != '\0' &&
        hwloc_bitmap_list_sscanf(apart, isolated) == 0) {
        hwloc_bitmap_andnot(rest, cpuset, apart);
        hwloc_bitmap_and(ret_mask, ret_mask, hwloc_topology_get_topology_cpuset(machine));
        if (hwloc_bitmap_isequal(rest, ret_mask))
            hwloc_bitmap_or(ret_mask, ret_mask, apart);
    }
    hwloc_bitmap_free(apart);
    hwloc_bitmap_free(rest);
    return true;
}

/* What the cpuset (or the file) allows, less what the affinity mask and `allowed_cpus` leave out.
 */
static hl_status find_allowed(hwloc_topology_t machine, const hl_topology_source *source,
                              hwloc_bitmap_t ret_allowed, hl_error *error)
{
    hwloc_bitmap_t other = hwloc_bitmap_alloc();
    if (other == NULL || hwloc_bitmap_and(ret_allowed, hwloc_topology_get_allowed_cpuset(machine),
                                          hwloc_topology_get_topology_cpuset(machine)) != 0) {
        hwloc_bitmap_free(other);
        return hl_error_set(error, HL_NO_MEMORY, "topology: no memory");
    }
    if (read_mask(machine, source->host, ret_allowed, other))
        hwloc_bitmap_and(ret_allowed, ret_allowed, other);
    hl_status status = HL_OK;
    if (source->allowed_cpus != NULL) {
        char *before = NULL;
        hwloc_bitmap_list_asprintf(&before, ret_allowed);
        if (hwloc_bitmap_list_sscanf(other, source->allowed_cpus) != 0)
            status = hl_error_set(error, HL_BAD_INPUT,
                                  "topology: allowed CPUs \"%s\" is no list; \"0-3,8\" is one",
                                  source->allowed_cpus);
        else if (hwloc_bitmap_and(ret_allowed, ret_allowed, other),
                 hwloc_bitmap_iszero(ret_allowed))
            status = hl_error_set(error, HL_BAD_INPUT,
                                  "topology: allowed CPUs \"%s\" leaves none; there are %.300s",
                                  source->allowed_cpus, before != NULL ? before : "others");
        free(before);
    }
    hwloc_bitmap_free(other);
    if (status == HL_OK && hwloc_bitmap_iszero(ret_allowed))
        status = hl_error_set(error, HL_BAD_INPUT, "topology: it has no CPU that may be used");
    return status;
}

/* ---- what the kernel was told to do on which CPU --------------------------------------------- */

static void mark_isolated(hl_topology *topology, hl_host *host)
{
    hl_cpu_set isolated;
    if (!hl_host_cpus(host, &isolated, "/sys/devices/system/cpu/isolated"))
        return;
    for (uint32_t i = 0; i < topology->cpu_count; i++)
        topology->cpus[i].isolated = hl_cpu_set_has(&isolated, topology->cpus[i].os_index);
}

/* Per CPU, how many interrupts are bound to it, or to so few CPUs that it must bear them. Where a
 * daemon moves them about, where they are now says nothing. */
static bool count_bound_interrupts(const hl_topology *topology, hl_host *host, uint32_t *counts)
{
    const char *numbers = hl_host_names(host, "/proc/irq");
    if (numbers == NULL || hl_host_names(host, "/run/irqbalance") != NULL)
        return false;
    char number[256];
    while (hl_host_next_line(&numbers, number)) {
        hl_cpu_set set;
        if (strspn(number, "0123456789") != strlen(number) ||
            !hl_host_cpus(host, &set, "/proc/irq/%s/smp_affinity_list", number) ||
            hl_cpu_set_count(&set) * 2 > topology->cpu_count)
            continue;
        for (uint32_t i = 0; i < topology->cpu_count; i++)
            counts[i] += hl_cpu_set_has(&set, topology->cpus[i].os_index);
    }
    return true;
}

static hl_status mark_interrupts(hl_topology *topology, hl_host *host, hl_error *error)
{
    uint32_t *const counts = calloc(topology->cpu_count + 1, sizeof *counts);
    if (counts == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "topology: no memory");
    uint32_t fewest = UINT32_MAX;
    if (count_bound_interrupts(topology, host, counts))
        for (uint32_t i = 0; i < topology->cpu_count; i++)
            if (topology->cpus[i].allowed && counts[i] < fewest)
                fewest = counts[i];
    /* New interrupts go here; it says something when it leaves CPUs out. */
    hl_cpu_set usual = {{0}};
    const char *const mask = hl_host_text(host, NULL, "/proc/irq/default_smp_affinity");
    uint32_t inside = 0;
    if (mask != NULL && hl_cpu_set_parse_mask(mask, &usual))
        for (uint32_t i = 0; i < topology->cpu_count; i++)
            inside += hl_cpu_set_has(&usual, topology->cpus[i].os_index);
    for (uint32_t i = 0; i < topology->cpu_count; i++) {
        hl_cpu *const cpu = &topology->cpus[i];
        cpu->takes_interrupts = counts[i] > fewest || (inside < topology->cpu_count &&
                                                       hl_cpu_set_has(&usual, cpu->os_index));
    }
    free(counts);
    return HL_OK;
}

static hl_status look_at_host(hl_topology *topology, hl_host *host, hl_error *error)
{
    mark_isolated(topology, host);
    topology->cpu_quota = hl_cgroup_cpu_quota(host);
    return mark_interrupts(topology, host, error);
}

/* ---- loading -------------------------------------------------------------------------------- */

static hl_status load_topology(hwloc_topology_t machine, const hl_topology_source *source,
                               hl_topology *topology, hl_error *error)
{
    hwloc_bitmap_t allowed = hwloc_bitmap_alloc();
    hl_status status = allowed != NULL ? load(machine, source, error)
                                       : hl_error_set(error, HL_NO_MEMORY, "topology: no memory");
    hl_topology_source with_host = *source;
    hl_host *own = NULL;
    if (status == HL_OK && source->host == NULL && hwloc_topology_is_thissystem(machine))
        status = hl_host_open(NULL, &own, error);
    if (own != NULL)
        with_host.host = own;
    if (status == HL_OK)
        status = find_allowed(machine, &with_host, allowed, error);
    if (status == HL_OK)
        status = hl_describe(machine, allowed, source->want_devices, topology, error);
    if (status == HL_OK && with_host.host != NULL)
        status = look_at_host(topology, with_host.host, error);
    hl_host_close(own);
    hwloc_bitmap_free(allowed);
    return status;
}

hl_status hl_topology_load(const hl_topology_source *source, hl_topology **ret_topology,
                           hl_error *error)
{
    static const hl_topology_source this_machine;
    if (source == NULL)
        source = &this_machine;
    hwloc_topology_t machine;
    hl_topology *const topology = calloc(1, sizeof *topology);
    if (topology == NULL || hwloc_topology_init(&machine) != 0) {
        free(topology);
        return hl_error_set(error, HL_NO_MEMORY, "topology: no memory");
    }
    const hl_status status = load_topology(machine, source, topology, error);
    hwloc_topology_destroy(machine);
    if (status == HL_OK)
        *ret_topology = topology;
    else
        hl_topology_free(topology);
    return status;
}

void hl_topology_free(hl_topology *topology)
{
    if (topology == NULL)
        return;
    free(topology->cpus);
    free(topology->nodes);
    free(topology->caches);
    free(topology->devices);
    free(topology->xml);
    free(topology);
}

const hl_device *hl_topology_device(const hl_topology *topology, const char *name)
{
    for (uint32_t i = 0; i < topology->device_count; i++)
        if (strcmp(topology->devices[i].name, name) == 0)
            return &topology->devices[i];
    return NULL;
}

const hl_cpu *hl_topology_cpu(const hl_topology *topology, uint32_t os_index)
{
    for (uint32_t i = 0; i < topology->cpu_count; i++)
        if (topology->cpus[i].os_index == os_index)
            return &topology->cpus[i];
    return NULL;
}
