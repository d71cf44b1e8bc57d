/*
 * From hwloc's objects to a hl_topology: the one place where both are known. Internal to
 * topology.c.
 */
#ifndef HL_AFFINITY_DESCRIBE_H
#define HL_AFFINITY_DESCRIBE_H

#include <hwloc.h>

#include "affinity/topology.h"

/*
 * Fills everything that hwloc knows of a loaded machine into a zeroed `topology`: CPUs, nodes,
 * caches; with `want_devices` also devices and the XML. What was filled is freed by
 * hl_topology_free, also after an error. HL_OK or HL_NO_MEMORY.
 */
hl_status hl_describe(hwloc_topology_t machine, hwloc_const_bitmap_t allowed, bool want_devices,
                      hl_topology *topology, hl_error *error);

#endif
