/*
 * What a footer holds, gathered while events are written: a sparse index by sequence and time, and
 * for each block of about 64 KiB a Bloom filter of the keys, topics and correlation ids in it, so
 * that who looks for one reads only the blocks that may hold it. Memory is taken once, for the
 * largest segment. One thread at a time; the filter's look-up is a pure function.
 */
#ifndef HL_JOURNAL_INDEX_H
#define HL_JOURNAL_INDEX_H

#include "journal/format.h"

#define HL_INDEX_BLOCK_SIZE 65536u /* bytes of records that one index entry stands for */
#define HL_INDEX_BLOOM_SIZE                                                \
    1024u /* bytes; a power of two. 512 events of 128 bytes with a key and \
             a correlation id each: one false alarm in 30 */

typedef enum hl_bloom_field {
    HL_BLOOM_KEY = 1,
    HL_BLOOM_TOPIC = 2, /* the segment's topic number */
    HL_BLOOM_CORRELATION = 3
} hl_bloom_field;

/* False: no event of the block has this value. `size`: bytes, a power of two, at most 65536. */
bool hl_bloom_may_hold(const uint8_t *bloom, uint32_t size, hl_bloom_field field, uint64_t value);

typedef struct hl_index {
    /* Of the segment so far; `word` is filled by hl_index_encode. */
    hl_footer footer;
    hl_footer_block *blocks;
    uint8_t *blooms;
    uint64_t *dictionary;
    hl_footer_topic *topics;
    uint32_t block_limit;
    uint32_t dictionary_limit;
    uint32_t topic_limit;
    uint32_t *topic_blocks; /* of each in `topics`: the last block whose filter has it, from 1 */
    uint32_t *topic_slots;  /* hash table: index in `topics` + 1 */
    hl_footer_topic *last_topic; /* of the last event; NULL: none yet, or it is not listed */
} hl_index;

/* For segments of up to `segment_bytes`, with up to `dictionary_limit` dictionary records. False:
 * no memory. */
bool hl_index_init(hl_index *index, uint64_t segment_bytes, uint32_t dictionary_limit);
void hl_index_free(hl_index *index);

/* A new segment begins. */
void hl_index_clear(hl_index *index);

/* `offset`: of the record in the segment; they rise. */
void hl_index_add_event(hl_index *index, const hl_event *event, uint64_t offset);
void hl_index_add_dictionary(hl_index *index, uint64_t offset);

/* True when there is room for one more dictionary record. */
static inline bool hl_index_has_room(const hl_index *index)
{
    return index->footer.dictionary_entries < index->dictionary_limit;
}

/* Bytes of the footer record if it were written now; and the most it can ever be. */
uint64_t hl_index_footer_length(const hl_index *index);
uint64_t hl_index_footer_limit(const hl_index *index);

/* Writes the footer record, hl_index_footer_length bytes, and gives its length. index->footer's
 * other fields (flags, groups, gaps, last_sequence, reserved_through, records_end) are as the
 * caller has set them. */
uint32_t hl_index_encode(hl_index *index, uint32_t seed, void *ret_record);

#endif
