/*
 * The threads that a configuration asks for, as the planner wants them: what the bus places when it
 * is made is what `hotlane topology` shows, because both ask here; and the plan that came of it.
 */
#ifndef HL_BUS_THREAD_REQUEST_H
#define HL_BUS_THREAD_REQUEST_H

#include <hotlane/bus.h>

#include "affinity/plan.h"

/* Threads that run async handlers: max_workers, and with them one for taps. */
static inline uint32_t hl_worker_thread_count(const hl_config *config)
{
    return config->max_workers == 0 ? 0 : config->max_workers + 1;
}

/* Threads that write the journal: one for all `async` domains together, where there are any, then
 * one for each `sync` domain. 0: there is no journal. */
uint32_t hl_journal_thread_count(const hl_config *config);

/* Which of them writes that of a domain, which is not `off`. */
uint32_t hl_journal_thread_of(const hl_config *config, uint32_t domain);

/* "worker.0", ..., and for the last one "taps"; 64 bytes. */
void hl_worker_name(const hl_config *config, uint32_t index, char ret_name[64]);

/* Whether some configuration has a worker of this name. Any thread. */
bool hl_is_worker_name(const char *name);

/*
 * A thread for each partition, in the order of domains and shards, each publisher that the
 * configuration names, each worker, each of the journal, then the housekeeper. *ret_threads is the
 * caller's, to be freed with one free(); it points into the configuration, which must be valid
 * (hl_config_validate). HL_OK or HL_NO_MEMORY. Any thread.
 */
hl_status hl_thread_requests_make(const hl_config *config, hl_thread_request **ret_threads,
                                  uint32_t *ret_count, hl_error *error);

/*
 * A bus to be looked at: its plan and threads are as hl_bus_create would make them, but no journal
 * and no file of dead letters is opened, made or written, and it is never started
 * (HL_WRONG_STATE). As hl_bus_create.
 */
hl_status hl_bus_sketch(const hl_config *config, hl_bus **ret_bus, hl_error *error);

/* Where a bus has put them, and on which machine. Both are the bus's, read-only until it is
 * destroyed. NULL, and *ret_topology untouched: HL_THREADS_MANUAL, there is no plan. Any thread. */
const hl_plan *hl_bus_plan(const hl_bus *bus, const hl_topology **ret_topology);

/* "order", or "order.3" where the domain has several shards. */
void hl_partition_name(const hl_domain_config *domain, uint32_t shard,
                       char ret_name[HL_THREAD_NAME_SIZE]);

#endif
