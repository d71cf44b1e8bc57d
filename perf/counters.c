#include "counters.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef struct counter_kind {
    const char *name;
    uint32_t type;
    uint64_t config;
} counter_kind;

static const counter_kind kinds[PERF_COUNTERS] = {
    [PERF_COUNTER_CYCLES] = {"cycles", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES},
    [PERF_COUNTER_INSTRUCTIONS] = {"instructions", PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS},
    [PERF_COUNTER_CACHE_MISSES] = {"cache misses", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CACHE_MISSES},
    [PERF_COUNTER_CONTEXT_SWITCHES] = {"context switches", PERF_TYPE_SOFTWARE,
                                       PERF_COUNT_SW_CONTEXT_SWITCHES},
};

/* perf_event_open(2); this thread and, when they end, those that came of it. */
static int open_counter(const counter_kind *kind)
{
    struct perf_event_attr attributes;
    memset(&attributes, 0, sizeof attributes);
    attributes.size = sizeof attributes;
    attributes.type = kind->type;
    attributes.config = kind->config;
    attributes.disabled = 1;
    attributes.inherit = 1;
    /* What the hot path does is in user space; a kernel that lets nobody count its own work lets
     * this be counted. A switch happens in the kernel. */
    attributes.exclude_kernel = kind->type == PERF_TYPE_HARDWARE;
    attributes.exclude_hv = 1;
    return (int)syscall(SYS_perf_event_open, &attributes, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

void perf_counters_open(perf_counters *ret_counters)
{
    ret_counters->reason[0] = '\0';
    for (uint32_t i = 0; i < PERF_COUNTERS; i++) {
        ret_counters->files[i] = open_counter(&kinds[i]);
        if (ret_counters->files[i] < 0 && ret_counters->reason[0] == '\0')
            snprintf(ret_counters->reason, sizeof ret_counters->reason, "%s: %s", kinds[i].name,
                     errno == ENOENT || errno == EOPNOTSUPP || errno == ENODEV
                         ? "this machine has no such counter"
                         : strerror(errno));
    }
}

void perf_counters_close(perf_counters *counters)
{
    for (uint32_t i = 0; i < PERF_COUNTERS; i++) {
        if (counters->files[i] >= 0)
            close(counters->files[i]);
        counters->files[i] = -1;
    }
}

static bool read_counter(int file, uint64_t *ret_count)
{
    return read(file, ret_count, sizeof *ret_count) == (ssize_t)sizeof *ret_count;
}

void perf_counters_begin(perf_counters *counters)
{
    for (uint32_t i = 0; i < PERF_COUNTERS; i++) {
        counters->before[i] = 0;
        if (counters->files[i] < 0)
            continue;
        read_counter(counters->files[i], &counters->before[i]);
        ioctl(counters->files[i], PERF_EVENT_IOC_ENABLE, 0);
    }
}

void perf_counters_end(const perf_counters *counters, double ret_counts[PERF_COUNTERS])
{
    for (uint32_t i = 0; i < PERF_COUNTERS; i++) {
        uint64_t count;
        ret_counts[i] = NAN;
        if (counters->files[i] < 0)
            continue;
        ioctl(counters->files[i], PERF_EVENT_IOC_DISABLE, 0);
        if (read_counter(counters->files[i], &count))
            ret_counts[i] = (double)(count - counters->before[i]);
    }
}
