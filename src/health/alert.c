#include "health/alert.h"

#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "config/nearest.h"
#include "flow/range.h"

#define LONGEST_NS    (3600 * HL_SECOND)
#define COUNTERS_MAX  128 /* that a word is compared with */
#define COUNTER_SHOWN 40  /* bytes of a name that is none */
#define OF_MAX_BYTES  127

static bool is_rate(const hl_alert_rule *rule)
{
    return rule->when == HL_ALERT_RATE_OVER || rule->when == HL_ALERT_RATE_UNDER;
}

static bool is_under(const hl_alert_rule *rule)
{
    return rule->when == HL_ALERT_UNDER || rule->when == HL_ALERT_RATE_UNDER;
}

uint64_t hl_alert_clear(const hl_alert_rule *rule)
{
    if (rule->clear != HL_ALERT_CLEAR_DEFAULT)
        return rule->clear;
    const uint64_t tenth = rule->limit / 10;
    if (!is_under(rule))
        return rule->limit - tenth;
    return rule->limit > UINT64_MAX - tenth ? UINT64_MAX : rule->limit + tenth;
}

/* ---- the check ---- */

static hl_status unknown_counter(const hl_alert_rule *rule, const char *place, hl_error *error)
{
    const char *names[COUNTERS_MAX];
    uint32_t count = 0;
    while (count < COUNTERS_MAX && (names[count] = hl_alert_counter(count)) != NULL)
        count++;
    const char *const nearest = hl_nearest(rule->counter, names, count);
    return hl_error_set(error, HL_INVALID,
                        nearest != NULL ? "%s.counter: there is none named \"%.*s\": did you mean "
                                          "\"%s\"?"
                                        : "%s.counter: there is none named \"%.*s\": use one such "
                                          "as \"%s\" (hl_alert_counter has them all)",
                        place, COUNTER_SHOWN, rule->counter,
                        nearest != NULL ? nearest : "lane.rejected");
}

static hl_status check_of(const hl_alert_rule *rule, const hl_counter *counter, const char *place,
                          hl_error *error)
{
    hl_name domain;
    int priority;
    if (rule->of == NULL || *rule->of == '\0')
        return HL_OK;
    if (strlen(rule->of) > OF_MAX_BYTES)
        return hl_error_set(error, HL_INVALID,
                            "%s.of: the name is longer than any: use at most %d "
                            "bytes",
                            place, OF_MAX_BYTES);
    if (counter->scope == HL_COUNTER_BUS)
        return hl_error_set(error, HL_INVALID, "%s.of: %s is of the whole bus: leave it out", place,
                            counter->name);
    if (counter->scope == HL_COUNTER_LANE && !hl_counter_lane(rule->of, &domain, &priority))
        return hl_error_set(error, HL_INVALID,
                            "%s.of: \"%s\" names no lane: behind the domain's name use "
                            "/critical, /high, /normal, /low or /background, or nothing",
                            place, rule->of);
    return HL_OK;
}

static hl_status check_limits(const hl_alert_rule *rule, const char *place, hl_error *error)
{
    const uint64_t clear = hl_alert_clear(rule);
    if (is_under(rule) && rule->limit == 0)
        return hl_error_set(error, HL_INVALID,
                            "%s.limit: nothing is under 0: use at least 1, or an \"over\"", place);
    if (!is_under(rule) && clear > rule->limit)
        return hl_error_set(error, HL_INVALID,
                            "%s.clear: %" PRIu64 " is above the limit, where it is raised: use 0 "
                            "to %" PRIu64,
                            place, clear, rule->limit);
    if (is_under(rule) && clear < rule->limit)
        return hl_error_set(error, HL_INVALID,
                            "%s.clear: %" PRIu64 " is below the limit, where it is raised: use "
                            "%" PRIu64 " or more",
                            place, clear, rule->limit);
    return HL_OK;
}

hl_status hl_alert_rule_check(const hl_alert_rule *rule, const char *place, hl_error *error)
{
    hl_status status =
        hl_option_size_check(rule->size, sizeof *rule, "HL_ALERT_RULE_INIT", place, error);
    if (status != HL_OK)
        return status;
    if (rule->counter == NULL || *rule->counter == '\0')
        return hl_error_set(error, HL_INVALID,
                            "%s.counter: it is missing: use one such as \"lane.rejected\"", place);
    const hl_counter *const counter = hl_counter_find(rule->counter);
    if (counter == NULL)
        return unknown_counter(rule, place, error);
    const hl_option_range ranges[] = {
        {"when", (uint64_t)rule->when, HL_ALERT_OVER, HL_ALERT_RATE_UNDER, false},
        {"for_ns", rule->for_ns, 0, LONGEST_NS, false},
        {"clear_for_ns", rule->clear_for_ns, 0, LONGEST_NS, false},
        {"severity", (uint64_t)rule->severity, HL_HEALTH_DEGRADED, HL_HEALTH_CRITICAL, false}};
    status = hl_option_ranges_check(ranges, sizeof ranges / sizeof *ranges, place, error);
    if (status == HL_OK)
        status = check_of(rule, counter, place, error);
    return status == HL_OK ? check_limits(rule, place, error) : status;
}

/* ---- a look ---- */

static bool turns(const hl_alert_rule *rule, bool is_raised, uint64_t value)
{
    if (is_under(rule))
        return is_raised ? value >= hl_alert_clear(rule) : value < rule->limit;
    return is_raised ? value <= hl_alert_clear(rule) : value > rule->limit;
}

bool hl_alert_step(hl_alert_state *state, const hl_alert_rule *rule, uint64_t count,
                   uint64_t now_ns)
{
    uint64_t value = count;
    if (is_rate(rule) && !hl_rate_step(&state->rate, count, now_ns, &value))
        return false;
    state->value = value;
    if (!hl_switch_step(&state->raised, turns(rule, state->raised.is_on, value),
                        state->raised.is_on ? rule->clear_for_ns : rule->for_ns, now_ns))
        return false;
    state->lasted_ns = state->since_ns != 0 ? now_ns - state->since_ns : 0;
    state->since_ns = now_ns;
    state->times += state->raised.is_on;
    return true;
}
