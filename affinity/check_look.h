/*
 * How a check is written. Internal: each check_<subject>.c has a table of checks and their
 * functions; check.c runs them.
 *
 * A function finds with hl_found, once; it starts as UNKNOWN. `wanted` and `mend` are the table's
 * unless it says better ones.
 */
#ifndef HL_AFFINITY_CHECK_LOOK_H
#define HL_AFFINITY_CHECK_LOOK_H

#include "affinity/check.h"
#include "affinity/cpu_set.h"

struct hl_check_look {
    const hl_check_input *input;
    const hl_topology *topology;
    const hl_plan *plan;
    hl_host *host;
    hl_cpu_set hot;         /* every CPU of the hot cores that we may use, siblings too */
    hl_cpu_set hot_threads; /* of those, the CPUs with a thread on them */
    hl_cpu_set cold;        /* allowed CPUs that are not hot */
    uint32_t spinning;      /* threads of the plan that spin */
    bool has_hot;
    char hot_list[256], cold_list[256]; /* as lists, for commands */
};

typedef struct hl_check_group {
    const char *name;
    const hl_check *checks;
    uint32_t count;
} hl_check_group;

extern const hl_check_group hl_checks_placement, hl_checks_kernel, hl_checks_interrupts,
    hl_checks_cgroup, hl_checks_power, hl_checks_memory, hl_checks_scheduler, hl_checks_clock,
    hl_checks_network, hl_checks_process;

void hl_found(hl_finding *finding, hl_check_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void hl_found_wanted(hl_finding *finding, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void hl_found_mend(hl_finding *finding, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Says why a file gave no text: UNKNOWN, "no permission to read PATH" or "there is no PATH". */
void hl_found_nothing(hl_finding *finding, hl_host_outcome outcome, const char *path);

/* True, and finds N/A, when the plan has no hot core. */
bool hl_found_no_hot(const hl_check_look *look, hl_finding *finding);

/* OK when the whole number in a file lies in lowest..highest, else WARN; UNKNOWN without one. */
void hl_found_number(const hl_check_look *look, hl_finding *finding, const char *path,
                     int64_t lowest, int64_t highest);

/* The word of the kernel command line that is `name` or begins with `name=`: its value ("" for
 * none). False when it is not there. Only names in check_kernel.c's list are ever found. */
bool hl_kernel_parameter(hl_host *host, const char *name, char *ret_value, size_t size);

/* CPUs that the scheduler leaves alone, by isolcpus or by a cpuset partition. */
hl_cpu_set hl_isolated_cpus(hl_host *host);

/* A limit of this process ("Max locked memory"): its soft value, UINT64_MAX for unlimited. */
bool hl_process_limit(hl_host *host, const char *name, uint64_t *ret_soft);

/* Whether this process has a capability, by its number. */
bool hl_has_capability(hl_host *host, unsigned number);

/* Capabilities (linux/capability.h). */
#define HL_CAP_IPC_LOCK 14u
#define HL_CAP_SYS_NICE 23u

/* The time between the two readings of hl_checks_wait; 0: there is no second one. */
uint32_t hl_check_interval_ms(const hl_check_look *look);
#define HL_CHECK_INTERVAL "interval_ms"

#endif
