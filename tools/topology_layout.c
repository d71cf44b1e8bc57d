#include "topology_layout.h"

#include <math.h>
#include <stdlib.h>

#define GAP     8.0
#define PADDING 10.0

/* More cores than this are drawn small. */
#define LARGE_CORES 64u

typedef struct maker {
    const hl_topology *topology;
    topology_layout *layout;
    topology_box_level levels[5]; /* below the machine, outermost first */
    uint32_t level_count;
} maker;

/* A node's has a second line where devices are to be told. */
static double heading_of(const hl_topology *topology, topology_box_level level)
{
    static const double heights[] = {0.0, 22.0, 20.0, 20.0, 20.0, 0.0};
    bool devices = false;
    for (uint32_t i = 0; i < topology->device_count; i++)
        devices |= topology->devices[i].numa_node >= 0;
    return heights[level] + (level == TOPOLOGY_BOX_NODE && devices ? 18.0 : 0.0);
}

/* How many columns a grid of `count` equal cells has, so that it wastes few cells and is about
 * `shape` times as wide as high. */
static uint32_t grid_columns(uint32_t count, double cell_width, double cell_height, double shape)
{
    uint32_t best = 1;
    double best_cost = INFINITY;
    for (uint32_t columns = 1; columns <= count; columns++) {
        const uint32_t rows = (count + columns - 1) / columns;
        const double wide = columns * cell_width, high = rows * cell_height;
        const double waste = (double)(rows * columns - count) / count;
        const double cost = fabs(log(wide / high / shape)) + 3.0 * waste;
        if (cost < best_cost - 1e-9) {
            best_cost = cost;
            best = columns;
        }
    }
    return best;
}

static uint32_t key_of(const hl_cpu *cpu, topology_box_level level)
{
    switch (level) {
    case TOPOLOGY_BOX_PACKAGE:
        return cpu->package;
    case TOPOLOGY_BOX_DIE:
        return cpu->die;
    case TOPOLOGY_BOX_NODE:
        return cpu->numa_node;
    case TOPOLOGY_BOX_L3:
        return cpu->l3;
    default:
        return cpu->core;
    }
}

/* Whether each group of `inner` lies in one group of `outer`. */
static bool nests(const hl_topology *topology, topology_box_level outer, topology_box_level inner)
{
    for (uint32_t i = 0; i < topology->cpu_count; i++)
        for (uint32_t j = i + 1; j < topology->cpu_count; j++)
            if (key_of(&topology->cpus[i], inner) == key_of(&topology->cpus[j], inner) &&
                key_of(&topology->cpus[i], outer) != key_of(&topology->cpus[j], outer))
                return false;
    return true;
}

/* Levels that say something, from the outside inwards. A node over several packages is told in
 * words: its box would be the machine's. */
static void choose_levels(maker *make)
{
    const hl_topology *const t = make->topology;
    topology_box_level *const levels = make->levels;
    levels[make->level_count++] = TOPOLOGY_BOX_PACKAGE;
    const bool dies = t->dies > t->packages;
    const bool nodes = nests(t, TOPOLOGY_BOX_PACKAGE, TOPOLOGY_BOX_NODE);
    const bool l3s = t->l3_known;
    if (dies && nests(t, TOPOLOGY_BOX_DIE, TOPOLOGY_BOX_NODE) && t->dies != t->numa_nodes)
        levels[make->level_count++] = TOPOLOGY_BOX_DIE;
    if (nodes && l3s && !nests(t, TOPOLOGY_BOX_NODE, TOPOLOGY_BOX_L3)) {
        levels[make->level_count++] = TOPOLOGY_BOX_L3;
        levels[make->level_count++] = TOPOLOGY_BOX_NODE;
    } else {
        if (nodes)
            levels[make->level_count++] = TOPOLOGY_BOX_NODE;
        if (l3s)
            levels[make->level_count++] = TOPOLOGY_BOX_L3;
    }
    levels[make->level_count++] = TOPOLOGY_BOX_CORE;
}

/* Appends the children of a box, which stand together, and gives them their CPUs. */
static void split(maker *make, uint32_t parent, uint32_t depth)
{
    topology_layout *const layout = make->layout;
    topology_box *const box = &layout->boxes[parent];
    const hl_cpu *const cpus = make->topology->cpus;
    box->first_child = layout->box_count;
    for (uint32_t i = box->first_cpu; i < box->first_cpu + box->cpu_count; i++) {
        const bool begins = i == box->first_cpu || key_of(&cpus[i], make->levels[depth]) !=
                                                       key_of(&cpus[i - 1], make->levels[depth]);
        if (begins) {
            layout->boxes[layout->box_count++] =
                (topology_box){.level = make->levels[depth], .first_cpu = i};
            box->child_count++;
        }
        layout->boxes[layout->box_count - 1].cpu_count++;
    }
}

/* How wide, for its height, a level's grid should be. */
static double shape_of(topology_box_level level)
{
    return level == TOPOLOGY_BOX_MACHINE ? 1.9 : 1.7;
}

/* Puts the children in rows and sizes the box around them; all measured from the box's corner. */
static void arrange(const maker *make, topology_box *box)
{
    topology_layout *const layout = make->layout;
    double cell_width = 0.0, cell_height = 0.0;
    for (uint32_t i = 0; i < box->child_count; i++) {
        const topology_box *const child = &layout->boxes[box->first_child + i];
        cell_width = fmax(cell_width, child->width + GAP);
        cell_height = fmax(cell_height, child->height + GAP);
    }
    const uint32_t columns =
        grid_columns(box->child_count, cell_width, cell_height, shape_of(box->level));
    /* A row is as high as its highest box: E cores need less than P cores. */
    double top = heading_of(make->topology, box->level) + PADDING, row_height = 0.0;
    for (uint32_t i = 0; i < box->child_count; i++) {
        topology_box *const child = &layout->boxes[box->first_child + i];
        if (i % columns == 0) {
            top += row_height;
            row_height = 0.0;
        }
        child->x = PADDING + (i % columns) * cell_width;
        child->y = top;
        row_height = fmax(row_height, child->height + GAP);
    }
    box->width = 2 * PADDING + columns * cell_width - GAP;
    box->height = top + row_height - GAP + PADDING;
}

static void make_boxes(maker *make, uint32_t which, uint32_t depth)
{
    topology_layout *const layout = make->layout;
    topology_box *const box = &layout->boxes[which];
    if (depth == make->level_count) {
        box->width = layout->core_width;
        box->height = layout->core_heading + box->cpu_count * layout->cpu_height + 4.0;
        return;
    }
    split(make, which, depth);
    for (uint32_t i = 0; i < box->child_count; i++)
        make_boxes(make, box->first_child + i, depth + 1);
    arrange(make, box);
}

/* From places in the parent to places in the picture. */
static void place(topology_layout *layout, uint32_t which, double x, double y)
{
    topology_box *const box = &layout->boxes[which];
    box->x += x;
    box->y += y;
    for (uint32_t i = 0; i < box->child_count; i++)
        place(layout, box->first_child + i, box->x, box->y);
}

bool topology_layout_make(const hl_topology *topology, double x, double y,
                          topology_layout *ret_layout)
{
    const bool large = topology->cores <= LARGE_CORES;
    *ret_layout = (topology_layout){.core_width = large ? 132.0 : 96.0,
                                    .cpu_height = large ? 24.0 : 17.0,
                                    .core_heading = large ? 16.0 : 13.0,
                                    .font = large ? 12.0 : 9.5};
    /* At most a box a CPU and level, and the machine. */
    ret_layout->boxes = calloc((size_t)topology->cpu_count * 5 + 1, sizeof *ret_layout->boxes);
    if (ret_layout->boxes == NULL)
        return false;
    maker make = {.topology = topology, .layout = ret_layout};
    choose_levels(&make);
    ret_layout->boxes[0] = (topology_box){.cpu_count = topology->cpu_count};
    ret_layout->box_count = 1;
    make_boxes(&make, 0, 0);
    place(ret_layout, 0, x, y);
    return true;
}
