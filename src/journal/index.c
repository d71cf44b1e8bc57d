#include "journal/index.h"

#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"

#define TOPIC_LIMIT     4096u /* different topics counted in one segment; more are not listed */
#define TOPIC_SLOTS     8192u /* a power of two, more than TOPIC_LIMIT */
#define TOPIC_SLOT_BITS 13
#define BLOOM_PROBES    3

/* Stafford's variant 13 of the finalizer of MurmurHash3: each bit of the value moves all others. */
static inline uint64_t mix(uint64_t value)
{
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return value ^ (value >> 31);
}

static inline uint64_t bloom_hash(hl_bloom_field field, uint64_t value)
{
    return mix(value + (uint64_t)field * 0x9e3779b97f4a7c15u);
}

bool hl_bloom_may_hold(const uint8_t *bloom, uint32_t size, hl_bloom_field field, uint64_t value)
{
    uint64_t hash = bloom_hash(field, value);
    for (int probe = 0; probe < BLOOM_PROBES; probe++) {
        const uint32_t bit = (uint32_t)hash & (size * 8 - 1);
        if ((bloom[bit / 8] & 1u << bit % 8) == 0)
            return false;
        hash >>= 20;
    }
    return true;
}

/* By words: on a little-endian machine bit b is bit b % 8 of byte b / 8 all the same. */
static inline void bloom_add(uint64_t *bloom, hl_bloom_field field, uint64_t value)
{
    uint64_t hash = bloom_hash(field, value);
#pragma GCC unroll 3
    for (int probe = 0; probe < BLOOM_PROBES; probe++) {
        const uint32_t bit = (uint32_t)hash & (HL_INDEX_BLOOM_SIZE * 8 - 1);
        bloom[bit / 64] |= (uint64_t)1 << bit % 64;
        hash >>= 20;
    }
}

bool hl_index_init(hl_index *index, uint64_t segment_bytes, uint32_t dictionary_limit)
{
    *index = (hl_index){0};
    index->block_limit = (uint32_t)(segment_bytes / HL_INDEX_BLOCK_SIZE + 2);
    index->dictionary_limit = dictionary_limit;
    index->topic_limit = TOPIC_LIMIT;
    index->blocks = hl_allocate(index->block_limit, sizeof *index->blocks);
    index->blooms = hl_allocate(index->block_limit, HL_INDEX_BLOOM_SIZE);
    index->dictionary = hl_allocate(dictionary_limit, sizeof *index->dictionary);
    index->topics = hl_allocate(TOPIC_LIMIT, sizeof *index->topics);
    index->topic_blocks = hl_allocate(TOPIC_LIMIT, sizeof *index->topic_blocks);
    index->topic_slots = hl_allocate(TOPIC_SLOTS, sizeof *index->topic_slots);
    if (index->blocks == NULL || index->blooms == NULL || index->dictionary == NULL ||
        index->topics == NULL || index->topic_blocks == NULL || index->topic_slots == NULL) {
        hl_index_free(index);
        return false;
    }
    index->footer.bloom_size = HL_INDEX_BLOOM_SIZE;
    return true;
}

void hl_index_free(hl_index *index)
{
    free(index->blocks);
    free(index->blooms);
    free(index->dictionary);
    free(index->topics);
    free(index->topic_blocks);
    free(index->topic_slots);
    *index = (hl_index){0};
}

void hl_index_clear(hl_index *index)
{
    memset(index->topic_slots, 0, TOPIC_SLOTS * sizeof *index->topic_slots);
    index->footer = (hl_footer){.bloom_size = HL_INDEX_BLOOM_SIZE};
    index->last_topic = NULL;
}

/* The topic's counter; NULL: the list is full. */
static hl_footer_topic *topic_of(hl_index *index, uint32_t topic)
{
    /* Fibonacci hashing: numbers that follow each other lie far apart. */
    uint32_t slot = (topic * 0x9e3779b1u) >> (32 - TOPIC_SLOT_BITS);
    for (; index->topic_slots[slot] != 0; slot = (slot + 1) & (TOPIC_SLOTS - 1)) {
        hl_footer_topic *const found = &index->topics[index->topic_slots[slot] - 1];
        if (found->topic == topic)
            return found;
    }
    if (index->footer.topics == index->topic_limit)
        return NULL;
    index->topic_blocks[index->footer.topics] = 0;
    hl_footer_topic *const added = &index->topics[index->footer.topics++];
    *added = (hl_footer_topic){.topic = topic};
    index->topic_slots[slot] = index->footer.topics;
    return added;
}

/* The filter of the block that `offset` falls in; begins one where the last is full. */
static uint64_t *bloom_at(hl_index *index, const hl_event *event, uint64_t offset)
{
    hl_footer *const footer = &index->footer;
    const bool fits = footer->blocks > 0 &&
                      (offset - index->blocks[footer->blocks - 1].offset < HL_INDEX_BLOCK_SIZE ||
                       footer->blocks == index->block_limit);
    if (!fits) {
        index->blocks[footer->blocks] = (hl_footer_block){
            .offset = offset, .sequence = event->sequence, .until_ns = footer->last_ns};
        memset(index->blooms + (size_t)footer->blocks * HL_INDEX_BLOOM_SIZE, 0,
               HL_INDEX_BLOOM_SIZE);
        footer->blocks++;
    }
    return (uint64_t *)(index->blooms + (size_t)(footer->blocks - 1) * HL_INDEX_BLOOM_SIZE);
}

/* Counts the topic, and adds it to the block's filter the first time in the block. */
static void count_topic(hl_index *index, uint32_t topic, uint64_t *bloom)
{
    if (index->last_topic == NULL || index->last_topic->topic != topic)
        index->last_topic = topic_of(index, topic);
    if (index->last_topic == NULL) {
        bloom_add(bloom, HL_BLOOM_TOPIC, topic);
        return;
    }
    index->last_topic->events++;
    uint32_t *const block = &index->topic_blocks[index->last_topic - index->topics];
    if (*block != index->footer.blocks)
        bloom_add(bloom, HL_BLOOM_TOPIC, topic);
    *block = index->footer.blocks;
}

void hl_index_add_event(hl_index *index, const hl_event *event, uint64_t offset)
{
    hl_footer *const footer = &index->footer;
    uint64_t *const bloom = bloom_at(index, event, offset);
    bloom_add(bloom, HL_BLOOM_KEY, event->key);
    count_topic(index, event->topic, bloom);
    if (event->correlation_id != 0) /* 0: it begins a story, found by its own id */
        bloom_add(bloom, HL_BLOOM_CORRELATION, event->correlation_id);
    if (footer->events == 0) {
        footer->first_sequence = event->sequence;
        footer->first_ns = event->published_ns;
    }
    if (event->published_ns < footer->first_ns)
        footer->first_ns = event->published_ns;
    if (event->published_ns > footer->last_ns)
        footer->last_ns = event->published_ns;
    footer->events++;
    footer->payload_bytes += event->payload_size;
    footer->last_sequence = event->sequence;
}

void hl_index_add_dictionary(hl_index *index, uint64_t offset)
{
    index->dictionary[index->footer.dictionary_entries++] = offset;
}

uint64_t hl_index_footer_length(const hl_index *index)
{
    const hl_footer *const footer = &index->footer;
    return hl_record_round(hl_footer_length(footer->blocks, footer->dictionary_entries,
                                            footer->topics, HL_INDEX_BLOOM_SIZE));
}

uint64_t hl_index_footer_limit(const hl_index *index)
{
    return hl_record_round(hl_footer_length(index->block_limit, index->dictionary_limit,
                                            index->topic_limit, HL_INDEX_BLOOM_SIZE));
}

uint32_t hl_index_encode(hl_index *index, uint32_t seed, void *ret_record)
{
    const hl_footer *const footer = &index->footer;
    const uint32_t length = (uint32_t)hl_index_footer_length(index);
    uint8_t *at = ret_record;
    memcpy(at, footer, sizeof *footer);
    at += sizeof *footer;
    memcpy(at, index->blocks, footer->blocks * sizeof *index->blocks);
    at += footer->blocks * sizeof *index->blocks;
    memcpy(at, index->dictionary, footer->dictionary_entries * sizeof *index->dictionary);
    at += footer->dictionary_entries * sizeof *index->dictionary;
    memcpy(at, index->topics, footer->topics * sizeof *index->topics);
    at += footer->topics * sizeof *index->topics;
    memcpy(at, index->blooms, (size_t)footer->blocks * HL_INDEX_BLOOM_SIZE);
    at += (size_t)footer->blocks * HL_INDEX_BLOOM_SIZE;
    memset(at, 0, (size_t)((uint8_t *)ret_record + length - at));
    hl_record_finish(seed, ret_record, HL_RECORD_FOOTER, length);
    return length;
}
