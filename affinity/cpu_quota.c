#include "affinity/cpu_quota.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

/* "max 100000" or "150000 100000" (v2), or the two numbers in two files (v1, -1 for no limit). */
static double read_directory(const char *directory)
{
    char path[PATH_MAX + 32];
    double quota_us = 0.0, period_us = 0.0;
    snprintf(path, sizeof path, "%s/cpu.max", directory);
    FILE *file = fopen(path, "re");
    if (file != NULL) {
        if (fscanf(file, "%lf %lf", &quota_us, &period_us) != 2)
            quota_us = 0.0;
        fclose(file);
    } else {
        snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", directory);
        file = fopen(path, "re");
        if (file == NULL)
            return 0.0;
        if (fscanf(file, "%lf", &quota_us) != 1)
            quota_us = 0.0;
        fclose(file);
        snprintf(path, sizeof path, "%s/cpu.cfs_period_us", directory);
        file = fopen(path, "re");
        if (file == NULL)
            return 0.0;
        if (fscanf(file, "%lf", &period_us) != 1)
            period_us = 0.0;
        fclose(file);
    }
    return quota_us > 0.0 && period_us > 0.0 ? quota_us / period_us : 0.0;
}

/* From the group up to the mount: a container may see only the upper part of its own path, or
 * nothing but the mount itself. */
static double smallest_on_path(const char *mount_path, const char *group)
{
    char directory[PATH_MAX];
    const int length = snprintf(directory, sizeof directory, "%s%s", mount_path, group);
    if (length < 0 || (size_t)length >= sizeof directory)
        return 0.0;
    const size_t mount_length = strlen(mount_path);
    double smallest = 0.0;
    for (;;) {
        const double quota = read_directory(directory);
        if (quota > 0.0 && (smallest <= 0.0 || quota < smallest))
            smallest = quota;
        char *const slash = strrchr(directory + mount_length, '/');
        if (slash == NULL)
            return smallest;
        *slash = '\0';
    }
}

static double smaller_limit(double a, double b)
{
    if (a <= 0.0 || b <= 0.0)
        return a <= 0.0 ? b : a;
    return a < b ? a : b;
}

static int names_cpu_controller(char *controllers)
{
    char *rest = NULL;
    for (char *name = strtok_r(controllers, ",", &rest); name; name = strtok_r(NULL, ",", &rest))
        if (strcmp(name, "cpu") == 0)
            return 1;
    return 0;
}

double hl_cpu_quota_read(const char *membership_path, const char *mount_path)
{
    FILE *const file = fopen(membership_path, "re");
    if (file == NULL)
        return 0.0;
    double quota = 0.0;
    char line[PATH_MAX], mount[PATH_MAX];
    while (fgets(line, sizeof line, file) != NULL) {
        /* "0::/group" (v2) or "4:cpu,cpuacct:/group" (v1, mounted under the controllers' names) */
        line[strcspn(line, "\n")] = '\0';
        char *const controllers = strchr(line, ':');
        char *const group = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
        if (group == NULL)
            continue;
        *group = '\0';
        const char *const subdirectory = controllers[1] != '\0' ? controllers + 1 : NULL;
        const int length = snprintf(mount, sizeof mount, "%s%s%s", mount_path,
                                    subdirectory ? "/" : "", subdirectory ? subdirectory : "");
        if (length < 0 || (size_t)length >= sizeof mount)
            continue;
        if (subdirectory == NULL || names_cpu_controller(controllers + 1))
            quota = smaller_limit(quota, smallest_on_path(mount, group + 1));
    }
    fclose(file);
    return quota;
}
