/* Switches, gauges and rates, against what they are defined by. */
#include "health/gauge.h"

#include <criterion/criterion.h>

#include "tests/random.h"

#define LOOK_NS (100 * HL_MILLISECOND)

static const hl_gauge_limits limits = {.threshold = {80, 95},
                                       .clear_pct = 80, /* 64; 76 */
                                       .raise_after_ns = 300 * HL_MILLISECOND,
                                       .clear_after_ns = HL_SECOND};

/* Whether `figure` satisfied `holds` in all looks from now_ns - after_ns on. */
typedef bool (*condition)(uint64_t figure, uint64_t threshold);

static bool reaches(uint64_t figure, uint64_t threshold)
{
    return figure >= threshold;
}

static bool is_clear(uint64_t figure, uint64_t threshold)
{
    return figure * 100 < threshold * 80;
}

static bool held(const uint64_t *figures, int last, uint64_t threshold, condition holds, int looks,
                 int turned)
{
    if (last - looks <= turned - 1)
        return false; /* a look before it turned last counts for nothing */
    for (int i = last - looks; i <= last; i++)
        if (!holds(figures[i], threshold))
            return false;
    return true;
}

/* The same by the definition: from the whole history at each look. */
typedef struct model {
    bool is_on;
    int turned; /* the first look that counts */
} model;

static void model_step(model *self, const uint64_t *figures, int at, uint64_t threshold)
{
    const int looks = self->is_on ? 10 : 3;
    if (held(figures, at, threshold, self->is_on ? is_clear : reaches, looks, self->turned)) {
        self->is_on = !self->is_on;
        self->turned = at + 1;
    }
}

Test(gauge, it_is_what_its_definition_says_on_random_walks)
{
    enum { LOOKS = 20000 };
    static uint64_t figures[LOOKS];
    int raised[3] = {0};
    for (uint64_t seed = 1; seed <= 8; seed++) {
        uint64_t random = seed, figure = 50;
        hl_gauge gauge = {.value = 0};
        model degraded = {.is_on = false}, critical = {.is_on = false};
        for (int i = 0; i < LOOKS; i++) {
            const uint64_t step = random_below(&random, 13);
            figure = figure + step < 6 ? 0 : figure + step - 6 > 100 ? 100 : figure + step - 6;
            figures[i] = figure;
            const hl_health_status before = hl_gauge_status(&gauge);
            const bool changed =
                hl_gauge_step(&gauge, &limits, figure, HL_SECOND + (uint64_t)i * LOOK_NS);
            model_step(&degraded, figures, i, 80);
            model_step(&critical, figures, i, 95);
            const hl_health_status status = hl_gauge_status(&gauge);
            cr_assert_eq(status, critical.is_on   ? HL_HEALTH_CRITICAL
                                 : degraded.is_on ? HL_HEALTH_DEGRADED
                                                  : HL_HEALTH_OK);
            cr_assert_eq(changed, status != before);
            raised[status] += changed;
        }
    }
    for (int status = 0; status < 3; status++)
        cr_assert_gt(raised[status], 10, "the walks have been everywhere");
}

Test(gauge, it_does_not_flap_between_its_threshold_and_where_it_clears)
{
    hl_gauge gauge = {.value = 0};
    uint64_t changes = 0, now_ns = HL_SECOND;
    for (int i = 0; i < 1000; i++, now_ns += LOOK_NS)
        changes += hl_gauge_step(&gauge, &limits, i % 2 == 0 ? 85 : 65, now_ns);
    cr_assert_eq(changes, 0, "never over it for long enough");
    for (int i = 0; i < 4; i++, now_ns += LOOK_NS)
        changes += hl_gauge_step(&gauge, &limits, 85, now_ns);
    cr_assert_eq(changes, 1);
    for (int i = 0; i < 1000; i++, now_ns += LOOK_NS)
        changes += hl_gauge_step(&gauge, &limits, i % 9 == 0 ? 85 : 10, now_ns);
    cr_assert_eq(changes, 1, "never clear for long enough");
    for (int i = 0; i < 1000; i++, now_ns += LOOK_NS)
        changes += hl_gauge_step(&gauge, &limits, 70, now_ns);
    cr_assert_eq(changes, 1, "under its threshold is not yet clear of it");
    for (int i = 0; i < 11; i++, now_ns += LOOK_NS)
        changes += hl_gauge_step(&gauge, &limits, 63, now_ns);
    cr_assert_eq(changes, 2);
    cr_assert_eq(hl_gauge_status(&gauge), HL_HEALTH_OK);
}

Test(gauge, a_threshold_of_zero_is_never_reached_and_one_always_clears)
{
    const hl_gauge_limits off = {.threshold = {0, 0}, .clear_pct = 80};
    const hl_gauge_limits one = {.threshold = {1, 0}, .clear_pct = 1};
    hl_gauge gauge = {.value = 0};
    cr_assert_not(hl_gauge_step(&gauge, &off, UINT64_MAX, 1));
    cr_assert(hl_gauge_step(&gauge, &one, 1, 2));
    cr_assert_eq(hl_gauge_status(&gauge), HL_HEALTH_DEGRADED);
    cr_assert_eq(hl_gauge_limit(&gauge, &one), 1);
    cr_assert(hl_gauge_step(&gauge, &one, 0, 3));
    cr_assert_eq(hl_gauge_limit(&gauge, &one), 0);
    cr_assert_eq(hl_gauge_clear_below(UINT64_MAX, 100), UINT64_MAX);
    cr_assert_eq(hl_gauge_clear_below(80, 80), 64);
    cr_assert_eq(hl_gauge_clear_below(1, 80), 1);
}

Test(rate, it_is_what_the_counter_grew_in_the_last_second)
{
    hl_rate rate = {.held = 0};
    uint64_t now_ns = 5 * HL_SECOND, count = 1000, per_s = 77;
    for (int i = 0; i < 10; i++, now_ns += LOOK_NS, count += 5)
        cr_assert_not(hl_rate_step(&rate, count, now_ns, &per_s));
    cr_assert_eq(per_s, 77, "untouched");
    for (int i = 0; i < 100; i++, now_ns += LOOK_NS, count += 5) {
        cr_assert(hl_rate_step(&rate, count, now_ns, &per_s));
        cr_assert_eq(per_s, 50);
    }
    for (int i = 0; i < 10; i++, now_ns += LOOK_NS)
        cr_assert(hl_rate_step(&rate, count, now_ns, &per_s));
    cr_assert(hl_rate_step(&rate, count, now_ns, &per_s));
    cr_assert_eq(per_s, 0, "a second after it stood still");
    now_ns += 100 * HL_SECOND;
    cr_assert(hl_rate_step(&rate, count + 200, now_ns, &per_s));
    cr_assert_eq(per_s, 2, "nobody looked for 100 s");
    cr_assert_not(hl_rate_step(&rate, 3, now_ns + LOOK_NS, &per_s), "it stepped back");
}
