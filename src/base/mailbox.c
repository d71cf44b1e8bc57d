#include "base/mailbox.h"

#include "base/allocate.h"

bool hl_mailbox_make(hl_mailbox *mailbox, uint32_t slot_size, uint32_t slots)
{
    const size_t bytes = hl_ring_size_bytes(slot_size, slots);
    void *const memory = bytes != 0 ? hl_allocate(1, bytes) : NULL;
    if (memory == NULL)
        return false;
    hl_ring *const ring = hl_ring_init(memory, bytes, slot_size, slots, HL_RING_MPSC, 0, NULL);
    hl_mpsc_open(ring, &mailbox->in);
    hl_ring_consumer_open(ring, &mailbox->out);
    return true;
}

void hl_mailbox_free(hl_mailbox *mailbox)
{
    free(mailbox->in.ring); /* the memory begins with it */
}
