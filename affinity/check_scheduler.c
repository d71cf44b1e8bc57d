/*
 * Checks of real-time limits, watchdogs and the kernel's timers.
 */
#include <stdio.h>
#include <string.h>

#include "affinity/check_look.h"

static bool may_use_real_time(hl_host *host, uint64_t *ret_limit)
{
    *ret_limit = 0;
    hl_process_limit(host, "Max realtime priority", ret_limit);
    return *ret_limit > 0 || hl_has_capability(host, HL_CAP_SYS_NICE);
}

static void look_limits(const hl_check_look *look, hl_finding *finding)
{
    uint64_t limit;
    const bool may = may_use_real_time(look->host, &limit);
    if (hl_host_text(look->host, NULL, "/proc/self/limits") == NULL)
        hl_found_nothing(finding, HL_HOST_ABSENT, "/proc/self/limits");
    else
        hl_found(finding, HL_CHECK_OK, "RLIMIT_RTPRIO %llu, CAP_SYS_NICE %s: real time %s",
                 (unsigned long long)limit,
                 hl_has_capability(look->host, HL_CAP_SYS_NICE) ? "yes" : "no",
                 may ? "can be used" : "cannot be used");
}

static void look_throttling(const hl_check_look *look, hl_finding *finding)
{
    static const char runtime_path[] = "/proc/sys/kernel/sched_rt_runtime_us";
    int64_t runtime_us, period_us = 1000000;
    uint64_t limit;
    hl_host_outcome outcome;
    if (hl_host_text(look->host, &outcome, "%s", runtime_path) == NULL ||
        !hl_host_number(look->host, &runtime_us, "%s", runtime_path)) {
        hl_found_nothing(finding, outcome, runtime_path);
        return;
    }
    hl_host_number(look->host, &period_us, "/proc/sys/kernel/sched_rt_period_us");
    const bool concerns = look->spinning > 0 && may_use_real_time(look->host, &limit);
    if (runtime_us < 0)
        hl_found(finding, HL_CHECK_OK, "-1: never");
    else if (!concerns)
        hl_found(finding, HL_CHECK_OK, "%lld us; no thread can spin under SCHED_FIFO",
                 (long long)runtime_us);
    else
        hl_found(finding, HL_CHECK_WARN,
                 "%lld us: under SCHED_FIFO a spinning thread is stopped %lld us in every %lld",
                 (long long)runtime_us, (long long)(period_us - runtime_us), (long long)period_us);
}

static void look_watchdog(const hl_check_look *look, hl_finding *finding)
{
    hl_found_number(look, finding, "/proc/sys/kernel/watchdog", 0, 0);
}

static void look_nmi(const hl_check_look *look, hl_finding *finding)
{
    hl_host_outcome outcome;
    if (hl_host_text(look->host, &outcome, "/proc/sys/kernel/nmi_watchdog") == NULL &&
        outcome == HL_HOST_ABSENT)
        hl_found(finding, HL_CHECK_NOT_APPLICABLE, "this kernel has none");
    else
        hl_found_number(look, finding, "/proc/sys/kernel/nmi_watchdog", 0, 0);
}

static void look_soft_lockup(const hl_check_look *look, hl_finding *finding)
{
    char value[32];
    if (hl_kernel_parameter(look->host, "nosoftlockup", value, sizeof value))
        hl_found(finding, HL_CHECK_OK, "nosoftlockup on the kernel command line");
    else
        hl_found_number(look, finding, "/proc/sys/kernel/soft_watchdog", 0, 0);
}

static void look_hung_tasks(const hl_check_look *look, hl_finding *finding)
{
    static const char path[] = "/proc/sys/kernel/hung_task_timeout_secs";
    int64_t seconds;
    hl_host_outcome outcome;
    if (hl_host_text(look->host, &outcome, "%s", path) == NULL && outcome == HL_HOST_ABSENT)
        hl_found(finding, HL_CHECK_NOT_APPLICABLE, "this kernel does not look for them");
    else if (!hl_host_number(look->host, &seconds, "%s", path))
        hl_found_nothing(finding, outcome, path);
    else
        hl_found(finding, seconds == 0 || seconds >= 600 ? HL_CHECK_OK : HL_CHECK_WARN, "%lld s",
                 (long long)seconds);
}

static void look_timer_migration(const hl_check_look *look, hl_finding *finding)
{
    hl_found_number(look, finding, "/proc/sys/kernel/timer_migration", 0, 0);
}

static void look_statistics(const hl_check_look *look, hl_finding *finding)
{
    hl_found_number(look, finding, "/proc/sys/vm/stat_interval", 10, 1 << 30);
}

static void look_machine_checks(const hl_check_look *look, hl_finding *finding)
{
    static const char folder[] = "/sys/devices/system/machinecheck/machinecheck0";
    int64_t interval, ignored = 0;
    hl_host_outcome outcome;
    if (hl_host_text(look->host, &outcome, "%s/check_interval", folder) == NULL &&
        outcome == HL_HOST_ABSENT) {
        hl_found(finding, HL_CHECK_NOT_APPLICABLE, "this machine does not poll for them");
        return;
    }
    /* The kernel writes it in hexadecimal. */
    const char *const text = hl_host_text(look->host, NULL, "%s/check_interval", folder);
    if (text == NULL || sscanf(text, "%llx", (unsigned long long *)&interval) != 1) {
        hl_found_nothing(finding, outcome, folder);
        return;
    }
    hl_host_number(look->host, &ignored, "%s/ignore_ce", folder);
    hl_found(finding, interval == 0 || ignored == 1 ? HL_CHECK_OK : HL_CHECK_WARN, "every %lld s%s",
             (long long)interval,
             ignored == 1    ? ", corrected errors ignored"
             : interval == 0 ? " (never)"
                             : "");
}

static const hl_check checks[] = {
    {"rt-limits", "real-time priority", "told",
     "The bus uses none: a pinned thread on an isolated core needs no priority.", "", "sched(7)",
     true, look_limits},
    {"rt-throttling", "real-time threads are throttled", "-1, or no SCHED_FIFO",
     "A thread that spins under SCHED_FIFO is taken for a runaway: it stands still for what is "
     "left of each second, 50 ms as a rule.",
     "leave the threads under SCHED_OTHER on isolated cores; else sysctl -w "
     "kernel.sched_rt_runtime_us=-1",
     "sched(7); Linux Documentation/scheduler/sched-rt-group.rst", true, look_throttling},
    {"watchdog", "lockup watchdogs", "0",
     "They run a high-priority thread on each core every few seconds.",
     "sysctl -w kernel.watchdog=0 (or nowatchdog on the kernel command line)",
     "Linux Documentation/admin-guide/lockup-watchdogs.rst; tuned cpu-partitioning", true,
     look_watchdog},
    {"nmi-watchdog", "NMI watchdog", "0",
     "A non-maskable interrupt on each core every ten seconds; takes a performance counter too.",
     "sysctl -w kernel.nmi_watchdog=0", "Linux Documentation/admin-guide/lockup-watchdogs.rst",
     true, look_nmi},
    {"soft-lockup", "soft-lockup detector", "0, or nosoftlockup",
     "It takes a thread that spins on a core for a lockup of the kernel.",
     "sysctl -w kernel.soft_watchdog=0 (or nosoftlockup on the kernel command line)",
     "kernel-parameters.txt; tuned network-latency", true, look_soft_lockup},
    {"hung-tasks", "search for hung tasks", "0, or 600 (s) and more",
     "A thread of the kernel walks all tasks each time.",
     "sysctl -w kernel.hung_task_timeout_secs=600",
     "Linux Documentation/admin-guide/sysctl/kernel.rst; tuned realtime", true, look_hung_tasks},
    {"timer-migration", "timers wander between cores", "0",
     "Timers that other cores armed may fire on a hot one.", "sysctl -w kernel.timer_migration=0",
     "tuned cpu-partitioning, realtime", true, look_timer_migration},
    {"stat-interval", "statistics of virtual memory", "10 (s) and more",
     "vmstat_update runs on every core that often.", "sysctl -w vm.stat_interval=10",
     "Linux kernel-per-CPU-kthreads.rst; tuned cpu-partitioning", true, look_statistics},
    {"machine-checks", "polling for memory errors", "0, or corrected errors ignored",
     "Each core reads its error registers in a timer: up to 100 us.",
     "echo 0 > /sys/devices/system/machinecheck/machinecheck0/check_interval (mce=ignore_ce on "
     "the kernel command line)",
     "rigtorp.se/low-latency-guide; Linux Documentation/arch/x86/x86_64/machinecheck.rst", true,
     look_machine_checks},
};

const hl_check_group hl_checks_scheduler = {"scheduler and timers", checks,
                                            sizeof checks / sizeof checks[0]};
