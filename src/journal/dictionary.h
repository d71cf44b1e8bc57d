/*
 * Which numbers a segment's dictionary already explains. One thread. Topic numbers and sources are
 * small and dense, so that plain tables do.
 */
#ifndef HL_JOURNAL_DICTIONARY_H
#define HL_JOURNAL_DICTIONARY_H

#include "journal/format.h"

#define HL_DICTIONARY_TOPICS  65536u /* a topic's number lies below; a bus has fewer */
#define HL_DICTIONARY_SOURCES 65536u

/* Three entries may be new with one event. */
#define HL_DICTIONARY_ENTRY_MAX \
    (sizeof(hl_dictionary_record) + HL_JOURNAL_NAME_MAX + HL_JOURNAL_DETAIL_MAX + 8)

typedef struct hl_dictionary {
    uint8_t *topics;          /* a byte each: known */
    uint8_t *sources;         /* likewise */
    uint16_t *schema_version; /* the last one written of each topic; 0: none */
} hl_dictionary;

/* False: no memory. */
bool hl_dictionary_init(hl_dictionary *dictionary);
void hl_dictionary_free(hl_dictionary *dictionary);

/* A new segment begins: nothing is known. */
void hl_dictionary_clear(hl_dictionary *dictionary);

/* True when a record must be written before this event. event->topic < HL_DICTIONARY_TOPICS. */
static inline bool hl_dictionary_lacks(const hl_dictionary *dictionary, const hl_event *event)
{
    return !dictionary->topics[event->topic] || !dictionary->sources[event->source] ||
           dictionary->schema_version[event->topic] != event->schema_version;
}

/* What this event uses is explained from here on. */
static inline void hl_dictionary_learn(hl_dictionary *dictionary, const hl_event *event)
{
    dictionary->topics[event->topic] = 1;
    dictionary->sources[event->source] = 1;
    dictionary->schema_version[event->topic] = event->schema_version;
}

/* The length of one entry's record. */
uint32_t hl_dictionary_length(const char *name, size_t detail_size);

/* Writes one entry, at most HL_DICTIONARY_ENTRY_MAX bytes, and gives its length. A name or detail
 * that is too long is cut: it is for people, the number is what counts. */
uint32_t hl_dictionary_encode(uint32_t seed, hl_dictionary_entry entry, uint32_t number,
                              uint16_t version, const char *name, const void *detail,
                              size_t detail_size, void *ret_record);

#endif
