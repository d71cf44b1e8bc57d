/*
 * DPDK's rte_ring, on memory of our own: it needs neither huge pages nor DPDK's environment layer.
 * By value in bursts, or in place with the zero-copy calls of its peek interface (one producer, or
 * many under head-tail sync). It holds one message less than its count, which is PEER_SLOTS.
 */
#include <dlfcn.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>
#include <rte_ring_peek_zc.h>

#include "perf/peers/driver.h"

typedef int (*ring_init)(struct rte_ring *ring, const char *name, unsigned int count,
                         unsigned int flags);
typedef ssize_t (*ring_size)(unsigned int element_bytes, unsigned int count);

static struct {
    ring_init init;
    ring_size size;
} library;

bool peer_rte_load(void)
{
    /* Never closed: its code is in use until the process ends. */
    void *const handle = dlopen(PEER_RTE_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL)
        return false;
    library.init = (ring_init)dlsym(handle, "rte_ring_init");
    library.size = (ring_size)dlsym(handle, "rte_ring_get_memsize_elem");
    return library.init != NULL && library.size != NULL;
}

static void *create(unsigned int flags)
{
    const ssize_t bytes = library.size(sizeof(peer_message), PEER_SLOTS);
    if (bytes < 0)
        return NULL;
    struct rte_ring *const ring = hl_allocate(1, (size_t)bytes);
    if (ring != NULL && library.init(ring, "peer", PEER_SLOTS, flags) != 0) {
        free(ring);
        return NULL;
    }
    return ring;
}

/* ---- by value ---- */

typedef unsigned int (*enqueue_burst)(struct rte_ring *ring, const void *messages,
                                      unsigned int bytes, unsigned int n, unsigned int *room);

PEER_INLINE uint32_t send_copies(void *ring, uint32_t n, uint64_t number, enqueue_burst enqueue)
{
    peer_message messages[PEER_RUN_MAX];
    for (uint32_t i = 0; i < n; i++)
        peer_fill(messages[i].payload, number + i);
    return enqueue(ring, messages, sizeof *messages, n, NULL);
}

PEER_INLINE uint32_t receive_copies(void *ring, uint32_t n, peer_inbox *inbox)
{
    peer_message messages[PEER_RUN_MAX];
    const uint32_t found =
        rte_ring_sc_dequeue_burst_elem(ring, messages, sizeof *messages, n, NULL);
    for (uint32_t i = 0; i < found; i++)
        peer_take(inbox, messages[i].payload);
    return found;
}

PEER_INLINE uint32_t spsc_send(void *ring, uint32_t producer, uint32_t n, uint64_t number)
{
    (void)producer;
    return send_copies(ring, n, number, rte_ring_sp_enqueue_burst_elem);
}

PEER_INLINE uint32_t mpsc_send(void *ring, uint32_t producer, uint32_t n, uint64_t number)
{
    (void)producer;
    return send_copies(ring, n, number, rte_ring_mp_enqueue_burst_elem);
}

PEER_INLINE uint32_t rts_send(void *ring, uint32_t producer, uint32_t n, uint64_t number)
{
    (void)producer;
    return send_copies(ring, n, number, rte_ring_mp_rts_enqueue_burst_elem);
}

PEER_INLINE uint32_t hts_send(void *ring, uint32_t producer, uint32_t n, uint64_t number)
{
    (void)producer;
    return send_copies(ring, n, number, rte_ring_mp_hts_enqueue_burst_elem);
}

/* ---- in place ---- */

/* The i-th of the n messages, in the part before the ring's end or in the one behind its start. */
PEER_INLINE peer_message *message_of(const struct rte_ring_zc_data *place, uint32_t i)
{
    return i < place->n1 ? (peer_message *)place->ptr1 + i
                         : (peer_message *)place->ptr2 + (i - place->n1);
}

PEER_INLINE uint32_t zc_send(void *ring, uint32_t producer, uint32_t n, uint64_t number)
{
    (void)producer;
    struct rte_ring_zc_data place;
    const uint32_t room =
        rte_ring_enqueue_zc_burst_elem_start(ring, sizeof(peer_message), n, &place, NULL);
    if (room == 0)
        return 0;
    for (uint32_t i = 0; i < room; i++)
        peer_fill(message_of(&place, i)->payload, number + i);
    rte_ring_enqueue_zc_elem_finish(ring, room);
    return room;
}

PEER_INLINE uint32_t zc_receive(void *ring, uint32_t n, peer_inbox *inbox)
{
    struct rte_ring_zc_data place;
    const uint32_t found =
        rte_ring_dequeue_zc_burst_elem_start(ring, sizeof(peer_message), n, &place, NULL);
    if (found == 0)
        return 0;
    for (uint32_t i = 0; i < found; i++)
        peer_take(inbox, message_of(&place, i)->payload);
    rte_ring_dequeue_zc_elem_finish(ring, found);
    return found;
}

/* ---- the kinds ---- */

static void *spsc_create(void)
{
    return create(RING_F_SP_ENQ | RING_F_SC_DEQ);
}

static void *mpsc_create(void)
{
    return create(RING_F_SC_DEQ);
}

static void *rts_create(void)
{
    return create(RING_F_MP_RTS_ENQ | RING_F_SC_DEQ);
}

static void *hts_create(void)
{
    return create(RING_F_MP_HTS_ENQ | RING_F_SC_DEQ);
}

#define spsc_destroy   free
#define spsc_receive   receive_copies
#define zc_create      spsc_create
#define zc_destroy     free
#define mpsc_destroy   free
#define mpsc_receive   receive_copies
#define rts_destroy    free
#define rts_receive    receive_copies
#define hts_destroy    free
#define hts_receive    receive_copies
#define hts_zc_create  hts_create
#define hts_zc_destroy free
#define hts_zc_send    zc_send
#define hts_zc_receive zc_receive

PEER_QUEUE(peer_rte_spsc, spsc)
PEER_QUEUE(peer_rte_zc_spsc, zc)
PEER_QUEUE(peer_rte_mpsc, mpsc)
PEER_QUEUE(peer_rte_rts_mpsc, rts)
PEER_QUEUE(peer_rte_hts_mpsc, hts)
PEER_QUEUE(peer_rte_hts_zc_mpsc, hts_zc)
