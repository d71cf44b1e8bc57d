/*
 * What the bus itself publishes: events of the domain `system`, one topic a kind, each with a
 * payload struct of this header. They come from the housekeeper, within some 10 ms of what they
 * tell. A bus without a domain `system` publishes none.
 *
 *     hl_subscribe(bus, "system.>", on_system, NULL, NULL, NULL);
 *
 * An event's key says whom it is about (an interned number, see each struct). The domain's slots
 * must have room for the payload: 512 bytes are enough for all.
 */
#ifndef HOTLANE_SYSTEM_H
#define HOTLANE_SYSTEM_H

#include <hotlane/bus.h>

#define HL_SYSTEM_PAYLOAD_MAX 440 /* bytes */

#ifdef __cplusplus
extern "C" {
#endif

/* "system.eject": a subscriber was detached because it fell behind. Key: the same for all events
 * about one subscription. */
#define HL_TOPIC_EJECT "system.eject"
typedef struct hl_system_eject {
    char subscription[64];
    uint32_t partition;
    uint64_t behind; /* events that waited */
    uint64_t age_ns; /* how long the oldest had, where that is what it is ejected for; else 0 */
    uint64_t last_sequence;
} hl_system_eject;

/* "system.scale": the pool of workers grew or shrank. Key: 0. */
#define HL_TOPIC_SCALE "system.scale"
typedef struct hl_system_scale {
    uint32_t before, after; /* workers */
    uint64_t backlog;       /* events that waited */
    uint64_t rate_per_s;    /* events handled */
    char reason[16];        /* "backlog", "idle", "bounds" */
} hl_system_scale;

/* System events that were lost: more at once than the housekeeper's queue holds, no such domain, or
 * slots too small. Any thread. */
HL_API uint64_t hl_bus_notices_lost(const hl_bus *bus);

/* Does once what the housekeeper's thread does every 10 ms: publishes what was noticed, slews the
 * clock, frees what is done with. For HL_THREADS_MANUAL, where there is no such thread: one caller
 * at a time, not from a handler (HL_WRONG_THREAD). HL_WRONG_STATE: the bus has a housekeeper, or
 * does not run. */
HL_API hl_status hl_bus_housekeep(hl_bus *bus);

#ifdef __cplusplus
}
#endif

#endif
