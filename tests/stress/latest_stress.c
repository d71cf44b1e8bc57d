/*
 * One writer, one reader that asks by key, one that walks: every value read is whole, none is older
 * than one read before, and who reads a value has all before its put behind it (`told`, which is
 * plain memory: ThreadSanitizer sees when an edge is missing).
 */
#include "ring/latest.h"

#include <string.h>

#include "base/allocate.h"
#include "stress.h"

#define KEYS       32u
#define MOST_WORDS 24u

typedef struct run {
    hl_latest *table;
    uint64_t rounds; /* puts of each key */
    uint64_t seed;
    uint64_t *told; /* one word for each put, written before it */
    uint32_t done;  /* 1: the writer has put its last */
} run;

static uint64_t key_of(uint32_t i)
{
    return i == 0 ? 0 : i % 2 == 0 ? i : random_mix(i);
}

/* From 2 words to all, differing from put to put of a key: the cells' sizes change too. */
static uint32_t words_of(uint64_t story)
{
    return 2 + (uint32_t)(random_mix(~story) % (MOST_WORDS - 1));
}

/* The put of key i in a round. */
static uint64_t story_of(uint64_t round, uint32_t i)
{
    return round * KEYS + i;
}

static void *write_all(void *context)
{
    run *const of = context;
    for (uint64_t round = 0; round < of->rounds; round++) {
        for (uint32_t i = 0; i < KEYS; i++) {
            const uint64_t story = story_of(round, i);
            uint64_t words[MOST_WORDS + 1];
            words[0] = story;
            for (uint32_t k = 1; k < words_of(story); k++)
                words[k] = stress_word(story, k);
            of->told[story] = ~story;
            const hl_status status =
                hl_latest_put(of->table, key_of(i), words, words_of(story) * 8);
            STRESS_CHECK(status == HL_OK, "put of key %u: %d", i, status);
        }
    }
    /* DONE: release, so that the readers' last look finds all that was put. */
    hl_store_release_u32(&of->done, 1);
    return NULL;
}

/* Checks a value of key i and remembers its round, of which there were `*newest` before. */
static void check(const run *of, uint32_t i, const uint64_t *words, uint32_t size, uint64_t *newest)
{
    const uint64_t story = words[0];
    STRESS_CHECK(story % KEYS == i, "a value of key %" PRIu64 " under key %u", story % KEYS, i);
    STRESS_CHECK(size == words_of(story) * 8, "story %" PRIu64 ": %u bytes", story, size);
    for (uint32_t k = 1; k < words_of(story); k++)
        STRESS_CHECK(words[k] == stress_word(story, k), "story %" PRIu64 ", word %u", story, k);
    STRESS_CHECK(of->told[story] == ~story, "story %" PRIu64 " came before its put", story);
    STRESS_CHECK(story / KEYS + 1 >= *newest, "key %u went back to round %" PRIu64, i,
                 story / KEYS);
    *newest = story / KEYS + 1;
}

static bool finished(const run *of, const uint64_t *newest)
{
    for (uint32_t i = 0; i < KEYS; i++) {
        if (newest[i] != of->rounds)
            return false;
    }
    return true;
}

static void *read_by_key(void *context)
{
    const run *const of = context;
    uint64_t newest[KEYS] = {0};
    uint64_t random = of->seed;
    uint64_t words[MOST_WORDS + 1];
    uint32_t waits = 0;
    while (!finished(of, newest)) {
        const uint32_t i = stress_below(&random, KEYS);
        uint32_t size;
        /* DONE: acquire; after it every key must be found, and at its last round. */
        const bool last = hl_load_acquire_u32(&of->done) != 0;
        const hl_status status = hl_latest_get(of->table, key_of(i), words, sizeof words, &size);
        if (status == HL_OK)
            check(of, i, words, size, &newest[i]);
        else
            STRESS_CHECK(!last && (status == HL_BUSY || status == HL_NOT_FOUND), "get: %d", status);
        STRESS_CHECK(!last || newest[i] == of->rounds, "the last put of key %u is not found", i);
        if (status != HL_OK)
            stress_wait(&waits);
    }
    return NULL;
}

static void *read_by_walking(void *context)
{
    const run *const of = context;
    uint64_t newest[KEYS] = {0};
    uint64_t words[MOST_WORDS + 1];
    uint32_t waits = 0;
    while (!finished(of, newest)) {
        const uint32_t count = hl_latest_count(of->table);
        for (uint32_t back = 0; back < count; back++) {
            const uint32_t i = count - 1 - back; /* the newest key first: it may be half made */
            uint64_t key = 0;
            uint32_t size;
            const hl_status status = hl_latest_at(of->table, i, words, sizeof words, &key, &size);
            STRESS_CHECK(status == HL_OK || status == HL_BUSY, "at: %d", status);
            if (status == HL_OK) {
                STRESS_CHECK(key == key_of(i), "key %u of the walk is another", i);
                check(of, i, words, size, &newest[i]);
            }
        }
        stress_wait(&waits);
    }
    return NULL;
}

static void stress(uint64_t rounds, uint64_t seed)
{
    const size_t size = hl_latest_size_bytes(KEYS, MOST_WORDS * 8);
    void *const memory = hl_allocate(1, size);
    run of = {.rounds = rounds, .seed = seed, .told = calloc(rounds * KEYS, sizeof(uint64_t))};
    const char *reason = "";
    of.table = hl_latest_init(memory, size, KEYS, MOST_WORDS * 8, &reason);
    STRESS_CHECK(of.table != NULL && of.told != NULL, "%s", reason);
    pthread_t writer, by_key, by_walking;
    stress_start(&by_key, read_by_key, &of);
    stress_start(&by_walking, read_by_walking, &of);
    stress_start(&writer, write_all, &of);
    stress_join(writer);
    stress_join(by_key);
    stress_join(by_walking);
    STRESS_CHECK(hl_latest_count(of.table) == KEYS, "%u keys", hl_latest_count(of.table));
    free(of.told);
    free(memory);
}

int main(int argc, char **argv)
{
    const uint64_t seed = stress_seed(argc, argv);
    stress(400000 / STRESS_SHARE, seed);
    /* Short ones: most of their time goes into the first put of each key. */
    const uint32_t tables = 4000 / STRESS_SHARE;
    for (uint32_t i = 0; i < tables; i++)
        stress(3, seed + i);
    printf("latest: 1 table of %u puts a key, %u of 3\n", 400000 / STRESS_SHARE, tables);
    return EXIT_SUCCESS;
}
