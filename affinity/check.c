#include "affinity/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "affinity/check_look.h"
#include "affinity/sentence.h"
#include "base/error.h"

static const hl_check_group *const groups[] = {
    &hl_checks_placement, &hl_checks_kernel, &hl_checks_interrupts, &hl_checks_cgroup,
    &hl_checks_power,     &hl_checks_memory, &hl_checks_scheduler,  &hl_checks_clock,
    &hl_checks_network,   &hl_checks_process};
#define GROUPS (sizeof groups / sizeof groups[0])

const char *hl_check_status_name(hl_check_status status)
{
    static const char *const names[] = {"OK", "WARN", "FAIL", "UNKNOWN", "N/A"};
    return names[status];
}

void hl_checks_each(void (*visit)(void *context, const char *group, const hl_check *check),
                    void *context)
{
    for (size_t g = 0; g < GROUPS; g++)
        for (uint32_t i = 0; i < groups[g]->count; i++)
            visit(context, groups[g]->name, &groups[g]->checks[i]);
}

/* ---- telling -------------------------------------------------------------------------------- */

void hl_found(hl_finding *finding, hl_check_status status, const char *format, ...)
{
    finding->status = status;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(finding->value, sizeof finding->value, format, arguments);
    va_end(arguments);
}

void hl_found_wanted(hl_finding *finding, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(finding->wanted, sizeof finding->wanted, format, arguments);
    va_end(arguments);
}

void hl_found_mend(hl_finding *finding, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(finding->mend, sizeof finding->mend, format, arguments);
    va_end(arguments);
}

void hl_found_nothing(hl_finding *finding, hl_host_outcome outcome, const char *path)
{
    if (outcome == HL_HOST_DENIED)
        hl_found(finding, HL_CHECK_UNKNOWN, "no permission to read %s", path);
    else
        hl_found(finding, HL_CHECK_UNKNOWN, "there is no %s", path);
}

bool hl_found_no_hot(const hl_check_look *look, hl_finding *finding)
{
    if (!look->has_hot)
        hl_found(finding, HL_CHECK_NOT_APPLICABLE, "no hot thread has a core of its own");
    return !look->has_hot;
}

void hl_found_number(const hl_check_look *look, hl_finding *finding, const char *path,
                     int64_t lowest, int64_t highest)
{
    hl_host_outcome outcome;
    int64_t number;
    const char *const text = hl_host_text(look->host, &outcome, "%s", path);
    if (text == NULL)
        hl_found_nothing(finding, outcome, path);
    else if (!hl_host_number(look->host, &number, "%s", path))
        hl_found(finding, HL_CHECK_UNKNOWN, "%s holds no number: \"%.60s\"", path, text);
    else
        hl_found(finding, number >= lowest && number <= highest ? HL_CHECK_OK : HL_CHECK_WARN,
                 "%lld", (long long)number);
}

/* ---- what several checks look at ------------------------------------------------------------ */

bool hl_process_limit(hl_host *host, const char *name, uint64_t *ret_soft)
{
    const char *limits = hl_host_text(host, NULL, "/proc/self/limits");
    char line[256];
    while (hl_host_next_line(&limits, line)) {
        if (strncmp(line, name, strlen(name)) != 0)
            continue;
        const char *const value = line + strlen(name) + strspn(line + strlen(name), " ");
        *ret_soft = strncmp(value, "unlimited", 9) == 0 ? UINT64_MAX : strtoull(value, NULL, 10);
        return true;
    }
    return false;
}

bool hl_has_capability(hl_host *host, unsigned number)
{
    const char *status = hl_host_text_kept(host, NULL, HL_HOST_STATUS_LINES, "/proc/self/status");
    status = status != NULL ? strstr(status, "CapEff:") : NULL;
    return status != NULL && (strtoull(status + strlen("CapEff:"), NULL, 16) >> number & 1) != 0;
}

hl_cpu_set hl_isolated_cpus(hl_host *host)
{
    hl_cpu_set by_boot = {{0}}, by_cpuset = {{0}};
    hl_host_cpus(host, &by_boot, "/sys/devices/system/cpu/isolated");
    hl_host_cpus(host, &by_cpuset, "/sys/fs/cgroup/cpuset.cpus.isolated");
    return hl_cpu_set_or(&by_boot, &by_cpuset);
}

/* ---- running -------------------------------------------------------------------------------- */

static bool is_hot_core(const hl_plan *plan, uint32_t core)
{
    for (uint32_t i = 0; i < plan->thread_count; i++)
        if (plan->threads[i].core == core && hl_thread_role_is_hot(plan->threads[i].role) &&
            plan->threads[i].shares_core_with[0] == '\0')
            return true;
    return false;
}

static void look_around(const hl_check_input *input, hl_check_look *look)
{
    const hl_topology *const topology = input->topology;
    *look = (hl_check_look){
        .input = input, .topology = topology, .plan = input->plan, .host = input->host};
    for (uint32_t i = 0; i < topology->cpu_count; i++) {
        const hl_cpu *const cpu = &topology->cpus[i];
        if (cpu->allowed)
            hl_cpu_set_add(is_hot_core(input->plan, cpu->core) ? &look->hot : &look->cold,
                           cpu->os_index);
    }
    for (uint32_t i = 0; i < input->plan->thread_count; i++) {
        const hl_plan_thread *const thread = &input->plan->threads[i];
        look->spinning += thread->wait == HL_WAIT_SPIN;
        if (hl_cpu_set_has(&look->hot, (uint32_t)thread->cpu))
            hl_cpu_set_add(&look->hot_threads, (uint32_t)thread->cpu);
    }
    look->has_hot = hl_cpu_set_count(&look->hot) > 0;
    hl_cpu_set_tell(&look->hot, look->hot_list, sizeof look->hot_list);
    hl_cpu_set_tell(&look->cold, look->cold_list, sizeof look->cold_list);
}

static void run_check(const hl_check_look *look, const char *group, const hl_check *check,
                      hl_finding *finding)
{
    finding->check = check;
    finding->group = group;
    finding->status = HL_CHECK_UNKNOWN;
    hl_found_wanted(finding, "%s", check->wanted);
    hl_found_mend(finding, "%s", check->mend);
    if (check->needs_host && look->host == NULL)
        hl_found(finding, HL_CHECK_UNKNOWN,
                 "a description has no /proc and /sys to look at; --root gives a captured one");
    else
        check->look(look, finding);
}

hl_status hl_checks_run(const hl_check_input *input, hl_finding **ret_findings, uint32_t *ret_count,
                        hl_error *error)
{
    uint32_t count = 0;
    for (size_t g = 0; g < GROUPS; g++)
        count += groups[g]->count;
    hl_finding *const findings = calloc(count, sizeof *findings);
    hl_check_look *const look = calloc(1, sizeof *look);
    if (findings == NULL || look == NULL) {
        free(findings);
        free(look);
        return hl_error_set(error, HL_NO_MEMORY, "checks: no memory");
    }
    look_around(input, look);
    uint32_t n = 0;
    for (size_t g = 0; g < GROUPS; g++)
        for (uint32_t i = 0; i < groups[g]->count; i++)
            run_check(look, groups[g]->name, &groups[g]->checks[i], &findings[n++]);
    free(look);
    *ret_findings = findings;
    *ret_count = count;
    return HL_OK;
}

/* ---- two readings --------------------------------------------------------------------------- */

static void tell_interval(void *interval_ms, char *text, size_t size)
{
    snprintf(text, size, "%u", *(const uint32_t *)interval_ms);
}

uint32_t hl_check_interval_ms(const hl_check_look *look)
{
    int64_t interval_ms;
    return hl_host_number(look->host, &interval_ms, "/hotlane/" HL_CHECK_INTERVAL)
               ? (uint32_t)interval_ms
               : 0;
}

static void read_threads(hl_host *host, int pid, bool later)
{
    const char *threads = hl_host_names(host, "/proc/%d/task", pid);
    char thread[256];
    while (hl_host_next_line(&threads, thread)) {
        static const char *const files[] = {"status", "stat"};
        for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
            if (later)
                hl_host_text_later(host, "/proc/%d/task/%s/%s", pid, thread, files[i]);
            else
                hl_host_text(host, NULL, "/proc/%d/task/%s/%s", pid, thread, files[i]);
        }
    }
}

void hl_checks_wait(hl_host *host, int pid, uint32_t interval_ms)
{
    hl_host_text(host, NULL, "/proc/interrupts");
    hl_host_text(host, NULL, "/proc/stat");
    if (pid > 0)
        read_threads(host, pid, false);
    if (interval_ms == 0)
        return;
    hl_host_computed(host, HL_CHECK_INTERVAL, tell_interval, &interval_ms);
    if (hl_host_is_live(host)) {
        const struct timespec interval = {.tv_sec = interval_ms / 1000,
                                          .tv_nsec = (long)(interval_ms % 1000) * 1000000};
        nanosleep(&interval, NULL);
    }
    hl_host_text_later(host, "/proc/interrupts");
    hl_host_text_later(host, "/proc/stat");
    if (pid > 0)
        read_threads(host, pid, true);
}
