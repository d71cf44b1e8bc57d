/*
 * The control group of this process (or of the one that a capture was made by): where its files
 * are, and the CPU time it may use. Versions 2 and 1.
 */
#ifndef HL_AFFINITY_CGROUP_H
#define HL_AFFINITY_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "affinity/host.h"

/*
 * The folder that holds the files of a controller ("cpu", "cpuset"): of the group itself for `up`
 * 0, of its parent for 1, ... up to the mount. In version 1 that is the controller's own tree, in
 * version 2 the one tree of all. False beyond the mount, and where there is no group; a folder need
 * not exist: a container may see only the upper part of its own path.
 */
bool hl_cgroup_folder(hl_host *host, const char *controller, uint32_t up, char *ret_folder,
                      size_t size);

/* What cpu.max (v1: cpu.cfs_quota_us) grants, the smallest on the way up, in CPUs' worth: 1.5 is
 * 150 ms of CPU time in every 100 ms. 0 when there is no limit or none can be read. */
double hl_cgroup_cpu_quota(hl_host *host);

#endif
