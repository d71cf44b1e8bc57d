/*
 * What the stress programs share: the seed, the waiting, the failing, and what a slot is filled
 * with. Each program checks every word of every value it reads, prints its seed, and takes one:
 *
 *     spsc_stress [SEED]
 *
 * Work is counted, never timed. A thread that waits yields, so that one CPU is enough.
 */
#ifndef HL_STRESS_H
#define HL_STRESS_H

#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ring/order.h"
#include "tests/random.h"

/* How much of the ordinary work a build does: ThreadSanitizer's takes about twenty times as long.
 */
#if defined(HL_ORDER_TSAN)
#define STRESS_SHARE 20u
#else
#define STRESS_SHARE 1u
#endif

#define STRESS_CHECK(condition, ...)                                        \
    do {                                                                    \
        if (!(condition)) {                                                 \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition); \
            fprintf(stderr, __VA_ARGS__);                                   \
            fputc('\n', stderr);                                            \
            exit(EXIT_FAILURE);                                             \
        }                                                                   \
    } while (0)

static inline uint64_t stress_seed(int argc, char **argv)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    const uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0)
                                   : (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    printf("seed %" PRIu64 "\n", seed);
    fflush(stdout);
    return seed;
}

/* Each round in a process of its own: ThreadSanitizer does not see liburcu's thread end, and takes
 * the next one with its number for an error. `run_round` gets the seed plus the round's number. */
static inline void stress_rounds(uint64_t seed, uint32_t rounds,
                                 void (*run_round)(uint64_t seed, uint32_t round))
{
    for (uint32_t round = 0; round < rounds; round++) {
        int outcome = 0;
        const pid_t child = fork();
        if (child == 0) {
            run_round(seed + round, round);
            exit(EXIT_SUCCESS);
        }
        STRESS_CHECK(waitpid(child, &outcome, 0) == child && outcome == 0,
                     "round %u of seed %" PRIu64 " failed", round, seed);
    }
}

/* A number below `below`; each thread has a state of its own. */
static inline uint32_t stress_below(uint64_t *state, uint32_t below)
{
    return (uint32_t)random_below(state, below);
}

/* Word i of the value that `story` stands for. */
static inline uint64_t stress_word(uint64_t story, uint32_t i)
{
    return random_mix(story) + i;
}

/* Waits a moment for another thread, more patiently the longer it has waited already. */
static inline void stress_wait(uint32_t *waits)
{
    if (++*waits % 64 == 0)
        sched_yield();
    else
        hl_pause();
}

static inline void stress_start(pthread_t *ret_thread, void *(*run)(void *), void *context)
{
    STRESS_CHECK(pthread_create(ret_thread, NULL, run, context) == 0, "no thread to be had");
}

static inline void stress_join(pthread_t thread)
{
    STRESS_CHECK(pthread_join(thread, NULL) == 0, "a thread is not to be joined");
}

/* The words of a slot behind its stamp: the story, then the story told in every word. */
static inline void stress_fill_slot(void *slot, uint32_t slot_size, uint64_t story)
{
    uint64_t *const words = slot;
    words[1] = story;
    for (uint32_t i = 2; i < slot_size / 8; i++)
        words[i] = stress_word(story, i);
}

/* The story, once every word is found to tell it. The slot is then scribbled on: it is the
 * consumer's, and a producer must not be seen in it. */
static inline uint64_t stress_read_slot(void *slot, uint32_t slot_size)
{
    uint64_t *const words = slot;
    const uint64_t story = words[1];
    for (uint32_t i = 2; i < slot_size / 8; i++) {
        STRESS_CHECK(words[i] == stress_word(story, i), "story %" PRIu64 ", word %u", story, i);
        words[i] = 0;
    }
    return story;
}

#endif
