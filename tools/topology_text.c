/*
 * The report for a terminal.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "affinity/sentence.h"
#include "topology_report.h"

#define COLUMNS 80u

typedef struct text_writer {
    const topology_report *report;
    const topology_text_options *options;
    FILE *stream;
} text_writer;

/* ---- colour and lines ----------------------------------------------------------------------- */

typedef enum text_colour { PLAIN, BOLD, DIM, GREEN, YELLOW, RED, BLUE } text_colour;

static const char *begin(const text_writer *to, text_colour colour)
{
    static const char *const codes[] = {"",         "\033[1m",    "\033[2m", "\033[32m",
                                        "\033[33m", "\033[1;31m", "\033[36m"};
    return to->options->colour ? codes[colour] : "";
}

static const char *end(const text_writer *to)
{
    return to->options->colour ? "\033[0m" : "";
}

static void heading(const text_writer *to, const char *title)
{
    fprintf(to->stream, "\n%s%s%s\n", begin(to, BOLD), title, end(to));
}

/* Writes words from a column on, broken at blanks and indented to it. */
static void words_from(const text_writer *to, unsigned indent, const char *text)
{
    unsigned column = indent;
    bool fresh = true;
    for (const char *word = text; *(word += strspn(word, " ")) != '\0';) {
        const unsigned length = (unsigned)strcspn(word, " ");
        if (!fresh && column + 1 + length > COLUMNS) {
            fprintf(to->stream, "\n%*s", (int)indent, "");
            column = indent;
            fresh = true;
        }
        fprintf(to->stream, "%s%.*s", fresh ? "" : " ", (int)length, word);
        column += length + !fresh;
        fresh = false;
        word += length;
    }
    putc('\n', to->stream);
}

/* A label, which is shorter than the indent, and the text beside it. */
static void wrapped(const text_writer *to, const char *label, unsigned indent, const char *text)
{
    fprintf(to->stream, "%-*s", (int)indent, label);
    words_from(to, indent, text);
}

/* ---- the machine ---------------------------------------------------------------------------- */

static void count_of(char *text, size_t size, uint32_t count, const char *name)
{
    hl_sentence_add(text, size, "%s%u %s%s", text[0] == '\0' ? "" : ", ", count, name,
                    count == 1 ? "" : "s");
}

static void print_counts(const text_writer *to)
{
    const hl_topology *const t = to->report->topology;
    char text[256] = "";
    count_of(text, sizeof text, t->packages, "package");
    if (t->dies != t->packages)
        count_of(text, sizeof text, t->dies, "die");
    count_of(text, sizeof text, t->numa_nodes, "NUMA node");
    if (t->l3_known)
        count_of(text, sizeof text, t->l3_groups, "L3 group");
    count_of(text, sizeof text, t->cores, "core");
    count_of(text, sizeof text, t->cpu_count, "CPU");
    wrapped(to, "  has", 14, text);
}

/* The CPUs for which `wanted` holds, as a list. */
static void list_cpus(const hl_topology *topology, bool (*wanted)(const hl_cpu *), char *text,
                      size_t size)
{
    hl_cpu_set set = {{0}};
    for (uint32_t i = 0; i < topology->cpu_count; i++)
        if (wanted(&topology->cpus[i]))
            hl_cpu_set_add(&set, topology->cpus[i].os_index);
    hl_cpu_set_tell(&set, text, size);
}

static bool is_allowed(const hl_cpu *cpu)
{
    return cpu->allowed;
}

static bool is_isolated(const hl_cpu *cpu)
{
    return cpu->isolated;
}

static bool is_slow(const hl_cpu *cpu)
{
    return cpu->efficiency_class == 0;
}

static void print_cpus(const text_writer *to)
{
    const hl_topology *const t = to->report->topology;
    char text[400] = "";
    list_cpus(t, is_allowed, text, sizeof text);
    hl_sentence_add(text, sizeof text, " (%u of %u)", t->allowed, t->cpu_count);
    if (t->cpu_quota > 0.0)
        hl_sentence_add(text, sizeof text, ", quota %.2f CPUs", t->cpu_quota);
    wrapped(to, "  ours", 14, text);
    text[0] = '\0';
    list_cpus(t, is_isolated, text, sizeof text);
    if (strcmp(text, "none") != 0)
        wrapped(to, "  isolated", 14, text);
    if (t->efficiency_classes > 1) {
        text[0] = '\0';
        list_cpus(t, is_slow, text, sizeof text);
        wrapped(to, "  slow (E)", 14, text);
    }
}

static void print_nodes(const text_writer *to)
{
    const hl_topology *const t = to->report->topology;
    for (uint32_t n = 0; n < t->node_count; n++) {
        const hl_numa_node *const node = &t->nodes[n];
        char text[400] = "", size[32], label[32];
        hl_cpu_set cpus = {{0}};
        for (uint32_t i = 0; i < t->cpu_count; i++)
            if (t->cpus[i].numa_node == node->os_index)
                hl_cpu_set_add(&cpus, t->cpus[i].os_index);
        if (node->memory_bytes > 0) {
            topology_report_size(node->memory_bytes, size);
            hl_sentence_add(text, sizeof text, "%s, ", size);
        }
        hl_sentence_add(text, sizeof text, "CPUs ");
        hl_cpu_set_tell(&cpus, text, sizeof text);
        for (int i = 0; i < HL_HUGE_PAGE_SIZES && node->huge_pages[i].size_bytes > 0; i++) {
            topology_report_size(node->huge_pages[i].size_bytes, size);
            hl_sentence_add(text, sizeof text, ", %" PRIu64 " pages of %s",
                            node->huge_pages[i].count, size);
        }
        snprintf(label, sizeof label, "  node %u", node->os_index);
        wrapped(to, label, 14, text);
    }
}

static void print_caches(const text_writer *to)
{
    const hl_topology *const t = to->report->topology;
    char text[400] = "";
    for (uint32_t i = 0; i < t->cache_count; i++) {
        const hl_cache_kind *const kind = &t->caches[i];
        char size[32];
        if (kind->type == 'i')
            continue; /* they never decide about a placement */
        topology_report_size(kind->size_bytes, size);
        hl_sentence_add(text, sizeof text, "%s%u x L%u%s %s", text[0] == '\0' ? "" : ", ",
                        kind->count, kind->level, kind->type == 'd' ? "d" : "", size);
    }
    if (text[0] != '\0')
        wrapped(to, "  caches", 14, text);
}

static void print_devices(const text_writer *to, hl_device_kind kind, const char *label)
{
    const hl_topology *const t = to->report->topology;
    char text[600] = "";
    for (uint32_t i = 0; i < t->device_count; i++) {
        const hl_device *const device = &t->devices[i];
        if (device->kind != kind)
            continue;
        hl_sentence_add(text, sizeof text, "%s%s", text[0] == '\0' ? "" : ", ", device->name);
        if (device->numa_node >= 0)
            hl_sentence_add(text, sizeof text, " (node %d)", device->numa_node);
    }
    if (text[0] != '\0')
        wrapped(to, label, 14, text);
}

static void print_machine(const text_writer *to)
{
    heading(to, "Machine");
    wrapped(to, "  source", 14, to->report->source);
    if (to->report->topology->model[0] != '\0')
        wrapped(to, "  model", 14, to->report->topology->model);
    print_counts(to);
    print_cpus(to);
    print_nodes(to);
    print_caches(to);
    print_devices(to, HL_DEVICE_NETWORK, "  network");
    print_devices(to, HL_DEVICE_DISK, "  disks");
}

/* ---- the plan ------------------------------------------------------------------------------- */

static text_colour colour_of_role(hl_thread_role role)
{
    static const text_colour colours[] = {GREEN, BLUE, DIM, YELLOW, YELLOW};
    return colours[role];
}

static void print_threads(const text_writer *to)
{
    const hl_plan *const plan = to->report->plan;
    fprintf(to->stream, "  %s%-20s %-11s %4s %4s %4s %4s %4s  %s%s\n", begin(to, DIM), "thread",
            "role", "CPU", "core", "L3", "node", "pkg", "waits", end(to));
    for (uint32_t i = 0; i < plan->thread_count; i++) {
        const hl_plan_thread *const thread = &plan->threads[i];
        fprintf(to->stream, "  %s%-20s%s %-11s %4d %4u %4u %4u %4u  %s\n",
                begin(to, colour_of_role(thread->role)), thread->name, end(to),
                hl_thread_role_name(thread->role), thread->cpu, thread->core, thread->l3,
                thread->numa_node, thread->package, hl_wait_name(thread->wait));
        wrapped(to, "", 6, thread->why);
    }
}

static void print_warnings(const text_writer *to)
{
    const hl_plan *const plan = to->report->plan;
    for (uint32_t i = 0; i < plan->warning_count; i++) {
        const bool is_error = strncmp(plan->warnings[i], "error: ", 7) == 0;
        fputs(begin(to, is_error ? RED : YELLOW), to->stream);
        wrapped(to, is_error ? "  FAIL" : "  WARN", 8, plan->warnings[i] + (is_error ? 7 : 0));
        fputs(end(to), to->stream);
    }
}

static void print_plan(const text_writer *to)
{
    const hl_plan *const plan = to->report->plan;
    heading(to, "Plan");
    wrapped(to, "  for", 14,
            to->report->config_path != NULL ? to->report->config_path : "the default domains");
    print_threads(to);
    char text[512] = "";
    hl_sentence_add_cpus(text, sizeof text, plan->empty_siblings, plan->empty_sibling_count);
    char number[16];
    snprintf(number, sizeof number, "CPU %d", plan->housekeeping_cpu);
    wrapped(to, "  housekeeping", 18, number);
    wrapped(to, "  siblings empty", 18, text);
    print_warnings(to);
}

/* As configuration: the same plan by hand, for a bus that knows no --nic. */
static void print_lcores(const text_writer *to)
{
    char *const lcores = hl_plan_lcores(to->report->plan);
    if (lcores != NULL)
        fprintf(to->stream, "  as lcores     %s\n", lcores);
    free(lcores);
}

/* ---- the checks ----------------------------------------------------------------------------- */

static text_colour colour_of_status(hl_check_status status)
{
    static const text_colour colours[] = {GREEN, YELLOW, RED, BLUE, DIM};
    return colours[status];
}

static bool is_shown(const text_writer *to, const hl_finding *finding)
{
    const hl_check_status status = finding->status;
    if (to->options->all)
        return true;
    if (status == HL_CHECK_NOT_APPLICABLE)
        return false;
    if (!to->report->has_host && finding->check->needs_host)
        return false; /* one line for all of them, below */
    return !to->options->only_checks || status != HL_CHECK_OK;
}

static void print_finding(const text_writer *to, const hl_finding *finding)
{
    const hl_check *const check = finding->check;
    char text[512] = "";
    hl_sentence_add(text, sizeof text, "%s: %s", check->item, finding->value);
    fprintf(to->stream, "  %s%-8s%s", begin(to, colour_of_status(finding->status)),
            hl_check_status_name(finding->status), end(to));
    words_from(to, 10, text);
    if (finding->status != HL_CHECK_WARN && finding->status != HL_CHECK_FAIL)
        return;
    wrapped(to, "          wanted", 18, finding->wanted);
    wrapped(to, "          why", 18, check->why);
    if (finding->mend[0] != '\0')
        wrapped(to, "          mend", 18, finding->mend);
}

static void print_checks(const text_writer *to)
{
    const topology_report *const report = to->report;
    const char *group = "";
    for (uint32_t i = 0; i < report->finding_count; i++) {
        const hl_finding *const finding = &report->findings[i];
        if (!is_shown(to, finding))
            continue;
        if (strcmp(group, finding->group) != 0) {
            char title[64];
            snprintf(title, sizeof title, "Checks: %s", finding->group);
            heading(to, title);
            group = finding->group;
        }
        print_finding(to, finding);
    }
    if (!report->has_host)
        fputs("\n  Most checks need /proc and /sys of the machine: --root reads captured ones.\n",
              to->stream);
    fprintf(to->stream, "\n%sChecks%s  ", begin(to, BOLD), end(to));
    for (hl_check_status status = HL_CHECK_OK; status <= HL_CHECK_NOT_APPLICABLE; status++)
        fprintf(to->stream, "%s%s%u %s%s", status == HL_CHECK_OK ? "" : ", ",
                begin(to, colour_of_status(status)), topology_report_count(report, status),
                hl_check_status_name(status), end(to));
    putc('\n', to->stream);
}

/* ---- the measures --------------------------------------------------------------------------- */

static void print_gaps(const text_writer *to)
{
    const topology_measures *const m = to->report->measures;
    fprintf(to->stream,
            "  %sgaps of a busy loop%s\n"
            "   CPU  seconds   > 1 us  > 10 us > 100 us   > 1 ms  p99 ns p99.9 ns   max us\n",
            begin(to, DIM), end(to));
    for (uint32_t i = 0; i < m->cpu_count; i++) {
        const topology_gaps *const gaps = &m->gaps[i];
        fprintf(to->stream,
                "  %4u %8.2f %8" PRIu64 " %8" PRIu64 " %8" PRIu64 " %8" PRIu64 " %7" PRIu64
                " %8" PRIu64 " %8.1f\n",
                gaps->cpu, gaps->seconds, gaps->over[0], gaps->over[1], gaps->over[2],
                gaps->over[3], gaps->p99_ns, gaps->p999_ns, (double)gaps->max_ns / 1e3);
    }
}

/* As wide as it comes, up to the columns of a terminal; the whole is in JSON and the picture. */
static void print_hops(const text_writer *to)
{
    const topology_measures *const m = to->report->measures;
    const uint32_t shown = m->cpu_count < 14 ? m->cpu_count : 14;
    if (shown < 2)
        return;
    fprintf(to->stream, "  %sone way of a cache line between CPUs, ns%s\n      ", begin(to, DIM),
            end(to));
    for (uint32_t i = 0; i < shown; i++)
        fprintf(to->stream, " %4u", m->cpus[i]);
    putc('\n', to->stream);
    for (uint32_t row = 0; row < m->cpu_count && row < shown; row++) {
        fprintf(to->stream, "  %4u", m->cpus[row]);
        for (uint32_t i = 0; i < shown; i++) {
            if (row == i)
                fprintf(to->stream, "    -");
            else
                fprintf(to->stream, " %4.0f", m->hops_ns[row * m->cpu_count + i]);
        }
        putc('\n', to->stream);
    }
    if (shown < m->cpu_count)
        fprintf(to->stream, "  (%u of %u CPUs; all are in --json and --svg)\n", shown,
                m->cpu_count);
}

static void print_measures(const text_writer *to)
{
    const topology_measures *const m = to->report->measures;
    heading(to, "Measures");
    print_gaps(to);
    print_hops(to);
    fprintf(to->stream, "  a look at the clock: TSC %.1f ns, clock_gettime %.1f ns\n", m->tsc_ns,
            m->clock_ns);
    if (m->sync_count > 0)
        fprintf(to->stream,
                "  4 KiB and fdatasync in %s: p50 %.1f us, p99 %.1f us, max %.1f us (%" PRIu64
                " times)\n",
                m->folder, (double)m->sync_p50_ns / 1e3, (double)m->sync_p99_ns / 1e3,
                (double)m->sync_max_ns / 1e3, m->sync_count);
    if (m->note[0] != '\0')
        wrapped(to, "  not measured", 16, m->note);
}

void topology_text(const topology_report *report, const topology_text_options *options,
                   FILE *stream)
{
    const text_writer to = {report, options, stream};
    if (!options->only_checks) {
        fprintf(stream, "%shotlane topology%s\n", begin(&to, BOLD), end(&to));
        print_machine(&to);
        print_plan(&to);
        print_lcores(&to);
    } else if (report->plan->warning_count > 0) {
        heading(&to, "Plan");
        print_warnings(&to);
    }
    print_checks(&to);
    if (report->measures != NULL)
        print_measures(&to);
}
