/*
 * Flow control in a bus: a part (bus/part.h). It makes a ladder and a valve for each partition and
 * the limits of domains and topics; each tick of the housekeeper takes a sample of each partition,
 * steps its ladder, tells its valve and the doors, and publishes what has changed.
 */
#ifndef HL_FLOW_CONTROL_H
#define HL_FLOW_CONTROL_H

#include "bus/part.h"

extern const hl_part hl_flow_part;

#endif
