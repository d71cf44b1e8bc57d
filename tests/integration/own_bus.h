/*
 * A bus with threads of its own, for the tests of its promises. Work is counted, never timed, and
 * every thread that waits yields, so that one CPU is enough.
 */
#ifndef HL_TEST_OWN_BUS_H
#define HL_TEST_OWN_BUS_H

#include <criterion/criterion.h>
#include <hotlane/hotlane.h>
#include <pthread.h>
#include <sched.h>

#include "ring/order.h"

/* How much of the ordinary work a build does; the sanitizers' are slower. */
#if defined(__SANITIZE_ADDRESS__)
#define OWN_SHARE 8u
#else
#define OWN_SHARE 1u
#endif

/* market_data (NORMAL), order (CRITICAL), account (LOW, its publishers may block); rings of 64
 * slots, of 16 for handlers, positions that begin shortly before 2^64; all wait as told. */
hl_bus *own_create(hl_wait wait);
hl_bus *own_start(hl_wait wait);
hl_bus *own_start_created(hl_bus *bus); /* one made here; returns it */

/* The same with 1 to max_workers workers, of which all work from the start; they grow and shrink
 * only as the test says. */
hl_bus *own_start_with_workers(hl_wait wait, uint32_t max_workers);

/* The same, parked and not started yet, with a file for its dead letters. */
hl_bus *own_create_with_letters(uint32_t max_workers, const char *dlq_path);

/* Stops it, which must drain and conserve, and destroys it. */
void own_stop(hl_bus *bus);

hl_topic own_topic(hl_bus *bus, const char *name, hl_topic_kind kind);
hl_publisher *own_publisher(hl_bus *bus, const char *name, const char *uses);
hl_subscription *own_subscribe(hl_bus *bus, const char *pattern, hl_handler handler, void *context);
hl_lane_stats own_lane(const hl_bus *bus, const char *domain);
pthread_t own_thread(void *(*body)(void *context), void *context);
void own_join(pthread_t thread);

/* A handler's context that must not be touched once its subscription has ended: a call behind
 * own_guest_free fails the test. `calls` is exact where one partition calls it. */
typedef struct own_guest {
    uint64_t alive;
    uint64_t calls;
} own_guest;
own_guest *own_guest_make(void);
uint64_t own_guest_free(own_guest *guest); /* how many calls there were */
hl_status own_visit(const hl_event *event, hl_publisher *out, void *context);

/* A handler that says that it was entered and does not return until it is released, and its
 * context. */
typedef struct own_blocker {
    uint64_t entered, released;
    uint64_t calls;
} own_blocker;
hl_status own_block(const hl_event *event, hl_publisher *out, void *context);

/* Threads of this process. One that was joined may be seen for a moment yet. */
uint32_t own_threads(void);

/* Until *word is `value` or more, or 60 s are over, which fails the test. */
void own_await(const uint64_t *word, uint64_t value);

static inline void own_publish(hl_publisher *publisher, hl_topic topic, uint64_t key,
                               uint64_t value)
{
    hl_status status;
    while ((status = hl_try_publish(publisher, topic, key, &value, sizeof value)) == HL_FULL)
        sched_yield();
    cr_assert_eq(status, HL_OK, "%s", hl_status_name(status));
}

static inline uint64_t own_value(const hl_event *event)
{
    return *(const uint64_t *)hl_payload(event);
}

#endif
