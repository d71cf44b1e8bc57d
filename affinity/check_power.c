/*
 * Checks of frequency and idle states.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "affinity/check_look.h"
#include "affinity/sentence.h"

#define CPU_FOLDER "/sys/devices/system/cpu"

/* Waking from C1 takes 1 to 2 us; from C6, 50 to 200. */
#define IDLE_LATENCY_US 5

/* The CPUs whose speed matters: those of hot cores, or, without any, all that we may use. */
static hl_cpu_set concerned(const hl_check_look *look)
{
    return look->has_hot ? look->hot_threads : look->cold;
}

/* OK when the file of each concerned CPU holds a wanted word; tells the others, and where. */
static void look_words(const hl_check_look *look, hl_finding *finding, const char *file,
                       const char *wanted, const char *otherwise)
{
    const hl_cpu_set cpus = concerned(look);
    hl_cpu_set bad = {{0}};
    const char *word = NULL;
    hl_host_outcome outcome = HL_HOST_ABSENT;
    for (uint32_t i = 0; i < look->topology->cpu_count; i++) {
        const uint32_t cpu = look->topology->cpus[i].os_index;
        if (!hl_cpu_set_has(&cpus, cpu))
            continue;
        const char *const text =
            hl_host_text(look->host, &outcome, CPU_FOLDER "/cpu%u/%s", cpu, file);
        if (text == NULL)
            continue;
        if (strcmp(text, wanted) != 0)
            hl_cpu_set_add(&bad, cpu);
        if (word == NULL || strcmp(text, wanted) != 0)
            word = text;
    }
    char list[200] = "";
    hl_cpu_set_tell(&bad, list, sizeof list);
    if (word == NULL && outcome == HL_HOST_DENIED)
        hl_found(finding, HL_CHECK_UNKNOWN, "no permission to read " CPU_FOLDER "/cpu*/%s", file);
    else if (word == NULL)
        hl_found(finding, HL_CHECK_NOT_APPLICABLE, "%s", otherwise);
    else if (hl_cpu_set_count(&bad) == 0)
        hl_found(finding, HL_CHECK_OK, "%s", word);
    else
        hl_found(finding, HL_CHECK_WARN, "%.60s on CPU %s", word, list);
}

static void look_governor(const hl_check_look *look, hl_finding *finding)
{
    look_words(look, finding, "cpufreq/scaling_governor", "performance",
               "no cpufreq: a virtual machine, or the firmware decides");
}

static void look_epp(const hl_check_look *look, hl_finding *finding)
{
    look_words(look, finding, "cpufreq/energy_performance_preference", "performance",
               "this driver has no such preference");
}

static void look_epb(const hl_check_look *look, hl_finding *finding)
{
    look_words(look, finding, "power/energy_perf_bias", "0", "this CPU has no such bias");
}

/* N/A where the file is not there: the driver or the firmware has no such setting. */
static void look_optional_number(const hl_check_look *look, hl_finding *finding, const char *path,
                                 int64_t lowest, int64_t highest)
{
    hl_host_outcome outcome;
    if (hl_host_text(look->host, &outcome, "%s", path) == NULL && outcome == HL_HOST_ABSENT)
        hl_found(finding, HL_CHECK_NOT_APPLICABLE, "there is no %s", path);
    else
        hl_found_number(look, finding, path, lowest, highest);
}

static void look_minimum(const hl_check_look *look, hl_finding *finding)
{
    look_optional_number(look, finding, CPU_FOLDER "/intel_pstate/min_perf_pct", 100, 100);
}

static void look_driver(const hl_check_look *look, hl_finding *finding)
{
    const hl_cpu_set cpus = concerned(look);
    for (uint32_t i = 0; i < look->topology->cpu_count; i++) {
        const uint32_t cpu = look->topology->cpus[i].os_index;
        const char *const driver =
            hl_host_text(look->host, NULL, CPU_FOLDER "/cpu%u/cpufreq/scaling_driver", cpu);
        int64_t lowest = 0, highest = 0;
        if (!hl_cpu_set_has(&cpus, cpu) || driver == NULL)
            continue;
        hl_host_number(look->host, &lowest, CPU_FOLDER "/cpu%u/cpufreq/scaling_min_freq", cpu);
        hl_host_number(look->host, &highest, CPU_FOLDER "/cpu%u/cpufreq/scaling_max_freq", cpu);
        hl_found(finding, HL_CHECK_OK, "%s, CPU %u: %.2f to %.2f GHz", driver, cpu,
                 (double)lowest / 1e6, (double)highest / 1e6);
        return;
    }
    hl_found(finding, HL_CHECK_NOT_APPLICABLE, "no cpufreq");
}

static void look_boost(const hl_check_look *look, hl_finding *finding)
{
    int64_t value;
    if (hl_host_number(look->host, &value, CPU_FOLDER "/intel_pstate/no_turbo"))
        hl_found(finding, HL_CHECK_OK, "%s (no_turbo %d)", value == 0 ? "on" : "off", (int)value);
    else if (hl_host_number(look->host, &value, CPU_FOLDER "/cpufreq/boost"))
        hl_found(finding, HL_CHECK_OK, "%s", value != 0 ? "on" : "off");
    else
        hl_found(finding, HL_CHECK_NOT_APPLICABLE, "the kernel does not control it");
}

static void look_profile(const hl_check_look *look, hl_finding *finding)
{
    const char *const profile =
        hl_host_text(look->host, NULL, "/sys/firmware/acpi/platform_profile");
    if (profile == NULL)
        hl_found(finding, HL_CHECK_NOT_APPLICABLE, "the firmware has no profiles");
    else
        hl_found(finding, strcmp(profile, "performance") == 0 ? HL_CHECK_OK : HL_CHECK_WARN, "%s",
                 profile);
}

/* ---- idle states ---------------------------------------------------------------------------- */

/* Someone may hold the file open with a limit; opening it for reading sets none. It is a binary
 * 32-bit number, read by whoever may. */
static void tell_latency_limit(void *context, char *text, size_t size)
{
    (void)context;
    const int file = open("/dev/cpu_dma_latency", O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return;
    int32_t limit_us;
    if (read(file, &limit_us, sizeof limit_us) == (ssize_t)sizeof limit_us)
        snprintf(text, size, "%d", limit_us);
    close(file);
}

/* The slowest idle state that CPU may still enter: its latency, -1 for none; its name. */
static int64_t slowest_idle_us(hl_host *host, uint32_t cpu, int64_t limit_us, char ret_name[32])
{
    const char *names = hl_host_names(host, CPU_FOLDER "/cpu%u/cpuidle", cpu);
    int64_t slowest = -1;
    char state[256];
    while (hl_host_next_line(&names, state)) {
        int64_t latency_us, disabled = 0;
        if (!hl_host_number(host, &latency_us, CPU_FOLDER "/cpu%u/cpuidle/%s/latency", cpu, state))
            continue;
        hl_host_number(host, &disabled, CPU_FOLDER "/cpu%u/cpuidle/%s/disable", cpu, state);
        if (disabled != 0 || latency_us <= slowest || (limit_us >= 0 && latency_us > limit_us))
            continue;
        slowest = latency_us;
        const char *const name =
            hl_host_text(host, NULL, CPU_FOLDER "/cpu%u/cpuidle/%s/name", cpu, state);
        snprintf(ret_name, 32, "%.31s", name != NULL ? name : state);
    }
    return slowest;
}

static void look_idle(const hl_check_look *look, hl_finding *finding)
{
    const char *const held =
        hl_host_computed(look->host, "cpu_dma_latency", tell_latency_limit, NULL);
    const int64_t limit_us = held != NULL ? atoll(held) : -1;
    const hl_cpu_set cpus = concerned(look);
    hl_cpu_set bad = {{0}};
    int64_t worst = -1;
    char name[32] = "", worst_name[32] = "";
    for (uint32_t i = 0; i < look->topology->cpu_count; i++) {
        const uint32_t cpu = look->topology->cpus[i].os_index;
        if (!hl_cpu_set_has(&cpus, cpu))
            continue;
        const int64_t slowest = slowest_idle_us(look->host, cpu, limit_us, name);
        if (slowest > IDLE_LATENCY_US)
            hl_cpu_set_add(&bad, cpu);
        if (slowest > worst) {
            worst = slowest;
            snprintf(worst_name, sizeof worst_name, "%s", name);
        }
    }
    char list[200] = "";
    hl_cpu_set_tell(&bad, list, sizeof list);
    if (worst < 0)
        hl_found(finding, HL_CHECK_NOT_APPLICABLE, "no cpuidle: a virtual machine, or idle=poll");
    else if (hl_cpu_set_count(&bad) == 0)
        hl_found(finding, HL_CHECK_OK, "at most %s, %lld us", worst_name, (long long)worst);
    else
        hl_found(finding, HL_CHECK_WARN, "%s, %lld us, on CPU %s", worst_name, (long long)worst,
                 list);
}

static const hl_check checks[] = {
    {"governor", "frequency governor", "performance",
     "Any other lets a core slow down while it waits, and then start slow: up to 10 ms until full "
     "speed.",
     "cpupower frequency-set -g performance (or tuned-adm profile latency-performance)",
     "Linux Documentation/admin-guide/pm/cpufreq.rst; tuned latency-performance", true,
     look_governor},
    {"epp", "energy and performance preference", "performance",
     "With hardware-managed frequency (HWP, CPPC) this decides, not the governor.",
     "echo performance | tee /sys/devices/system/cpu/cpu*/cpufreq/energy_performance_preference",
     "Linux Documentation/admin-guide/pm/intel_pstate.rst, amd-pstate.rst", true, look_epp},
    {"energy-bias", "energy bias", "0 (performance)",
     "A hint to the CPU to save energy at the price of speed.", "cpupower set --perf-bias 0",
     "Linux Documentation/admin-guide/pm/intel_epb.rst", true, look_epb},
    {"min-perf", "lowest frequency", "100 (per cent)",
     "Below it the core may slow down between events.",
     "echo 100 > /sys/devices/system/cpu/intel_pstate/min_perf_pct",
     "tuned latency-performance; intel_pstate.rst", true, look_minimum},
    {"frequency-driver", "frequency driver", "told", "Who decides the frequency, and its range.",
     "", "Linux Documentation/admin-guide/pm/cpufreq.rst", true, look_driver},
    {"boost", "turbo", "told",
     "On: faster, but the speed depends on how many cores are busy. Off: slower, and the same "
     "always. Measure both.",
     "", "rigtorp.se/low-latency-guide", true, look_boost},
    {"platform-profile", "firmware profile", "performance",
     "The firmware's own limit on power and fans.",
     "echo performance > /sys/firmware/acpi/platform_profile",
     "Linux Documentation/userspace-api/sysfs-platform_profile.rst", true, look_profile},
    {"c-states", "deepest idle state", "C1, at most 5 us to wake",
     "A core that sleeps deeper needs 50 to 200 us to wake: what parks there is that much late, "
     "and the package's clocks slow down with it.",
     "hold /dev/cpu_dma_latency open at 0 (tuned-adm profile latency-performance), or "
     "cpupower idle-set -D 5, or intel_idle.max_cstate=1 processor.max_cstate=1 on the kernel "
     "command line",
     "Linux Documentation/admin-guide/pm/cpuidle.rst; tuned latency-performance", true, look_idle},
};

const hl_check_group hl_checks_power = {"frequency and idle", checks,
                                        sizeof checks / sizeof checks[0]};
