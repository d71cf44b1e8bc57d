#include "ring/ring.h"

_Static_assert(HL_RING_MAX_CAPACITY <= UINT32_MAX / 2, "counts of slots are 32 bits");
_Static_assert(HL_RING_MAX_SLOT_SIZE % HL_RING_MIN_SLOT_SIZE == 0, "slots are whole lines");

static hl_ring *refuse(const char **ret_reason, const char *reason)
{
    if (ret_reason != NULL)
        *ret_reason = reason;
    return NULL;
}

size_t hl_ring_size_bytes(uint32_t slot_size, uint32_t capacity)
{
    if (slot_size < HL_RING_MIN_SLOT_SIZE || slot_size > HL_RING_MAX_SLOT_SIZE ||
        slot_size % HL_RING_MIN_SLOT_SIZE != 0)
        return 0;
    if (capacity == 0 || capacity > HL_RING_MAX_CAPACITY || (capacity & (capacity - 1)) != 0)
        return 0;
    return sizeof(hl_ring) + (size_t)slot_size * capacity;
}

static char *slots_of(hl_ring *ring)
{
    return (char *)(ring + 1);
}

static uint64_t *stamp_at(hl_ring *ring, uint64_t position)
{
    return hl_ring_slot_at(slots_of(ring), ring->slot_size, ring->capacity, position);
}

static bool is_kind(uint32_t kind)
{
    return kind == HL_RING_SPSC || kind == HL_RING_MPSC || kind == HL_RING_MPMC;
}

hl_ring *hl_ring_init(void *memory, size_t size, uint32_t slot_size, uint32_t capacity,
                      hl_ring_kind kind, uint64_t start_position, const char **ret_reason)
{
    const size_t needed = hl_ring_size_bytes(slot_size, capacity);
    if (needed == 0)
        return refuse(ret_reason, "ring: the slot size must be a multiple of 64 from 64 to 65600 "
                                  "bytes, the capacity a power of two from 1 to 2^30");
    if (!is_kind((uint32_t)kind))
        return refuse(ret_reason,
                      "ring: the kind must be HL_RING_SPSC, HL_RING_MPSC or HL_RING_MPMC");
    if (memory == NULL || (uintptr_t)memory % HL_RING_LINE_PAIR != 0)
        return refuse(ret_reason, "ring: the memory must be aligned to 128 bytes");
    if (size < needed)
        return refuse(ret_reason, "ring: the memory is smaller than hl_ring_size_bytes says");

    hl_ring *const ring = memory;
    ring->layout = HL_RING_LAYOUT;
    ring->kind = (uint32_t)kind;
    ring->generation = 1;
    ring->slot_size = slot_size;
    ring->capacity = capacity;
    ring->start_position = start_position;
    ring->released = start_position;
    ring->room_wanted = start_position - 1; /* a position that was never published: no request */
    ring->taken = start_position;
    ring->claimed = start_position;
    ring->released_seen = start_position;
    for (uint32_t i = 0; i < capacity; i++) {
        const uint64_t position = start_position + i;
        *stamp_at(ring, position) = kind == HL_RING_MPMC ? 2 * position : position + 1 - capacity;
    }
    ring->magic = HL_RING_MAGIC;
    return ring;
}

/* NULL, or why the header cannot be one of this layout. */
static const char *header_fault(const hl_ring *ring, size_t size)
{
    if (ring->magic != HL_RING_MAGIC)
        return "ring: there is no ring in this memory (its first 8 bytes differ): init it";
    if (ring->layout != HL_RING_LAYOUT)
        return "ring: laid out by another version of this library: drain it with that one";
    if (!is_kind(ring->kind))
        return "ring: damaged: its kind is none of SPSC, MPSC and MPMC: init it anew";
    const size_t needed = hl_ring_size_bytes(ring->slot_size, ring->capacity);
    if (needed == 0)
        return "ring: damaged: its slot size or capacity is out of range: init it anew";
    if (size < needed)
        return "ring: the memory is smaller than its header says: map all of it";
    if (ring->generation == 0)
        return "ring: damaged: its generation is 0: init it anew";
    return NULL;
}

#define MORE_CLAIMED_THAN_HELD "ring: damaged: more is claimed than it holds: init it anew"
#define STAMP_OF_NO_LAP \
    "ring: damaged: a slot's stamp is neither of this lap nor of the one before: init it anew"

/* NULL, or why the positions and stamps cannot be those of an MPMC ring. */
static const char *mpmc_content_fault(hl_ring *ring)
{
    const uint64_t claimed = ring->claimed - ring->taken;
    if (claimed > ring->capacity)
        return MORE_CLAIMED_THAN_HELD;
    for (uint32_t i = 0; i < ring->capacity; i++) {
        const uint64_t position = ring->taken + i;
        const uint64_t stamp = *stamp_at(ring, position);
        /* Free for its position; or filled for it, if it was claimed; or, if it was not, taken and
         * not yet released in the lap before. */
        const uint64_t other = i < claimed ? position : position - ring->capacity;
        if (stamp != 2 * position && stamp != 2 * other + 1)
            return STAMP_OF_NO_LAP;
    }
    return NULL;
}

/* NULL, or why the positions and stamps cannot be those of a ring of one consumer. */
static const char *content_fault(hl_ring *ring)
{
    const uint64_t claimed = ring->claimed - ring->released;
    if (ring->kind == HL_RING_MPSC && claimed > ring->capacity)
        return MORE_CLAIMED_THAN_HELD;
    for (uint32_t i = 0; i < ring->capacity; i++) {
        const uint64_t position = ring->released + i;
        const uint64_t stamp = *stamp_at(ring, position);
        const bool filled = stamp == position + 1;
        if (!filled && stamp != position + 1 - ring->capacity)
            return STAMP_OF_NO_LAP;
        if (filled && ring->kind == HL_RING_MPSC && i >= claimed)
            return "ring: damaged: a slot is filled that was never claimed: init it anew";
    }
    return NULL;
}

hl_ring *hl_ring_attach(void *memory, size_t size, const char **ret_reason)
{
    if (memory == NULL || (uintptr_t)memory % HL_RING_LINE_PAIR != 0)
        return refuse(ret_reason, "ring: the memory must be aligned to 128 bytes");
    if (size < sizeof(hl_ring))
        return refuse(ret_reason, "ring: the memory is smaller than a ring's header");
    hl_ring *const ring = memory;
    const char *fault = header_fault(ring, size);
    if (fault == NULL)
        fault = ring->kind == HL_RING_MPMC ? mpmc_content_fault(ring) : content_fault(ring);
    if (fault != NULL)
        return refuse(ret_reason, fault);
    /* A request for room and a copy of `released` belong to producers that are gone. */
    ring->room_wanted = ring->released - 1;
    ring->released_seen = ring->released;
    ring->generation++;
    return ring;
}

void hl_ring_consumer_open(hl_ring *ring, hl_ring_consumer *ret_consumer)
{
    const uint32_t eighth = ring->capacity / 8;
    /* Relaxed: only a consumer writes it, and there is none but this one. */
    const uint64_t released = hl_load_relaxed_u64(&ring->released);
    const uint64_t bytes = (uint64_t)ring->capacity * ring->slot_size;
    *ret_consumer = (hl_ring_consumer){.ring = ring,
                                       .slots = slots_of(ring),
                                       .position = released,
                                       .published = released,
                                       .rewritten = released,
                                       .slot_size = ring->slot_size,
                                       .capacity = ring->capacity,
                                       .publish_after = eighth == 0 ? 1 : eighth,
                                       .rewritten_bytes = hl_ring_rewritten_bytes(ring->slot_size),
                                       .is_large = bytes > HL_RING_CACHED_BYTES};
}
