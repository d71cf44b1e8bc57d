#include "affinity/cgroup.h"

#include "captured.h"

TestSuite(cgroup, .init = captured_make, .fini = captured_unmake);

static double quota(void)
{
    hl_host *const host = captured_open();
    const double cpus = hl_cgroup_cpu_quota(host);
    hl_host_close(host);
    return cpus;
}

Test(cgroup, quota_is_none_where_nothing_can_be_read)
{
    cr_assert_float_eq(quota(), 0.0, 1e-9);
    captured_write("/proc/self/cgroup", "0::/not/there\n");
    cr_assert_float_eq(quota(), 0.0, 1e-9);
}

Test(cgroup, max_is_no_limit)
{
    captured_write("/proc/self/cgroup", "0::/job\n");
    captured_write("/sys/fs/cgroup/job/cpu.max", "max 100000\n");
    cr_assert_float_eq(quota(), 0.0, 1e-9);
}

Test(cgroup, the_smallest_quota_on_the_way_up_counts)
{
    captured_write("/proc/self/cgroup", "0::/slice/job\n");
    captured_write("/sys/fs/cgroup/slice/job/cpu.max", "400000 100000\n");
    cr_assert_float_eq(quota(), 4.0, 1e-9);
    captured_write("/sys/fs/cgroup/slice/cpu.max", "150000 100000\n");
    cr_assert_float_eq(quota(), 1.5, 1e-9);
}

Test(cgroup, a_container_that_sees_only_its_own_root_is_understood)
{
    captured_write("/proc/self/cgroup", "0::/outer/path/of/the/host\n");
    captured_write("/sys/fs/cgroup/cpu.max", "50000 100000\n");
    cr_assert_float_eq(quota(), 0.5, 1e-9);
    captured_write("/proc/self/cgroup", "0::/\n");
    cr_assert_float_eq(quota(), 0.5, 1e-9);
}

Test(cgroup, version_1_is_read_where_the_cpu_controller_is)
{
    captured_write("/proc/self/cgroup", "5:memory:/m\n4:cpuset:/s\n3:cpu,cpuacct:/job\n0::/v2\n");
    captured_write("/sys/fs/cgroup/cpuset/s/cpu.cfs_quota_us", "1\n"); /* must not be looked at */
    captured_write("/sys/fs/cgroup/cpuset/s/cpu.cfs_period_us", "100000\n");
    captured_write("/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "250000\n");
    captured_write("/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "100000\n");
    cr_assert_float_eq(quota(), 2.5, 1e-9);
    captured_write("/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "-1\n");
    cr_assert_float_eq(quota(), 0.0, 1e-9);
}

Test(cgroup, folders_are_given_from_the_group_up_to_the_mount)
{
    captured_write("/proc/self/cgroup", "0::/slice/job\n");
    hl_host *const host = captured_open();
    char folder[256];
    cr_assert(hl_cgroup_folder(host, "cpuset", 0, folder, sizeof folder));
    cr_assert_str_eq(folder, "/sys/fs/cgroup/slice/job");
    cr_assert(hl_cgroup_folder(host, "cpuset", 2, folder, sizeof folder));
    cr_assert_str_eq(folder, "/sys/fs/cgroup");
    cr_assert_not(hl_cgroup_folder(host, "cpuset", 3, folder, sizeof folder));
    cr_assert_not(hl_cgroup_folder(host, "cpuset", 0, folder, 8), "a path that does not fit");
    hl_host_close(host);
}
