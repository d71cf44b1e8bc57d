/*
 * Every atomic access of the project goes through here; the name says its order.
 *
 * An ordinary build uses Concurrency Kit: ck_pr_* accesses with ck_pr_fence_* beside them, which on
 * x86 are compiler barriers only (the machine keeps loads in order, and stores in order). A
 * ThreadSanitizer build uses the compiler's __atomic builtins with the very same orders, because
 * ThreadSanitizer sees neither inline assembly nor bare fences.
 *
 *   relaxed          the word is read or written whole, nothing else is promised
 *   load_acquire     what follows in the program is not done before the load
 *   store_release    what precedes in the program is done before the store
 *   ..._acq_rel      both, for a read-modify-write; a compare-exchange that fails promises acquire
 *   fence_store_load stores before it are visible before loads after it read (park and wake only)
 *
 * An acquire that reads what a release wrote sees everything that came before that release. Each
 * use names its edge (a label in capitals, argued at the top of its header) or, where relaxed, says
 * why that suffices; tests/stress/check_labels holds the project to it.
 *
 * All operations are wait-free on x86; on machines without them compare-exchange, fetch-add and
 * exchange are lock-free. Any thread may call any of them on suitably aligned words.
 */
#ifndef HL_RING_ORDER_H
#define HL_RING_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__SANITIZE_THREAD__)
#define HL_ORDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HL_ORDER_TSAN 1
#endif
#endif

#if defined(HL_ORDER_TSAN)
#include <sanitizer/tsan_interface.h>
#endif
#include <ck_pr.h>

#if defined(HL_ORDER_TSAN)

#define HL_ORDER_DEFINE(name, type, ck)                                  \
    static inline type hl_load_relaxed_##name(type const *target)        \
    {                                                                    \
        return __atomic_load_n(target, __ATOMIC_RELAXED);                \
    }                                                                    \
    static inline type hl_load_acquire_##name(type const *target)        \
    {                                                                    \
        return __atomic_load_n(target, __ATOMIC_ACQUIRE);                \
    }                                                                    \
    static inline void hl_store_relaxed_##name(type *target, type value) \
    {                                                                    \
        __atomic_store_n(target, value, __ATOMIC_RELAXED);               \
    }                                                                    \
    static inline void hl_store_release_##name(type *target, type value) \
    {                                                                    \
        __atomic_store_n(target, value, __ATOMIC_RELEASE);               \
    }

#define HL_ORDER_DEFINE_EXCHANGE(name, type, ck)                                               \
    static inline bool hl_compare_exchange_relaxed_##name(type *target, type *expected,        \
                                                          type desired)                        \
    {                                                                                          \
        return __atomic_compare_exchange_n(target, expected, desired, false, __ATOMIC_RELAXED, \
                                           __ATOMIC_RELAXED);                                  \
    }                                                                                          \
    static inline bool hl_compare_exchange_acq_rel_##name(type *target, type *expected,        \
                                                          type desired)                        \
    {                                                                                          \
        return __atomic_compare_exchange_n(target, expected, desired, false, __ATOMIC_ACQ_REL, \
                                           __ATOMIC_ACQUIRE);                                  \
    }

#else

#define HL_ORDER_DEFINE(name, type, ck)                                  \
    static inline type hl_load_relaxed_##name(type const *target)        \
    {                                                                    \
        return ck_pr_load_##ck(target);                                  \
    }                                                                    \
    static inline type hl_load_acquire_##name(type const *target)        \
    {                                                                    \
        const type value = ck_pr_load_##ck(target);                      \
        ck_pr_fence_acquire();                                           \
        return value;                                                    \
    }                                                                    \
    static inline void hl_store_relaxed_##name(type *target, type value) \
    {                                                                    \
        ck_pr_store_##ck(target, value);                                 \
    }                                                                    \
    static inline void hl_store_release_##name(type *target, type value) \
    {                                                                    \
        ck_pr_fence_release();                                           \
        ck_pr_store_##ck(target, value);                                 \
    }

/* `expected` takes what was found only on failure: on success it holds that already. */
#define HL_ORDER_DEFINE_EXCHANGE(name, type, ck)                                        \
    static inline bool hl_compare_exchange_relaxed_##name(type *target, type *expected, \
                                                          type desired)                 \
    {                                                                                   \
        return ck_pr_cas_##ck##_value(target, *expected, desired, expected);            \
    }                                                                                   \
    static inline bool hl_compare_exchange_acq_rel_##name(type *target, type *expected, \
                                                          type desired)                 \
    {                                                                                   \
        ck_pr_fence_release();                                                          \
        const bool done = ck_pr_cas_##ck##_value(target, *expected, desired, expected); \
        ck_pr_fence_acquire();                                                          \
        return done;                                                                    \
    }

#endif

typedef void *hl_order_pointer;

HL_ORDER_DEFINE(u8, uint8_t, 8)
HL_ORDER_DEFINE(u32, uint32_t, 32)
HL_ORDER_DEFINE(u64, uint64_t, 64)
HL_ORDER_DEFINE(ptr, hl_order_pointer, ptr)

/* True when *target was *expected and is now `desired`; else *expected is what was found. */
HL_ORDER_DEFINE_EXCHANGE(u32, uint32_t, 32)
HL_ORDER_DEFINE_EXCHANGE(u64, uint64_t, 64)
HL_ORDER_DEFINE_EXCHANGE(ptr, hl_order_pointer, ptr)

#undef HL_ORDER_DEFINE
#undef HL_ORDER_DEFINE_EXCHANGE

/* Gives back what was there before. */
static inline uint64_t hl_fetch_add_relaxed_u64(uint64_t *target, uint64_t by)
{
#if defined(HL_ORDER_TSAN)
    return __atomic_fetch_add(target, by, __ATOMIC_RELAXED);
#else
    return ck_pr_faa_64(target, by);
#endif
}

/* The same, after all that precedes it in the program. */
static inline uint64_t hl_fetch_add_release_u64(uint64_t *target, uint64_t by)
{
#if defined(HL_ORDER_TSAN)
    return __atomic_fetch_add(target, by, __ATOMIC_RELEASE);
#else
    ck_pr_fence_release();
    return ck_pr_faa_64(target, by);
#endif
}

/* The same, after all that precedes it in the program and before all that follows. */
static inline uint64_t hl_fetch_add_acq_rel_u64(uint64_t *target, uint64_t by)
{
#if defined(HL_ORDER_TSAN)
    return __atomic_fetch_add(target, by, __ATOMIC_ACQ_REL);
#else
    ck_pr_fence_release();
    const uint64_t before = ck_pr_faa_64(target, by);
    ck_pr_fence_acquire();
    return before;
#endif
}

/* Gives back what was there before. */
static inline uint64_t hl_exchange_relaxed_u64(uint64_t *target, uint64_t desired)
{
#if defined(HL_ORDER_TSAN)
    return __atomic_exchange_n(target, desired, __ATOMIC_RELAXED);
#else
    return ck_pr_fas_64(target, desired);
#endif
}

static inline uint64_t hl_exchange_acq_rel_u64(uint64_t *target, uint64_t desired)
{
#if defined(HL_ORDER_TSAN)
    return __atomic_exchange_n(target, desired, __ATOMIC_ACQ_REL);
#else
    ck_pr_fence_release();
    const uint64_t before = ck_pr_fas_64(target, desired);
    ck_pr_fence_acquire();
    return before;
#endif
}

/* Gives back what was there before. */
static inline void *hl_exchange_acq_rel_ptr(void **target, void *desired)
{
#if defined(HL_ORDER_TSAN)
    return __atomic_exchange_n(target, desired, __ATOMIC_ACQ_REL);
#else
    ck_pr_fence_release();
    void *const before = ck_pr_fas_ptr(target, desired);
    ck_pr_fence_acquire();
    return before;
#endif
}

static inline void hl_fence_store_load(void)
{
#if defined(HL_ORDER_TSAN)
    /* A locked instruction is a full fence on the machine. On a word of this thread's own, so that
     * ThreadSanitizer draws no edge between threads from it, as it would not from a fence. */
    uint64_t own = 0;
    __atomic_fetch_add(&own, 1, __ATOMIC_SEQ_CST);
#else
    ck_pr_fence_store_load();
#endif
}

/* Inside a loop that waits for another core. */
static inline void hl_pause(void)
{
    ck_pr_stall();
}

/* Hints; any address is allowed, also one that is not mapped. */
static inline void hl_prefetch_read(const void *address)
{
    __builtin_prefetch(address, 0, 3);
}

static inline void hl_prefetch_write(const void *address)
{
#if defined(__x86_64__)
    /* gcc makes a plain read's prefetch of it without -mprfchw. Every x86-64 runs the instruction;
     * one that does not know it takes it for a nop. */
    __asm__ volatile("prefetchw %0" : : "m"(*(const char *)address));
#else
    __builtin_prefetch(address, 1, 3);
#endif
}

/* The beginning of a function, for who will call it soon: it comes into the caches like data. */
typedef void hl_function(void);
static inline void hl_prefetch_function(hl_function *function)
{
    const char *const code = (const char *)(uintptr_t)function;
    for (uint32_t line = 0; line < 4; line++)
        hl_prefetch_read(code + line * 64);
}

/*
 * Tell ThreadSanitizer of an edge that it cannot see because a library draws it (liburcu's grace
 * periods): all before HL_TSAN_RELEASE(x) happens before all after a later HL_TSAN_ACQUIRE(x).
 */
#if defined(HL_ORDER_TSAN)
#define HL_TSAN_RELEASE(address) __tsan_release((void *)(uintptr_t)(address))
#define HL_TSAN_ACQUIRE(address) __tsan_acquire((void *)(uintptr_t)(address))
#else
#define HL_TSAN_RELEASE(address) ((void)(address))
#define HL_TSAN_ACQUIRE(address) ((void)(address))
#endif

#endif
