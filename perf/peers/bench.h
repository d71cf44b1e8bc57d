/*
 * One measurement of one queue, hotlane's or a peer's, always the same work: messages of 128 bytes
 * through 4,096 slots, 120 bytes of each filled by the producer and summed up by the consumer
 * (hotlane's stamp has the other 8, so nobody moves more than another), the same two CPUs, the same
 * loops. A queue is a few calls (driver.h makes the loops out of them); which of its interfaces
 * they use is the queue's best.
 *
 *     const peer_work work = {&timer, &cores, 0.3, PEER_SPSC, 1, 1};
 *     double values[PEER_VALUES];
 *     status = peer_measure(&peer_ck_spsc, &work, values, &error);
 */
#ifndef HL_PERF_PEERS_BENCH_H
#define HL_PERF_PEERS_BENCH_H

#include <stdalign.h>

#include "base/allocate.h"
#include "observe/histogram.h"
#include "perf/cores.h"
#include "perf/timer.h"

#define PEER_SLOTS         4096u
#define PEER_RUN_MAX       32u
#define PEER_PAYLOAD_BYTES 120u
#define PEER_PRODUCERS_MAX 2u
#define PEER_PATIENCE_NS   5e9

/* A message where the queue has no place of its own in it. Two lines, and begins one. */
typedef struct peer_message {
    alignas(64) uint64_t unused; /* where hotlane's slot has its stamp */
    uint64_t payload[PEER_PAYLOAD_BYTES / 8];
} peer_message;

typedef enum peer_shape {
    PEER_SPSC,       /* a producer on the publisher's CPU, the consumer on its own */
    PEER_MPSC_2P,    /* two producers contend; the one on the consumer's CPU also consumes */
    PEER_MPSC_3ON2,  /* two producers and a consumer, the latter two on one CPU */
    PEER_ROUND_TRIP, /* two queues: one message there, then one back */
} peer_shape;

typedef struct peer_work {
    const perf_timer *timer;
    const perf_cores *cores;
    double seconds;
    peer_shape shape;
    uint32_t run;    /* messages a send, and at most so many a receive; 1..PEER_RUN_MAX */
    uint32_t pauses; /* pause instructions between two tries at a full or an empty queue */
} peer_work;

/* What peer_measure gives, in this order. */
typedef enum peer_value {
    PEER_FIGURE,        /* messages a second; PEER_ROUND_TRIP: ns, p50 */
    PEER_FULL_PERCENT,  /* of the producers' time, waiting for room; PEER_ROUND_TRIP: ns, p99 */
    PEER_EMPTY_PERCENT, /* of the consumer's time, waiting for a message; NAN where the consumer's
                           thread produces too, and for PEER_ROUND_TRIP */
    PEER_DISORDERED,    /* messages that came whole, and behind later ones of their producer */
    PEER_VALUES,
    PEER_P99 = PEER_FULL_PERCENT
} peer_value;

/* What came out of a queue, and whether it was right; the consumer's. */
typedef struct peer_inbox {
    alignas(HL_LINE_PAIR) uint64_t received[PEER_PRODUCERS_MAX]; /* of each producer */
    uint64_t damaged;
    uint64_t disordered;
} peer_inbox;

struct peer_bench;

/*
 * Edges: FINISHED  finished: a producer, behind its last message (store release) -> the consumer
 *                  (load acquire). What it sent is final, and in the queue.
 */
typedef struct peer_producer {
    /* On lines of its own: the consumer looks at it whenever it finds nothing. */
    alignas(HL_LINE_PAIR) uint32_t finished;
    alignas(HL_LINE_PAIR) uint64_t sent;
    uint64_t full_ticks;
    uint64_t elapsed_ticks;
    bool gave_up; /* there was no room, or no answer, for PEER_PATIENCE_NS */
    struct peer_bench *bench;
    uint32_t number;
} peer_producer;

typedef struct peer_bench {
    const peer_work *work;
    bool yields; /* more threads than CPUs: who finds nothing to do makes way */
    uint32_t producer_count;
    void *queue;
    void *back; /* the second queue of a round trip; else NULL */
    peer_producer producers[PEER_PRODUCERS_MAX];
    peer_inbox inbox;                            /* the consumer's, as what follows */
    alignas(HL_LINE_PAIR) peer_inbox back_inbox; /* of `back`: the asking producer's */
    hl_histogram *round_trips;                   /* ticks; the asking producer's */
    alignas(HL_LINE_PAIR) uint64_t empty_ticks;
    uint64_t elapsed_ticks;
} peer_bench;

/* A queue, with the loops that driver.h made of its calls; each takes what the comment says. */
typedef struct peer_queue {
    void *(*create)(void); /* PEER_SLOTS messages; NULL: no memory */
    void (*destroy)(void *queue);
    void (*produce)(void *context);             /* a peer_producer */
    void (*consume)(void *context);             /* a peer_bench, as all below but the next */
    void (*produce_and_consume)(void *context); /* a peer_producer */
    void (*ask)(void *context);
    void (*answer)(void *context);
} peer_queue;

#ifdef __cplusplus
extern "C" {
#endif

/* HL_NOT_CONSERVED: a message was lost or damaged. HL_TIMEOUT: no room, or no answer, for
 * PEER_PATIENCE_NS.
 * HL_NO_MEMORY; HL_SYSTEM, HL_INVALID: pinning. */
hl_status peer_measure(const peer_queue *queue, const peer_work *work, double *ret_values,
                       hl_error *error);

#ifdef __cplusplus
}
#endif

#endif
