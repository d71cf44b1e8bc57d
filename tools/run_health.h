/* How the bus did, in the report of hotlane run: its health, the alerts, what a stop left behind.
 */
#ifndef HL_TOOLS_RUN_HEALTH_H
#define HL_TOOLS_RUN_HEALTH_H

#include <stdio.h>

#include <hotlane/hotlane.h>
#include <jansson.h>

void run_health_print(const hl_bus *bus, FILE *stream);

/* A new object; NULL: no memory. */
json_t *run_health_json(const hl_bus *bus);

void run_left_print(const hl_stop_report *stop, FILE *stream);

/* A new array; NULL: no memory. */
json_t *run_left_json(const hl_stop_report *stop);

#endif
