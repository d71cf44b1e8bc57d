/*
 * What happens when a handler fails, said per subscription: how its events are tried again, and
 * when it is left alone for a while (a breaker). What is given up goes to the dead letters (dlq.h).
 *
 *     hl_retry_options retry = HL_RETRY_OPTIONS_INIT;
 *     retry.attempts = 5;
 *     retry.base_ns = 200 * HL_MICROSECOND;
 *     hl_breaker_options breaker = HL_BREAKER_OPTIONS_INIT;
 *     breaker.failures = 10;
 *     breaker.of_last = 20;
 */
#ifndef HOTLANE_FAULT_H
#define HOTLANE_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hotlane/config.h>
#include <hotlane/event.h>

/* Most retries of one event: hl_event.attempt is 8 bits wide. */
#define HL_RETRY_MAX_ATTEMPTS 254u

/* Whether later events of the same key wait behind one that is being retried. */
typedef enum hl_retry_order {
    HL_RETRY_ORDER_OF_DOMAIN = 0, /* ordered in `order` and `fill`, and where a state topic that is
                                     declared when it subscribes is among its topics (no older
                                     value after a newer one); passing elsewhere */
    HL_RETRY_ORDERED,             /* they wait */
    HL_RETRY_PASSING              /* they pass it */
} hl_retry_order;

/*
 * Exponential backoff: retry number n (from 1) comes base * factor^(n-1) after the failure, at most
 * the cap, less a share of up to the jitter.
 */
typedef struct hl_retry_options {
    size_t size;
    uint32_t attempts;       /* retries after the first delivery, 0..254; 0: none */
    uint64_t base_ns;        /* before the first retry; 0: at the next turn */
    uint32_t factor_percent; /* 100..10,000; 200 doubles each time */
    uint64_t cap_ns;         /* no delay is longer; at least base_ns */
    uint32_t jitter_percent; /* 0..100: a delay is shortened by a random share of up to this */
    uint64_t seed; /* of the jitter; the same seed, event and attempt give the same delay */
    hl_retry_order order;
} hl_retry_options;

#define HL_RETRY_OPTIONS_INIT                                               \
    {                                                                       \
        sizeof(hl_retry_options), 3, HL_MILLISECOND, 200, HL_SECOND, 20, 0, \
            HL_RETRY_ORDER_OF_DOMAIN                                        \
    }

typedef enum hl_breaker_state {
    HL_BREAKER_CLOSED = 0, /* events are delivered */
    HL_BREAKER_OPEN,       /* they go where `while_open` says */
    HL_BREAKER_HALF_OPEN   /* one at a time is delivered, as a probe */
} hl_breaker_state;

/* Held in a state by hand. */
typedef enum hl_breaker_force {
    HL_BREAKER_FREE = 0, /* goes by outcomes */
    HL_BREAKER_FORCED_OPEN,
    HL_BREAKER_FORCED_CLOSED
} hl_breaker_force;

/* Where a subscription's events go while its breaker is open. */
typedef enum hl_breaker_policy {
    HL_BREAKER_DEAD_LETTER = 0,
    HL_BREAKER_SKIP, /* nowhere; counted */
    HL_BREAKER_HOLD  /* kept, up to hold_events of them (the rest: dead letters), delivered later */
} hl_breaker_policy;

/*
 * A breaker opens after `failures` among the last `of_last` outcomes, or when, in a window that a
 * failure began, at least `rate_min_events` outcomes were seen and `rate_percent` of them or more
 * are failures. Each attempt has one outcome.
 */
typedef struct hl_breaker_options {
    size_t size;
    uint32_t failures;        /* 0: not by count; 1..of_last */
    uint32_t of_last;         /* 1..64 */
    uint32_t rate_percent;    /* 0: not by rate; 1..100 */
    uint32_t rate_min_events; /* 1 or more */
    uint64_t rate_window_ns;  /* 1 ns or more */
    uint64_t rest_ns;         /* how long it stays open before a probe */
    uint32_t successes;       /* probes in a row that close it again, 1 or more */
    hl_breaker_policy while_open;
    uint32_t hold_events; /* with HL_BREAKER_HOLD: 1..65,536 */
    bool open_when_slow;  /* open, too, when the watchdog finds the handler over its budget */
} hl_breaker_options;

/* By count: 16 of the last 32; no rate; a second's rest; 3 probes. */
#define HL_BREAKER_OPTIONS_INIT                                              \
    {                                                                        \
        sizeof(hl_breaker_options), 16, 32, 0, 100, HL_SECOND, HL_SECOND, 3, \
            HL_BREAKER_DEAD_LETTER, 1024, false                              \
    }

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Whether the options can be used; NULL is an error too. Any thread; nothing is kept.
 * - HL_OK
 * - HL_INVALID: `error` names the field, what is wrong with it, and what would be right.
 */
HL_API hl_status hl_retry_options_check(const hl_retry_options *options, hl_error *error);
HL_API hl_status hl_breaker_options_check(const hl_breaker_options *options, hl_error *error);

/*
 * How a handler says what went wrong: `return hl_fail(event, 42, "no such account: %llu",
 * account);` The code (any but 0) and the text (cut at 159 bytes) go to the dead letter and to
 * system.error. `event` is the one in hand, or of a batch the one that was the trouble. No
 * allocation, no lock: both are kept by the calling thread until the handler has returned. Always
 * HL_FAILED.
 */
HL_API hl_status hl_fail(const hl_event *event, int code, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 3, 4)))
#endif
    ;

/* "closed", "open", "half_open"; "unknown" for a value that is none. Static memory. Any thread. */
HL_API const char *hl_breaker_state_name(hl_breaker_state state);

#ifdef __cplusplus
}
#endif
#endif
