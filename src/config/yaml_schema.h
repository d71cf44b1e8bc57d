/*
 * What may stand in a configuration file: as libcyaml's schema, and the structs that it loads into.
 */
#ifndef HL_CONFIG_YAML_SCHEMA_H
#define HL_CONFIG_YAML_SCHEMA_H

#include <cyaml/cyaml.h>

#include <hotlane/config.h>

/* Parts of a file; NULL where the file has no such key. */

typedef struct file_throttle {
    uint64_t *rate_per_s;
    uint64_t *burst;
} file_throttle;

typedef struct file_sampling {
    uint64_t *window_ns;
    uint32_t *max_keys;
    uint32_t *closes_per_look;
} file_sampling;

typedef struct file_ladder {
    bool *enabled;
    uint32_t *occupancy_pct;
    uint64_t *order_delay_ns;
    uint32_t *cpu_pct;
    uint64_t *arrivals_per_s;
    uint64_t *step_up_ns;
    uint32_t *down_pct;
    uint64_t *step_down_ns;
    bool *predictive;
    uint64_t *horizon_ns;
    uint32_t *level_weight_pct;
    uint32_t *trend_weight_pct;
} file_ladder;

typedef struct file_threshold {
    uint64_t *degraded;
    uint64_t *critical;
} file_threshold;

typedef struct file_health {
    bool *enabled;
    uint64_t *raise_after_ns;
    uint64_t *clear_after_ns;
    uint32_t *clear_pct;
    file_threshold *thread_stalled_ns;
    file_threshold *thread_busy_pct;
    file_threshold *lane_pct;
    file_threshold *handler_budget_pct;
    file_threshold *failures_per_s;
    file_threshold *given_up_per_s;
    file_threshold *journal_pct;
} file_health;

typedef struct file_alert {
    char *name;
    char *counter;
    char *of;
    hl_alert_when *when;
    uint64_t *limit;
    uint64_t *clear;
    uint64_t *for_ns;
    uint64_t *clear_for_ns;
    hl_health_status *severity;
} file_alert;

/* A file's domain; NULL where the file has no such key. */
typedef struct file_domain {
    char *name;
    hl_priority *priority;
    bool *fixed_priority;
    uint32_t *shards;
    uint32_t *slot_size_bytes;
    uint32_t *ring_slots;
    uint32_t *handler_ring_slots;
    hl_full_policy *full_policy;
    char *conflates;
    uint32_t *conflate_keys;
    uint64_t *block_timeout_ns;
    char *publishes_to;
    hl_wait *wait;
    file_throttle *throttle;
    uint32_t *high_water_pct;
    uint32_t *low_water_pct;
    hl_durability *durability;
    hl_journal_policy *journal_policy;
    uint64_t *journal_patience_ns;
    uint32_t *journal_slots;
    uint64_t *commit_events;
    uint64_t *commit_interval_ns;
} file_domain;

/* A file; NULL likewise. */
typedef struct file_config {
    file_domain *domains;
    uint32_t domain_count;
    char *default_domain;
    char *lcores;
    char **publishers;
    uint32_t publisher_count;
    uint32_t *max_topics;
    uint32_t *max_subscriptions;
    uint32_t *max_publishers;
    uint32_t *guard_interval;
    uint64_t *spin_before_park_ns;
    uint32_t *max_keys_per_state_topic;
    hl_threads *threads;
    bool *huge_pages;
    bool *lock_memory;
    uint32_t *retry_events;
    uint64_t *dlq_memory_bytes;
    char *dlq_path;
    uint64_t *handler_budget_ns;
    uint64_t *turn_budget_ns;
    bool *stall_backtrace;
    uint64_t *ring_start_position;
    uint32_t *max_workers;
    uint32_t *min_workers;
    uint64_t *worker_grow_backlog;
    uint64_t *worker_grow_below_per_s;
    uint64_t *worker_grow_after_ns;
    uint64_t *worker_shrink_backlog;
    uint64_t *worker_shrink_after_ns;
    uint64_t *worker_shrink_above_per_s;
    uint64_t *worker_pause_ns;
    file_ladder *ladder;
    file_sampling *sampling;
    char *journal_dir;
    uint64_t *journal_segment_bytes;
    bool *journal_io_uring;
    bool *journal_salvage;
    char *journal_key_file;
    uint64_t *journal_ttl_ns;
    uint64_t *journal_max_bytes;
    uint64_t *journal_pack_after_ns;
    uint64_t *snapshot_events;
    uint64_t *snapshot_interval_ns;
    uint32_t *snapshots_kept;
    file_health *health;
    file_alert *alerts;
    uint32_t alert_count;
    hl_log_level *log_level;
} file_config;

/* Of a file: a file_config. */
extern const cyaml_schema_value_t hl_file_schema;

#endif
