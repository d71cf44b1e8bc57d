/*
 * A manual bus (tests/unit/bus/manual_bus.h) with the domain `system` and a ladder that a test can
 * drive: a ring that is full is load, and each 10 ms the housekeeper looks.
 */
#ifndef HL_TEST_FLOW_BUS_H
#define HL_TEST_FLOW_BUS_H

#include "manual_bus.h"

#include <hotlane/system.h>

#define FLOW_RING 8 /* slots of a publisher's ring */

/* manual_config_with_system(), and steps up each 10 ms. */
hl_config flow_config(hl_domain_config *ret_domains);

/* Moves the clock and lets the housekeeper look, each 10 ms. */
void flow_tick(hl_bus *bus, uint32_t times);

/* Fills the ring of a delta topic, lets the housekeeper look once, and empties it again: one step
 * up. */
void flow_load(hl_bus *bus, hl_publisher *publisher, hl_topic delta);

hl_ladder_stats flow_ladder(const hl_bus *bus, const char *domain);

#endif
