#include "fault/names.h"

#include <stdlib.h>
#include <string.h>

/* FNV-1a, 32 bits. */
static uint32_t bucket_of(const char *text, size_t bytes)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ (unsigned char)text[i]) * 16777619u;
    return hash % HL_NAMES_BUCKETS;
}

void hl_names_init(hl_names *names)
{
    names->names = NULL;
    names->count = names->room = 0;
    for (uint32_t i = 0; i < HL_NAMES_BUCKETS; i++)
        names->buckets[i] = HL_NAMES_NONE;
}

void hl_names_free(hl_names *names)
{
    for (uint32_t i = 0; i < names->count; i++)
        free(names->names[i].text);
    free(names->names);
    hl_names_init(names);
}

/* Room for `count` numbers; those that are new have no text. */
static bool make_room(hl_names *names, uint32_t count)
{
    if (count <= names->room)
        return true;
    uint32_t room = names->room == 0 ? 64 : names->room;
    while (room < count)
        room *= 2;
    hl_name *const grown = realloc(names->names, room * sizeof *grown);
    if (grown == NULL)
        return false;
    memset(grown + names->room, 0, (room - names->room) * sizeof *grown);
    names->names = grown;
    names->room = room;
    return true;
}

static uint32_t find(const hl_names *names, const char *text, size_t bytes)
{
    uint32_t i = names->buckets[bucket_of(text, bytes)];
    while (i != HL_NAMES_NONE &&
           (strncmp(names->names[i].text, text, bytes) != 0 || names->names[i].text[bytes] != '\0'))
        i = names->names[i].next;
    return i;
}

static hl_status add(hl_names *names, uint32_t number, const char *text, size_t bytes, bool written)
{
    if (number >= HL_NAMES_MAX || bytes > HL_NAMES_BYTES_MAX)
        return HL_LIMIT;
    char *const copy = make_room(names, number + 1) ? strndup(text, bytes) : NULL;
    if (copy == NULL)
        return HL_NO_MEMORY;
    const uint32_t bucket = bucket_of(text, bytes);
    names->names[number] = (hl_name){copy, names->buckets[bucket], written};
    names->buckets[bucket] = number;
    if (number >= names->count)
        names->count = number + 1;
    return HL_OK;
}

hl_status hl_names_intern(hl_names *names, const char *text, size_t bytes, uint32_t *ret_number)
{
    const uint32_t found = find(names, text, bytes);
    const uint32_t number = found != HL_NAMES_NONE ? found : names->count;
    const hl_status status =
        found != HL_NAMES_NONE ? HL_OK : add(names, number, text, bytes, false);
    if (status == HL_OK)
        *ret_number = number;
    return status;
}

hl_status hl_names_put(hl_names *names, uint32_t number, const char *text, size_t bytes)
{
    const char *const there = hl_names_text(names, number);
    if (there == NULL)
        return add(names, number, text, bytes, true);
    return strncmp(there, text, bytes) == 0 && there[bytes] == '\0' ? HL_OK : HL_EXISTS;
}

const char *hl_names_text(const hl_names *names, uint32_t number)
{
    return number < names->count ? names->names[number].text : NULL;
}
