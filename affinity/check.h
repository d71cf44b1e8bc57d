/*
 * What is wrong with a machine for a plan: some seventy checks of the kernel's settings, of which
 * each says what it found, what is wanted, why that matters and what to do. None changes anything.
 *
 *     hl_check_input input = {.topology = topology, .plan = plan, .host = host};
 *     if (hl_checks_run(&input, &findings, &count, &error) == HL_OK)
 *         for (uint32_t i = 0; i < count; i++)
 *             printf("%s: %s\n", findings[i].check->id, findings[i].value);
 *     free(findings);
 *
 * "Hot cores" are the physical cores that the plan gives to one hot thread each; where it has none,
 * because cores are short, what would protect them is not applicable.
 */
#ifndef HL_AFFINITY_CHECK_H
#define HL_AFFINITY_CHECK_H

#include <stdint.h>

#include "affinity/host.h"
#include "affinity/plan.h"
#include "affinity/topology.h"

typedef enum hl_check_status {
    HL_CHECK_OK = 0,
    HL_CHECK_WARN,          /* it will cost time now and then */
    HL_CHECK_FAIL,          /* with it, the plan's promise cannot be kept */
    HL_CHECK_UNKNOWN,       /* it could not be seen: no permission, no such file */
    HL_CHECK_NOT_APPLICABLE /* it does not concern this machine or this plan */
} hl_check_status;

/* "OK", "WARN", "FAIL", "UNKNOWN", "N/A"; static. */
const char *hl_check_status_name(hl_check_status status);

typedef struct hl_check_look hl_check_look; /* what a check can look at; internal */
typedef struct hl_finding hl_finding;

/* Static text, one paragraph each. */
typedef struct hl_check {
    const char *id;     /* "irq-affinity": for machines, never changes */
    const char *item;   /* "interrupts on hot cores": for people */
    const char *wanted; /* in short */
    const char *why;    /* what it costs otherwise */
    const char *mend;   /* the command, or what to do; "" when nothing is advised */
    const char *source; /* who says so */
    bool needs_host;    /* it reads /proc or /sys */
    void (*look)(const hl_check_look *look, hl_finding *finding);
} hl_check;

struct hl_finding {
    const hl_check *check;
    const char *group; /* "kernel command line", static */
    hl_check_status status;
    char value[400];
    char wanted[200]; /* of this machine and plan: "2-7 among them" */
    char mend[600];   /* the same: with this machine's CPUs in the command */
};

typedef struct hl_check_input {
    const hl_topology *topology;
    const hl_plan *plan;
    hl_host *host; /* NULL: there is only a description; what needs one is UNKNOWN */
    const char *nic;
    int pid; /* of a running bus, whose threads are looked at; 0: none */
    bool wants_huge_pages, wants_locked_memory; /* the configuration does */
    /* Bytes of rings for each of the plan's threads; NULL: not known. */
    const uint64_t *ring_bytes;
} hl_check_input;

/*
 * Looks at everything there is in one go; findings come in the table's order, so that reports can
 * be compared. *ret_findings is the caller's, to be freed. HL_OK or HL_NO_MEMORY. With a live host
 * and `hl_checks_wait` before it, rates are known too. One thread at a time a host.
 */
hl_status hl_checks_run(const hl_check_input *input, hl_finding **ret_findings, uint32_t *ret_count,
                        hl_error *error);

/*
 * Reads the counters (interrupts, steal time, the threads of `pid`) twice, `interval_ms` apart, so
 * that hl_checks_run can tell rates. A captured host has both readings; then it does not wait.
 * interval_ms 0: no second reading, rates are UNKNOWN. Blocks that long.
 */
void hl_checks_wait(hl_host *host, int pid, uint32_t interval_ms);

/* All checks of the table, for documentation and tests: calls visit for each. */
void hl_checks_each(void (*visit)(void *context, const char *group, const hl_check *check),
                    void *context);

#endif
