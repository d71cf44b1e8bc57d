/*
 * Which thread runs on which CPU, decided before any thread starts, and why.
 *
 *     hl_thread_request threads[] = {
 *         {.name = "order", .role = HL_ROLE_PARTITION, .domain = "order", .rank = 0},
 *         {.name = "market_data", .role = HL_ROLE_PARTITION, .domain = "market_data", .rank = 1,
 *          .talks_to = "order"},
 *         {.name = "feed", .role = HL_ROLE_PUBLISHER, .rank = 1, .talks_to = "market_data"},
 *         {.name = "housekeeping", .role = HL_ROLE_HOUSEKEEPER}};
 *     hl_plan_request request = {threads, 4, NULL};
 *     if (hl_plan_make(topology, &request, &plan, &error) == HL_OK)
 *         hl_plan_print(plan, stdout);
 *
 * The rules. Partitions and publishers are hot; journals, workers and the housekeeper are not.
 * 1. Only allowed CPUs; each thread gets exactly one.
 * 2. The housekeeper has the first allowed core that lcores leaves free and that is not isolated;
 *    where the machine has two kinds of cores and the hot threads want all the fast ones, the first
 *    slow core.
 * 3. Each hot thread has a physical core to itself, its SMT siblings left empty. Lower ranks choose
 *    first; of equal ranks, the one named first in the request.
 * 4. The fastest kind of core first: an E core only when the P cores are used up. Of one kind,
 *    isolated cores first, then those that take no device's interrupts.
 * 5. Threads that talk share an L3, else a NUMA node, else a package. Then: the network device's
 *    node, when one is named.
 * 6. Too few cores: partitions come before publishers. The partitions that choose last share one
 *    CPU, where one executor turns them all; publishers without a core join the housekeeper. On 2
 *    CPUs: publishers and housekeeper on the first, all partitions on the second. On one core with
 *    two CPUs, the same with its siblings; on 1 CPU all share it.
 * 7. Journals, then workers, have the cores that are left, journals near the housekeeper, workers
 *    near the partitions; without any, they join the housekeeper.
 * 8. Who is hot and has a core to itself spins, all others park; a wait that the request names is
 *    kept.
 * Memory is to be taken from the thread's NUMA node.
 * Planning reads nothing but its arguments and moves no thread: the same input gives the same plan.
 */
#ifndef HL_AFFINITY_PLAN_H
#define HL_AFFINITY_PLAN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <hotlane/config.h>
#include <hotlane/status.h>

#include "affinity/topology.h"

/* Bytes with the closing zero: a domain's longest name, and with it ".<shard>". */
#define HL_DOMAIN_NAME_SIZE 64
#define HL_THREAD_NAME_SIZE 72

typedef enum hl_thread_role {
    HL_ROLE_PARTITION = 0,
    HL_ROLE_PUBLISHER,
    HL_ROLE_HOUSEKEEPER,
    HL_ROLE_JOURNAL,
    HL_ROLE_WORKER
} hl_thread_role;

/* "partition", "publisher", ...; static. */
const char *hl_thread_role_name(hl_thread_role role);

/* Whether it may spin, and must have a core to itself. */
static inline bool hl_thread_role_is_hot(hl_thread_role role)
{
    return role == HL_ROLE_PARTITION || role == HL_ROLE_PUBLISHER;
}

/* "auto", "spin", "backoff", "park"; static. */
const char *hl_wait_name(hl_wait wait);

typedef struct hl_thread_request {
    const char *name; /* unique; without blanks and @ , ( ); at most 71 bytes. Of a partition:
                         its domain's name, or "<domain>.<shard>" */
    hl_thread_role role;
    const char *domain;   /* the domain a partition belongs to, at most 63 bytes; of others, a name
                             that lcores may call all of them by ("workers"), or NULL */
    uint32_t rank;        /* who chooses first: 0 (orders and fills), 1, ... */
    const char *talks_to; /* names of threads or domains, apart by blanks or commas; "*": all
                             partitions; NULL: none. Said by one side it holds for both */
    hl_wait wait;         /* HL_WAIT_AUTO: rule 8 */
} hl_thread_request;

/*
 * lcores, as in DPDK: items apart by commas, each WHO@WHERE.
 *   WHO    a thread ("order.1"), a domain (all its shards), "housekeeping", or a list: (order,fill)
 *   WHERE  a CPU by its OS index (2), a range (10-15), or a list of both: (6,8,10-12)
 * Threads are dealt over the CPUs in turn, as written, shards in the request's order. CPUs left
 * over stay empty, and so do those of "workers" as long as no thread has that name. Threads that no
 * item names are planned by the rules on the cores that no item names; where there are none, on the
 * housekeeper's.
 */
typedef struct hl_plan_request {
    const hl_thread_request *threads;
    uint32_t thread_count; /* 0..4,096 */
    const char *lcores;    /* NULL or "": all by the rules */
    const char *nic;   /* the network device whose node is preferred, for the sentences; or NULL */
    uint32_t nic_node; /* with nic: its NUMA node */
} hl_plan_request;

typedef struct hl_plan_thread {
    char name[HL_THREAD_NAME_SIZE];
    hl_thread_role role;
    char domain[HL_DOMAIN_NAME_SIZE];      /* "" without one */
    int cpu;                               /* OS index, for hl_pin_self */
    uint32_t core, package, numa_node, l3; /* of that CPU, numbered as in hl_cpu */
    hl_wait wait;                          /* never HL_WAIT_AUTO */
    bool shares_cpu;                       /* with another thread or the housekeeper */
    char shares_core_with[256];            /* their names, "fill, housekeeping"; "" when alone */
    char why[256]; /* "core 7: own core, sibling 31 left empty, same L3 as market_data on CPU 6" */
} hl_plan_thread;

typedef struct hl_plan {
    hl_plan_thread *threads; /* threads[i] answers request->threads[i] */
    uint32_t thread_count;
    uint32_t *empty_siblings; /* OS indexes, ascending: allowed CPUs on used cores that must
                                 stay empty */
    uint32_t empty_sibling_count;
    int housekeeping_cpu; /* OS index; set even when no housekeeper is requested */
    char **warnings;      /* sentences; those that begin with "error: " break a promise */
    uint32_t warning_count;
} hl_plan;

/*
 * Makes a plan. HL_OK: *ret_plan is the caller's, to be freed; look at its warnings. It keeps no
 * pointer into the arguments. HL_INVALID with a sentence: a thread without a name, two of one name,
 * or an error in lcores ("lcores: column 9: CPU 99 is not allowed here; allowed are 0-1").
 * HL_NO_MEMORY. Any thread.
 */
hl_status hl_plan_make(const hl_topology *topology, const hl_plan_request *request,
                       hl_plan **ret_plan, hl_error *error);

/*
 * The plan as lcores would name it, "order@2,fill@4,housekeeping@0": given to hl_plan_make with the
 * same threads, it makes the same placement. The caller's, to be freed; NULL: no memory.
 */
char *hl_plan_lcores(const hl_plan *plan);

/* A line a thread, then the empty siblings and the warnings. */
void hl_plan_print(const hl_plan *plan, FILE *file);

/* NULL is allowed. */
void hl_plan_free(hl_plan *plan);

#endif
