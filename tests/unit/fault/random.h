/* Random numbers of a seed, the same on every machine (xorshift64*), for traces against a model. */
#ifndef HL_TESTS_FAULT_RANDOM_H
#define HL_TESTS_FAULT_RANDOM_H

#include <stdint.h>

/* `state`: a seed, not 0. */
static inline uint64_t random_next(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1du;
}

/* 0..limit-1 */
static inline uint64_t random_below(uint64_t *state, uint64_t limit)
{
    return random_next(state) % limit;
}

#endif
