/* Three producers, one consumer: every producer's events arrive once, whole and in its order. */
#include "ring/mpsc.h"

#include "base/allocate.h"
#include "stress.h"

#define PRODUCERS 3u

/* A story: the producer's number in the low bits, the number of its event above. */
#define STORY(producer, event) ((event)*PRODUCERS + (producer))

typedef struct run {
    hl_ring *ring;
    hl_mpsc_producer shared;
    uint64_t events; /* of each producer */
    uint64_t seed;
} run;

typedef struct producer_thread {
    pthread_t thread;
    run *of;
    uint32_t number;
} producer_thread;

static void *produce(void *context)
{
    const producer_thread *const self = context;
    const run *const of = self->of;
    const uint32_t most = of->ring->capacity < 8 ? of->ring->capacity : 8;
    uint64_t random = of->seed + self->number;
    uint32_t waits = 0;
    for (uint64_t event = 0; event != of->events;) {
        const uint64_t left = of->events - event;
        const uint32_t wanted = 1 + stress_below(&random, most);
        const uint32_t n = wanted < left ? wanted : (uint32_t)left;
        const hl_mpsc_producer copy = of->shared;
        uint64_t position;
        if (!hl_mpsc_try_claim(&copy, n, &position)) {
            stress_wait(&waits);
            continue;
        }
        for (uint32_t i = 0; i < n; i++)
            stress_fill_slot(hl_mpsc_slot(&copy, position + i), copy.slot_size,
                             STORY(self->number, event + i));
        hl_mpsc_commit(&copy, position, n);
        event += n;
    }
    return NULL;
}

static void consume(const run *of)
{
    hl_ring_consumer consumer;
    hl_ring_consumer_open(of->ring, &consumer);
    uint64_t seen[PRODUCERS] = {0};
    uint64_t random = ~of->seed;
    uint32_t waits = 0;
    for (uint64_t left = PRODUCERS * of->events; left != 0;) {
        void *first;
        const uint64_t claimed = hl_ring_claimed(of->ring);
        const uint64_t most = hl_ring_released(of->ring) + of->ring->capacity;
        STRESS_CHECK((int64_t)(most - claimed) >= 0, "more is claimed than there is room");
        const uint32_t n = hl_ring_peek(&consumer, 1 + stress_below(&random, 64), &first);
        if (n == 0) {
            stress_wait(&waits);
            continue;
        }
        for (uint32_t i = 0; i < n; i++) {
            const uint64_t story = stress_read_slot(hl_ring_slot(&consumer, i), consumer.slot_size);
            uint64_t *const expected = &seen[story % PRODUCERS];
            STRESS_CHECK(story / PRODUCERS == *expected, "event %" PRIu64 " instead of %" PRIu64,
                         story / PRODUCERS, *expected);
            ++*expected;
        }
        hl_ring_release(&consumer, n);
        left -= n;
    }
    void *first;
    STRESS_CHECK(hl_ring_peek(&consumer, 1, &first) == 0, "an event too many");
}

static void stress(uint32_t slot_size, uint32_t capacity, uint64_t start_position, uint64_t events,
                   uint64_t seed)
{
    const size_t size = hl_ring_size_bytes(slot_size, capacity);
    void *const memory = hl_allocate(1, size);
    const char *reason = "";
    run of = {.events = events / STRESS_SHARE, .seed = seed};
    of.ring =
        hl_ring_init(memory, size, slot_size, capacity, HL_RING_MPSC, start_position, &reason);
    STRESS_CHECK(of.ring != NULL, "%s", reason);
    hl_mpsc_open(of.ring, &of.shared);
    producer_thread producers[PRODUCERS];
    for (uint32_t i = 0; i < PRODUCERS; i++) {
        producers[i].of = &of;
        producers[i].number = i;
        stress_start(&producers[i].thread, produce, &producers[i]);
    }
    consume(&of);
    for (uint32_t i = 0; i < PRODUCERS; i++)
        stress_join(producers[i].thread);

    uint64_t position;
    STRESS_CHECK(hl_mpsc_try_claim(&of.shared, capacity, &position),
                 "a drained ring takes exactly its capacity");
    STRESS_CHECK(position == start_position + PRODUCERS * of.events, "a claim was lost");
    free(memory);
    printf("mpsc: %u slots of %u bytes: %u x %" PRIu64 " events\n", capacity, slot_size, PRODUCERS,
           of.events);
}

int main(int argc, char **argv)
{
    const uint64_t seed = stress_seed(argc, argv);
    stress(64, 1, 0, 100000, seed);
    stress(64, 4, UINT64_MAX - 1000, 400000, seed + 1);
    stress(64, 64, UINT64_MAX - 77777, 1000000, seed + 2);
    stress(128, 4096, UINT64_MAX / 2, 2000000, seed + 3);
    stress(4160, 32, 12345, 50000, seed + 4);
    return EXIT_SUCCESS;
}
