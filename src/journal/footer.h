/*
 * The footer of a finished segment, read by itself: where a sequence or a time lies, and which
 * blocks may hold a key, a topic or a story, so that only those need to be read.
 */
#ifndef HL_JOURNAL_FOOTER_H
#define HL_JOURNAL_FOOTER_H

#include "journal/index.h"
#include "base/io.h"

typedef struct hl_loaded_footer {
    hl_footer *footer; /* whole, its CRC checked; NULL: not loaded */
    uint64_t offset;   /* of its record in the segment */
} hl_loaded_footer;

/* A segment's file, open. */
typedef struct hl_footer_source {
    const hl_io *io;
    hl_io_file file;
    const char *path;
    uint64_t salt;
} hl_footer_source;

/*
 * HL_OK with ret_loaded->footer NULL: the segment is not finished, or trailer or footer are damaged
 * (who reads on will find that out). HL_NO_MEMORY.
 */
hl_status hl_footer_load(const hl_footer_source *source, hl_loaded_footer *ret_loaded,
                         hl_error *error);
void hl_footer_free(hl_loaded_footer *loaded);

/* The footers used last, so that going to and fro does not read them again. Zero it to begin. */
#define HL_FOOTERS_KEPT 8u
typedef struct hl_footer_cache {
    struct {
        uint64_t salt; /* says which segment */
        hl_loaded_footer loaded;
    } kept[HL_FOOTERS_KEPT];
    uint32_t next;
} hl_footer_cache;

/* hl_footer_load, from the cache where it can be. *ret_footer is the cache's, until the next call;
 * NULL as there. */
hl_status hl_footer_cache_get(hl_footer_cache *cache, const hl_footer_source *source,
                              const hl_footer **ret_footer, hl_error *error);
void hl_footer_cache_free(hl_footer_cache *cache);

/* The footer without its tables, which are large. False: it cannot be told. Its CRC, which is over
 * the tables too, is not checked: good for choosing where to look, not for what is true. */
bool hl_footer_peek(const hl_footer_source *source, hl_footer *ret_footer);

/* The last block that begins at or below `sequence` (0 where none does). */
uint32_t hl_footer_block_of_sequence(const hl_footer *footer, uint64_t sequence);

/* The last block before which all events were published before `time_ns`. */
uint32_t hl_footer_block_of_time(const hl_footer *footer, uint64_t time_ns);

/* What blocks are looked for by. */
typedef struct hl_block_filter {
    const uint32_t *topics; /* numbers of this segment, `topic_count`; NULL: any */
    uint32_t topic_count;
    bool by_key;
    bool by_correlation;
    uint64_t key;
    uint64_t correlation_id;
    uint64_t story_sequence; /* of the story's first event, if it is of this partition; 0: not */
} hl_block_filter;

/* The first block at or after `block` that may hold an event that passes; footer->blocks: none. */
uint32_t hl_footer_next_block(const hl_footer *footer, uint32_t block,
                              const hl_block_filter *filter);

#endif
