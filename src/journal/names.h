/*
 * What a segment's dictionary records say: the names behind topic and source numbers, and for each
 * topic whether a filter wants it. One thread.
 */
#ifndef HL_JOURNAL_NAMES_H
#define HL_JOURNAL_NAMES_H

#include "journal/format.h"

typedef enum hl_topic_wanted {
    HL_TOPIC_NOT_ASKED = 0, /* its name is not known yet */
    HL_TOPIC_WANTED,
    HL_TOPIC_UNWANTED
} hl_topic_wanted;

typedef struct hl_named_topic {
    char *name; /* NULL: not in the dictionary as far as it was read */
    uint8_t wanted;
    uint8_t kind;     /* hl_topic_kind */
    uint8_t priority; /* hl_priority */
} hl_named_topic;

typedef struct hl_segment_names {
    const char *pattern; /* a valid one; NULL: all topics are wanted. Outlives this */
    hl_named_topic *topics;
    uint32_t topic_room;
    char **sources;
    uint32_t source_room;
} hl_segment_names;

/* A new segment begins. Also at the end, to free what it holds. */
void hl_segment_names_clear(hl_segment_names *names);
void hl_segment_names_free(hl_segment_names *names);

/* A good dictionary record. False: no memory. */
bool hl_segment_names_add(hl_segment_names *names, const hl_dictionary_record *record);

/* NULL: not known. */
static inline const hl_named_topic *hl_segment_names_topic(const hl_segment_names *names,
                                                           uint32_t number)
{
    return number < names->topic_room && names->topics[number].name != NULL ? &names->topics[number]
                                                                            : NULL;
}

static inline const char *hl_segment_names_source(const hl_segment_names *names, uint16_t number)
{
    return number < names->source_room ? names->sources[number] : NULL;
}

#endif
