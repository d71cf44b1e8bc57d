#include "config/yaml_schema.h"

#include "config/domains.h"

static const cyaml_strval_t priorities[] = {{"critical", HL_CRITICAL},
                                            {"high", HL_HIGH},
                                            {"normal", HL_NORMAL},
                                            {"low", HL_LOW},
                                            {"background", HL_BACKGROUND}};
static const cyaml_strval_t full_policies[] = {{"reject", HL_FULL_REJECT},
                                               {"block", HL_FULL_BLOCK}};
static const cyaml_strval_t waits[] = {{"auto", HL_WAIT_AUTO},
                                       {"spin", HL_WAIT_SPIN},
                                       {"backoff", HL_WAIT_BACKOFF},
                                       {"park", HL_WAIT_PARK}};
static const cyaml_strval_t thread_owners[] = {{"own", HL_THREADS_OWN},
                                               {"manual", HL_THREADS_MANUAL}};

static const cyaml_strval_t durabilities[] = {
    {"off", HL_DURABILITY_OFF}, {"async", HL_DURABILITY_ASYNC}, {"sync", HL_DURABILITY_SYNC}};
static const cyaml_strval_t journal_policies[] = {{"wait", HL_JOURNAL_WAIT},
                                                  {"go_on", HL_JOURNAL_GO_ON}};

static const cyaml_strval_t alert_whens[] = {{"over", HL_ALERT_OVER},
                                             {"under", HL_ALERT_UNDER},
                                             {"rate_over", HL_ALERT_RATE_OVER},
                                             {"rate_under", HL_ALERT_RATE_UNDER}};
static const cyaml_strval_t severities[] = {{"degraded", HL_HEALTH_DEGRADED},
                                            {"critical", HL_HEALTH_CRITICAL}};

static const cyaml_strval_t log_levels[] = {{"info", HL_LOG_INFO},
                                            {"warning", HL_LOG_WARNING},
                                            {"error", HL_LOG_ERROR},
                                            {"nothing", HL_LOG_NOTHING}};

#define ENTRIES(array) (uint32_t)(sizeof(array) / sizeof *(array))
#define OPTIONAL       CYAML_FLAG_OPTIONAL
#define ENUM           (CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT | CYAML_FLAG_CASE_INSENSITIVE)
/* An empty value is NULL. */
#define TEXT (CYAML_FLAG_OPTIONAL | CYAML_FLAG_POINTER_NULL_STR)

static const cyaml_schema_field_t throttle_fields[] = {
    CYAML_FIELD_UINT_PTR("rate_per_s", OPTIONAL, file_throttle, rate_per_s),
    CYAML_FIELD_UINT_PTR("burst", OPTIONAL, file_throttle, burst),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t sampling_fields[] = {
    CYAML_FIELD_UINT_PTR("window_ns", OPTIONAL, file_sampling, window_ns),
    CYAML_FIELD_UINT_PTR("max_keys", OPTIONAL, file_sampling, max_keys),
    CYAML_FIELD_UINT_PTR("closes_per_look", OPTIONAL, file_sampling, closes_per_look),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t ladder_fields[] = {
    CYAML_FIELD_BOOL_PTR("enabled", OPTIONAL, file_ladder, enabled),
    CYAML_FIELD_UINT_PTR("occupancy_pct", OPTIONAL, file_ladder, occupancy_pct),
    CYAML_FIELD_UINT_PTR("order_delay_ns", OPTIONAL, file_ladder, order_delay_ns),
    CYAML_FIELD_UINT_PTR("cpu_pct", OPTIONAL, file_ladder, cpu_pct),
    CYAML_FIELD_UINT_PTR("arrivals_per_s", OPTIONAL, file_ladder, arrivals_per_s),
    CYAML_FIELD_UINT_PTR("step_up_ns", OPTIONAL, file_ladder, step_up_ns),
    CYAML_FIELD_UINT_PTR("down_pct", OPTIONAL, file_ladder, down_pct),
    CYAML_FIELD_UINT_PTR("step_down_ns", OPTIONAL, file_ladder, step_down_ns),
    CYAML_FIELD_BOOL_PTR("predictive", OPTIONAL, file_ladder, predictive),
    CYAML_FIELD_UINT_PTR("horizon_ns", OPTIONAL, file_ladder, horizon_ns),
    CYAML_FIELD_UINT_PTR("level_weight_pct", OPTIONAL, file_ladder, level_weight_pct),
    CYAML_FIELD_UINT_PTR("trend_weight_pct", OPTIONAL, file_ladder, trend_weight_pct),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t threshold_fields[] = {
    CYAML_FIELD_UINT_PTR("degraded", OPTIONAL, file_threshold, degraded),
    CYAML_FIELD_UINT_PTR("critical", OPTIONAL, file_threshold, critical),
    CYAML_FIELD_END,
};

#define THRESHOLD(name)                                                              \
    CYAML_FIELD_MAPPING_PTR(#name, OPTIONAL | CYAML_FLAG_POINTER, file_health, name, \
                            threshold_fields)

static const cyaml_schema_field_t health_fields[] = {
    CYAML_FIELD_BOOL_PTR("enabled", OPTIONAL, file_health, enabled),
    CYAML_FIELD_UINT_PTR("raise_after_ns", OPTIONAL, file_health, raise_after_ns),
    CYAML_FIELD_UINT_PTR("clear_after_ns", OPTIONAL, file_health, clear_after_ns),
    CYAML_FIELD_UINT_PTR("clear_pct", OPTIONAL, file_health, clear_pct),
    THRESHOLD(thread_stalled_ns),
    THRESHOLD(thread_busy_pct),
    THRESHOLD(lane_pct),
    THRESHOLD(handler_budget_pct),
    THRESHOLD(failures_per_s),
    THRESHOLD(given_up_per_s),
    THRESHOLD(journal_pct),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t alert_fields[] = {
    CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, file_alert, name, 0, CYAML_UNLIMITED),
    CYAML_FIELD_STRING_PTR("counter", CYAML_FLAG_POINTER, file_alert, counter, 0, CYAML_UNLIMITED),
    CYAML_FIELD_STRING_PTR("of", TEXT, file_alert, of, 0, CYAML_UNLIMITED),
    CYAML_FIELD_ENUM_PTR("when", ENUM, file_alert, when, alert_whens, ENTRIES(alert_whens)),
    CYAML_FIELD_UINT_PTR("limit", OPTIONAL, file_alert, limit),
    CYAML_FIELD_UINT_PTR("clear", OPTIONAL, file_alert, clear),
    CYAML_FIELD_UINT_PTR("for_ns", OPTIONAL, file_alert, for_ns),
    CYAML_FIELD_UINT_PTR("clear_for_ns", OPTIONAL, file_alert, clear_for_ns),
    CYAML_FIELD_ENUM_PTR("severity", ENUM, file_alert, severity, severities, ENTRIES(severities)),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t alert_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, file_alert, alert_fields),
};

static const cyaml_schema_field_t domain_fields[] = {
    CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, file_domain, name, 0, CYAML_UNLIMITED),
    CYAML_FIELD_ENUM_PTR("priority", ENUM, file_domain, priority, priorities, ENTRIES(priorities)),
    CYAML_FIELD_BOOL_PTR("fixed_priority", OPTIONAL, file_domain, fixed_priority),
    CYAML_FIELD_UINT_PTR("shards", OPTIONAL, file_domain, shards),
    CYAML_FIELD_UINT_PTR("slot_size_bytes", OPTIONAL, file_domain, slot_size_bytes),
    CYAML_FIELD_UINT_PTR("ring_slots", OPTIONAL, file_domain, ring_slots),
    CYAML_FIELD_UINT_PTR("handler_ring_slots", OPTIONAL, file_domain, handler_ring_slots),
    CYAML_FIELD_ENUM_PTR("full_policy", ENUM, file_domain, full_policy, full_policies,
                         ENTRIES(full_policies)),
    CYAML_FIELD_UINT_PTR("block_timeout_ns", OPTIONAL, file_domain, block_timeout_ns),
    CYAML_FIELD_STRING_PTR("publishes_to", OPTIONAL | CYAML_FLAG_POINTER, file_domain, publishes_to,
                           0, CYAML_UNLIMITED),
    CYAML_FIELD_ENUM_PTR("wait", ENUM, file_domain, wait, waits, ENTRIES(waits)),
    CYAML_FIELD_STRING_PTR("conflates", TEXT, file_domain, conflates, 0, CYAML_UNLIMITED),
    CYAML_FIELD_UINT_PTR("conflate_keys", OPTIONAL, file_domain, conflate_keys),
    CYAML_FIELD_MAPPING_PTR("throttle", OPTIONAL | CYAML_FLAG_POINTER, file_domain, throttle,
                            throttle_fields),
    CYAML_FIELD_UINT_PTR("high_water_pct", OPTIONAL, file_domain, high_water_pct),
    CYAML_FIELD_UINT_PTR("low_water_pct", OPTIONAL, file_domain, low_water_pct),
    CYAML_FIELD_ENUM_PTR("durability", ENUM, file_domain, durability, durabilities,
                         ENTRIES(durabilities)),
    CYAML_FIELD_ENUM_PTR("journal_policy", ENUM, file_domain, journal_policy, journal_policies,
                         ENTRIES(journal_policies)),
    CYAML_FIELD_UINT_PTR("journal_patience_ns", OPTIONAL, file_domain, journal_patience_ns),
    CYAML_FIELD_UINT_PTR("journal_slots", OPTIONAL, file_domain, journal_slots),
    CYAML_FIELD_UINT_PTR("commit_events", OPTIONAL, file_domain, commit_events),
    CYAML_FIELD_UINT_PTR("commit_interval_ns", OPTIONAL, file_domain, commit_interval_ns),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t domain_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, file_domain, domain_fields),
};

static const cyaml_schema_value_t publisher_schema = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, CYAML_UNLIMITED),
};

static const cyaml_schema_field_t config_fields[] = {
    CYAML_FIELD_SEQUENCE_COUNT("domains", OPTIONAL | CYAML_FLAG_POINTER, file_config, domains,
                               domain_count, &domain_schema, 1, HL_PARTITIONS_MAX),
    CYAML_FIELD_STRING_PTR("default_domain", TEXT, file_config, default_domain, 0, CYAML_UNLIMITED),
    CYAML_FIELD_STRING_PTR("lcores", TEXT, file_config, lcores, 0, CYAML_UNLIMITED),
    CYAML_FIELD_SEQUENCE_COUNT("publishers", OPTIONAL | CYAML_FLAG_POINTER, file_config, publishers,
                               publisher_count, &publisher_schema, 0, HL_PUBLISHERS_MAX),
    CYAML_FIELD_UINT_PTR("max_topics", OPTIONAL, file_config, max_topics),
    CYAML_FIELD_UINT_PTR("max_subscriptions", OPTIONAL, file_config, max_subscriptions),
    CYAML_FIELD_UINT_PTR("max_publishers", OPTIONAL, file_config, max_publishers),
    CYAML_FIELD_UINT_PTR("guard_interval", OPTIONAL, file_config, guard_interval),
    CYAML_FIELD_UINT_PTR("spin_before_park_ns", OPTIONAL, file_config, spin_before_park_ns),
    CYAML_FIELD_UINT_PTR("max_keys_per_state_topic", OPTIONAL, file_config,
                         max_keys_per_state_topic),
    CYAML_FIELD_ENUM_PTR("threads", ENUM, file_config, threads, thread_owners,
                         ENTRIES(thread_owners)),
    CYAML_FIELD_BOOL_PTR("huge_pages", OPTIONAL, file_config, huge_pages),
    CYAML_FIELD_BOOL_PTR("lock_memory", OPTIONAL, file_config, lock_memory),
    CYAML_FIELD_UINT_PTR("retry_events", OPTIONAL, file_config, retry_events),
    CYAML_FIELD_UINT_PTR("dlq_memory_bytes", OPTIONAL, file_config, dlq_memory_bytes),
    CYAML_FIELD_STRING_PTR("dlq_path", TEXT, file_config, dlq_path, 0, CYAML_UNLIMITED),
    CYAML_FIELD_UINT_PTR("handler_budget_ns", OPTIONAL, file_config, handler_budget_ns),
    CYAML_FIELD_UINT_PTR("turn_budget_ns", OPTIONAL, file_config, turn_budget_ns),
    CYAML_FIELD_BOOL_PTR("stall_backtrace", OPTIONAL, file_config, stall_backtrace),
    CYAML_FIELD_UINT_PTR("ring_start_position", OPTIONAL, file_config, ring_start_position),
    CYAML_FIELD_UINT_PTR("max_workers", OPTIONAL, file_config, max_workers),
    CYAML_FIELD_UINT_PTR("min_workers", OPTIONAL, file_config, min_workers),
    CYAML_FIELD_UINT_PTR("worker_grow_backlog", OPTIONAL, file_config, worker_grow_backlog),
    CYAML_FIELD_UINT_PTR("worker_grow_below_per_s", OPTIONAL, file_config, worker_grow_below_per_s),
    CYAML_FIELD_UINT_PTR("worker_grow_after_ns", OPTIONAL, file_config, worker_grow_after_ns),
    CYAML_FIELD_UINT_PTR("worker_shrink_backlog", OPTIONAL, file_config, worker_shrink_backlog),
    CYAML_FIELD_UINT_PTR("worker_shrink_after_ns", OPTIONAL, file_config, worker_shrink_after_ns),
    CYAML_FIELD_UINT_PTR("worker_shrink_above_per_s", OPTIONAL, file_config,
                         worker_shrink_above_per_s),
    CYAML_FIELD_UINT_PTR("worker_pause_ns", OPTIONAL, file_config, worker_pause_ns),
    CYAML_FIELD_MAPPING_PTR("ladder", OPTIONAL | CYAML_FLAG_POINTER, file_config, ladder,
                            ladder_fields),
    CYAML_FIELD_MAPPING_PTR("sampling", OPTIONAL | CYAML_FLAG_POINTER, file_config, sampling,
                            sampling_fields),
    CYAML_FIELD_STRING_PTR("journal_dir", TEXT, file_config, journal_dir, 0, CYAML_UNLIMITED),
    CYAML_FIELD_UINT_PTR("journal_segment_bytes", OPTIONAL, file_config, journal_segment_bytes),
    CYAML_FIELD_BOOL_PTR("journal_io_uring", OPTIONAL, file_config, journal_io_uring),
    CYAML_FIELD_BOOL_PTR("journal_salvage", OPTIONAL, file_config, journal_salvage),
    CYAML_FIELD_STRING_PTR("journal_key_file", TEXT, file_config, journal_key_file, 0,
                           CYAML_UNLIMITED),
    CYAML_FIELD_UINT_PTR("journal_ttl_ns", OPTIONAL, file_config, journal_ttl_ns),
    CYAML_FIELD_UINT_PTR("journal_max_bytes", OPTIONAL, file_config, journal_max_bytes),
    CYAML_FIELD_UINT_PTR("journal_pack_after_ns", OPTIONAL, file_config, journal_pack_after_ns),
    CYAML_FIELD_UINT_PTR("snapshot_events", OPTIONAL, file_config, snapshot_events),
    CYAML_FIELD_UINT_PTR("snapshot_interval_ns", OPTIONAL, file_config, snapshot_interval_ns),
    CYAML_FIELD_UINT_PTR("snapshots_kept", OPTIONAL, file_config, snapshots_kept),
    CYAML_FIELD_MAPPING_PTR("health", OPTIONAL | CYAML_FLAG_POINTER, file_config, health,
                            health_fields),
    CYAML_FIELD_SEQUENCE_COUNT("alerts", OPTIONAL | CYAML_FLAG_POINTER, file_config, alerts,
                               alert_count, &alert_schema, 0, HL_ALERT_RULES_MAX),
    CYAML_FIELD_ENUM_PTR("log_level", ENUM, file_config, log_level, log_levels,
                         ENTRIES(log_levels)),
    CYAML_FIELD_END,
};

const cyaml_schema_value_t hl_file_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, file_config, config_fields),
};
