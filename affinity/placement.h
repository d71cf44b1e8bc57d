/*
 * A plan in the making. Internal to the planner: plan.c drives, lcores.c places by hand,
 * placement.c by the rules of plan.h, reasons.c tells why.
 */
#ifndef HL_AFFINITY_PLACEMENT_H
#define HL_AFFINITY_PLACEMENT_H

#include "affinity/plan.h"

#define HL_NO_CPU UINT32_MAX

typedef struct hl_placement {
    const hl_topology *topology;
    const hl_plan_request *request;
    hl_plan *plan;         /* gets the warnings from the start, the threads at the end */
    uint32_t *cpu_of;      /* per thread: index into topology->cpus; HL_NO_CPU until it is placed */
    bool *by_hand;         /* per thread: lcores placed it */
    bool *talk;            /* [thread_count * thread_count], symmetric */
    uint32_t *load;        /* per CPU: threads on it, the housekeeper among them */
    bool *named;           /* per CPU: lcores names it, for whomever */
    uint32_t housekeeping; /* index into topology->cpus; HL_NO_CPU until it is placed */
    uint32_t usable_cores; /* set by the rules when hot threads got no core of their own: how many
                              cores they could choose from; else UINT32_MAX */
    bool out_of_memory;    /* a warning was lost for want of memory: the plan must fail */
} hl_placement;

static inline const hl_thread_request *hl_placement_thread(const hl_placement *placement,
                                                           uint32_t thread)
{
    return &placement->request->threads[thread];
}

static inline const hl_cpu *hl_placement_cpu(const hl_placement *placement, uint32_t thread)
{
    return &placement->topology->cpus[placement->cpu_of[thread]];
}

/* Puts a thread on a CPU (an index into topology->cpus). */
static inline void hl_placement_put(hl_placement *placement, uint32_t thread, uint32_t cpu)
{
    placement->cpu_of[thread] = cpu;
    placement->load[cpu]++;
}

/* Adds a warning to the plan; it may be longer than any buffer. */
void hl_placement_warn(hl_placement *placement, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Sorts CPU numbers, as hl_sentence_add_cpus wants them. */
void hl_placement_sort_cpus(uint32_t *cpus, uint32_t count);

/* Places what request->lcores names. HL_OK, or HL_INVALID with the column. */
hl_status hl_placement_by_hand(hl_placement *placement, hl_error *error);

/* Places the housekeeper and every thread that has no CPU yet. HL_OK or HL_NO_MEMORY. */
hl_status hl_placement_by_rules(hl_placement *placement, hl_error *error);

/* Fills plan->threads and the empty siblings from the finished placement, and warns. */
void hl_placement_tell(hl_placement *placement);

#endif
