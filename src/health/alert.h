/*
 * An alert: a rule of the configuration, and whether it is raised. Pure; the clock and the counter
 * are handed in.
 */
#ifndef HL_HEALTH_ALERT_H
#define HL_HEALTH_ALERT_H

#include "health/counter.h"
#include "health/gauge.h"

typedef struct hl_alert_state {
    hl_switch raised;
    hl_rate rate;
    uint64_t value;     /* the counter, or its rate, as of the last look */
    uint64_t since_ns;  /* when it was raised or cleared last; 0: never */
    uint64_t lasted_ns; /* how long it had its position, when it turned last; 0 at first */
    uint64_t times;     /* raised */
} hl_alert_state;

/*
 * Whether a rule can be used, all but its name and the domain that it may name. HL_OK, or
 * HL_INVALID with "PLACE.field: ..."; `place` is how the sentence begins ("alerts[3]").
 */
hl_status hl_alert_rule_check(const hl_alert_rule *rule, const char *place, hl_error *error);

/* Where it is over again: what the rule says, or a tenth away from its limit. */
uint64_t hl_alert_clear(const hl_alert_rule *rule);

/* One look at the counter; looks are as far apart as for an hl_rate. Whether it was raised or
 * cleared. */
bool hl_alert_step(hl_alert_state *state, const hl_alert_rule *rule, uint64_t count,
                   uint64_t now_ns);

#endif
