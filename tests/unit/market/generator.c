#include "market/generator.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "input_file.h"
#include "market/reader.h"

TestSuite(generator, .init = input_directory_make, .fini = input_directory_remove);

static uint8_t *generate(uint64_t seed, const market_generator_options *options,
                         size_t *ret_size_bytes)
{
    uint8_t *bytes;
    hl_error error;
    const hl_status status = market_generate(seed, options, &bytes, ret_size_bytes, &error);
    cr_assert_eq(status, HL_OK, "%s", error.text);
    return bytes;
}

static market_recording record(uint64_t seed, const market_generator_options *options)
{
    market_recording recording;
    hl_error error = {0};
    size_t size_bytes;
    uint8_t *const bytes = generate(seed, options, &size_bytes);
    input_write("generated", bytes, size_bytes, PLAIN);
    free(bytes);
    const hl_status status =
        market_reader_read_all(input_spec("itch", "generated"), NULL, &recording, &error);
    cr_assert_eq(status, HL_OK, "%s", error.text);
    return recording;
}

/* FNV-1a, 64 bits (Fowler, Noll, Vo). */
static uint64_t hash(const uint8_t *bytes, size_t size_bytes)
{
    uint64_t value = 0xcbf29ce484222325;
    for (size_t i = 0; i < size_bytes; i++)
        value = (value ^ bytes[i]) * 0x100000001b3;
    return value;
}

Test(generator, gives_the_same_bytes_on_every_machine)
{
    /* These change only when the generator is meant to give another day. */
    static const struct {
        uint64_t seed;
        market_generator_options options;
        uint64_t hash;
    } days[] = {{1, {0, 0}, 0xb8a4e89cad59ddea}, {UINT64_MAX, {5000, 3}, 0xdcbd94388b34c501}};
    for (size_t i = 0; i < sizeof days / sizeof days[0]; i++) {
        size_t size_bytes;
        uint8_t *const bytes = generate(days[i].seed, &days[i].options, &size_bytes);
        cr_expect_eq(hash(bytes, size_bytes), days[i].hash, "0x%016lx", hash(bytes, size_bytes));
        free(bytes);
    }
}

Test(generator, gives_other_bytes_for_other_seeds)
{
    uint64_t hashes[20];
    for (uint64_t seed = 0; seed < 20; seed++) {
        size_t size_bytes;
        uint8_t *const bytes =
            generate(seed, &(market_generator_options){.messages = 2000}, &size_bytes);
        hashes[seed] = hash(bytes, size_bytes);
        free(bytes);
        for (uint64_t other = 0; other < seed; other++)
            cr_expect_neq(hashes[seed], hashes[other], "%lu and %lu", seed, other);
    }
}

Test(generator, refuses_what_is_out_of_range)
{
    static const market_generator_options bad[] = {
        {.messages = 999}, {.messages = 50000001}, {.symbols = 65}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint8_t *bytes = NULL;
        size_t size_bytes = 17;
        hl_error error = {0};
        cr_expect_eq(market_generate(1, &bad[i], &bytes, &size_bytes, &error), HL_INVALID);
        cr_expect_not_null(strstr(error.text, "would be right"), "%s", error.text);
        cr_expect_null(bytes);
        cr_expect_eq(size_bytes, 17);
    }
}

/* ---- a plain slow book, to see that the day is consistent ---- */

#define MOST_ORDERS  600000
#define PRICE_LEVELS 8192
#define LOCATES      65

typedef struct slow_order {
    uint32_t shares; /* 0: not in the book */
    uint16_t level;
    uint8_t instrument;
    uint8_t side;
} slow_order;

static slow_order orders[MOST_ORDERS];
static uint64_t sizes[LOCATES][2][PRICE_LEVELS]; /* by side (0 bid) and price in cents */

static void slow_add(uint64_t order_id, uint32_t instrument, uint8_t side, int64_t price,
                     uint32_t shares)
{
    cr_assert_lt(order_id, MOST_ORDERS);
    cr_assert_eq(orders[order_id].shares, 0, "order %lu is there already", order_id);
    cr_assert_eq(price % 100, 0);
    cr_assert(price / 100 > 0 && price / 100 < PRICE_LEVELS && instrument < LOCATES);
    orders[order_id] = (slow_order){.shares = shares,
                                    .level = (uint16_t)(price / 100),
                                    .instrument = (uint8_t)instrument,
                                    .side = side == 'B' ? 0 : 1};
    sizes[instrument][orders[order_id].side][orders[order_id].level] += shares;
}

static slow_order *slow_find(const market_message *message)
{
    cr_assert_lt(message->order_id, MOST_ORDERS);
    slow_order *const order = &orders[message->order_id];
    cr_assert_gt(order->shares, 0, "order %lu is not there", message->order_id);
    cr_assert_eq(order->instrument, message->instrument);
    return order;
}

static void slow_take(slow_order *order, uint32_t shares)
{
    cr_assert_leq(shares, order->shares);
    order->shares -= shares;
    sizes[order->instrument][order->side][order->level] -= shares;
}

static void slow_apply(const market_message *message)
{
    slow_order *order;
    switch (message->action) {
    case MARKET_ADD:
        slow_add(message->order_id, message->instrument, message->side, message->price,
                 message->quantity);
        break;
    case MARKET_REDUCE:
    case MARKET_EXECUTE:
        slow_take(slow_find(message), message->quantity);
        break;
    case MARKET_DELETE:
        order = slow_find(message);
        slow_take(order, order->shares);
        break;
    case MARKET_REPLACE:
        order = slow_find(message);
        slow_take(order, order->shares);
        slow_add(message->new_order_id, message->instrument, order->side == 0 ? 'B' : 'A',
                 message->price, message->quantity);
        break;
    default:
        break;
    }
}

/* Looks outwards from the price of the order that was just placed. */
static bool is_crossed(const slow_order *order)
{
    const uint64_t *const other = sizes[order->instrument][1 - order->side];
    for (int level = order->level; level > 0 && level < PRICE_LEVELS;
         level += order->side == 0 ? -1 : 1)
        if (other[level] != 0)
            return true;
    return false;
}

static void expect_consistent(uint64_t seed, const market_generator_options *options)
{
    memset(orders, 0, sizeof orders);
    memset(sizes, 0, sizeof sizes);
    market_recording recording = record(seed, options);
    uint64_t before_ns = 0;
    for (size_t i = 0; i < recording.count; i++) {
        const market_message *const message = &recording.messages[i];
        cr_assert_geq(message->exchange_ns, before_ns, "message %zu", i);
        before_ns = message->exchange_ns;
        slow_apply(message);
        if (message->action == MARKET_ADD || message->action == MARKET_REPLACE) {
            const uint64_t placed =
                message->action == MARKET_ADD ? message->order_id : message->new_order_id;
            cr_assert_not(is_crossed(&orders[placed]), "message %zu", i);
        }
    }
    for (size_t i = 0; i < MOST_ORDERS; i++)
        cr_assert_eq(orders[i].shares, 0, "order %zu is left at the end of the day", i);
    market_recording_free(&recording);
}

Test(generator, names_only_orders_that_are_there_and_never_crosses_a_book)
{
    for (uint64_t seed = 1; seed <= 3; seed++)
        expect_consistent(seed, NULL);
    for (uint64_t seed = 1; seed <= 30; seed++)
        expect_consistent(seed, &(market_generator_options){.messages = 1000 + (uint32_t)seed * 500,
                                                            .symbols = (uint32_t)seed});
}

Test(generator, makes_about_as_many_messages_as_asked)
{
    static const market_generator_options asked[] = {
        {.messages = 1000, .symbols = 1}, {.messages = 10000, .symbols = 8}, {.messages = 400000}};
    for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++) {
        market_recording recording = record(5, &asked[i]);
        cr_expect_gt(recording.count, asked[i].messages * 95 / 100);
        cr_expect_lt(recording.count, asked[i].messages * 115 / 100, "%zu", recording.count);
        market_recording_free(&recording);
    }
}

/* The most messages in any window of that length that begins in [from_ns, to_ns). */
static size_t busiest(const market_recording *recording, uint64_t window_ns, uint64_t from_ns,
                      uint64_t to_ns)
{
    size_t most = 0;
    size_t end = 0;
    for (size_t start = 0; start < recording->count; start++) {
        const uint64_t start_ns = recording->messages[start].exchange_ns;
        while (end < recording->count &&
               recording->messages[end].exchange_ns < start_ns + window_ns)
            end++;
        if (start_ns >= from_ns && start_ns < to_ns && end - start > most)
            most = end - start;
    }
    return most;
}

#define MS     UINT64_C(1000000)
#define MINUTE (60000 * MS)

Test(generator, has_a_quiet_hour_and_a_crash_with_bursts_as_they_are_measured)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        market_recording recording = record(seed, NULL);
        const size_t quiet = busiest(&recording, MS, 510 * MINUTE, 570 * MINUTE);
        const size_t crash = busiest(&recording, MS, 780 * MINUTE, 781 * MINUTE);
        cr_expect_lt(quiet, 60, "seed %lu: %zu in 1 ms", seed, quiet);
        cr_expect_gt(crash, 2000, "seed %lu: %zu in 1 ms", seed, crash);
        cr_expect_leq(crash, 2760, "seed %lu: %zu in 1 ms", seed, crash);
        market_recording_free(&recording);
    }
}

/* The mean price of the trades of the first symbol in a stretch of time. */
static int64_t mean_price(const market_recording *recording, uint64_t from_ns, uint64_t to_ns)
{
    int64_t sum = 0, count = 0;
    for (size_t i = 0; i < recording->count; i++) {
        const market_message *const message = &recording->messages[i];
        if (message->instrument == 1 && message->raw_type == 'P' &&
            message->exchange_ns >= from_ns && message->exchange_ns < to_ns) {
            sum += message->price;
            count++;
        }
    }
    cr_assert_gt(count, 0);
    return sum / count;
}

Test(generator, lets_prices_fall_in_the_crash_minute)
{
    market_recording recording = record(1, NULL);
    const int64_t before = mean_price(&recording, 690 * MINUTE, 780 * MINUTE);
    const int64_t after = mean_price(&recording, 796 * MINUTE, 810 * MINUTE);
    cr_expect_lt(after, before * 96 / 100, "%ld, then %ld", before, after);
    cr_expect_gt(after, before * 88 / 100, "%ld, then %ld", before, after);
    market_recording_free(&recording);
}

Test(generator, writes_the_frame_of_a_day)
{
    market_recording recording = record(1, NULL);
    const market_input_report *const report = market_reader_report(recording.reader);
    cr_expect_eq(report->by_type['S'], 6);
    cr_expect_eq(report->by_type['R'], 8);
    cr_expect_eq(report->by_type['Q'], 16, "an opening and a closing cross a symbol");
    cr_expect_eq(report->by_type['W'], 1);
    static const char kinds[] = "AFECXDUP";
    for (const char *type = kinds; *type != '\0'; type++)
        cr_expect_gt(report->by_type[(uint8_t)*type], recording.count / 1000, "%c", *type);
    cr_expect_str_eq(market_reader_symbol(recording.reader, 1), "ALDER");
    cr_expect_str_eq(market_reader_symbol(recording.reader, 8), "ROWAN");
    market_recording_free(&recording);
}
