/*
 * Sampling by key: the first event of a key opens a window, newer ones replace it, and the newest
 * is delivered when the window closes. Nothing older survives, the newest always does; a key
 * without events has no window and costs nothing.
 *
 *     bool replaced;
 *     if (hl_sampler_offer(sampler, topic, key, event, size, now_ns, &replaced) == HL_OK)
 *         count(replaced ? conflated : held);
 *     ...
 *     const void *value;                                   // between two events of the partition
 *     while ((value = hl_sampler_due(sampler, now_ns)) != NULL && deliver(value))
 *         hl_sampler_close_next(sampler);
 *
 * All windows are equally long, so that they close in the order they were opened, and a queue is
 * all the timer there is. Each closes at its own opening + window: keys that came at different
 * times go at different times; those that came at once are spread over looks by the owner
 * (closes_per_look, valve.h).
 *
 * Values are copied into a store made at create; no allocation after. One thread (a partition's);
 * every call takes constant time but create and destroy.
 */
#ifndef HL_FLOW_SAMPLER_H
#define HL_FLOW_SAMPLER_H

#include <hotlane/flow.h>

typedef struct hl_sampler hl_sampler;

/* HL_OK, or HL_INVALID with "PLACE.field: ..." in `error`. Any thread. */
hl_status hl_sampling_options_check(const hl_sampling_options *options, const char *place,
                                    hl_error *error);

/*
 * Makes a sampler for values of at most slot_size bytes (1 to 65600). On HL_OK *ret_sampler is the
 * caller's: hl_sampler_destroy. HL_INVALID: an option (`place` begins the sentence), a window of 0
 * too: that is no sampler. HL_NO_MEMORY.
 */
hl_status hl_sampler_create(const hl_sampling_options *options, const char *place,
                            uint32_t slot_size, hl_sampler **ret_sampler, hl_error *error);

/* Values that wait are gone: close them all first (hl_sampler_close_next). NULL is nothing. */
void hl_sampler_destroy(hl_sampler *sampler);

/*
 * Makes a copy of the `size` bytes at `value` the newest of (group, key), opening a window unless
 * one is open. *ret_replaced: a value that waited will never be delivered.
 * - HL_OK
 * - HL_LIMIT: max_keys windows are open and this would be one more: deliver it as it is.
 * - HL_TOO_LARGE: over slot_size.
 */
hl_status hl_sampler_offer(hl_sampler *sampler, uint32_t group, uint64_t key, const void *value,
                           uint32_t size, uint64_t now_ns, bool *ret_replaced);

/* The newest value of the next window that is due, which stays open; NULL: none is. To be closed by
 * hl_sampler_close_next. The value is the caller's to change. */
void *hl_sampler_due(const hl_sampler *sampler, uint64_t now_ns);

/* The value that waits for (group, key), the caller's to replace; NULL: no window is open. */
void *hl_sampler_find(const hl_sampler *sampler, uint32_t group, uint64_t key);

/* Closes the next window, whether due or not (when sampling ends, or the bus stops): its newest
 * value, valid, and the caller's to change, until the next call on this sampler. NULL: none is
 * open. */
void *hl_sampler_close_next(hl_sampler *sampler);

/* When the next window is due; UINT64_MAX: none is open. */
uint64_t hl_sampler_next_ns(const hl_sampler *sampler);

/* Windows that are open, each with one value that waits. */
uint32_t hl_sampler_pending(const hl_sampler *sampler);

#endif
