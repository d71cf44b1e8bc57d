#include "config/defect.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "config/domains.h"
#include "config/nearest.h"
#include "flow/ladder.h"
#include "flow/sampler.h"
#include "flow/token_bucket.h"
#include "health/alert.h"
#include "health/options.h"

#define NAME_MAX_BYTES  63
#define SLOT_UNIT_BYTES 64u
#define SLOT_MAX_BYTES  65600u
#define RING_MAX_SLOTS  (UINT32_C(1) << 24)
#define REGISTRY_MAX    UINT32_C(1048576)
#define GUARD_MAX       UINT32_C(65536)
#define KEYS_MAX        UINT32_C(16777216)
#define WORKERS_MAX     64
/* Well below what is reserved ahead, so that a partition never waits for a reservation. */
#define COMMIT_EVENTS_MAX     UINT32_C(262144)
#define JOURNAL_SEGMENT_MIN   UINT64_C(65536)
#define JOURNAL_SEGMENT_MAX   (UINT64_C(8) << 30)
#define JOURNAL_TTL_MIN       (3600 * HL_SECOND)
#define SNAPSHOT_INTERVAL_MIN (10 * HL_MILLISECOND)
#define SNAPSHOTS_KEPT_MAX    1000u

/* Every check below answers true when it found a defect, and has then described it. */

__attribute__((format(printf, 3, 4))) static bool found(hl_config_defect *ret_defect,
                                                        const char *path, const char *format, ...)
{
    snprintf(ret_defect->path, sizeof ret_defect->path, "%s", path);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(ret_defect->text, sizeof ret_defect->text, format, arguments);
    va_end(arguments);
    return true;
}

static bool range_defect(const char *path, uint32_t value, uint32_t least, uint32_t most,
                         hl_config_defect *ret_defect)
{
    if (value >= least && value <= most)
        return false;
    return found(ret_defect, path, "%" PRIu32 " is out of range: use %" PRIu32 " to %" PRIu32,
                 value, least, most);
}

static bool enum_defect(const char *path, int value, int most, const char *names,
                        hl_config_defect *ret_defect)
{
    if (value >= 0 && value <= most)
        return false;
    return found(ret_defect, path, "%d is none of its values: use %s", value, names);
}

/* One token: what a topic's first token, a thread's name and the placement by hand can hold. */
static bool name_defect(const char *path, const char *name, hl_config_defect *ret_defect)
{
    if (name == NULL || *name == '\0')
        return found(ret_defect, path, "the name is missing: use letters, digits, '_' and '-'");
    if (strlen(name) > NAME_MAX_BYTES)
        return found(ret_defect, path, "\"%.20s...\" has %zu bytes: use at most %d", name,
                     strlen(name), NAME_MAX_BYTES);
    for (const char *c = name; *c != '\0'; c++) {
        if (!(isascii((unsigned char)*c) && isalnum((unsigned char)*c)) && *c != '_' && *c != '-')
            return found(ret_defect, path,
                         "\"%s\" is not one token: use letters, digits, '_' and '-'", name);
    }
    return false;
}

/* Names that the placement by hand keeps for threads and CPUs of its own. */
static bool reserved_defect(const char *path, const char *name, hl_config_defect *ret_defect)
{
    if (strcmp(name, "housekeeping") != 0 && strcmp(name, "workers") != 0 &&
        strcmp(name, "journals") != 0)
        return false;
    return found(ret_defect, path, "\"%s\" has a meaning of its own in lcores: use another name",
                 name);
}

static bool ring_slots_defect(const char *path, uint32_t slots, hl_config_defect *ret_defect)
{
    if (range_defect(path, slots, 2, RING_MAX_SLOTS, ret_defect))
        return true;
    if ((slots & (slots - 1)) == 0)
        return false;
    const uint32_t above = UINT32_C(1) << (32 - __builtin_clz(slots));
    return found(ret_defect, path, "%" PRIu32 " is not a power of two: use %" PRIu32 " or %" PRIu32,
                 slots, above / 2, above);
}

static bool slot_size_defect(const char *path, uint32_t bytes, hl_config_defect *ret_defect)
{
    if (range_defect(path, bytes, SLOT_UNIT_BYTES, SLOT_MAX_BYTES, ret_defect))
        return true;
    if (bytes % SLOT_UNIT_BYTES == 0)
        return false;
    return found(ret_defect, path, "%" PRIu32 " is not a multiple of 64: use %" PRIu32, bytes,
                 (bytes / SLOT_UNIT_BYTES + 1) * SLOT_UNIT_BYTES);
}

static bool unknown_domain(const hl_config *config, const char *path, hl_name name,
                           hl_config_defect *ret_defect)
{
    uint32_t count;
    const hl_domain_config *const domains = hl_config_domains(config, &count);
    const char *names[HL_PARTITIONS_MAX];
    for (uint32_t i = 0; i < count; i++)
        names[i] = domains[i].name;
    char word[NAME_MAX_BYTES + 1];
    snprintf(word, sizeof word, "%.*s", (int)name.bytes, name.text);
    const char *const nearest = hl_nearest(word, names, count);
    if (nearest != NULL)
        return found(ret_defect, path, "\"%s\" is not a domain: did you mean \"%s\"?", word,
                     nearest);
    return found(ret_defect, path, "\"%s\" is not a domain: use the name of one, such as \"%s\"",
                 word, names[0]);
}

static bool publishes_to_defect(const hl_config *config, const char *path, const char *list,
                                hl_config_defect *ret_defect)
{
    uint32_t count;
    const hl_domain_config *const domains = hl_config_domains(config, &count);
    bool seen[HL_PARTITIONS_MAX] = {false};
    const char *cursor = list;
    hl_name name;
    for (uint32_t names = 1; hl_domain_list_next(&cursor, &name); names++) {
        uint32_t index;
        if (name.bytes == 0)
            return found(ret_defect, path,
                         "\"%.100s\" has a comma too many: use names split by ','", list);
        if (name.bytes == 1 && *name.text == '*') {
            if (names > 1 || cursor != NULL)
                return found(ret_defect, path, "\"%.100s\": \"*\" means every domain: use it alone",
                             list);
            continue;
        }
        if (!hl_domain_find(domains, count, name, &index))
            return unknown_domain(config, path, name, ret_defect);
        if (seen[index])
            return found(ret_defect, path, "\"%s\" stands there twice: once is enough",
                         domains[index].name);
        seen[index] = true;
    }
    return false;
}

static bool conflates_defect(const char *path, const char *list, hl_config_defect *ret_defect)
{
    uint32_t seen = 0;
    const char *cursor = list;
    hl_name name;
    while (hl_domain_list_next(&cursor, &name)) {
        const int priority = hl_priority_find(name);
        if (priority < 0)
            return found(ret_defect, path,
                         "\"%.*s\" is no priority: use normal, low or background, split by ','",
                         (int)name.bytes, name.text);
        if (priority <= HL_HIGH)
            return found(ret_defect, path, "%.*s is never conflated: use normal, low or background",
                         (int)name.bytes, name.text);
        if ((seen & 1u << priority) != 0)
            return found(ret_defect, path, "%.*s stands there twice: once is enough",
                         (int)name.bytes, name.text);
        seen |= 1u << priority;
    }
    return false;
}

/* The path of a domain's field. */
typedef struct field_path {
    char text[64];
} field_path;

static field_path path_of(uint32_t domain, const char *field)
{
    field_path path;
    snprintf(path.text, sizeof path.text, "domains[%" PRIu32 "].%s", domain, field);
    return path;
}

/* The check of options gives "PATH: sentence". */
static bool options_defect(hl_status status, const hl_error *error, hl_config_defect *ret_defect)
{
    if (status == HL_OK)
        return false;
    const size_t path_bytes = strcspn(error->text, ":");
    char path[64];
    snprintf(path, sizeof path, "%.*s", (int)path_bytes, error->text);
    return found(ret_defect, path, "%s",
                 error->text + path_bytes + strspn(error->text + path_bytes, ": "));
}

/* What is limited, watched and told of a domain's lanes. */
static bool domain_flow_defect(const hl_domain_config *domain, uint32_t i,
                               hl_config_defect *ret_defect)
{
    hl_error error;
    const field_path throttle = path_of(i, "throttle");
    /* It is as large as the hl_config says. */
    hl_throttle_options options = domain->throttle;
    options.size = sizeof options;
    if (options_defect(hl_throttle_options_check(&options, throttle.text, &error), &error,
                       ret_defect))
        return true;
    if (domain->throttle.rate_per_s != 0 && domain->priority <= HL_HIGH)
        return found(ret_defect, path_of(i, "throttle.rate_per_s").text,
                     "critical and high are never throttled: use 0, or give the domain a lower "
                     "priority");
    if (range_defect(path_of(i, "high_water_pct").text, domain->high_water_pct, 0, 100, ret_defect))
        return true;
    if (domain->high_water_pct == 0 && domain->low_water_pct != 0)
        return found(ret_defect, path_of(i, "low_water_pct").text,
                     "%" PRIu32
                     " has no meaning without a high water: set high_water_pct, or use 0",
                     domain->low_water_pct);
    if (domain->high_water_pct != 0 && domain->low_water_pct >= domain->high_water_pct)
        return found(ret_defect, path_of(i, "low_water_pct").text,
                     "%" PRIu32 " is not under high_water_pct: use 0 to %" PRIu32,
                     domain->low_water_pct, domain->high_water_pct - 1);
    return false;
}

/* What the journal can be told of a domain; 0 is the default of all but the first two. */
static bool journaling_defect(const hl_domain_config *domain, uint32_t i,
                              hl_config_defect *ret_defect)
{
    if (enum_defect(path_of(i, "durability").text, (int)domain->durability, HL_DURABILITY_SYNC,
                    "off, async or sync", ret_defect) ||
        enum_defect(path_of(i, "journal_policy").text, (int)domain->journal_policy,
                    HL_JOURNAL_GO_ON, "wait or go_on", ret_defect) ||
        (domain->journal_slots != 0 &&
         ring_slots_defect(path_of(i, "journal_slots").text, domain->journal_slots, ret_defect)))
        return true;
    if (domain->commit_events > COMMIT_EVENTS_MAX)
        return found(ret_defect, path_of(i, "commit_events").text,
                     "%" PRIu64 " is out of range: use at most %" PRIu32, domain->commit_events,
                     COMMIT_EVENTS_MAX);
    if (domain->commit_interval_ns > 60 * HL_SECOND)
        return found(ret_defect, path_of(i, "commit_interval_ns").text,
                     "more than a minute: use at most %" PRIu64, 60 * HL_SECOND);
    return false;
}

static bool domain_defect(const hl_domain_config *domain, uint32_t i, hl_config_defect *ret_defect)
{
    if (enum_defect(path_of(i, "priority").text, (int)domain->priority, HL_PRIORITIES - 1,
                    "critical, high, normal, low or background", ret_defect) ||
        range_defect(path_of(i, "shards").text, domain->shards, 1, HL_PARTITIONS_MAX, ret_defect) ||
        slot_size_defect(path_of(i, "slot_size_bytes").text, domain->slot_size_bytes, ret_defect) ||
        ring_slots_defect(path_of(i, "ring_slots").text, domain->ring_slots, ret_defect) ||
        ring_slots_defect(path_of(i, "handler_ring_slots").text, domain->handler_ring_slots,
                          ret_defect) ||
        enum_defect(path_of(i, "full_policy").text, (int)domain->full_policy, HL_FULL_BLOCK,
                    "reject or block", ret_defect) ||
        enum_defect(path_of(i, "wait").text, (int)domain->wait, HL_WAIT_PARK,
                    "auto, spin, backoff or park", ret_defect) ||
        conflates_defect(path_of(i, "conflates").text, domain->conflates, ret_defect) ||
        range_defect(path_of(i, "conflate_keys").text, domain->conflate_keys, 0, 1u << 24,
                     ret_defect) ||
        journaling_defect(domain, i, ret_defect))
        return true;
    if (domain->full_policy == HL_FULL_BLOCK && domain->block_timeout_ns == 0)
        return found(ret_defect, path_of(i, "block_timeout_ns").text,
                     "0 never waits: use the ns that a publisher may wait, or full_policy reject");
    return domain_flow_defect(domain, i, ret_defect);
}

static bool domains_defect(const hl_config *config, hl_config_defect *ret_defect)
{
    if (config->domain_count != 0 && config->domains == NULL)
        return found(ret_defect, "domains",
                     "NULL, but domain_count is %" PRIu32 ": use 0 for the "
                     "default domains",
                     config->domain_count);
    if (config->domain_count == 0 && config->domains != NULL)
        return found(ret_defect, "domain_count",
                     "0, but domains is set: use the number of its "
                     "entries");
    uint32_t count;
    const hl_domain_config *const domains = hl_config_domains(config, &count);
    if (count > HL_PARTITIONS_MAX)
        return found(ret_defect, "domains", "%" PRIu32 " domains are too many: use at most %d",
                     count, HL_PARTITIONS_MAX);
    uint64_t partitions = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (name_defect(path_of(i, "name").text, domains[i].name, ret_defect) ||
            reserved_defect(path_of(i, "name").text, domains[i].name, ret_defect))
            return true;
        uint32_t twin;
        const hl_name name = {domains[i].name, strlen(domains[i].name)};
        if (hl_domain_find(domains, i, name, &twin))
            return found(ret_defect, path_of(i, "name").text,
                         "\"%s\" is the name of domains[%" PRIu32 "] too: use another one",
                         domains[i].name, twin);
        if (domain_defect(&domains[i], i, ret_defect))
            return true;
        partitions += domains[i].shards;
        if (partitions > HL_PARTITIONS_MAX)
            return found(ret_defect, path_of(i, "shards").text,
                         "with this domain there are %" PRIu64
                         " partitions: use at most %d in all domains together",
                         partitions, HL_PARTITIONS_MAX);
    }
    /* Only now are all names known to be there. */
    for (uint32_t i = 0; i < count; i++) {
        if (publishes_to_defect(config, path_of(i, "publishes_to").text, domains[i].publishes_to,
                                ret_defect))
            return true;
    }
    return false;
}

static bool publishers_defect(const hl_config *config, hl_config_defect *ret_defect)
{
    if (config->publisher_count != 0 && config->publishers == NULL)
        return found(ret_defect, "publishers", "NULL, but publisher_count is %" PRIu32 ": use 0",
                     config->publisher_count);
    if (config->publisher_count > config->max_publishers)
        return found(ret_defect, "publishers",
                     "%" PRIu32 " names, but max_publishers is %" PRIu32 ": raise it",
                     config->publisher_count, config->max_publishers);
    uint32_t domain_count, index;
    const hl_domain_config *const domains = hl_config_domains(config, &domain_count);
    for (uint32_t i = 0; i < config->publisher_count; i++) {
        char path[32];
        snprintf(path, sizeof path, "publishers[%" PRIu32 "]", i);
        if (name_defect(path, config->publishers[i], ret_defect) ||
            reserved_defect(path, config->publishers[i], ret_defect))
            return true;
        /* One name, one thread: the placement by hand could not tell them apart. */
        const hl_name name = {config->publishers[i], strlen(config->publishers[i])};
        if (hl_domain_find(domains, domain_count, name, &index))
            return found(ret_defect, path, "\"%s\" is the name of a domain too: use another one",
                         config->publishers[i]);
        for (uint32_t j = 0; j < i; j++) {
            if (strcmp(config->publishers[i], config->publishers[j]) == 0)
                return found(ret_defect, path,
                             "\"%s\" is the name of publishers[%" PRIu32 "] too: use another one",
                             config->publishers[i], j);
        }
    }
    return false;
}

static bool default_domain_defect(const hl_config *config, hl_config_defect *ret_defect)
{
    if (config->default_domain == NULL)
        return false;
    uint32_t count, index;
    const hl_domain_config *const domains = hl_config_domains(config, &count);
    const hl_name name = {config->default_domain, strlen(config->default_domain)};
    if (hl_domain_find(domains, count, name, &index))
        return false;
    return unknown_domain(config, "default_domain", name, ret_defect);
}

/* The ranges of hl_scale_options (flow.h). */
static bool workers_defect(const hl_config *config, hl_config_defect *ret_defect)
{
    if (range_defect("max_workers", config->max_workers, 0, WORKERS_MAX, ret_defect))
        return true;
    if (config->max_workers == 0)
        return false;
    if (range_defect("min_workers", config->min_workers, 1, config->max_workers, ret_defect))
        return true;
    if (config->worker_grow_backlog < 2)
        return found(ret_defect, "worker_grow_backlog",
                     "%" PRIu64 " is out of range: use 2 or more, such as 1000",
                     config->worker_grow_backlog);
    if (config->worker_shrink_backlog == 0 ||
        config->worker_shrink_backlog >= config->worker_grow_backlog)
        return found(ret_defect, "worker_shrink_backlog",
                     "%" PRIu64 " leaves nothing between it and worker_grow_backlog: use 1 to "
                     "%" PRIu64,
                     config->worker_shrink_backlog, config->worker_grow_backlog - 1);
    if (config->worker_grow_after_ns > 60 * HL_SECOND)
        return found(ret_defect, "worker_grow_after_ns", "more than a minute: use 0 to %" PRIu64,
                     60 * HL_SECOND);
    if (config->worker_shrink_after_ns < 10 * HL_MILLISECOND ||
        config->worker_shrink_after_ns > 3600 * HL_SECOND)
        return found(ret_defect, "worker_shrink_after_ns",
                     "%" PRIu64 " is out of range: use %" PRIu64 " to %" PRIu64,
                     config->worker_shrink_after_ns, 10 * HL_MILLISECOND, 3600 * HL_SECOND);
    if (config->worker_pause_ns > 60 * HL_SECOND)
        return found(ret_defect, "worker_pause_ns", "more than a minute: use 0 to %" PRIu64,
                     60 * HL_SECOND);
    return false;
}

/* What hl_dlq_open would refuse, said of the field. */
static bool letters_defect(const hl_config *config, hl_config_defect *ret_defect)
{
    const uint64_t bytes = config->dlq_memory_bytes;
    if (bytes == 0 && config->dlq_path != NULL)
        return found(ret_defect, "dlq_path",
                     "dead letters need memory too: raise dlq_memory_bytes");
    if (bytes != 0 && (bytes < (uint64_t)1 << 20 || bytes > (uint64_t)4 << 30))
        return found(ret_defect, "dlq_memory_bytes",
                     "%" PRIu64 " is out of range: use 1048576 to 4294967296, or 0 for none",
                     bytes);
    return false;
}

static bool flow_defect(const hl_config *config, hl_config_defect *ret_defect)
{
    hl_error error;
    return options_defect(hl_ladder_options_check(&config->ladder, "ladder", &error), &error,
                          ret_defect) ||
           options_defect(hl_sampling_options_check(&config->sampling, "sampling", &error), &error,
                          ret_defect);
}

static bool snapshot_defect(const hl_config *config, hl_config_defect *ret_defect)
{
    if (config->snapshot_interval_ns != 0 && config->snapshot_interval_ns < SNAPSHOT_INTERVAL_MIN)
        return found(ret_defect, "snapshot_interval_ns",
                     "%" PRIu64 " is out of range: use %" PRIu64 " or more, or 0 for none by time",
                     config->snapshot_interval_ns, SNAPSHOT_INTERVAL_MIN);
    return range_defect("snapshots_kept", config->snapshots_kept, 2, SNAPSHOTS_KEPT_MAX,
                        ret_defect);
}

static bool keeping_defect(const hl_config *config, hl_config_defect *ret_defect)
{
    /* Less is an error in the unit, and would cost the journal. */
    if (config->journal_ttl_ns != 0 && config->journal_ttl_ns < JOURNAL_TTL_MIN)
        return found(ret_defect, "journal_ttl_ns",
                     "%" PRIu64 " is out of range: use %" PRIu64
                     " (an hour) or more, or 0 to keep all",
                     config->journal_ttl_ns, JOURNAL_TTL_MIN);
    if (config->journal_max_bytes != 0 && config->journal_max_bytes < config->journal_segment_bytes)
        return found(ret_defect, "journal_max_bytes",
                     "%" PRIu64 " is out of range: use journal_segment_bytes (%" PRIu64
                     ") or more, or 0 for no limit",
                     config->journal_max_bytes, config->journal_segment_bytes);
    return false;
}

static bool journal_defect(const hl_config *config, hl_config_defect *ret_defect)
{
    uint32_t count;
    const hl_domain_config *const domains = hl_config_domains(config, &count);
    bool any = false;
    for (uint32_t i = 0; i < count; i++) {
        any |= domains[i].durability != HL_DURABILITY_OFF;
        if (config->journal_dir == NULL && domains[i].durability == HL_DURABILITY_SYNC)
            return found(ret_defect, path_of(i, "durability").text,
                         "sync needs a journal: set journal_dir, or use off");
    }
    if (config->journal_dir == NULL)
        return false;
    if (*config->journal_dir == '\0')
        return found(ret_defect, "journal_dir", "empty: use the directory of the journal");
    if (!any)
        return found(ret_defect, "journal_dir",
                     "no domain would be written there: use durability async or sync in one");
    if (config->journal_segment_bytes < JOURNAL_SEGMENT_MIN ||
        config->journal_segment_bytes > JOURNAL_SEGMENT_MAX)
        return found(ret_defect, "journal_segment_bytes",
                     "%" PRIu64 " is out of range: use %" PRIu64 " to %" PRIu64,
                     config->journal_segment_bytes, JOURNAL_SEGMENT_MIN, JOURNAL_SEGMENT_MAX);
    return keeping_defect(config, ret_defect) || snapshot_defect(config, ret_defect);
}

/* The domain of a rule over lanes or journals. */
static bool alert_domain_defect(const hl_config *config, const hl_alert_rule *rule,
                                const char *place, hl_config_defect *ret_defect)
{
    const hl_counter_scope scope = hl_counter_find(rule->counter)->scope;
    char path[64];
    hl_name name;
    int priority;
    uint32_t count, index;
    const hl_domain_config *const domains = hl_config_domains(config, &count);
    if (rule->of == NULL || *rule->of == '\0' ||
        (scope != HL_COUNTER_LANE && scope != HL_COUNTER_JOURNAL))
        return false;
    snprintf(path, sizeof path, "%s.of", place);
    if (scope == HL_COUNTER_JOURNAL || !hl_counter_lane(rule->of, &name, &priority))
        name = (hl_name){rule->of, strlen(rule->of)};
    return !hl_domain_find(domains, count, name, &index) &&
           unknown_domain(config, path, name, ret_defect);
}

static bool alert_defect(const hl_config *config, uint32_t i, hl_config_defect *ret_defect)
{
    const hl_alert_rule *const rule = &config->alerts[i];
    char place[32], path[64];
    hl_error error;
    snprintf(place, sizeof place, "alerts[%" PRIu32 "]", i);
    snprintf(path, sizeof path, "%s.name", place);
    if (name_defect(path, rule->name, ret_defect))
        return true;
    for (uint32_t j = 0; j < i; j++)
        if (strcmp(rule->name, config->alerts[j].name) == 0)
            return found(ret_defect, path,
                         "\"%s\" is the name of alerts[%" PRIu32 "] too: use another one",
                         rule->name, j);
    return options_defect(hl_alert_rule_check(rule, place, &error), &error, ret_defect) ||
           alert_domain_defect(config, rule, place, ret_defect);
}

static bool health_defect(const hl_config *config, hl_config_defect *ret_defect)
{
    hl_error error;
    if ((int)config->log_level < HL_LOG_INFO || config->log_level > HL_LOG_NOTHING)
        return found(ret_defect, "log_level",
                     "%d is none of its values: use info, warning, error "
                     "or nothing",
                     (int)config->log_level);
    if (options_defect(hl_health_options_check(&config->health, "health", &error), &error,
                       ret_defect))
        return true;
    if (config->alert_count != 0 && config->alerts == NULL)
        return found(ret_defect, "alerts", "NULL, but alert_count is %" PRIu32 ": use 0",
                     config->alert_count);
    if (config->alert_count > HL_ALERT_RULES_MAX)
        return found(ret_defect, "alerts", "%" PRIu32 " rules are too many: use at most %u",
                     config->alert_count, HL_ALERT_RULES_MAX);
    for (uint32_t i = 0; i < config->alert_count; i++)
        if (alert_defect(config, i, ret_defect))
            return true;
    return false;
}

bool hl_config_find_defect(const hl_config *config, hl_config_defect *ret_defect)
{
    if (config->size != sizeof(hl_config))
        return found(ret_defect, "size",
                     "%zu is not the size of this library's hl_config (%zu): "
                     "begin with HL_CONFIG_INIT, and compile with the headers of the library",
                     config->size, sizeof(hl_config));
    return domains_defect(config, ret_defect) || default_domain_defect(config, ret_defect) ||
           range_defect("max_topics", config->max_topics, 1, REGISTRY_MAX, ret_defect) ||
           range_defect("max_subscriptions", config->max_subscriptions, 1, REGISTRY_MAX,
                        ret_defect) ||
           range_defect("max_publishers", config->max_publishers, 1, HL_PUBLISHERS_MAX,
                        ret_defect) ||
           publishers_defect(config, ret_defect) ||
           range_defect("guard_interval", config->guard_interval, 2, GUARD_MAX, ret_defect) ||
           range_defect("max_keys_per_state_topic", config->max_keys_per_state_topic, 1, KEYS_MAX,
                        ret_defect) ||
           letters_defect(config, ret_defect) ||
           range_defect("retry_events", config->retry_events, 1, REGISTRY_MAX, ret_defect) ||
           enum_defect("threads", (int)config->threads, HL_THREADS_MANUAL, "own or manual",
                       ret_defect) ||
           workers_defect(config, ret_defect) || flow_defect(config, ret_defect) ||
           journal_defect(config, ret_defect) || health_defect(config, ret_defect);
}

hl_status hl_config_validate(const hl_config *config, hl_error *error)
{
    hl_config_defect defect;
    if (config == NULL)
        return hl_error_set(error, HL_INVALID, "config: NULL: use an hl_config of HL_CONFIG_INIT");
    if (hl_config_find_defect(config, &defect))
        return hl_error_set(error, HL_INVALID, "%s: %s", defect.path, defect.text);
    return HL_OK;
}
