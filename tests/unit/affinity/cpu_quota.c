#include "affinity/cpu_quota.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* A copy of what /proc and /sys show, in a directory of its own. */
static char root[] = "/tmp/hotlane-quota-XXXXXX";
static char path[512], membership[512];

static void make_root(void)
{
    cr_assert_not_null(mkdtemp(root));
    snprintf(membership, sizeof membership, "%s/membership", root);
}

static void remove_root(void)
{
    snprintf(path, sizeof path, "rm -r '%s'", root);
    cr_assert_eq(system(path), 0);
}

static void make_directory(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", root, name);
    cr_assert_eq(mkdir(path, 0700), 0);
}

static void write_file(const char *name, const char *text)
{
    snprintf(path, sizeof path, "%s/%s", root, name);
    FILE *const file = fopen(path, "w");
    cr_assert_not_null(file);
    fputs(text, file);
    fclose(file);
}

TestSuite(cpu_quota, .init = make_root, .fini = remove_root);

Test(cpu_quota, is_none_where_nothing_can_be_read)
{
    cr_assert_float_eq(hl_cpu_quota_read(membership, root), 0.0, 1e-9);
    write_file("membership", "0::/not/there\n");
    cr_assert_float_eq(hl_cpu_quota_read(membership, root), 0.0, 1e-9);
}

Test(cpu_quota, max_is_no_limit)
{
    write_file("membership", "0::/job\n");
    make_directory("job");
    write_file("job/cpu.max", "max 100000\n");
    cr_assert_float_eq(hl_cpu_quota_read(membership, root), 0.0, 1e-9);
}

Test(cpu_quota, the_smallest_on_the_way_up_counts)
{
    write_file("membership", "0::/slice/job\n");
    make_directory("slice");
    make_directory("slice/job");
    write_file("slice/job/cpu.max", "400000 100000\n");
    cr_assert_float_eq(hl_cpu_quota_read(membership, root), 4.0, 1e-9);
    write_file("slice/cpu.max", "150000 100000\n");
    cr_assert_float_eq(hl_cpu_quota_read(membership, root), 1.5, 1e-9);
}

Test(cpu_quota, a_container_that_sees_only_its_own_root_is_understood)
{
    write_file("membership", "0::/outer/path/of/the/host\n");
    write_file("cpu.max", "50000 100000\n");
    cr_assert_float_eq(hl_cpu_quota_read(membership, root), 0.5, 1e-9);
}

Test(cpu_quota, version_1_is_read_where_the_cpu_controller_is)
{
    write_file("membership", "5:memory:/m\n4:cpuset:/s\n3:cpu,cpuacct:/job\n");
    make_directory("cpuset");
    make_directory("cpuset/s");
    write_file("cpuset/s/cpu.cfs_quota_us", "1\n"); /* must not be looked at */
    write_file("cpuset/s/cpu.cfs_period_us", "100000\n");
    make_directory("cpu,cpuacct");
    make_directory("cpu,cpuacct/job");
    write_file("cpu,cpuacct/job/cpu.cfs_quota_us", "250000\n");
    write_file("cpu,cpuacct/job/cpu.cfs_period_us", "100000\n");
    cr_assert_float_eq(hl_cpu_quota_read(membership, root), 2.5, 1e-9);
    write_file("cpu,cpuacct/job/cpu.cfs_quota_us", "-1\n");
    cr_assert_float_eq(hl_cpu_quota_read(membership, root), 0.0, 1e-9);
}
