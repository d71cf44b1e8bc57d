/*
 * What becomes due in a partition at a time: a batch that has waited for company, a retry, a window
 * that closes. To the executor each is like an event of the highest priority in it: one at a look.
 *
 * All on the thread that turns the partition; others read only executor.open_dues.
 */
#ifndef HL_BUS_DUE_H
#define HL_BUS_DUE_H

#include "bus/lane.h"

typedef struct hl_due hl_due;

struct hl_due {
    uint64_t due_ns; /* bus time of the first thing in it */
    uint32_t level;  /* the highest priority in it */
    /* Handles one thing that is due by `now_ns` (UINT64_MAX: whatever waits), and says when the
     * next one is: sets due_ns, or closes the source when nothing is left. The number of events
     * handled. */
    uint32_t (*serve)(hl_partition *partition, hl_due *due, uint64_t now_ns);
    /* NULL: it is due at due_ns. Else it is asked at each look, whatever due_ns says, which then
     * only bounds a sleep: whoever makes it ready wakes the executor. */
    bool (*is_ready)(hl_partition *partition, hl_due *due);
    hl_due *next;       /* of the partition's open ones */
    uint64_t served_at; /* the executor's last call of hl_dues_serve that came to it */
};

/* Opens a source: it holds something, due_ns and level are set. As long as one is open, the bus is
 * not at rest. */
void hl_due_open(hl_partition *partition, hl_due *due);

/* Its due_ns has become an earlier one. */
void hl_due_advance(hl_partition *partition, const hl_due *due);

/* Nothing is left in it. What its handlers published is counted. */
void hl_due_close(hl_partition *partition, hl_due *due);

/* Serves one thing that is due at `now_ns` (UINT64_MAX: any) in a source of at least the priority
 * `level` (HL_PRIORITIES: any). The sources take turns: the one that it came to longest ago is the
 * next, so that none that always has something keeps the others waiting; and one that had nothing
 * to do after all keeps no other from its turn: at a stop, when all are due, it always would. The
 * number of events; 0: there is none. */
uint32_t hl_dues_serve(hl_executor *executor, uint64_t now_ns, uint32_t level);

/* Whether one that is asked is ready. */
bool hl_dues_polled_ready(const hl_executor *executor);

/* now_ns + wait_ns, or UINT64_MAX: never. */
static inline uint64_t hl_due_after(uint64_t now_ns, uint64_t wait_ns)
{
    return wait_ns < UINT64_MAX - now_ns ? now_ns + wait_ns : UINT64_MAX;
}

#endif
