/*
 * A configuration from a YAML file: checked as a document, loaded by libcyaml into the structs
 * below, laid over the defaults, checked as an hl_config.
 */
#include "config/yaml.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "config/defect.h"
#include "config/document.h"
#include "config/domains.h"

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
    uint64_t *snapshot_events;
    uint64_t *snapshot_interval_ns;
    uint32_t *snapshots_kept;
    file_health *health;
    file_alert *alerts;
    uint32_t alert_count;
    hl_log_level *log_level;
} file_config;

/* What hl_config_load hands out: its strings are the file's. */
typedef struct loaded_config {
    hl_config config; /* first, so that hl_config_free finds the rest */
    hl_domain_config *domains;
    hl_alert_rule *alerts;
    char **lists; /* publishes_to made here, one a domain; NULL: the file's or a static one */
    file_config *file;
} loaded_config;

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

static const cyaml_schema_value_t config_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, file_config, config_fields),
};

/* libcyaml may say several things; the first one is the reason. */
static void keep_first_sentence(cyaml_log_t level, void *context, const char *format,
                                va_list arguments)
{
    hl_error *const reason = context;
    if (level < CYAML_LOG_ERROR || reason->text[0] != '\0')
        return;
    vsnprintf(reason->text, sizeof reason->text, format, arguments);
    reason->text[strcspn(reason->text, "\n")] = '\0';
}

static cyaml_config_t cyaml_settings(hl_error *reason)
{
    return (cyaml_config_t){.log_fn = keep_first_sentence,
                            .log_ctx = reason,
                            .mem_fn = cyaml_mem,
                            .log_level = CYAML_LOG_ERROR};
}

/* `*ret_file` stays NULL for a file of comments. */
static hl_status load_file(const hl_document *document, file_config **ret_file, hl_error *error)
{
    if (hl_document_is_empty(document))
        return HL_OK;
    const hl_status status = hl_document_check(document, &config_schema, error);
    if (status != HL_OK)
        return status;
    hl_error reason = {.text = ""};
    const cyaml_config_t settings = cyaml_settings(&reason);
    cyaml_data_t *file = NULL;
    const cyaml_err_t outcome = cyaml_load_data(document->text, document->text_bytes, &settings,
                                                &config_schema, &file, NULL);
    if (outcome == CYAML_ERR_OOM)
        return hl_error_set(error, HL_NO_MEMORY, "%s: no memory to load it", document->path);
    if (outcome != CYAML_OK)
        return hl_document_error(document, (hl_place){1, 1}, error, "%s: %s",
                                 cyaml_strerror(outcome), reason.text);
    *ret_file = file;
    return HL_OK;
}

/* Lays a value of the file over the default. */
#define TAKE(target, source, field)             \
    do {                                        \
        if ((source)->field != NULL)            \
            (target)->field = *(source)->field; \
    } while (0)

/* What a domain begins as: the default domain of its name, else an ordinary one whose handlers may
 * publish everywhere. */
static hl_domain_config base_domain(const char *name)
{
    uint32_t count, index;
    const hl_domain_config *const defaults = hl_default_domains(&count);
    if (hl_domain_find(defaults, count, (hl_name){name, strlen(name)}, &index))
        return defaults[index];
    return (hl_domain_config){.priority = HL_NORMAL,
                              .slot_size_bytes = 128,
                              .ring_slots = 4096,
                              .handler_ring_slots = 4096,
                              .publishes_to = "*",
                              HL_DOMAIN_ORDINARY};
}

static hl_domain_config make_domain(const file_domain *file)
{
    hl_domain_config domain = base_domain(file->name);
    domain.name = file->name;
    TAKE(&domain, file, priority);
    TAKE(&domain, file, fixed_priority);
    TAKE(&domain, file, shards);
    TAKE(&domain, file, slot_size_bytes);
    TAKE(&domain, file, ring_slots);
    TAKE(&domain, file, handler_ring_slots);
    TAKE(&domain, file, full_policy);
    TAKE(&domain, file, block_timeout_ns);
    TAKE(&domain, file, wait);
    TAKE(&domain, file, conflate_keys);
    TAKE(&domain, file, durability);
    TAKE(&domain, file, journal_policy);
    TAKE(&domain, file, journal_patience_ns);
    TAKE(&domain, file, journal_slots);
    TAKE(&domain, file, commit_events);
    TAKE(&domain, file, commit_interval_ns);
    if (file->conflates != NULL)
        domain.conflates = file->conflates;
    if (file->throttle != NULL) {
        TAKE(&domain.throttle, file->throttle, rate_per_s);
        TAKE(&domain.throttle, file->throttle, burst);
    }
    TAKE(&domain, file, high_water_pct);
    TAKE(&domain, file, low_water_pct);
    if (file->publishes_to != NULL)
        domain.publishes_to = file->publishes_to;
    return domain;
}

/* A default list may name domains that the file left out: those go. NULL: no memory. */
static char *list_of_known(const char *list, const hl_domain_config *domains, uint32_t domain_count)
{
    char *const known = calloc(strlen(list) + 1, 1);
    const char *cursor = list;
    hl_name name;
    while (known != NULL && hl_domain_list_next(&cursor, &name)) {
        uint32_t index;
        if (!hl_domain_find(domains, domain_count, name, &index))
            continue;
        if (*known != '\0')
            strcat(known, ",");
        strncat(known, name.text, name.bytes);
    }
    return known;
}

static bool make_domains(loaded_config *loaded)
{
    const file_config *const file = loaded->file;
    loaded->domains = calloc(file->domain_count, sizeof *loaded->domains);
    loaded->lists = calloc(file->domain_count, sizeof *loaded->lists);
    if (loaded->domains == NULL || loaded->lists == NULL)
        return false;
    for (uint32_t i = 0; i < file->domain_count; i++)
        loaded->domains[i] = make_domain(&file->domains[i]);
    for (uint32_t i = 0; i < file->domain_count; i++) {
        if (file->domains[i].publishes_to != NULL || *loaded->domains[i].publishes_to == '*')
            continue;
        loaded->lists[i] =
            list_of_known(loaded->domains[i].publishes_to, loaded->domains, file->domain_count);
        if (loaded->lists[i] == NULL)
            return false;
        loaded->domains[i].publishes_to = loaded->lists[i];
    }
    loaded->config.domains = loaded->domains;
    loaded->config.domain_count = file->domain_count;
    return true;
}

static void take_ladder(hl_ladder_options *ladder, const file_ladder *file)
{
    TAKE(ladder, file, enabled);
    TAKE(ladder, file, occupancy_pct);
    TAKE(ladder, file, order_delay_ns);
    TAKE(ladder, file, cpu_pct);
    TAKE(ladder, file, arrivals_per_s);
    TAKE(ladder, file, step_up_ns);
    TAKE(ladder, file, down_pct);
    TAKE(ladder, file, step_down_ns);
    TAKE(ladder, file, predictive);
    TAKE(ladder, file, horizon_ns);
    TAKE(ladder, file, level_weight_pct);
    TAKE(ladder, file, trend_weight_pct);
}

static void take_health(hl_health_options *health, const file_health *file)
{
    TAKE(health, file, enabled);
    TAKE(health, file, raise_after_ns);
    TAKE(health, file, clear_after_ns);
    TAKE(health, file, clear_pct);
#define TAKE_THRESHOLD(field)                        \
    if (file->field != NULL) {                       \
        TAKE(&health->field, file->field, degraded); \
        TAKE(&health->field, file->field, critical); \
    }
    TAKE_THRESHOLD(thread_stalled_ns)
    TAKE_THRESHOLD(thread_busy_pct)
    TAKE_THRESHOLD(lane_pct)
    TAKE_THRESHOLD(handler_budget_pct)
    TAKE_THRESHOLD(failures_per_s)
    TAKE_THRESHOLD(given_up_per_s)
    TAKE_THRESHOLD(journal_pct)
#undef TAKE_THRESHOLD
}

static hl_alert_rule make_alert(const file_alert *file)
{
    hl_alert_rule rule = HL_ALERT_RULE_INIT;
    rule.name = file->name;
    rule.counter = file->counter;
    rule.of = file->of;
    TAKE(&rule, file, when);
    TAKE(&rule, file, limit);
    TAKE(&rule, file, clear);
    TAKE(&rule, file, for_ns);
    TAKE(&rule, file, clear_for_ns);
    TAKE(&rule, file, severity);
    return rule;
}

static bool make_alerts(loaded_config *loaded)
{
    const file_config *const file = loaded->file;
    loaded->alerts = calloc(file->alert_count + 1, sizeof *loaded->alerts);
    if (loaded->alerts == NULL)
        return false;
    for (uint32_t i = 0; i < file->alert_count; i++)
        loaded->alerts[i] = make_alert(&file->alerts[i]);
    loaded->config.alerts = loaded->alerts;
    loaded->config.alert_count = file->alert_count;
    return true;
}

static void take_settings(hl_config *config, const file_config *file)
{
    if (file->ladder != NULL)
        take_ladder(&config->ladder, file->ladder);
    if (file->sampling != NULL) {
        TAKE(&config->sampling, file->sampling, window_ns);
        TAKE(&config->sampling, file->sampling, max_keys);
        TAKE(&config->sampling, file->sampling, closes_per_look);
    }
    if (file->health != NULL)
        take_health(&config->health, file->health);
    TAKE(config, file, log_level);
    config->default_domain = file->default_domain;
    config->lcores = file->lcores;
    config->publishers = (const char *const *)file->publishers;
    config->publisher_count = file->publisher_count;
    config->dlq_path = file->dlq_path;
    TAKE(config, file, max_topics);
    TAKE(config, file, max_subscriptions);
    TAKE(config, file, max_publishers);
    TAKE(config, file, guard_interval);
    TAKE(config, file, spin_before_park_ns);
    TAKE(config, file, max_keys_per_state_topic);
    TAKE(config, file, threads);
    TAKE(config, file, huge_pages);
    TAKE(config, file, lock_memory);
    TAKE(config, file, retry_events);
    TAKE(config, file, dlq_memory_bytes);
    TAKE(config, file, handler_budget_ns);
    TAKE(config, file, turn_budget_ns);
    TAKE(config, file, stall_backtrace);
    TAKE(config, file, ring_start_position);
    TAKE(config, file, max_workers);
    TAKE(config, file, min_workers);
    TAKE(config, file, worker_grow_backlog);
    TAKE(config, file, worker_grow_below_per_s);
    TAKE(config, file, worker_grow_after_ns);
    TAKE(config, file, worker_shrink_backlog);
    TAKE(config, file, worker_shrink_after_ns);
    TAKE(config, file, worker_shrink_above_per_s);
    TAKE(config, file, worker_pause_ns);
    config->journal_dir = file->journal_dir;
    TAKE(config, file, journal_segment_bytes);
    TAKE(config, file, journal_io_uring);
    TAKE(config, file, journal_salvage);
    config->journal_key_file = file->journal_key_file;
    TAKE(config, file, snapshot_events);
    TAKE(config, file, snapshot_interval_ns);
    TAKE(config, file, snapshots_kept);
}

static hl_status make_config(const hl_document *document, loaded_config *loaded, hl_error *error)
{
    loaded->config = (hl_config)HL_CONFIG_INIT;
    const hl_status status = load_file(document, &loaded->file, error);
    if (status != HL_OK)
        return status;
    if (loaded->file != NULL) {
        take_settings(&loaded->config, loaded->file);
        if ((loaded->file->domains != NULL && !make_domains(loaded)) || !make_alerts(loaded))
            return hl_error_set(error, HL_NO_MEMORY, "%s: no memory to load it", document->path);
    }
    hl_config_defect defect;
    if (hl_config_find_defect(&loaded->config, &defect))
        return hl_document_error(document, hl_document_place(document, defect.path), error,
                                 "%s: %s", defect.path, defect.text);
    return HL_OK;
}

hl_status hl_config_load(const char *path, hl_config **ret_config, hl_error *error)
{
    if (path == NULL)
        return hl_error_set(error, HL_INVALID, "path: NULL: name a file");
    hl_document document;
    hl_status status = hl_document_open(path, &document, error);
    if (status != HL_OK)
        return status;
    loaded_config *const loaded = calloc(1, sizeof *loaded);
    status = loaded == NULL ? hl_error_set(error, HL_NO_MEMORY, "%s: no memory to load it", path)
                            : make_config(&document, loaded, error);
    hl_document_close(&document);
    if (status != HL_OK) {
        hl_config_free(loaded == NULL ? NULL : &loaded->config);
        return status;
    }
    *ret_config = &loaded->config;
    return HL_OK;
}

void hl_config_free(hl_config *config)
{
    if (config == NULL)
        return;
    loaded_config *const loaded = (loaded_config *)config;
    for (uint32_t i = 0; loaded->lists != NULL && i < loaded->file->domain_count; i++)
        free(loaded->lists[i]);
    free(loaded->lists);
    free(loaded->domains);
    free(loaded->alerts);
    const cyaml_config_t settings = cyaml_settings(NULL);
    cyaml_free(&settings, &config_schema, loaded->file, 0);
    free(loaded);
}

hl_status hl_config_file_error(const char *path, const char *field, const char *sentence,
                               hl_error *error)
{
    hl_document document;
    hl_status status = hl_document_open(path, &document, error);
    if (status != HL_OK)
        return status;
    status =
        hl_document_error(&document, hl_document_place(&document, field), error, "%s", sentence);
    hl_document_close(&document);
    return status;
}
