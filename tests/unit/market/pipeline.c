#include "market/pipeline.h"

#include <criterion/criterion.h>

#include "test_run.h"

static market_order_counts orders_of(const test_run *run)
{
    market_order_counts counts;
    market_pipeline_orders(run->pipeline, &counts);
    return counts;
}

static uint64_t dispatched(const test_run *run, const char *domain)
{
    hl_lane_stats stats;
    cr_assert_eq(hl_bus_lane_stats(run->bus, domain, -1, &stats), HL_OK);
    return stats.dispatched;
}

/* Market data without the quotes that it causes. */
static uint64_t messages(const test_run *run)
{
    hl_lane_stats stats;
    cr_assert_eq(hl_bus_lane_stats(run->bus, "market_data", HL_NORMAL, &stats), HL_OK);
    return stats.dispatched;
}

/* However many quotes were conflated on the way, the last one of each book has come. */
static void expect_board(const test_run *run)
{
    hl_lane_stats lane;
    market_quote_counts quotes;
    uint64_t position = 0, key;
    const market_book *book;
    cr_assert_eq(hl_bus_lane_stats(run->bus, "market_data", HL_LOW, &lane), HL_OK);
    market_pipeline_quotes(run->pipeline, &quotes);
    cr_expect_eq(quotes.late, 0, "a lane that conflates is never full");
    cr_expect_eq(quotes.told, lane.committed);
    cr_expect_eq(quotes.told, quotes.seen + lane.conflated);
    while ((book = market_pipeline_next_book(run->pipeline, &position, &key)) != NULL) {
        const market_quote *const quote = market_pipeline_board(run->pipeline, key);
        cr_assert_not_null(quote);
        cr_expect_eq(quote->best_bid, book->top.best_bid);
        cr_expect_eq(quote->best_ask, book->top.best_ask);
        cr_expect_eq(quote->best_bid_size, book->top.best_bid_size);
        cr_expect_eq(quote->best_ask_size, book->top.best_ask_size);
    }
}

/* The books that the pipeline ends with are those that the messages give one after the other. */
static void expect_books(const test_run *run)
{
    for (uint32_t input = 0; input < run->input_count; input++) {
        market_books *books;
        cr_assert_eq(market_books_create(MARKET_BOOKS_WHOLE, &books), HL_OK);
        const market_recording *const recording = &run->recordings[input];
        for (size_t index = 0; index < recording->count; index++)
            market_books_apply(books, &recording->messages[index]);
        uint64_t position = 0, key;
        uint32_t seen = 0;
        const market_book *book;
        while ((book = market_pipeline_next_book(run->pipeline, &position, &key)) != NULL) {
            if (market_key_input(key) != input)
                continue;
            uint32_t number = 0;
            const market_book *expected;
            while ((expected = market_books_at(books, number)) != NULL &&
                   expected->instrument != market_key_instrument(key))
                number++;
            cr_assert_not_null(expected);
            cr_expect_eq(memcmp(&book->top, &expected->top, sizeof book->top), 0);
            cr_expect_eq(book->orders, expected->orders);
            cr_expect(market_book_exact(book));
            seen++;
        }
        cr_expect_eq(seen, 8, "the synthetic day has eight symbols");
        market_books_destroy(books);
    }
}

static void expect_trading(const test_run *run, uint32_t max_position)
{
    const market_order_counts orders = orders_of(run);
    cr_expect_gt(orders.sent, 0);
    cr_expect_eq(orders.sent, orders.acked + orders.rejected);
    cr_expect_eq(orders.acked, orders.filled + orders.cancelled);
    cr_expect_eq(orders.errors, 0);
    uint64_t position = 0, key, fills = 0;
    const market_position *account;
    while ((account = market_pipeline_next_position(run->pipeline, &position, &key)) != NULL) {
        cr_expect_leq(account->position, (int64_t)max_position);
        cr_expect_geq(account->position, -(int64_t)max_position);
        fills += account->fills;
    }
    cr_expect_eq(fills, dispatched(run, "account"), "one position a fill");
    cr_expect_eq(dispatched(run, "fill"), fills + orders.sent, "and an end for each order");
}

static void expect_no_failures(const test_run *run)
{
    hl_subscription_stats stats;
    for (uint32_t index = 0; hl_bus_subscription_stats(run->bus, index, &stats) == HL_OK; index++)
        cr_expect_eq(stats.failures, 0, "%s", stats.name);
}

/* A subscriber of the test's own: how many events of a topic there were, and of `order.new` whether
 * each has an id of its own. */
#define IDS 100000u

typedef struct order_witness {
    uint64_t events;
    uint64_t doubles;
    bool ids[IDS];
} order_witness;

static hl_status on_event(const hl_event *event, hl_publisher *out, void *context)
{
    (void)out;
    order_witness *const witness = context;
    const market_order *const order = hl_payload(event); /* a report begins with its id as well */
    cr_assert_lt(order->order_id, IDS);
    witness->events++;
    witness->doubles += witness->ids[order->order_id];
    witness->ids[order->order_id] = true;
    return HL_OK;
}

static order_witness *watch(const test_run *run, const char *topic)
{
    order_witness *const witness = calloc(1, sizeof *witness);
    cr_assert_not_null(witness);
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.concurrent = true; /* all shards are turned by one thread here */
    hl_subscription *subscription;
    cr_assert_eq(hl_subscribe(run->bus, topic, on_event, witness, &options, &subscription), HL_OK);
    return witness;
}

/* What the strategy alone says to a recording. */
static uint64_t signals_in(const market_recording *recording,
                           const market_strategy_options *options)
{
    market_books *books;
    market_strategy strategy;
    cr_assert_eq(market_books_create(MARKET_BOOKS_WHOLE, &books), HL_OK);
    cr_assert_eq(market_strategy_init(&strategy, options, 0), HL_OK);
    uint64_t count = 0;
    for (size_t index = 0; index < recording->count; index++) {
        const market_message *const message = &recording->messages[index];
        const market_book *const book = market_books_apply(books, message);
        market_signal signal;
        if (!market_strategy_look(&strategy, book, message->exchange_ns, &signal))
            continue;
        market_strategy_given(&strategy, book, &signal);
        count++;
    }
    market_strategy_free(&strategy);
    market_books_destroy(books);
    return count;
}

Test(market_pipeline, takes_a_day_from_feed_to_fill)
{
    test_run run;
    const market_pipeline_options options = MARKET_PIPELINE_OPTIONS_INIT;
    test_run_prepare(&run, 1, 100000);
    test_run_open(&run, &options, 1);
    order_witness *const filled = watch(&run, "order.filled");
    order_witness *const cancelled = watch(&run, "order.cancelled");
    test_run_to_end(&run, 1);
    cr_expect_eq(orders_of(&run).filled, filled->events);
    cr_expect_eq(orders_of(&run).cancelled, cancelled->events);
    cr_expect_eq(filled->doubles + cancelled->doubles, 0);
    const market_order_counts orders = orders_of(&run);
    cr_expect_eq(orders.sent + orders.refused_signals,
                 signals_in(&run.recordings[0], &options.strategy));
    free(filled);
    free(cancelled);
    cr_expect_eq(messages(&run), run.recordings[0].count);
    expect_board(&run);
    expect_books(&run);
    expect_trading(&run, options.risk.max_position);
    expect_no_failures(&run);
    hl_latency tick;
    market_pipeline_tick_to_order(run.pipeline, &tick);
    cr_expect_eq(tick.count, orders_of(&run).sent);
    test_run_close(&run);
}

Test(market_pipeline, inputs_of_the_same_instruments_have_books_of_their_own)
{
    test_run run;
    const market_pipeline_options options = MARKET_PIPELINE_OPTIONS_INIT;
    test_run_prepare(&run, 3, 40000);
    test_run_open(&run, &options, 1);
    test_run_to_end(&run, 2);
    expect_books(&run);
    expect_trading(&run, options.risk.max_position);
    expect_no_failures(&run);
    test_run_close(&run);
}

Test(market_pipeline, a_second_pass_ends_with_the_same_books)
{
    test_run run;
    const market_pipeline_options options = MARKET_PIPELINE_OPTIONS_INIT;
    test_run_prepare(&run, 1, 30000);
    test_run_open(&run, &options, 3);
    test_run_to_end(&run, 3);
    expect_books(&run);
    expect_trading(&run, options.risk.max_position);
    test_run_close(&run);
}

Test(market_pipeline, every_domain_may_have_shards)
{
    test_run run;
    const market_pipeline_options options = MARKET_PIPELINE_OPTIONS_INIT;
    test_run_prepare(&run, 2, 40000);
    test_domain(&run, "market_data")->shards = 3;
    test_domain(&run, "signal")->shards = 2;
    test_domain(&run, "order")->shards = 4;
    test_domain(&run, "fill")->shards = 2;
    test_domain(&run, "account")->shards = 2;
    test_domain(&run, "system")->shards = 2;
    test_run_open(&run, &options, 1);
    order_witness *const orders = watch(&run, "order.new");
    order_witness *const fills = watch(&run, "fill.trade");
    test_run_to_end(&run, 4);
    cr_expect_eq(orders->events, orders_of(&run).sent);
    cr_expect_eq(orders->doubles, 0, "every order has an id of its own");
    uint64_t of_second =
        0; /* the two desks take turns with the ids: the second has the even ones */
    for (uint32_t id = 0; id < IDS; id += 2)
        of_second += orders->ids[id];
    cr_expect(of_second > 0 && of_second < orders->events, "each shard has a desk of its own");
    cr_expect_eq(fills->doubles, 0, "and one fill at most");
    free(orders);
    free(fills);
    expect_board(&run);
    cr_expect_eq(messages(&run), run.recordings[0].count + run.recordings[1].count);
    expect_books(&run);
    expect_trading(&run, options.risk.max_position);
    expect_no_failures(&run);
    test_run_close(&run);
}

Test(market_pipeline, a_signal_that_finds_no_room_is_late_and_not_lost)
{
    test_run run;
    const market_pipeline_options options = MARKET_PIPELINE_OPTIONS_INIT;
    test_run_prepare(&run, 1, 60000);
    test_domain(&run, "signal")->handler_ring_slots = 64;
    test_run_open(&run, &options, 1);
    uint32_t market_data;
    cr_assert_eq(hl_bus_partition(run.bus, "market_data", 0, &market_data), HL_OK);
    /* Only market data is turned: the signals pile up. */
    while (market_feed_publish(run.feeds[0]) == HL_OK)
        hl_executor_turn(hl_bus_executor(run.bus, market_data), 0);
    hl_lane_stats stats;
    cr_assert_eq(hl_bus_lane_stats(run.bus, "signal", HL_NORMAL, &stats), HL_OK);
    cr_assert_eq(stats.pending, 64);
    test_run_to_end(&run, 5);
    const market_order_counts orders = orders_of(&run);
    cr_expect_gt(orders.late_signals, 0);
    cr_assert_eq(hl_bus_lane_stats(run.bus, "signal", HL_NORMAL, &stats), HL_OK);
    cr_expect_eq(stats.rejected, orders.late_signals, "each refusal was counted at the door");
    cr_expect_eq(stats.dispatched, 64);
    cr_expect_eq(orders.sent + orders.refused_signals, 64);
    expect_books(&run);
    expect_trading(&run, options.risk.max_position);
    expect_no_failures(&run);
    test_run_close(&run);
}

Test(market_pipeline, without_the_audit_there_is_no_hash_and_less_to_do)
{
    test_run run;
    market_pipeline_options options = MARKET_PIPELINE_OPTIONS_INIT;
    options.audit = false;
    test_run_prepare(&run, 1, 1000);
    test_run_open(&run, &options, 1);
    test_run_to_end(&run, 1);
    hl_subscription_stats stats;
    for (uint32_t index = 0; hl_bus_subscription_stats(run.bus, index, &stats) == HL_OK; index++)
        cr_expect_neq(strncmp(stats.name, "audit.", 6), 0);
    uint64_t hash;
    cr_expect_not(market_pipeline_hash(run.pipeline, "market_data", &hash));
    test_run_close(&run);
}

Test(market_pipeline, a_missing_domain_is_named)
{
    test_run run;
    test_run_prepare(&run, 1, 1000);
    hl_config config = HL_CONFIG_INIT;
    config.domains = run.domains;
    config.domain_count = 2;
    config.threads = HL_THREADS_MANUAL;
    run.domains[0].publishes_to = "";
    run.domains[1].publishes_to = "";
    hl_error error;
    cr_assert_eq(hl_bus_create(&config, &run.bus, &error), HL_OK, "%s", error.text);
    const market_pipeline_options options = MARKET_PIPELINE_OPTIONS_INIT;
    cr_expect_eq(
        market_pipeline_create(run.bus, run.recordings, 1, &options, &run.pipeline, &error),
        HL_UNKNOWN_DOMAIN);
    cr_expect_not_null(strstr(error.text, "'order'"), "%s", error.text);
    cr_expect_null(run.pipeline);
    run.input_count = 0;
    market_recording_free(&run.recordings[0]);
    test_run_close(&run);
}

static hl_config config_of(test_run *run)
{
    test_run_prepare(run, 0, 0);
    hl_config config = HL_CONFIG_INIT;
    config.domains = run->domains;
    config.domain_count = MARKET_DOMAINS;
    return config;
}

Test(market_pipeline, its_own_domains_and_the_defaults_can_carry_it)
{
    test_run run;
    hl_config config = config_of(&run);
    hl_error error;
    cr_expect_eq(market_pipeline_check(&config, &error), HL_OK, "%s", error.text);
    cr_expect_eq(hl_config_validate(&config, &error), HL_OK, "%s", error.text);
    config.domains = hl_default_domains(&config.domain_count);
    cr_expect_eq(market_pipeline_check(&config, &error), HL_OK, "%s", error.text);
}

Test(market_pipeline, a_domain_that_may_not_publish_where_it_must_is_named)
{
    test_run run;
    const hl_config config = config_of(&run);
    test_domain(&run, "order")->publishes_to = "order, system";
    hl_error error;
    cr_expect_eq(market_pipeline_check(&config, &error), HL_INVALID);
    cr_expect_str_eq(error.text, "domains: 'order' does not publish to 'fill', as the pipeline "
                                 "needs: add it to its publishes_to");
}

Test(market_pipeline, a_domain_with_too_small_slots_is_named)
{
    test_run run;
    const hl_config config = config_of(&run);
    test_domain(&run, "account")->slot_size_bytes = 64;
    hl_error error;
    cr_expect_eq(market_pipeline_check(&config, &error), HL_INVALID);
    cr_expect_not_null(strstr(error.text, "'account' has slots of 64 bytes"), "%s", error.text);
}

Test(market_pipeline, a_configuration_that_lacks_a_domain_is_refused)
{
    test_run run;
    hl_config config = config_of(&run);
    config.domain_count = 3;
    hl_error error;
    cr_expect_eq(market_pipeline_check(&config, &error), HL_UNKNOWN_DOMAIN);
    cr_expect_not_null(strstr(error.text, "'fill'"), "%s", error.text);
}
