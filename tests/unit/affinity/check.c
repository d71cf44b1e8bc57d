/*
 * Each check on a captured host: one of 24 cores that is set up as it should be, of which one thing
 * at a time is spoilt.
 */
#include "affinity/check.h"

#include "captured.h"
#include "machines.h"

#define HOT "2-7"

static const hl_thread_request pipeline[] = {
    {"market_data", HL_ROLE_PARTITION, "market_data", 1, "signal", HL_WAIT_AUTO},
    {"signal", HL_ROLE_PARTITION, "signal", 2, "order", HL_WAIT_AUTO},
    {"order", HL_ROLE_PARTITION, "order", 0, "fill, system", HL_WAIT_AUTO},
    {"fill", HL_ROLE_PARTITION, "fill", 0, "account", HL_WAIT_AUTO},
    {"account", HL_ROLE_PARTITION, "account", 3, NULL, HL_WAIT_AUTO},
    {"system", HL_ROLE_PARTITION, "system", 4, NULL, HL_WAIT_AUTO},
    {"housekeeping", HL_ROLE_HOUSEKEEPER, NULL, 0, NULL, HL_WAIT_AUTO}};
static const uint64_t ring_bytes[7] = {8 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20, 0};

/* Two packages and nodes of 12 cores; CPUs 2-7 isolated, as the plan then uses them. */
#define MACHINE "pack:2 [numa] l3:1 core:12 pu:1"

static const char *const good_host[][2] = {
    {"/proc/cmdline",
     "root=/dev/sda1 isolcpus=managed_irq,domain,2-7 nohz_full=2-7 rcu_nocbs=2-7 rcu_nocb_poll "
     "rcutree.nohz_full_patience_delay=1000 skew_tick=1 tsc=reliable nosoftlockup\n"},
    {"/sys/devices/system/cpu/isolated", HOT "\n"},
    {"/sys/devices/system/cpu/nohz_full", HOT "\n"},
    {"/proc/sys/kernel/osrelease", "6.12.1\n"},
    {"/proc/version", "Linux version 6.12.1 #1 SMP PREEMPT_DYNAMIC\n"},
    {"/boot/config-6.12.1", "CONFIG_HZ=250\nCONFIG_NO_HZ_FULL=y\nCONFIG_SECRET=y\n"},
    {"/sys/devices/system/cpu/vulnerabilities/meltdown", "Not affected\n"},
    {"/sys/devices/system/cpu/vulnerabilities/spectre_v2", "Mitigation: Retpolines\n"},
    {"/proc/interrupts",
     "           CPU0       CPU2       CPU3\n"
     "  33:        100          0          0  PCI-MSI 524288-edge      eth0-rx-0\n"
     " LOC:       1000          5          5   Local timer interrupts\n"},
    {"/hotlane/later/proc/interrupts",
     "           CPU0       CPU2       CPU3\n"
     "  33:        300          0          0  PCI-MSI 524288-edge      eth0-rx-0\n"
     " LOC:       1250          6          5   Local timer interrupts\n"},
    {"/hotlane/interval_ms", "1000\n"},
    {"/proc/irq/33/effective_affinity_list", "0\n"},
    {"/proc/irq/33/smp_affinity_list", "0-1,8-23\n"},
    {"/proc/irq/default_smp_affinity", "ffff03\n"},
    {"/sys/devices/virtual/workqueue/cpumask", "ffff03\n"},
    {"/sys/bus/workqueue/devices/writeback/cpumask", "ffff03\n"},
    {"/proc/self/cgroup", "0::/gateway\n"},
    {"/sys/fs/cgroup/gateway/cpuset.cpus.partition", "isolated\n"},
    {"/sys/fs/cgroup/gateway/cpu.max", "max 100000\n"},
    {"/sys/fs/cgroup/gateway/cpu.stat", "usage_usec 1\nnr_periods 0\nnr_throttled 0\n"},
    {"/sys/fs/cgroup/gateway/hugetlb.2MB.max", "max\n"},
    {"/etc/systemd/system.conf", "#CPUAffinity=\n[Manager]\nCPUAffinity=0-1 8-23\n"},
    {"/etc/systemd/logind.conf", "RemoveIPC=no\n"},
    {"/sys/devices/system/cpu/intel_pstate/min_perf_pct", "100\n"},
    {"/sys/devices/system/cpu/intel_pstate/no_turbo", "0\n"},
    {"/sys/firmware/acpi/platform_profile", "performance\n"},
    {"/hotlane/cpu_dma_latency", "2000000000\n"},
    {"/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"},
    {"/sys/kernel/mm/transparent_hugepage/defrag", "always defer [madvise] never\n"},
    {"/sys/kernel/mm/transparent_hugepage/khugepaged/defrag", "0\n"},
    {"/sys/kernel/mm/ksm/run", "0\n"},
    {"/sys/devices/system/node/node0/hugepages/hugepages-2048kB/free_hugepages", "512\n"},
    {"/sys/devices/system/node/node0/meminfo", "Node 0 MemFree:  8388608 kB\n"},
    {"/proc/sys/kernel/numa_balancing", "0\n"},
    {"/proc/swaps", "Filename Type Size Used Priority\n/dev/sdb partition 1 0 -2\n"},
    {"/proc/sys/vm/swappiness", "1\n"},
    {"/proc/self/status",
     "Name:\thotlane\nUid:\t1000\t1000\nCapEff:\t0000000000000000\nCpus_allowed_list:\t0-23\n"
     "Mems_allowed_list:\t0-1\n"},
    {"/proc/self/limits",
     "Limit                     Soft Limit           Hard Limit           Units\n"
     "Max locked memory         unlimited            unlimited            bytes\n"
     "Max realtime priority     0                    0\n"},
    {"/hotlane/filesystem/dev/shm", "tmpfs 1024 1000\n"},
    {"/hotlane/filesystem/tmp", "ext4 100000 50000\n"},
    {"/proc/sys/kernel/sched_rt_runtime_us", "950000\n"},
    {"/proc/sys/kernel/watchdog", "0\n"},
    {"/proc/sys/kernel/nmi_watchdog", "0\n"},
    {"/proc/sys/kernel/hung_task_timeout_secs", "600\n"},
    {"/proc/sys/kernel/timer_migration", "0\n"},
    {"/proc/sys/vm/stat_interval", "10\n"},
    {"/sys/devices/system/machinecheck/machinecheck0/check_interval", "0\n"},
    {"/sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n"},
    {"/sys/devices/system/clocksource/clocksource0/available_clocksource", "tsc hpet acpi_pm\n"},
    {"/proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu constant_tsc nonstop_tsc avx\n"},
    {"/hotlane/vdso", "present\n"},
    {"/proc/stat", "cpu  1 0 1 1000 0 0 0 0 0 0\ncpu0 0 0 0 0 0 0 0 0 0 0\n"},
    {"/hotlane/later/proc/stat", "cpu  2 0 1 2000 0 0 0 0 0 0\n"},
    {"/sys/class/net/eth0/queues/rx-0/rps_cpus", "000000\n"},
    {"/sys/class/net/eth0/queues/tx-0/xps_cpus", "000003\n"},
    {"/proc/sys/net/core/busy_poll", "50\n"},
    {"/proc/sys/net/core/busy_read", "50\n"},
};

static void make_good_host(void)
{
    captured_make();
    for (size_t i = 0; i < sizeof good_host / sizeof good_host[0]; i++)
        captured_write(good_host[i][0], good_host[i][1]);
    static const char *const of_cpus[][2] = {
        {"cpufreq/scaling_governor", "performance\n"},
        {"cpufreq/scaling_driver", "intel_pstate\n"},
        {"cpufreq/scaling_min_freq", "3200000\n"},
        {"cpufreq/scaling_max_freq", "4200000\n"},
        {"cpufreq/energy_performance_preference", "performance\n"},
        {"power/energy_perf_bias", "0\n"},
        {"cpuidle/state0/name", "POLL\n"},
        {"cpuidle/state0/latency", "0\n"},
        {"cpuidle/state0/disable", "0\n"},
        {"cpuidle/state2/name", "C6\n"},
        {"cpuidle/state2/latency", "133\n"},
        {"cpuidle/state2/disable", "1\n"}};
    for (uint32_t cpu = 0; cpu < 24; cpu++)
        for (size_t i = 0; i < sizeof of_cpus / sizeof of_cpus[0]; i++) {
            char path[128];
            snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%u/%s", cpu, of_cpus[i][0]);
            captured_write(path, of_cpus[i][1]);
        }
}

TestSuite(check, .init = make_good_host, .fini = captured_unmake);

/* One look at the captured host. */
typedef struct look {
    hl_host *host;
    hl_topology *topology;
    hl_plan *plan;
    hl_finding *findings;
    uint32_t count;
} look;

static look look_at(const char *description, const char *lcores, int pid)
{
    look at = {.host = captured_open()};
    hl_error error = {0};
    const hl_topology_source source = {.synthetic = description, .host = at.host};
    cr_assert_eq(hl_topology_load(&source, &at.topology, &error), HL_OK, "%s", error.text);
    const hl_plan_request request = {pipeline, 7, lcores, NULL, 0};
    cr_assert_eq(hl_plan_make(at.topology, &request, &at.plan, &error), HL_OK, "%s", error.text);
    hl_checks_wait(at.host, pid, 1000);
    const hl_check_input input = {.topology = at.topology,
                                  .plan = at.plan,
                                  .host = at.host,
                                  .pid = pid,
                                  .wants_huge_pages = true,
                                  .wants_locked_memory = true,
                                  .ring_bytes = ring_bytes};
    cr_assert_eq(hl_checks_run(&input, &at.findings, &at.count, &error), HL_OK);
    return at;
}

static void give_back(look *at)
{
    free(at->findings);
    hl_plan_free(at->plan);
    hl_topology_free(at->topology);
    hl_host_close(at->host);
}

static const hl_finding *finding(const look *at, const char *id)
{
    for (uint32_t i = 0; i < at->count; i++)
        if (strcmp(at->findings[i].check->id, id) == 0)
            return &at->findings[i];
    cr_assert_fail("there is no check %s", id);
    return NULL;
}

Test(check, a_host_that_is_set_up_well_gets_no_warning)
{
    look at = look_at(MACHINE, NULL, 0);
    cr_assert_gt(at.count, 0);
    for (uint32_t i = 0; i < at.count; i++) {
        const hl_finding *const found = &at.findings[i];
        cr_expect(found->status == HL_CHECK_OK || found->status == HL_CHECK_NOT_APPLICABLE,
                  "%s: %s: %s", found->check->id, hl_check_status_name(found->status),
                  found->value);
        cr_expect_str_neq(found->value, "", "%s", found->check->id);
    }
    for (uint32_t i = 0; i < at.plan->thread_count; i++)
        if (hl_thread_role_is_hot(at.plan->threads[i].role))
            cr_expect(at.plan->threads[i].cpu >= 2 && at.plan->threads[i].cpu <= 7,
                      "%s is not on an isolated CPU but on %d", at.plan->threads[i].name,
                      at.plan->threads[i].cpu);
    give_back(&at);
}

/* What is spoilt, the check that must see it, with which status and words. */
typedef struct spoilt {
    const char *path, *text; /* text NULL: the file is removed */
    const char *id;
    hl_check_status status;
    const char *words;
} spoilt;

static const spoilt cases[] = {
    {"/sys/devices/system/cpu/isolated", "2-6\n", "isolated-cpus", HL_CHECK_WARN,
     "not among them:"},
    {"/sys/devices/system/cpu/isolated", NULL, "isolated-cpus", HL_CHECK_UNKNOWN, "there is no"},
    {"/proc/cmdline", "isolcpus=2-7\n", "managed-irqs", HL_CHECK_WARN, "isolcpus=2-7"},
    {"/proc/cmdline", "quiet\n", "managed-irqs", HL_CHECK_WARN, "no isolcpus"},
    {"/proc/cmdline", NULL, "managed-irqs", HL_CHECK_UNKNOWN, "there is no /proc/cmdline"},
    {"/sys/devices/system/cpu/nohz_full", "(null)\n", "nohz-full", HL_CHECK_WARN, "none"},
    {"/sys/devices/system/cpu/nohz_full", NULL, "nohz-full", HL_CHECK_WARN, "CONFIG_NO_HZ_FULL"},
    {"/sys/devices/system/cpu/nohz_full", "2-3\n", "nohz-full", HL_CHECK_WARN, "4-7"},
    {"/proc/cmdline", "rcu_nocbs=all\n", "rcu-nocb-poll", HL_CHECK_WARN, "absent"},
    {"/proc/cmdline", "quiet\n", "rcu-patience", HL_CHECK_WARN, "absent"},
    {"/proc/sys/kernel/osrelease", "6.1.0\n", "rcu-patience", HL_CHECK_NOT_APPLICABLE, "6.11"},
    {"/proc/cmdline", "skew_tick=0\n", "skew-tick", HL_CHECK_WARN, "0"},
    {"/proc/cmdline", "tsc=unstable\n", "tsc-reliable", HL_CHECK_WARN, "tsc=unstable"},
    {"/proc/irq/33/effective_affinity_list", "5\n", "irq-affinity", HL_CHECK_WARN,
     "33 (eth0-rx-0) on 5"},
    {"/hotlane/later/proc/interrupts",
     "           CPU0       CPU2       CPU3\n"
     "  33:        300        900          0  PCI-MSI 524288-edge      eth0-rx-0\n"
     " LOC:       1250          6          5   Local timer interrupts\n",
     "irq-count", HL_CHECK_WARN, "33 (eth0-rx-0) 900"},
    {"/hotlane/interval_ms", NULL, "irq-count", HL_CHECK_UNKNOWN, "not counted"},
    {"/proc/irq/default_smp_affinity", "ffffff\n", "irq-default", HL_CHECK_WARN, "0-23"},
    {"/sys/devices/virtual/workqueue/cpumask", "ffffff\n", "workqueues", HL_CHECK_WARN, "0-23"},
    {"/sys/bus/workqueue/devices/writeback/cpumask", "4\n", "writeback", HL_CHECK_WARN, "2"},
    {"/sys/fs/cgroup/gateway/cpu.max", "400000 100000\n", "cpu-quota", HL_CHECK_FAIL,
     "4.00 CPUs, and 6 threads spin"},
    {"/sys/fs/cgroup/gateway/cpu.max", "400000 100000\n", "plan", HL_CHECK_FAIL, "quota"},
    {"/sys/fs/cgroup/gateway/cpu.stat", "nr_throttled 7\n", "throttled", HL_CHECK_WARN, "7"},
    {"/sys/devices/system/cpu/cpu4/cpufreq/scaling_governor", "powersave\n", "governor",
     HL_CHECK_WARN, "powersave on CPU 4"},
    {"/sys/devices/system/cpu/cpu3/cpufreq/energy_performance_preference", "balance_power\n", "epp",
     HL_CHECK_WARN, "balance_power on CPU 3"},
    {"/sys/devices/system/cpu/cpu2/power/energy_perf_bias", "6\n", "energy-bias", HL_CHECK_WARN,
     "6 on CPU 2"},
    {"/sys/devices/system/cpu/intel_pstate/min_perf_pct", "30\n", "min-perf", HL_CHECK_WARN, "30"},
    {"/sys/firmware/acpi/platform_profile", "quiet\n", "platform-profile", HL_CHECK_WARN, "quiet"},
    {"/sys/devices/system/cpu/cpu6/cpuidle/state2/disable", "0\n", "c-states", HL_CHECK_WARN,
     "C6, 133 us, on CPU 6"},
    {"/sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n", "thp",
     HL_CHECK_WARN, "always"},
    {"/sys/kernel/mm/transparent_hugepage/enabled", NULL, "thp", HL_CHECK_NOT_APPLICABLE, "no"},
    {"/sys/kernel/mm/transparent_hugepage/defrag", "[always] never\n", "thp-defrag", HL_CHECK_WARN,
     "always"},
    {"/sys/kernel/mm/transparent_hugepage/khugepaged/defrag", "1\n", "khugepaged", HL_CHECK_WARN,
     "1"},
    {"/sys/kernel/mm/ksm/run", "1\n", "ksm", HL_CHECK_WARN, "1"},
    {"/sys/devices/system/node/node0/hugepages/hugepages-2048kB/free_hugepages", "3\n",
     "huge-pages", HL_CHECK_WARN, "node 0: 3 free of 7 wanted"},
    {"/sys/devices/system/node/node0/hugepages/hugepages-2048kB/free_hugepages", NULL, "huge-pages",
     HL_CHECK_UNKNOWN, "no 2 MiB pages"},
    {"/sys/fs/cgroup/gateway/hugetlb.2MB.max", "2097152\n", "hugetlb-limit", HL_CHECK_WARN,
     "2 MiB, 14 wanted"},
    {"/sys/devices/system/node/node0/meminfo", "Node 0 MemFree:  1024 kB\n", "node-memory",
     HL_CHECK_WARN, "1 MiB free"},
    {"/proc/sys/kernel/numa_balancing", "1\n", "numa-balancing", HL_CHECK_WARN, "1"},
    {"/proc/sys/vm/swappiness", "60\n", "swap", HL_CHECK_WARN, "60"},
    {"/proc/swaps", "Filename Type Size Used Priority\n", "swap", HL_CHECK_OK, "there is no swap"},
    {"/proc/self/limits", "Max locked memory         8388608  8388608  bytes\n", "memlock",
     HL_CHECK_WARN, "8.0 MiB; the rings take about 13.0 MiB"},
    {"/proc/self/limits", NULL, "memlock", HL_CHECK_UNKNOWN, "there is no /proc/self/limits"},
    {"/hotlane/filesystem/dev/shm", "tmpfs 64 1\n", "shm", HL_CHECK_WARN, "1 MiB free of 64"},
    {"/etc/systemd/logind.conf", "#RemoveIPC=no\n", "remove-ipc", HL_CHECK_WARN, "yes (default)"},
    {"/proc/self/limits", "Max realtime priority     99    99\n", "rt-throttling", HL_CHECK_WARN,
     "stopped 50000 us in every 1000000"},
    {"/proc/sys/kernel/sched_rt_runtime_us", "-1\n", "rt-throttling", HL_CHECK_OK, "never"},
    {"/proc/sys/kernel/watchdog", "1\n", "watchdog", HL_CHECK_WARN, "1"},
    {"/proc/sys/kernel/watchdog", "much\n", "watchdog", HL_CHECK_UNKNOWN, "holds no number"},
    {"/proc/sys/kernel/nmi_watchdog", "1\n", "nmi-watchdog", HL_CHECK_WARN, "1"},
    {"/proc/cmdline", "quiet\n", "soft-lockup", HL_CHECK_UNKNOWN, "there is no"},
    {"/proc/sys/kernel/hung_task_timeout_secs", "120\n", "hung-tasks", HL_CHECK_WARN, "120 s"},
    {"/proc/sys/kernel/timer_migration", "1\n", "timer-migration", HL_CHECK_WARN, "1"},
    {"/proc/sys/vm/stat_interval", "1\n", "stat-interval", HL_CHECK_WARN, "1"},
    {"/sys/devices/system/machinecheck/machinecheck0/check_interval", "12c\n", "machine-checks",
     HL_CHECK_WARN, "every 300 s"},
    {"/sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet\n", "clocksource",
     HL_CHECK_FAIL, "hpet"},
    {"/sys/devices/system/clocksource/clocksource0/current_clocksource", "kvm-clock\n",
     "clocksource", HL_CHECK_WARN, "kvm-clock"},
    {"/sys/devices/system/clocksource/clocksource0/available_clocksource", "hpet\n", "tsc-sync",
     HL_CHECK_FAIL, "hpet"},
    {"/proc/cpuinfo", "flags\t\t: fpu constant_tsc\n", "tsc-flags", HL_CHECK_FAIL, "nonstop_tsc"},
    {"/proc/cpuinfo", "Features\t: fp\n", "tsc-flags", HL_CHECK_NOT_APPLICABLE, "no x86"},
    {"/proc/cpuinfo", "flags\t\t: fpu hypervisor\n", "hypervisor", HL_CHECK_WARN, "virtual"},
    {"/hotlane/vdso", "absent\n", "vdso", HL_CHECK_FAIL, "absent"},
    {"/hotlane/later/proc/stat", "cpu  2 0 1 2000 0 0 0 9 0 0\n", "steal", HL_CHECK_WARN,
     "some in the last moment"},
    {"/proc/sys/kernel/osrelease", "5.15-microsoft-WSL2\n", "container", HL_CHECK_WARN, "WSL"},
    {"/.dockerenv", "", "container", HL_CHECK_OK, "a container"},
    {"/sys/class/net/eth0/queues/rx-0/rps_cpus", "0000ff\n", "packet-steering", HL_CHECK_WARN,
     "eth0 rx-0"},
};

Test(check, each_thing_that_is_spoilt_is_seen_by_its_check)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const spoilt *const this = &cases[i];
        char *const before = captured_read(this->path);
        if (this->text != NULL)
            captured_write(this->path, this->text);
        else
            captured_remove(this->path);
        look at = look_at(MACHINE, "(market_data,signal,order,fill,account,system)@(2-7)", 0);
        const hl_finding *const found = finding(&at, this->id);
        cr_expect_eq(found->status, this->status, "%s with \"%s\": %s: %s", this->id, this->text,
                     hl_check_status_name(found->status), found->value);
        cr_expect_not_null(strstr(found->value, this->words), "%s: \"%s\" lacks \"%s\"", this->id,
                           found->value, this->words);
        give_back(&at);
        if (before != NULL)
            captured_write(this->path, before);
        else
            captured_remove(this->path);
        free(before);
    }
}

Test(check, commands_name_this_machines_cpus)
{
    captured_write("/proc/cmdline", "quiet\n");
    captured_write("/sys/devices/system/cpu/isolated", "\n");
    captured_write("/proc/irq/default_smp_affinity", "ffffff\n");
    look at = look_at(MACHINE, "(market_data,signal,order,fill,account,system)@(2-7)", 0);
    cr_expect_not_null(
        strstr(finding(&at, "isolated-cpus")->mend, "isolcpus=managed_irq,domain,2-7"));
    cr_expect_str_eq(finding(&at, "irq-default")->mend,
                     "echo ffff03 > /proc/irq/default_smp_affinity");
    cr_expect_str_eq(finding(&at, "isolated-cpus")->wanted, "2-7 among them");
    give_back(&at);
}

Test(check, open_latency_limits_count_as_shallow_idle)
{
    captured_write("/sys/devices/system/cpu/cpu6/cpuidle/state2/disable", "0\n");
    captured_write("/hotlane/cpu_dma_latency", "0\n");
    look at = look_at(MACHINE, NULL, 0);
    cr_expect_eq(finding(&at, "c-states")->status, HL_CHECK_OK);
    give_back(&at);
}

Test(check, irqbalance_may_not_use_hot_cores_that_are_not_isolated)
{
    captured_write("/sys/devices/system/cpu/isolated", "\n");
    captured_write("/sys/devices/system/cpu/nohz_full", "\n");
    captured_write("/run/irqbalance/irqbalance1.sock", "");
    captured_write("/etc/default/irqbalance", "IRQBALANCE_BANNED_CPULIST=\"2-5\"\n");
    look at = look_at(MACHINE, "(market_data,signal,order,fill,account,system)@(2-7)", 0);
    cr_expect_eq(finding(&at, "irqbalance")->status, HL_CHECK_WARN);
    cr_expect_not_null(strstr(finding(&at, "irqbalance")->value, "hot CPUs 6-7"));
    give_back(&at);
    captured_write("/etc/default/irqbalance", "IRQBALANCE_BANNED_CPUS=fc\n");
    at = look_at(MACHINE, "(market_data,signal,order,fill,account,system)@(2-7)", 0);
    cr_expect_eq(finding(&at, "irqbalance")->status, HL_CHECK_OK);
    give_back(&at);
}

Test(check, in_a_shared_cpuset_services_may_come_too)
{
    captured_write("/sys/devices/system/cpu/isolated", "\n");
    captured_write("/sys/fs/cgroup/gateway/cpuset.cpus.partition", "member\n");
    captured_write("/etc/systemd/system.conf", "CPUAffinity=0-4\n");
    look at = look_at(MACHINE, "(market_data,signal,order,fill,account,system)@(2-7)", 0);
    cr_expect_eq(finding(&at, "cpuset-partition")->status, HL_CHECK_WARN);
    cr_expect_eq(finding(&at, "systemd-affinity")->status, HL_CHECK_WARN);
    give_back(&at);
    captured_write("/etc/systemd/system.conf.d/cpus.conf", "CPUAffinity=0 1 8-23\n");
    at = look_at(MACHINE, "(market_data,signal,order,fill,account,system)@(2-7)", 0);
    cr_expect_eq(finding(&at, "systemd-affinity")->status, HL_CHECK_OK);
    give_back(&at);
}

static void write_thread(const char *task, const char *name, const char *mask, int switches,
                         int faults, int policy, const char *folder)
{
    char path[128], text[512];
    snprintf(path, sizeof path, "%s/proc/77/task/%s/status", folder, task);
    snprintf(text, sizeof text,
             "Name:\t%s\nCpus_allowed_list:\t%s\nvoluntary_ctxt_switches:\t1\n"
             "nonvoluntary_ctxt_switches:\t%d\n",
             name, mask, switches);
    captured_write(path, text);
    snprintf(path, sizeof path, "%s/proc/77/task/%s/stat", folder, task);
    snprintf(text, sizeof text,
             "%s (%s) R 1 1 1 0 -1 4194304 %d 0 0 0 9 9 0 0 20 0 3 0 99 0 0 1 1 1 0 0 0 0 0 0 0 0 "
             "0 0 17 2 0 %d 0 0 0",
             task, name, faults, policy);
    captured_write(path, text);
}

Test(check, threads_of_a_running_bus_are_compared_with_the_plan)
{
    static const char lcores[] = "(market_data,signal,order,fill,account,system)@(2-7)";
    static const char later[] = "/hotlane/later";
    write_thread("78", "hl-order+fill", "4", 5, 100, 0, "");
    write_thread("78", "hl-order+fill", "4", 5, 100, 0, later);
    look at = look_at(MACHINE, lcores, 77);
    cr_expect_eq(finding(&at, "threads")->status, HL_CHECK_OK, "%s",
                 finding(&at, "threads")->value);
    cr_expect_eq(finding(&at, "disturbances")->status, HL_CHECK_OK, "%s",
                 finding(&at, "disturbances")->value);
    cr_expect_eq(finding(&at, "spin-under-fifo")->status, HL_CHECK_OK);
    give_back(&at);
    write_thread("78", "hl-order+fill", "0-23", 5, 100, 1, "");
    write_thread("78", "hl-order+fill", "0-23", 8, 102, 1, later);
    at = look_at(MACHINE, lcores, 77);
    cr_expect_eq(finding(&at, "threads")->status, HL_CHECK_FAIL);
    cr_expect_not_null(strstr(finding(&at, "threads")->value, "hl-order+fill on 0-23, planned 4"));
    cr_expect_eq(finding(&at, "disturbances")->status, HL_CHECK_WARN);
    cr_expect_not_null(
        strstr(finding(&at, "disturbances")->value, "preempted 3 times, 2 page faults"));
    cr_expect_eq(finding(&at, "spin-under-fifo")->status, HL_CHECK_FAIL, "%s",
                 finding(&at, "spin-under-fifo")->value);
    give_back(&at);
    at = look_at(MACHINE, lcores, 4000000);
    cr_expect_eq(finding(&at, "threads")->status, HL_CHECK_UNKNOWN);
    give_back(&at);
}

Test(check, shapes_of_machines_are_judged)
{
    look at = look_at(MACHINE, "(market_data,signal,order)@(2-4),(fill,account,system)@(14-16)", 0);
    cr_expect_eq(finding(&at, "one-package")->status, HL_CHECK_WARN);
    cr_expect_eq(finding(&at, "shared-l3")->status, HL_CHECK_WARN);
    give_back(&at);
    at = look_at("pack:1 core:12 pu:2", NULL, 0);
    cr_expect_eq(finding(&at, "smt")->status, HL_CHECK_OK);
    cr_expect_not_null(strstr(finding(&at, "smt")->value, "leaves the siblings"));
    give_back(&at);
    captured_write("/proc/self/status", "Cpus_allowed_list:\t0,2,4,6,8,10,12,14\n");
    captured_write("/sys/devices/system/cpu/isolated", "\n");
    at = look_at("pack:1 core:12 pu:2", NULL, 0);
    cr_expect_eq(finding(&at, "smt")->status, HL_CHECK_WARN, "%s", finding(&at, "smt")->value);
    give_back(&at);
    captured_write("/proc/self/status", "Cpus_allowed_list:\t0-23\n");
    at = look_at("pack:1 l3:2 core:12 pu:1", "(market_data,signal,order)@(2-4),fill@14", 0);
    cr_expect_eq(finding(&at, "shared-l3")->status, HL_CHECK_WARN);
    cr_expect_eq(finding(&at, "p-cores")->status, HL_CHECK_NOT_APPLICABLE);
    give_back(&at);
    at = look_at("pack:1 core:2 pu:1", NULL, 0);
    cr_expect_eq(finding(&at, "plan")->status, HL_CHECK_WARN);
    cr_expect_eq(finding(&at, "nohz-full")->status, HL_CHECK_NOT_APPLICABLE);
    give_back(&at);
}

Test(check, a_description_alone_leaves_most_unknown)
{
    hl_topology *const topology = machine("pack:1 core:8 pu:1", NULL);
    const hl_plan_request request = {pipeline, 7, NULL, NULL, 0};
    hl_plan *plan = NULL;
    cr_assert_eq(hl_plan_make(topology, &request, &plan, NULL), HL_OK);
    const hl_check_input input = {.topology = topology, .plan = plan};
    hl_finding *findings = NULL;
    uint32_t count;
    cr_assert_eq(hl_checks_run(&input, &findings, &count, NULL), HL_OK);
    for (uint32_t i = 0; i < count; i++)
        if (findings[i].check->needs_host)
            cr_expect_eq(findings[i].status, HL_CHECK_UNKNOWN, "%s", findings[i].check->id);
        else
            cr_expect_neq(findings[i].status, HL_CHECK_FAIL, "%s", findings[i].check->id);
    free(findings);
    hl_plan_free(plan);
    hl_topology_free(topology);
}

static void check_words(void *context, const char *group, const hl_check *check)
{
    (*(uint32_t *)context)++;
    cr_expect_str_neq(group, "");
    cr_expect_str_neq(check->id, "");
    cr_expect_str_neq(check->item, "", "%s", check->id);
    cr_expect_str_neq(check->wanted, "", "%s", check->id);
    cr_expect_str_neq(check->why, "", "%s", check->id);
    cr_expect_str_neq(check->source, "", "%s", check->id);
    cr_expect_eq(check->why[strlen(check->why) - 1], '.', "%s", check->id);
}

Test(check, every_check_says_what_why_and_who_says_so)
{
    uint32_t count = 0;
    hl_checks_each(check_words, &count);
    cr_expect_geq(count, 60);
}
