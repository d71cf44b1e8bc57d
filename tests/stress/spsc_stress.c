/* One producer, one consumer: every event arrives once, whole and in order, on rings of any size.
 */
#include "ring/spsc.h"

#include "base/allocate.h"
#include "stress.h"

typedef struct run {
    hl_ring *ring;
    uint64_t events; /* to pass through */
    uint64_t start_position;
    uint64_t seed;
} run;

static uint32_t most_at_once(const hl_ring *ring)
{
    return ring->capacity < 32 ? ring->capacity : 32;
}

static uint64_t claim(hl_spsc_producer *producer, uint32_t n)
{
    uint64_t position;
    for (uint32_t waits = 0; !hl_spsc_try_claim(producer, n, &position);)
        stress_wait(&waits);
    return position;
}

/* Claims n at once or in two parts, and commits whole, slot by slot, or the second part first. */
static void publish(hl_spsc_producer *producer, uint32_t n, uint64_t *random)
{
    const uint32_t slot_size = producer->slot_size;
    const uint32_t behind = stress_below(random, n);
    const uint64_t position = claim(producer, n - behind);
    const uint64_t second = behind == 0 ? position : claim(producer, behind);
    for (uint32_t i = 0; i < n; i++)
        stress_fill_slot(hl_spsc_slot(producer, position + i), slot_size, position + i);
    switch (stress_below(random, 3)) {
    case 0:
        hl_spsc_commit(producer, position, n);
        break;
    case 1:
        for (uint32_t i = 0; i < n; i++)
            hl_spsc_commit(producer, position + i, 1);
        break;
    default:
        hl_spsc_commit(producer, second, behind);
        hl_spsc_commit(producer, position, n - behind);
    }
}

static void *produce(void *context)
{
    const run *const of = context;
    hl_spsc_producer producer;
    hl_spsc_open(of->ring, &producer);
    uint64_t random = of->seed;
    for (uint64_t left = of->events; left != 0;) {
        uint32_t n = 1 + stress_below(&random, most_at_once(of->ring));
        n = n < left ? n : (uint32_t)left;
        uint64_t position = 0;
        switch (stress_below(&random, 8)) {
        case 0: /* what is claimed and rolled back leaves no trace */
            if (hl_spsc_try_claim(&producer, n, &position)) {
                stress_fill_slot(hl_spsc_slot(&producer, position), producer.slot_size, ~position);
                hl_spsc_rollback(&producer, position);
            }
            break;
        case 1: /* what follows relies on the room that this finds */
            n = hl_spsc_room(&producer) < n ? 0 : n;
            break;
        case 2: /* a second handle goes on where the first has left off */
            hl_spsc_open(of->ring, &producer);
            break;
        default:
            break;
        }
        if (n != 0)
            publish(&producer, n, &random);
        left -= n;
    }
    return NULL;
}

static void consume(const run *of)
{
    hl_ring_consumer consumer;
    hl_ring_consumer_open(of->ring, &consumer);
    uint64_t random = ~of->seed;
    const uint64_t end = of->start_position + of->events;
    uint32_t waits = 0;
    while (hl_ring_consumed(&consumer) != end) {
        void *first;
        const uint32_t n = hl_ring_peek(&consumer, 1 + stress_below(&random, 64), &first);
        if (n == 0) {
            stress_wait(&waits);
            continue;
        }
        const uint32_t taken = 1 + stress_below(&random, n);
        for (uint32_t i = 0; i < taken; i++) {
            const uint64_t story = stress_read_slot(hl_ring_slot(&consumer, i), consumer.slot_size);
            STRESS_CHECK(story == hl_ring_consumed(&consumer) + i, "event %" PRIu64 " at %" PRIu64,
                         story, hl_ring_consumed(&consumer) + i);
        }
        hl_ring_release(&consumer, taken);
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
    run of = {.events = events / STRESS_SHARE, .start_position = start_position, .seed = seed};
    of.ring =
        hl_ring_init(memory, size, slot_size, capacity, HL_RING_SPSC, start_position, &reason);
    STRESS_CHECK(of.ring != NULL, "%s", reason);
    pthread_t producer;
    stress_start(&producer, produce, &of);
    consume(&of);
    stress_join(producer);

    hl_spsc_producer again;
    hl_spsc_open(of.ring, &again);
    STRESS_CHECK(hl_spsc_room(&again) == capacity, "a drained ring takes exactly its capacity");
    free(memory);
    printf("spsc: %u slots of %u bytes: %" PRIu64 " events\n", capacity, slot_size, of.events);
}

int main(int argc, char **argv)
{
    const uint64_t seed = stress_seed(argc, argv);
    stress(64, 1, 0, 400000, seed);
    stress(64, 2, UINT64_MAX - 1000, 800000, seed + 1);
    stress(64, 16, UINT64_MAX - 77777, 4000000, seed + 2);
    stress(128, 4096, UINT64_MAX / 2, 8000000, seed + 3);
    stress(4160, 32, 12345, 200000, seed + 4);
    return EXIT_SUCCESS;
}
