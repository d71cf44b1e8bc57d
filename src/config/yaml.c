/*
 * A configuration from a YAML file: checked as a document, loaded by libcyaml (yaml_schema.h),
 * laid over the defaults, checked as an hl_config.
 */
#include "config/yaml.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "config/defect.h"
#include "config/document.h"
#include "config/domains.h"
#include "config/yaml_schema.h"

/* What hl_config_load hands out: its strings are the file's. */
typedef struct loaded_config {
    hl_config config; /* first, so that hl_config_free finds the rest */
    hl_domain_config *domains;
    hl_alert_rule *alerts;
    char **lists; /* publishes_to made here, one a domain; NULL: the file's or a static one */
    file_config *file;
} loaded_config;

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
    const hl_status status = hl_document_check(document, &hl_file_schema, error);
    if (status != HL_OK)
        return status;
    hl_error reason = {.text = ""};
    const cyaml_config_t settings = cyaml_settings(&reason);
    cyaml_data_t *file = NULL;
    const cyaml_err_t outcome = cyaml_load_data(document->text, document->text_bytes, &settings,
                                                &hl_file_schema, &file, NULL);
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
    TAKE(config, file, journal_ttl_ns);
    TAKE(config, file, journal_max_bytes);
    TAKE(config, file, journal_pack_after_ns);
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
    cyaml_free(&settings, &hl_file_schema, loaded->file, 0);
    free(loaded);
}

hl_status hl_config_file_error(const char *path, const char *field, const char *sentence,
                               hl_error *error)
{
    /* A pipe has been emptied, and may wait for ever for who writes into it. */
    struct stat about;
    if (stat(path, &about) == 0 && !S_ISREG(about.st_mode))
        return hl_error_set(error, HL_BAD_INPUT, "%s: %s", path, sentence);
    hl_document document;
    hl_status status = hl_document_open(path, &document, error);
    if (status != HL_OK)
        return status;
    status =
        hl_document_error(&document, hl_document_place(&document, field), error, "%s", sentence);
    hl_document_close(&document);
    return status;
}
