#include "flow/sampler.h"

#include <inttypes.h>
#include <string.h>

#include "base/allocate.h"
#include "base/error.h"
#include "flow/range.h"

#define WINDOW_MIN_NS HL_MILLISECOND
#define WINDOW_MAX_NS (10 * HL_SECOND)
#define KEYS_MAX      UINT32_C(16777216)
#define CLOSES_MAX    UINT32_C(65536)
#define TOUCHED_MAX   ((size_t)16 << 20)
#define SLOT_MAX      UINT32_C(65600)

/* An open window. Windows lie in a ring, in the order of their opening. */
typedef struct window {
    uint64_t key;
    uint64_t closes_ns;
    uint32_t group;
} window;

struct hl_sampler {
    uint64_t window_ns;
    uint32_t max_keys;
    uint32_t slot_size;
    uint32_t slots;  /* of the ring: a power of two over max_keys, so that the value that was closed
                        last stays while the next call's window opens */
    uint64_t opened; /* windows so far; the ring holds those from `closed` to `opened` */
    uint64_t closed;
    uint32_t places; /* of the index, a power of two of at least twice max_keys */
    window *windows;
    uint32_t *index; /* open addressing: the window's slot + 1; 0: free */
    char *values;
};

hl_status hl_sampling_options_check(const hl_sampling_options *options, const char *place,
                                    hl_error *error)
{
    const hl_status size = hl_option_size_check(options->size, sizeof *options,
                                                "HL_SAMPLING_OPTIONS_INIT", place, error);
    if (size != HL_OK)
        return size;
    const hl_option_range ranges[] = {
        {"window_ns", options->window_ns, WINDOW_MIN_NS, WINDOW_MAX_NS, true},
        {"max_keys", options->max_keys, 1, KEYS_MAX, false},
        {"closes_per_look", options->closes_per_look, 1, CLOSES_MAX, false}};
    return hl_option_ranges_check(ranges, sizeof ranges / sizeof *ranges, place, error);
}

static uint32_t power_of_two_over(uint32_t least)
{
    uint32_t power = 2;
    while (power <= least)
        power *= 2;
    return power;
}

/* The first touch of a page can take ms where the machine is a virtual one: not while events wait.
 * More than TOUCHED_MAX is for slots so large, and keys so many, that it costs no memory before it
 * is used. */
static char *make_values(size_t bytes)
{
    char *const values = aligned_alloc(HL_LINE_PAIR, hl_round_up(bytes));
    if (values != NULL && bytes <= TOUCHED_MAX)
        memset(values, 0, bytes);
    return values;
}

hl_status hl_sampler_create(const hl_sampling_options *options, const char *place,
                            uint32_t slot_size, hl_sampler **ret_sampler, hl_error *error)
{
    const hl_status status = hl_sampling_options_check(options, place, error);
    if (status != HL_OK)
        return status;
    if (options->window_ns == 0)
        return hl_error_set(error, HL_INVALID,
                            "%s.window_ns: 0 means no sampling: make no sampler then", place);
    if (slot_size == 0 || slot_size > SLOT_MAX)
        return hl_error_set(error, HL_INVALID,
                            "%s: values of %" PRIu32 " bytes are out of range: use 1 to 65,600",
                            place, slot_size);
    hl_sampler *const sampler = hl_allocate(1, sizeof *sampler);
    if (sampler == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "%s: out of memory", place);
    *sampler = (hl_sampler){.window_ns = options->window_ns,
                            .max_keys = options->max_keys,
                            .slot_size = (slot_size + 63) / 64 * 64,
                            .slots = power_of_two_over(options->max_keys),
                            .places = power_of_two_over(2 * options->max_keys - 1)};
    sampler->windows = hl_allocate(sampler->slots, sizeof *sampler->windows);
    sampler->index = hl_allocate(sampler->places, sizeof *sampler->index);
    sampler->values = make_values((size_t)sampler->slots * sampler->slot_size);
    if (sampler->windows == NULL || sampler->index == NULL || sampler->values == NULL) {
        hl_sampler_destroy(sampler);
        return hl_error_set(error, HL_NO_MEMORY,
                            "%s.max_keys: no memory for %" PRIu32 " values of %" PRIu32
                            " bytes: lower it",
                            place, options->max_keys, slot_size);
    }
    *ret_sampler = sampler;
    return HL_OK;
}

void hl_sampler_destroy(hl_sampler *sampler)
{
    if (sampler == NULL)
        return;
    free(sampler->values);
    free(sampler->index);
    free(sampler->windows);
    free(sampler);
}

static uint32_t slot_of(const hl_sampler *sampler, uint64_t number)
{
    return (uint32_t)(number & (sampler->slots - 1));
}

static char *value_at(const hl_sampler *sampler, uint32_t slot)
{
    return sampler->values + (size_t)slot * sampler->slot_size;
}

/* Multiplicative hashing (D. E. Knuth, TAOCP 3, 6.4): the upper bits of the product. */
static uint32_t home_of(const hl_sampler *sampler, uint32_t group, uint64_t key)
{
    const uint64_t both = key ^ (uint64_t)group << 32 ^ key >> 32;
    return (uint32_t)(both * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (sampler->places - 1);
}

/* The place in the index of (group, key), or the free one where it would be. At most half are
 * taken: there is always one. */
static uint32_t place_of(const hl_sampler *sampler, uint32_t group, uint64_t key)
{
    uint32_t place = home_of(sampler, group, key);
    for (; sampler->index[place] != 0; place = (place + 1) & (sampler->places - 1)) {
        const window *const at = &sampler->windows[sampler->index[place] - 1];
        if (at->key == key && at->group == group)
            break;
    }
    return place;
}

/* Frees a place; those behind it that were pushed past it move up, so that no search ends early
 * (D. E. Knuth, TAOCP 3, 6.4, algorithm R). */
static void forget(hl_sampler *sampler, uint32_t hole)
{
    const uint32_t mask = sampler->places - 1;
    uint32_t place = hole;
    for (;;) {
        place = (place + 1) & mask;
        if (sampler->index[place] == 0)
            break;
        const window *const at = &sampler->windows[sampler->index[place] - 1];
        const uint32_t home = home_of(sampler, at->group, at->key);
        if (((place - home) & mask) < ((place - hole) & mask))
            continue; /* its home lies behind the hole */
        sampler->index[hole] = sampler->index[place];
        hole = place;
    }
    sampler->index[hole] = 0;
}

hl_status hl_sampler_offer(hl_sampler *sampler, uint32_t group, uint64_t key, const void *value,
                           uint32_t size, uint64_t now_ns, bool *ret_replaced)
{
    if (size > sampler->slot_size)
        return HL_TOO_LARGE;
    const uint32_t place = place_of(sampler, group, key);
    const bool is_open = sampler->index[place] != 0;
    if (!is_open) {
        if (sampler->opened - sampler->closed == sampler->max_keys)
            return HL_LIMIT;
        const uint32_t slot = slot_of(sampler, sampler->opened++);
        sampler->windows[slot] =
            (window){.key = key, .group = group, .closes_ns = now_ns + sampler->window_ns};
        sampler->index[place] = slot + 1;
    }
    memcpy(value_at(sampler, sampler->index[place] - 1), value, size);
    *ret_replaced = is_open;
    return HL_OK;
}

void *hl_sampler_find(const hl_sampler *sampler, uint32_t group, uint64_t key)
{
    const uint32_t slot = sampler->index[place_of(sampler, group, key)];
    return slot != 0 ? value_at(sampler, slot - 1) : NULL;
}

void *hl_sampler_due(const hl_sampler *sampler, uint64_t now_ns)
{
    if (sampler->closed == sampler->opened || hl_sampler_next_ns(sampler) > now_ns)
        return NULL;
    return value_at(sampler, slot_of(sampler, sampler->closed));
}

void *hl_sampler_close_next(hl_sampler *sampler)
{
    if (sampler->closed == sampler->opened)
        return NULL;
    const uint32_t slot = slot_of(sampler, sampler->closed);
    const window *const at = &sampler->windows[slot];
    forget(sampler, place_of(sampler, at->group, at->key));
    sampler->closed++;
    return value_at(sampler, slot);
}

uint64_t hl_sampler_next_ns(const hl_sampler *sampler)
{
    if (sampler->closed == sampler->opened)
        return UINT64_MAX;
    return sampler->windows[slot_of(sampler, sampler->closed)].closes_ns;
}

uint32_t hl_sampler_pending(const hl_sampler *sampler)
{
    return (uint32_t)(sampler->opened - sampler->closed);
}
