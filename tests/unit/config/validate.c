#include <hotlane/config.h>

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

/* A valid configuration of our own, for a test to spoil in one place. */
typedef struct subject {
    hl_config config;
    hl_domain_config domains[6];
} subject;

static void make_valid(subject *ret_subject)
{
    uint32_t count;
    const hl_domain_config *const defaults = hl_default_domains(&count);
    cr_assert_eq(count, 6);
    memcpy(ret_subject->domains, defaults, sizeof ret_subject->domains);
    ret_subject->config = (hl_config)HL_CONFIG_INIT;
    ret_subject->config.domains = ret_subject->domains;
    ret_subject->config.domain_count = count;
}

static void expect_valid(const hl_config *config)
{
    hl_error error = {.text = ""};
    cr_assert_eq(hl_config_validate(config, &error), HL_OK, "%s", error.text);
}

/* The sentence begins with the field and holds the remedy. */
static void expect_invalid(const hl_config *config, const char *field, const char *remedy)
{
    hl_error error = {.text = ""};
    cr_assert_eq(hl_config_validate(config, &error), HL_INVALID, "%s was let pass", field);
    cr_assert_eq(error.status, HL_INVALID);
    cr_assert_eq(strncmp(error.text, field, strlen(field)), 0, "%s: %s", field, error.text);
    cr_assert_eq(strncmp(error.text + strlen(field), ": ", 2), 0, "%s: %s", field, error.text);
    cr_assert_not_null(strstr(error.text, remedy), "no \"%s\" in: %s", remedy, error.text);
    cr_assert_eq(hl_config_validate(config, NULL), HL_INVALID, "the sentence is optional");
}

Test(defaults, are_the_six_domains_in_the_order_of_the_story)
{
    static const struct {
        const char *name;
        hl_priority priority;
    } expected[] = {{"market_data", HL_NORMAL}, {"signal", HL_NORMAL}, {"order", HL_CRITICAL},
                    {"fill", HL_HIGH},          {"account", HL_LOW},   {"system", HL_BACKGROUND}};
    uint32_t count;
    const hl_domain_config *const domains = hl_default_domains(&count);
    cr_assert_eq(count, 6);
    for (uint32_t i = 0; i < count; i++) {
        cr_assert_str_eq(domains[i].name, expected[i].name);
        cr_assert_eq(domains[i].priority, expected[i].priority);
        cr_assert_eq(domains[i].fixed_priority, domains[i].priority == HL_CRITICAL);
    }
}

Test(validate, accepts_the_defaults)
{
    expect_valid(&(hl_config)HL_CONFIG_INIT);
    subject s;
    make_valid(&s);
    expect_valid(&s.config);
}

Test(validate, refuses_no_configuration_and_one_of_another_size)
{
    hl_error error;
    cr_assert_eq(hl_config_validate(NULL, &error), HL_INVALID);
    hl_config config = HL_CONFIG_INIT;
    config.size = 0;
    expect_invalid(&config, "size", "HL_CONFIG_INIT");
    config.size = sizeof config + 8;
    expect_invalid(&config, "size", "HL_CONFIG_INIT");
}

Test(validate, refuses_domains_and_count_that_disagree)
{
    subject s;
    make_valid(&s);
    s.config.domain_count = 0;
    expect_invalid(&s.config, "domain_count", "the number of its entries");
    s.config.domain_count = 6;
    s.config.domains = NULL;
    expect_invalid(&s.config, "domains", "use 0");
}

/* A number field of a domain: both ends of its range pass, what is just outside does not. */
static void expect_domain_range(size_t offset, const char *name, uint32_t least, uint32_t most,
                                uint32_t step)
{
    char field[64];
    subject s;
    make_valid(&s);
    snprintf(field, sizeof field, "domains[5].%s", name);
    uint32_t *const value = (uint32_t *)(void *)((char *)&s.domains[5] + offset);
    *value = least;
    expect_valid(&s.config);
    *value = most;
    expect_valid(&s.config);
    *value = least - step;
    expect_invalid(&s.config, field, "use ");
    *value = most + step;
    expect_invalid(&s.config, field, "use ");
    *value = 0;
    expect_invalid(&s.config, field, "use ");
    *value = UINT32_MAX;
    expect_invalid(&s.config, field, "use ");
}

#define DOMAIN_RANGE(field, least, most, step) \
    expect_domain_range(offsetof(hl_domain_config, field), #field, least, most, step)

Test(validate, checks_the_ranges_of_a_domain)
{
    /* The other five domains have a partition each. */
    DOMAIN_RANGE(shards, 1, 1023 - 5, 1);
    DOMAIN_RANGE(slot_size_bytes, 64, 65600, 64);
    DOMAIN_RANGE(ring_slots, 2, 1u << 24, 1);
    DOMAIN_RANGE(handler_ring_slots, 2, 1u << 24, 1);
}

Test(validate, names_the_slot_size_that_would_be_right)
{
    subject s;
    make_valid(&s);
    s.domains[2].slot_size_bytes = 100;
    hl_error error;
    cr_assert_eq(hl_config_validate(&s.config, &error), HL_INVALID);
    cr_assert_str_eq(error.text,
                     "domains[2].slot_size_bytes: 100 is not a multiple of 64: use 128");
}

Test(validate, names_the_powers_of_two_around_a_ring_size)
{
    subject s;
    make_valid(&s);
    s.domains[0].ring_slots = 1000;
    expect_invalid(&s.config, "domains[0].ring_slots", "use 512 or 1024");
    s.domains[0].ring_slots = 3;
    expect_invalid(&s.config, "domains[0].ring_slots", "use 2 or 4");
    make_valid(&s);
    s.domains[0].handler_ring_slots = (1u << 24) - 1;
    expect_invalid(&s.config, "domains[0].handler_ring_slots", "use 8388608 or 16777216");
}

Test(validate, refuses_values_outside_an_enum)
{
    subject s;
    make_valid(&s);
    s.domains[1].priority = HL_PRIORITIES;
    expect_invalid(&s.config, "domains[1].priority", "critical");
    make_valid(&s);
    s.domains[1].full_policy = (hl_full_policy)2;
    expect_invalid(&s.config, "domains[1].full_policy", "block");
    make_valid(&s);
    s.domains[1].wait = (hl_wait)4;
    expect_invalid(&s.config, "domains[1].wait", "backoff");
    make_valid(&s);
    s.config.threads = (hl_threads)2;
    expect_invalid(&s.config, "threads", "manual");
}

Test(validate, knows_which_lanes_may_conflate)
{
    subject s;
    make_valid(&s);
    s.domains[3].conflates = "normal,low , BACKGROUND";
    s.domains[3].conflate_keys = 1u << 24;
    expect_valid(&s.config);
    s.domains[3].conflate_keys = (1u << 24) + 1;
    expect_invalid(&s.config, "domains[3].conflate_keys", "16777216");
    make_valid(&s);
    s.domains[3].conflates = "low, urgent";
    expect_invalid(&s.config, "domains[3].conflates",
                   "\"urgent\" is no priority: use normal, low or background");
    s.domains[3].conflates = "high";
    expect_invalid(&s.config, "domains[3].conflates", "high is never conflated");
    s.domains[3].conflates = "low,low";
    expect_invalid(&s.config, "domains[3].conflates", "twice");
}

Test(validate, wants_a_time_where_a_publish_blocks)
{
    subject s;
    make_valid(&s);
    s.domains[3].block_timeout_ns = 0;
    expect_valid(&s.config);
    s.domains[3].full_policy = HL_FULL_BLOCK;
    expect_invalid(&s.config, "domains[3].block_timeout_ns", "full_policy reject");
    s.domains[3].block_timeout_ns = 1;
    expect_valid(&s.config);
}

Test(validate, checks_the_names_of_domains)
{
    static const char *const bad[] = {NULL, "", "two words", "a.b", "a,b", "a@2", "*", "\xc3\xa9"};
    char name[65];
    subject s;
    make_valid(&s);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        s.domains[4].name = bad[i];
        expect_invalid(&s.config, "domains[4].name", "use letters, digits, '_' and '-'");
    }
    make_valid(&s);
    /* Nobody publishes to it by its old name. */
    s.domains[3].publishes_to = "";
    s.domains[4].publishes_to = "";
    memset(name, 'a', sizeof name);
    name[64] = '\0';
    s.domains[4].name = name;
    expect_invalid(&s.config, "domains[4].name", "at most 63");
    name[63] = '\0';
    expect_valid(&s.config);
    s.domains[4].name = "Z-9_a";
    expect_valid(&s.config);
}

Test(validate, refuses_names_that_lcores_keeps_for_itself)
{
    subject s;
    make_valid(&s);
    s.domains[5].name = "housekeeping";
    expect_invalid(&s.config, "domains[5].name", "lcores");
    s.domains[5].name = "workers";
    expect_invalid(&s.config, "domains[5].name", "lcores");
}

Test(validate, refuses_a_domain_that_is_there_twice)
{
    subject s;
    make_valid(&s);
    s.domains[4].name = "signal";
    expect_invalid(&s.config, "domains[4].name", "domains[1]");
}

Test(validate, bounds_the_sum_of_the_partitions)
{
    subject s;
    make_valid(&s);
    s.domains[0].shards = 1018;
    expect_valid(&s.config);
    s.domains[3].shards = 2;
    expect_invalid(&s.config, "domains[5].shards", "1023");
}

Test(validate, bounds_the_number_of_domains)
{
    static hl_domain_config many[1024];
    static char names[1024][8];
    for (uint32_t i = 0; i < 1024; i++) {
        many[i] = *hl_default_domains(&(uint32_t){0});
        snprintf(names[i], sizeof names[i], "d%u", i);
        many[i].name = names[i];
        many[i].publishes_to = "*";
    }
    hl_config config = HL_CONFIG_INIT;
    config.domains = many;
    config.domain_count = 1023;
    expect_valid(&config);
    config.domain_count = 1024;
    expect_invalid(&config, "domains", "1023");
}

Test(validate, checks_what_handlers_publish_to)
{
    subject s;
    make_valid(&s);
    s.domains[2].publishes_to = NULL;
    expect_valid(&s.config);
    s.domains[2].publishes_to = " * ";
    expect_valid(&s.config);
    s.domains[2].publishes_to = "order,fill,system,signal,account,market_data";
    expect_valid(&s.config);
    s.domains[2].publishes_to = "fill, sytem";
    expect_invalid(&s.config, "domains[2].publishes_to", "did you mean \"system\"?");
    s.domains[2].publishes_to = "xyzzy";
    expect_invalid(&s.config, "domains[2].publishes_to", "\"xyzzy\" is not a domain");
    s.domains[2].publishes_to = "fill,,system";
    expect_invalid(&s.config, "domains[2].publishes_to", "a comma too many");
    s.domains[2].publishes_to = "fill, *";
    expect_invalid(&s.config, "domains[2].publishes_to", "use it alone");
    s.domains[2].publishes_to = "*, fill";
    expect_invalid(&s.config, "domains[2].publishes_to", "use it alone");
    s.domains[2].publishes_to = "fill, fill";
    expect_invalid(&s.config, "domains[2].publishes_to", "twice");
}

Test(validate, checks_the_default_domain)
{
    hl_config config = HL_CONFIG_INIT;
    config.default_domain = "system";
    expect_valid(&config);
    config.default_domain = "sistem";
    expect_invalid(&config, "default_domain", "did you mean \"system\"?");
    config.default_domain = "";
    expect_invalid(&config, "default_domain", "use the name of one");
}

/* A number field of the configuration, as for a domain. */
static void expect_range(size_t offset, const char *field, uint32_t least, uint32_t most)
{
    hl_config config = HL_CONFIG_INIT;
    uint32_t *const value = (uint32_t *)(void *)((char *)&config + offset);
    *value = least;
    expect_valid(&config);
    *value = most;
    expect_valid(&config);
    *value = least - 1;
    expect_invalid(&config, field, "use ");
    *value = most + 1;
    expect_invalid(&config, field, "use ");
}

#define RANGE(field, least, most) expect_range(offsetof(hl_config, field), #field, least, most)

Test(validate, checks_the_ranges_of_the_limits)
{
    RANGE(max_topics, 1, 1048576);
    RANGE(max_subscriptions, 1, 1048576);
    RANGE(max_publishers, 1, 4096);
    RANGE(guard_interval, 2, 65536);
    RANGE(retry_events, 1, 1048576);
    RANGE(max_keys_per_state_topic, 1, 16777216);
}

Test(validate, checks_the_pool_of_workers)
{
    hl_config config = HL_CONFIG_INIT;
    config.min_workers = 0; /* there is no pool */
    expect_valid(&config);
    config.max_workers = 64;
    expect_invalid(&config, "min_workers", "use 1 to 64");
    config.min_workers = 64;
    expect_valid(&config);
    config.max_workers = 63;
    expect_invalid(&config, "min_workers", "use 1 to 63");
    config.max_workers = 65;
    expect_invalid(&config, "max_workers", "use 0 to 64");
    config.max_workers = 64;
    config.worker_grow_backlog = 10;
    expect_invalid(&config, "worker_shrink_backlog", "use 1 to 9");
    config.worker_shrink_backlog = 0;
    expect_invalid(&config, "worker_shrink_backlog", "use 1 to 9");
    config.worker_grow_backlog = 0;
    expect_invalid(&config, "worker_grow_backlog", "such as 1000");
    config.worker_grow_backlog = 2;
    config.worker_shrink_backlog = 1;
    expect_valid(&config);
    config.worker_grow_after_ns = 60 * HL_SECOND + 1;
    expect_invalid(&config, "worker_grow_after_ns", "more than a minute");
    config.worker_grow_after_ns = 60 * HL_SECOND;
    config.worker_shrink_after_ns = 10 * HL_MILLISECOND - 1;
    expect_invalid(&config, "worker_shrink_after_ns", "out of range");
    config.worker_shrink_after_ns = 3600 * HL_SECOND + 1;
    expect_invalid(&config, "worker_shrink_after_ns", "out of range");
    config.worker_shrink_after_ns = 3600 * HL_SECOND;
    config.worker_pause_ns = 60 * HL_SECOND + 1;
    expect_invalid(&config, "worker_pause_ns", "more than a minute");
    config.worker_pause_ns = 0;
    expect_valid(&config);
}

Test(validate, checks_the_ladder_and_the_sampling)
{
    RANGE(ladder.down_pct, 1, 95);
    RANGE(ladder.level_weight_pct, 1, 100);
    RANGE(ladder.trend_weight_pct, 1, 100);
    RANGE(sampling.max_keys, 1, 16777216);
    RANGE(sampling.closes_per_look, 1, 65536);
    subject s;
    make_valid(&s);
    s.config.ladder.occupancy_pct = 101;
    expect_invalid(&s.config, "ladder.occupancy_pct", "1 to 100");
    make_valid(&s);
    s.config.ladder.cpu_pct = 101;
    expect_invalid(&s.config, "ladder.cpu_pct", "1 to 100");
    make_valid(&s);
    s.config.ladder.order_delay_ns = 999;
    expect_invalid(&s.config, "ladder.order_delay_ns", "use ");
    make_valid(&s);
    s.config.ladder.arrivals_per_s = 1000000001;
    expect_invalid(&s.config, "ladder.arrivals_per_s", "use ");
    make_valid(&s);
    s.config.ladder.step_up_ns = HL_SECOND + 1;
    expect_invalid(&s.config, "ladder.step_up_ns", "use ");
    make_valid(&s);
    s.config.ladder.step_down_ns = 1251 * HL_MILLISECOND;
    expect_invalid(&s.config, "ladder.step_down_ns", "use ");
    make_valid(&s);
    s.config.ladder.horizon_ns = 0;
    expect_invalid(&s.config, "ladder.horizon_ns", "use ");
    make_valid(&s);
    s.config.sampling.window_ns = HL_MILLISECOND - 1;
    expect_invalid(&s.config, "sampling.window_ns", "use ");
    s.config.sampling.window_ns = 0;
    expect_valid(&s.config);
    s.config.sampling.window_ns = 10 * HL_SECOND + 1;
    expect_invalid(&s.config, "sampling.window_ns", "use ");
}

Test(validate, checks_what_limits_a_domain)
{
    subject s;
    make_valid(&s);
    s.domains[0].throttle.rate_per_s = 1000000000;
    s.domains[0].throttle.burst = 1000000000;
    expect_valid(&s.config);
    s.domains[0].throttle.burst = 1000000001;
    expect_invalid(&s.config, "domains[0].throttle.burst", "use ");
    make_valid(&s);
    s.domains[0].throttle.rate_per_s = 1000000001;
    expect_invalid(&s.config, "domains[0].throttle.rate_per_s", "use ");
    make_valid(&s);
    s.domains[0].throttle.burst = 1;
    expect_invalid(&s.config, "domains[0].throttle.burst", "without a rate");
    for (uint32_t i = 2; i <= 3; i++) { /* order, fill */
        make_valid(&s);
        s.domains[i].throttle.rate_per_s = 1;
        expect_invalid(&s.config,
                       i == 2 ? "domains[2].throttle.rate_per_s" : "domains[3].throttle.rate_per_s",
                       "never throttled");
    }
}

Test(validate, checks_the_watermarks)
{
    subject s;
    make_valid(&s);
    s.domains[1].high_water_pct = 100;
    s.domains[1].low_water_pct = 99;
    expect_valid(&s.config);
    s.domains[1].low_water_pct = 100;
    expect_invalid(&s.config, "domains[1].low_water_pct", "0 to 99");
    s.domains[1].high_water_pct = 101;
    expect_invalid(&s.config, "domains[1].high_water_pct", "0 to 100");
    s.domains[1].high_water_pct = 0;
    s.domains[1].low_water_pct = 1;
    expect_invalid(&s.config, "domains[1].low_water_pct", "set high_water_pct");
    s.domains[1].low_water_pct = 0;
    expect_valid(&s.config);
}

Test(validate, checks_the_names_of_publishers)
{
    const char *names[] = {"feed-a", "feed-b", "feed-a"};
    hl_config config = HL_CONFIG_INIT;
    config.publishers = names;
    config.publisher_count = 2;
    expect_valid(&config);
    config.publisher_count = 3;
    expect_invalid(&config, "publishers[2]", "publishers[0]");
    names[2] = "feed c";
    expect_invalid(&config, "publishers[2]", "use letters");
    names[2] = "order";
    expect_invalid(&config, "publishers[2]", "domain");
    names[2] = "workers";
    expect_invalid(&config, "publishers[2]", "lcores");
    names[2] = NULL;
    expect_invalid(&config, "publishers[2]", "use letters");
    names[2] = "feed-c";
    config.max_publishers = 2;
    expect_invalid(&config, "publishers", "max_publishers is 2");
    config.publishers = NULL;
    config.max_publishers = 256;
    expect_invalid(&config, "publishers", "use 0");
}

Test(validate, checks_the_rules_of_alerts)
{
    hl_alert_rule rules[2] = {HL_ALERT_RULE_INIT, HL_ALERT_RULE_INIT};
    hl_config config = HL_CONFIG_INIT;
    rules[0].name = "a";
    rules[1].name = "b";
    rules[0].counter = "lane.rejected";
    rules[1].counter = "journal.in_flight";
    config.alerts = rules;
    config.alert_count = 2;
    expect_valid(&config);
    rules[0].of = "order/critical";
    rules[1].of = "order";
    expect_valid(&config);
    rules[0].of = "orders/critical";
    expect_invalid(&config, "alerts[0].of", "did you mean \"order\"?");
    rules[0].of = "";
    rules[1].of = "order/critical"; /* a journal is of all its lanes */
    expect_invalid(&config, "alerts[1].of", "is not a domain");
    rules[1].of = NULL;
    rules[1].name = "a";
    expect_invalid(&config, "alerts[1].name", "alerts[0]");
    rules[1].name = NULL;
    expect_invalid(&config, "alerts[1].name", "use letters");
    config.alert_count = 257;
    expect_invalid(&config, "alerts", "at most 256");
    config.alert_count = 1;
    config.alerts = NULL;
    expect_invalid(&config, "alerts", "use 0");
}

Test(validate, checks_how_long_a_journal_is_kept)
{
    hl_config config = HL_CONFIG_INIT;
    config.journal_dir = "/tmp";
    expect_valid(&config);
    config.journal_ttl_ns = 0;
    config.journal_max_bytes = config.journal_segment_bytes;
    expect_valid(&config);
    config.journal_ttl_ns = 30;
    expect_invalid(&config, "journal_ttl_ns", "an hour");
    config.journal_ttl_ns = 3600 * HL_SECOND;
    expect_valid(&config);
    config.journal_max_bytes--;
    expect_invalid(&config, "journal_max_bytes", "use journal_segment_bytes (67108864) or more");
}

Test(validate, checks_the_thresholds_of_the_health)
{
    hl_config config = HL_CONFIG_INIT;
    config.health.lane_pct = (hl_threshold){0, 0};
    config.health.failures_per_s = (hl_threshold){UINT64_MAX, UINT64_MAX};
    expect_valid(&config);
    config.health.thread_busy_pct.degraded = 101;
    expect_invalid(&config, "health.thread_busy_pct.degraded", "1 to 100");
    config.health.thread_busy_pct = (hl_threshold){50, 40};
    expect_invalid(&config, "health.thread_busy_pct.critical", "40 is under degraded (50)");
    config.health.thread_busy_pct = (hl_threshold){50, 0};
    config.health.clear_pct = 0;
    expect_invalid(&config, "health.clear_pct", "1 to 100");
    config.health.size = 1;
    expect_invalid(&config, "health.size", "HL_HEALTH_OPTIONS_INIT");
}
