/*
 * Where each package, node, L3 and core of a machine lies in a picture: nested boxes, each level in
 * a grid inside its parent. Nothing is drawn here.
 */
#ifndef HL_TOOLS_TOPOLOGY_LAYOUT_H
#define HL_TOOLS_TOPOLOGY_LAYOUT_H

#include "affinity/topology.h"

typedef enum topology_box_level {
    TOPOLOGY_BOX_MACHINE,
    TOPOLOGY_BOX_PACKAGE,
    TOPOLOGY_BOX_DIE,
    TOPOLOGY_BOX_NODE,
    TOPOLOGY_BOX_L3,
    TOPOLOGY_BOX_CORE
} topology_box_level;

typedef struct topology_box {
    topology_box_level level;
    uint32_t first_cpu, cpu_count;     /* a run of topology->cpus */
    uint32_t first_child, child_count; /* a run of layout->boxes; none for cores */
    double x, y, width, height;        /* in the picture, px */
} topology_box;

typedef struct topology_layout {
    topology_box *boxes; /* boxes[0] is the machine */
    uint32_t box_count;
    double core_width, cpu_height; /* of a core, and of a CPU's row in it */
    double core_heading;           /* height above the rows */
    double font;                   /* of names in cores, px */
} topology_layout;

/*
 * Lays a machine out with its upper left corner at (x, y). False: no memory. The caller frees
 * ret_layout->boxes. Many cores are drawn smaller.
 */
bool topology_layout_make(const hl_topology *topology, double x, double y,
                          topology_layout *ret_layout);

#endif
