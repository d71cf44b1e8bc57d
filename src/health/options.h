/* Whether the thresholds of a configuration can be used. Pure. */
#ifndef HL_HEALTH_OPTIONS_H
#define HL_HEALTH_OPTIONS_H

#include <hotlane/health.h>

/* HL_OK, or HL_INVALID with "PLACE.field: ..."; `place` is how the sentence begins ("health"). */
hl_status hl_health_options_check(const hl_health_options *options, const char *place,
                                  hl_error *error);

#endif
