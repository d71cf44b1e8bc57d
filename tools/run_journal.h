/*
 * The journal of `hotlane run`: --journal and --durability, and what the report says of it.
 */
#ifndef HL_TOOLS_RUN_JOURNAL_H
#define HL_TOOLS_RUN_JOURNAL_H

#include <jansson.h>
#include <stdio.h>

#include <hotlane/hotlane.h>

/* Puts "order=sync,market_data=off" (NULL: nothing) into the domains. HL_OK, or HL_INVALID with a
 * sentence. */
hl_status run_journal_durability(const char *list, hl_domain_config *domains, uint32_t count,
                                 hl_error *error);

/* Brings the state of what is subscribed up from a journal, and says on stderr what was done; with
 * `recompute` compares. Before the bus starts. As hl_bus_replay. */
hl_status run_journal_replay(hl_bus *bus, const hl_journal_reader_options *reading, bool recompute,
                             double speed, hl_error *error);

/* Brings the aggregates up from their snapshots and the journal behind them, and says on stderr
 * what was done. Before the bus starts. As hl_bus_rebuild. */
hl_status run_journal_rebuild(hl_bus *bus, const hl_journal_reader_options *reading,
                              hl_error *error);

#define RUN_JOURNAL_NAME 80

/* Walks the journaled partitions: the name, "order" or "order.3", and how it stands. Begin with 0
 * and 0; false past the last. */
bool run_journal_next(const hl_bus *bus, uint32_t *domain, uint32_t *shard,
                      char ret_name[RUN_JOURNAL_NAME], hl_partition_journal_stats *ret_stats);

/* A line for each journaled partition; nothing where there is none. */
void run_journal_print(const hl_bus *bus, FILE *stream);

/* An object by partition, "order" or "order.3"; *ret_json NULL: there is no journal. False: no
 * memory. */
bool run_journal_json(const hl_bus *bus, json_t **ret_json);

/* Adds the component "journal", which needs nothing: it refuses to start where a partition's
 * journal has failed, and tells of their health. What hl_component_add answers. */
hl_status run_journal_add(hl_bus *bus, hl_error *error);

#endif
