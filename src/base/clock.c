#include "base/clock.h"

#include <pthread.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#define SCALE_ONE      ((uint64_t)1 << 32)
#define CALIBRATION_NS 10000000
#define SLEW_PPM_MAX   500

static uint64_t read_ns(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

#if defined(__x86_64__)
/* ns per TSC tick, 32.32; 0: the TSC is not invariant. Measured once a process, then read-only. */
static uint64_t tsc_scale;
static pthread_once_t tsc_once = PTHREAD_ONCE_INIT;

/* Intel SDM vol. 3 "Invariant TSC", AMD APM vol. 3 CPUID Fn8000_0007: EDX bit 8. */
static bool tsc_is_invariant(void)
{
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid(0x80000007u, &eax, &ebx, &ecx, &edx) != 0 && (edx & (1u << 8)) != 0;
}

/* A TSC reading and the raw clock of the same moment: the tightest of several tries. */
static void read_pair(uint64_t *ret_tsc, uint64_t *ret_ns)
{
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < 16; i++) {
        const uint64_t before = __rdtsc();
        const uint64_t ns = read_ns(CLOCK_MONOTONIC_RAW);
        const uint64_t after = __rdtsc();
        if (after - before < best) {
            best = after - before;
            *ret_tsc = before + best / 2;
            *ret_ns = ns;
        }
    }
}

static void measure_tsc(void)
{
    if (!tsc_is_invariant())
        return;
    uint64_t tsc0 = 0, ns0 = 0, tsc1 = 0, ns1 = 0;
    read_pair(&tsc0, &ns0);
    const struct timespec pause = {0, CALIBRATION_NS};
    nanosleep(&pause, NULL);
    read_pair(&tsc1, &ns1);
    if (tsc1 > tsc0)
        tsc_scale = (uint64_t)(((unsigned __int128)(ns1 - ns0) << 32) / (tsc1 - tsc0));
}
#endif

uint64_t hl_clock_now_slowly(const hl_clock *clock)
{
    if (clock->external != NULL)
        return clock->external(clock->external_context);
    for (;;) {
        /* SET: acquire, as in hl_clock_now. */
        const uint64_t index = hl_load_acquire_u64(&clock->index);
        const uint64_t count = hl_clock_count(clock);
        hl_clock_set set = hl_clock_copy_set(clock, index);
        if (count < set.base_count) /* announced, not yet begun */
            set = hl_clock_copy_set(clock, index - 1);
        /* Relaxed: ordered after the fields by their acquire. */
        if (hl_load_relaxed_u64(&clock->index) == index)
            return hl_clock_at(&set, count);
    }
}

void hl_clock_init(hl_clock *clock, uint64_t (*external)(void *context), void *context)
{
    memset(clock, 0, sizeof *clock);
    clock->external = external;
    clock->external_context = context;
    if (external != NULL)
        return;
    clock->nominal_scale = SCALE_ONE;
#if defined(__x86_64__)
    pthread_once(&tsc_once, measure_tsc);
    if (tsc_scale != 0) {
        clock->uses_tsc = true;
        clock->nominal_scale = tsc_scale;
    }
#endif
    clock->sets[0].base_count = hl_clock_count(clock);
    clock->sets[0].base_ns = read_ns(CLOCK_REALTIME);
    clock->sets[0].scale = clock->nominal_scale;
    /* The sets of the indexes before the first, too: a CPU whose counter is a little behind. */
    for (uint32_t i = 1; i < HL_CLOCK_SETS; i++)
        clock->sets[i] = clock->sets[0];
}

void hl_clock_slew(hl_clock *clock)
{
    if (clock->external != NULL)
        return;
    /* Relaxed: this thread alone writes them. */
    const uint64_t index = hl_load_relaxed_u64(&clock->index);
    const hl_clock_set *const current = &clock->sets[index % HL_CLOCK_SETS];
    const uint64_t count = hl_clock_count(clock);
    if (count < current->base_count)
        return;
    const int64_t error_ns = (int64_t)(read_ns(CLOCK_REALTIME) - hl_clock_at(current, count));
    /* Over the next second: error_ns ns in 1e9 is error_ns / 1000 ppm. */
    int64_t ppm = error_ns / 1000;
    ppm = ppm > SLEW_PPM_MAX ? SLEW_PPM_MAX : ppm < -SLEW_PPM_MAX ? -SLEW_PPM_MAX : ppm;
    const int64_t nominal = (int64_t)clock->nominal_scale;
    const uint64_t lead =
        (uint64_t)(((unsigned __int128)HL_CLOCK_LEAD_NS << 32) / clock->nominal_scale);
    const uint64_t begin = count + lead;

    hl_clock_set *const next = &clock->sets[(index + 1) % HL_CLOCK_SETS];
    /* SET: release, so that who reads a new field also sees the index that retired the set (stored
     * before it) and reads again. */
    hl_store_release_u64(&next->base_count, begin);
    /* SET: release, likewise. */
    hl_store_release_u64(&next->base_ns, hl_clock_at(current, begin));
    /* SET: release, likewise. */
    hl_store_release_u64(&next->scale, (uint64_t)(nominal + nominal / 1000000 * ppm));
    if (hl_clock_count(clock) - count > lead / 2)
        return; /* stopped on the way: too late to announce it, the next call will */
    /* SET: release, so that the set is whole for who sees this index. */
    hl_store_release_u64(&clock->index, index + 1);
}
