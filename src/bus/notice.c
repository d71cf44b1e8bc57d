#include "bus/notice.h"

#include <stdlib.h>

#include "base/mailbox.h"
#include "bus/bus.h"

#define SLOT_BYTES 512
#define SLOTS      512

typedef struct notice {
    uint64_t stamp; /* the ring's */
    const char *topic;
    uint64_t key;
    uint32_t size;
    unsigned char payload[HL_SYSTEM_PAYLOAD_MAX];
} notice;

_Static_assert(sizeof(notice) <= SLOT_BYTES, "a notice lies in one slot");

struct hl_notices {
    hl_mailbox posted;          /* the housekeeper takes them out */
    hl_publisher *publisher;    /* the housekeeper's; NULL: not opened yet */
    alignas(128) uint64_t lost; /* anyone adds */
};

hl_notices *hl_notices_make(void)
{
    hl_notices *const notices = hl_allocate(1, sizeof *notices);
    if (notices == NULL || !hl_mailbox_make(&notices->posted, SLOT_BYTES, SLOTS)) {
        free(notices);
        return NULL;
    }
    return notices;
}

void hl_notices_free(hl_notices *notices)
{
    if (notices == NULL)
        return;
    hl_mailbox_free(&notices->posted);
    free(notices);
}

static void lose(hl_notices *notices)
{
    hl_fetch_add_relaxed_u64(&notices->lost, 1); /* COUNTED (bus.h) */
}

uint64_t hl_bus_notices_lost(const hl_bus *bus)
{
    return hl_load_relaxed_u64(&bus->notices->lost); /* Relaxed: a counter. */
}

void hl_notice(hl_bus *bus, const char *topic, uint64_t key, const void *payload, uint32_t size)
{
    hl_notices *const notices = bus->notices;
    uint64_t position;
    if (size > HL_SYSTEM_PAYLOAD_MAX || !hl_mpsc_try_claim(&notices->posted.in, 1, &position)) {
        lose(notices);
        return;
    }
    notice *const slot = hl_mpsc_slot(&notices->posted.in, position);
    slot->topic = topic;
    slot->key = key;
    slot->size = size;
    if (size != 0)
        memcpy(slot->payload, payload, size);
    hl_mpsc_commit(&notices->posted.in, position, 1);
}

/* The publisher of the bus's own events, opened when there is the first. */
static hl_publisher *publisher_of(hl_bus *bus)
{
    hl_publisher_options options = HL_PUBLISHER_OPTIONS_INIT;
    options.uses = "system";
    if (bus->notices->publisher == NULL)
        hl_publisher_open(bus, "hotlane", &options, &bus->notices->publisher);
    return bus->notices->publisher;
}

static hl_status publish(hl_bus *bus, const notice *slot)
{
    hl_topic topic;
    hl_status status = hl_topic_declare(bus, slot->topic, NULL, &topic);
    if (status != HL_OK)
        return status;
    hl_publisher *const publisher = publisher_of(bus);
    return publisher == NULL
               ? HL_CLOSED
               : hl_try_publish(publisher, topic, slot->key, slot->payload, slot->size);
}

void hl_notices_publish(hl_bus *bus)
{
    hl_notices *const notices = bus->notices;
    void *first;
    while (hl_ring_peek(&notices->posted.out, 1, &first) != 0) {
        if (publish(bus, first) != HL_OK)
            lose(notices);
        hl_ring_release(&notices->posted.out, 1);
    }
}
