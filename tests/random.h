/*
 * Random numbers of a seed, the same on every machine, for the programs of tests/ alone: splitmix64
 * (G. L. Steele, D. Lea, C. H. Flood, OOPSLA 2014). Every seed is as good as another. A thread has
 * a state of its own.
 */
#ifndef HL_TESTS_RANDOM_H
#define HL_TESTS_RANDOM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

/* A word for each word, each bit of it by every bit of the other. */
static inline uint64_t random_mix(uint64_t word)
{
    word += UINT64_C(0x9e3779b97f4a7c15);
    word = (word ^ (word >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    word = (word ^ (word >> 27)) * UINT64_C(0x94d049bb133111eb);
    return word ^ (word >> 31);
}

/* `state`: a seed at first. */
static inline uint64_t random_next(uint64_t *state)
{
    const uint64_t word = random_mix(*state);
    *state += UINT64_C(0x9e3779b97f4a7c15);
    return word;
}

/* 0 to below - 1. */
static inline uint64_t random_below(uint64_t *state, uint64_t below)
{
    return random_next(state) % below;
}

static inline bool random_seed_is_given(void)
{
    return getenv("HOTLANE_SEED") != NULL;
}

/* HOTLANE_SEED, decimal or 0x..., where it is given. Whoever fails prints his seed. */
static inline uint64_t random_seed(uint64_t otherwise)
{
    return random_seed_is_given() ? strtoull(getenv("HOTLANE_SEED"), NULL, 0) : otherwise;
}

#endif
