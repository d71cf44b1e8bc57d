#include "affinity/cgroup.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOUNT "/sys/fs/cgroup"

static bool names_controller(const char *controllers, const char *wanted)
{
    const size_t length = strlen(wanted);
    for (const char *at = controllers; *at != '\0'; at += strcspn(at, ","), at += *at == ',')
        if (strncmp(at, wanted, length) == 0 && (at[length] == ',' || at[length] == '\0'))
            return true;
    return false;
}

/* Lines are "0::/group" (v2) or "4:cpu,cpuacct:/group" (v1, mounted under the controllers' names).
 * A controller is in one of the two at a time: v1's line comes first where it names it. */
static bool find_group(hl_host *host, const char *controller, char mount[PATH_MAX],
                       char group[PATH_MAX])
{
    const char *membership = hl_host_text(host, NULL, "/proc/self/cgroup");
    bool found = false;
    while (membership != NULL && *membership != '\0') {
        char line[PATH_MAX];
        const size_t length = strcspn(membership, "\n");
        snprintf(line, sizeof line, "%.*s", (int)(length < PATH_MAX ? length : 0), membership);
        membership += length + (membership[length] == '\n');
        char *const controllers = strchr(line, ':');
        char *const path = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
        if (path == NULL)
            continue;
        *path = '\0';
        const bool is_v2 = controllers[1] == '\0';
        if (!is_v2 && !names_controller(controllers + 1, controller))
            continue;
        snprintf(mount, PATH_MAX, "%s%s%.255s", MOUNT, is_v2 ? "" : "/", controllers + 1);
        memmove(group, path + 1, strlen(path + 1) + 1);
        found = true;
        if (!is_v2)
            break;
    }
    return found;
}

bool hl_cgroup_folder(hl_host *host, const char *controller, uint32_t up, char *ret_folder,
                      size_t size)
{
    char mount[PATH_MAX], group[PATH_MAX];
    if (!find_group(host, controller, mount, group))
        return false;
    if (strcmp(group, "/") == 0)
        group[0] = '\0';
    for (; up > 0; up--) {
        char *const slash = strrchr(group, '/');
        if (slash == NULL)
            return false;
        *slash = '\0';
    }
    const int length = snprintf(ret_folder, size, "%s%s", mount, group);
    return length > 0 && (size_t)length < size;
}

/* "max 100000" or "150000 100000" (v2), or the two numbers in two files (v1, -1 for no limit). */
static double quota_of(hl_host *host, const char *folder)
{
    double quota_us = 0.0, period_us = 0.0;
    const char *const both = hl_host_text(host, NULL, "%s/cpu.max", folder);
    if (both != NULL) {
        if (sscanf(both, "%lf %lf", &quota_us, &period_us) != 2)
            return 0.0;
    } else {
        int64_t quota, period;
        if (!hl_host_number(host, &quota, "%s/cpu.cfs_quota_us", folder) ||
            !hl_host_number(host, &period, "%s/cpu.cfs_period_us", folder))
            return 0.0;
        quota_us = (double)quota;
        period_us = (double)period;
    }
    return quota_us > 0.0 && period_us > 0.0 ? quota_us / period_us : 0.0;
}

double hl_cgroup_cpu_quota(hl_host *host)
{
    char folder[PATH_MAX];
    double smallest = 0.0;
    for (uint32_t up = 0; hl_cgroup_folder(host, "cpu", up, folder, sizeof folder); up++) {
        const double quota = quota_of(host, folder);
        if (quota > 0.0 && (smallest <= 0.0 || quota < smallest))
            smallest = quota;
    }
    return smallest;
}
