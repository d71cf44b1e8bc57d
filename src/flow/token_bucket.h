/*
 * A token bucket: on average rate_per_s events a second, up to `burst` at once. The clock is handed
 * in.
 *
 *     if (!hl_token_bucket_try_take(&bucket, 1, now_ns))
 *         return HL_THROTTLED;
 *
 * The bucket remembers how many tokens were spent since its origin; how many were earned follows
 * from the time, in whole tokens, exactly: after t ns floor(t * rate / 10^9). So nothing is rounded
 * twice and it does not drift: in any stretch of time of length T at most burst + ceil(T * rate)
 * events pass. (It is the virtual scheduling algorithm of ITU-T I.371, GCRA, in units of a token
 * instead of a time.) A bucket that was full for a while forgets what it could have earned.
 *
 * Without a limit both calls are one branch. A clock that steps back earns nothing until it has
 * caught up; one that steps forward earns no more than `burst`.
 */
#ifndef HL_FLOW_TOKEN_BUCKET_H
#define HL_FLOW_TOKEN_BUCKET_H

#include <hotlane/flow.h>

typedef struct hl_token_bucket {
    uint64_t rate_per_s; /* 0: no limit */
    uint64_t burst;
    uint64_t origin_ns;
    uint64_t spent; /* tokens since the origin; never less than were earned burst tokens ago */
} hl_token_bucket;

/*
 * Checks the options. HL_OK, or HL_INVALID with "PLACE.field: ..." in `error`; `place` is how the
 * sentence begins ("topics[3].throttle"). Any thread.
 */
hl_status hl_throttle_options_check(const hl_throttle_options *options, const char *place,
                                    hl_error *error);

/* A full bucket. The options are checked ones; NULL: no limit. */
void hl_token_bucket_init(hl_token_bucket *bucket, const hl_throttle_options *options,
                          uint64_t now_ns);

/* For hl_token_bucket_try_take, where there is a limit. */
bool hl_token_bucket_take(hl_token_bucket *bucket, uint64_t count, uint64_t now_ns);
bool hl_token_bucket_take_shared(hl_token_bucket *bucket, uint64_t count, uint64_t now_ns);

/*
 * Takes `count` tokens, all or none; more than `burst` are never to be had. One thread at a time;
 * wait-free.
 */
static inline bool hl_token_bucket_try_take(hl_token_bucket *bucket, uint64_t count,
                                            uint64_t now_ns)
{
    return bucket->rate_per_s == 0 || hl_token_bucket_take(bucket, count, now_ns);
}

/* The same for any number of threads at once: lock-free, one compare-and-swap. */
static inline bool hl_token_bucket_try_take_shared(hl_token_bucket *bucket, uint64_t count,
                                                   uint64_t now_ns)
{
    return bucket->rate_per_s == 0 || hl_token_bucket_take_shared(bucket, count, now_ns);
}

/* Gives back tokens that were taken for an event that then could not be published. As
 * hl_token_bucket_try_take and ..._shared. */
void hl_token_bucket_give_back(hl_token_bucket *bucket, uint64_t count);
void hl_token_bucket_give_back_shared(hl_token_bucket *bucket, uint64_t count);

#endif
