#include "journal/filter.h"

#include <inttypes.h>

#include "base/error.h"
#include "bus/pattern.h"

hl_status hl_filter_check(const hl_journal_filter *filter, hl_error *error)
{
    const char *const defect = filter->topic == NULL ? NULL : hl_pattern_defect(filter->topic);
    if (defect != NULL)
        return hl_error_set(error, HL_INVALID, "topic \"%.255s\": %s", filter->topic, defect);
    if (filter->to_sequence != 0 && filter->to_sequence < filter->from_sequence)
        return hl_error_set(error, HL_INVALID,
                            "sequences: from %" PRIu64 " to %" PRIu64 ": the end comes first",
                            filter->from_sequence, filter->to_sequence);
    if (filter->to_ns != 0 && filter->to_ns < filter->from_ns)
        return hl_error_set(error, HL_INVALID,
                            "times: from %" PRIu64 " ns to %" PRIu64 " ns: the end comes first",
                            filter->from_ns, filter->to_ns);
    return HL_OK;
}

hl_block_filter hl_filter_for_blocks(const hl_journal_filter *filter, const hl_segment_names *names,
                                     uint16_t partition, uint32_t topics[HL_FILTER_TOPICS])
{
    hl_block_filter blocks = {.by_key = filter->by_key,
                              .by_correlation = filter->by_correlation,
                              .key = filter->key,
                              .correlation_id = filter->correlation_id};
    if (filter->by_correlation && hl_id_partition(filter->correlation_id) == partition)
        blocks.story_sequence = hl_id_sequence(filter->correlation_id);
    if (filter->topic == NULL)
        return blocks;
    uint32_t count = 0;
    for (uint32_t i = 0; i < names->topic_room; i++) {
        if (names->topics[i].wanted != HL_TOPIC_WANTED)
            continue;
        if (count == HL_FILTER_TOPICS)
            return blocks; /* any topic */
        topics[count++] = i;
    }
    blocks.topics = topics;
    blocks.topic_count = count;
    return blocks;
}
