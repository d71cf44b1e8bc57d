#include "fault/breaker.h"

#include <string.h>

#include <criterion/criterion.h>

#include "tests/random.h"

/* ------- the model: lists of what happened, looked at anew each time ------- */

#define PAST 20000u

typedef struct outcome {
    bool failed;
    uint64_t at_ns;
} outcome;

typedef struct breaker_model {
    hl_breaker_options options;
    hl_breaker_state state;
    outcome past[PAST]; /* since it was last closed */
    uint32_t count;
    uint32_t window_begin; /* index of the failure that began the window; PAST: none */
    uint64_t opened_ns;
    uint32_t probes_good;
    bool probing;
    bool forced_open, forced_closed;
    uint32_t held;
} breaker_model;

static breaker_model checked;

static void model_close(breaker_model *model)
{
    model->state = HL_BREAKER_CLOSED;
    model->count = 0;
    model->window_begin = PAST;
}

static void model_open(breaker_model *model, uint64_t now_ns)
{
    model->state = HL_BREAKER_OPEN;
    model->opened_ns = now_ns;
    model->probes_good = 0;
    model->probing = false;
}

static bool model_too_many(const breaker_model *model)
{
    uint32_t failures = 0;
    for (uint32_t i = 0; i < model->count && i < model->options.of_last; i++)
        failures += model->past[model->count - 1 - i].failed;
    return model->options.failures != 0 && failures >= model->options.failures;
}

static bool model_too_often(breaker_model *model)
{
    const outcome *const last = &model->past[model->count - 1];
    if (model->options.rate_percent == 0)
        return false;
    if (model->window_begin != PAST &&
        last->at_ns >= model->past[model->window_begin].at_ns + model->options.rate_window_ns)
        model->window_begin = PAST;
    if (model->window_begin == PAST && last->failed)
        model->window_begin = model->count - 1;
    if (model->window_begin == PAST)
        return false;
    double failures = 0, events = 0;
    for (uint32_t i = model->window_begin; i < model->count; i++) {
        events++;
        failures += model->past[i].failed;
    }
    return events >= model->options.rate_min_events &&
           failures / events >= model->options.rate_percent / 100.0 - 1e-12;
}

static void model_outcome(breaker_model *model, bool failed, uint64_t now_ns)
{
    if (model->forced_open || model->forced_closed || model->state == HL_BREAKER_OPEN)
        return;
    if (model->state == HL_BREAKER_HALF_OPEN) {
        model->probing = false;
        if (failed)
            model_open(model, now_ns);
        else if (++model->probes_good == model->options.successes)
            model_close(model);
        return;
    }
    cr_assert_lt(model->count, PAST);
    model->past[model->count++] = (outcome){failed, now_ns};
    const bool too_often = model_too_often(model);
    if (model_too_many(model) || too_often)
        model_open(model, now_ns);
}

static bool model_passes(breaker_model *model, uint64_t now_ns)
{
    if (model->state == HL_BREAKER_CLOSED)
        return true;
    if (model->forced_open)
        return false;
    if (model->state == HL_BREAKER_OPEN && now_ns - model->opened_ns >= model->options.rest_ns) {
        model->state = HL_BREAKER_HALF_OPEN;
        model->probing = true;
        return true;
    }
    if (model->state == HL_BREAKER_HALF_OPEN && !model->probing) {
        model->probing = true;
        return true;
    }
    return false;
}

static hl_admit model_admit(breaker_model *model, uint64_t now_ns)
{
    if (model->held == 0 && model_passes(model, now_ns))
        return HL_ADMIT_DELIVER;
    if (model->options.while_open == HL_BREAKER_DEAD_LETTER)
        return HL_ADMIT_DEAD_LETTER;
    if (model->options.while_open == HL_BREAKER_SKIP)
        return HL_ADMIT_SKIP;
    if (model->held == model->options.hold_events)
        return HL_ADMIT_HOLD_FULL;
    model->held++;
    return HL_ADMIT_HOLD;
}

static void model_force(breaker_model *model, hl_breaker_force force, uint64_t now_ns)
{
    if (force == HL_BREAKER_FORCED_OPEN && model->state != HL_BREAKER_OPEN)
        model_open(model, now_ns);
    if (force == HL_BREAKER_FORCED_CLOSED)
        model_close(model);
    if (force == HL_BREAKER_FREE && model->forced_open)
        model->opened_ns = now_ns;
    model->forced_open = force == HL_BREAKER_FORCED_OPEN;
    model->forced_closed = force == HL_BREAKER_FORCED_CLOSED;
}

/* ------- random traces ------- */

static hl_breaker_options random_options(uint64_t *random)
{
    hl_breaker_options options = HL_BREAKER_OPTIONS_INIT;
    options.of_last = 1 + (uint32_t)random_below(random, 64);
    options.failures = (uint32_t)random_below(random, options.of_last + 1);
    options.rate_percent =
        random_below(random, 2) == 0 ? 0 : 1 + (uint32_t)random_below(random, 100);
    options.rate_min_events = 1 + (uint32_t)random_below(random, 50);
    options.rate_window_ns = 1 + random_below(random, 2000);
    options.rest_ns = random_below(random, 1000);
    options.successes = 1 + (uint32_t)random_below(random, 4);
    options.while_open = (hl_breaker_policy)random_below(random, 3);
    options.hold_events = 1 + (uint32_t)random_below(random, 5);
    cr_assert_eq(hl_breaker_options_check(&options, NULL), HL_OK);
    return options;
}

static void outcome_of_both(hl_breaker *breaker, breaker_model *model, bool failed, uint64_t now_ns)
{
    model_outcome(model, failed, now_ns);
    if (failed)
        hl_breaker_failed(breaker, now_ns);
    else
        hl_breaker_succeeded(breaker, now_ns);
}

static void one_step(hl_breaker *breaker, breaker_model *model, uint64_t *random,
                     uint64_t failing_percent, uint64_t now_ns)
{
    const uint64_t choice = random_below(random, 1000);
    if (choice < 3) {
        const hl_breaker_force force = (hl_breaker_force)random_below(random, 3);
        model_force(model, force, now_ns);
        hl_breaker_set_force(breaker, force, now_ns);
    } else if (choice < 6) {
        if (!model->forced_open && !model->forced_closed && model->state != HL_BREAKER_OPEN)
            model_open(model, now_ns);
        hl_breaker_trip(breaker, now_ns);
    } else if (choice < 20) {
        model->held -= model->held > 0;
        hl_breaker_unhold(breaker);
    } else if (choice < 300) {
        const bool expected = model->held > 0 && model_passes(model, now_ns);
        model->held -= expected;
        cr_assert_eq(hl_breaker_admit_held(breaker, now_ns), expected);
    } else {
        const hl_admit expected = model_admit(model, now_ns);
        cr_assert_eq(hl_breaker_admit(breaker, now_ns), expected);
        if (expected != HL_ADMIT_DELIVER)
            return;
        if (random_below(random, 20) == 0) {
            model->probing = false;
            hl_breaker_cancelled(breaker);
        } else if (random_below(random, 10) != 0) { /* else its outcome comes later, or never */
            outcome_of_both(breaker, model, random_below(random, 100) < failing_percent, now_ns);
        }
    }
    if (choice % 40 == 7) /* one that was delivered long ago */
        outcome_of_both(breaker, model, random_below(random, 100) < failing_percent, now_ns);
}

static void run_trace(uint64_t seed)
{
    uint64_t random = seed, now_ns = 1 + random_below(&random, 1000000);
    const hl_breaker_options options = random_options(&random);
    hl_breaker breaker;
    hl_breaker_init(&breaker, &options);
    memset(&checked, 0, sizeof checked);
    checked.options = options;
    model_close(&checked);
    const uint64_t failing_percent = random_below(&random, 101);
    for (uint32_t i = 0; i < 5000; i++) {
        const hl_breaker_state before = checked.state;
        one_step(&breaker, &checked, &random, failing_percent, now_ns);
        cr_assert_eq(breaker.state, checked.state, "seed %llu, step %u: %s, should be %s",
                     (unsigned long long)seed, i, hl_breaker_state_name(breaker.state),
                     hl_breaker_state_name(checked.state));
        cr_assert_eq(breaker.held, checked.held);
        hl_breaker_change change;
        if (hl_breaker_take_change(&breaker, &change)) {
            cr_assert_eq(change.to, checked.state);
            cr_assert_eq(change.at_ns, now_ns);
        } else {
            cr_assert_eq(before, checked.state, "seed %llu, step %u: a change was not told",
                         (unsigned long long)seed, i);
        }
        now_ns += random_below(&random, 60);
    }
}

Test(breaker, does_what_the_model_does)
{
    for (uint64_t seed = 1; seed <= 400; seed++)
        run_trace(seed * 104729);
}

/* ------- what it is for ------- */

static hl_breaker_options three_of_five(void)
{
    hl_breaker_options options = HL_BREAKER_OPTIONS_INIT;
    options.failures = 3;
    options.of_last = 5;
    options.rest_ns = 1000;
    options.successes = 2;
    return options;
}

static void fail(hl_breaker *breaker, uint32_t times, uint64_t now_ns)
{
    for (uint32_t i = 0; i < times; i++)
        hl_breaker_failed(breaker, now_ns);
}

Test(breaker, without_failures_nothing_is_busy)
{
    const hl_breaker_options options = three_of_five();
    hl_breaker breaker;
    hl_breaker_init(&breaker, &options);
    const hl_breaker fresh = breaker;
    for (uint64_t i = 0; i < 100; i++) {
        cr_assert_eq(hl_breaker_admit(&breaker, i), HL_ADMIT_DELIVER);
        hl_breaker_succeeded(&breaker, i);
    }
    cr_assert_eq(memcmp(&fresh, &breaker, sizeof fresh), 0);
    hl_breaker_failed(&breaker, 100);
    cr_assert_neq(breaker.busy, 0);
    for (uint64_t i = 0; i < 5; i++)
        hl_breaker_succeeded(&breaker, 101 + i);
    cr_assert_eq(breaker.busy, 0, "a failure that has left the last five is still remembered");
}

Test(breaker, opens_rests_probes_and_closes)
{
    const hl_breaker_options options = three_of_five();
    hl_breaker breaker;
    hl_breaker_change change;
    hl_breaker_init(&breaker, &options);
    fail(&breaker, 2, 10);
    cr_assert_not(hl_breaker_take_change(&breaker, &change));
    fail(&breaker, 1, 20);
    cr_assert(hl_breaker_take_change(&breaker, &change));
    cr_assert_eq(change.from, HL_BREAKER_CLOSED);
    cr_assert_eq(change.to, HL_BREAKER_OPEN);
    cr_assert_eq(change.cause, HL_BREAKER_FAILURES);
    cr_assert_eq(change.failures, 3);
    cr_assert_not(hl_breaker_take_change(&breaker, &change));
    cr_assert_eq(hl_breaker_next_probe_ns(&breaker), 1020);
    cr_assert_eq(hl_breaker_admit(&breaker, 1019), HL_ADMIT_DEAD_LETTER);
    cr_assert_eq(hl_breaker_admit(&breaker, 1020), HL_ADMIT_DELIVER);
    cr_assert_eq(hl_breaker_admit(&breaker, 1021), HL_ADMIT_DEAD_LETTER, "two probes at once");
    hl_breaker_succeeded(&breaker, 1022);
    cr_assert_eq(breaker.state, HL_BREAKER_HALF_OPEN);
    cr_assert_eq(hl_breaker_admit(&breaker, 1023), HL_ADMIT_DELIVER);
    hl_breaker_succeeded(&breaker, 1024);
    cr_assert_eq(breaker.state, HL_BREAKER_CLOSED);
    cr_assert_eq(breaker.busy, 0);
}

Test(breaker, a_bad_probe_opens_it_for_another_rest)
{
    const hl_breaker_options options = three_of_five();
    hl_breaker breaker;
    hl_breaker_init(&breaker, &options);
    fail(&breaker, 3, 0);
    cr_assert_eq(hl_breaker_admit(&breaker, 1000), HL_ADMIT_DELIVER);
    hl_breaker_failed(&breaker, 1500);
    cr_assert_eq(breaker.state, HL_BREAKER_OPEN);
    cr_assert_eq(hl_breaker_admit(&breaker, 2499), HL_ADMIT_DEAD_LETTER);
    cr_assert_eq(hl_breaker_admit(&breaker, 2500), HL_ADMIT_DELIVER);
}

Test(breaker, a_probe_without_outcome_gives_way_to_another)
{
    const hl_breaker_options options = three_of_five();
    hl_breaker breaker;
    hl_breaker_init(&breaker, &options);
    fail(&breaker, 3, 0);
    cr_assert_eq(hl_breaker_admit(&breaker, 1000), HL_ADMIT_DELIVER);
    hl_breaker_cancelled(&breaker);
    cr_assert_eq(hl_breaker_admit(&breaker, 1001), HL_ADMIT_DELIVER);
}

Test(breaker, the_rate_counts_in_a_window_that_a_failure_began)
{
    hl_breaker_options options = three_of_five();
    options.failures = 0;
    options.rate_percent = 50;
    options.rate_min_events = 4;
    options.rate_window_ns = 100;
    hl_breaker breaker;
    hl_breaker_init(&breaker, &options);
    fail(&breaker, 3, 10);
    hl_breaker_failed(&breaker, 110); /* the window is over: this begins another */
    cr_assert_eq(breaker.state, HL_BREAKER_CLOSED);
    hl_breaker_succeeded(&breaker, 120);
    hl_breaker_succeeded(&breaker, 130);
    hl_breaker_succeeded(&breaker, 140); /* 1 of 4 */
    cr_assert_eq(breaker.state, HL_BREAKER_CLOSED);
    hl_breaker_failed(&breaker, 150);
    cr_assert_eq(breaker.state, HL_BREAKER_CLOSED); /* 2 of 5 */
    hl_breaker_failed(&breaker, 160);
    cr_assert_eq(breaker.state, HL_BREAKER_OPEN); /* 3 of 6 */
    cr_assert_eq(breaker.change.cause, HL_BREAKER_RATE);
    cr_assert_eq(breaker.change.failures, 3);
}

Test(breaker, held_events_go_first_and_their_number_is_bounded)
{
    hl_breaker_options options = three_of_five();
    options.while_open = HL_BREAKER_HOLD;
    options.hold_events = 2;
    options.successes = 1;
    hl_breaker breaker;
    hl_breaker_init(&breaker, &options);
    fail(&breaker, 3, 0);
    cr_assert_eq(hl_breaker_admit(&breaker, 1), HL_ADMIT_HOLD);
    cr_assert_eq(hl_breaker_admit(&breaker, 2), HL_ADMIT_HOLD);
    cr_assert_eq(hl_breaker_admit(&breaker, 3), HL_ADMIT_HOLD_FULL);
    cr_assert_not(hl_breaker_admit_held(&breaker, 999));
    cr_assert_eq(hl_breaker_admit(&breaker, 1000), HL_ADMIT_HOLD_FULL, "one passed those held");
    cr_assert(hl_breaker_admit_held(&breaker, 1000));
    hl_breaker_succeeded(&breaker, 1001);
    cr_assert_eq(breaker.state, HL_BREAKER_CLOSED);
    cr_assert_eq(hl_breaker_admit(&breaker, 1002), HL_ADMIT_HOLD, "one passed the one held");
    cr_assert(hl_breaker_admit_held(&breaker, 1003));
    cr_assert(hl_breaker_admit_held(&breaker, 1003));
    cr_assert_not(hl_breaker_admit_held(&breaker, 1003));
    cr_assert_eq(hl_breaker_admit(&breaker, 1004), HL_ADMIT_DELIVER);
}

Test(breaker, force_holds_against_outcomes_and_time)
{
    const hl_breaker_options options = three_of_five();
    hl_breaker breaker;
    hl_breaker_init(&breaker, &options);
    hl_breaker_set_force(&breaker, HL_BREAKER_FORCED_OPEN, 10);
    cr_assert_eq(breaker.change.cause, HL_BREAKER_FORCED);
    cr_assert_eq(hl_breaker_admit(&breaker, UINT64_MAX - 1), HL_ADMIT_DEAD_LETTER);
    hl_breaker_set_force(&breaker, HL_BREAKER_FORCED_CLOSED, 20);
    cr_assert_eq(breaker.busy, 0);
    fail(&breaker, 100, 30);
    hl_breaker_trip(&breaker, 30);
    cr_assert_eq(hl_breaker_admit(&breaker, 31), HL_ADMIT_DELIVER);
    hl_breaker_set_force(&breaker, HL_BREAKER_FREE, 40);
    fail(&breaker, 2, 50);
    cr_assert_eq(breaker.state, HL_BREAKER_CLOSED);
    fail(&breaker, 1, 50);
    cr_assert_eq(breaker.state, HL_BREAKER_OPEN);
}

Test(breaker, the_watchdog_trips_it)
{
    const hl_breaker_options options = three_of_five();
    hl_breaker breaker;
    hl_breaker_init(&breaker, &options);
    hl_breaker_trip(&breaker, 7);
    cr_assert_eq(breaker.state, HL_BREAKER_OPEN);
    cr_assert_eq(breaker.change.cause, HL_BREAKER_WATCHDOG);
}

Test(breaker, a_rest_without_end_does_not_wrap)
{
    hl_breaker_options options = three_of_five();
    options.rest_ns = UINT64_MAX;
    hl_breaker breaker;
    hl_breaker_init(&breaker, &options);
    fail(&breaker, 3, 1000);
    cr_assert_eq(hl_breaker_next_probe_ns(&breaker), UINT64_MAX);
    cr_assert_eq(hl_breaker_admit(&breaker, 5000), HL_ADMIT_DEAD_LETTER);
}

static void refused(const hl_breaker_options *options, const char *field)
{
    hl_error error = {HL_OK, ""};
    cr_assert_eq(hl_breaker_options_check(options, &error), HL_INVALID);
    cr_assert_eq(strncmp(error.text, field, strlen(field)), 0, "%s", error.text);
}

Test(breaker, options_out_of_range_are_refused_by_name)
{
    hl_breaker_options options = HL_BREAKER_OPTIONS_INIT;
    cr_assert_eq(hl_breaker_options_check(&options, NULL), HL_OK);
    refused(NULL, "breaker:");
    options.size = 0;
    refused(&options, "breaker.size:");
    options = three_of_five(), options.of_last = 0;
    refused(&options, "breaker.of_last: 0");
    options = three_of_five(), options.of_last = 65;
    refused(&options, "breaker.of_last: 65");
    options = three_of_five(), options.failures = 6;
    refused(&options, "breaker.failures: 6");
    options = three_of_five(), options.rate_percent = 101;
    refused(&options, "breaker.rate_percent: 101");
    options = three_of_five(), options.rate_percent = 1, options.rate_min_events = 0;
    refused(&options, "breaker.rate_min_events: 0");
    options = three_of_five(), options.rate_percent = 1, options.rate_window_ns = 0;
    refused(&options, "breaker.rate_window_ns: 0");
    options = three_of_five(), options.successes = 0;
    refused(&options, "breaker.successes: 0");
    options = three_of_five(), options.while_open = (hl_breaker_policy)3;
    refused(&options, "breaker.while_open: 3");
    options = three_of_five(), options.while_open = HL_BREAKER_HOLD, options.hold_events = 65537;
    refused(&options, "breaker.hold_events: 65537");
}
