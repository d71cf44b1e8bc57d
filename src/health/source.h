/*
 * What has a health: a source with a gauge for each thing that is looked at. The housekeeper's; the
 * figures are handed in.
 */
#ifndef HL_HEALTH_SOURCE_H
#define HL_HEALTH_SOURCE_H

#include <hotlane/bus.h>

#include "health/gauge.h"

#define HL_SOURCE_GAUGES 5 /* at most, of any kind */

typedef struct hl_source {
    bool is_there;
    uint64_t identity; /* of one that comes and goes: a subscription's serial */
    hl_health health;  /* what is read */
    hl_gauge gauges[HL_SOURCE_GAUGES];
    hl_rate rates[2];
} hl_source;

/* Figures of a source, in the order of its kind's reasons. */
typedef struct hl_figures {
    uint64_t of[HL_SOURCE_GAUGES];
    const char *said; /* a component's own words */
} hl_figures;

/* One look. Whether its status has changed: *ret_before is then the old one, *ret_lasted_ns how
 * long it had it. */
bool hl_source_step(hl_source *source, const hl_health_options *options, const hl_figures *figures,
                    uint64_t now_ns, hl_health_status *ret_before, uint64_t *ret_lasted_ns);

#endif
