/*
 * Checks of the kernel command line, and of what the kernel was built for.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "affinity/check_look.h"
#include "affinity/sentence.h"

/* What is read of the command line; the rest (host names, disks, keys) is nobody's business. */
#define KEPT                                                                                     \
    " isolcpus=|nohz_full=|nohz=|rcu_nocbs|rcu_nocb_poll|rcutree.nohz_full_patience_delay=|"     \
    "rcutree.kthread_prio=|skew_tick=|tsc=|nosoftlockup|nowatchdog|nmi_watchdog=|mitigations=|"  \
    "spectre_v2=|pti=|nopti|nospectre|intel_idle.max_cstate=|processor.max_cstate=|idle=|nosmt|" \
    "maxcpus=|irqaffinity=|hugepages=|hugepagesz=|default_hugepagesz=|transparent_hugepage=|"    \
    "preempt=|mce=|clocksource=|intel_pstate=|amd_pstate=|cpufreq.default_governor=|"            \
    "numa_balancing=|threadirqs|audit=|irqpoll|nr_cpus="

#define GRUB \
    " to the kernel command line (GRUB_CMDLINE_LINUX in /etc/default/grub; update-grub; reboot)"

static const char *command_line(hl_host *host, hl_host_outcome *ret_outcome)
{
    return hl_host_text_kept(host, ret_outcome, KEPT, "/proc/cmdline");
}

bool hl_kernel_parameter(hl_host *host, const char *name, char *ret_value, size_t size)
{
    const char *line = command_line(host, NULL);
    const size_t length = strlen(name);
    bool found = false;
    for (const char *word = line; word != NULL && *word != '\0';) {
        const size_t bytes = strcspn(word, " \n");
        if (strncmp(word, name, length) == 0 && (bytes == length || word[length] == '=')) {
            const size_t skip = bytes == length ? length : length + 1;
            snprintf(ret_value, size, "%.*s", (int)(bytes - skip), word + skip);
            found = true; /* the last one of a name counts */
        }
        word += bytes + (word[bytes] != '\0');
    }
    return found;
}

/* Finds UNKNOWN when the command line cannot be read. */
static bool no_command_line(const hl_check_look *look, hl_finding *finding)
{
    hl_host_outcome outcome;
    const bool none = command_line(look->host, &outcome) == NULL;
    if (none)
        hl_found_nothing(finding, outcome, "/proc/cmdline");
    return none;
}

/* WARN with those of the hot CPUs that are not in `set`; `what` they are said to be. */
static void find_missing(const hl_check_look *look, hl_finding *finding, const hl_cpu_set *set)
{
    const hl_cpu_set missing = hl_cpu_set_less(&look->hot, set);
    char has[200] = "", lacks[150] = "";
    hl_cpu_set_tell(set, has, sizeof has);
    hl_cpu_set_tell(&missing, lacks, sizeof lacks);
    if (hl_cpu_set_count(&missing) == 0)
        hl_found(finding, HL_CHECK_OK, "%s", has);
    else
        hl_found(finding, HL_CHECK_WARN, "%s; not among them: %s", has, lacks);
}

static void look_isolated(const hl_check_look *look, hl_finding *finding)
{
    if (hl_found_no_hot(look, finding))
        return;
    hl_found_wanted(finding, "%s among them", look->hot_list);
    hl_found_mend(finding, "add isolcpus=managed_irq,domain,%s" GRUB, look->hot_list);
    hl_host_outcome outcome;
    if (hl_host_text(look->host, &outcome, "/sys/devices/system/cpu/isolated") == NULL) {
        hl_found_nothing(finding, outcome, "/sys/devices/system/cpu/isolated");
        return;
    }
    const hl_cpu_set isolated = hl_isolated_cpus(look->host);
    find_missing(look, finding, &isolated);
}

static void look_managed(const hl_check_look *look, hl_finding *finding)
{
    if (hl_found_no_hot(look, finding) || no_command_line(look, finding))
        return;
    char value[256];
    hl_found_mend(finding, "add isolcpus=managed_irq,domain,%s" GRUB, look->hot_list);
    if (!hl_kernel_parameter(look->host, "isolcpus", value, sizeof value))
        hl_found(finding, HL_CHECK_WARN, "no isolcpus");
    else
        hl_found(finding, strstr(value, "managed_irq") != NULL ? HL_CHECK_OK : HL_CHECK_WARN,
                 "isolcpus=%s", value);
}

static void look_nohz_full(const hl_check_look *look, hl_finding *finding)
{
    static const char path[] = "/sys/devices/system/cpu/nohz_full";
    if (hl_found_no_hot(look, finding))
        return;
    hl_found_wanted(finding, "%s among them", look->hot_list);
    hl_found_mend(finding, "add nohz_full=%s" GRUB, look->hot_list);
    hl_host_outcome outcome;
    const char *const text = hl_host_text(look->host, &outcome, path);
    hl_cpu_set set = {{0}};
    if (text == NULL)
        hl_found(finding, outcome == HL_HOST_DENIED ? HL_CHECK_UNKNOWN : HL_CHECK_WARN,
                 outcome == HL_HOST_DENIED ? "no permission to read %s"
                                           : "this kernel has no %s (CONFIG_NO_HZ_FULL)",
                 path);
    else if (strcmp(text, "(null)") == 0 || hl_cpu_set_parse_list(text, &set))
        find_missing(look, finding, &set);
    else
        hl_found(finding, HL_CHECK_UNKNOWN, "%s holds no list: \"%.40s\"", path, text);
}

/* The CPUs whose RCU callbacks run elsewhere: rcu_nocbs, and nohz_full implies it. */
static hl_cpu_set callback_free(hl_host *host, bool *ret_all)
{
    hl_cpu_set set = {{0}}, full = {{0}};
    char value[256];
    *ret_all = false;
    if (hl_kernel_parameter(host, "rcu_nocbs", value, sizeof value)) {
        *ret_all = strcmp(value, "all") == 0;
        hl_cpu_set_parse_list(value, &set);
    }
    hl_host_cpus(host, &full, "/sys/devices/system/cpu/nohz_full");
    return hl_cpu_set_or(&set, &full);
}

static void look_rcu_nocbs(const hl_check_look *look, hl_finding *finding)
{
    if (hl_found_no_hot(look, finding) || no_command_line(look, finding))
        return;
    hl_found_wanted(finding, "%s among them", look->hot_list);
    hl_found_mend(finding, "add rcu_nocbs=%s" GRUB, look->hot_list);
    bool all;
    const hl_cpu_set set = callback_free(look->host, &all);
    if (all)
        hl_found(finding, HL_CHECK_OK, "all");
    else
        find_missing(look, finding, &set);
}

static void look_rcu_nocb_poll(const hl_check_look *look, hl_finding *finding)
{
    if (hl_found_no_hot(look, finding) || no_command_line(look, finding))
        return;
    char value[64];
    bool all;
    const hl_cpu_set set = callback_free(look->host, &all);
    if (!all && hl_cpu_set_count(&set) == 0)
        hl_found(finding, HL_CHECK_NOT_APPLICABLE, "no CPU is free of RCU callbacks");
    else if (hl_kernel_parameter(look->host, "rcu_nocb_poll", value, sizeof value))
        hl_found(finding, HL_CHECK_OK, "present");
    else
        hl_found(finding, HL_CHECK_WARN, "absent");
}

/* Whether the kernel is of that version or a later one; unknown counts as earlier. */
static bool kernel_is_at_least(hl_host *host, unsigned major, unsigned minor)
{
    const char *const release = hl_host_text(host, NULL, "/proc/sys/kernel/osrelease");
    unsigned x = 0, y = 0;
    return release != NULL && sscanf(release, "%u.%u", &x, &y) == 2 &&
           (x > major || (x == major && y >= minor));
}

static void look_rcu_patience(const hl_check_look *look, hl_finding *finding)
{
    if (hl_found_no_hot(look, finding) || no_command_line(look, finding))
        return;
    char value[64];
    hl_cpu_set full = {{0}};
    hl_host_cpus(look->host, &full, "/sys/devices/system/cpu/nohz_full");
    if (hl_cpu_set_count(&full) == 0)
        hl_found(finding, HL_CHECK_NOT_APPLICABLE, "nohz_full is not used");
    else if (!kernel_is_at_least(look->host, 6, 11))
        hl_found(finding, HL_CHECK_NOT_APPLICABLE, "kernels before 6.11 do not have it");
    else if (!hl_kernel_parameter(look->host, "rcutree.nohz_full_patience_delay", value,
                                  sizeof value))
        hl_found(finding, HL_CHECK_WARN, "absent (0 ms)");
    else
        hl_found(finding, atoi(value) >= 1000 ? HL_CHECK_OK : HL_CHECK_WARN, "%s ms", value);
}

static void look_skew_tick(const hl_check_look *look, hl_finding *finding)
{
    char value[64] = "";
    if (hl_found_no_hot(look, finding) || no_command_line(look, finding))
        return;
    const bool there = hl_kernel_parameter(look->host, "skew_tick", value, sizeof value);
    hl_found(finding, strcmp(value, "1") == 0 ? HL_CHECK_OK : HL_CHECK_WARN, "%s",
             there ? value : "absent (0)");
}

static void look_tsc_reliable(const hl_check_look *look, hl_finding *finding)
{
    char value[64];
    const char *const source = hl_host_text(
        look->host, NULL, "/sys/devices/system/clocksource/clocksource0/current_clocksource");
    if (no_command_line(look, finding))
        return;
    if (source == NULL || strcmp(source, "tsc") != 0)
        hl_found(finding, HL_CHECK_NOT_APPLICABLE, "the clock source is not tsc");
    else if (hl_kernel_parameter(look->host, "tsc", value, sizeof value))
        hl_found(finding,
                 strcmp(value, "reliable") == 0 || strcmp(value, "nowatchdog") == 0 ? HL_CHECK_OK
                                                                                    : HL_CHECK_WARN,
                 "tsc=%s", value);
    else
        hl_found(finding, HL_CHECK_WARN, "absent");
}

/* Told, not advised away: who may turn them off, and where, is not for a tuning tool to say. */
static void look_mitigations(const hl_check_look *look, hl_finding *finding)
{
    static const char folder[] = "/sys/devices/system/cpu/vulnerabilities";
    const char *names = hl_host_names(look->host, folder);
    if (names == NULL) {
        hl_found_nothing(finding, HL_HOST_ABSENT, folder);
        return;
    }
    char name[256], vulnerable[160] = "", value[64] = "";
    uint32_t unaffected = 0, mitigated = 0;
    while (hl_host_next_line(&names, name)) {
        const char *const state = hl_host_text(look->host, NULL, "%s/%s", folder, name);
        if (state == NULL)
            continue;
        if (strncmp(state, "Not affected", 12) == 0)
            unaffected++;
        else if (strncmp(state, "Vulnerable", 10) == 0)
            hl_sentence_add_item(vulnerable, sizeof vulnerable, name);
        else
            mitigated++;
    }
    const bool said = hl_kernel_parameter(look->host, "mitigations", value, sizeof value);
    hl_found(finding, HL_CHECK_OK, "%u mitigated, %u do not concern this CPU; vulnerable: %s%s%s",
             mitigated, unaffected, vulnerable[0] != '\0' ? vulnerable : "none",
             said ? "; mitigations=" : "", value);
}

static void look_preemption(const hl_check_look *look, hl_finding *finding)
{
    hl_host_outcome outcome;
    const char *const version = hl_host_text(look->host, &outcome, "/proc/version");
    const char *const realtime = hl_host_text(look->host, NULL, "/sys/kernel/realtime");
    const char *const dynamic = hl_host_text(look->host, NULL, "/sys/kernel/debug/sched/preempt");
    if (version == NULL) {
        hl_found_nothing(finding, outcome, "/proc/version");
        return;
    }
    const char *kind = "PREEMPT_NONE or _VOLUNTARY";
    if (strstr(version, "PREEMPT_RT") != NULL || (realtime != NULL && realtime[0] == '1'))
        kind = "PREEMPT_RT";
    else if (strstr(version, "PREEMPT_DYNAMIC") != NULL)
        kind = "PREEMPT_DYNAMIC";
    else if (strstr(version, "PREEMPT") != NULL)
        kind = "PREEMPT";
    hl_found(finding, HL_CHECK_OK, "%s%s%s", kind, dynamic != NULL ? ", now " : "",
             dynamic != NULL ? dynamic : "");
}

static void look_build(const hl_check_look *look, hl_finding *finding)
{
    const char *const release = hl_host_text(look->host, NULL, "/proc/sys/kernel/osrelease");
    hl_host_outcome outcome = HL_HOST_ABSENT;
    const char *const config =
        release == NULL ? NULL
                        : hl_host_text_kept(look->host, &outcome,
                                            "CONFIG_HZ=|CONFIG_NO_HZ_FULL=|CONFIG_RCU_NOCB_CPU=|"
                                            "CONFIG_CPU_ISOLATION=",
                                            "/boot/config-%s", release);
    if (config == NULL) {
        hl_found_nothing(finding, outcome, "/boot/config of this kernel");
        return;
    }
    char told[200] = "";
    for (const char *at = config; *at != '\0';) {
        const size_t length = strcspn(at, "\n");
        hl_sentence_add(told, sizeof told, "%s%.*s", told[0] == '\0' ? "" : " ",
                        (int)(length > 7 ? length - 7 : 0), at + (length > 7 ? 7 : 0));
        at += length + (at[length] == '\n');
    }
    hl_found(finding, HL_CHECK_OK, "%s", told);
}

static const hl_check checks[] = {
    {"isolated-cpus", "cores kept from the scheduler", "the hot cores",
     "Elsewhere the scheduler may put any other thread of the machine on a hot core: it then "
     "stands still for milliseconds.",
     "", "kernel-parameters.txt (isolcpus); rigtorp.se/low-latency-guide; tuned cpu-partitioning",
     true, look_isolated},
    {"managed-irqs", "managed interrupts kept away", "isolcpus=managed_irq,...",
     "Queues of NVMe disks and many NICs have interrupts whose CPUs nobody can change later; only "
     "this keeps them off isolated cores.",
     "", "kernel-parameters.txt (isolcpus, managed_irq)", true, look_managed},
    {"nohz-full", "no timer tick on hot cores", "the hot cores",
     "The tick interrupts a core CONFIG_HZ (250 to 1,000) times a second for 1 to 10 us.", "",
     "Linux Documentation/timers/no_hz.rst; rigtorp.se/low-latency-guide", true, look_nohz_full},
    {"rcu-nocbs", "no RCU callbacks on hot cores", "the hot cores",
     "RCU callbacks run in a softirq on the core that queued them, hundreds of us at worst.", "",
     "Linux Documentation/admin-guide/kernel-per-CPU-kthreads.rst", true, look_rcu_nocbs},
    {"rcu-nocb-poll", "RCU threads poll", "present",
     "Without it the hot core itself wakes the thread that runs its callbacks.",
     "add rcu_nocb_poll" GRUB, "kernel-parameters.txt; tuned realtime", true, look_rcu_nocb_poll},
    {"rcu-patience", "RCU waits before it disturbs", "1000 (ms)",
     "A grace period interrupts nohz_full cores that run in user space, unless it may wait.",
     "add rcutree.nohz_full_patience_delay=1000" GRUB, "kernel-parameters.txt (6.11 and later)",
     true, look_rcu_patience},
    {"skew-tick", "ticks do not coincide", "1",
     "All cores take their tick at the same moment and then contend for the same locks.",
     "add skew_tick=1" GRUB, "tuned network-latency, realtime", true, look_skew_tick},
    {"tsc-reliable", "TSC trusted", "tsc=reliable or tsc=nowatchdog",
     "A watchdog compares the TSC with a slower clock twice a second, on each core in turn, hot "
     "ones too.",
     "add tsc=reliable" GRUB, "kernel-parameters.txt (tsc); tuned realtime", true,
     look_tsc_reliable},
    {"mitigations", "CPU vulnerabilities", "told, not judged",
     "Mitigations make system calls and context switches slower; hot threads make none while they "
     "spin. Turning them off is a decision about security, not about tuning.",
     "", "Linux Documentation/admin-guide/hw-vuln", true, look_mitigations},
    {"preemption", "preemption model", "told",
     "It decides how long kernel code may keep a woken thread waiting. Spinning threads are not "
     "concerned.",
     "", "Linux kernel/Kconfig.preempt", true, look_preemption},
    {"kernel-build", "what the kernel was built with", "HZ, NO_HZ_FULL and RCU_NOCB_CPU told",
     "nohz_full and rcu_nocbs need kernels built for them.", "",
     "Linux Documentation/timers/no_hz.rst", true, look_build},
};

const hl_check_group hl_checks_kernel = {"kernel", checks, sizeof checks / sizeof checks[0]};
