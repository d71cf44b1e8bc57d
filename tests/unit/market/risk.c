#include "market/risk.h"

#include <criterion/criterion.h>
#include <string.h>

static const market_risk_options options = {.order_quantity = 100,
                                            .max_position = 250,
                                            .max_open_orders = 2,
                                            .first_order_id = 7,
                                            .id_step = 3};

static market_risk make(void)
{
    market_risk risk;
    cr_assert_eq(market_risk_init(&risk, &options, 1), HL_OK);
    return risk;
}

static market_signal signal_of(char side)
{
    return (market_signal){.exchange_ns = 55,
                           .tick_published_ns = 66,
                           .best_bid = 100,
                           .best_ask = 101,
                           .best_bid_size = 30,
                           .best_ask_size = 40,
                           .side = (uint8_t)side};
}

/* Sends what the signal asks for; 0: refused. */
static uint32_t send(market_risk *risk, uint64_t key, char side)
{
    const market_signal signal = signal_of(side);
    market_order order;
    if (market_risk_check(risk, key, &signal, &order) != MARKET_RISK_ORDER)
        return 0;
    market_risk_sent(risk, key, &order);
    return order.quantity;
}

static void report(market_risk *risk, uint64_t key, char side, uint32_t quantity, uint32_t filled)
{
    const market_report done = {.quantity = quantity,
                                .filled = filled,
                                .cancelled = quantity - filled,
                                .side = (uint8_t)side};
    market_risk_reported(risk, key, &done);
}

Test(market_risk, an_order_takes_the_price_on_the_other_side)
{
    market_risk risk = make();
    market_signal signal = signal_of('B');
    market_order order;
    cr_assert_eq(market_risk_check(&risk, 1, &signal, &order), MARKET_RISK_ORDER);
    cr_expect_eq(order.order_id, 7);
    cr_expect_eq(order.limit_price, 101);
    cr_expect_eq(order.quote_size, 40);
    cr_expect_eq(order.quantity, 100);
    cr_expect_eq(order.tick_published_ns, 66);
    market_risk_sent(&risk, 1, &order);
    signal = signal_of('A');
    cr_assert_eq(market_risk_check(&risk, 1, &signal, &order), MARKET_RISK_ORDER);
    cr_expect_eq(order.order_id, 10, "ids go on by their step");
    cr_expect_eq(order.limit_price, 100);
    cr_expect_eq(order.quote_size, 30);
    market_risk_free(&risk);
}

Test(market_risk, a_check_alone_changes_nothing)
{
    market_risk risk = make();
    const market_signal signal = signal_of('B');
    market_order first, second;
    cr_assert_eq(market_risk_check(&risk, 1, &signal, &first), MARKET_RISK_ORDER);
    cr_assert_eq(market_risk_check(&risk, 1, &signal, &second), MARKET_RISK_ORDER);
    cr_expect_eq(memcmp(&first, &second, sizeof first), 0);
    market_risk_free(&risk);
}

Test(market_risk, open_shares_count_as_if_they_had_traded)
{
    market_risk risk = make();
    cr_expect_eq(send(&risk, 1, 'B'), 100);
    cr_expect_eq(send(&risk, 1, 'B'), 100);
    cr_expect_eq(send(&risk, 1, 'B'), 0, "two are open");
    report(&risk, 1, 'B', 100, 100);
    report(&risk, 1, 'B', 100, 100);
    cr_expect_eq(send(&risk, 1, 'B'), 50, "what is left to the limit of 250");
    const market_signal signal = signal_of('B');
    market_order order;
    cr_expect_eq(market_risk_check(&risk, 1, &signal, &order), MARKET_RISK_POSITION);
    report(&risk, 1, 'B', 50, 0);
    cr_expect_eq(send(&risk, 1, 'B'), 50, "what was cancelled is free again");
    market_risk_free(&risk);
}

Test(market_risk, a_long_position_may_be_sold_down_to_the_short_limit)
{
    market_risk risk = make();
    for (int round = 0; round < 2; round++) {
        cr_expect_eq(send(&risk, 1, 'B'), 100);
        report(&risk, 1, 'B', 100, 100);
    }
    uint32_t sold = 0, quantity;
    while ((quantity = send(&risk, 1, 'A')) != 0) {
        report(&risk, 1, 'A', quantity, quantity);
        sold += quantity;
    }
    cr_expect_eq(sold, 200 + 250);
    market_risk_free(&risk);
}

Test(market_risk, instruments_have_limits_of_their_own)
{
    market_risk risk = make();
    for (uint64_t key = 0; key < 200; key++) {
        cr_assert_eq(send(&risk, key << 32, 'B'), 100);
        cr_assert_eq(send(&risk, key << 32, 'B'), 100);
        cr_assert_eq(send(&risk, key << 32, 'B'), 0);
    }
    market_risk_free(&risk);
}

Test(market_risk, a_malformed_signal_or_an_empty_quote_is_refused)
{
    market_risk risk = make();
    market_order order;
    market_signal signal = signal_of('N');
    cr_expect_eq(market_risk_check(&risk, 1, &signal, &order), MARKET_RISK_VALUE);
    signal = signal_of('A');
    signal.best_bid_size = 0;
    cr_expect_eq(market_risk_check(&risk, 1, &signal, &order), MARKET_RISK_VALUE);
    market_risk_free(&risk);
}

Test(market_risk, a_report_of_an_order_that_was_never_sent_is_ignored)
{
    market_risk risk = make();
    report(&risk, 1, 'B', 100, 100);
    cr_expect_eq(send(&risk, 1, 'B'), 100);
    cr_expect_eq(send(&risk, 1, 'B'), 100);
    market_risk_free(&risk);
}

Test(market_risk, every_decision_has_a_text_that_fits_a_log)
{
    const market_log log;
    for (int decision = MARKET_RISK_ORDER; decision <= MARKET_RISK_MEMORY; decision++)
        cr_expect_lt(strlen(market_risk_text((market_risk_decision)decision)), sizeof log.text);
}
