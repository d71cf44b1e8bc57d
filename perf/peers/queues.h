/*
 * The queues that are measured, each in the file of its library. Those of a library that was not
 * there when this was built do not exist; peers.c knows which were.
 */
#ifndef HL_PERF_PEERS_QUEUES_H
#define HL_PERF_PEERS_QUEUES_H

#include "perf/peers/bench.h"

#ifdef __cplusplus
extern "C" {
#endif

/* queue_hotlane.c */
extern const peer_queue peer_hotlane_spsc;
extern const peer_queue peer_hotlane_mpsc;

/* queue_ck.c: the ring by value, filled in place; and of pointers to messages. */
extern const peer_queue peer_ck_spsc;
extern const peer_queue peer_ck_mpsc;
extern const peer_queue peer_ck_pointers_spsc;
extern const peer_queue peer_ck_pointers_mpsc;

/* queue_rte.c: by value in bursts; filled and read in place (zero-copy); many producers as they
 * come, with relaxed tail sync, with head-tail sync, the latter also in place. */
extern const peer_queue peer_rte_spsc;
extern const peer_queue peer_rte_zc_spsc;
extern const peer_queue peer_rte_mpsc;
extern const peer_queue peer_rte_rts_mpsc;
extern const peer_queue peer_rte_hts_mpsc;
extern const peer_queue peer_rte_hts_zc_mpsc;
/* Loads DPDK's library, which is not linked so that the hotlane command does not depend on it.
 * False: it cannot be loaded. Once, before any of its queues is used. */
bool peer_rte_load(void);

/* queue_boost.cc */
extern const peer_queue peer_boost_spsc;
extern const peer_queue peer_boost_mpmc;

/* queue_readerwriterqueue.cc */
extern const peer_queue peer_readerwriterqueue;

/* queue_concurrentqueue.cc */
extern const peer_queue peer_concurrentqueue_spsc;
extern const peer_queue peer_concurrentqueue_mpsc;

/* queue_atomic_queue.cc: tries (at a full and an empty queue they answer so), and claims that wait.
 */
extern const peer_queue peer_atomic_queue_spsc;
extern const peer_queue peer_atomic_queue_mpmc;
extern const peer_queue peer_optimist_queue_spsc;
extern const peer_queue peer_optimist_queue_mpsc;

#ifdef __cplusplus
}
#endif

#endif
