#include "ring/mpmc.h"

void hl_mpmc_open(hl_ring *ring, hl_mpmc *ret_mpmc)
{
    *ret_mpmc = (hl_mpmc){.ring = ring,
                          .slots = (char *)(ring + 1),
                          .slot_size = ring->slot_size,
                          .capacity = ring->capacity};
}
