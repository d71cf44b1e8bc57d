/*
 * hotlane topology: the machine, the plan, the checks, the measures.
 */
#include "command.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <hotlane/config.h>

#include "affinity/host.h"
#include "affinity/sentence.h"
#include "base/error.h"
#include "bus/thread_request.h"
#include "config/domains.h"
#include "configuration.h"
#include "topology_options.h"
#include "topology_report.h"

/* What a report is made of, to be given back at the end. */
typedef struct topology_run {
    topology_options options;
    hl_host *host; /* NULL: there is only a description */
    hl_topology *topology;
    hl_config *loaded;
    hl_config config;
    const char **publishers;
    hl_thread_request *requests; /* of the configuration */
    hl_thread_request *threads;  /* those, and workers and journals */
    char (*names)[24];           /* of workers and journals */
    uint32_t thread_count;
    uint64_t *ring_bytes;
    hl_plan *plan;
    hl_finding *findings;
    topology_measures *measures;
    topology_report report;
} topology_run;

static void release(topology_run *run)
{
    topology_measures_free(run->measures);
    free(run->findings);
    hl_plan_free(run->plan);
    free(run->ring_bytes);
    free(run->names);
    free(run->threads);
    free(run->requests);
    free(run->publishers);
    hl_config_free(run->loaded);
    hl_topology_free(run->topology);
    hl_host_close(run->host);
}

/* ---- the machine ---------------------------------------------------------------------------- */

/* A file, unless it reads like a description and no file is called so. */
static bool is_file(const char *input)
{
    const size_t length = strlen(input);
    return access(input, F_OK) == 0 || strchr(input, ':') == NULL ||
           (length > 4 && strcmp(input + length - 4, ".xml") == 0);
}

/* Without folders: a report says which machine, not where its file was. */
static const char *file_name(const char *path)
{
    const char *const slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

static hl_status load_machine(topology_run *run, hl_error *error)
{
    const topology_options *const options = &run->options;
    char *const source = run->report.source;
    const size_t size = sizeof run->report.source;
    if (options->input == NULL || options->root != NULL) {
        const hl_status status = hl_host_open(options->root, &run->host, error);
        if (status != HL_OK)
            return status;
    }
    hl_topology_source from = {
        .allowed_cpus = options->cpus, .host = run->host, .want_devices = true};
    if (options->input != NULL && is_file(options->input))
        from.xml_path = options->input;
    else
        from.synthetic = options->input;
    snprintf(source, size, "%s%s%s",
             from.xml_path != NULL    ? file_name(from.xml_path)
             : options->input != NULL ? options->input
             : options->root != NULL  ? options->root
                                      : "this machine",
             options->input != NULL && options->root != NULL ? ", with the files of " : "",
             options->input != NULL && options->root != NULL ? options->root : "");
    return hl_topology_load(&from, &run->topology, error);
}

/* ---- the plan ------------------------------------------------------------------------------- */

static hl_status load_config(topology_run *run, hl_error *error)
{
    const topology_options *const options = &run->options;
    run->config = (hl_config)HL_CONFIG_INIT;
    if (options->config != NULL) {
        const hl_status status = configuration_load(options->config, &run->loaded, error);
        if (status != HL_OK)
            return status;
        run->config = *run->loaded;
    }
    if (options->lcores != NULL)
        run->config.lcores = options->lcores;
    const uint32_t named = run->config.publisher_count;
    run->publishers = calloc(named + options->publisher_count + 1, sizeof *run->publishers);
    if (run->publishers == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "no memory");
    for (uint32_t i = 0; i < named; i++)
        run->publishers[i] = run->config.publishers[i];
    for (uint32_t i = 0; i < options->publisher_count; i++)
        run->publishers[named + i] = options->publishers[i];
    run->config.publishers = run->publishers;
    run->config.publisher_count = named + options->publisher_count;
    return hl_config_validate(&run->config, error);
}

/* Journals, for which the configuration has no threads of its own, and workers beside its own. */
static void add_cold_threads(topology_run *run)
{
    const topology_options *const options = &run->options;
    char(*name)[24] = run->names;
    for (uint32_t i = 0; i < options->journals; i++, name++) {
        snprintf(*name, sizeof *name, options->journals == 1 ? "journal" : "journal.%u", i);
        run->threads[run->thread_count++] =
            (hl_thread_request){.name = *name, .role = HL_ROLE_JOURNAL, .domain = "journals"};
    }
    for (uint32_t i = 0; i < options->workers; i++, name++) {
        snprintf(*name, sizeof *name, "worker.%u", run->config.max_workers + i);
        run->threads[run->thread_count++] = (hl_thread_request){
            .name = *name, .role = HL_ROLE_WORKER, .domain = "workers", .talks_to = "*"};
    }
}

/* What the rings of each partition take, as far as a configuration tells: a ring of each publisher
 * that it names and one that the others share, and that of the handlers. */
static hl_status measure_rings(topology_run *run, hl_error *error)
{
    uint32_t domain_count;
    const hl_domain_config *const domains = hl_config_domains(&run->config, &domain_count);
    run->ring_bytes = calloc(run->thread_count + 1, sizeof *run->ring_bytes);
    if (run->ring_bytes == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "no memory");
    for (uint32_t i = 0; i < run->thread_count; i++)
        for (uint32_t d = 0; d < domain_count && run->threads[i].role == HL_ROLE_PARTITION; d++)
            if (strcmp(run->threads[i].domain, domains[d].name) == 0)
                run->ring_bytes[i] =
                    (uint64_t)domains[d].slot_size_bytes *
                    ((uint64_t)domains[d].ring_slots * (run->config.publisher_count + 1) +
                     domains[d].handler_ring_slots);
    return HL_OK;
}

static hl_status find_nic(const topology_run *run, hl_plan_request *request, hl_error *error)
{
    const char *const nic = run->options.nic;
    if (nic == NULL)
        return HL_OK;
    const hl_device *const device = hl_topology_device(run->topology, nic);
    if (device == NULL || device->kind != HL_DEVICE_NETWORK) {
        char names[256] = "";
        for (uint32_t i = 0; i < run->topology->device_count; i++)
            if (run->topology->devices[i].kind == HL_DEVICE_NETWORK)
                hl_sentence_add_item(names, sizeof names, run->topology->devices[i].name);
        return hl_error_set(error, HL_INVALID, "--nic: no network device is named \"%s\"; %s%s",
                            nic, names[0] != '\0' ? "there are " : "this machine tells of none",
                            names);
    }
    if (device->numa_node >= 0) { /* else the check nic-node says that it is not known */
        request->nic = nic;
        request->nic_node = (uint32_t)device->numa_node;
    }
    return HL_OK;
}

static hl_status make_plan(topology_run *run, hl_error *error)
{
    const uint32_t cold = run->options.workers + run->options.journals;
    hl_status status =
        hl_thread_requests_make(&run->config, &run->requests, &run->thread_count, error);
    if (status != HL_OK)
        return status;
    run->threads = calloc(run->thread_count + cold, sizeof *run->threads);
    run->names = calloc(cold + 1, sizeof *run->names);
    if (run->threads == NULL || run->names == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "no memory");
    memcpy(run->threads, run->requests, run->thread_count * sizeof *run->threads);
    add_cold_threads(run);
    hl_plan_request request = {
        .threads = run->threads, .thread_count = run->thread_count, .lcores = run->config.lcores};
    status = find_nic(run, &request, error);
    if (status == HL_OK)
        status = hl_plan_make(run->topology, &request, &run->plan, error);
    if (status == HL_INVALID && run->options.lcores == NULL)
        configuration_place(run->options.config, error);
    return status == HL_OK ? measure_rings(run, error) : status;
}

/* ---- the checks and the measures ------------------------------------------------------------ */

/* A gate that was told a wrong number must not pass. */
static hl_status find_process(const topology_run *run, hl_error *error)
{
    const int pid = run->options.pid;
    if (pid == 0)
        return HL_OK;
    if (run->host == NULL)
        return hl_error_set(error, HL_INVALID,
                            "--pid: a machine of --input has no processes: leave out one of them");
    if (hl_host_names(run->host, "/proc/%d/task", pid) == NULL)
        return hl_error_set(error, HL_INVALID,
                            "--pid: there is no process %d, or it may not be looked at: name a "
                            "running bus, as its user or as root",
                            pid);
    return HL_OK;
}

static hl_status run_checks(topology_run *run, hl_error *error)
{
    const topology_options *const options = &run->options;
    const hl_status found = find_process(run, error);
    if (found != HL_OK)
        return found;
    if (run->host != NULL)
        hl_checks_wait(run->host, options->pid, options->interval_ms);
    const hl_check_input input = {.topology = run->topology,
                                  .plan = run->plan,
                                  .host = run->host,
                                  .nic = options->nic,
                                  .pid = options->pid,
                                  .wants_huge_pages = run->config.huge_pages,
                                  .wants_locked_memory = run->config.lock_memory,
                                  .ring_bytes = run->ring_bytes};
    return hl_checks_run(&input, &run->findings, &run->report.finding_count, error);
}

/* Whether a CPU is to be measured: those that the list names, all that are ours, or those with a
 * hot thread. */
static bool is_measured(const topology_run *run, const hl_cpu_set *list, const hl_cpu *cpu)
{
    const char *const wanted = run->options.measured_cpus;
    if (!cpu->allowed)
        return false;
    if (wanted != NULL)
        return strcmp(wanted, "all") == 0 || hl_cpu_set_has(list, cpu->os_index);
    for (uint32_t i = 0; i < run->plan->thread_count; i++)
        if (hl_thread_role_is_hot(run->plan->threads[i].role) &&
            run->plan->threads[i].cpu == (int)cpu->os_index)
            return true;
    return false;
}

static hl_status measure(topology_run *run, hl_error *error)
{
    const topology_options *const options = &run->options;
    hl_cpu_set list = {{0}};
    if (!run->topology->this_machine)
        return hl_error_set(error, HL_INVALID,
                            "--measure: only this machine can be measured; leave out --input and "
                            "--root");
    if (options->measured_cpus != NULL && strcmp(options->measured_cpus, "all") != 0 &&
        !hl_cpu_set_parse_list(options->measured_cpus, &list))
        return hl_error_set(error, HL_INVALID,
                            "--measure-cpus: \"%s\" is no list; \"2-5,8\" and \"all\" are",
                            options->measured_cpus);
    uint32_t *const cpus = calloc(run->topology->cpu_count, sizeof *cpus);
    if (cpus == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "no memory");
    topology_measure_options what = {
        .cpus = cpus, .seconds = options->seconds, .folder = options->folder};
    for (uint32_t i = 0; i < run->topology->cpu_count; i++)
        if (is_measured(run, &list, &run->topology->cpus[i]))
            cpus[what.cpu_count++] = run->topology->cpus[i].os_index;
    const hl_status status =
        what.cpu_count > 0
            ? topology_measure(&what, &run->measures, error)
            : hl_error_set(error, HL_INVALID, "--measure-cpus: \"%s\" names no CPU that is ours",
                           options->measured_cpus);
    free(cpus);
    return status;
}

/* ---- the forms ------------------------------------------------------------------------------ */

static bool wants_colour(void)
{
    const char *const no_colour = getenv("NO_COLOR");
    const char *const terminal = getenv("TERM");
    return isatty(STDOUT_FILENO) && (no_colour == NULL || no_colour[0] == '\0') &&
           (terminal == NULL || strcmp(terminal, "dumb") != 0);
}

static hl_status write_forms(const topology_run *run, hl_error *error)
{
    const topology_options *const options = &run->options;
    const topology_text_options text = {
        .colour = wants_colour(), .only_checks = options->only_checks, .all = options->all};
    hl_status status = HL_OK;
    const bool picture_on_stdout = options->svg != NULL && strcmp(options->svg, "-") == 0;
    if (options->json && !topology_json(&run->report, stdout))
        status = hl_error_set(error, HL_SYSTEM, "the report cannot be written");
    else if (!options->json && !picture_on_stdout)
        topology_text(&run->report, &text, stdout);
    if (status == HL_OK && options->svg != NULL)
        status = topology_write_svg(&run->report, options->svg, error);
    if (status == HL_OK && options->png != NULL)
        status = topology_write_png(&run->report, options->png, error);
    return status;
}

static hl_status make_report(topology_run *run, hl_error *error)
{
    hl_status status = load_machine(run, error);
    if (status == HL_OK)
        status = load_config(run, error);
    if (status == HL_OK)
        status = make_plan(run, error);
    if (status == HL_OK)
        status = run_checks(run, error);
    if (status == HL_OK && run->options.measure)
        status = measure(run, error);
    if (status != HL_OK)
        return status;
    run->report.topology = run->topology;
    run->report.plan = run->plan;
    run->report.findings = run->findings;
    run->report.has_host = run->host != NULL;
    run->report.measures = run->measures;
    run->report.nic = run->options.nic;
    run->report.config_path = run->options.config;
    return write_forms(run, error);
}

/* What cannot be used as it was given is wrong usage; what the system refuses is a failure. */
static hl_exit exit_of(hl_status status)
{
    if (status == HL_OK)
        return HL_EXIT_OK;
    return status == HL_SYSTEM || status == HL_NO_MEMORY ? HL_EXIT_FAILED : HL_EXIT_USAGE;
}

hl_exit hl_command_topology(int argc, char **argv)
{
    topology_run run = {.host = NULL};
    switch (topology_options_parse(argc, argv, &run.options)) {
    case HL_PARSE_HELP:
        topology_options_print_usage(stdout);
        return HL_EXIT_OK;
    case HL_PARSE_WRONG:
        return HL_EXIT_USAGE;
    case HL_PARSE_OK:
        break;
    }
    hl_error error = {.status = HL_OK};
    const hl_status status = run.options.capture != NULL
                                 ? topology_capture(run.options.capture, &error)
                                 : make_report(&run, &error);
    hl_exit answer = exit_of(status);
    if (status != HL_OK)
        fprintf(stderr, "hotlane topology: %s\n", error.text);
    else if (topology_report_count(&run.report, HL_CHECK_FAIL) > 0 ||
             (run.options.strict && topology_report_count(&run.report, HL_CHECK_WARN) > 0))
        answer = HL_EXIT_FAILED;
    release(&run);
    return answer;
}
