#include "journal/adopt.h"

#include <stdlib.h>
#include <string.h>

#define NAMES 65536u /* numbers of topics and sources that are remembered */

bool hl_adoption_init(hl_adoption *adoption, hl_bus *bus)
{
    *adoption = (hl_adoption){.bus = bus,
                              .topics = calloc(NAMES, sizeof(hl_topic_entry *)),
                              .sources = calloc(NAMES, sizeof(uint16_t))};
    return adoption->topics != NULL && adoption->sources != NULL;
}

void hl_adoption_free(hl_adoption *adoption)
{
    free(adoption->topics);
    free(adoption->sources);
    *adoption = (hl_adoption){0};
}

hl_topic_entry *hl_adopt_topic(hl_adoption *adoption, uint32_t number, const char *name,
                               hl_topic_kind kind, int priority)
{
    hl_bus *const bus = adoption->bus;
    hl_topic_entry *known = number < NAMES ? adoption->topics[number] : NULL;
    if (known != NULL && strcmp(known->name, name) == 0)
        return known;
    hl_topic_options options = HL_TOPIC_OPTIONS_INIT;
    options.kind = kind;
    options.priority = priority;
    hl_topic topic;
    hl_bus_lock(bus);
    known = hl_topic_find(bus, name);
    hl_bus_unlock(bus);
    if (known == NULL && hl_topic_declare(bus, name, &options, &topic) == HL_OK)
        known = bus->entries[topic.number];
    if (number < NAMES)
        adoption->topics[number] = known;
    return known;
}

uint16_t hl_adopt_source(hl_adoption *adoption, uint16_t number, const char *name)
{
    hl_bus *const bus = adoption->bus;
    const uint16_t known = adoption->sources[number];
    if (known != 0 && strcmp(bus->sources[known], name) == 0)
        return known;
    hl_bus_lock(bus);
    adoption->sources[number] = hl_bus_source(bus, name);
    hl_bus_unlock(bus);
    return adoption->sources[number];
}
