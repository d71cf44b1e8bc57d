#include "fault/dlq_index.h"

#include <stdlib.h>
#include <string.h>

void hl_dlq_index_free(hl_dlq_index *index)
{
    free(index->entries);
    *index = (hl_dlq_index){0};
}

/* The first position whose id is not below `id`. Ids rise from letter to letter, by one but where
 * some are missing: so it is at most as many positions from the first as `id` is above the first's,
 * and mostly just there. */
static size_t position_of(const hl_dlq_index *index, uint64_t id)
{
    size_t low = 0, high = index->count;
    if (high == 0 || id <= index->entries[0].id)
        return 0;
    if (id - index->entries[0].id < high)
        high = (size_t)(id - index->entries[0].id);
    if (index->entries[high - 1].id < id)
        return high;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (index->entries[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void close_gaps(hl_dlq_index *index)
{
    size_t kept = 0;
    for (size_t i = 0; i < index->count; i++) {
        if (index->entries[i].state != 0)
            index->entries[kept++] = index->entries[i];
    }
    index->count = kept;
    index->gone = index->first = 0;
}

bool hl_dlq_index_reserve(hl_dlq_index *index)
{
    if (index->count < index->room)
        return true;
    if (index->gone > index->count / 4) {
        close_gaps(index);
        return true;
    }
    const size_t room = index->room == 0 ? 256 : index->room * 2;
    hl_dlq_entry *const grown = realloc(index->entries, room * sizeof *grown);
    if (grown == NULL)
        return false;
    index->entries = grown;
    index->room = room;
    return true;
}

static void count_in(hl_dlq_index *index, const hl_dlq_entry *entry)
{
    index->in_state[entry->state]++;
    index->bytes += entry->size;
}

static void count_out(hl_dlq_index *index, const hl_dlq_entry *entry)
{
    index->in_state[entry->state]--;
    index->bytes -= entry->size;
}

bool hl_dlq_index_put(hl_dlq_index *index, const hl_dlq_entry *entry)
{
    if (!hl_dlq_index_reserve(index))
        return false;
    const size_t at = position_of(index, entry->id);
    hl_dlq_entry *const there = &index->entries[at];
    if (at < index->count && there->id == entry->id) {
        if (there->state != 0)
            count_out(index, there);
        else
            index->gone--;
    } else {
        memmove(there + 1, there, (index->count - at) * sizeof *there);
        index->count++;
    }
    if (at < index->first)
        index->first = at;
    *there = *entry;
    count_in(index, there);
    return true;
}

hl_dlq_entry *hl_dlq_index_from(const hl_dlq_index *index, uint64_t id)
{
    const size_t at = position_of(index, id);
    for (size_t i = at < index->first ? index->first : at; i < index->count; i++) {
        if (index->entries[i].state != 0)
            return &index->entries[i];
    }
    return NULL;
}

hl_dlq_entry *hl_dlq_index_find(const hl_dlq_index *index, uint64_t id)
{
    hl_dlq_entry *const entry = hl_dlq_index_from(index, id);
    return entry != NULL && entry->id == id ? entry : NULL;
}

void hl_dlq_index_set_state(hl_dlq_index *index, hl_dlq_entry *entry, hl_dead_state state,
                            uint64_t at_ns)
{
    index->in_state[entry->state]--;
    index->in_state[state]++;
    entry->state = state;
    entry->state_ns = at_ns;
}

void hl_dlq_index_remove(hl_dlq_index *index, hl_dlq_entry *entry)
{
    count_out(index, entry);
    entry->state = 0;
    index->gone++;
    while (index->first < index->count && index->entries[index->first].state == 0)
        index->first++;
}
