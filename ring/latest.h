/*
 * The newest value of each key: a table with one writer and any number of readers, in flat,
 * position-independent memory. For `state` topics: the last quote of an instrument.
 *
 *     hl_latest_put(table, instrument, event, size);                        // the writer
 *     if (hl_latest_get(table, instrument, &copy, sizeof copy, &size) == HL_OK) // any thread
 *
 * Each key has two cells that take turns. The writer fills the one that is not current, then makes
 * it current: a writer that is stopped anywhere blocks no reader, which finds the other cell whole.
 * put is wait-free; get and at make a bounded number of tries, each spoilt only by a put of the
 * same key: readers of a key that is put without pause may get HL_BUSY. Keys are never removed.
 *
 * Edges (order.h explains the words; H.-J. Boehm, "Can seqlocks get along with programming language
 * memory models?", MSPC 2012, has the proof of the last two):
 *
 *   INDEX    index[i]: the first put of a key (store release) -> a reader's search (load acquire).
 *            It sees the entry's key and, through VERSION, its first value.
 *   COUNT    table.count: the first put of a key (store release) -> count, at (load acquire). The
 *            entries below it have key and value.
 *   VERSION  entry.version: put, when the cell is filled (store release) -> a reader's first look
 *            (load acquire). It sees the cell at least as it was when it became current.
 *   WORD     each word of a cell: put (store release) -> a reader's copy (load acquire). A reader
 *            that sees a word of the put after next thereby sees that `version` has moved on, and
 *            its second look at `version`, which cannot come before the copy, tells it so.
 */
#ifndef HL_RING_LATEST_H
#define HL_RING_LATEST_H

#include <stddef.h>
#include <stdint.h>

#include <hotlane/status.h>

#define HL_LATEST_MAX_KEYS       (1u << 24)
#define HL_LATEST_MAX_VALUE_SIZE 65600u /* bytes */

typedef struct hl_latest hl_latest;

/*
 * Bytes that a table takes. max_keys: 1 to 2^24; value_size, the largest value in bytes: 1 to
 * 65600. 0 when either is out of range.
 */
size_t hl_latest_size_bytes(uint32_t max_keys, uint32_t value_size);

/*
 * Makes a table in `memory`: zeroed, aligned to 128, hl_latest_size_bytes or more; it stays the
 * caller's and must outlive the table. NULL when something does not fit, and then *ret_reason is a
 * sentence in static memory (ret_reason may be NULL).
 */
hl_latest *hl_latest_init(void *memory, size_t size, uint32_t max_keys, uint32_t value_size,
                          const char **ret_reason);

/*
 * Makes the `size` bytes at `value` (0 to value_size; 8-byte aligned or not) the newest of `key`,
 * which may be any number. The writer's thread only. HL_LIMIT: the key is new and max_keys are
 * there; HL_TOO_LARGE: over value_size. Nothing is changed then.
 */
hl_status hl_latest_put(hl_latest *table, uint64_t key, const void *value, uint32_t size);

/*
 * Copies the newest value of `key` to `buffer` of `size` bytes, and its size to *ret_size. Any
 * thread. HL_NOT_FOUND: never put; HL_BUSY: put during each try, try again; HL_TOO_LARGE: the
 * buffer is too small, *ret_size says what it takes. But for HL_OK the buffer may be scribbled on.
 */
hl_status hl_latest_get(const hl_latest *table, uint64_t key, void *buffer, uint32_t size,
                        uint32_t *ret_size);

/* Keys that were put so far. Any thread. */
uint32_t hl_latest_count(const hl_latest *table);

/*
 * As hl_latest_get, of the i-th key in the order of their first puts, i below hl_latest_count; and
 * the key to *ret_key. HL_NOT_FOUND: there is no i-th. Any thread; in the writer's never HL_BUSY.
 */
hl_status hl_latest_at(const hl_latest *table, uint32_t i, void *buffer, uint32_t size,
                       uint64_t *ret_key, uint32_t *ret_size);

#endif
