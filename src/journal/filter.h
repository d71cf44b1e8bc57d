/*
 * Whether an event is among those that a reader asks for. Pure functions; one thread for the names.
 */
#ifndef HL_JOURNAL_FILTER_H
#define HL_JOURNAL_FILTER_H

#include <hotlane/journal_reader.h>

#include "journal/footer.h"
#include "journal/names.h"

/* HL_OK; HL_INVALID: the pattern is none, or a range ends before it begins; the sentence says so.
 */
hl_status hl_filter_check(const hl_journal_filter *filter, hl_error *error);

/* `topic`: what the segment's dictionary has, NULL: nothing. `partition`: of the bus. */
static inline bool hl_filter_passes(const hl_journal_filter *filter, const hl_event *event,
                                    const hl_named_topic *topic, uint16_t partition)
{
    if (filter->topic != NULL && (topic == NULL || topic->wanted != HL_TOPIC_WANTED))
        return false;
    if (filter->by_key && event->key != filter->key)
        return false;
    if (filter->by_correlation && event->correlation_id != filter->correlation_id &&
        hl_event_id_of(partition, event->sequence) != filter->correlation_id)
        return false;
    if (filter->to_sequence != 0 && event->sequence > filter->to_sequence)
        return false;
    return event->sequence >= filter->from_sequence && event->published_ns >= filter->from_ns &&
           (filter->to_ns == 0 || event->published_ns <= filter->to_ns);
}

/* True when an index by blocks can leave something out. */
static inline bool hl_filter_is_selective(const hl_journal_filter *filter)
{
    return filter->by_key || filter->by_correlation || filter->topic != NULL;
}

#define HL_FILTER_TOPICS 64u /* more wanted topics than this are not looked up one by one */

/* What to look for in a segment's blocks. `topics` is memory that the result points at. */
hl_block_filter hl_filter_for_blocks(const hl_journal_filter *filter, const hl_segment_names *names,
                                     uint16_t partition, uint32_t topics[HL_FILTER_TOPICS]);

#endif
