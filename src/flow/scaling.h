/*
 * The part of a bus that has its pool of workers grow and shrink: a sample of the pool each time
 * the housekeeper looks, the decision by scale.h, the change by bus/pool.h, told as `system.scale`.
 */
#ifndef HL_FLOW_SCALING_H
#define HL_FLOW_SCALING_H

#include "bus/part.h"

extern const hl_part hl_scaling_part;

#endif
