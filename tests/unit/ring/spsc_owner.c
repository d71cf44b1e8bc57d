/* Compiled with -DHL_DEBUG_OWNER: the check that ordinary builds do without. */
#include "ring/spsc.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>

#include "base/allocate.h"

static hl_spsc_producer producer;

static void make_ring(void)
{
    const size_t size = hl_ring_size_bytes(64, 8);
    hl_spsc_open(hl_ring_init(hl_allocate(1, size), size, 64, 8, HL_RING_SPSC, 0, NULL), &producer);
}

static void *claim_one(void *unused)
{
    (void)unused;
    uint64_t position = 0;
    cr_assert(hl_spsc_try_claim(&producer, 1, &position));
    hl_spsc_commit(&producer, position, 1);
    return NULL;
}

static void claim_in_another_thread(void)
{
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, claim_one, NULL), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
}

Test(spsc_owner, a_second_producer_thread_is_aborted, .signal = SIGABRT)
{
    make_ring();
    claim_one(NULL);
    claim_in_another_thread();
}

Test(spsc_owner, a_handle_opened_in_one_thread_may_be_used_by_another)
{
    make_ring();
    claim_in_another_thread();
    cr_assert_eq(hl_spsc_claimed(&producer), 1);
}
