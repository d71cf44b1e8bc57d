/*
 * The part that looks how the bus does (hotlane/health.h): each 100 ms the housekeeper takes the
 * figures of all sources and counters, and posts what has changed.
 */
#ifndef HL_HEALTH_HEALTHS_H
#define HL_HEALTH_HEALTHS_H

#include "bus/bus.h"

#define HL_HEALTH_LOOK_NS           (100 * HL_MILLISECOND)
#define HL_HEALTH_SUBSCRIPTIONS_MAX 4096u /* that are looked at: those subscribed first */

extern const hl_part hl_health_part;

#endif
