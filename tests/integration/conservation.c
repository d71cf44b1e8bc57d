/* Promises 1 and 2: no event is lost or counted twice, each publisher's order is kept, and a
 * partition's sequences have no gaps, with publishers and subscribers coming and going. */
#include <limits.h>
#include <stdlib.h>

#include "own_bus.h"

#define EVENTS    (60000u / OWN_SHARE) /* of each publishing thread */
#define THREADS   4u
#define RUN_SLOTS 3u

typedef struct scene {
    hl_bus *bus;
    hl_topic trade, order, pnl;
    hl_shared_publisher *shared;
    uint64_t next[THREADS]; /* by key: the value that must come */
    uint64_t sequence, seen;
    uint64_t done;
} scene;

typedef struct actor {
    scene *of;
    uint32_t number;
} actor;

/* ---- publishers ---- */

static void fill(hl_claim *claim, uint64_t first)
{
    for (uint32_t i = 0; i < claim->count; i++)
        *(uint64_t *)(void *)(hl_claim_event(claim, i) + 1) = first + i;
}

/* Values 0, 1, 2, ... under the thread's own key; some claims are given up in between. */
static void *publish_exclusively(void *context)
{
    const actor *const self = context;
    scene *const of = self->of;
    unsigned seed = self->number;
    char name[] = {'e', (char)('0' + self->number), '\0'};
    hl_publisher *publisher = own_publisher(of->bus, name, "market_data");
    for (uint64_t value = 0; value < EVENTS;) {
        hl_claim claim;
        const uint32_t count = 1 + (uint32_t)rand_r(&seed) % RUN_SLOTS;
        if (hl_try_claim_run(publisher, of->trade, self->number, 8, count, &claim) != HL_OK) {
            sched_yield();
            continue;
        }
        if (rand_r(&seed) % 8 == 0) {
            hl_abort(&claim);
            continue;
        }
        fill(&claim, value);
        hl_commit(&claim);
        value += count;
        /* A publisher's order is that of its handle: the next one begins when this has passed. */
        if (rand_r(&seed) % 4096 == 0) {
            own_await(&of->next[self->number], value);
            hl_publisher_close(publisher);
            publisher = own_publisher(of->bus, name, "market_data");
        }
    }
    hl_publisher_close(publisher);
    return NULL;
}

static void *publish_together(void *context)
{
    const actor *const self = context;
    scene *const of = self->of;
    unsigned seed = self->number;
    for (uint64_t value = 0; value < EVENTS;) {
        hl_claim claim;
        const uint32_t count = 1 + (uint32_t)rand_r(&seed) % RUN_SLOTS;
        if (hl_shared_try_claim_run(of->shared, of->trade, self->number, 8, count, &claim) !=
            HL_OK) {
            sched_yield();
            continue;
        }
        if (rand_r(&seed) % 8 == 0) {
            hl_abort(&claim);
            continue;
        }
        fill(&claim, value);
        hl_commit(&claim);
        value += count;
    }
    return NULL;
}

/* ---- handlers ---- */

static hl_status check_order(const hl_event *event, hl_publisher *out, void *context)
{
    (void)out;
    scene *const of = context;
    const uint64_t value = own_value(event);
    cr_assert_eq(event->sequence, of->sequence + 1, "sequence %lu after %lu", event->sequence,
                 of->sequence);
    of->sequence = event->sequence;
    cr_assert_eq(value, of->next[event->key], "publisher %lu: %lu, not %lu", event->key, value,
                 of->next[event->key]);
    hl_store_release_u64(&of->next[event->key], value + 1);
    of->seen++;
    return HL_OK;
}

static hl_status forward_to_order(const hl_event *event, hl_publisher *out, void *context)
{
    const scene *const of = context;
    const uint64_t value = own_value(event);
    return hl_try_publish(out, of->order, event->key, &value, sizeof value);
}

static hl_status forward_to_account(const hl_event *event, hl_publisher *out, void *context)
{
    const scene *const of = context;
    const uint64_t value = own_value(event);
    if (hl_publish(out, of->pnl, event->key, &value, sizeof value) == HL_FULL)
        return HL_FAILED;
    return value % 16 == 0 ? HL_FAILED : HL_OK; /* taken back */
}

/* ---- who comes and goes, and who looks on ---- */

static hl_status visit_together(const hl_batch *batch, hl_publisher *out, void *context)
{
    return own_visit(batch->events[0], out, context);
}

static void *come_and_go(void *context)
{
    scene *const of = ((actor *)context)->of;
    static const char *const patterns[] = {"market_data.trade", "order.*", ">", "account.>"};
    for (uint32_t i = 0; hl_load_acquire_u64(&of->done) == 0; i++) {
        own_guest *const self = own_guest_make();
        hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
        hl_subscription *subscription;
        options.concurrent = true;
        options.batch = i % 3 == 0 ? visit_together : NULL;
        options.batch_events = 7;
        cr_assert_eq(hl_subscribe(of->bus, patterns[i % 4],
                                  options.batch != NULL ? NULL : own_visit, self, &options,
                                  &subscription),
                     HL_OK);
        if (i % 2 == 0)
            sched_yield();
        cr_assert_eq(hl_unsubscribe(subscription, 60 * HL_SECOND, NULL), HL_OK);
        own_guest_free(self);
    }
    return NULL;
}

static void *look_on(void *context)
{
    scene *const of = ((actor *)context)->of;
    while (hl_load_acquire_u64(&of->done) == 0) {
        const hl_lane_stats lane = own_lane(of->bus, "market_data");
        cr_assert_leq(lane.committed + lane.rejected + lane.aborted, lane.attempts);
        /* Not `committed`: a commit is counted when the event may have passed already. */
        cr_assert_leq(lane.dispatched, lane.attempts);
        hl_subscription_stats row;
        for (uint32_t i = 0; hl_bus_subscription_stats(of->bus, i, &row) == HL_OK; i++)
            cr_assert_leq(row.handled + row.filtered + row.skipped + row.cancelled + row.queued,
                          row.delivered, "%s", row.name);
        hl_thread_status thread;
        for (uint32_t i = 0; hl_bus_thread_status(of->bus, i, &thread) == HL_OK; i++)
            cr_assert_neq(*thread.name, '\0');
        sched_yield();
    }
    return NULL;
}

/* ---- the play ---- */

static void run(hl_wait wait)
{
    scene of = {.bus = own_start(wait)};
    actor actors[THREADS];
    pthread_t threads[THREADS];
    of.trade = own_topic(of.bus, "market_data.trade", HL_DELTA);
    of.order = own_topic(of.bus, "order.new", HL_DELTA);
    of.pnl = own_topic(of.bus, "account.pnl", HL_STATE);
    cr_assert_eq(hl_shared_publisher_open(of.bus, "shared", NULL, &of.shared), HL_OK);
    hl_subscription_options first = HL_SUBSCRIPTION_OPTIONS_INIT;
    hl_subscription *witness;
    first.order = INT_MIN;
    cr_assert_eq(hl_subscribe(of.bus, "market_data.>", check_order, &of, &first, &witness), HL_OK);
    own_subscribe(of.bus, "market_data.trade", forward_to_order, &of);
    own_subscribe(of.bus, "order.new", forward_to_account, &of);
    for (uint32_t i = 0; i < THREADS; i++) {
        actors[i] = (actor){&of, i};
        threads[i] = own_thread(i < 2 ? publish_exclusively : publish_together, &actors[i]);
    }
    const pthread_t churn = own_thread(come_and_go, &actors[0]);
    const pthread_t stats = own_thread(look_on, &actors[0]);
    for (uint32_t i = 0; i < THREADS; i++)
        own_join(threads[i]);
    hl_store_release_u64(&of.done, 1);
    own_join(churn);
    own_join(stats);
    cr_assert_eq(hl_bus_stop(of.bus, 60 * HL_SECOND), HL_OK);
    const hl_lane_stats lane = own_lane(of.bus, "market_data");
    uint64_t committed = 0;
    for (uint32_t i = 0; i < THREADS; i++) {
        cr_assert_geq(of.next[i], EVENTS);
        committed += of.next[i];
    }
    cr_assert_eq(lane.committed, committed);
    cr_assert_eq(lane.dispatched, committed);
    cr_assert_eq(of.seen, committed);
    cr_assert_eq(of.sequence, committed);
    cr_assert_eq(lane.pending + lane.running + lane.abandoned, 0);
    hl_error error = {.text = ""};
    cr_assert_eq(hl_bus_check_conservation(of.bus, &error), HL_OK, "%s", error.text);
    hl_bus_destroy(of.bus);
}

Test(conservation, holds_while_spinning, .timeout = 240)
{
    run(HL_WAIT_SPIN);
}

Test(conservation, holds_while_backing_off, .timeout = 240)
{
    run(HL_WAIT_BACKOFF);
}

Test(conservation, holds_while_parking, .timeout = 240)
{
    run(HL_WAIT_PARK);
}
