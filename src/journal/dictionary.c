#include "journal/dictionary.h"

#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"

bool hl_dictionary_init(hl_dictionary *dictionary)
{
    *dictionary = (hl_dictionary){
        .topics = hl_allocate(HL_DICTIONARY_TOPICS, sizeof *dictionary->topics),
        .sources = hl_allocate(HL_DICTIONARY_SOURCES, sizeof *dictionary->sources),
        .schema_version = hl_allocate(HL_DICTIONARY_TOPICS, sizeof *dictionary->schema_version)};
    if (dictionary->topics != NULL && dictionary->sources != NULL &&
        dictionary->schema_version != NULL)
        return true;
    hl_dictionary_free(dictionary);
    return false;
}

void hl_dictionary_free(hl_dictionary *dictionary)
{
    free(dictionary->topics);
    free(dictionary->sources);
    free(dictionary->schema_version);
    *dictionary = (hl_dictionary){0};
}

void hl_dictionary_clear(hl_dictionary *dictionary)
{
    memset(dictionary->topics, 0, HL_DICTIONARY_TOPICS);
    memset(dictionary->sources, 0, HL_DICTIONARY_SOURCES);
    memset(dictionary->schema_version, 0,
           HL_DICTIONARY_TOPICS * sizeof *dictionary->schema_version);
}

static size_t shorter(size_t size, size_t limit)
{
    return size < limit ? size : limit;
}

uint32_t hl_dictionary_length(const char *name, size_t detail_size)
{
    return hl_record_round(sizeof(hl_dictionary_record) + strnlen(name, HL_JOURNAL_NAME_MAX) +
                           shorter(detail_size, HL_JOURNAL_DETAIL_MAX));
}

uint32_t hl_dictionary_encode(uint32_t seed, hl_dictionary_entry entry, uint32_t number,
                              uint16_t version, const char *name, const void *detail,
                              size_t detail_size, void *ret_record)
{
    const size_t name_size = strnlen(name, HL_JOURNAL_NAME_MAX);
    detail_size = shorter(detail_size, HL_JOURNAL_DETAIL_MAX);
    const hl_dictionary_record record = {.entry = (uint16_t)entry,
                                         .version = version,
                                         .number = number,
                                         .name_size = (uint32_t)name_size,
                                         .detail_size = (uint32_t)detail_size};
    const uint32_t length = hl_dictionary_length(name, detail_size);
    uint8_t *const at = ret_record;
    memset(at + length - sizeof(uint64_t), 0, sizeof(uint64_t)); /* the padding */
    memcpy(at, &record, sizeof record);
    memcpy(at + sizeof record, name, name_size);
    if (detail_size > 0)
        memcpy(at + sizeof record + name_size, detail, detail_size);
    hl_record_finish(seed, at, HL_RECORD_DICTIONARY, length);
    return length;
}
