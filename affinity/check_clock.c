/*
 * Checks of the clock, and of what stands between the program and the hardware.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include "affinity/check_look.h"
#include "affinity/sentence.h"

#define CLOCK_FOLDER "/sys/devices/system/clocksource/clocksource0"

/* Stolen time worth a word, in parts of all time since the machine started. */
#define STEAL_SHARE 1e-5

static void look_source(const hl_check_look *look, hl_finding *finding)
{
    hl_host_outcome outcome;
    const char *const source =
        hl_host_text(look->host, &outcome, CLOCK_FOLDER "/current_clocksource");
    if (source == NULL)
        hl_found_nothing(finding, outcome, CLOCK_FOLDER "/current_clocksource");
    else if (strcmp(source, "tsc") == 0 || strcmp(source, "arch_sys_counter") == 0)
        hl_found(finding, HL_CHECK_OK, "%s", source);
    else if (strcmp(source, "kvm-clock") == 0 || strncmp(source, "hyperv_clocksource", 18) == 0)
        hl_found(finding, HL_CHECK_WARN, "%s", source);
    else
        hl_found(finding, HL_CHECK_FAIL, "%s: each look at the clock is a system call", source);
}

/* The flags of the first CPU, with a blank around each; "" when this is no x86. */
static const char *cpu_flags(hl_host *host, hl_host_outcome *ret_outcome)
{
    const char *const facts = hl_host_text_kept(host, ret_outcome, "flags\t", "/proc/cpuinfo");
    return facts;
}

static bool has_flag(const char *flags, const char *flag)
{
    const size_t length = strlen(flag);
    for (const char *at = flags; (at = strstr(at, flag)) != NULL; at += length)
        if (at > flags && at[-1] == ' ' && strchr(" \n", at[length]) != NULL)
            return true; /* strchr finds the closing zero too */
    return false;
}

static void look_flags(const hl_check_look *look, hl_finding *finding)
{
    hl_host_outcome outcome;
    const char *const flags = cpu_flags(look->host, &outcome);
    if (flags == NULL) {
        hl_found_nothing(finding, outcome, "/proc/cpuinfo");
        return;
    }
    if (flags[0] == '\0') {
        hl_found(finding, HL_CHECK_NOT_APPLICABLE, "no x86: no TSC");
        return;
    }
    static const char *const wanted[] = {"constant_tsc", "nonstop_tsc"};
    char missing[64] = "";
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        if (!has_flag(flags, wanted[i]))
            hl_sentence_add_item(missing, sizeof missing, wanted[i]);
    if (missing[0] == '\0')
        hl_found(finding, HL_CHECK_OK, "constant_tsc nonstop_tsc%s",
                 has_flag(flags, "tsc_known_freq") ? " tsc_known_freq" : "");
    else
        hl_found(finding, HL_CHECK_FAIL, "missing: %s", missing);
}

static void look_synchronised(const hl_check_look *look, hl_finding *finding)
{
    hl_host_outcome outcome;
    const char *const flags = cpu_flags(look->host, NULL);
    const char *const sources =
        hl_host_text(look->host, &outcome, CLOCK_FOLDER "/available_clocksource");
    if (flags != NULL && flags[0] == '\0')
        hl_found(finding, HL_CHECK_NOT_APPLICABLE, "no x86: no TSC");
    else if (sources == NULL)
        hl_found_nothing(finding, outcome, CLOCK_FOLDER "/available_clocksource");
    else if (strncmp(sources, "tsc", 3) == 0 || strstr(sources, " tsc") != NULL)
        hl_found(finding, HL_CHECK_OK, "the kernel offers it: %s", sources);
    else
        hl_found(finding, HL_CHECK_FAIL, "the kernel found it unusable; it offers: %s", sources);
}

static void tell_vdso(void *context, char *text, size_t size)
{
    (void)context;
    snprintf(text, size, "%s", getauxval(AT_SYSINFO_EHDR) != 0 ? "present" : "absent");
}

static void look_vdso(const hl_check_look *look, hl_finding *finding)
{
    const char *const state = hl_host_computed(look->host, "vdso", tell_vdso, NULL);
    if (state == NULL)
        hl_found(finding, HL_CHECK_UNKNOWN, "the capture does not tell");
    else
        hl_found(finding, strcmp(state, "present") == 0 ? HL_CHECK_OK : HL_CHECK_FAIL, "%s", state);
}

static void look_hypervisor(const hl_check_look *look, hl_finding *finding)
{
    hl_host_outcome outcome;
    const char *const flags = cpu_flags(look->host, &outcome);
    if (flags == NULL)
        hl_found_nothing(finding, outcome, "/proc/cpuinfo");
    else
        hl_found(finding, has_flag(flags, "hypervisor") ? HL_CHECK_WARN : HL_CHECK_OK, "%s",
                 has_flag(flags, "hypervisor") ? "a virtual machine" : "no hypervisor");
}

/* The eighth number of "cpu  user nice system idle iowait irq softirq steal", and the sum. */
static bool stolen(const char *statistics, uint64_t *ret_steal, uint64_t *ret_all)
{
    uint64_t t[8];
    if (statistics == NULL || sscanf(statistics,
                                     "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
                                     " %" SCNu64 " %" SCNu64 " %" SCNu64,
                                     &t[0], &t[1], &t[2], &t[3], &t[4], &t[5], &t[6], &t[7]) != 8)
        return false;
    *ret_all = 0;
    for (int i = 0; i < 8; i++)
        *ret_all += t[i];
    *ret_steal = t[7];
    return true;
}

static void look_steal(const hl_check_look *look, hl_finding *finding)
{
    uint64_t steal, all, later_steal = 0, later_all = 0;
    const uint32_t interval_ms = hl_check_interval_ms(look);
    hl_host_outcome outcome;
    if (!stolen(hl_host_text(look->host, &outcome, "/proc/stat"), &steal, &all)) {
        hl_found_nothing(finding, outcome, "/proc/stat");
        return;
    }
    const double share = all > 0 ? (double)steal / (double)all : 0.0;
    uint64_t now = 0;
    if (interval_ms > 0 &&
        stolen(hl_host_text_later(look->host, "/proc/stat"), &later_steal, &later_all) &&
        later_steal > steal)
        now = later_steal - steal;
    hl_found(finding, now > 0 || share > STEAL_SHARE ? HL_CHECK_WARN : HL_CHECK_OK,
             "%.4f %% since start%s", 100.0 * share,
             interval_ms == 0 ? ""
             : now > 0        ? ", and some in the last moment"
                              : ", none in the last moment");
}

static void look_container(const hl_check_look *look, hl_finding *finding)
{
    const char *const release = hl_host_text(look->host, NULL, "/proc/sys/kernel/osrelease");
    hl_host_outcome docker, podman;
    hl_host_text_kept(look->host, &docker, "nothing", "/.dockerenv");
    hl_host_text_kept(look->host, &podman, "nothing", "/run/.containerenv");
    if (release != NULL && (strstr(release, "icrosoft") != NULL))
        hl_found(finding, HL_CHECK_WARN, "WSL, kernel %s", release);
    else if (docker == HL_HOST_READ || podman == HL_HOST_READ)
        hl_found(finding, HL_CHECK_OK, "a container: limits are its own, settings the host's");
    else
        hl_found(finding, HL_CHECK_OK, "no container seen");
}

static const hl_check checks[] = {
    {"clocksource", "clock source", "tsc",
     "Any other makes clock_gettime slower, and hpet or acpi_pm a system call of 1 us and more.",
     "echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource; dmesg says why "
     "it was given up",
     "Linux Documentation/virt/kvm/x86/timekeeping.rst", true, look_source},
    {"tsc-flags", "TSC of constant rate", "constant_tsc nonstop_tsc",
     "Without them the TSC changes its pace with the frequency or stops in idle states: times are "
     "wrong.",
     "use another machine, or have the hypervisor pass the flags on (invtsc)",
     "Intel SDM vol. 3, 18.17 (invariant TSC)", true, look_flags},
    {"tsc-sync", "TSCs agree", "the kernel offers tsc",
     "The kernel withdraws the TSC when two cores' differ: a later event could have an earlier "
     "time.",
     "update the firmware; dmesg | grep -i tsc", "Linux arch/x86/kernel/tsc_sync.c", true,
     look_synchronised},
    {"vdso", "clock without system call", "present",
     "Without it each clock_gettime enters the kernel: 100 ns and more.",
     "remove vdso=0 from the kernel command line", "vdso(7)", true, look_vdso},
    {"hypervisor", "virtual machine", "no hypervisor",
     "The host may stop any CPU of a guest for milliseconds, and the guest cannot see it.",
     "use bare metal, or pinned vCPUs on dedicated cores", "rigtorp.se/low-latency-guide", true,
     look_hypervisor},
    {"steal", "stolen time", "0",
     "Time in which a CPU of this guest had work and the host ran something else.",
     "pin the vCPUs on the host, one to a core", "proc(5), /proc/stat", true, look_steal},
    {"container", "container", "told", "A container sees settings that only its host can change.",
     "", "Linux namespaces(7)", true, look_container},
};

const hl_check_group hl_checks_clock = {"clock and virtualisation", checks,
                                        sizeof checks / sizeof checks[0]};
