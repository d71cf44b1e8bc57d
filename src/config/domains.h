/*
 * The domains of a configuration: finding one by name, and walking the list of names in
 * hl_domain_config.publishes_to ("order, system"). Pure functions; any thread.
 *
 *     const char *cursor = domain->publishes_to;
 *     hl_name name;
 *     while (hl_domain_list_next(&cursor, &name))
 *         if (hl_domain_find(domains, domain_count, name, &index)) ...
 */
#ifndef HL_CONFIG_DOMAINS_H
#define HL_CONFIG_DOMAINS_H

#include <stdbool.h>

#include <hotlane/config.h>

#define HL_PARTITIONS_MAX 1023 /* an event's id has 10 bits of partition */
#define HL_PUBLISHERS_MAX 4096 /* open at one time */

/* What a domain is in all else, where nothing is said of it: for an initializer. Watermarks: 80 %
 * is what the ladder takes for a full lane (hl_ladder_options.occupancy_pct). */
#define HL_DOMAIN_ORDINARY                                                     \
    .shards = 1, .full_policy = HL_FULL_REJECT, .block_timeout_ns = HL_SECOND, \
    .high_water_pct = 80, .low_water_pct = 50, .durability = HL_DURABILITY_ASYNC

/* A piece of a longer text: not terminated. */
typedef struct hl_name {
    const char *text;
    size_t bytes;
} hl_name;

/* The domains in force: the configuration's, or the six default ones. */
const hl_domain_config *hl_config_domains(const hl_config *config, uint32_t *ret_count);

/* Whether there is a domain of that name; then `ret_index` is its index. */
bool hl_domain_find(const hl_domain_config *domains, uint32_t domain_count, hl_name name,
                    uint32_t *ret_index);

/* The next name of a list of names split by ',' with blanks around them; `*cursor` begins as the
 * list (NULL and "": no names) and is moved on. False past the last. An empty name before a comma,
 * which hl_config_validate refuses, is given as one of 0 bytes; a comma at the end is nothing. */
bool hl_domain_list_next(const char **cursor, hl_name *ret_name);

/* The priority of that name, "LOW" or "low"; -1: it is none. */
int hl_priority_find(hl_name name);

/* "critical", ...: of one that is valid. Static memory. */
const char *hl_priority_name(hl_priority priority);

/* The priorities (bit n: priority n) of the lanes that conflate; of a domain that is valid. */
uint32_t hl_domain_conflates(const hl_domain_config *domain);

/* Whether `from`'s handlers publish to `to`: its list names it or is "*". Both of a configuration
 * that is valid. */
bool hl_domain_publishes_to(const hl_domain_config *from, const hl_domain_config *to);

#endif
