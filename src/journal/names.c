#include "journal/names.h"

#include <stdlib.h>
#include <string.h>

#include "bus/pattern.h"
#include "journal/dictionary.h"

void hl_segment_names_clear(hl_segment_names *names)
{
    for (uint32_t i = 0; i < names->topic_room; i++) {
        free(names->topics[i].name);
        names->topics[i] = (hl_named_topic){0};
    }
    for (uint32_t i = 0; i < names->source_room; i++) {
        free(names->sources[i]);
        names->sources[i] = NULL;
    }
}

void hl_segment_names_free(hl_segment_names *names)
{
    hl_segment_names_clear(names);
    free(names->topics);
    free(names->sources);
    names->topics = NULL;
    names->sources = NULL;
    names->topic_room = names->source_room = 0;
}

/* Room for index `number`: at least doubled, zeroed. */
static void *grow(void *old, uint32_t *room, uint32_t number, size_t size)
{
    if (number < *room)
        return old;
    const uint32_t wanted = number < 64 ? 64 : 2 * number;
    uint8_t *const grown = realloc(old, wanted * size);
    if (grown == NULL)
        return NULL;
    memset(grown + *room * size, 0, (wanted - *room) * size);
    *room = wanted;
    return grown;
}

static bool add_topic(hl_segment_names *names, const hl_dictionary_record *record, char *name)
{
    hl_named_topic *const topics =
        grow(names->topics, &names->topic_room, record->number, sizeof *topics);
    if (topics == NULL)
        return false;
    names->topics = topics;
    hl_named_topic *const topic = &topics[record->number];
    free(topic->name);
    topic->name = name;
    const uint8_t *const detail = (const uint8_t *)(record + 1) + record->name_size;
    topic->kind = record->detail_size > 0 ? detail[0] : 0;
    topic->priority = record->detail_size > 1 ? detail[1] : 0;
    const bool wanted = names->pattern == NULL ||
                        (hl_name_defect(name) == NULL && hl_pattern_matches(names->pattern, name));
    topic->wanted = wanted ? HL_TOPIC_WANTED : HL_TOPIC_UNWANTED;
    return true;
}

static bool add_source(hl_segment_names *names, uint32_t number, char *name)
{
    char **const sources = grow(names->sources, &names->source_room, number, sizeof *sources);
    if (sources == NULL)
        return false;
    names->sources = sources;
    free(sources[number]);
    sources[number] = name;
    return true;
}

bool hl_segment_names_add(hl_segment_names *names, const hl_dictionary_record *record)
{
    const bool is_topic = record->entry == HL_DICTIONARY_TOPIC;
    if ((!is_topic && record->entry != HL_DICTIONARY_SOURCE) ||
        record->number >= (is_topic ? HL_DICTIONARY_TOPICS : HL_DICTIONARY_SOURCES))
        return true; /* schemas say nothing here; no event has such a number */
    char *const name = strndup((const char *)(record + 1), record->name_size);
    if (name == NULL)
        return false;
    const bool added =
        is_topic ? add_topic(names, record, name) : add_source(names, record->number, name);
    if (!added)
        free(name);
    return added;
}
