/*
 * The report for machines. The schema is in docs/topology.md.
 */
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "topology_report.h"

/* JSON is UTF-8; names of files and devices need not be. */
static json_t *text_of(const char *bytes)
{
    json_t *const text = json_string(bytes);
    if (text != NULL)
        return text;
    char *const ascii = strdup(bytes);
    for (char *at = ascii; at != NULL && *at != '\0'; at++)
        if ((unsigned char)*at >= 0x80)
            *at = '?';
    json_t *const told = ascii != NULL ? json_string(ascii) : NULL;
    free(ascii);
    return told;
}

static json_t *text_or_null(const char *text)
{
    return text != NULL && text[0] != '\0' ? text_of(text) : json_null();
}

static json_t *count(uint64_t number)
{
    return json_integer((json_int_t)number);
}

static json_t *cpu_list(const uint32_t *cpus, uint32_t cpu_count)
{
    json_t *const list = json_array();
    for (uint32_t i = 0; i < cpu_count; i++)
        json_array_append_new(list, count(cpus[i]));
    return list;
}

/* ---- machine -------------------------------------------------------------------------------- */

static json_t *node_objects(const hl_topology *topology)
{
    json_t *const list = json_array();
    for (uint32_t i = 0; i < topology->node_count; i++) {
        const hl_numa_node *const node = &topology->nodes[i];
        json_t *const pages = json_array();
        for (int p = 0; p < HL_HUGE_PAGE_SIZES && node->huge_pages[p].size_bytes > 0; p++)
            json_array_append_new(pages, json_pack("{s:o, s:o}", "size_bytes",
                                                   count(node->huge_pages[p].size_bytes), "count",
                                                   count(node->huge_pages[p].count)));
        json_array_append_new(
            list, json_pack("{s:o, s:o, s:o, s:o}", "node", count(node->os_index), "package",
                            node->package == UINT32_MAX ? json_null() : count(node->package),
                            "memory_bytes", count(node->memory_bytes), "huge_pages", pages));
    }
    return list;
}

static json_t *cache_objects(const hl_topology *topology)
{
    json_t *const list = json_array();
    for (uint32_t i = 0; i < topology->cache_count; i++) {
        const hl_cache_kind *const kind = &topology->caches[i];
        json_array_append_new(
            list, json_pack("{s:o, s:s, s:o, s:o, s:o}", "level", count(kind->level), "type",
                            kind->type == 'd'   ? "data"
                            : kind->type == 'i' ? "instruction"
                                                : "unified",
                            "size_bytes", count(kind->size_bytes), "count", count(kind->count),
                            "pus_each", count(kind->cpus_each)));
    }
    return list;
}

static json_t *device_objects(const hl_topology *topology, hl_device_kind kind)
{
    json_t *const list = json_array();
    for (uint32_t i = 0; i < topology->device_count; i++) {
        const hl_device *const device = &topology->devices[i];
        if (device->kind == kind)
            json_array_append_new(
                list,
                json_pack("{s:s, s:o, s:o, s:o}", "name", device->name, "numa_node",
                          device->numa_node < 0 ? json_null() : json_integer(device->numa_node),
                          "place", text_or_null(device->place), "model",
                          text_or_null(device->model)));
    }
    return list;
}

static json_t *cpu_objects(const hl_topology *topology)
{
    json_t *const list = json_array();
    for (uint32_t i = 0; i < topology->cpu_count; i++) {
        const hl_cpu *const cpu = &topology->cpus[i];
        json_array_append_new(
            list,
            json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:b, s:b}", "cpu",
                      count(cpu->os_index), "core", count(cpu->core), "package",
                      count(cpu->package), "die", count(cpu->die), "numa_node",
                      count(cpu->numa_node), "l3", count(cpu->l3), "smt_rank", count(cpu->smt_rank),
                      "efficiency_class", count(cpu->efficiency_class), "allowed", cpu->allowed,
                      "isolated", cpu->isolated, "takes_interrupts", cpu->takes_interrupts));
    }
    return list;
}

static json_t *machine_object(const topology_report *report)
{
    const hl_topology *const t = report->topology;
    json_t *const machine = json_object();
    json_object_set_new(machine, "source", text_of(report->source));
    json_object_set_new(machine, "model", text_or_null(t->model));
    json_object_set_new(machine, "this_machine", json_boolean(t->this_machine));
    json_object_set_new(machine, "packages", count(t->packages));
    json_object_set_new(machine, "dies", count(t->dies));
    json_object_set_new(machine, "numa_nodes", count(t->numa_nodes));
    json_object_set_new(machine, "l3_groups", count(t->l3_groups));
    json_object_set_new(machine, "l3_known", json_boolean(t->l3_known));
    json_object_set_new(machine, "cores", count(t->cores));
    json_object_set_new(machine, "pus", count(t->cpu_count));
    json_object_set_new(machine, "allowed_pus", count(t->allowed));
    json_object_set_new(machine, "efficiency_classes", count(t->efficiency_classes));
    json_object_set_new(machine, "cpu_quota",
                        t->cpu_quota > 0.0 ? json_real(t->cpu_quota) : json_null());
    json_object_set_new(machine, "nodes", node_objects(t));
    json_object_set_new(machine, "caches", cache_objects(t));
    json_object_set_new(machine, "network", device_objects(t, HL_DEVICE_NETWORK));
    json_object_set_new(machine, "disks", device_objects(t, HL_DEVICE_DISK));
    json_object_set_new(machine, "cpus", cpu_objects(t));
    return machine;
}

/* ---- plan ----------------------------------------------------------------------------------- */

static bool has_housekeeper(const hl_plan *plan)
{
    for (uint32_t i = 0; i < plan->thread_count; i++)
        if (plan->threads[i].role == HL_ROLE_HOUSEKEEPER)
            return true;
    return false;
}

static json_t *sharers(const topology_report *report, uint32_t thread)
{
    const hl_plan *const plan = report->plan;
    const uint32_t core = plan->threads[thread].core;
    const hl_cpu *const house = hl_topology_cpu(report->topology, (uint32_t)plan->housekeeping_cpu);
    json_t *const list = json_array();
    for (uint32_t i = 0; i < plan->thread_count; i++)
        if (i != thread && plan->threads[i].core == core)
            json_array_append_new(list, json_string(plan->threads[i].name));
    if (!has_housekeeper(plan) && house != NULL && house->core == core)
        json_array_append_new(list, json_string("housekeeping"));
    return list;
}

static json_t *thread_objects(const topology_report *report)
{
    json_t *const list = json_array();
    for (uint32_t i = 0; i < report->plan->thread_count; i++) {
        const hl_plan_thread *const thread = &report->plan->threads[i];
        json_t *const object = json_pack(
            "{s:s, s:s, s:o, s:i, s:o, s:o, s:o, s:o, s:o, s:s, s:s}", "name", thread->name, "role",
            hl_thread_role_name(thread->role), "domain", text_or_null(thread->domain), "cpu",
            thread->cpu, "core", count(thread->core), "package", count(thread->package),
            "numa_node", count(thread->numa_node), "l3", count(thread->l3), "shares_core_with",
            sharers(report, i), "wait", hl_wait_name(thread->wait), "why", thread->why);
        json_array_append_new(list, object);
    }
    return list;
}

json_t *topology_plan_json(const topology_report *report)
{
    const hl_plan *const plan = report->plan;
    json_t *const object = json_object();
    json_t *const warnings = json_array();
    char *const lcores = hl_plan_lcores(plan);
    for (uint32_t i = 0; i < plan->warning_count; i++)
        json_array_append_new(warnings, text_of(plan->warnings[i]));
    json_object_set_new(object, "configuration", text_or_null(report->config_path));
    json_object_set_new(object, "nic", text_or_null(report->nic));
    json_object_set_new(object, "threads", thread_objects(report));
    json_object_set_new(object, "empty_siblings",
                        cpu_list(plan->empty_siblings, plan->empty_sibling_count));
    json_object_set_new(object, "housekeeping", json_pack("[i]", plan->housekeeping_cpu));
    json_object_set_new(object, "lcores", text_or_null(lcores));
    json_object_set_new(object, "warnings", warnings);
    free(lcores);
    return object;
}

/* ---- checks and measures -------------------------------------------------------------------- */

static json_t *check_objects(const topology_report *report)
{
    json_t *const list = json_array();
    for (uint32_t i = 0; i < report->finding_count; i++) {
        const hl_finding *const finding = &report->findings[i];
        const hl_check *const check = finding->check;
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:s, s:o, s:s}", "id", check->id,
                            "group", finding->group, "item", check->item, "status",
                            hl_check_status_name(finding->status), "value", text_of(finding->value),
                            "wanted", text_of(finding->wanted), "why", check->why, "mend",
                            text_of(finding->mend), "source", check->source));
    }
    return list;
}

static json_t *summary_object(const topology_report *report)
{
    json_t *const object = json_object();
    for (hl_check_status status = HL_CHECK_OK; status <= HL_CHECK_NOT_APPLICABLE; status++)
        json_object_set_new(object, hl_check_status_name(status),
                            count(topology_report_count(report, status)));
    return object;
}

static json_t *gap_objects(const topology_measures *measures)
{
    json_t *const list = json_array();
    for (uint32_t i = 0; i < measures->cpu_count; i++) {
        const topology_gaps *const gaps = &measures->gaps[i];
        json_array_append_new(
            list, json_pack("{s:o, s:f, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "cpu",
                            count(gaps->cpu), "seconds", gaps->seconds, "over_1us",
                            count(gaps->over[0]), "over_10us", count(gaps->over[1]), "over_100us",
                            count(gaps->over[2]), "over_1ms", count(gaps->over[3]), "p50_ns",
                            count(gaps->p50_ns), "p99_ns", count(gaps->p99_ns), "p999_ns",
                            count(gaps->p999_ns), "max_ns", count(gaps->max_ns)));
    }
    return list;
}

static json_t *measure_object(const topology_measures *m)
{
    if (m == NULL)
        return json_object();
    json_t *const rows = json_array();
    for (uint32_t from = 0; from < m->cpu_count; from++) {
        json_t *const row = json_array();
        for (uint32_t to = 0; to < m->cpu_count; to++)
            json_array_append_new(
                row, from == to ? json_null() : json_real(m->hops_ns[from * m->cpu_count + to]));
        json_array_append_new(rows, row);
    }
    json_t *const disk =
        m->sync_count == 0
            ? json_null()
            : json_pack("{s:o, s:o, s:o, s:o, s:o}", "folder", text_of(m->folder), "count",
                        count(m->sync_count), "p50_ns", count(m->sync_p50_ns), "p99_ns",
                        count(m->sync_p99_ns), "max_ns", count(m->sync_max_ns));
    return json_pack("{s:o, s:o, s:o, s:{s:f, s:f}, s:o, s:o}", "cpus",
                     cpu_list(m->cpus, m->cpu_count), "gaps", gap_objects(m), "core_to_core_ns",
                     rows, "timer", "tsc_ns", m->tsc_ns, "clock_gettime_ns", m->clock_ns,
                     "fdatasync", disk, "note", text_or_null(m->note));
}

bool topology_json(const topology_report *report, FILE *stream)
{
    json_t *const object = json_object();
    json_object_set_new(object, "machine", machine_object(report));
    json_object_set_new(object, "plan", topology_plan_json(report));
    json_object_set_new(object, "checks", check_objects(report));
    json_object_set_new(object, "summary", summary_object(report));
    json_object_set_new(object, "measures", measure_object(report->measures));
    const bool written = object != NULL && json_dumpf(object, stream, JSON_INDENT(2)) == 0 &&
                         putc('\n', stream) != EOF;
    json_decref(object);
    return written;
}
