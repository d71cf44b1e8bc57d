#include "fault/retry.h"

#include <string.h>

#include "base/error.h"

/* Vigna's splitmix64: turns neighbouring numbers into unrelated ones. */
static uint64_t scatter(uint64_t number)
{
    number += 0x9e3779b97f4a7c15u;
    number = (number ^ number >> 30) * 0xbf58476d1ce4e5b9u;
    number = (number ^ number >> 27) * 0x94d049bb133111ebu;
    return number ^ number >> 31;
}

/* ns * percent / 100, or UINT64_MAX where that is more. A division of 128 bits takes ten times as
 * long as one of 64, and is not needed for a delay of less than days. */
static uint64_t percent_of(uint64_t ns, uint32_t percent)
{
    uint64_t product;
    if (!__builtin_mul_overflow(ns, percent, &product))
        return product / 100;
    const unsigned __int128 whole = (unsigned __int128)ns * percent / 100;
    return whole < UINT64_MAX ? (uint64_t)whole : UINT64_MAX;
}

/* base * factor^(attempt-1), at most the cap; at most 254 steps. */
static uint64_t backoff_ns(const hl_retry_options *options, uint32_t attempt)
{
    uint64_t delay = options->base_ns;
    for (uint32_t i = 1; i < attempt && delay < options->cap_ns; i++) {
        const uint64_t longer = percent_of(delay, options->factor_percent);
        if (longer == delay)
            break;
        delay = longer;
    }
    return delay < options->cap_ns ? delay : options->cap_ns;
}

uint64_t hl_retry_delay_ns(const hl_retry_options *options, uint64_t event_id, uint32_t attempt)
{
    const uint64_t delay = backoff_ns(options, attempt);
    const unsigned __int128 most = percent_of(delay, options->jitter_percent);
    const uint64_t random = scatter(scatter(options->seed ^ event_id) + attempt);
    /* The random number as a share of 2^64, of 0..most. */
    return delay - (uint64_t)((most + 1) * random >> 64);
}

bool hl_retry_is_ordered(const hl_retry_options *options, const char *domain)
{
    if (options->order != HL_RETRY_ORDER_OF_DOMAIN)
        return options->order == HL_RETRY_ORDERED;
    return strcmp(domain, "order") == 0 || strcmp(domain, "fill") == 0;
}

hl_status hl_retry_options_check(const hl_retry_options *options, hl_error *error)
{
    if (options == NULL)
        return hl_error_set(error, HL_INVALID,
                            "retry: no options given: use "
                            "HL_RETRY_OPTIONS_INIT");
    if (options->size != sizeof *options)
        return hl_error_set(error, HL_INVALID,
                            "retry.size: %zu, this library knows %zu: begin with "
                            "HL_RETRY_OPTIONS_INIT, and build against this version's headers",
                            options->size, sizeof *options);
    if (options->attempts > HL_RETRY_MAX_ATTEMPTS)
        return hl_error_set(error, HL_INVALID, "retry.attempts: %u: use 0 to %u", options->attempts,
                            HL_RETRY_MAX_ATTEMPTS);
    if (options->factor_percent < 100 || options->factor_percent > 10000)
        return hl_error_set(error, HL_INVALID,
                            "retry.factor_percent: %u: use 100 (every delay the same) to 10000",
                            options->factor_percent);
    if (options->cap_ns < options->base_ns)
        return hl_error_set(
            error, HL_INVALID, "retry.cap_ns: %llu is less than base_ns, %llu: use at least that",
            (unsigned long long)options->cap_ns, (unsigned long long)options->base_ns);
    if (options->jitter_percent > 100)
        return hl_error_set(error, HL_INVALID, "retry.jitter_percent: %u: use 0 to 100",
                            options->jitter_percent);
    if ((unsigned)options->order > HL_RETRY_PASSING)
        return hl_error_set(error, HL_INVALID,
                            "retry.order: %d: use HL_RETRY_ORDER_OF_DOMAIN, HL_RETRY_ORDERED or "
                            "HL_RETRY_PASSING",
                            (int)options->order);
    return HL_OK;
}
