#include "affinity/pin.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

#include "base/error.h"

/* Above any CPU that Linux can number (NR_CPUS is at most 8,192); bounds the mask's memory. */
#define CPU_LIMIT 65536u

static hl_status set_mask(uint32_t cpu, hl_error *error)
{
    cpu_set_t *const mask = CPU_ALLOC(cpu + 1);
    if (mask == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "pin: no memory for a mask up to CPU %u", cpu);
    const size_t size = CPU_ALLOC_SIZE(cpu + 1);
    CPU_ZERO_S(size, mask);
    CPU_SET_S(cpu, size, mask);
    const int result = sched_setaffinity(0, size, mask);
    const int reason = errno;
    CPU_FREE(mask);
    if (result == 0)
        return HL_OK;
    if (reason == EINVAL)
        return hl_error_set(error, HL_INVALID,
                            "pin: CPU %u is not online, or the cpuset of this process leaves it "
                            "out; pin to a CPU of hl_topology_load",
                            cpu);
    return hl_error_set(error, HL_SYSTEM, "pin: the kernel refuses CPU %u: %s", cpu,
                        strerror(reason));
}

hl_status hl_pin_self(uint32_t cpu, hl_error *error)
{
    if (cpu >= CPU_LIMIT)
        return hl_error_set(error, HL_INVALID, "pin: CPU %u is not below %u", cpu, CPU_LIMIT);
    const hl_status status = set_mask(cpu, error);
    if (status != HL_OK)
        return status;
    const int seen = hl_thread_cpu();
    if (seen != (int)cpu)
        return hl_error_set(error, HL_SYSTEM, "pin: pinned to CPU %u, but running on CPU %d", cpu,
                            seen);
    return HL_OK;
}

int hl_thread_cpu(void)
{
    return sched_getcpu();
}
