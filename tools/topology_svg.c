/*
 * The report as a picture: the machine as nested boxes in the manner of lstopo, the plan laid over
 * it, and below it who is where and why, and, when measured, the way between cores as a heat map.
 *
 * SVG 1.1 with nothing that converters treat differently: no style sheet, no script, text placed by
 * its own coordinates. Widths of text are estimated for DejaVu Sans, the widest of the usual fonts,
 * so that text cut to fit there fits elsewhere.
 */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "affinity/sentence.h"
#include "topology_layout.h"
#include "topology_report.h"

#define MARGIN       24.0
#define MIN_WIDTH    980.0
#define INK          "#0f172a"
#define SOFT_INK     "#64748b"
#define LINE         "#cbd5e1"
#define LISTED_MAX   48u
#define WARNINGS_MAX 12u

typedef struct canvas {
    const topology_report *report;
    topology_layout layout;
    FILE *stream;
    double width, y; /* how wide the picture is, and where the next thing below goes */
} canvas;

/* ---- drawing -------------------------------------------------------------------------------- */

static void put_escaped(FILE *stream, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '&')
            fputs("&amp;", stream);
        else if (*text == '<')
            fputs("&lt;", stream);
        else if (*text == '>')
            fputs("&gt;", stream);
        else if (*text == '"')
            fputs("&quot;", stream);
        else if ((unsigned char)*text >= 32)
            putc(*text, stream);
    }
}

typedef struct text_style {
    double size; /* px */
    const char *colour;
    bool bold;
    char anchor; /* 's'tart, 'm'iddle, 'e'nd */
} text_style;

/* Of DejaVu Sans, in classes; a little more than the truth. Parts of UTF-8 characters count once.
 */
static double text_width(const char *text, const text_style *style)
{
    double width = 0.0;
    for (; *text != '\0'; text++) {
        if (((unsigned char)*text & 0xC0) == 0x80)
            continue;
        width += strchr("ijl.,:;'|! ", *text) != NULL ? 0.36
                 : strchr("ftr()/-", *text) != NULL   ? 0.45
                 : strchr("mwMW@%", *text) != NULL    ? 0.98
                 : *text >= 'A' && *text <= 'Z'       ? 0.74
                                                      : 0.64;
    }
    return width * style->size * (style->bold ? 1.1 : 1.0);
}

/* Text with its baseline at y, cut to `room` px; the whole of it shows when pointed at. */
static void put_text(const canvas *to, double x, double y, double room, const text_style *style,
                     const char *text)
{
    char shown[512];
    snprintf(shown, sizeof shown, "%s", text);
    bool cut = false;
    for (size_t length = strlen(shown); length > 0 && text_width(shown, style) > room;) {
        cut = true;
        do
            length--;
        while (length > 0 && ((unsigned char)shown[length] & 0xC0) == 0x80);
        if (length + 4 < sizeof shown)
            memcpy(shown + length, "\xE2\x80\xA6", 4); /* an ellipsis */
    }
    const char *const anchor = style->anchor == 'm'   ? " text-anchor=\"middle\""
                               : style->anchor == 'e' ? " text-anchor=\"end\""
                                                      : "";
    fprintf(to->stream, "<text x=\"%.1f\" y=\"%.1f\" font-size=\"%.1f\" fill=\"%s\"%s%s>", x, y,
            style->size, style->colour, style->bold ? " font-weight=\"bold\"" : "", anchor);
    if (cut) {
        fputs("<title>", to->stream);
        put_escaped(to->stream, text);
        fputs("</title>", to->stream);
    }
    put_escaped(to->stream, shown);
    fputs("</text>\n", to->stream);
}

static void put_rectangle(const canvas *to, double x, double y, double width, double height,
                          double radius, const char *fill, const char *stroke, const char *more)
{
    fprintf(to->stream,
            "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"%.1f\" fill=\"%s\" "
            "stroke=\"%s\"%s/>\n",
            x, y, width, height, radius, fill, stroke, more);
}

static void put_cross(const canvas *to, double x, double y, double width, double height)
{
    fprintf(to->stream,
            "<path d=\"M%.1f %.1fl%.1f %.1fm0 %.1fl%.1f %.1f\" stroke=\"#94a3b8\" "
            "stroke-width=\"1.2\" fill=\"none\"/>\n",
            x, y, width, height, -height, -width, height);
}

/* ---- colours -------------------------------------------------------------------------------- */

/* Domains take them in their order; each carries white text. */
static const char *const palette[] = {"#2563eb", "#7c3aed", "#dc2626", "#c2410c", "#047857",
                                      "#0e7490", "#be185d", "#4d7c0f", "#4338ca", "#92400e"};
#define PALETTE (sizeof palette / sizeof palette[0])

static const char *colour_of(const topology_report *report, const hl_plan_thread *thread)
{
    if (thread->role == HL_ROLE_HOUSEKEEPER)
        return "#64748b";
    if (thread->role == HL_ROLE_PUBLISHER)
        return "#0369a1";
    if (thread->role == HL_ROLE_JOURNAL)
        return "#854d0e";
    if (thread->role == HL_ROLE_WORKER)
        return "#3f6212";
    size_t domain = 0;
    for (uint32_t i = 0; i < report->plan->thread_count; i++) {
        const hl_plan_thread *const other = &report->plan->threads[i];
        if (strcmp(other->domain, thread->domain) == 0)
            break;
        /* Counts each domain before it once, at its first thread. */
        bool first = other->role == HL_ROLE_PARTITION;
        for (uint32_t j = 0; j < i && first; j++)
            first = strcmp(report->plan->threads[j].domain, other->domain) != 0;
        domain += first;
    }
    return palette[domain % PALETTE];
}

/* ---- CPUs and cores ------------------------------------------------------------------------- */

typedef enum cpu_state { FREE, TAKEN, EMPTY_SIBLING, HOUSEKEEPING, NOT_OURS } cpu_state;

static cpu_state state_of(const topology_report *report, const hl_cpu *cpu,
                          const hl_plan_thread **ret_thread, uint32_t *ret_threads)
{
    const hl_plan *const plan = report->plan;
    *ret_threads = 0;
    for (uint32_t i = 0; i < plan->thread_count; i++)
        if (plan->threads[i].cpu == (int)cpu->os_index && (*ret_threads)++ == 0)
            *ret_thread = &plan->threads[i];
    if (!cpu->allowed)
        return NOT_OURS;
    if (*ret_threads > 0)
        return TAKEN;
    if (plan->housekeeping_cpu == (int)cpu->os_index)
        return HOUSEKEEPING;
    for (uint32_t i = 0; i < plan->empty_sibling_count; i++)
        if (plan->empty_siblings[i] == cpu->os_index)
            return EMPTY_SIBLING;
    return FREE;
}

/* A name that is a little too long is set a little smaller before it is cut. */
static void put_name(const canvas *to, double x, double y, double room, const text_style *style,
                     const char *name)
{
    text_style smaller = *style;
    const double width = text_width(name, style);
    if (width > room)
        smaller.size *= fmax(0.8, room / width);
    put_text(to, x, y, room + 0.1, &smaller, name);
}

static void put_names(const canvas *to, double x, double y, double room, const text_style *style,
                      const hl_cpu *cpu, uint32_t threads)
{
    char names[512] = "", shown[512];
    topology_report_threads_on(to->report, cpu->core, (int)cpu->os_index, names, sizeof names);
    if (threads > 1 && text_width(names, style) > room)
        snprintf(shown, sizeof shown, "%u threads", threads);
    else
        snprintf(shown, sizeof shown, "%s", names);
    put_name(to, x, y, room, style, shown);
}

/* Who shares a CPU: a stripe each, in its colour. */
static void put_stripes(const canvas *to, const hl_cpu *cpu, uint32_t threads, double x, double y,
                        double width)
{
    const hl_plan *const plan = to->report->plan;
    const double each = width / threads;
    for (uint32_t i = 0; i < plan->thread_count; i++) {
        if (plan->threads[i].cpu != (int)cpu->os_index)
            continue;
        put_rectangle(to, x, y, each, 3.0, 0.0, colour_of(to->report, &plan->threads[i]), "none",
                      "");
        x += each;
    }
}

static void put_cpu(const canvas *to, const hl_cpu *cpu, double x, double y, double width)
{
    const hl_plan_thread *thread = NULL;
    uint32_t threads;
    const cpu_state state = state_of(to->report, cpu, &thread, &threads);
    const double height = to->layout.cpu_height - 2.0, font = to->layout.font;
    static const char *const fills[] = {"#ffffff", "", "url(#hatch)", "#64748b", "#f1f5f9"};
    const char *const fill = state != TAKEN ? fills[state]
                             : threads > 1  ? "#334155"
                                            : colour_of(to->report, thread);
    fputs("<g>", to->stream);
    if (state == TAKEN) {
        fputs("<title>", to->stream);
        put_escaped(to->stream, thread->name);
        fputs(": ", to->stream);
        put_escaped(to->stream, thread->why);
        fputs("</title>", to->stream);
    }
    put_rectangle(to, x, y, width, height, 3.0, fill, state == TAKEN ? fill : LINE, "");
    if (state == NOT_OURS)
        put_cross(to, x, y, width, height);
    if (threads > 1)
        put_stripes(to, cpu, threads, x + 4.0, y + height - 4.0, width - 8.0);
    char number[16];
    snprintf(number, sizeof number, "%u", cpu->os_index);
    const double baseline = y + height / 2.0 + font * 0.36 - (threads > 1 ? 1.5 : 0.0);
    const bool dark = state == TAKEN || state == HOUSEKEEPING;
    const text_style small = {font - 2.0, dark ? "#e2e8f0" : SOFT_INK, false, 's'};
    const double number_room = fmax(2.0, (double)strlen(number)) * 0.66 * (font - 2.0) + 4.0;
    if (state == EMPTY_SIBLING || state == NOT_OURS) /* so that the lines do not strike it out */
        put_rectangle(to, x + 2.0, y + 2.0, text_width(number, &small) + 4.0, height - 4.0, 2.0,
                      "#ffffff", "none", "");
    put_text(to, x + 4.0, baseline - 0.4, number_room, &small, number);
    const text_style name = {font, "#ffffff", true, 's'};
    if (state == TAKEN)
        put_names(to, x + 4.0 + number_room, baseline, width - number_room - 6.0, &name, cpu,
                  threads);
    else if (state == HOUSEKEEPING)
        put_name(to, x + 4.0 + number_room, baseline, width - number_room - 6.0, &name,
                 "housekeeping");
    fputs("</g>\n", to->stream);
}

static bool core_is_fast(const canvas *to, const hl_cpu *cpu)
{
    return cpu->efficiency_class + 1 == to->report->topology->efficiency_classes;
}

/* What is special about a core: its kind where there are several, isolated, takes interrupts. */
static void core_tags(const canvas *to, const topology_box *box, char *text, size_t size)
{
    const hl_topology *const t = to->report->topology;
    const hl_cpu *const cpu = &t->cpus[box->first_cpu];
    bool interrupts = false;
    for (uint32_t i = 0; i < box->cpu_count; i++)
        interrupts |= cpu[i].takes_interrupts;
    if (t->efficiency_classes > 1)
        hl_sentence_add(text, size, "%s", core_is_fast(to, cpu) ? "P" : "E");
    if (cpu->isolated)
        hl_sentence_add(text, size, "%sisolated", text[0] == '\0' ? "" : " ");
    if (interrupts)
        hl_sentence_add(text, size, "%sIRQ", text[0] == '\0' ? "" : " ");
}

static void put_core(const canvas *to, const topology_box *box)
{
    const hl_cpu *const cpu = &to->report->topology->cpus[box->first_cpu];
    const bool slow = !core_is_fast(to, cpu);
    put_rectangle(to, box->x, box->y, box->width, box->height, 5.0, slow ? "#fefce8" : "#ffffff",
                  slow ? "#ca8a04" : "#94a3b8", slow ? " stroke-dasharray=\"4 2\"" : "");
    char label[32], tags[64] = "";
    snprintf(label, sizeof label, "core %u", cpu->core);
    core_tags(to, box, tags, sizeof tags);
    const double size = to->layout.font - 2.5;
    const double baseline = box->y + to->layout.core_heading - 4.0;
    const text_style left = {size, SOFT_INK, false, 's'}, right = {size, "#a16207", true, 'e'};
    const double label_width = text_width(label, &left);
    put_text(to, box->x + 5.0, baseline, label_width + 1.0, &left, label);
    if (tags[0] != '\0')
        put_text(to, box->x + box->width - 5.0, baseline, box->width - label_width - 14.0, &right,
                 tags);
    for (uint32_t i = 0; i < box->cpu_count; i++)
        put_cpu(to, cpu + i, box->x + 4.0,
                box->y + to->layout.core_heading + i * to->layout.cpu_height, box->width - 8.0);
}

/* ---- the boxes around them ------------------------------------------------------------------ */

static const hl_numa_node *node_of(const hl_topology *topology, uint32_t os_index)
{
    for (uint32_t i = 0; i < topology->node_count; i++)
        if (topology->nodes[i].os_index == os_index)
            return &topology->nodes[i];
    return NULL;
}

/* Without the one that is named, which stands out by itself. */
static void list_devices(const topology_report *report, int node, char *text, size_t size)
{
    const hl_topology *const topology = report->topology;
    for (uint32_t i = 0; i < topology->device_count; i++)
        if (topology->devices[i].numa_node == node &&
            (report->nic == NULL || strcmp(topology->devices[i].name, report->nic) != 0))
            hl_sentence_add_item(text, size, topology->devices[i].name);
}

/* Of the largest cache of a level: hybrid machines have several kinds only below it. */
static void cache_size(const hl_topology *topology, uint32_t level, char ret_text[32])
{
    ret_text[0] = '\0';
    for (uint32_t i = 0; i < topology->cache_count; i++)
        if (topology->caches[i].level == level && topology->caches[i].size_bytes > 0) {
            topology_report_size(topology->caches[i].size_bytes, ret_text);
            return;
        }
}

static void box_label(const hl_topology *topology, const topology_box *box, char *text, size_t size)
{
    const hl_cpu *const cpu = &topology->cpus[box->first_cpu];
    char amount[32];
    if (box->level == TOPOLOGY_BOX_PACKAGE) {
        hl_sentence_add(text, size, "Package %u", cpu->package);
    } else if (box->level == TOPOLOGY_BOX_DIE) {
        hl_sentence_add(text, size, "Die %u", cpu->die);
    } else if (box->level == TOPOLOGY_BOX_L3) {
        cache_size(topology, 3, amount);
        hl_sentence_add(text, size, "L3 %u%s%s", cpu->l3, amount[0] != '\0' ? ", " : "", amount);
    } else if (box->level == TOPOLOGY_BOX_NODE) {
        const hl_numa_node *const node = node_of(topology, cpu->numa_node);
        hl_sentence_add(text, size, "NUMA node %u", cpu->numa_node);
        if (node != NULL && node->memory_bytes > 0) {
            topology_report_size(node->memory_bytes, amount);
            hl_sentence_add(text, size, ", %s", amount);
        }
    }
}

static void put_node_devices(const canvas *to, const topology_box *box)
{
    const hl_topology *const t = to->report->topology;
    const int node = (int)t->cpus[box->first_cpu].numa_node;
    char devices[512] = "";
    list_devices(to->report, node, devices, sizeof devices);
    const hl_device *const nic =
        to->report->nic != NULL ? hl_topology_device(t, to->report->nic) : NULL;
    double x = box->x + 10.0;
    if (nic != NULL && nic->numa_node == node) {
        const text_style chip = {10.0, "#ffffff", true, 's'};
        const double width = text_width(nic->name, &chip) + 12.0;
        put_rectangle(to, x, box->y + 22.0, width, 15.0, 7.5, "#0369a1", "none", "");
        put_text(to, x + 6.0, box->y + 33.0, width, &chip, nic->name);
        x += width + 6.0;
    }
    const text_style style = {10.0, SOFT_INK, false, 's'};
    if (devices[0] != '\0')
        put_text(to, x, box->y + 33.0, box->x + box->width - 10.0 - x, &style, devices);
}

static void put_box(const canvas *to, uint32_t which)
{
    static const char *const fills[] = {"", "#f8fafc", "#f1f5f9", "#eef2ff", "#f8fafc", ""};
    static const char *const strokes[] = {"", "#64748b", "#94a3b8", "#a5b4fc", LINE, ""};
    static const double sizes[] = {0.0, 14.0, 12.0, 12.0, 11.0, 0.0};
    const topology_box *const box = &to->layout.boxes[which];
    if (box->level == TOPOLOGY_BOX_CORE) {
        put_core(to, box);
        return;
    }
    if (box->level != TOPOLOGY_BOX_MACHINE) {
        char label[96] = "";
        box_label(to->report->topology, box, label, sizeof label);
        const text_style style = {sizes[box->level], INK, box->level == TOPOLOGY_BOX_PACKAGE, 's'};
        put_rectangle(to, box->x, box->y, box->width, box->height, 7.0, fills[box->level],
                      strokes[box->level], "");
        put_text(to, box->x + 10.0, box->y + sizes[box->level] + 7.0, box->width - 16.0, &style,
                 label);
        if (box->level == TOPOLOGY_BOX_NODE)
            put_node_devices(to, box);
    }
    for (uint32_t i = 0; i < box->child_count; i++)
        put_box(to, box->first_child + i);
}

/* ---- heading -------------------------------------------------------------------------------- */

static void put_badges(const canvas *to)
{
    static const char *const colours[] = {"#047857", "#b45309", "#b91c1c", "#475569"};
    double x = to->width - MARGIN;
    for (int status = HL_CHECK_UNKNOWN; status >= HL_CHECK_OK; status--) {
        const uint32_t count = topology_report_count(to->report, (hl_check_status)status);
        char text[32];
        snprintf(text, sizeof text, "%u %s", count, hl_check_status_name((hl_check_status)status));
        const text_style style = {11.0, "#ffffff", true, 'm'};
        const double width = text_width(text, &style) + 14.0;
        x -= width;
        put_rectangle(to, x, 22.0, width, 20.0, 10.0, count > 0 ? colours[status] : "#94a3b8",
                      "none", "");
        put_text(to, x + width / 2.0, 36.0, width, &style, text);
        x -= 6.0;
    }
    const text_style label = {11.0, SOFT_INK, false, 'e'};
    put_text(to, x - 2.0, 36.0, 60.0, &label, "checks");
}

static void put_heading(canvas *to)
{
    const hl_topology *const t = to->report->topology;
    const text_style title = {20.0, INK, true, 's'}, line = {12.0, SOFT_INK, false, 's'};
    char text[512] = "", size[32];
    put_text(to, MARGIN, 40.0, to->width - 480.0, &title, "hotlane: threads and cores");
    put_badges(to);
    snprintf(text, sizeof text, "%s%s%s", to->report->source, t->model[0] != '\0' ? ": " : "",
             t->model);
    put_text(to, MARGIN, 62.0, to->width - 2 * MARGIN, &line, text);
    snprintf(text, sizeof text,
             "%u package%s, %u NUMA node%s, %u L3, %u cores, %u CPUs, %u of them ours", t->packages,
             t->packages == 1 ? "" : "s", t->numa_nodes, t->numa_nodes == 1 ? "" : "s",
             t->l3_known ? t->l3_groups : 0, t->cores, t->cpu_count, t->allowed);
    uint64_t memory = 0;
    for (uint32_t i = 0; i < t->node_count; i++)
        memory += t->nodes[i].memory_bytes;
    if (memory > 0) {
        topology_report_size(memory, size);
        hl_sentence_add(text, sizeof text, ", %s", size);
    }
    put_text(to, MARGIN, 80.0, to->width - 2 * MARGIN, &line, text);
    to->y = 92.0;
}

/* ---- below the machine ---------------------------------------------------------------------- */

static void put_key(canvas *to)
{
    static const struct {
        const char *fill, *label;
        bool crossed, dashed;
    } keys[] = {{"url(#hatch)", "sibling left empty", false, false},
                {"#64748b", "housekeeping", false, false},
                {"#ffffff", "free", false, false},
                {"#f1f5f9", "not ours", true, false},
                {"#fefce8", "slow (E) core", false, true}};
    double x = MARGIN;
    const text_style style = {11.0, INK, false, 's'};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (keys[i].dashed && to->report->topology->efficiency_classes < 2)
            continue;
        put_rectangle(to, x, to->y, 26.0, 15.0, 3.0, keys[i].fill,
                      keys[i].dashed ? "#ca8a04" : LINE,
                      keys[i].dashed ? " stroke-dasharray=\"4 2\"" : "");
        if (keys[i].crossed)
            put_cross(to, x, to->y, 26.0, 15.0);
        put_text(to, x + 32.0, to->y + 12.0, 200.0, &style, keys[i].label);
        x += 32.0 + text_width(keys[i].label, &style) + 22.0;
    }
    to->y += 34.0;
}

/* Writes a sentence in as many lines as it needs. */
static void put_paragraph(canvas *to, double x, double room, const text_style *style,
                          const char *text)
{
    char line[512] = "";
    for (const char *word = text; *(word += strspn(word, " ")) != '\0';) {
        const int length = (int)strcspn(word, " ");
        char longer[512];
        snprintf(longer, sizeof longer, "%s%s%.*s", line, line[0] == '\0' ? "" : " ", length, word);
        if (line[0] != '\0' && text_width(longer, style) > room) {
            put_text(to, x, to->y, room, style, line);
            to->y += 17.0;
            snprintf(line, sizeof line, "%.*s", length, word);
        } else {
            memcpy(line, longer, sizeof line);
        }
        word += length;
    }
    put_text(to, x, to->y, room, style, line);
    to->y += 20.0;
}

/* Where the columns of the list begin. */
enum { NAME_AT = 20, CPU_AT = 190, CORE_AT = 240, NODE_AT = 292, WAIT_AT = 318, WHY_AT = 384 };

static void put_list_line(canvas *to, const hl_plan_thread *thread)
{
    const text_style name = {12.0, INK, true, 's'}, number = {12.0, INK, false, 'e'};
    const text_style wait = {12.0, INK, false, 's'}, why = {11.0, SOFT_INK, false, 's'};
    const double y = to->y;
    char text[32];
    put_rectangle(to, MARGIN, y - 10.0, 13.0, 13.0, 3.0, colour_of(to->report, thread), "none", "");
    put_text(to, MARGIN + NAME_AT, y, CPU_AT - NAME_AT - 34.0, &name, thread->name);
    snprintf(text, sizeof text, "%d", thread->cpu);
    put_text(to, MARGIN + CPU_AT, y, 50.0, &number, text);
    snprintf(text, sizeof text, "%u", thread->core);
    put_text(to, MARGIN + CORE_AT, y, 50.0, &number, text);
    snprintf(text, sizeof text, "%u", thread->numa_node);
    put_text(to, MARGIN + NODE_AT, y, 50.0, &number, text);
    put_text(to, MARGIN + WAIT_AT, y, 56.0, &wait, hl_wait_name(thread->wait));
    /* "core 7: " is said by the column. */
    const char *const reason = strstr(thread->why, ": ");
    put_paragraph(to, MARGIN + WHY_AT, to->width - 2 * MARGIN - WHY_AT, &why,
                  reason != NULL ? reason + 2 : thread->why);
}

static void put_list(canvas *to)
{
    const hl_plan *const plan = to->report->plan;
    const text_style head = {11.0, SOFT_INK, false, 's'}, right = {11.0, SOFT_INK, false, 'e'};
    put_text(to, MARGIN + NAME_AT, to->y, 120.0, &head, "thread");
    put_text(to, MARGIN + CPU_AT, to->y, 60.0, &right, "CPU");
    put_text(to, MARGIN + CORE_AT, to->y, 60.0, &right, "core");
    put_text(to, MARGIN + NODE_AT, to->y, 60.0, &right, "node");
    put_text(to, MARGIN + WAIT_AT, to->y, 60.0, &head, "waits");
    put_text(to, MARGIN + WHY_AT, to->y, 60.0, &head, "why");
    to->y += 20.0;
    for (uint32_t i = 0; i < plan->thread_count && i < LISTED_MAX; i++)
        put_list_line(to, &plan->threads[i]);
    if (plan->thread_count > LISTED_MAX) {
        char text[64];
        snprintf(text, sizeof text, "and %u more", plan->thread_count - LISTED_MAX);
        put_text(to, MARGIN + NAME_AT, to->y, 200.0, &head, text);
        to->y += 20.0;
    }
    to->y += 8.0;
}

static void put_warnings(canvas *to)
{
    const hl_plan *const plan = to->report->plan;
    const text_style style = {12.0, "#92400e", false, 's'};
    for (uint32_t i = 0; i < plan->warning_count && i < WARNINGS_MAX; i++) {
        fprintf(to->stream, "<path d=\"M%.1f %.1fl6 11h-12z\" fill=\"#f59e0b\"/>\n", MARGIN + 6.5,
                to->y - 10.0);
        put_paragraph(to, MARGIN + NAME_AT, to->width - 2 * MARGIN - NAME_AT, &style,
                      plan->warnings[i]);
    }
    to->y += plan->warning_count > 0 ? 8.0 : 0.0;
}

/* ---- the heat map --------------------------------------------------------------------------- */

/* From fast to slow, light to dark, so that it can be read without colours. */
static void heat_colour(double part, char ret_colour[8])
{
    static const double stops[][3] = {
        {236, 253, 245}, {125, 211, 192}, {56, 152, 180}, {72, 84, 156}, {76, 29, 89}};
    const double at = fmin(fmax(part, 0.0), 1.0) * 4.0;
    const int low = at >= 4.0 ? 3 : (int)at;
    const double share = at - low;
    unsigned colour[3];
    for (int i = 0; i < 3; i++)
        colour[i] =
            (unsigned)(stops[low][i] + share * (stops[low + 1][i] - stops[low][i]) + 0.5) & 0xFFu;
    snprintf(ret_colour, 8, "#%02x%02x%02x", colour[0], colour[1], colour[2]);
}

typedef struct heat_scale {
    double lowest, highest; /* ns */
} heat_scale;

static heat_scale scale_of(const topology_measures *m)
{
    heat_scale scale = {INFINITY, 0.0};
    for (uint32_t i = 0; i < m->cpu_count * m->cpu_count; i++)
        if (m->hops_ns[i] > 0.0) {
            scale.lowest = fmin(scale.lowest, m->hops_ns[i]);
            scale.highest = fmax(scale.highest, m->hops_ns[i]);
        }
    return scale;
}

/* By ratio: what is twice as far looks as much darker everywhere. */
static double part_of(const heat_scale *scale, double ns)
{
    return scale->highest > scale->lowest * 1.001
               ? log(ns / scale->lowest) / log(scale->highest / scale->lowest)
               : 0.0;
}

static void put_heat_cell(const canvas *to, double x, double y, double cell, double ns,
                          const heat_scale *scale)
{
    char colour[8], text[16];
    const double part = part_of(scale, ns);
    heat_colour(part, colour);
    put_rectangle(to, x, y, cell, cell, 0.0, colour, cell > 12.0 ? "#ffffff" : "none", "");
    if (cell < 26.0)
        return;
    const text_style style = {cell * 0.34, part > 0.45 ? "#ffffff" : INK, false, 'm'};
    snprintf(text, sizeof text, "%.0f", ns);
    put_text(to, x + cell / 2.0, y + cell / 2.0 + style.size * 0.36, cell * 1.2, &style, text);
}

static void put_heat_legend(canvas *to, double x, const heat_scale *scale)
{
    enum { STEPS = 40 };
    const text_style style = {11.0, INK, false, 'm'};
    for (int i = 0; i < STEPS; i++) {
        char colour[8];
        heat_colour((i + 0.5) / STEPS, colour);
        put_rectangle(to, x + i * 6.0, to->y, 6.3, 14.0, 0.0, colour, "none", "");
    }
    const int marks = scale->highest > scale->lowest * 1.001 ? 4 : 0;
    for (int i = 0; i <= marks; i++) {
        char text[24];
        const double ns = scale->lowest * pow(scale->highest / scale->lowest, i / 4.0);
        snprintf(text, sizeof text, i == marks ? "%.0f ns" : "%.0f", ns);
        put_text(to, x + i * 60.0, to->y + 28.0, 60.0, &style, text);
    }
}

static void put_heat_map(canvas *to)
{
    const topology_measures *const m = to->report->measures;
    if (m == NULL || m->cpu_count < 2)
        return;
    const heat_scale scale = scale_of(m);
    const double room = to->width - 2 * MARGIN - 40.0;
    const double cell = fmin(fmax(760.0 / m->cpu_count, 5.0), fmin(34.0, room / m->cpu_count));
    const uint32_t every = (uint32_t)ceil(22.0 / cell);
    const text_style title = {14.0, INK, true, 's'}, across = {9.5, SOFT_INK, false, 'm'};
    const text_style down = {9.5, SOFT_INK, false, 'e'};
    put_text(to, MARGIN, to->y + 6.0, room, &title,
             "Between CPUs: one way of a cache line (half of there and back), ns");
    to->y += 24.0;
    const double left = MARGIN + 34.0, top = to->y + 16.0;
    for (uint32_t i = 0; i < m->cpu_count; i++) {
        char text[16];
        snprintf(text, sizeof text, "%u", m->cpus[i]);
        if (i % every == 0) {
            put_text(to, left + (i + 0.5) * cell, top - 5.0, 40.0, &across, text);
            put_text(to, left - 5.0, top + (i + 0.5) * cell + 3.5, 40.0, &down, text);
        }
        for (uint32_t j = 0; j < m->cpu_count; j++)
            if (i != j)
                put_heat_cell(to, left + j * cell, top + i * cell, cell,
                              m->hops_ns[i * m->cpu_count + j], &scale);
    }
    to->y = top + m->cpu_count * cell + 16.0;
    put_heat_legend(to, left, &scale);
    to->y += 48.0;
}

/* ---- the whole ------------------------------------------------------------------------------ */

static void put_body(canvas *to)
{
    put_heading(to);
    put_box(to, 0);
    to->y = to->layout.boxes[0].y + to->layout.boxes[0].height + 16.0;
    put_key(to);
    put_list(to);
    put_warnings(to);
    put_heat_map(to);
}

static void put_picture(const canvas *to, const char *body)
{
    fprintf(to->stream,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" "
            "viewBox=\"0 0 %.0f %.0f\" font-family=\"DejaVu Sans, Verdana, Arial, sans-serif\">\n"
            "<title>hotlane: threads and cores</title>\n"
            "<defs><pattern id=\"hatch\" width=\"7\" height=\"7\" "
            "patternUnits=\"userSpaceOnUse\"><rect width=\"7\" height=\"7\" fill=\"#ffffff\"/>"
            "<path d=\"M-1 1l2 -2M0 7l7 -7M6 8l2 -2\" stroke=\"#94a3b8\" "
            "stroke-width=\"1.1\"/></pattern></defs>\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n%s</svg>\n",
            to->width, to->y, to->width, to->y, body);
}

bool topology_svg(const topology_report *report, FILE *stream)
{
    canvas to = {.report = report};
    if (!topology_layout_make(report->topology, MARGIN - 10.0, 92.0, &to.layout))
        return false;
    const topology_box *const machine = &to.layout.boxes[0];
    to.width = fmax(MIN_WIDTH, machine->x + machine->width + MARGIN - 10.0);
    /* The picture's height is known when all is drawn. */
    char *body = NULL;
    size_t size = 0;
    to.stream = open_memstream(&body, &size);
    bool whole = to.stream != NULL;
    if (whole) {
        put_body(&to);
        whole = fclose(to.stream) == 0;
    }
    if (whole) {
        to.stream = stream;
        put_picture(&to, body);
        whole = ferror(stream) == 0;
    }
    free(body);
    free(to.layout.boxes);
    return whole;
}
