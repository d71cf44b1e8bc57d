/*
 * The partitions of a journal: a directory each, named "order" or, of a domain with shards,
 * "order.3". What else lies in a journal's directory has a name that no partition can have:
 * "cursors.d", "snapshots.d", "audit.log".
 */
#ifndef HL_JOURNAL_PARTITION_H
#define HL_JOURNAL_PARTITION_H

#include "journal/format.h"
#include "base/io.h"

#define HL_PARTITION_DIRECTORY_SIZE (HL_JOURNAL_DOMAIN_SIZE + 8u)

typedef struct hl_partition_directory {
    char text[HL_PARTITION_DIRECTORY_SIZE];
    char domain[HL_JOURNAL_DOMAIN_SIZE];
    uint16_t shard;
    bool sharded; /* the name has a number */
} hl_partition_directory;

/* False when no partition has such a name. */
bool hl_partition_directory_parse(const char *text, hl_partition_directory *ret_name);

/*
 * The partitions there are, by domain and shard. `wanted`: "order" with all its shards, "order.3",
 * or NULL for all. free() *ret_names; NULL where there is none.
 * - HL_OK, with *ret_count 0 too where all were asked for.
 * - HL_NOT_FOUND: no such directory, or none that is `wanted` in it: the sentence says which are.
 * - HL_INVALID: `wanted` is no partition's name; HL_SYSTEM, HL_NO_MEMORY.
 */
hl_status hl_partition_list(const hl_io *io, const char *directory, const char *wanted,
                            hl_partition_directory **ret_names, size_t *ret_count, hl_error *error);

#endif
