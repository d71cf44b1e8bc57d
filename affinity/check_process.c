/*
 * Checks of a running bus (--pid): are its threads where the plan has them, and left alone there?
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "affinity/check_look.h"
#include "affinity/sentence.h"

typedef struct thread_facts {
    char name[32];
    hl_cpu_set mask;
    uint64_t voluntary, involuntary; /* context switches */
    uint64_t minor_faults, major_faults;
    int cpu, policy;
} thread_facts;

static uint64_t number_after(const char *text, const char *label)
{
    const char *const at = text != NULL ? strstr(text, label) : NULL;
    return at != NULL ? strtoull(at + strlen(label), NULL, 10) : 0;
}

/* From `status` and `stat` of /proc/PID/task/TID. */
static bool parse_facts(const char *status, const char *stat, thread_facts *facts)
{
    const char *const mask = status != NULL ? strstr(status, "Cpus_allowed_list:") : NULL;
    /* The name stands in parentheses and may hold anything, parentheses too. */
    const char *const fields = stat != NULL ? strrchr(stat, ')') : NULL;
    char list[256];
    if (mask == NULL || fields == NULL)
        return false;
    *facts = (thread_facts){.cpu = -1, .policy = -1};
    sscanf(status, "Name: %31[^\n]", facts->name);
    snprintf(list, sizeof list, "%.*s", (int)strcspn(mask + 18, "\n"), mask + 18);
    hl_cpu_set_parse_list(list, &facts->mask);
    facts->voluntary = number_after(status, "\nvoluntary_ctxt_switches:");
    facts->involuntary = number_after(status, "nonvoluntary_ctxt_switches:");
    /* Fields of proc(5), counted from 3 for the first one behind the name. */
    int field = 2;
    for (const char *at = fields + 1; *at != '\0'; at += strcspn(at, " ")) {
        at += strspn(at, " ");
        field++;
        if (field == 10)
            facts->minor_faults = strtoull(at, NULL, 10);
        else if (field == 12)
            facts->major_faults = strtoull(at, NULL, 10);
        else if (field == 39)
            facts->cpu = atoi(at);
        else if (field == 41)
            facts->policy = atoi(at);
    }
    return true;
}

static bool no_process(const hl_check_look *look, hl_finding *finding)
{
    if (look->input->pid <= 0)
        hl_found(finding, HL_CHECK_NOT_APPLICABLE, "no running bus is named (--pid)");
    else if (hl_host_names(look->host, "/proc/%d/task", look->input->pid) == NULL)
        hl_found(finding, HL_CHECK_UNKNOWN, "there is no process %d, or it may not be looked at",
                 look->input->pid);
    else
        return false;
    return true;
}

/* The bus names its threads "hl-order", "hl-order+fill" for an executor of several partitions, and
 * "hl-housekeeper"; the kernel keeps 15 bytes. */
static const hl_plan_thread *planned(const hl_plan *plan, const char *name)
{
    if (strncmp(name, "hl-", 3) != 0)
        return NULL;
    const char *const bare = name + 3;
    const size_t length = strcspn(bare, "+");
    const bool cut = strlen(name) == 15 && bare[length] == '\0';
    for (uint32_t i = 0; i < plan->thread_count; i++) {
        const hl_plan_thread *const thread = &plan->threads[i];
        if (thread->role == HL_ROLE_HOUSEKEEPER
                ? strcmp(bare, "housekeeper") == 0
                : strncmp(thread->name, bare, length) == 0 && (cut || thread->name[length] == '\0'))
            return thread;
    }
    return NULL;
}

static bool read_facts(const hl_check_look *look, const char *thread, bool later,
                       thread_facts *ret_facts)
{
    const int pid = look->input->pid;
    hl_host *const host = look->host;
    return later ? parse_facts(hl_host_text_later(host, "/proc/%d/task/%s/status", pid, thread),
                               hl_host_text_later(host, "/proc/%d/task/%s/stat", pid, thread),
                               ret_facts)
                 : parse_facts(hl_host_text(host, NULL, "/proc/%d/task/%s/status", pid, thread),
                               hl_host_text(host, NULL, "/proc/%d/task/%s/stat", pid, thread),
                               ret_facts);
}

static void look_masks(const hl_check_look *look, hl_finding *finding)
{
    if (no_process(look, finding))
        return;
    const char *threads = hl_host_names(look->host, "/proc/%d/task", look->input->pid);
    char thread[256], astray[300] = "";
    uint32_t seen = 0;
    while (hl_host_next_line(&threads, thread)) {
        thread_facts facts;
        if (!read_facts(look, thread, false, &facts))
            continue;
        const hl_plan_thread *const plan = planned(look->plan, facts.name);
        if (plan == NULL)
            continue;
        seen++;
        char list[64] = "";
        hl_cpu_set_tell(&facts.mask, list, sizeof list);
        if (hl_cpu_set_count(&facts.mask) != 1 || !hl_cpu_set_has(&facts.mask, (uint32_t)plan->cpu))
            hl_sentence_add(astray, sizeof astray, "%s%s on %s, planned %d",
                            astray[0] == '\0' ? "" : ", ", facts.name, list, plan->cpu);
    }
    if (seen == 0)
        hl_found(finding, HL_CHECK_UNKNOWN, "process %d has no thread of the plan's names",
                 look->input->pid);
    else if (astray[0] == '\0')
        hl_found(finding, HL_CHECK_OK, "%u threads where the plan has them", seen);
    else
        hl_found(finding, HL_CHECK_FAIL, "%s", astray);
}

static void look_disturbances(const hl_check_look *look, hl_finding *finding)
{
    if (no_process(look, finding))
        return;
    const uint32_t interval_ms = hl_check_interval_ms(look);
    if (interval_ms == 0) {
        hl_found(finding, HL_CHECK_UNKNOWN, "not counted (--interval 0)");
        return;
    }
    const char *threads = hl_host_names(look->host, "/proc/%d/task", look->input->pid);
    char thread[256], told[300] = "";
    while (hl_host_next_line(&threads, thread)) {
        thread_facts then, now;
        if (!read_facts(look, thread, false, &then) || !read_facts(look, thread, true, &now))
            continue;
        const hl_plan_thread *const plan = planned(look->plan, now.name);
        const uint64_t preempted = now.involuntary - then.involuntary;
        const uint64_t faults =
            now.minor_faults - then.minor_faults + now.major_faults - then.major_faults;
        if (plan == NULL || !hl_thread_role_is_hot(plan->role) ||
            (preempted == 0 && faults == 0 && then.cpu == now.cpu))
            continue;
        hl_sentence_add(told, sizeof told,
                        "%s%s: preempted %" PRIu64 " times, %" PRIu64 " page faults%s",
                        told[0] == '\0' ? "" : "; ", now.name, preempted, faults,
                        then.cpu != now.cpu ? ", moved" : "");
    }
    hl_found(finding, told[0] == '\0' ? HL_CHECK_OK : HL_CHECK_WARN, "%s",
             told[0] == '\0' ? "none" : told);
}

static void look_policy(const hl_check_look *look, hl_finding *finding)
{
    if (no_process(look, finding))
        return;
    int64_t runtime_us = -1;
    hl_host_number(look->host, &runtime_us, "/proc/sys/kernel/sched_rt_runtime_us");
    const char *threads = hl_host_names(look->host, "/proc/%d/task", look->input->pid);
    char thread[256], trapped[300] = "";
    while (hl_host_next_line(&threads, thread)) {
        thread_facts facts;
        if (!read_facts(look, thread, false, &facts))
            continue;
        const hl_plan_thread *const plan = planned(look->plan, facts.name);
        const bool real_time = facts.policy == 1 || facts.policy == 2; /* FIFO, RR */
        if (plan != NULL && plan->wait == HL_WAIT_SPIN && real_time && runtime_us >= 0)
            hl_sentence_add_item(trapped, sizeof trapped, facts.name);
    }
    if (trapped[0] == '\0')
        hl_found(finding, HL_CHECK_OK, "none");
    else
        hl_found(finding, HL_CHECK_FAIL, "%s", trapped);
}

static void look_paged_out(const hl_check_look *look, hl_finding *finding)
{
    if (no_process(look, finding))
        return;
    const char *const status = hl_host_text_kept(look->host, NULL, HL_HOST_STATUS_LINES,
                                                 "/proc/%d/status", look->input->pid);
    if (status == NULL)
        hl_found_nothing(finding, HL_HOST_ABSENT, "status of the process");
    else
        hl_found(finding, number_after(status, "VmSwap:") == 0 ? HL_CHECK_OK : HL_CHECK_WARN,
                 "%" PRIu64 " KiB swapped out, %" PRIu64 " KiB locked",
                 number_after(status, "VmSwap:"), number_after(status, "VmLck:"));
}

static const hl_check checks[] = {
    {"threads", "threads of the running bus", "each on its planned CPU alone",
     "A thread that may run elsewhere will: after a move its cache is cold.",
     "see what changed the masks: taskset, tuna, a change of the cpuset", "sched_setaffinity(2)",
     true, look_masks},
    {"disturbances", "hot threads disturbed", "none in the interval",
     "Each preemption, move or page fault of a hot thread is a delay of 1 us to many ms.",
     "see isolated-cpus, irq-affinity, memlock", "proc(5), /proc/PID/task/TID/status", true,
     look_disturbances},
    {"spin-under-fifo", "spinning under SCHED_FIFO", "none while real time is throttled",
     "Such a thread stands still for 50 ms of every second.",
     "chrt -o -p 0 TID, or sysctl -w kernel.sched_rt_runtime_us=-1", "sched(7)", true, look_policy},
    {"paged-out", "memory of the running bus", "none swapped out",
     "A page that was swapped out takes milliseconds to come back.",
     "LimitMEMLOCK=infinity, lock_memory: true", "proc(5), VmSwap", true, look_paged_out},
};

const hl_check_group hl_checks_process = {"running bus", checks, sizeof checks / sizeof checks[0]};
