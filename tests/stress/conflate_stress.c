/*
 * Publishers put keys, their own and ones that they share, as fast as they can; one consumer takes,
 * sometimes slowly, holding a few values at a time. Every value is whole; per key and publisher
 * none is older than one before; each key's last is its newest; and puts = taken + conflated, both
 * as the publishers were answered and as the consumer was told. Cells are plain memory:
 * ThreadSanitizer sees when an edge is missing.
 */
#include "ring/conflate.h"

#include <string.h>

#include "base/allocate.h"
#include "stress.h"

#define KEYS       24u /* half of them are put by all publishers */
#define MOST_PUTS  3u  /* publishers */
#define SLOT_WORDS 24u
#define HELD       4u

/* A story: who put it, which key, the how manyeth of this publisher. */
typedef struct run {
    hl_conflate *table;
    uint64_t puts; /* of each publisher */
    uint64_t seed;
    uint32_t publishers;
    bool shares_seats; /* publishers open and close for each put */
    uint32_t ended;    /* publishers that are done */
    uint64_t conflated, queued;
} run;

typedef struct publisher {
    run *of;
    uint32_t number;
    uint64_t last[KEYS]; /* story + 1 of the last put of each key; 0: none */
} publisher;

static uint64_t key_of(uint32_t i)
{
    /* Several share their lower or upper half; key 0 is among them. */
    return i == 0 ? 0 : i % 3 == 0 ? (uint64_t)i << 32 : i % 3 == 1 ? i : random_mix(i);
}

static uint32_t group_of(uint32_t i)
{
    return i % 4 == 3 ? HL_CONFLATE_MAX_GROUP : i % 2;
}

static uint64_t story_of(uint64_t put, uint32_t number, uint32_t i)
{
    return (put * MOST_PUTS + number) * KEYS + i;
}

/* One put; whether it replaced an unread value. */
static bool put(hl_conflate_publisher *handle, uint64_t story, bool may_abort)
{
    const uint32_t i = (uint32_t)(story % KEYS);
    hl_conflate_place place = 0;
    void *slot = NULL;
    hl_status status = hl_conflate_try_claim(handle, group_of(i), key_of(i), &place, &slot);
    STRESS_CHECK(status == HL_OK, "claim of key %u: %d", i, status);
    if (may_abort && story % 7 == 0) {
        stress_fill_slot(slot, SLOT_WORDS * 8, ~story); /* must never be seen */
        status = hl_conflate_try_claim(handle, group_of(i), key_of(i), &place, &slot);
        STRESS_CHECK(status == HL_OK, "claim again of key %u: %d", i, status);
    }
    stress_fill_slot(slot, SLOT_WORDS * 8, story);
    return hl_conflate_commit(handle, place);
}

static void open_seat(const run *of, uint32_t hint, hl_conflate_publisher *ret_handle)
{
    uint32_t waits = 0;
    while (hl_conflate_publisher_open(of->table, hint, ret_handle) != HL_OK)
        stress_wait(&waits);
}

static void *publish(void *context)
{
    publisher *const self = context;
    run *const of = self->of;
    uint64_t random = of->seed + self->number, conflated = 0, queued = 0;
    hl_conflate_publisher handle;
    open_seat(of, self->number, &handle);
    for (uint64_t n = 0; n < of->puts; n++) {
        uint32_t i = stress_below(&random, KEYS);
        if (i < KEYS / 2) /* of its own */
            i = i / of->publishers * of->publishers + self->number;
        if (of->shares_seats) {
            hl_conflate_publisher_close(&handle);
            open_seat(of, stress_below(&random, MOST_PUTS), &handle);
        }
        const uint64_t story = story_of(n, self->number, i);
        if (put(&handle, story, true))
            conflated++;
        else
            queued++;
        self->last[i] = story + 1;
    }
    hl_conflate_publisher_close(&handle);
    /* Relaxed both: sums, read after the join. */
    hl_fetch_add_relaxed_u64(&of->conflated, conflated);
    hl_fetch_add_relaxed_u64(&of->queued, queued);
    uint32_t ended = 0;
    /* ENDED: acq_rel, so that the consumer's last look finds all that was put. */
    while (!hl_compare_exchange_acq_rel_u32(&of->ended, &ended, ended + 1))
        ;
    return NULL;
}

typedef struct reader {
    run *of;
    uint64_t newest[MOST_PUTS][KEYS]; /* story + 1 of each publisher's newest that was seen */
    uint64_t last[KEYS];              /* story + 1 of what was taken last */
    uint64_t takes, puts;
} reader;

static void check(reader *self, void *slot, uint64_t puts)
{
    const uint64_t story = stress_read_slot(slot, SLOT_WORDS * 8);
    const uint32_t i = (uint32_t)(story % KEYS);
    const uint32_t number = (uint32_t)(story / KEYS % MOST_PUTS);
    STRESS_CHECK(puts >= 1, "key %u was queued and is not unread", i);
    STRESS_CHECK(story / KEYS / MOST_PUTS < self->of->puts, "story %" PRIu64 " was aborted", story);
    STRESS_CHECK(story + 1 > self->newest[number][i], "key %u goes back to %" PRIu64, i, story);
    self->newest[number][i] = story + 1;
    self->last[i] = story + 1;
    self->takes++;
    self->puts += puts;
}

static void *consume(void *context)
{
    reader *const self = context;
    run *const of = self->of;
    hl_conflate_consumer consumer;
    hl_conflate_consumer_open(of->table, &consumer);
    uint64_t random = ~of->seed;
    uint32_t waits = 0;
    for (;;) {
        /* ENDED: acquire; what is not found after it was never put. */
        const bool last = hl_load_acquire_u32(&of->ended) == of->publishers;
        void *slots[HELD];
        uint64_t puts[HELD];
        uint32_t n = 0;
        const uint32_t most = 1 + stress_below(&random, HELD);
        while (n < most && (slots[n] = hl_conflate_take(&consumer, &puts[n])) != NULL)
            n++;
        for (uint32_t pause = stress_below(&random, 32); n > 0 && pause > 0; pause--)
            hl_pause();
        for (uint32_t k = 0; k < n; k++)
            check(self, slots[k], puts[k]);
        hl_conflate_release(&consumer, n);
        if (n == 0 && last)
            break;
        if (n == 0)
            stress_wait(&waits);
    }
    STRESS_CHECK(!hl_conflate_ready(&consumer), "a key waits that is not to be taken");
    return NULL;
}

/* Whether the last value taken of each key is the last put of one of its publishers. */
static void check_last(const run *of, const reader *read, const publisher *put_by)
{
    for (uint32_t i = 0; i < KEYS; i++) {
        bool is_last = false, was_put = false;
        for (uint32_t k = 0; k < of->publishers; k++) {
            was_put |= put_by[k].last[i] != 0;
            is_last |= put_by[k].last[i] == read->last[i];
        }
        STRESS_CHECK(!was_put || is_last, "key %u ends with %" PRIu64, i, read->last[i]);
    }
}

static void stress(uint64_t puts, uint32_t publishers, bool shares_seats, uint64_t start,
                   uint64_t seed)
{
    /* Sharing: a seat less than publishers, so that they take each other's. */
    const hl_conflate_options options = {.max_keys = KEYS,
                                         .slot_size = SLOT_WORDS * 8,
                                         .publishers = shares_seats ? MOST_PUTS - 1 : publishers,
                                         .held = HELD,
                                         .start_position = start};
    const size_t size = hl_conflate_size_bytes(&options);
    void *const memory = hl_allocate(1, size);
    const char *reason = "";
    run of = {.puts = puts, .seed = seed, .publishers = publishers, .shares_seats = shares_seats};
    of.table = hl_conflate_init(memory, size, &options, &reason);
    STRESS_CHECK(of.table != NULL, "%s", reason);
    reader read = {.of = &of};
    publisher put_by[MOST_PUTS] = {0};
    pthread_t threads[MOST_PUTS], consumer;
    for (uint32_t i = 0; i < publishers; i++) {
        put_by[i] = (publisher){.of = &of, .number = i};
        stress_start(&threads[i], publish, &put_by[i]);
    }
    stress_start(&consumer, consume, &read);
    for (uint32_t i = 0; i < publishers; i++)
        stress_join(threads[i]);
    stress_join(consumer);
    STRESS_CHECK(of.conflated + of.queued == puts * publishers, "a put has no answer");
    STRESS_CHECK(of.queued == read.takes, "%" PRIu64 " queued, %" PRIu64 " taken", of.queued,
                 read.takes);
    STRESS_CHECK(read.puts == puts * publishers, "%" PRIu64 " puts told", read.puts);
    STRESS_CHECK(hl_conflate_pending(of.table) == 0, "some are pending");
    check_last(&of, &read, put_by);
    free(memory);
}

/* Who is first with a key: all publishers put all keys, twice as many as there is room for. */
#define RUSH_KEYS 512u

typedef struct rush {
    hl_conflate *table;
    pthread_barrier_t start;
    uint32_t refused[2 * RUSH_KEYS]; /* 1: somebody was told that it is one too many */
} rush;

static void *put_new_keys(void *context)
{
    rush *const of = context;
    hl_conflate_publisher handle;
    STRESS_CHECK(hl_conflate_publisher_open(of->table, 0, &handle) == HL_OK, "no seat");
    pthread_barrier_wait(&of->start);
    uint32_t limits = 0;
    for (uint32_t i = 0; i < 2 * RUSH_KEYS; i++) {
        const uint64_t value[2] = {0, i};
        bool replaced;
        const hl_status status = hl_conflate_put(&handle, i % 2, i / 2, value, 16, &replaced);
        STRESS_CHECK(status == HL_OK || status == HL_LIMIT, "put: %d", status);
        limits += status == HL_LIMIT;
        /* Relaxed: read after the join. */
        if (status == HL_LIMIT)
            hl_store_relaxed_u32(&of->refused[i], 1);
    }
    STRESS_CHECK(limits >= RUSH_KEYS, "%u of %u keys over the limit were refused", limits,
                 RUSH_KEYS);
    hl_conflate_publisher_close(&handle);
    return NULL;
}

static void stress_new_keys(void)
{
    const hl_conflate_options options = {
        .max_keys = RUSH_KEYS, .slot_size = 64, .publishers = MOST_PUTS, .held = 1};
    void *const memory = hl_allocate(1, hl_conflate_size_bytes(&options));
    rush of = {.table = hl_conflate_init(memory, SIZE_MAX, &options, NULL)};
    pthread_barrier_init(&of.start, NULL, MOST_PUTS);
    pthread_t threads[MOST_PUTS];
    for (uint32_t i = 0; i < MOST_PUTS; i++)
        stress_start(&threads[i], put_new_keys, &of);
    for (uint32_t i = 0; i < MOST_PUTS; i++)
        stress_join(threads[i]);
    pthread_barrier_destroy(&of.start);
    STRESS_CHECK(hl_conflate_key_count(of.table) == RUSH_KEYS, "%u keys",
                 hl_conflate_key_count(of.table));
    hl_conflate_consumer consumer;
    hl_conflate_consumer_open(of.table, &consumer);
    uint32_t keys = 0;
    bool seen[2 * RUSH_KEYS] = {false};
    uint64_t puts;
    for (const uint64_t *value; (value = hl_conflate_take(&consumer, &puts)) != NULL; keys++) {
        STRESS_CHECK(value[1] < 2 * RUSH_KEYS && !seen[value[1]], "a key waits twice");
        STRESS_CHECK(of.refused[value[1]] == 0, "a key is there that was refused");
        seen[value[1]] = true;
        hl_conflate_release(&consumer, 1);
    }
    STRESS_CHECK(keys == RUSH_KEYS, "%u keys wait", keys);
    free(memory);
}

int main(int argc, char **argv)
{
    const uint64_t seed = stress_seed(argc, argv);
    const uint64_t puts = 1500000 / STRESS_SHARE;
    stress(puts, 1, false, 0, seed);
    stress(puts / 2, 2, false, UINT32_MAX - puts / 8, seed + 1);
    stress(puts / 3, MOST_PUTS, false, UINT64_MAX - puts / 8, seed + 2);
    stress(puts / 6, MOST_PUTS, true, 0, seed + 3);
    const uint32_t rushes = 4000 / STRESS_SHARE;
    for (uint32_t i = 0; i < rushes; i++)
        stress_new_keys();
    printf("conflate: 1, 2, %u and %u publishers, %u rushes of new keys\n", MOST_PUTS, MOST_PUTS,
           rushes);
    return EXIT_SUCCESS;
}
