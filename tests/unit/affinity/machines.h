/*
 * The machines that the planner is tried on. Included by the test programs of this folder.
 */
#ifndef TESTS_UNIT_AFFINITY_MACHINES_H
#define TESTS_UNIT_AFFINITY_MACHINES_H

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "affinity/topology.h"

static inline hl_topology *machine(const char *synthetic, const char *allowed_cpus)
{
    const hl_topology_source source = {.synthetic = synthetic, .allowed_cpus = allowed_cpus};
    hl_topology *topology = NULL;
    hl_error error = {0};
    cr_assert_eq(hl_topology_load(&source, &topology, &error), HL_OK, "%s", error.text);
    return topology;
}

static inline hl_topology *machine_from_file(const char *path)
{
    const hl_topology_source source = {.xml_path = path};
    hl_topology *topology = NULL;
    hl_error error = {0};
    cr_assert_eq(hl_topology_load(&source, &topology, &error), HL_OK, "%s", error.text);
    return topology;
}

/* The folder of XML files; skips the test, saying so, where it is not there. */
static inline const char *topology_folder(void)
{
    static char folder[1024];
    const char *const data = getenv("HOTLANE_SHARED_DATA");
    snprintf(folder, sizeof folder, "%s/topologies", data != NULL ? data : "../shared/data");
    DIR *const directory = opendir(folder);
    if (directory == NULL)
        cr_skip_test("no machine files in %s (HOTLANE_SHARED_DATA names their parent)", folder);
    closedir(directory);
    return folder;
}

static inline hl_topology *machine_from_folder(const char *name)
{
    char path[2048];
    snprintf(path, sizeof path, "%s/%s.xml", topology_folder(), name);
    return machine_from_file(path);
}

/* Calls `check` for every XML file of the folder; gives their number. */
static inline int for_each_machine_file(void (*check)(const hl_topology *, const char *name))
{
    const char *const folder = topology_folder();
    DIR *const directory = opendir(folder);
    int count = 0;
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        const char *const dot = strrchr(entry->d_name, '.');
        if (dot == NULL || strcmp(dot, ".xml") != 0)
            continue;
        char path[2048];
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        hl_topology *const topology = machine_from_file(path);
        check(topology, entry->d_name);
        hl_topology_free(topology);
        count++;
    }
    closedir(directory);
    return count;
}

#endif
