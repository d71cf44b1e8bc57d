/* Rules: what is refused, and when one is raised and cleared. */
#include "health/alert.h"

#include <criterion/criterion.h>
#include <string.h>

#include "tests/random.h"

#define LOOK_NS (100 * HL_MILLISECOND)

static hl_alert_rule rule_of(const char *counter, hl_alert_when when, uint64_t limit)
{
    hl_alert_rule rule = HL_ALERT_RULE_INIT;
    rule.name = "rule";
    rule.counter = counter;
    rule.when = when;
    rule.limit = limit;
    return rule;
}

static void expect_refused(const hl_alert_rule *rule, const char *sentence)
{
    hl_error error = {.text = ""};
    cr_assert_eq(hl_alert_rule_check(rule, "alerts[3]", &error), HL_INVALID);
    cr_assert_str_eq(error.text, sentence);
}

Test(alert, every_counter_can_be_named)
{
    uint32_t count = 0;
    const char *name;
    for (; (name = hl_alert_counter(count)) != NULL; count++) {
        const hl_alert_rule rule = rule_of(name, HL_ALERT_RATE_OVER, 1);
        cr_assert_eq(hl_alert_rule_check(&rule, "alerts[0]", NULL), HL_OK, "%s", name);
        for (uint32_t other = 0; other < count; other++)
            cr_assert_str_neq(name, hl_alert_counter(other));
    }
    cr_assert_gt(count, 30);
    cr_assert_lt(count, 128, "all are compared with a mistyped one");
}

Test(alert, a_bad_rule_is_refused_with_the_place_and_the_remedy)
{
    hl_alert_rule rule = rule_of("lane.rejectde", HL_ALERT_OVER, 1);
    expect_refused(&rule, "alerts[3].counter: there is none named \"lane.rejectde\": did you mean "
                          "\"lane.rejected\"?");
    rule.counter = "temperature";
    expect_refused(&rule, "alerts[3].counter: there is none named \"temperature\": use one such as "
                          "\"lane.rejected\" (hl_alert_counter has them all)");
    rule.counter = NULL;
    expect_refused(&rule, "alerts[3].counter: it is missing: use one such as \"lane.rejected\"");
    rule = rule_of("lane.rejected", HL_ALERT_OVER, 10);
    rule.of = "order/urgent";
    expect_refused(&rule, "alerts[3].of: \"order/urgent\" names no lane: behind the domain's name "
                          "use /critical, /high, /normal, /low or /background, or nothing");
    rule = rule_of("bus.refused", HL_ALERT_OVER, 10);
    rule.of = "order";
    expect_refused(&rule, "alerts[3].of: bus.refused is of the whole bus: leave it out");
    rule = rule_of("lane.rejected", HL_ALERT_OVER, 10);
    rule.clear = 11;
    expect_refused(&rule, "alerts[3].clear: 11 is above the limit, where it is raised: use 0 to "
                          "10");
    rule.when = HL_ALERT_RATE_UNDER;
    rule.clear = 9;
    expect_refused(&rule, "alerts[3].clear: 9 is below the limit, where it is raised: use 10 or "
                          "more");
    rule.limit = 0;
    expect_refused(&rule, "alerts[3].limit: nothing is under 0: use at least 1, or an \"over\"");
    rule = rule_of("lane.rejected", HL_ALERT_OVER, 10);
    rule.for_ns = 3601 * HL_SECOND;
    expect_refused(&rule, "alerts[3].for_ns: 3601000000000 is out of range: use 0 to "
                          "3600000000000");
    rule.for_ns = 0;
    rule.severity = HL_HEALTH_OK;
    expect_refused(&rule, "alerts[3].severity: 0 is out of range: use 1 to 2");
    rule.severity = HL_HEALTH_CRITICAL;
    rule.when = (hl_alert_when)4;
    expect_refused(&rule, "alerts[3].when: 4 is out of range: use 0 to 3");
    rule.size = 1;
    cr_assert_eq(hl_alert_rule_check(&rule, "alerts[3]", NULL), HL_INVALID);
}

Test(alert, it_clears_a_tenth_away_from_its_limit_unless_told)
{
    hl_alert_rule rule = rule_of("lane.pending", HL_ALERT_OVER, 1000);
    cr_assert_eq(hl_alert_clear(&rule), 900);
    rule.when = HL_ALERT_UNDER;
    cr_assert_eq(hl_alert_clear(&rule), 1100);
    rule.limit = UINT64_MAX;
    cr_assert_eq(hl_alert_clear(&rule), UINT64_MAX);
    rule.clear = 5;
    cr_assert_eq(hl_alert_clear(&rule), 5);
}

/* By the definition, from the whole history: raised when it was true in all looks for for_ns. */
static bool was_so(const uint64_t *values, int first, int last, int looks, bool under, bool clear,
                   uint64_t bound)
{
    if (last - looks < first)
        return false;
    for (int i = last - looks; i <= last; i++) {
        const bool so = under ? (clear ? values[i] >= bound : values[i] < bound)
                              : (clear ? values[i] <= bound : values[i] > bound);
        if (!so)
            return false;
    }
    return true;
}

Test(alert, it_is_what_its_definition_says_on_random_walks)
{
    enum { LOOKS = 20000 };
    static uint64_t values[LOOKS];
    for (int under = 0; under < 2; under++) {
        hl_alert_rule rule = rule_of("lane.pending", under ? HL_ALERT_UNDER : HL_ALERT_OVER, 50);
        rule.clear = under ? 55 : 45;
        rule.for_ns = 200 * HL_MILLISECOND;
        rule.clear_for_ns = 500 * HL_MILLISECOND;
        hl_alert_state state = {.value = 0};
        bool is_raised = false;
        uint64_t random = 7, value = 50, times = 0;
        int first = 0;
        for (int i = 0; i < LOOKS; i++) {
            const uint64_t step = random_below(&random, 9);
            value = value + step < 4 ? 0 : value + step - 4 > 100 ? 100 : value + step - 4;
            values[i] = value;
            const bool turned = was_so(values, first, i, is_raised ? 5 : 2, under != 0, is_raised,
                                       is_raised ? rule.clear : rule.limit);
            cr_assert_eq(hl_alert_step(&state, &rule, value, HL_SECOND + (uint64_t)i * LOOK_NS),
                         turned);
            if (turned) {
                is_raised = !is_raised;
                times += is_raised;
                first = i + 1;
            }
            cr_assert_eq(state.raised.is_on, is_raised);
            cr_assert_eq(state.value, value);
        }
        cr_assert_gt(times, 10);
        cr_assert_eq(state.times, times);
    }
}

Test(alert, a_rate_is_judged_after_its_first_second)
{
    hl_alert_rule rule = rule_of("lane.committed", HL_ALERT_RATE_UNDER, 10);
    rule.clear_for_ns = 0;
    hl_alert_state state = {.value = 0};
    uint64_t now_ns = HL_SECOND, count = 0;
    for (int i = 0; i < 10; i++, now_ns += LOOK_NS)
        cr_assert_not(hl_alert_step(&state, &rule, count, now_ns), "nobody knows the rate yet");
    cr_assert(hl_alert_step(&state, &rule, count, now_ns));
    cr_assert(state.raised.is_on);
    for (int i = 0; i < 30; i++) {
        now_ns += LOOK_NS;
        count += 2;
        hl_alert_step(&state, &rule, count, now_ns);
    }
    cr_assert_not(state.raised.is_on);
    cr_assert_eq(state.value, 20);
    cr_assert_eq(state.times, 1);
}
