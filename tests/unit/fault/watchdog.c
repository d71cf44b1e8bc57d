/* The watchdog, looking from within handlers of a bus that is turned by hand: they stand still
 * while the clock moves. */
#include "fault/watchdog.h"

#include <signal.h>

#include "../bus/manual_bus.h"
#include "base/backtrace.h"
#include "fault/faults.h"

typedef struct sleeper {
    hl_bus *bus;
    uint64_t ticks; /* of 10 ms, that each call takes */
    hl_status answer;
    uint32_t count;
} sleeper;

static void look(hl_bus *bus)
{
    hl_watchdog_look(bus->faults->watchdog, bus, manual_now_ns);
}

static hl_status sleep_on(const hl_event *event, hl_publisher *out, void *context)
{
    sleeper *const self = context;
    (void)event, (void)out;
    self->count++;
    for (uint64_t i = 0; i < self->ticks; i++) {
        look(self->bus);
        manual_now_ns += 10 * HL_MILLISECOND;
    }
    look(self->bus);
    return self->answer;
}

static hl_status sleep_on_batch(const hl_batch *batch, hl_publisher *out, void *context)
{
    return sleep_on(batch->events[0], out, context);
}

typedef struct heard {
    uint32_t slow_count, stalled_count, breaker_count;
    hl_system_slow_handler slow;
    hl_system_stalled stalled;
    hl_system_breaker breaker;
} heard;

static hl_status listen(const hl_event *event, hl_publisher *out, void *context)
{
    heard *const self = context;
    (void)out;
    if (event->payload_size == sizeof self->slow) {
        self->slow_count++;
        self->slow = *(const hl_system_slow_handler *)hl_payload(event);
    } else if (event->payload_size == sizeof self->stalled) {
        self->stalled_count++;
        self->stalled = *(const hl_system_stalled *)hl_payload(event);
    } else if (event->payload_size == sizeof self->breaker) {
        self->breaker_count++;
        self->breaker = *(const hl_system_breaker *)hl_payload(event);
    }
    return HL_OK;
}

typedef struct yard {
    hl_bus *bus;
    hl_topic order;
    hl_publisher *desk;
    sleeper sleeper;
    heard heard;
    hl_subscription *subscription;
} yard;

static void set_up(yard *y, hl_subscription_options *options)
{
    const hl_domain_config domains[] = {manual_domains[MANUAL_ORDER], manual_system};
    hl_config config = manual_config();
    config.domains = domains;
    config.domain_count = 2;
    config.handler_budget_ns = 50 * HL_MILLISECOND;
    config.turn_budget_ns = 200 * HL_MILLISECOND;
    config.max_workers = 1;
    y->bus = y->sleeper.bus = manual_start(&config);
    y->order = topic(y->bus, "order.new");
    y->desk = open_publisher(y->bus, "desk", "order");
    options->name = "sleeper";
    cr_assert_eq(hl_subscribe(y->bus, "order.new", options->batch != NULL ? NULL : sleep_on,
                              &y->sleeper, options, &y->subscription),
                 HL_OK);
    cr_assert_eq(hl_subscribe(y->bus, "system.>", listen, &y->heard, NULL, NULL), HL_OK);
}

static void run_out(yard *y)
{
    for (int i = 0; i < 4; i++) {
        turn_all(y->bus);
        cr_assert_eq(hl_bus_housekeep(y->bus), HL_OK);
    }
}

Test(watchdog, a_handler_within_its_budget_is_let_be)
{
    static yard y;
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    set_up(&y, &options);
    y.sleeper.ticks = 4;
    for (uint64_t i = 0; i < 20; i++) {
        publish(y.desk, y.order, 1, i);
        run_out(&y);
    }
    cr_assert_eq(y.sleeper.count, 20);
    cr_assert_eq(y.heard.slow_count, 0, "many calls are not one long one");
    manual_stop(y.bus);
}

Test(watchdog, a_handler_past_its_budget_is_reported_while_it_runs)
{
    for (int batch = 0; batch < 2; batch++) {
        static yard y;
        memset(&y, 0, sizeof y);
        hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
        if (batch != 0)
            options.batch = sleep_on_batch;
        set_up(&y, &options);
        y.sleeper.ticks = 6;
        publish(y.desk, y.order, 1, 1);
        run_out(&y);
        cr_assert_eq(y.heard.slow_count, 1);
        cr_assert_str_eq(y.heard.slow.subscription, "sleeper");
        cr_assert_str_eq(y.heard.slow.thread, "order");
        cr_assert_str_eq(y.heard.slow.topic, "order.new");
        cr_assert_eq(y.heard.slow.budget_ns, 50 * HL_MILLISECOND);
        cr_assert_eq(y.heard.slow.running_ns, 50 * HL_MILLISECOND);
        cr_assert_eq(hl_id_sequence(y.heard.slow.event_id), 1);
        cr_assert_eq(stats_of(y.subscription).slow, 1);
        manual_stop(y.bus);
    }
}

Test(watchdog, a_handler_on_a_worker_has_a_budget_too)
{
    for (int batch = 0; batch < 2; batch++) {
        static yard y;
        memset(&y, 0, sizeof y);
        hl_breaker_options breaker = HL_BREAKER_OPTIONS_INIT;
        hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
        breaker.open_when_slow = true;
        options.async = HL_ASYNC_UNORDERED;
        options.batch = batch != 0 ? sleep_on_batch : NULL;
        options.batch_wait_ns = 0;
        options.breaker = &breaker;
        set_up(&y, &options);
        y.sleeper.ticks = 6;
        publish(y.desk, y.order, 1, 1);
        run_out(&y);
        cr_assert_eq(y.heard.slow_count, 1);
        cr_assert_str_eq(y.heard.slow.subscription, "sleeper");
        cr_assert_not_null(strstr(y.heard.slow.thread, "worker"), "%s", y.heard.slow.thread);
        cr_assert_str_eq(y.heard.slow.topic, "order.new");
        cr_assert_eq(y.heard.slow.running_ns, 50 * HL_MILLISECOND);
        cr_assert_eq(hl_id_sequence(y.heard.slow.event_id), 1);
        cr_assert_eq(stats_of(y.subscription).slow, 1);
        cr_assert_eq(y.heard.breaker_count, 1);
        cr_assert_eq(y.heard.breaker.to, HL_BREAKER_OPEN);
        publish(y.desk, y.order, 1, 2);
        run_out(&y);
        cr_assert_eq(stats_of(y.subscription).dead_lettered, 1);
        manual_stop(y.bus);
    }
}

Test(watchdog, one_that_runs_on_is_told_again_each_time_its_time_doubles)
{
    static yard y;
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.budget_ns = 20 * HL_MILLISECOND;
    set_up(&y, &options);
    y.sleeper.ticks = 17; /* at 20, 40, 80, 160 ms */
    publish(y.desk, y.order, 1, 1);
    run_out(&y);
    cr_assert_eq(y.heard.slow_count, 4);
    cr_assert_eq(y.heard.slow.running_ns, 160 * HL_MILLISECOND);
    cr_assert_eq(stats_of(y.subscription).slow, 1, "it is one call");
    manual_stop(y.bus);
}

Test(watchdog, a_retry_is_a_call_of_its_own)
{
    static yard y;
    hl_retry_options retry = HL_RETRY_OPTIONS_INIT;
    retry.base_ns = 0;
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.retry = &retry;
    set_up(&y, &options);
    y.sleeper.ticks = 4;
    y.sleeper.answer = HL_FAILED;
    publish(y.desk, y.order, 1, 1);
    run_out(&y);
    cr_assert_eq(y.sleeper.count, 4);
    cr_assert_eq(y.heard.slow_count, 0);
    manual_stop(y.bus);
}

Test(watchdog, a_slow_handlers_breaker_opens_where_it_is_to)
{
    static yard y;
    hl_breaker_options breaker = HL_BREAKER_OPTIONS_INIT;
    breaker.open_when_slow = true;
    breaker.while_open = HL_BREAKER_SKIP;
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.breaker = &breaker;
    set_up(&y, &options);
    y.sleeper.ticks = 6;
    publish(y.desk, y.order, 1, 1);
    run_out(&y);
    publish(y.desk, y.order, 1, 2);
    run_out(&y);
    cr_assert_eq(y.sleeper.count, 1);
    cr_assert_eq(y.heard.breaker_count, 1);
    cr_assert_eq(y.heard.breaker.to, HL_BREAKER_OPEN);
    cr_assert_eq(y.heard.breaker.cause, HL_BREAKER_WATCHDOG);
    manual_stop(y.bus);
}

Test(watchdog, an_executor_without_progress_is_reported_as_stalled)
{
    static yard y;
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    set_up(&y, &options);
    y.sleeper.ticks = 21;
    publish(y.desk, y.order, 1, 1);
    run_out(&y);
    cr_assert_eq(y.heard.stalled_count, 1);
    cr_assert_str_eq(y.heard.stalled.thread, "order");
    cr_assert_str_eq(y.heard.stalled.subscription, "sleeper");
    cr_assert_eq(y.heard.stalled.stalled_ns, 200 * HL_MILLISECOND);
    manual_stop(y.bus);
}

Test(watchdog, an_executor_that_nobody_turns_is_not_stalled)
{
    static yard y;
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    set_up(&y, &options);
    publish(y.desk, y.order, 1, 1);
    for (int i = 0; i < 100; i++) {
        look(y.bus);
        manual_now_ns += 10 * HL_MILLISECOND;
    }
    run_out(&y);
    cr_assert_eq(y.heard.stalled_count, 0);
    manual_stop(y.bus);
}

/* ---- where a thread is ---- */

static uint32_t go_on = 1, is_there;

static __attribute__((noinline)) void *be_somewhere(void *context)
{
    (void)context;
    hl_backtrace_allow_here();
    hl_store_release_u32(&is_there, 1);
    while (hl_load_acquire_u32(&go_on) != 0)
        hl_pause();
    return NULL;
}

Test(watchdog, a_thread_can_be_asked_where_it_is)
{
    pthread_t thread;
    void *frames[16];
    char text[512];
    cr_assert(hl_backtrace_enable());
    cr_assert_eq(pthread_create(&thread, NULL, be_somewhere, NULL), 0);
    while (hl_load_acquire_u32(&is_there) == 0)
        hl_pause();
    const uint32_t count = hl_backtrace_of_thread(thread, frames, 16, 10 * HL_SECOND);
    cr_assert_gt(count, 0);
    uintptr_t nearest = UINTPTR_MAX;
    for (uint32_t i = 0; i < count; i++)
        if ((uintptr_t)frames[i] - (uintptr_t)be_somewhere < nearest)
            nearest = (uintptr_t)frames[i] - (uintptr_t)be_somewhere;
    cr_assert_lt(nearest, 1024, "one of its frames is in the function that it is in");
    hl_backtrace_print(frames, count, text, sizeof text);
    cr_assert_gt(strlen(text), 0);
    hl_store_release_u32(&go_on, 0);
    pthread_join(thread, NULL);
}

Test(watchdog, a_thread_that_blocks_the_signal_gives_no_answer)
{
    void *frames[16];
    sigset_t all;
    sigfillset(&all);
    cr_assert(hl_backtrace_enable());
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    cr_assert_eq(hl_backtrace_of_thread(pthread_self(), frames, 16, HL_MILLISECOND), 0);
}
