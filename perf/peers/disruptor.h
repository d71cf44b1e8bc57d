/*
 * The LMAX Disruptor: PeerDisruptor.java in a virtual machine of its own, one for a whole run, kept
 * warm; its threads pinned to the same CPUs as everybody's.
 *
 *     peer_disruptor *disruptor;
 *     if (peer_disruptor_start(&cores, &disruptor, &error) == HL_OK)
 *         status = peer_disruptor_measure(disruptor, &work, values, &error);
 *     peer_disruptor_stop(disruptor);
 */
#ifndef HL_PERF_PEERS_DISRUPTOR_H
#define HL_PERF_PEERS_DISRUPTOR_H

#include "perf/peers/bench.h"

typedef struct peer_disruptor peer_disruptor;

/* HL_OK: *ret_disruptor is the caller's. HL_UNSUPPORTED: the library was not there when this was
 * built; HL_SYSTEM with a sentence: the virtual machine does not start; HL_NO_MEMORY. */
hl_status peer_disruptor_start(const perf_cores *cores, peer_disruptor **ret_disruptor,
                               hl_error *error);

/* Ends the virtual machine. NULL is nothing. */
void peer_disruptor_stop(peer_disruptor *disruptor);

/* As peer_measure; the shares of waiting are NAN, `pauses` is the library's matter. HL_SYSTEM: the
 * virtual machine has ended or does not answer. */
hl_status peer_disruptor_measure(peer_disruptor *disruptor, const peer_work *work,
                                 double *ret_values, hl_error *error);

#endif
