/*
 * Notices: how any thread of the bus has a system event published, without waiting or allocating.
 * They lie in a ring of the bus until the housekeeper publishes them.
 */
#ifndef HL_BUS_NOTICE_H
#define HL_BUS_NOTICE_H

#include <hotlane/system.h>

typedef struct hl_notices hl_notices;

/* NULL: no memory. */
hl_notices *hl_notices_make(void);
void hl_notices_free(hl_notices *notices);

/*
 * Notes an event for `topic` ("system.breaker"; static memory) with a copy of the payload of `size`
 * bytes (0 to HL_SYSTEM_PAYLOAD_MAX). Any thread, lock-free; with no room it is counted as lost.
 */
void hl_notice(hl_bus *bus, const char *topic, uint64_t key, const void *payload, uint32_t size);

/* Publishes what was noted. The housekeeper, without the bus's lock. */
void hl_notices_publish(hl_bus *bus);

#endif
