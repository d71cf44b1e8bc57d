/* Every kind of handler with every outcome: what it costs, where the events are in the end, and
 * what their letters say; and conservation in all of it. */
#include <string.h>

#include "bus/bus.h"
#include "clinic.h"
#include "fault/faults.h"
#include "fault/watchdog.h"

#define EVENTS    6u
#define BUDGET_NS (50 * HL_MILLISECOND)
#define MORE      100u /* added to the value of what is published on */

/* ---- what a handler does ---- */

static hl_status ask_again_once(const hl_event *event, hl_publisher *out, patient *self)
{
    (void)out, (void)self;
    return event->attempt == 0 ? HL_RETRY : HL_OK;
}

static hl_status ask_again_always(const hl_event *event, hl_publisher *out, patient *self)
{
    (void)event, (void)out, (void)self;
    return HL_RETRY;
}

static hl_status reject(const hl_event *event, hl_publisher *out, patient *self)
{
    (void)event, (void)out, (void)self;
    return HL_REJECT;
}

static hl_status answer_an_error(const hl_event *event, hl_publisher *out, patient *self)
{
    (void)event, (void)out, (void)self;
    return HL_NOT_FOUND;
}

/* Of a batch the first event is taken, the rest comes again. */
static hl_status take_the_first(const hl_event *event, hl_publisher *out, patient *self)
{
    (void)out;
    return event->attempt == 0 && self->place != 0 ? HL_FAILED : HL_OK;
}

static hl_status feed_itself(const hl_event *event, hl_publisher *out, patient *self)
{
    const uint64_t next = value_of(event) + MORE;
    if (next >= 2 * MORE)
        return HL_OK;
    return hl_try_publish(out, self->own, event->key + MORE, &next, sizeof next);
}

static hl_status stop_the_bus(const hl_event *event, hl_publisher *out, patient *self)
{
    (void)event, (void)out;
    cr_assert_eq(hl_bus_stop(self->bus, 0), HL_WRONG_THREAD);
    return HL_OK;
}

/* Until the housekeeper has seen it; of a batch, once. */
static hl_status hang(const hl_event *event, hl_publisher *out, patient *self)
{
    (void)event, (void)out;
    if (self->place != 0)
        return HL_OK;
    hl_watchdog_look(self->bus->faults->watchdog, self->bus, manual_now_ns);
    manual_now_ns += BUDGET_NS;
    hl_watchdog_look(self->bus->faults->watchdog, self->bus, manual_now_ns);
    return HL_OK;
}

/* ---- and what becomes of it ---- */

typedef struct outcome {
    const char *name;
    clinic_answer *answer;
    /* Of a batch at most: what follows one that fails has failed uncalled. 0: again and again,
     * until there is room for what it publishes. */
    uint32_t calls_an_event;
    hl_dead_reason reason; /* 0: handled in the end */
    int32_t code;
    const char *text;
    uint32_t events; /* in all */
    bool is_slow;
} outcome;

static const outcome outcomes[] = {
    {"ok", clinic_do_well, 1, 0, 0, "", EVENTS, false},
    {"again once", ask_again_once, 2, 0, 0, "", EVENTS, false},
    {"again always", ask_again_always, 3, HL_DEAD_EXHAUSTED, HL_RETRY, "", EVENTS, false},
    {"reject", reject, 1, HL_DEAD_REJECTED, HL_REJECT, "", EVENTS, false},
    {"error", answer_an_error, 3, HL_DEAD_EXHAUSTED, HL_NOT_FOUND, "", EVENTS, false},
    {"error with text", clinic_fail, 3, HL_DEAD_EXHAUSTED, 7, "at attempt 2", EVENTS, false},
    {"own topic", feed_itself, 0, 0, 0, "", 2 * EVENTS, false},
    {"stop", stop_the_bus, 1, 0, 0, "", EVENTS, false},
    {"hang", hang, 1, 0, 0, "", EVENTS, true},
};

static const outcome *expected; /* of the letters that are looked at */

static bool check_letter(const hl_dead_letter *letter, void *context)
{
    cr_assert_eq(letter->reason, expected->reason, "%s: %d", expected->name, (int)letter->reason);
    cr_assert_eq(letter->error_code, expected->code, "%s: %d", expected->name, letter->error_code);
    cr_assert_str_eq(letter->error_text, expected->text, "%s", expected->name);
    cr_assert_eq(letter->attempts, expected->calls_an_event, "%s: %u attempts", expected->name,
                 letter->attempts);
    ++*(uint64_t *)context;
    return true;
}

static void open_with(clinic *c, const clinic_kind *of, clinic_answer *answer)
{
    const hl_retry_options retry = clinic_retry(HL_RETRY_ORDER_OF_DOMAIN);
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.retry = &retry;
    options.budget_ns = BUDGET_NS;
    clinic_open(c, of, options, answer);
}

/* The keys are all different, so that a contract of the latest value loses none. */
static void feed_all(clinic *c)
{
    for (uint64_t i = 0; i < EVENTS; i++)
        publish(c->feed, c->quote, i, i);
    clinic_pass(c, 40);
}

static void play(const clinic_kind *of, const outcome *what)
{
    static clinic c;
    uint64_t letters = 0;
    open_with(&c, of, what->answer);
    feed_all(&c);
    const hl_subscription_stats stats = stats_of(c.patient.subscription);
    const uint64_t dead = what->reason != 0 ? what->events : 0;
    const uint32_t calls = what->events * what->calls_an_event;
    cr_assert_eq(stats.delivered, what->events, "%s, %s: %lu", of->name, what->name,
                 (unsigned long)stats.delivered);
    cr_assert_eq(stats.dead_lettered, dead, "%s, %s: %lu", of->name, what->name,
                 (unsigned long)stats.dead_lettered);
    cr_assert_eq(stats.handled, what->events - dead, "%s, %s", of->name, what->name);
    cr_assert_eq(stats.in_retry + stats.held + stats.queued + stats.running, 0);
    cr_assert(calls == 0 || (of->is_batch ? c.patient.calls <= calls : c.patient.calls == calls),
              "%s, %s: %u calls", of->name, what->name, c.patient.calls);
    const uint32_t runs = of->is_batch ? c.patient.batches : c.patient.calls;
    cr_assert_eq(stats.slow, what->is_slow ? runs : 0, "%s, %s: %lu slow", of->name, what->name,
                 (unsigned long)stats.slow);
    expected = what;
    cr_assert_eq(hl_dlq_list(hl_bus_dlq(c.bus), NULL, check_letter, &letters, NULL), HL_OK);
    cr_assert_eq(letters, dead);
    clinic_close(&c);
}

Test(outcomes, each_of_every_kind)
{
    for (int of = 0; of < CLINIC_KINDS; of++)
        for (size_t what = 0; what < sizeof outcomes / sizeof *outcomes; what++)
            play(&clinic_kinds[of], &outcomes[what]);
}

Test(outcomes, what_a_batch_has_taken_is_not_tried_again)
{
    static clinic c;
    for (int of = 0; of < CLINIC_KINDS; of++) {
        open_with(&c, &clinic_kinds[of], take_the_first);
        feed_all(&c);
        const hl_subscription_stats stats = stats_of(c.patient.subscription);
        cr_assert_eq(stats.handled, EVENTS, "%s", clinic_kinds[of].name);
        cr_assert_eq(c.patient.largest_batch > 1, clinic_kinds[of].is_batch);
        cr_assert_eq(stats.failures != 0, clinic_kinds[of].is_batch, "%s", clinic_kinds[of].name);
        for (uint32_t i = 0; i < c.patient.calls; i++)
            for (uint32_t j = 0; j < i; j++)
                cr_assert(c.patient.log[j].sequence != c.patient.log[i].sequence ||
                              c.patient.log[j].attempt < c.patient.log[i].attempt,
                          "%s: none twice at the same attempt", clinic_kinds[of].name);
        clinic_close(&c);
    }
}

/* ---- who leaves ---- */

static hl_status leave(const hl_event *event, hl_publisher *out, patient *self)
{
    (void)event, (void)out;
    if (self->calls == 2)
        cr_assert_eq(hl_unsubscribe(self->subscription, 0, NULL), HL_DEFERRED);
    return HL_OK;
}

static hl_status send_away(const hl_event *event, hl_publisher *out, patient *self)
{
    (void)event, (void)out;
    if (self->calls == 2)
        cr_assert_eq(hl_unsubscribe(self->other, 0, NULL), HL_DEFERRED);
    return HL_OK;
}

static hl_subscription_stats row_named(hl_bus *bus, const char *name)
{
    hl_subscription_stats row;
    for (uint32_t i = 0; hl_bus_subscription_stats(bus, i, &row) == HL_OK; i++)
        if (strcmp(row.name, name) == 0)
            return row;
    cr_assert_fail("no subscription is called %s", name);
    return row;
}

Test(outcomes, of_every_kind_who_leaves_by_itself_gets_nothing_more)
{
    static clinic c;
    for (int of = 0; of < CLINIC_KINDS; of++) {
        const char *const name = clinic_kinds[of].name;
        open_with(&c, &clinic_kinds[of], leave);
        feed_all(&c);
        const uint32_t calls = c.patient.calls;
        const hl_subscription_stats row = row_named(c.bus, name);
        cr_assert_geq(calls, 2);
        cr_assert_eq(row.handled, calls, "%s", name);
        cr_assert_eq(row.handled + row.cancelled, row.delivered, "%s", name);
        feed_all(&c);
        cr_assert_eq(c.patient.calls, calls, "%s", name);
        clinic_close(&c);
    }
}

Test(outcomes, of_every_kind_who_is_sent_away_by_another_gets_nothing_more)
{
    static clinic c;
    static patient victim;
    for (int of = 0; of < CLINIC_KINDS; of++) {
        const char *const name = clinic_kinds[of].name;
        memset(&victim, 0, sizeof victim);
        victim.answer = clinic_fail; /* so that some of it waits */
        open_with(&c, &clinic_kinds[of], send_away);
        c.patient.other =
            clinic_add(&c, &clinic_kinds[of], "victim",
                       (hl_subscription_options)HL_SUBSCRIPTION_OPTIONS_INIT, &victim);
        feed_all(&c);
        const uint32_t calls = victim.calls;
        const hl_subscription_stats row = row_named(c.bus, "victim");
        cr_assert_eq(row.handled + row.dead_lettered + row.cancelled, row.delivered, "%s", name);
        feed_all(&c);
        cr_assert_eq(victim.calls, calls, "%s", name);
        cr_assert_eq(stats_of(c.patient.subscription).handled, 2 * EVENTS, "%s", name);
        clinic_close(&c);
    }
}
