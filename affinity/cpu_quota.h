/*
 * The CPU time that the cgroup of this process may use: cgroup v2 (cpu.max) or v1
 * (cpu.cfs_quota_us), the smallest of its own and its ancestors'.
 */
#ifndef HL_AFFINITY_CPU_QUOTA_H
#define HL_AFFINITY_CPU_QUOTA_H

/* In CPUs' worth: 1.5 is 150 ms of CPU time in every 100 ms. 0 when there is no limit or none can
 * be read. `membership_path` is /proc/self/cgroup, `mount_path` /sys/fs/cgroup, except in tests. */
double hl_cpu_quota_read(const char *membership_path, const char *mount_path);

#endif
