#include "bus/thread_request.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "bus/bus.h"
#include "config/domains.h"

void hl_partition_name(const hl_domain_config *domain, uint32_t shard,
                       char ret_name[HL_THREAD_NAME_SIZE])
{
    if (domain->shards == 1)
        snprintf(ret_name, HL_THREAD_NAME_SIZE, "%s", domain->name);
    else
        snprintf(ret_name, HL_THREAD_NAME_SIZE, "%s.%u", domain->name, shard);
}

void hl_worker_name(const hl_config *config, uint32_t index, char ret_name[64])
{
    if (index == config->max_workers)
        snprintf(ret_name, 64, "taps");
    else
        snprintf(ret_name, 64, "worker.%u", index);
}

bool hl_is_worker_name(const char *name)
{
    const char *const digits = name + strlen("worker.");
    return strcmp(name, "taps") == 0 ||
           (strncmp(name, "worker.", strlen("worker.")) == 0 && *digits != '\0' &&
            digits[strspn(digits, "0123456789")] == '\0');
}

uint32_t hl_journal_thread_count(const hl_config *config)
{
    uint32_t domain_count, sync = 0, async = 0;
    const hl_domain_config *const domains = hl_config_domains(config, &domain_count);
    for (uint32_t d = 0; config->journal_dir != NULL && d < domain_count; d++) {
        sync += domains[d].durability == HL_DURABILITY_SYNC;
        async |= domains[d].durability == HL_DURABILITY_ASYNC;
    }
    return async + sync;
}

uint32_t hl_journal_thread_of(const hl_config *config, uint32_t domain)
{
    uint32_t domain_count, sync_before = 0, async = 0;
    const hl_domain_config *const domains = hl_config_domains(config, &domain_count);
    for (uint32_t d = 0; d < domain_count; d++) {
        sync_before += d < domain && domains[d].durability == HL_DURABILITY_SYNC;
        async |= domains[d].durability == HL_DURABILITY_ASYNC;
    }
    return domains[domain].durability == HL_DURABILITY_SYNC ? async + sync_before : 0;
}

/* Adds the journal's threads; `names`: room for theirs. How many. */
static uint32_t request_journals(const hl_config *config, hl_thread_request *threads,
                                 char (*names)[HL_THREAD_NAME_SIZE])
{
    uint32_t domain_count;
    const hl_domain_config *const domains = hl_config_domains(config, &domain_count);
    const uint32_t count = hl_journal_thread_count(config);
    for (uint32_t d = 0; count != 0 && d < domain_count; d++) {
        if (domains[d].durability == HL_DURABILITY_OFF)
            continue;
        const bool is_sync = domains[d].durability == HL_DURABILITY_SYNC;
        const uint32_t n = hl_journal_thread_of(config, d);
        snprintf(names[n], HL_THREAD_NAME_SIZE, "%s%s", is_sync ? "journal." : "journal",
                 is_sync ? domains[d].name : "");
        threads[n] = (hl_thread_request){.name = names[n],
                                         .role = HL_ROLE_JOURNAL,
                                         .domain = "journals",
                                         .talks_to = is_sync ? domains[d].name : NULL};
    }
    return count;
}

hl_status hl_thread_requests_make(const hl_config *config, hl_thread_request **ret_threads,
                                  uint32_t *ret_count, hl_error *error)
{
    uint32_t domain_count, partitions = 0;
    const hl_domain_config *const domains = hl_config_domains(config, &domain_count);
    for (uint32_t d = 0; d < domain_count; d++)
        partitions += domains[d].shards;
    const uint32_t workers = hl_worker_thread_count(config);
    const uint32_t journals = hl_journal_thread_count(config);
    const uint32_t count = partitions + config->publisher_count + workers + journals + 1;
    /* The partitions', workers' and journals' names lie behind the requests, in the same piece of
     * memory. */
    const size_t requests_size = count * sizeof(hl_thread_request);
    hl_thread_request *const threads =
        calloc(1, requests_size + (size_t)(partitions + workers + journals) * HL_THREAD_NAME_SIZE);
    if (threads == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "no memory for the plan");
    char(*const names)[HL_THREAD_NAME_SIZE] = (void *)((char *)threads + requests_size);
    uint32_t n = 0;
    for (uint32_t d = 0; d < domain_count; d++)
        for (uint32_t shard = 0; shard < domains[d].shards; shard++, n++) {
            hl_partition_name(&domains[d], shard, names[n]);
            threads[n] = (hl_thread_request){.name = names[n],
                                             .role = HL_ROLE_PARTITION,
                                             .domain = domains[d].name,
                                             .rank = domains[d].priority,
                                             .talks_to = domains[d].publishes_to,
                                             .wait = domains[d].wait};
        }
    /* A feed feeds the first domain, as far as the plan can know. */
    for (uint32_t i = 0; i < config->publisher_count; i++)
        threads[n++] = (hl_thread_request){.name = config->publishers[i],
                                           .role = HL_ROLE_PUBLISHER,
                                           .rank = HL_NORMAL,
                                           .talks_to = domains[0].name};
    for (uint32_t i = 0; i < workers; i++) {
        char *const name = names[partitions + i];
        hl_worker_name(config, i, name);
        threads[n++] = (hl_thread_request){
            .name = name, .role = HL_ROLE_WORKER, .domain = "workers", .talks_to = "*"};
    }
    n += request_journals(config, threads + n, names + partitions + workers);
    threads[n] = (hl_thread_request){
        .name = "housekeeping", .role = HL_ROLE_HOUSEKEEPER, .wait = HL_WAIT_PARK};
    *ret_threads = threads;
    *ret_count = count;
    return HL_OK;
}

const hl_plan *hl_bus_plan(const hl_bus *bus, const hl_topology **ret_topology)
{
    if (bus->plan != NULL)
        *ret_topology = bus->topology;
    return bus->plan;
}
