/*
 * The report of `hotlane run`: the events that waited longest, of each domain (hl_bus_slowest).
 */
#ifndef HL_TOOLS_RUN_SLOWEST_H
#define HL_TOOLS_RUN_SLOWEST_H

#include <stdio.h>

#include <hotlane/hotlane.h>
#include <jansson.h>

/* The slowest of each domain, a line each; nothing when none waited. */
void run_slowest_print(const hl_bus *bus, FILE *stream);

/* By domain an array of objects, all that are kept; NULL: no memory. What the bus does not know is
 * null. */
json_t *run_slowest_json(const hl_bus *bus);

#endif
