#include "cores.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/number.h"

typedef enum cpu_role { PUBLISHER, CONSUMER, HOUSEKEEPER, ROLES } cpu_role;

static const char *const role_names[ROLES] = {
    [PUBLISHER] = "publisher", [CONSUMER] = "consumer", [HOUSEKEEPER] = "housekeeper"};

/* What the text names. */
typedef struct named_cpus {
    bool has[ROLES];
    uint32_t cpus[ROLES]; /* OS indexes */
} named_cpus;

/* ROLES: there is none of that name. */
static cpu_role role_of(const char *name, size_t bytes)
{
    cpu_role found = PUBLISHER;
    while (found < ROLES &&
           (strlen(role_names[found]) != bytes || strncmp(role_names[found], name, bytes) != 0))
        found++;
    return found;
}

/* "publisher=2,consumer=4": any of the roles, each once. */
static hl_status parse(const char *text, named_cpus *named, hl_error *error)
{
    for (const char *at = text;;) {
        const size_t name_bytes = strcspn(at, "=,");
        const cpu_role which = role_of(at, name_bytes);
        if (which == ROLES)
            return hl_error_set(error, HL_INVALID,
                                "cores: \"%.*s\" is not a role: say publisher=CPU,consumer=CPU, "
                                "and housekeeper=CPU for the bus's",
                                (int)name_bytes, at);
        if (named->has[which])
            return hl_error_set(error, HL_INVALID, "cores: %s is named twice", role_names[which]);
        uint64_t cpu;
        const char *end;
        if (at[name_bytes] != '=' || !hl_number_begin(at + name_bytes + 1, &cpu, &end) ||
            cpu > UINT32_MAX || (*end != ',' && *end != '\0'))
            return hl_error_set(error, HL_INVALID,
                                "cores: \"%s\": a CPU number must follow %s=", at,
                                role_names[which]);
        named->has[which] = true;
        named->cpus[which] = (uint32_t)cpu;
        if (*end == '\0')
            return HL_OK;
        at = end + 1;
    }
}

static hl_status require_allowed(const hl_topology *topology, const char *role, uint32_t os_index,
                                 hl_error *error)
{
    const hl_cpu *const cpu = hl_topology_cpu(topology, os_index);
    if (cpu == NULL)
        return hl_error_set(error, HL_INVALID, "cores: %s=%u: this machine has no such CPU", role,
                            os_index);
    if (!cpu->allowed)
        return hl_error_set(error, HL_INVALID,
                            "cores: %s=%u: this process may not use that CPU (affinity mask or "
                            "cpuset)",
                            role, os_index);
    return HL_OK;
}

/* How good `cpu` is as the mate of `other`; higher is better; -1: it may not be used. */
static int rank_mate(const hl_cpu *cpu, const hl_cpu *other)
{
    if (!cpu->allowed)
        return -1;
    if (cpu == other)
        return 0;
    if (cpu->core == other->core)
        return 1;
    if (cpu->package != other->package)
        return 2;
    return cpu->l3 == other->l3 ? 4 : 3;
}

static uint32_t choose_mate(const hl_topology *topology, uint32_t os_index)
{
    const hl_cpu *const other = hl_topology_cpu(topology, os_index);
    uint32_t mate = os_index;
    int best = -1;
    for (uint32_t i = 0; i < topology->cpu_count; i++) {
        const hl_cpu *const cpu = &topology->cpus[i];
        const int rank = rank_mate(cpu, other);
        /* Of SMT siblings the first, so that its core's other half is the one left idle. */
        if (rank > best || (rank == best && cpu->smt_rank == 0)) {
            best = rank;
            mate = cpu->os_index;
        }
    }
    return mate;
}

static uint32_t choose_first(const hl_topology *topology)
{
    uint32_t chosen = 0;
    bool found = false;
    for (uint32_t i = 0; i < topology->cpu_count; i++) {
        const hl_cpu *const cpu = &topology->cpus[i];
        if (cpu->allowed && (!found || cpu->smt_rank == 0)) {
            chosen = cpu->os_index;
            found = true;
        }
    }
    return chosen;
}

/* The publisher's where there is no third core. */
static uint32_t choose_housekeeper(const hl_topology *topology, const perf_cores *cores)
{
    const uint32_t publisher = hl_topology_cpu(topology, cores->publisher)->core;
    const uint32_t consumer = hl_topology_cpu(topology, cores->consumer)->core;
    for (uint32_t i = 0; i < topology->cpu_count; i++) {
        const hl_cpu *const cpu = &topology->cpus[i];
        if (cpu->allowed && cpu->core != publisher && cpu->core != consumer)
            return cpu->os_index;
    }
    return cores->publisher;
}

static const char *relation_of(const hl_cpu *left, const hl_cpu *right, bool l3_known)
{
    if (left == right)
        return "one CPU for both: no two threads run at a time";
    if (left->core == right->core)
        return "SMT siblings: one core";
    if (left->package != right->package)
        return "two cores of different packages";
    if (left->l3 != right->l3)
        return "two cores of one package, different L3 caches";
    return l3_known ? "two cores under one L3 cache" : "two cores of one package, L3 not known";
}

hl_status perf_cores_choose_of(const hl_topology *topology, const char *text, perf_cores *ret_cores,
                               hl_error *error)
{
    named_cpus named = {.has = {false}};
    hl_status status = text == NULL ? HL_OK : parse(text, &named, error);
    for (cpu_role which = PUBLISHER; status == HL_OK && which < ROLES; which++)
        if (named.has[which])
            status = require_allowed(topology, role_names[which], named.cpus[which], error);
    if (status != HL_OK)
        return status;
    const bool has_publisher = named.has[PUBLISHER], has_consumer = named.has[CONSUMER];
    perf_cores cores = {.publisher = named.cpus[PUBLISHER],
                        .consumer = named.cpus[CONSUMER],
                        .housekeeper = named.cpus[HOUSEKEEPER],
                        .named = has_publisher || has_consumer,
                        .allowed = topology->allowed};
    if (!has_consumer)
        cores.consumer =
            has_publisher ? choose_mate(topology, cores.publisher) : choose_first(topology);
    if (!has_publisher)
        cores.publisher = choose_mate(topology, cores.consumer);
    if (!named.has[HOUSEKEEPER])
        cores.housekeeper = choose_housekeeper(topology, &cores);
    snprintf(cores.relation, sizeof cores.relation, "%s",
             relation_of(hl_topology_cpu(topology, cores.publisher),
                         hl_topology_cpu(topology, cores.consumer), topology->l3_known));
    *ret_cores = cores;
    return HL_OK;
}

hl_status perf_cores_choose(const char *text, perf_cores *ret_cores, hl_error *error)
{
    hl_topology *topology = NULL;
    hl_status status = hl_topology_load(NULL, &topology, error);
    if (status != HL_OK)
        return status;
    status = perf_cores_choose_of(topology, text, ret_cores, error);
    hl_topology_free(topology);
    return status;
}
