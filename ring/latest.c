#include "ring/latest.h"

#include <stdalign.h>
#include <stdbool.h>
#include <string.h>

#include "ring/order.h"

#define LATEST_MAGIC  UINT64_C(0x317473657461484c) /* "LHatest1" in memory */
#define LATEST_LAYOUT 1u
#define WORD          sizeof(uint64_t)
/* Each try is spoilt by at least one put of the key. */
#define MOST_TRIES 64

/* Then the index (u32 a place), then the entries. */
struct hl_latest {
    /* Read-only after init. */
    alignas(128) uint64_t magic;
    uint32_t layout;
    uint32_t value_size;
    uint32_t max_keys;
    uint32_t places; /* of the index, a power of two, at least 2 * max_keys */
    uint64_t entries_offset;
    uint64_t cell_size;
    /* The writer writes. */
    alignas(128) uint32_t count;
};

/* Two cells of cell_size bytes follow, each on lines of its own. */
typedef struct entry {
    alignas(64) uint64_t key; /* written once, before INDEX and COUNT let readers in */
    uint64_t version;         /* puts so far; the current cell is version & 1 */
} entry;

typedef struct cell {
    uint64_t size; /* bytes of the value */
    uint64_t words[];
} cell;

static size_t up_to(size_t size, size_t multiple)
{
    return (size + multiple - 1) / multiple * multiple;
}

static size_t cell_size_of(uint32_t value_size)
{
    return up_to(sizeof(cell) + up_to(value_size, WORD), 64);
}

static uint32_t places_of(uint32_t max_keys)
{
    uint32_t places = 2;
    while (places < 2 * max_keys)
        places *= 2;
    return places;
}

static size_t entries_offset_of(uint32_t max_keys)
{
    return sizeof(hl_latest) + up_to(places_of(max_keys) * sizeof(uint32_t), 128);
}

size_t hl_latest_size_bytes(uint32_t max_keys, uint32_t value_size)
{
    if (max_keys == 0 || max_keys > HL_LATEST_MAX_KEYS || value_size == 0 ||
        value_size > HL_LATEST_MAX_VALUE_SIZE)
        return 0;
    return entries_offset_of(max_keys) + max_keys * (sizeof(entry) + 2 * cell_size_of(value_size));
}

static hl_latest *refuse(const char **ret_reason, const char *reason)
{
    if (ret_reason != NULL)
        *ret_reason = reason;
    return NULL;
}

hl_latest *hl_latest_init(void *memory, size_t size, uint32_t max_keys, uint32_t value_size,
                          const char **ret_reason)
{
    const size_t needed = hl_latest_size_bytes(max_keys, value_size);
    if (needed == 0)
        return refuse(ret_reason, "latest: max_keys must be from 1 to 2^24, value_size from 1 to "
                                  "65600 bytes");
    if (memory == NULL || (uintptr_t)memory % alignof(hl_latest) != 0)
        return refuse(ret_reason, "latest: the memory must be aligned to 128 bytes");
    if (size < needed)
        return refuse(ret_reason, "latest: the memory is smaller than hl_latest_size_bytes says");
    hl_latest *const table = memory;
    table->layout = LATEST_LAYOUT;
    table->value_size = value_size;
    table->max_keys = max_keys;
    table->places = places_of(max_keys);
    table->entries_offset = entries_offset_of(max_keys);
    table->cell_size = cell_size_of(value_size);
    table->magic = LATEST_MAGIC;
    return table;
}

static uint32_t *index_of(const hl_latest *table)
{
    return (uint32_t *)(uintptr_t)(table + 1);
}

static entry *entry_at(const hl_latest *table, uint32_t i)
{
    char *const entries = (char *)(uintptr_t)table + table->entries_offset;
    return (entry *)(void *)(entries + i * (sizeof(entry) + 2 * table->cell_size));
}

static cell *cell_of(const hl_latest *table, entry *of, uint64_t version)
{
    return (cell *)(void *)((char *)(of + 1) + (version & 1) * table->cell_size);
}

/* The finalizer of MurmurHash3 (A. Appleby): every bit of the key moves every bit of the place. */
static uint32_t place_of(const hl_latest *table, uint64_t key)
{
    key ^= key >> 33;
    key *= UINT64_C(0xff51afd7ed558ccd);
    key ^= key >> 33;
    key *= UINT64_C(0xc4ceb9fe1a85ec53);
    key ^= key >> 33;
    return (uint32_t)key & (table->places - 1);
}

/* The key's entry; NULL when there is none, and then *ret_place is where it would be entered. There
 * is always a free place: at most half are taken. */
static entry *find(const hl_latest *table, uint64_t key, uint32_t *ret_place)
{
    const uint32_t *const index = index_of(table);
    for (uint32_t place = place_of(table, key);; place = (place + 1) & (table->places - 1)) {
        /* INDEX: acquire, so that the entry's key and first value are there. */
        const uint32_t number = hl_load_acquire_u32(&index[place]);
        if (number == 0) {
            *ret_place = place;
            return NULL;
        }
        entry *const found = entry_at(table, number - 1);
        if (found->key == key)
            return found;
    }
}

static void fill(cell *to, const void *value, uint32_t size)
{
    /* WORD: release, so that a reader that sees it finds `version` moved on at its second look. */
    hl_store_release_u64(&to->size, size);
    const uint32_t whole = size / (uint32_t)WORD, left = size % (uint32_t)WORD;
    uint64_t last = 0;
    if (left != 0)
        memcpy(&last, (const char *)value + whole * WORD, left);
    for (uint32_t i = 0; i < whole + (left != 0); i++) {
        uint64_t word = last;
        if (i < whole)
            memcpy(&word, (const char *)value + i * WORD, WORD);
        hl_store_release_u64(&to->words[i], word); /* WORD: release, as above. */
    }
}

hl_status hl_latest_put(hl_latest *table, uint64_t key, const void *value, uint32_t size)
{
    if (size > table->value_size)
        return HL_TOO_LARGE;
    uint32_t place = 0;
    entry *const known = find(table, key, &place);
    /* Relaxed: only this thread writes it. */
    const uint32_t count = hl_load_relaxed_u32(&table->count);
    if (known == NULL && count == table->max_keys)
        return HL_LIMIT;
    entry *const to = known != NULL ? known : entry_at(table, count);
    /* Relaxed: only this thread writes it. */
    const uint64_t version = hl_load_relaxed_u64(&to->version) + 1;
    fill(cell_of(table, to, version), value, size);
    /* VERSION: release, so that who sees it sees the cell filled. */
    hl_store_release_u64(&to->version, version);
    if (known == NULL) {
        to->key = key;
        /* INDEX: release, so that who finds the entry sees its key and first value. */
        hl_store_release_u32(&index_of(table)[place], count + 1);
        /* COUNT: release, so that who counts the entry sees its key and first value. */
        hl_store_release_u32(&table->count, count + 1);
    }
    return HL_OK;
}

/* One try: false when a put came between. HL_OK or HL_TOO_LARGE to *ret_status. */
static bool copy_current(const hl_latest *table, entry *from, void *buffer, uint32_t size,
                         uint32_t *ret_size, hl_status *ret_status)
{
    /* VERSION: acquire, so that the cell is seen at least as it was when it became current. */
    const uint64_t version = hl_load_acquire_u64(&from->version);
    const cell *const current = cell_of(table, from, version);
    /* WORD: acquire, so that the second look at `version` comes after it. */
    const uint32_t value_size = (uint32_t)hl_load_acquire_u64(&current->size);
    const bool fits = value_size <= size;
    for (uint32_t done = 0; fits && done < value_size; done += (uint32_t)WORD) {
        /* WORD: acquire, as above. */
        const uint64_t word = hl_load_acquire_u64(&current->words[done / WORD]);
        const uint32_t left = value_size - done;
        memcpy((char *)buffer + done, &word, left < WORD ? left : WORD);
    }
    /* Relaxed: the second look; WORD keeps it behind the copy. */
    if (hl_load_relaxed_u64(&from->version) != version)
        return false;
    *ret_size = value_size;
    *ret_status = fits ? HL_OK : HL_TOO_LARGE;
    return true;
}

static hl_status read_entry(const hl_latest *table, entry *from, void *buffer, uint32_t size,
                            uint32_t *ret_size)
{
    hl_status status = HL_BUSY;
    for (int tries = 0; tries < MOST_TRIES; tries++) {
        if (copy_current(table, from, buffer, size, ret_size, &status))
            break;
    }
    return status;
}

hl_status hl_latest_get(const hl_latest *table, uint64_t key, void *buffer, uint32_t size,
                        uint32_t *ret_size)
{
    uint32_t place;
    entry *const from = find(table, key, &place);
    if (from == NULL)
        return HL_NOT_FOUND;
    return read_entry(table, from, buffer, size, ret_size);
}

uint32_t hl_latest_count(const hl_latest *table)
{
    /* COUNT: acquire, so that the entries below it are there. */
    return hl_load_acquire_u32(&table->count);
}

hl_status hl_latest_at(const hl_latest *table, uint32_t i, void *buffer, uint32_t size,
                       uint64_t *ret_key, uint32_t *ret_size)
{
    if (i >= hl_latest_count(table))
        return HL_NOT_FOUND;
    entry *const from = entry_at(table, i);
    const hl_status status = read_entry(table, from, buffer, size, ret_size);
    if (status == HL_OK)
        *ret_key = from->key;
    return status;
}
