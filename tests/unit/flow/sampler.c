#include "flow/sampler.h"

#include <criterion/criterion.h>
#include <string.h>

#include "tests/random.h"

#define BEGIN_NS UINT64_C(1700000000000000000)

static hl_sampling_options options_of(uint64_t window_ns, uint32_t max_keys, uint32_t closes)
{
    hl_sampling_options options = HL_SAMPLING_OPTIONS_INIT;
    options.window_ns = window_ns;
    options.max_keys = max_keys;
    options.closes_per_look = closes;
    return options;
}

static hl_sampler *make(uint64_t window_ns, uint32_t max_keys)
{
    const hl_sampling_options options = options_of(window_ns, max_keys, 1);
    hl_sampler *sampler = NULL;
    hl_error error = {0};
    cr_assert_eq(hl_sampler_create(&options, "sampling", 64, &sampler, &error), HL_OK, "%s",
                 error.text);
    return sampler;
}

/* Whether it replaced one that waited. */
static bool offer(hl_sampler *sampler, uint32_t group, uint64_t key, uint64_t number,
                  uint64_t now_ns)
{
    bool replaced = false;
    cr_assert_eq(hl_sampler_offer(sampler, group, key, &number, 8, now_ns, &replaced), HL_OK);
    return replaced;
}

/* 0: none is due. */
static uint64_t close_one(hl_sampler *sampler, uint64_t now_ns)
{
    const uint64_t *const due = hl_sampler_due(sampler, now_ns);
    if (due == NULL)
        return 0;
    const uint64_t value = *due;
    const uint64_t *const closed = hl_sampler_close_next(sampler);
    cr_assert_eq(*closed, value);
    return value;
}

Test(sampler, the_first_event_opens_a_window_and_the_newest_is_delivered_at_its_close)
{
    hl_sampler *const sampler = make(100 * HL_MILLISECOND, 16);
    cr_assert_eq(hl_sampler_next_ns(sampler), UINT64_MAX);
    cr_assert_not(offer(sampler, 0, 5, 1, BEGIN_NS));
    cr_assert(offer(sampler, 0, 5, 2, BEGIN_NS + 50 * HL_MILLISECOND));
    cr_assert(offer(sampler, 0, 5, 3, BEGIN_NS + 99 * HL_MILLISECOND));
    cr_assert_eq(hl_sampler_next_ns(sampler), BEGIN_NS + 100 * HL_MILLISECOND);
    cr_assert_eq(close_one(sampler, BEGIN_NS + 100 * HL_MILLISECOND - 1), 0);
    cr_assert_eq(close_one(sampler, BEGIN_NS + 100 * HL_MILLISECOND), 3);
    cr_assert_eq(close_one(sampler, UINT64_MAX), 0, "a quiet key has no window");
    cr_assert_eq(hl_sampler_pending(sampler), 0);
    cr_assert_not(offer(sampler, 0, 5, 4, BEGIN_NS + HL_SECOND), "a new window");
    cr_assert_eq(hl_sampler_next_ns(sampler), BEGIN_NS + 1100 * HL_MILLISECOND);
    hl_sampler_destroy(sampler);
}

Test(sampler, windows_close_at_their_own_time_in_the_order_of_their_opening)
{
    hl_sampler *const sampler = make(10 * HL_MILLISECOND, 16);
    for (uint64_t key = 0; key < 5; key++)
        offer(sampler, 0, key, key + 1, BEGIN_NS + key * HL_MILLISECOND);
    for (uint64_t key = 0; key < 5; key++) {
        const uint64_t now_ns = BEGIN_NS + (10 + key) * HL_MILLISECOND;
        cr_assert_eq(close_one(sampler, now_ns), key + 1);
        cr_assert_eq(close_one(sampler, now_ns), 0);
    }
    hl_sampler_destroy(sampler);
}

Test(sampler, ten_thousand_keys_at_once_close_one_by_one)
{
    hl_sampler *const sampler = make(100 * HL_MILLISECOND, 10000);
    for (uint64_t key = 0; key < 10000; key++)
        offer(sampler, 0, key, key + 1, BEGIN_NS);
    const uint64_t now_ns = BEGIN_NS + 200 * HL_MILLISECOND;
    for (uint64_t key = 0; key < 10000; key++)
        cr_assert_eq(close_one(sampler, now_ns), key + 1);
    cr_assert_eq(close_one(sampler, now_ns), 0);
    hl_sampler_destroy(sampler);
}

Test(sampler, a_window_more_than_there_is_room_for_is_refused_and_the_open_ones_go_on)
{
    hl_sampler *const sampler = make(HL_MILLISECOND, 3);
    for (uint64_t key = 0; key < 3; key++)
        offer(sampler, 0, key, key + 1, BEGIN_NS);
    const uint64_t number = 9;
    bool replaced = true;
    cr_assert_eq(hl_sampler_offer(sampler, 0, 3, &number, 8, BEGIN_NS, &replaced), HL_LIMIT);
    cr_assert(offer(sampler, 0, 1, 22, BEGIN_NS));
    cr_assert_eq(close_one(sampler, BEGIN_NS + HL_MILLISECOND), 1);
    cr_assert_not(offer(sampler, 0, 3, 4, BEGIN_NS + HL_MILLISECOND), "there is room again");
    cr_assert_eq(close_one(sampler, BEGIN_NS + HL_MILLISECOND), 22);
    cr_assert_eq(close_one(sampler, BEGIN_NS + HL_MILLISECOND), 3);
    cr_assert_eq(close_one(sampler, BEGIN_NS + 2 * HL_MILLISECOND), 4);
    hl_sampler_destroy(sampler);
}

Test(sampler, a_value_that_was_closed_stays_when_the_next_window_opens)
{
    hl_sampler *const sampler = make(HL_MILLISECOND, 1);
    offer(sampler, 0, 1, 11, BEGIN_NS);
    const uint64_t *const value = hl_sampler_close_next(sampler);
    cr_assert_not_null(value);
    offer(sampler, 0, 2, 22, BEGIN_NS + HL_MILLISECOND);
    cr_assert_eq(*value, 11);
    hl_sampler_destroy(sampler);
}

Test(sampler, a_value_that_is_too_large_is_refused)
{
    hl_sampler *const sampler = make(HL_MILLISECOND, 1);
    const char value[65] = {0};
    bool replaced;
    cr_assert_eq(hl_sampler_offer(sampler, 0, 1, value, 65, BEGIN_NS, &replaced), HL_TOO_LARGE);
    cr_assert_eq(hl_sampler_pending(sampler), 0);
    cr_assert_eq(hl_sampler_offer(sampler, 0, 1, value, 64, BEGIN_NS, &replaced), HL_OK);
    hl_sampler_destroy(sampler);
}

Test(sampler, all_that_waits_can_be_had_before_it_is_due)
{
    hl_sampler *const sampler = make(10 * HL_SECOND, 100);
    for (uint64_t key = 0; key < 100; key++)
        offer(sampler, (uint32_t)key % 3, key, key + 1, BEGIN_NS);
    const uint64_t *value;
    for (uint64_t key = 0; key < 100; key++) {
        cr_assert_not_null(value = hl_sampler_close_next(sampler));
        cr_assert_eq(*value, key + 1);
    }
    cr_assert_null(hl_sampler_close_next(sampler));
    hl_sampler_destroy(sampler);
}

/* Keys with events at random times: offered = delivered + replaced + waiting, each key's newest is
 * delivered, a window after it was opened, and nothing older after it. */
static void against_a_model(uint64_t seed)
{
    enum { KEYS = 40, STEPS = 50000 };
    cr_log_info("seed %lu", seed);
    uint64_t random = seed;
    const uint64_t window_ns = HL_MILLISECOND + random_below(&random, 20) * HL_MILLISECOND;
    hl_sampler *const sampler = make(window_ns, KEYS);
    uint64_t newest[KEYS] = {0}, opened_ns[KEYS] = {0};
    uint64_t now_ns = BEGIN_NS, offered = 0, replaced = 0, delivered = 0;
    for (uint64_t step = 1; step <= STEPS; step++) {
        now_ns += random_below(&random, HL_MILLISECOND);
        const uint64_t key = random_below(&random, KEYS);
        /* Some keys differ in their group alone. */
        const bool was_open =
            offer(sampler, (uint32_t)key % 2, key / 2 << 31, step * KEYS + key, now_ns);
        cr_assert_eq(was_open, newest[key] != 0);
        opened_ns[key] = was_open ? opened_ns[key] : now_ns;
        newest[key] = step;
        offered++;
        replaced += was_open;
        for (uint64_t value; (value = close_one(sampler, now_ns)) != 0; delivered++) {
            const uint64_t closed = value % KEYS;
            cr_assert_eq(value / KEYS, newest[closed], "key %lu: not its newest", closed);
            cr_assert_geq(now_ns, opened_ns[closed] + window_ns);
            newest[closed] = 0;
        }
        cr_assert_eq(offered, delivered + replaced + hl_sampler_pending(sampler));
    }
    hl_sampler_destroy(sampler);
}

Test(sampler, does_as_a_model_does)
{
    for (uint64_t seed = 1; seed <= 10; seed++)
        against_a_model(seed);
}

Test(sampler, options_of_another_size_are_refused)
{
    hl_sampling_options options = HL_SAMPLING_OPTIONS_INIT;
    options.size--;
    hl_error error = {0};
    cr_assert_eq(hl_sampling_options_check(&options, "p", &error), HL_INVALID);
    cr_assert_not_null(strstr(error.text, "p.size: "), "%s", error.text);
    cr_assert_not_null(strstr(error.text, "HL_SAMPLING_OPTIONS_INIT"), "%s", error.text);
}

Test(sampler, bad_options_are_told_with_place_and_remedy)
{
    const struct {
        hl_sampling_options options;
        const char *text;
    } wrong[] = {
        {options_of(HL_MILLISECOND - 1, 1, 1), "s.window_ns: 999999 is out of range: use 1000000 "},
        {options_of(10 * HL_SECOND + 1, 1, 1), "s.window_ns: 10000000001 is out of range"},
        {options_of(HL_SECOND, 0, 1), "s.max_keys: 0 is out of range: use 1 to 16777216"},
        {options_of(HL_SECOND, 16777217, 1), "s.max_keys: 16777217 is out of range"},
        {options_of(HL_SECOND, 1, 0), "s.closes_per_look: 0 is out of range: use 1 to 65536"},
        {options_of(HL_SECOND, 1, 65537), "s.closes_per_look: 65537 is out of range"}};
    hl_sampler *sampler = NULL;
    hl_error error = {0};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        cr_assert_eq(hl_sampler_create(&wrong[i].options, "s", 64, &sampler, &error), HL_INVALID);
        cr_assert_not_null(strstr(error.text, wrong[i].text), "%s", error.text);
    }
    hl_sampling_options options = options_of(0, 1, 1);
    cr_assert_eq(hl_sampling_options_check(&options, "s", &error), HL_OK, "0 is off");
    cr_assert_eq(hl_sampler_create(&options, "s", 64, &sampler, &error), HL_INVALID);
    cr_assert_not_null(strstr(error.text, "make no sampler"), "%s", error.text);
    options = options_of(HL_SECOND, 1, 1);
    cr_assert_eq(hl_sampler_create(&options, "s", 0, &sampler, &error), HL_INVALID);
    cr_assert_eq(hl_sampler_create(&options, "s", 65601, &sampler, &error), HL_INVALID);
    cr_assert_null(sampler);
    hl_sampler_destroy(NULL);
}
