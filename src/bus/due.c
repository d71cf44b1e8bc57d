#include "bus/due.h"

#include "bus/executor.h"

#define TRIES_A_LOOK 8 /* so many that had nothing to do; then the lanes are looked at again */

static void count_open(hl_executor *executor, uint32_t dues)
{
    /* DRAINED: (executor.h) release, after what was handled has been counted. */
    hl_store_release_u32(&executor->open_dues, dues);
}

void hl_due_open(hl_partition *partition, hl_due *due)
{
    hl_executor *const executor = partition->executor;
    due->next = partition->open_dues;
    partition->open_dues = due;
    if (executor->open_dues == 0)
        executor->earliest_due_ns = UINT64_MAX;
    hl_due_advance(partition, due);
    executor->polled_dues += due->is_ready != NULL;
    count_open(executor, executor->open_dues + 1);
}

void hl_due_advance(hl_partition *partition, const hl_due *due)
{
    hl_executor *const executor = partition->executor;
    if (due->due_ns < executor->earliest_due_ns)
        executor->earliest_due_ns = due->due_ns;
}

void hl_due_close(hl_partition *partition, hl_due *due)
{
    hl_due **at = &partition->open_dues;
    while (*at != due)
        at = &(*at)->next;
    *at = due->next;
    partition->executor->polled_dues -= due->is_ready != NULL;
    count_open(partition->executor, partition->executor->open_dues - 1);
}

static bool is_due(hl_partition *partition, hl_due *due, uint64_t now_ns)
{
    return due->is_ready != NULL ? due->is_ready(partition, due) : due->due_ns <= now_ns;
}

bool hl_dues_polled_ready(const hl_executor *executor)
{
    for (uint32_t i = 0; i < executor->partition_count; i++) {
        hl_partition *const partition = executor->partitions[i];
        for (hl_due *due = partition->open_dues; due != NULL; due = due->next)
            if (due->is_ready != NULL && due->is_ready(partition, due))
                return true;
    }
    return false;
}

/* Whether `due` comes before `other`. */
static bool comes_before(const hl_due *due, const hl_due *other)
{
    return due->served_at != other->served_at ? due->served_at < other->served_at
                                              : due->due_ns < other->due_ns;
}

/* Of those that this look has not come to yet; NULL: none. */
static hl_due *first_due(hl_executor *executor, uint64_t now_ns, uint32_t level,
                         hl_partition **ret_partition)
{
    hl_due *first = NULL;
    uint64_t earliest_ns = UINT64_MAX;
    for (uint32_t i = 0; i < executor->partition_count; i++) {
        hl_partition *const partition = executor->partitions[i];
        for (hl_due *due = partition->open_dues; due != NULL; due = due->next) {
            if (due->level <= level && due->served_at != executor->dues_looks &&
                (first == NULL || comes_before(due, first)) && is_due(partition, due, now_ns)) {
                first = due;
                *ret_partition = partition;
            }
            if (due->due_ns < earliest_ns)
                earliest_ns = due->due_ns;
        }
    }
    executor->earliest_due_ns = earliest_ns; /* of one just served too: a look in vain, no more */
    return first;
}

uint32_t hl_dues_serve(hl_executor *executor, uint64_t now_ns, uint32_t level)
{
    const uint32_t most = now_ns == UINT64_MAX ? UINT32_MAX : TRIES_A_LOOK;
    hl_partition *partition = NULL;
    uint32_t served = 0;
    executor->dues_looks++;
    for (uint32_t tries = 0; served == 0 && tries < most; tries++) {
        hl_due *const due = first_due(executor, now_ns, level, &partition);
        if (due == NULL)
            return 0;
        due->served_at = executor->dues_looks;
        served = due->serve(partition, due, now_ns);
    }
    return served;
}
