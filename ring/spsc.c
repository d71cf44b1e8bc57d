#include "ring/spsc.h"

#if defined(HL_DEBUG_OWNER)
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

void hl_spsc_check_owner(hl_spsc_producer *producer)
{
    const int self = (int)syscall(SYS_gettid);
    if (producer->owner == 0)
        producer->owner = self;
    if (producer->owner == self)
        return;
    fprintf(stderr,
            "spsc: thread %d uses a single-producer handle that belongs to thread %d: open a ring "
            "for each thread, or one of kind HL_RING_MPSC for all\n",
            self, producer->owner);
    abort();
}
#endif

/* Behind the last committed slot; the published position when there is none. */
static uint64_t end_of_committed(hl_ring *ring, uint64_t released)
{
    char *const slots = (char *)(ring + 1);
    for (uint32_t i = ring->capacity; i > 0; i--) {
        const uint64_t position = released + i - 1;
        const uint64_t *const stamp =
            hl_ring_slot_at(slots, ring->slot_size, ring->capacity, position);
        /* Relaxed: only a producer stamps, and there is none but this one. */
        if (hl_load_relaxed_u64(stamp) == position + 1)
            return position + 1;
    }
    return released;
}

void hl_spsc_open(hl_ring *ring, hl_spsc_producer *ret_producer)
{
    /* RELEASED: acquire, so that nothing is written to a slot before the consumer has read it. */
    const uint64_t released = hl_load_acquire_u64(&ring->released);
    *ret_producer = (hl_spsc_producer){.ring = ring,
                                       .slots = (char *)(ring + 1),
                                       .position = end_of_committed(ring, released),
                                       .released = released,
                                       .slot_size = ring->slot_size,
                                       .capacity = ring->capacity};
}
