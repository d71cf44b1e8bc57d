#include "config/yaml.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/temporary_directory.h"

/* A file with the given text, removed by drop_file. */
typedef struct text_file {
    char path[32];
} text_file;

static text_file make_file(const char *text, size_t bytes)
{
    text_file file = {"/tmp/hotlane-config-XXXXXX"};
    const int descriptor = mkstemp(file.path);
    cr_assert_geq(descriptor, 0);
    cr_assert_eq(write(descriptor, text, bytes), (ssize_t)bytes);
    close(descriptor);
    return file;
}

static hl_config *load(const char *text)
{
    const text_file file = make_file(text, strlen(text));
    hl_config *config = NULL;
    hl_error error = {.text = ""};
    cr_assert_eq(hl_config_load(file.path, &config, &error), HL_OK, "%s", error.text);
    unlink(file.path);
    cr_assert_not_null(config);
    return config;
}

/* `place_and_text` is what follows the path: ":3:5: unknown key ...", whole. */
static void expect_bad(const char *text, size_t bytes, const char *place_and_text)
{
    const text_file file = make_file(text, bytes);
    hl_config *config = (hl_config *)(uintptr_t)1;
    hl_error error = {.text = ""};
    cr_assert_eq(hl_config_load(file.path, &config, &error), HL_BAD_INPUT, "let pass: %s", text);
    cr_assert_eq(config, (hl_config *)(uintptr_t)1, "untouched on failure");
    cr_assert_eq(error.status, HL_BAD_INPUT);
    cr_assert_eq(strncmp(error.text, file.path, strlen(file.path)), 0, "%s", error.text);
    cr_assert_str_eq(error.text + strlen(file.path), place_and_text);
    unlink(file.path);
}

#define EXPECT_BAD(text, place_and_text) expect_bad(text, sizeof(text) - 1, place_and_text)

Test(yaml, the_example_states_the_defaults)
{
    hl_config *config = NULL;
    hl_error error = {.text = ""};
    cr_assert_eq(hl_config_load(EXAMPLE, &config, &error), HL_OK, "%s", error.text);
    const hl_config plain = HL_CONFIG_INIT;
    uint32_t count;
    const hl_domain_config *const domains = hl_default_domains(&count);
    cr_assert_eq(config->domain_count, count);
    for (uint32_t i = 0; i < count; i++) {
        const hl_domain_config *const a = &config->domains[i], *const b = &domains[i];
        cr_assert_str_eq(a->name, b->name);
        cr_assert_eq(a->priority, b->priority);
        cr_assert_eq(a->fixed_priority, b->fixed_priority);
        cr_assert_eq(a->shards, b->shards);
        cr_assert_eq(a->slot_size_bytes, b->slot_size_bytes);
        cr_assert_eq(a->ring_slots, b->ring_slots);
        cr_assert_eq(a->handler_ring_slots, b->handler_ring_slots);
        cr_assert_eq(a->full_policy, b->full_policy);
        cr_assert_eq(a->block_timeout_ns, b->block_timeout_ns);
        cr_assert_str_eq(a->publishes_to, b->publishes_to);
        cr_assert_eq(a->wait, b->wait);
        cr_assert_null(a->conflates);
        cr_assert_eq(a->conflate_keys, b->conflate_keys);
        cr_assert_eq(a->throttle.rate_per_s, b->throttle.rate_per_s);
        cr_assert_eq(a->throttle.burst, b->throttle.burst);
        cr_assert_eq(a->high_water_pct, b->high_water_pct);
        cr_assert_eq(a->low_water_pct, b->low_water_pct);
        cr_assert_eq(a->durability, b->durability);
        cr_assert_eq(a->journal_policy, b->journal_policy);
        cr_assert_eq(a->journal_slots, b->journal_slots);
        cr_assert_eq(a->commit_events, b->commit_events);
        cr_assert_eq(a->commit_interval_ns, b->commit_interval_ns);
    }
    cr_assert_eq(memcmp(&config->sampling, &plain.sampling, sizeof plain.sampling), 0);
    const hl_ladder_options *const ladder = &config->ladder, *const usual = &plain.ladder;
    cr_assert_eq(ladder->enabled, usual->enabled);
    cr_assert_eq(ladder->occupancy_pct, usual->occupancy_pct);
    cr_assert_eq(ladder->order_delay_ns, usual->order_delay_ns);
    cr_assert_eq(ladder->cpu_pct, usual->cpu_pct);
    cr_assert_eq(ladder->arrivals_per_s, usual->arrivals_per_s);
    cr_assert_eq(ladder->step_up_ns, usual->step_up_ns);
    cr_assert_eq(ladder->down_pct, usual->down_pct);
    cr_assert_eq(ladder->step_down_ns, usual->step_down_ns);
    cr_assert_eq(ladder->predictive, usual->predictive);
    cr_assert_eq(ladder->horizon_ns, usual->horizon_ns);
    cr_assert_eq(ladder->level_weight_pct, usual->level_weight_pct);
    cr_assert_eq(ladder->trend_weight_pct, usual->trend_weight_pct);
    cr_assert_eq(config->size, plain.size);
    cr_assert_null(config->default_domain);
    cr_assert_null(config->lcores);
    cr_assert_eq(config->publisher_count, 0);
    cr_assert_eq(config->max_topics, plain.max_topics);
    cr_assert_eq(config->max_subscriptions, plain.max_subscriptions);
    cr_assert_eq(config->max_publishers, plain.max_publishers);
    cr_assert_eq(config->retry_events, plain.retry_events);
    cr_assert_eq(config->dlq_memory_bytes, plain.dlq_memory_bytes);
    cr_assert_null(config->dlq_path);
    cr_assert_eq(config->handler_budget_ns, plain.handler_budget_ns);
    cr_assert_eq(config->turn_budget_ns, plain.turn_budget_ns);
    cr_assert_eq(config->stall_backtrace, plain.stall_backtrace);
    cr_assert_null(config->journal_dir);
    cr_assert_eq(config->journal_segment_bytes, plain.journal_segment_bytes);
    cr_assert_eq(config->journal_io_uring, plain.journal_io_uring);
    cr_assert_eq(config->journal_salvage, plain.journal_salvage);
    cr_assert_null(config->journal_key_file);
    cr_assert_eq(config->journal_ttl_ns, plain.journal_ttl_ns);
    cr_assert_eq(config->journal_max_bytes, plain.journal_max_bytes);
    cr_assert_eq(config->journal_pack_after_ns, plain.journal_pack_after_ns);
    cr_assert_eq(config->snapshot_events, plain.snapshot_events);
    cr_assert_eq(config->snapshot_interval_ns, plain.snapshot_interval_ns);
    cr_assert_eq(config->snapshots_kept, plain.snapshots_kept);
    cr_assert_eq(memcmp(&config->health, &plain.health, sizeof plain.health), 0);
    cr_assert_eq(config->alert_count, 0);
    cr_assert_eq(config->log_level, plain.log_level);
    cr_assert_eq(config->guard_interval, plain.guard_interval);
    cr_assert_eq(config->spin_before_park_ns, plain.spin_before_park_ns);
    cr_assert_eq(config->max_keys_per_state_topic, plain.max_keys_per_state_topic);
    cr_assert_eq(config->threads, plain.threads);
    cr_assert_eq(config->huge_pages, plain.huge_pages);
    cr_assert_eq(config->lock_memory, plain.lock_memory);
    cr_assert_eq(config->ring_start_position, plain.ring_start_position);
    hl_config_free(config);
}

/* Whether a line of `text` begins with `key` and a colon, blanks and "- " before it aside. */
static bool has_key(const char *text, const char *key)
{
    const size_t bytes = strlen(key);
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += strspn(line, "\n -");
        if (strncmp(line, key, bytes) == 0 && line[bytes] == ':')
            return true;
    }
    return false;
}

Test(yaml, the_example_has_every_key)
{
    static const char *const keys[] = {"health",
                                       "raise_after_ns",
                                       "clear_after_ns",
                                       "clear_pct",
                                       "thread_stalled_ns",
                                       "thread_busy_pct",
                                       "lane_pct",
                                       "handler_budget_pct",
                                       "failures_per_s",
                                       "given_up_per_s",
                                       "journal_pct",
                                       "alerts",
                                       "log_level",
                                       "domains",
                                       "default_domain",
                                       "lcores",
                                       "publishers",
                                       "max_topics",
                                       "max_subscriptions",
                                       "max_publishers",
                                       "guard_interval",
                                       "spin_before_park_ns",
                                       "threads",
                                       "huge_pages",
                                       "retry_events",
                                       "dlq_memory_bytes",
                                       "dlq_path",
                                       "handler_budget_ns",
                                       "turn_budget_ns",
                                       "stall_backtrace",
                                       "max_keys_per_state_topic",
                                       "max_workers",
                                       "min_workers",
                                       "worker_grow_backlog",
                                       "worker_grow_below_per_s",
                                       "worker_grow_after_ns",
                                       "worker_shrink_backlog",
                                       "worker_shrink_after_ns",
                                       "worker_shrink_above_per_s",
                                       "worker_pause_ns",
                                       "lock_memory",
                                       "name",
                                       "ring_start_position",
                                       "priority",
                                       "fixed_priority",
                                       "shards",
                                       "ring_slots",
                                       "slot_size_bytes",
                                       "handler_ring_slots",
                                       "full_policy",
                                       "publishes_to",
                                       "block_timeout_ns",
                                       "wait",
                                       "conflates",
                                       "conflate_keys",
                                       "throttle",
                                       "rate_per_s",
                                       "burst",
                                       "high_water_pct",
                                       "low_water_pct",
                                       "ladder",
                                       "enabled",
                                       "occupancy_pct",
                                       "order_delay_ns",
                                       "cpu_pct",
                                       "arrivals_per_s",
                                       "step_up_ns",
                                       "down_pct",
                                       "step_down_ns",
                                       "predictive",
                                       "horizon_ns",
                                       "level_weight_pct",
                                       "trend_weight_pct",
                                       "sampling",
                                       "window_ns",
                                       "max_keys",
                                       "closes_per_look",
                                       "journal_dir",
                                       "journal_segment_bytes",
                                       "journal_io_uring",
                                       "journal_salvage",
                                       "journal_key_file",
                                       "journal_ttl_ns",
                                       "journal_max_bytes",
                                       "journal_pack_after_ns",
                                       "snapshot_events",
                                       "snapshot_interval_ns",
                                       "snapshots_kept",
                                       "durability",
                                       "journal_policy",
                                       "journal_patience_ns",
                                       "journal_slots",
                                       "commit_events",
                                       "commit_interval_ns"};
    static char text[65536];
    FILE *const file = fopen(EXAMPLE, "r");
    cr_assert_not_null(file);
    cr_assert_lt(fread(text, 1, sizeof text - 1, file), sizeof text - 1);
    fclose(file);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        cr_assert(has_key(text, keys[i]), "%s is missing", keys[i]);
}

Test(yaml, every_value_arrives)
{
    hl_config *const config = load("default_domain: odd\n"
                                   "lcores: odd@1\n"
                                   "publishers: [feed-a, feed-b]\n"
                                   "max_topics: 11\n"
                                   "max_subscriptions: 12\n"
                                   "max_publishers: 13\n"
                                   "guard_interval: 14\n"
                                   "stall_backtrace: true\n"
                                   "turn_budget_ns: 19000000000\n"
                                   "handler_budget_ns: 18000000000\n"
                                   "dlq_path: x.dlq\n"
                                   "journal_key_file: x.keys\n"
                                   "dlq_memory_bytes: 2000000\n"
                                   "retry_events: 17\n"
                                   "spin_before_park_ns: 15000000000\n"
                                   "max_keys_per_state_topic: 16\n"
                                   "threads: manual\n"
                                   "huge_pages: false\n"
                                   "lock_memory: false\n"
                                   "max_workers: 20\n"
                                   "min_workers: 19\n"
                                   "worker_grow_backlog: 21\n"
                                   "worker_grow_below_per_s: 22\n"
                                   "worker_grow_after_ns: 23\n"
                                   "worker_shrink_backlog: 18\n"
                                   "worker_shrink_after_ns: 24000000\n"
                                   "worker_shrink_above_per_s: 25\n"
                                   "worker_pause_ns: 26\n"
                                   "ring_start_position: 18446744073709551615\n"
                                   "ladder:\n"
                                   "  enabled: false\n"
                                   "  occupancy_pct: 71\n"
                                   "  order_delay_ns: 72000\n"
                                   "  cpu_pct: 73\n"
                                   "  arrivals_per_s: 74\n"
                                   "  step_up_ns: 75\n"
                                   "  down_pct: 76\n"
                                   "  step_down_ns: 770000000\n"
                                   "  predictive: true\n"
                                   "  horizon_ns: 78000000\n"
                                   "  level_weight_pct: 79\n"
                                   "  trend_weight_pct: 80\n"
                                   "sampling: {window_ns: 81000000, max_keys: 82, "
                                   "closes_per_look: 83}\n"
                                   "domains:\n"
                                   "  - name: odd\n"
                                   "    priority: low\n"
                                   "    fixed_priority: true\n"
                                   "    shards: 2\n"
                                   "    slot_size_bytes: 65600\n"
                                   "    ring_slots: 8\n"
                                   "    handler_ring_slots: 16\n"
                                   "    full_policy: block\n"
                                   "    block_timeout_ns: 6000000000\n"
                                   "    publishes_to: \"odd\"\n"
                                   "    wait: backoff\n"
                                   "    conflates: normal, low\n"
                                   "    conflate_keys: 17\n"
                                   "    throttle: {rate_per_s: 18, burst: 19}\n"
                                   "    high_water_pct: 21\n"
                                   "    low_water_pct: 20\n");
    cr_assert_str_eq(config->default_domain, "odd");
    cr_assert_str_eq(config->lcores, "odd@1");
    cr_assert_eq(config->publisher_count, 2);
    cr_assert_str_eq(config->publishers[0], "feed-a");
    cr_assert_str_eq(config->publishers[1], "feed-b");
    cr_assert_eq(config->max_topics, 11);
    cr_assert_eq(config->max_subscriptions, 12);
    cr_assert_eq(config->max_publishers, 13);
    cr_assert_eq(config->retry_events, 17);
    cr_assert_eq(config->dlq_memory_bytes, 2000000);
    cr_assert_str_eq(config->dlq_path, "x.dlq");
    cr_assert_str_eq(config->journal_key_file, "x.keys");
    cr_assert_eq(config->handler_budget_ns, 18000000000);
    cr_assert_eq(config->turn_budget_ns, 19000000000);
    cr_assert_eq(config->stall_backtrace, true);
    cr_assert_eq(config->guard_interval, 14);
    cr_assert_eq(config->spin_before_park_ns, 15 * HL_SECOND);
    cr_assert_eq(config->max_keys_per_state_topic, 16);
    cr_assert_eq(config->threads, HL_THREADS_MANUAL);
    cr_assert_eq(config->max_workers, 20);
    cr_assert_eq(config->min_workers, 19);
    cr_assert_eq(config->worker_grow_backlog, 21);
    cr_assert_eq(config->worker_grow_below_per_s, 22);
    cr_assert_eq(config->worker_grow_after_ns, 23);
    cr_assert_eq(config->worker_shrink_backlog, 18);
    cr_assert_eq(config->worker_shrink_after_ns, 24000000);
    cr_assert_eq(config->worker_shrink_above_per_s, 25);
    cr_assert_eq(config->worker_pause_ns, 26);
    cr_assert_not(config->huge_pages);
    cr_assert_not(config->lock_memory);
    cr_assert_eq(config->ring_start_position, UINT64_MAX);
    cr_assert_eq(config->domain_count, 1);
    const hl_domain_config *const domain = config->domains;
    cr_assert_str_eq(domain->name, "odd");
    cr_assert_eq(domain->priority, HL_LOW);
    cr_assert(domain->fixed_priority);
    cr_assert_eq(domain->shards, 2);
    cr_assert_eq(domain->slot_size_bytes, 65600);
    cr_assert_eq(domain->ring_slots, 8);
    cr_assert_eq(domain->handler_ring_slots, 16);
    cr_assert_eq(domain->full_policy, HL_FULL_BLOCK);
    cr_assert_eq(domain->block_timeout_ns, 6 * HL_SECOND);
    cr_assert_str_eq(domain->publishes_to, "odd");
    cr_assert_eq(domain->wait, HL_WAIT_BACKOFF);
    cr_assert_str_eq(domain->conflates, "normal, low");
    cr_assert_eq(domain->conflate_keys, 17);
    cr_assert_eq(domain->throttle.rate_per_s, 18);
    cr_assert_eq(domain->throttle.burst, 19);
    cr_assert_eq(domain->high_water_pct, 21);
    cr_assert_eq(domain->low_water_pct, 20);
    const hl_ladder_options *const ladder = &config->ladder;
    cr_assert_not(ladder->enabled);
    cr_assert_eq(ladder->occupancy_pct, 71);
    cr_assert_eq(ladder->order_delay_ns, 72000);
    cr_assert_eq(ladder->cpu_pct, 73);
    cr_assert_eq(ladder->arrivals_per_s, 74);
    cr_assert_eq(ladder->step_up_ns, 75);
    cr_assert_eq(ladder->down_pct, 76);
    cr_assert_eq(ladder->step_down_ns, 770 * HL_MILLISECOND);
    cr_assert(ladder->predictive);
    cr_assert_eq(ladder->horizon_ns, 78 * HL_MILLISECOND);
    cr_assert_eq(ladder->level_weight_pct, 79);
    cr_assert_eq(ladder->trend_weight_pct, 80);
    cr_assert_eq(config->sampling.window_ns, 81 * HL_MILLISECOND);
    cr_assert_eq(config->sampling.max_keys, 82);
    cr_assert_eq(config->sampling.closes_per_look, 83);
    hl_config_free(config);
}

Test(yaml, a_file_of_comments_is_the_defaults)
{
    static const char *const texts[] = {"", "# nothing yet\n", "---\n# nothing yet\n...\n"};
    /* The last one is an explicit document that holds nothing, so it is not a mapping. */
    for (size_t i = 0; i < 2; i++) {
        hl_config *const config = load(texts[i]);
        cr_assert_eq(config->domain_count, 0);
        cr_assert_eq(config->guard_interval, 64);
        hl_config_free(config);
    }
    EXPECT_BAD("---\n# nothing yet\n...\n", ":3:1: the file: an empty value is not right here: use "
                                            "a mapping, a line each of `key: value`");
}

Test(yaml, a_default_domain_keeps_what_the_file_leaves_out)
{
    hl_config *const config = load("domains:\n  - name: order\n    ring_slots: 64\n");
    cr_assert_eq(config->domains[0].priority, HL_CRITICAL);
    cr_assert(config->domains[0].fixed_priority);
    cr_assert_eq(config->domains[0].ring_slots, 64);
    cr_assert_eq(config->domains[0].handler_ring_slots, 4096);
    hl_config_free(config);
}

Test(yaml, a_default_list_names_only_domains_that_are_there)
{
    hl_config *const config = load("domains:\n  - name: fill\n  - name: order\n");
    cr_assert_str_eq(config->domains[0].publishes_to, "order,fill");
    cr_assert_str_eq(config->domains[1].publishes_to, "order,fill");
    hl_config_free(config);
}

Test(yaml, a_domain_of_its_own_publishes_everywhere_unless_it_says_else)
{
    hl_config *const config =
        load("domains:\n  - name: hedge\n  - name: quiet\n    publishes_to: \"\"\n");
    cr_assert_eq(config->domains[0].priority, HL_NORMAL);
    cr_assert_str_eq(config->domains[0].publishes_to, "*");
    cr_assert_str_eq(config->domains[1].publishes_to, "");
    hl_config_free(config);
}

Test(yaml, what_is_wrong_with_the_flow_has_its_place)
{
    EXPECT_BAD("ladder:\n  down_pct: 96\n",
               ":2:13: ladder.down_pct: 96 is out of range: use 1 to 95");
    EXPECT_BAD("sampling: {window_ns: 5}\n",
               ":1:23: sampling.window_ns: 5 is out of range: use 1000000 to 10000000000, or 0 to "
               "switch it off");
    EXPECT_BAD("domains:\n  - name: a\n    throttle:\n      burst: 4\n",
               ":4:14: domains[0].throttle.burst: 4 events have no meaning without a rate: set "
               "rate_per_s, or burst to 0");
    EXPECT_BAD(
        "ladder: on\n",
        ":1:9: ladder: \"on\" is not right here: use a mapping, a line each of `key: value`");
    EXPECT_BAD("ladder:\n  cpu_pt: 4\n", ":2:3: unknown key \"cpu_pt\": did you mean \"cpu_pct\"?");
}

/* A number on either side of what a field may have, and what is said of it. */
static const struct bad_value {
    const char *before, *field, *value;
    int line; /* of the field */
    const char *path, *sentence;
} bad_flow[] = {
#define LADDER   "ladder:\n  ", 2, "ladder."
#define SAMPLING "sampling:\n  ", 2, "sampling."
#define DOMAIN   "domains:\n  - name: a\n    ", 3, "domains[0]."
#define THROTTLE \
    "domains:\n  - name: a\n    throttle:\n      rate_per_s: 1\n      ", 5, "domains[0].throttle."
#define POOL                               "threads: own\n", 2, ""
#define WORKERS                            "max_workers: 4\n", 2, ""
#define BAD(place, field, value, sentence) BAD_AT(place, field, value, sentence)
#define BAD_AT(before, line, path, field, value, sentence) \
    {                                                      \
        before, field, value, line, path, value sentence   \
    }
    BAD(LADDER, "occupancy_pct", "101", " is out of range: use 1 to 100, or 0 to switch it off"),
    BAD(LADDER, "order_delay_ns", "999",
        " is out of range: use 1000 to 10000000000, or 0 to switch it off"),
    BAD(LADDER, "order_delay_ns", "10000000001",
        " is out of range: use 1000 to 10000000000, or 0 to switch it off"),
    BAD(LADDER, "cpu_pct", "101", " is out of range: use 1 to 100, or 0 to switch it off"),
    BAD(LADDER, "arrivals_per_s", "1000000001",
        " is out of range: use 1 to 1000000000, or 0 to switch it off"),
    BAD(LADDER, "step_up_ns", "1000000001", " is out of range: use 0 to 1000000000"),
    BAD(LADDER, "down_pct", "0", " is out of range: use 1 to 95"),
    BAD(LADDER, "down_pct", "96", " is out of range: use 1 to 95"),
    BAD(LADDER, "step_down_ns", "99999999", " is out of range: use 100000000 to 1250000000"),
    BAD(LADDER, "step_down_ns", "1250000001", " is out of range: use 100000000 to 1250000000"),
    BAD(LADDER, "horizon_ns", "999999", " is out of range: use 1000000 to 1000000000"),
    BAD(LADDER, "horizon_ns", "1000000001", " is out of range: use 1000000 to 1000000000"),
    BAD(LADDER, "level_weight_pct", "0", " is out of range: use 1 to 100"),
    BAD(LADDER, "level_weight_pct", "101", " is out of range: use 1 to 100"),
    BAD(LADDER, "trend_weight_pct", "0", " is out of range: use 1 to 100"),
    BAD(LADDER, "trend_weight_pct", "101", " is out of range: use 1 to 100"),
    BAD(SAMPLING, "window_ns", "999999",
        " is out of range: use 1000000 to 10000000000, or 0 to switch it off"),
    BAD(SAMPLING, "window_ns", "10000000001",
        " is out of range: use 1000000 to 10000000000, or 0 to switch it off"),
    BAD(SAMPLING, "max_keys", "0", " is out of range: use 1 to 16777216"),
    BAD(SAMPLING, "max_keys", "16777217", " is out of range: use 1 to 16777216"),
    BAD(SAMPLING, "closes_per_look", "0", " is out of range: use 1 to 65536"),
    BAD(SAMPLING, "closes_per_look", "65537", " is out of range: use 1 to 65536"),
    BAD(DOMAIN, "conflate_keys", "16777217", " is out of range: use 0 to 16777216"),
    BAD(DOMAIN, "high_water_pct", "101", " is out of range: use 0 to 100"),
    BAD(DOMAIN, "low_water_pct", "100", " is not under high_water_pct: use 0 to 79"),
    BAD(THROTTLE, "burst", "1000000001",
        " is out of range: use 1 to 1000000000, or 0 to switch it off"),
    BAD(POOL, "max_workers", "65", " is out of range: use 0 to 64"),
    BAD(WORKERS, "min_workers", "0", " is out of range: use 1 to 4"),
    BAD(WORKERS, "min_workers", "5", " is out of range: use 1 to 4"),
    BAD(WORKERS, "worker_grow_backlog", "1", " is out of range: use 2 or more, such as 1000"),
    BAD(WORKERS, "worker_shrink_backlog", "1000",
        " leaves nothing between it and worker_grow_backlog: use 1 to 999"),
    BAD(WORKERS, "worker_shrink_backlog", "0",
        " leaves nothing between it and worker_grow_backlog: use 1 to 999"),
};

Test(yaml, every_bad_value_of_the_flow_has_its_place)
{
    for (size_t i = 0; i < sizeof bad_flow / sizeof *bad_flow; i++) {
        const struct bad_value *const bad = &bad_flow[i];
        char text[256], expected[256];
        snprintf(text, sizeof text, "%s%s: %s\n", bad->before, bad->field, bad->value);
        const char *const line = strrchr(bad->before, '\n') + 1;
        snprintf(expected, sizeof expected, ":%d:%zu: %s%s: %s", bad->line,
                 strlen(line) + strlen(bad->field) + 3, bad->path, bad->field, bad->sentence);
        expect_bad(text, strlen(text), expected);
    }
}

/* What is no number, or not the word that would be right. */
Test(yaml, every_kind_of_value_of_the_flow_is_checked)
{
    static const struct {
        const char *text, *says;
    } wrong[] = {{"ladder:\n  enabled: maybe\n", "ladder.enabled"},
                 {"ladder:\n  predictive: 2\n", "ladder.predictive"},
                 {"ladder:\n  cpu_pct: -1\n", "ladder.cpu_pct"},
                 {"ladder:\n  step_up_ns: 1.5\n", "ladder.step_up_ns"},
                 {"ladder:\n  step_up_ns: 18446744073709551616\n", "ladder.step_up_ns"},
                 {"sampling:\n  window_ns: 100ms\n", "sampling.window_ns"},
                 {"sampling:\n  max_keys:\n", "sampling.max_keys"},
                 {"domains:\n  - name: a\n    conflates: high\n", "domains[0].conflates"},
                 {"domains:\n  - name: a\n    conflates: all\n", "domains[0].conflates"},
                 {"domains:\n  - name: a\n    throttle: 5\n", "domains[0].throttle"},
                 {"domains:\n  - name: a\n    throttle: {rate_per_s: x}\n",
                  "domains[0].throttle.rate_per_s"},
                 {"domains:\n  - name: a\n    priority: high\n    throttle: {rate_per_s: 5}\n",
                  "domains[0].throttle.rate_per_s"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const text_file file = make_file(wrong[i].text, strlen(wrong[i].text));
        hl_config *config = NULL;
        hl_error error = {.text = ""};
        cr_assert_eq(hl_config_load(file.path, &config, &error), HL_BAD_INPUT, "let pass: %s",
                     wrong[i].text);
        unlink(file.path);
        cr_assert_not_null(strstr(error.text, wrong[i].says), "%s: %s", wrong[i].text, error.text);
        cr_assert_not_null(strstr(error.text, "use "), "no remedy: %s", error.text);
    }
}

Test(yaml, a_lane_that_conflates_is_named_once)
{
    EXPECT_BAD("domains:\n  - name: a\n    conflates: low, low\n",
               ":3:16: domains[0].conflates: low stands there twice: once is enough");
}

Test(yaml, names_of_values_may_be_in_capitals)
{
    hl_config *const config = load("domains:\n  - name: a\n    priority: CRITICAL\n");
    cr_assert_eq(config->domains[0].priority, HL_CRITICAL);
    hl_config_free(config);
}

Test(yaml, an_alias_stands_for_what_it_names)
{
    hl_config *const config = load("domains:\n  - name: a\n    ring_slots: &slots 64\n"
                                   "    handler_ring_slots: *slots\n");
    cr_assert_eq(config->domains[0].handler_ring_slots, 64);
    hl_config_free(config);
}

Test(yaml, unknown_keys_have_place_and_remedy)
{
    EXPECT_BAD("domains:\n  - name: a\n    shrads: 3\n",
               ":3:5: unknown key \"shrads\": did you mean \"shards\"?");
    EXPECT_BAD("lcore: order@2\n", ":1:1: unknown key \"lcore\": did you mean \"lcores\"?");
    EXPECT_BAD("domains:\n  - name: a\n    xyzzy: 3\n",
               ":3:5: unknown key \"xyzzy\": use one of name, priority, fixed_priority, shards, "
               "slot_size_bytes, ring_slots, handler_ring_slots, full_policy, block_timeout_ns, "
               "publishes_to, wait, conflates, conflate_keys, throttle, high_water_pct, "
               "low_water_pct, durability, journal_policy, ... (all: examples/hotlane.yaml)");
    EXPECT_BAD("? [a, b]\n: c\n", ":1:3: a key is a plain word");
}

Test(yaml, keys_twice_and_keys_missing_have_their_place)
{
    EXPECT_BAD("threads: own\nthreads: manual\n",
               ":2:1: \"threads\" is there twice, first in line 1: keep one");
    EXPECT_BAD("domains:\n  - shards: 2\n", ":2:5: domains[0]: \"name\" is missing: add it");
}

Test(yaml, wrong_types_have_place_and_remedy)
{
    static const char *const numbers[] = {"abc", "-3", "1_000", "1.5", "0x10", "010", "50us", "+1"};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        char text[64], expected[160];
        snprintf(text, sizeof text, "guard_interval: %s\n", numbers[i]);
        snprintf(expected, sizeof expected,
                 ":1:17: guard_interval: \"%s\" is not right here: use a whole number in decimal "
                 "digits",
                 numbers[i]);
        expect_bad(text, strlen(text), expected);
    }
    EXPECT_BAD("guard_interval:\n", ":1:16: guard_interval: an empty value is not right here: use "
                                    "a whole number in decimal digits");
    EXPECT_BAD("guard_interval: [1]\n", ":1:17: guard_interval: a list is not right here: use a "
                                        "whole number in decimal digits");
    EXPECT_BAD("huge_pages: maybe\n",
               ":1:13: huge_pages: \"maybe\" is not right here: use true or false");
    EXPECT_BAD("domains: order\n", ":1:10: domains: \"order\" is not right here: use a list, an "
                                   "item a line that begins with \"- \"");
    EXPECT_BAD("domains:\n  - order\n", ":2:5: domains[0]: \"order\" is not right here: use a "
                                        "mapping, a line each of `key: value`");
    EXPECT_BAD("domains:\n  - name: a\n    publishes_to: [a]\n",
               ":3:19: domains[0].publishes_to: a list is not right here: use text");
    EXPECT_BAD("- a\n", ":1:1: the file: a list is not right here: use a mapping, a line each of "
                        "`key: value`");
    EXPECT_BAD("domains:\n  - name: a\n    priority: hgih\n",
               ":3:15: domains[0].priority: \"hgih\" is none of its values: did you mean "
               "\"high\"?");
    EXPECT_BAD("threads: 1\n", ":1:10: threads: \"1\" is not right here: use own or manual");
    EXPECT_BAD("lcores: \"a\\0b\"\n", ":1:9: lcores: the text holds a zero byte: take it out");
}

Test(yaml, values_out_of_range_have_place_and_remedy)
{
    EXPECT_BAD("domains:\n  - name: a\n    slot_size_bytes: 100\n",
               ":3:22: domains[0].slot_size_bytes: 100 is not a multiple of 64: use 128");
    EXPECT_BAD("guard_interval: 1\n", ":1:17: guard_interval: 1 is out of range: use 2 to 65536");
    EXPECT_BAD("guard_interval: 4294967296\n",
               ":1:17: guard_interval: 4294967296 is too large: use at most 4294967295");
    EXPECT_BAD("spin_before_park_ns: 18446744073709551616\n",
               ":1:22: spin_before_park_ns: 18446744073709551616 is too large: use at most "
               "18446744073709551615");
    EXPECT_BAD("publishers: [a, b, a]\n",
               ":1:20: publishers[2]: \"a\" is the name of publishers[0] too: use another one");
    EXPECT_BAD("domains: []\n", ":1:10: domains: the list is empty: give it an item, or leave the "
                                "key out");
}

Test(yaml, defects_between_fields_have_their_place)
{
    EXPECT_BAD("publishers: [a, b]\nmax_publishers: 1\n",
               ":1:13: publishers: 2 names, but max_publishers is 1: raise it");
    EXPECT_BAD("domains:\n  - name: a\n    full_policy: block\n    block_timeout_ns: 0\n",
               ":4:23: domains[0].block_timeout_ns: 0 never waits: use the ns that a publisher may "
               "wait, or full_policy reject");
    EXPECT_BAD("domains:\n  - name: a\n    shards: 1000\n  - name: b\n    shards: 1000\n",
               ":5:13: domains[1].shards: with this domain there are 2000 partitions: use at most "
               "1023 in all domains together");
}

Test(yaml, what_is_not_yaml_has_its_place)
{
    EXPECT_BAD("lcores: a: b\n", ":1:10: not YAML: mapping values are not allowed in this context");
    EXPECT_BAD("\tlcores: a\n", ":1:1: not YAML: found character that cannot start any token while "
                                "scanning for the next token");
    EXPECT_BAD("lcores: \xc3\xa9\nthreads: \xff\n",
               ":2:10: invalid leading UTF-8 octet: save the file as UTF-8 text");
    EXPECT_BAD("\x7f"
               "ELF\x02\x01\x01\x00",
               ":1:1: control characters are not allowed: save the file as UTF-8 text");
    EXPECT_BAD("threads: own\n---\nthreads: own\n",
               ":3:1: a second document begins here: one file is one configuration");
}

Test(yaml, a_file_cut_anywhere_is_refused_or_read_but_never_a_crash)
{
    static const char text[] = "publishers: [\"feed-a\", feed-b]\ndomains:\n  - &a {name: order,\n"
                               "      priority: critical}\n  - name: fill\n    wait: park\n";
    for (size_t bytes = 0; bytes < sizeof text; bytes++) {
        const text_file file = make_file(text, bytes);
        hl_config *config = NULL;
        hl_error error = {.text = ""};
        const hl_status status = hl_config_load(file.path, &config, &error);
        unlink(file.path);
        cr_assert(status == HL_OK ? config != NULL : error.text[0] != '\0');
        cr_assert(status == HL_OK || status == HL_BAD_INPUT);
        hl_config_free(config);
    }
}

Test(yaml, what_cannot_be_read_says_why)
{
    hl_config *config = NULL;
    hl_error error;
    cr_assert_eq(hl_config_load("/tmp/hotlane-no-such-file", &config, &error), HL_SYSTEM);
    cr_assert_str_eq(error.text,
                     "/tmp/hotlane-no-such-file: cannot be opened: No such file or directory");
    cr_assert_eq(hl_config_load("/tmp", &config, &error), HL_SYSTEM);
    cr_assert_str_eq(error.text, "/tmp: cannot be read: Is a directory");
    cr_assert_eq(hl_config_load(NULL, &config, &error), HL_INVALID);
    cr_assert_eq(hl_config_load("/tmp", &config, NULL), HL_SYSTEM, "the sentence is optional");
    cr_assert_null(config);
}

Test(yaml, a_file_beyond_1_mib_is_refused)
{
    const size_t bytes = 1024 * 1024 + 1;
    char *const text = malloc(bytes);
    cr_assert_not_null(text);
    memset(text, '\n', bytes);
    expect_bad(text, bytes, ": larger than 1 MiB: this is no configuration");
    free(text);
}

Test(yaml, a_long_path_leaves_room_for_the_sentence)
{
    char path[400] = "/tmp/hotlane-";
    memset(path + strlen(path), 'd', 200);
    cr_assert(mkdir(path, 0700) == 0 || access(path, W_OK) == 0);
    strcat(path, "/x.yaml");
    FILE *const file = fopen(path, "w");
    cr_assert_not_null(file);
    fputs("lcore: a\n", file);
    fclose(file);
    hl_config *config;
    hl_error error;
    cr_assert_eq(hl_config_load(path, &config, &error), HL_BAD_INPUT);
    cr_assert_not_null(strstr(error.text, "/x.yaml:1:1: unknown key \"lcore\": did you mean"));
    cr_assert_eq(strncmp(error.text, "...ddd", 6), 0, "%s", error.text);
    unlink(path);
    *strrchr(path, '/') = '\0';
    rmdir(path);
}

Test(yaml, a_place_is_found_afterwards)
{
    const char text[] = "threads: own\nlcores: order@99\n";
    const text_file file = make_file(text, sizeof text - 1);
    hl_error error;
    char expected[64];
    cr_assert_eq(hl_config_file_error(file.path, "lcores", "no CPU 99", &error), HL_BAD_INPUT);
    snprintf(expected, sizeof expected, "%s:2:9: no CPU 99", file.path);
    cr_assert_str_eq(error.text, expected);
    hl_config_file_error(file.path, "domains[3].name", "not there", &error);
    snprintf(expected, sizeof expected, "%s:1:1: not there", file.path);
    cr_assert_str_eq(error.text, expected);
    unlink(file.path);
}

Test(yaml, of_a_pipe_no_place_is_found_afterwards, .timeout = 30)
{
    char directory[TEMPORARY_DIRECTORY_SIZE];
    temporary_directory_make(NULL, "config", directory);
    char pipe_path[sizeof directory + 8];
    snprintf(pipe_path, sizeof pipe_path, "%s/pipe", directory);
    cr_assert_eq(mkfifo(pipe_path, 0600), 0);
    hl_error error;
    char expected[sizeof pipe_path + 16];
    cr_expect_eq(hl_config_file_error(pipe_path, "lcores", "no CPU 99", &error), HL_BAD_INPUT);
    snprintf(expected, sizeof expected, "%s: no CPU 99", pipe_path);
    cr_expect_str_eq(error.text, expected);
    temporary_directory_remove(directory);
}

Test(yaml, freeing_nothing_is_allowed)
{
    hl_config_free(NULL);
}

Test(yaml, alerts_and_thresholds_are_read)
{
    hl_config *const config = load("health:\n"
                                   "  clear_pct: 50\n"
                                   "  lane_pct: {degraded: 10, critical: 20}\n"
                                   "alerts:\n"
                                   "  - name: refused\n"
                                   "    counter: lane.rejected\n"
                                   "    of: order/critical\n"
                                   "    when: rate_over\n"
                                   "    limit: 10\n"
                                   "    clear: 2\n"
                                   "    for_ns: 5\n"
                                   "    clear_for_ns: 6\n"
                                   "    severity: critical\n"
                                   "  - name: idle\n"
                                   "    counter: thread.events\n"
                                   "    when: rate_under\n"
                                   "    limit: 1\n");
    cr_assert(config->health.enabled);
    cr_assert_eq(config->health.clear_pct, 50);
    cr_assert_eq(config->health.lane_pct.degraded, 10);
    cr_assert_eq(config->health.lane_pct.critical, 20);
    cr_assert_eq(config->health.journal_pct.critical, 95);
    cr_assert_eq(config->alert_count, 2);
    const hl_alert_rule *const rule = config->alerts;
    cr_assert_str_eq(rule[0].name, "refused");
    cr_assert_str_eq(rule[0].counter, "lane.rejected");
    cr_assert_str_eq(rule[0].of, "order/critical");
    cr_assert_eq(rule[0].when, HL_ALERT_RATE_OVER);
    cr_assert_eq(rule[0].limit, 10);
    cr_assert_eq(rule[0].clear, 2);
    cr_assert_eq(rule[0].for_ns, 5);
    cr_assert_eq(rule[0].clear_for_ns, 6);
    cr_assert_eq(rule[0].severity, HL_HEALTH_CRITICAL);
    cr_assert_null(rule[1].of);
    cr_assert_eq(rule[1].clear, HL_ALERT_CLEAR_DEFAULT);
    cr_assert_eq(rule[1].clear_for_ns, HL_SECOND);
    cr_assert_eq(rule[1].severity, HL_HEALTH_DEGRADED);
    hl_config_free(config);
}

Test(yaml, bad_rules_are_refused_with_their_line)
{
    EXPECT_BAD("alerts:\n  - name: a\n    counter: lane.rejectd\n",
               ":3:14: alerts[0].counter: there is none named \"lane.rejectd\": did you mean "
               "\"lane.rejected\"?");
    EXPECT_BAD("alerts:\n  - name: a\n    counter: lane.shed\n    of: ordr\n",
               ":4:9: alerts[0].of: \"ordr\" is not a domain: did you mean \"order\"?");
    EXPECT_BAD("alerts:\n  - name: a\n    counter: lane.shed\n    limit: 3\n    clear: 4\n",
               ":5:12: alerts[0].clear: 4 is above the limit, where it is raised: use 0 to 3");
    EXPECT_BAD("alerts:\n  - name: a\n    counter: lane.shed\n    when: ovre\n",
               ":4:11: alerts[0].when: \"ovre\" is none of its values: did you mean \"over\"?");
    EXPECT_BAD("alerts:\n  - name: a\n    counter: lane.shed\n  - name: a\n"
               "    counter: lane.shed\n",
               ":4:11: alerts[1].name: \"a\" is the name of alerts[0] too: use another one");
    EXPECT_BAD("health:\n  lane_pct:\n    degraded: 90\n    critical: 80\n",
               ":4:15: health.lane_pct.critical: 80 is under degraded (90): use that or more, or 0 "
               "to switch it off");
    EXPECT_BAD("health:\n  journal_pct:\n    degraded: 101\n",
               ":3:15: health.journal_pct.degraded: 101 is out of range: use 1 to 100, or 0 to "
               "switch it off");
}
