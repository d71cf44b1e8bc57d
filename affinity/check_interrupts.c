/*
 * Checks of interrupts and of the kernel's own work: what may run on hot cores unasked.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "affinity/check_look.h"
#include "affinity/sentence.h"

/* Interrupts that a hot core may take in a second before it is worth a word: timers of the kernel
 * that no setting removes. */
#define TOLERATED_A_SECOND 10.0

/* ---- /proc/interrupts ----------------------------------------------------------------------- */

/* Columns are CPUs: "           CPU0       CPU1"; then "  33:   12   0  PCI-MSI 65536-edge  eth0"
 */
typedef struct interrupt_table {
    const char *text; /* the lines below the heading */
    uint32_t column_count;
    uint32_t *cpus; /* of each column */
} interrupt_table;

static bool open_table(const char *text, interrupt_table *ret_table)
{
    if (text == NULL)
        return false;
    const size_t heading = strcspn(text, "\n");
    uint32_t count = 0;
    uint32_t *const cpus = calloc(heading / 4 + 1, sizeof *cpus);
    if (cpus == NULL)
        return false;
    for (const char *at = text; (at = strstr(at, "CPU")) != NULL && at < text + heading; at += 3)
        cpus[count++] = (uint32_t)strtoul(at + 3, NULL, 10);
    *ret_table = (interrupt_table){text + heading + (text[heading] == '\n'), count, cpus};
    return true;
}

/* The next line: its label ("33", "LOC"), its counts (column_count of them) and what follows. */
static bool next_interrupt(interrupt_table *table, char label[32], uint64_t *counts, char name[64])
{
    const char *at = table->text;
    if (*at == '\0')
        return false;
    const char *const end = at + strcspn(at, "\n");
    table->text = end + (*end == '\n');
    at += strspn(at, " ");
    snprintf(label, 32, "%.*s", (int)strcspn(at, ":\n"), at);
    at += strcspn(at, ":\n");
    at += *at == ':';
    memset(counts, 0, table->column_count * sizeof *counts);
    for (uint32_t i = 0; i < table->column_count && at < end; i++) {
        at += strspn(at, " ");
        if (strspn(at, "0123456789") == 0)
            break;
        counts[i] = strtoull(at, (char **)(uintptr_t)&at, 10);
    }
    /* The device's name is the last word, after the controller's. */
    const char *word = end;
    while (word > at && word[-1] != ' ')
        word--;
    snprintf(name, 64, "%.*s", (int)(end - word), word);
    return true;
}

/* ---- where they may go ---------------------------------------------------------------------- */

static bool interrupt_cpus(hl_host *host, const char *number, hl_cpu_set *ret_set)
{
    if (hl_host_cpus(host, ret_set, "/proc/irq/%s/effective_affinity_list", number) &&
        hl_cpu_set_count(ret_set) > 0)
        return true;
    return hl_host_cpus(host, ret_set, "/proc/irq/%s/smp_affinity_list", number);
}

static void look_affinity(const hl_check_look *look, hl_finding *finding)
{
    if (hl_found_no_hot(look, finding))
        return;
    hl_host_outcome outcome;
    interrupt_table table;
    if (!open_table(hl_host_text(look->host, &outcome, "/proc/interrupts"), &table)) {
        hl_found_nothing(finding, outcome, "/proc/interrupts");
        return;
    }
    uint64_t *const counts = calloc(table.column_count + 1, sizeof *counts);
    char label[32], name[64], on_hot[300] = "", numbers[200] = "";
    uint32_t seen = 0, bad = 0;
    while (counts != NULL && next_interrupt(&table, label, counts, name)) {
        hl_cpu_set set;
        if (strspn(label, "0123456789") != strlen(label) ||
            !interrupt_cpus(look->host, label, &set))
            continue;
        seen++;
        set = hl_cpu_set_and(&set, &look->hot);
        if (hl_cpu_set_count(&set) == 0)
            continue;
        char where[64] = "";
        hl_cpu_set_tell(&set, where, sizeof where);
        hl_sentence_add(on_hot, sizeof on_hot, "%s%s (%s) on %s", bad == 0 ? "" : ", ", label, name,
                        where);
        hl_sentence_add(numbers, sizeof numbers, "%s%s", bad == 0 ? "" : " ", label);
        bad++;
    }
    free(counts);
    free(table.cpus);
    hl_found_mend(finding,
                  "for i in %s; do echo %s > /proc/irq/$i/smp_affinity_list; done (those "
                  "that refuse are managed: isolcpus=managed_irq)",
                  numbers, look->cold_list);
    if (seen == 0)
        hl_found(finding, HL_CHECK_UNKNOWN, "no affinity could be read below /proc/irq");
    else if (bad == 0)
        hl_found(finding, HL_CHECK_OK, "none of %u", seen);
    else
        hl_found(finding, HL_CHECK_WARN, "%u of %u: %s", bad, seen, on_hot);
}

/* ---- where they went ------------------------------------------------------------------------ */

/* Adds up, over the hot CPUs, how much each interrupt grew; tells the largest ones. */
static void count_growth(const hl_check_look *look, interrupt_table *before, interrupt_table *after,
                         double seconds, hl_finding *finding)
{
    uint64_t *const old = calloc(before->column_count + 1, sizeof *old);
    uint64_t *const new = calloc(after->column_count + 1, sizeof *new);
    char label[32], name[64], old_label[32], old_name[64], told[300] = "";
    uint64_t total = 0;
    while (old != NULL && new != NULL && next_interrupt(after, label, new, name)) {
        /* Lines keep their order; one that went away or came between the readings is passed over.
         */
        interrupt_table probe = *before;
        bool found = false;
        while (!found && next_interrupt(&probe, old_label, old, old_name))
            found = strcmp(label, old_label) == 0;
        if (!found)
            continue;
        *before = probe;
        uint64_t grown = 0;
        for (uint32_t i = 0; i < after->column_count && i < before->column_count; i++)
            if (hl_cpu_set_has(&look->hot, after->cpus[i]) && new[i] > old[i])
                grown += new[i] - old[i];
        total += grown;
        if (grown > 0)
            hl_sentence_add(
                told, sizeof told, "%s%s%s%s%s %llu", told[0] == '\0' ? "" : ", ", label,
                name[0] != '\0' && label[0] <= '9' ? " (" : "", label[0] <= '9' ? name : "",
                name[0] != '\0' && label[0] <= '9' ? ")" : "", (unsigned long long)grown);
    }
    free(old);
    free(new);
    const double rate = (double)total / seconds / (double)hl_cpu_set_count(&look->hot);
    hl_found(finding, rate > TOLERATED_A_SECOND ? HL_CHECK_WARN : HL_CHECK_OK,
             "%llu in %.1f s, %.1f a second and CPU%s%s", (unsigned long long)total, seconds, rate,
             told[0] != '\0' ? ": " : "", told);
}

static void look_counts(const hl_check_look *look, hl_finding *finding)
{
    if (hl_found_no_hot(look, finding))
        return;
    const uint32_t interval_ms = hl_check_interval_ms(look);
    interrupt_table before, after;
    if (interval_ms == 0) {
        hl_found(finding, HL_CHECK_UNKNOWN,
                 "not counted (--interval 0, or a capture without a "
                 "second reading)");
        return;
    }
    if (!open_table(hl_host_text(look->host, NULL, "/proc/interrupts"), &before)) {
        hl_found_nothing(finding, HL_HOST_ABSENT, "/proc/interrupts");
        return;
    }
    if (open_table(hl_host_text_later(look->host, "/proc/interrupts"), &after)) {
        count_growth(look, &before, &after, interval_ms / 1e3, finding);
        free(after.cpus);
    } else {
        hl_found_nothing(finding, HL_HOST_ABSENT, "second reading of /proc/interrupts");
    }
    free(before.cpus);
}

/* ---- masks ---------------------------------------------------------------------------------- */

/* OK when the mask in a file leaves out the hot cores. */
static void look_mask(const hl_check_look *look, hl_finding *finding, const char *path)
{
    if (hl_found_no_hot(look, finding))
        return;
    hl_cpu_set set;
    hl_host_outcome outcome;
    const char *const text = hl_host_text(look->host, &outcome, "%s", path);
    hl_found_wanted(finding, "without %s", look->hot_list);
    if (text == NULL) {
        hl_found_nothing(finding, outcome, path);
        return;
    }
    if (!hl_cpu_set_parse_mask(text, &set)) {
        hl_found(finding, HL_CHECK_UNKNOWN, "%s holds no mask: \"%.40s\"", path, text);
        return;
    }
    char list[200] = "";
    hl_cpu_set_tell(&set, list, sizeof list);
    const hl_cpu_set on_hot = hl_cpu_set_and(&set, &look->hot);
    hl_found(finding, hl_cpu_set_count(&on_hot) == 0 ? HL_CHECK_OK : HL_CHECK_WARN, "%s", list);
}

/* The kernel takes masks, not lists, here: 32 bits a group, the highest first. */
static void mask_command(const hl_check_look *look, hl_finding *finding, const char *path)
{
    uint32_t highest = 0;
    for (uint32_t i = 0; i < look->topology->cpu_count; i++)
        if (look->topology->cpus[i].os_index > highest)
            highest = look->topology->cpus[i].os_index;
    char mask[300] = "";
    for (uint32_t group = highest / 32 + 1; group-- > 0;)
        hl_sentence_add(mask, sizeof mask, "%s%0*x", mask[0] == '\0' ? "" : ",",
                        mask[0] == '\0' ? 1 : 8,
                        (uint32_t)(look->cold.words[group / 2] >> (group % 2 * 32)));
    hl_found_mend(finding, "echo %s > %s", mask, path);
}

static void look_default(const hl_check_look *look, hl_finding *finding)
{
    mask_command(look, finding, "/proc/irq/default_smp_affinity");
    look_mask(look, finding, "/proc/irq/default_smp_affinity");
}

static void look_workqueues(const hl_check_look *look, hl_finding *finding)
{
    mask_command(look, finding, "/sys/devices/virtual/workqueue/cpumask");
    look_mask(look, finding, "/sys/devices/virtual/workqueue/cpumask");
}

static void look_writeback(const hl_check_look *look, hl_finding *finding)
{
    mask_command(look, finding, "/sys/bus/workqueue/devices/writeback/cpumask");
    look_mask(look, finding, "/sys/bus/workqueue/devices/writeback/cpumask");
}

/* The daemon leaves isolated and nohz_full CPUs alone by itself, and those it is told of. */
static hl_cpu_set banned_cpus(hl_host *host)
{
    hl_cpu_set banned = hl_isolated_cpus(host), more;
    if (hl_host_cpus(host, &more, "/sys/devices/system/cpu/nohz_full"))
        banned = hl_cpu_set_or(&banned, &more);
    const char *options =
        hl_host_text_kept(host, NULL, "IRQBALANCE_BANNED_", "/etc/default/irqbalance");
    if (options == NULL)
        options = hl_host_text_kept(host, NULL, "IRQBALANCE_BANNED_", "/etc/sysconfig/irqbalance");
    char line[256];
    while (hl_host_next_line(&options, line)) {
        char *const value = strchr(line, '=');
        if (value == NULL)
            continue;
        char *const bare = value + 1 + strspn(value + 1, "\"'");
        bare[strcspn(bare, "\"'")] = '\0';
        if (strncmp(line, "IRQBALANCE_BANNED_CPULIST", 25) == 0
                ? hl_cpu_set_parse_list(bare, &more)
                : hl_cpu_set_parse_mask(bare, &more))
            banned = hl_cpu_set_or(&banned, &more);
    }
    return banned;
}

static void look_irqbalance(const hl_check_look *look, hl_finding *finding)
{
    if (hl_found_no_hot(look, finding))
        return;
    hl_found_mend(finding,
                  "systemctl disable --now irqbalance, or IRQBALANCE_BANNED_CPULIST=%s in "
                  "/etc/default/irqbalance",
                  look->hot_list);
    if (hl_host_names(look->host, "/run/irqbalance") == NULL) {
        hl_found(finding, HL_CHECK_OK, "it does not run");
        return;
    }
    const hl_cpu_set banned = banned_cpus(look->host);
    const hl_cpu_set open = hl_cpu_set_less(&look->hot, &banned);
    char list[200] = "";
    hl_cpu_set_tell(&open, list, sizeof list);
    if (hl_cpu_set_count(&open) == 0)
        hl_found(finding, HL_CHECK_OK, "it runs, and leaves the hot cores alone");
    else
        hl_found(finding, HL_CHECK_WARN, "it runs, and may use hot CPUs %s", list);
}

static const hl_check checks[] = {
    {"irq-affinity", "interrupts bound to hot cores", "none",
     "Each interrupt of a device stops the hot thread for 2 to 20 us, with its softirq for longer.",
     "", "Linux Documentation/core-api/irq/irq-affinity.rst; rigtorp.se/low-latency-guide", true,
     look_affinity},
    {"irq-count", "interrupts counted on hot cores", "at most 10 a second and CPU",
     "What really arrives there, the tick (LOC) and calls between cores (CAL, TLB, RES) included.",
     "see nohz-full for LOC, irq-affinity for numbers; CAL and TLB come from other threads of a "
     "process on the core",
     "Linux /proc/interrupts; rtla osnoise", true, look_counts},
    {"irq-default", "where new interrupts go", "without the hot cores",
     "A device that comes up later gets its interrupts by this mask.", "",
     "Linux Documentation/core-api/irq/irq-affinity.rst", true, look_default},
    {"irqbalance", "irqbalance", "not running, or kept off the hot cores",
     "It moves interrupts every ten seconds, back to hot cores too.", "",
     "irqbalance(1); tuned cpu-partitioning", true, look_irqbalance},
    {"workqueues", "where kernel work runs", "without the hot cores",
     "Unbound work of the kernel runs on any CPU of this mask.", "",
     "Linux Documentation/core-api/workqueue.rst; tuned cpu-partitioning", true, look_workqueues},
    {"writeback", "where dirty pages are written", "without the hot cores",
     "Writing back dirty pages keeps a core busy for milliseconds.", "",
     "Linux kernel-per-CPU-kthreads.rst; tuned cpu-partitioning", true, look_writeback},
};

const hl_check_group hl_checks_interrupts = {"interrupts", checks,
                                             sizeof checks / sizeof checks[0]};
