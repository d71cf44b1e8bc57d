/*
 * Three producers, three consumers: every event is taken once, whole, and each consumer sees each
 * producer's in their order. Claims, commits, takes and releases are runs of random length.
 */
#include "ring/mpmc.h"

#include "base/allocate.h"
#include "stress.h"

#define PRODUCERS 3u
#define CONSUMERS 3u
#define RUN_MAX   8u

/* A story: the producer's number in the low bits, the number of its event above. */
#define STORY(producer, event) ((event)*PRODUCERS + (producer))

typedef struct run {
    hl_mpmc shared;
    uint64_t events; /* of each producer */
    uint64_t seed;
    uint64_t left; /* events that nobody has taken */
    uint8_t *seen; /* of each story, whether it was taken */
} run;

typedef struct worker {
    pthread_t thread;
    run *of;
    uint32_t number;
} worker;

static void *produce(void *context)
{
    const worker *const self = context;
    const run *const of = self->of;
    const hl_mpmc mpmc = of->shared;
    const uint32_t most = mpmc.capacity < RUN_MAX ? mpmc.capacity : RUN_MAX;
    uint64_t random = of->seed + self->number;
    uint32_t waits = 0;
    for (uint64_t event = 0; event != of->events;) {
        const uint64_t left = of->events - event;
        const uint32_t wanted = 1 + stress_below(&random, most);
        const uint32_t n = wanted < left ? wanted : (uint32_t)left;
        uint64_t position;
        if (!hl_mpmc_try_claim(&mpmc, n, &position)) {
            stress_wait(&waits);
            continue;
        }
        for (uint32_t i = 0; i < n; i++)
            stress_fill_slot(hl_mpmc_slot(&mpmc, position + i), mpmc.slot_size,
                             STORY(self->number, event + i));
        hl_mpmc_commit(&mpmc, position, n);
        event += n;
    }
    return NULL;
}

/* Each story has a byte of its own, so that two consumers who get the same one both write it: one
 * of them finds it set, or ThreadSanitizer finds the race. */
static void note(run *of, uint64_t story, uint64_t *next)
{
    const uint64_t event = story / PRODUCERS;
    uint64_t *const least = &next[story % PRODUCERS];
    STRESS_CHECK(event < of->events, "an event that was never sent: %" PRIu64, story);
    STRESS_CHECK(event >= *least, "event %" PRIu64 " behind %" PRIu64, event, *least);
    STRESS_CHECK(of->seen[story] == 0, "event %" PRIu64 " twice", story);
    of->seen[story] = 1;
    *least = event + 1;
}

static void *consume(void *context)
{
    const worker *const self = context;
    run *const of = self->of;
    const hl_mpmc mpmc = of->shared;
    uint64_t next[PRODUCERS] = {0};
    uint64_t random = ~(of->seed + self->number);
    uint32_t waits = 0;
    /* Relaxed: a count, and nothing else follows from it. */
    while (hl_load_relaxed_u64(&of->left) != 0) {
        uint64_t position;
        const uint32_t n =
            hl_mpmc_try_take(&mpmc, 1 + stress_below(&random, 2 * RUN_MAX), &position);
        if (n == 0) {
            stress_wait(&waits);
            continue;
        }
        for (uint32_t i = 0; i < n; i++)
            note(of, stress_read_slot(hl_mpmc_slot(&mpmc, position + i), mpmc.slot_size), next);
        /* The second part first: releases may come in any order. */
        const uint32_t part = stress_below(&random, n + 1);
        hl_mpmc_release(&mpmc, position + part, n - part);
        hl_mpmc_release(&mpmc, position, part);
        /* Relaxed: a count. */
        hl_fetch_add_relaxed_u64(&of->left, (uint64_t)0 - n);
    }
    return NULL;
}

static void check_drained(const run *of, uint64_t start_position)
{
    const hl_mpmc *const mpmc = &of->shared;
    const uint64_t end = start_position + PRODUCERS * of->events;
    uint64_t position;
    STRESS_CHECK(hl_mpmc_try_take(mpmc, 1, &position) == 0, "an event too many");
    STRESS_CHECK(hl_mpmc_taken(mpmc) == end, "a take was lost");
    for (uint64_t story = 0; story < PRODUCERS * of->events; story++)
        STRESS_CHECK(of->seen[story] == 1, "event %" PRIu64 " never came", story);
    STRESS_CHECK(hl_mpmc_try_claim(mpmc, mpmc->capacity, &position),
                 "a drained ring takes exactly its capacity");
    STRESS_CHECK(position == end, "a claim was lost");
}

static void stress(uint32_t slot_size, uint32_t capacity, uint64_t start_position, uint64_t events,
                   uint64_t seed)
{
    const size_t size = hl_ring_size_bytes(slot_size, capacity);
    void *const memory = hl_allocate(1, size);
    run of = {.events = events / STRESS_SHARE, .seed = seed};
    of.left = PRODUCERS * of.events;
    of.seen = hl_allocate(of.left, 1);
    STRESS_CHECK(memory != NULL && of.seen != NULL, "no memory");
    const char *reason = "";
    hl_ring *const ring =
        hl_ring_init(memory, size, slot_size, capacity, HL_RING_MPMC, start_position, &reason);
    STRESS_CHECK(ring != NULL, "%s", reason);
    hl_mpmc_open(ring, &of.shared);
    worker workers[PRODUCERS + CONSUMERS];
    for (uint32_t i = 0; i < PRODUCERS + CONSUMERS; i++) {
        workers[i].of = &of;
        workers[i].number = i;
        stress_start(&workers[i].thread, i < PRODUCERS ? produce : consume, &workers[i]);
    }
    for (uint32_t i = 0; i < PRODUCERS + CONSUMERS; i++)
        stress_join(workers[i].thread);
    check_drained(&of, start_position);
    free(of.seen);
    free(memory);
    printf("mpmc: %u slots of %u bytes: %u x %" PRIu64 " events\n", capacity, slot_size, PRODUCERS,
           of.events);
}

int main(int argc, char **argv)
{
    const uint64_t seed = stress_seed(argc, argv);
    stress(64, 1, 0, 100000, seed);
    stress(64, 4, UINT64_MAX - 1000, 400000, seed + 1);
    stress(64, 64, UINT64_MAX / 2 - 77777, 1000000, seed + 2);
    stress(128, 4096, UINT64_MAX - 88888, 1000000, seed + 3);
    stress(4160, 32, 12345, 50000, seed + 4);
    return EXIT_SUCCESS;
}
