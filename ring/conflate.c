#include "ring/conflate.h"

#include <string.h>

#define CONFLATE_MAGIC  UINT64_C(0x31666e6f434c4f48) /* "HOLConf1" in memory */
#define CONFLATE_LAYOUT 1u

/* The first 8 bytes of a value are the queue's. */
#define STAMP_SIZE sizeof(uint64_t)

_Static_assert(HL_CONFLATE_MAX_KEYS + HL_CONFLATE_MAX_PUBLISHERS * HL_CONFLATE_SPARES +
                       HL_CONFLATE_MAX_HELD <
                   HL_CONFLATE_CELL_MASK,
               "the number of a cell + 1 fits");

/* Where everything lies, from the start of the memory. */
typedef struct layout {
    uint32_t queue_capacity, entries, held;
    uint64_t queue_offset, entries_offset, seats_offset, held_offset, cells_offset, size;
} layout;

static uint32_t power_of_two_from(uint32_t least)
{
    uint32_t power = 1;
    while (power < least)
        power *= 2;
    return power;
}

static uint64_t up_to_lines(uint64_t size)
{
    return (size + 127) / 128 * 128;
}

static const char *options_fault(const hl_conflate_options *options)
{
    if (options->max_keys == 0 || options->max_keys > HL_CONFLATE_MAX_KEYS)
        return "conflate: max_keys must be from 1 to 2^24";
    if (options->slot_size == 0 || options->slot_size > HL_CONFLATE_MAX_SLOT_SIZE ||
        options->slot_size % 64 != 0)
        return "conflate: the slot size must be a multiple of 64 from 64 to 65600 bytes";
    if (options->publishers == 0 || options->publishers > HL_CONFLATE_MAX_PUBLISHERS)
        return "conflate: publishers must be from 1 to 4096";
    if (options->held == 0 || options->held > HL_CONFLATE_MAX_HELD)
        return "conflate: held must be from 1 to 65536 values";
    return NULL;
}

static layout layout_of(const hl_conflate_options *options)
{
    layout of;
    of.queue_capacity = power_of_two_from(options->max_keys);
    /* At most half are taken by keys. Each publisher may besides leave one name that found the
     * limit reached when it was entered; with them, too, some stay free, so that searches end. */
    of.entries = power_of_two_from(2 * options->max_keys + options->publishers + 1);
    of.held = power_of_two_from(options->held);
    of.queue_offset = sizeof(hl_conflate);
    of.entries_offset = up_to_lines(of.queue_offset + of.queue_capacity * sizeof(uint64_t));
    of.seats_offset = up_to_lines(of.entries_offset + of.entries * sizeof(hl_conflate_entry));
    of.held_offset = of.seats_offset + options->publishers * sizeof(hl_conflate_seat);
    of.cells_offset = up_to_lines(of.held_offset + of.held * sizeof(uint32_t));
    const uint64_t cells =
        (uint64_t)options->max_keys + options->publishers * HL_CONFLATE_SPARES + of.held;
    of.size = of.cells_offset + cells * options->slot_size;
    return of;
}

size_t hl_conflate_size_bytes(const hl_conflate_options *options)
{
    return options_fault(options) != NULL ? 0 : layout_of(options).size;
}

static void *at(const hl_conflate *table, uint64_t offset)
{
    return (char *)(uintptr_t)table + offset;
}

static hl_conflate_seat *seat_at(const hl_conflate *table, uint32_t seat)
{
    return (hl_conflate_seat *)at(table, table->seats_offset) + seat;
}

/* What is not zero at the start. Cells: the keys' first, then the seats', then the consumer's. */
static void fill_in(hl_conflate *table)
{
    uint64_t *const queue = at(table, table->queue_offset);
    const uint64_t capacity = (uint64_t)table->queue_mask + 1;
    for (uint64_t i = 0; i < capacity; i++) {
        const uint64_t position = table->start_position + i;
        /* As if of one lap before. */
        queue[position & table->queue_mask] = (position + 1 - capacity) << 32;
    }
    uint32_t cell = table->max_keys;
    for (uint32_t i = 0; i < table->publishers; i++) {
        hl_conflate_seat *const seat = seat_at(table, i);
        seat->is_free = 1;
        for (uint32_t k = 0; k < HL_CONFLATE_SPARES; k++)
            seat->spares[k] = cell++;
    }
    uint32_t *const held = at(table, table->held_offset);
    for (uint32_t i = 0; i < table->held; i++)
        held[i] = cell++;
}

static hl_conflate *refuse(const char **ret_reason, const char *reason)
{
    if (ret_reason != NULL)
        *ret_reason = reason;
    return NULL;
}

hl_conflate *hl_conflate_init(void *memory, size_t size, const hl_conflate_options *options,
                              const char **ret_reason)
{
    const char *const fault = options_fault(options);
    if (fault != NULL)
        return refuse(ret_reason, fault);
    if (memory == NULL || (uintptr_t)memory % alignof(hl_conflate) != 0)
        return refuse(ret_reason, "conflate: the memory must be aligned to 128 bytes");
    const layout of = layout_of(options);
    if (size < of.size)
        return refuse(ret_reason,
                      "conflate: the memory is smaller than hl_conflate_size_bytes says");
    hl_conflate *const table = memory;
    table->layout = CONFLATE_LAYOUT;
    table->slot_size = options->slot_size;
    table->max_keys = options->max_keys;
    table->publishers = options->publishers;
    table->held = of.held;
    table->queue_mask = of.queue_capacity - 1;
    table->entry_shift = 64 - (uint32_t)__builtin_ctz(of.entries);
    table->start_position = options->start_position;
    table->queue_offset = of.queue_offset;
    table->entries_offset = of.entries_offset;
    table->seats_offset = of.seats_offset;
    table->held_offset = of.held_offset;
    table->cells_offset = of.cells_offset;
    table->queue_claimed = options->start_position;
    table->taken = options->start_position;
    fill_in(table);
    table->magic = CONFLATE_MAGIC;
    return table;
}

hl_status hl_conflate_publisher_open(hl_conflate *table, uint32_t hint,
                                     hl_conflate_publisher *ret_publisher)
{
    for (uint32_t i = 0; i < table->publishers; i++) {
        const uint32_t number = (uint32_t)(((uint64_t)hint + i) % table->publishers);
        hl_conflate_seat *const seat = seat_at(table, number);
        uint32_t is_free = 1;
        /* Relaxed: only whether to try. SEAT: acquire, so that what the one before did is behind
         * this one. */
        if (hl_load_relaxed_u32(&seat->is_free) == 0 ||
            !hl_compare_exchange_acq_rel_u32(&seat->is_free, &is_free, 0))
            continue;
        *ret_publisher = (hl_conflate_publisher){.table = table,
                                                 .entries = at(table, table->entries_offset),
                                                 .queue = at(table, table->queue_offset),
                                                 .cells = at(table, table->cells_offset),
                                                 .seat = seat,
                                                 .slot_size = table->slot_size,
                                                 .entry_shift = table->entry_shift,
                                                 .is_alone = table->publishers == 1};
        return HL_OK;
    }
    return HL_BUSY;
}

void hl_conflate_publisher_close(hl_conflate_publisher *publisher)
{
    /* SEAT: release, so that who sits here next has all this one did behind it. */
    hl_store_release_u32(&publisher->seat->is_free, 1);
    publisher->table = NULL;
}

void hl_conflate_consumer_open(hl_conflate *table, hl_conflate_consumer *ret_consumer)
{
    *ret_consumer = (hl_conflate_consumer){.table = table,
                                           .entries = at(table, table->entries_offset),
                                           .queue = at(table, table->queue_offset),
                                           .cells = at(table, table->cells_offset),
                                           .held = at(table, table->held_offset),
                                           .position = table->start_position,
                                           .released = table->start_position,
                                           .slot_size = table->slot_size,
                                           .held_mask = table->held - 1,
                                           .queue_mask = table->queue_mask};
}

/* ---- a key that is new, or not at its home ---- */

static uint32_t keys_of(uint64_t admission)
{
    return (uint32_t)(admission >> 32);
}

/* Whether *word is `name`, or was 0 and now is. */
static bool is_named(uint64_t *word, uint64_t name, bool may_enter)
{
    /* Relaxed both: a name is set once and says nothing but itself. */
    uint64_t found = hl_load_relaxed_u64(word);
    if (found == 0 && may_enter && hl_compare_exchange_relaxed_u64(word, &found, name))
        return true;
    return found == name;
}

/* The entry of that name, which is entered when it is new and the limit is not reached. */
static hl_status enter(hl_conflate *table, uint64_t low, uint64_t high,
                       hl_conflate_place *ret_place)
{
    hl_conflate_entry *const entries = at(table, table->entries_offset);
    const uint32_t mask = (uint32_t)((UINT64_C(1) << (64 - table->entry_shift)) - 1);
    uint32_t place = hl_conflate_home(table->entry_shift, low, high);
    for (uint32_t looks = 0; looks <= mask; looks++, place = (place + 1) & mask) {
        hl_conflate_entry *const entry = &entries[place];
        /* ADMITTED: acquire, so that with the limit reached every key that got in is seen by its
         * name. Anew at each look: no publisher leaves two names behind that found no room. */
        const bool may_enter = keys_of(hl_load_acquire_u64(&table->admission)) < table->max_keys;
        /* Relaxed: a name is set once and says nothing but itself. */
        if (!may_enter && hl_load_relaxed_u64(&entry->low) == 0)
            return HL_LIMIT;
        if (is_named(&entry->low, low, may_enter) && is_named(&entry->high, high, true)) {
            *ret_place = place;
            return HL_OK;
        }
    }
    return HL_LIMIT;
}

/* Completes the admission of the place that `admission` names, whoever began it. */
static void admit(hl_conflate *table, uint64_t admission)
{
    const uint64_t keys = keys_of(admission);
    hl_conflate_entry *const entries = at(table, table->entries_offset);
    uint64_t none = 0;
    /* Relaxed: who sees the count moved on sees this, by ADMITTED; the key's cell, of the number
     * `keys`, has never been anyone's. It fails when another has done it. */
    hl_compare_exchange_relaxed_u64(&entries[(uint32_t)admission - 1].word, &none, keys + 1);
    /* ADMITTED: release, so that who sees the count sees the entry admitted. */
    hl_compare_exchange_acq_rel_u64(&table->admission, &admission, (keys + 1) << 32);
}

hl_status hl_conflate_find(hl_conflate *table, uint64_t low, uint64_t high,
                           hl_conflate_place *ret_place)
{
    hl_conflate_place place = 0;
    const hl_status status = enter(table, low, high, &place);
    if (status != HL_OK)
        return status;
    const hl_conflate_entry *const entry =
        (const hl_conflate_entry *)at(table, table->entries_offset) + place;
    for (;;) {
        /* ADMITTED: acquire, so that an entry that was admitted before is seen to be. */
        uint64_t admission = hl_load_acquire_u64(&table->admission);
        if ((uint32_t)admission != 0) {
            admit(table, admission);
            continue;
        }
        /* Relaxed: it is not behind `admission`; were it admitted later, the swap would fail. */
        if (hl_load_relaxed_u64(&entry->word) != 0)
            break;
        if (keys_of(admission) == table->max_keys)
            return HL_LIMIT;
        /* Relaxed: it names what is to be admitted, whoever does so; the next look completes it. */
        hl_compare_exchange_relaxed_u64(&table->admission, &admission, admission | (place + 1));
    }
    *ret_place = place;
    return HL_OK;
}

hl_status hl_conflate_put(hl_conflate_publisher *publisher, uint32_t group, uint64_t key,
                          const void *value, uint32_t size, bool *ret_replaced)
{
    if (size > publisher->slot_size)
        return HL_TOO_LARGE;
    hl_conflate_place place;
    void *slot;
    const hl_status status = hl_conflate_try_claim(publisher, group, key, &place, &slot);
    if (status != HL_OK)
        return status;
    if (size > STAMP_SIZE)
        memcpy((char *)slot + STAMP_SIZE, (const char *)value + STAMP_SIZE, size - STAMP_SIZE);
    *ret_replaced = hl_conflate_commit(publisher, place);
    return HL_OK;
}

uint32_t hl_conflate_key_count(const hl_conflate *table)
{
    /* Relaxed: a number for statistics. */
    return keys_of(hl_load_relaxed_u64(&table->admission));
}

uint64_t hl_conflate_pending(const hl_conflate *table)
{
    /* Relaxed both: numbers for statistics; `taken` first, so that the difference is not below
     * zero on a machine that keeps loads in order, and 0 instead on one that does not. */
    const uint64_t taken = hl_load_relaxed_u64(&table->taken);
    const uint64_t claimed = hl_load_relaxed_u64(&table->queue_claimed);
    return (int64_t)(claimed - taken) < 0 ? 0 : claimed - taken;
}

uint64_t hl_conflate_pending_puts(const hl_conflate *table)
{
    const hl_conflate_entry *const entries =
        (const hl_conflate_entry *)(const void *)((const char *)table + table->entries_offset);
    const uint64_t count = (uint64_t)1 << (64 - table->entry_shift);
    uint64_t puts = 0;
    for (uint64_t i = 0; i < count; i++)
        puts += hl_conflate_puts_of(hl_load_relaxed_u64(&entries[i].word)); /* Relaxed: at rest. */
    return puts;
}
