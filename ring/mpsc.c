#include "ring/mpsc.h"

void hl_mpsc_open(hl_ring *ring, hl_mpsc_producer *ret_producer)
{
    *ret_producer = (hl_mpsc_producer){.ring = ring,
                                       .slots = (char *)(ring + 1),
                                       .slot_size = ring->slot_size,
                                       .capacity = ring->capacity};
}
