#include "journal/footer.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

/* The record at `offset`, good and of this kind, into `record`. */
static bool read_record(const hl_footer_source *source, uint64_t offset, hl_record_kind kind,
                        void *record, size_t size)
{
    hl_record_word word;
    if (hl_io_read_all(source->io, source->file, record, size, offset) != (int64_t)size ||
        hl_record_check(source->salt, hl_record_seed(source->salt), record, size, offset) !=
            HL_RECORD_GOOD)
        return false;
    memcpy(&word, record, sizeof word);
    return hl_record_kind_of(word) == kind;
}

/* Where the footer lies, by the trailer at the file's end. */
static bool find(const hl_footer_source *source, uint64_t *ret_offset, uint64_t *ret_size)
{
    const int64_t file_size = source->io->size(source->io->context, source->file);
    hl_trailer trailer;
    if (file_size < (int64_t)(HL_JOURNAL_HEADER_SIZE + sizeof(hl_footer) + sizeof trailer))
        return false;
    const uint64_t trailer_offset = (uint64_t)file_size - sizeof trailer;
    if (!read_record(source, trailer_offset, HL_RECORD_TRAILER, &trailer, sizeof trailer) ||
        trailer.footer_offset % 8 != 0 || trailer.footer_offset < HL_JOURNAL_HEADER_SIZE ||
        trailer.footer_offset > trailer_offset - sizeof(hl_footer) ||
        trailer_offset - trailer.footer_offset > HL_RECORD_LENGTH_MASK)
        return false;
    *ret_offset = trailer.footer_offset;
    *ret_size = trailer_offset - trailer.footer_offset;
    return true;
}

hl_status hl_footer_load(const hl_footer_source *source, hl_loaded_footer *ret_loaded,
                         hl_error *error)
{
    uint64_t offset, size;
    *ret_loaded = (hl_loaded_footer){0};
    if (!find(source, &offset, &size))
        return HL_OK;
    hl_footer *const footer = malloc((size_t)size);
    if (footer == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "%s: out of memory", source->path);
    if (read_record(source, offset, HL_RECORD_FOOTER, footer, (size_t)size))
        *ret_loaded = (hl_loaded_footer){footer, offset};
    else
        free(footer);
    return HL_OK;
}

void hl_footer_free(hl_loaded_footer *loaded)
{
    free(loaded->footer);
    loaded->footer = NULL;
}

hl_status hl_footer_cache_get(hl_footer_cache *cache, const hl_footer_source *source,
                              const hl_footer **ret_footer, hl_error *error)
{
    hl_loaded_footer loaded;
    for (uint32_t i = 0; i < HL_FOOTERS_KEPT; i++)
        if (cache->kept[i].loaded.footer != NULL && cache->kept[i].salt == source->salt) {
            *ret_footer = cache->kept[i].loaded.footer;
            return HL_OK;
        }
    const hl_status status = hl_footer_load(source, &loaded, error);
    if (status != HL_OK)
        return status;
    if (loaded.footer != NULL) {
        const uint32_t slot = cache->next++ % HL_FOOTERS_KEPT;
        hl_footer_free(&cache->kept[slot].loaded);
        cache->kept[slot].salt = source->salt;
        cache->kept[slot].loaded = loaded;
    }
    *ret_footer = loaded.footer;
    return HL_OK;
}

void hl_footer_cache_free(hl_footer_cache *cache)
{
    for (uint32_t i = 0; i < HL_FOOTERS_KEPT; i++)
        hl_footer_free(&cache->kept[i].loaded);
}

bool hl_footer_peek(const hl_footer_source *source, hl_footer *ret_footer)
{
    uint64_t offset, size;
    hl_footer footer;
    if (!find(source, &offset, &size) ||
        hl_io_read_all(source->io, source->file, &footer, sizeof footer, offset) !=
            (int64_t)sizeof footer ||
        hl_record_kind_of(footer.word) != HL_RECORD_FOOTER || hl_record_length(footer.word) != size)
        return false;
    *ret_footer = footer;
    return true;
}

uint32_t hl_footer_block_of_sequence(const hl_footer *footer, uint64_t sequence)
{
    const hl_footer_block *const blocks = hl_footer_blocks(footer);
    uint32_t low = 0, high = footer->blocks; /* blocks[low] begins at or below it, high does not */
    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;
        if (blocks[middle].sequence <= sequence)
            low = middle;
        else
            high = middle;
    }
    return low;
}

uint32_t hl_footer_block_of_time(const hl_footer *footer, uint64_t time_ns)
{
    const hl_footer_block *const blocks = hl_footer_blocks(footer);
    uint32_t low = 0, high = footer->blocks;
    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;
        if (blocks[middle].until_ns < time_ns)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static bool may_hold(const hl_footer *footer, uint32_t block, const hl_block_filter *filter)
{
    const uint8_t *const bloom = hl_footer_blooms(footer) + (size_t)block * footer->bloom_size;
    const uint32_t size = footer->bloom_size;
    if (filter->by_key && !hl_bloom_may_hold(bloom, size, HL_BLOOM_KEY, filter->key))
        return false;
    if (filter->by_correlation &&
        !hl_bloom_may_hold(bloom, size, HL_BLOOM_CORRELATION, filter->correlation_id)) {
        /* The story's first event carries no correlation id: it is known by its place. */
        const uint64_t sequence = filter->story_sequence;
        if (sequence == 0 || sequence < footer->first_sequence ||
            sequence > footer->last_sequence ||
            hl_footer_block_of_sequence(footer, sequence) != block)
            return false;
    }
    bool wanted = filter->topics == NULL;
    for (uint32_t i = 0; !wanted && i < filter->topic_count; i++)
        wanted = hl_bloom_may_hold(bloom, size, HL_BLOOM_TOPIC, filter->topics[i]);
    return wanted;
}

uint32_t hl_footer_next_block(const hl_footer *footer, uint32_t block,
                              const hl_block_filter *filter)
{
    const uint32_t size = footer->bloom_size;
    if (size == 0 || size > 65536 || (size & (size - 1)) != 0)
        return block; /* a filter of a kind that is not known: every block may hold it */
    while (block < footer->blocks && !may_hold(footer, block, filter))
        block++;
    return block;
}
