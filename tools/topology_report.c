#include "topology_report.h"

#include "affinity/sentence.h"

uint32_t topology_report_count(const topology_report *report, hl_check_status status)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < report->finding_count; i++)
        count += report->findings[i].status == status;
    return count;
}

void topology_report_size(uint64_t bytes, char ret_text[32])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double size = (double)bytes;
    size_t unit = 0;
    for (; size >= 1024.0 && unit + 1 < sizeof units / sizeof units[0]; unit++)
        size /= 1024.0;
    const bool whole = size >= 100.0 || size - (double)(uint64_t)size < 0.05;
    snprintf(ret_text, 32, whole ? "%.0f %s" : "%.1f %s", size, units[unit]);
}

void topology_report_threads_on(const topology_report *report, uint32_t core, int cpu, char *text,
                                size_t size)
{
    for (uint32_t i = 0; i < report->plan->thread_count; i++) {
        const hl_plan_thread *const thread = &report->plan->threads[i];
        if (thread->core == core && (cpu < 0 || thread->cpu == cpu))
            hl_sentence_add_item(text, size, thread->name);
    }
}
