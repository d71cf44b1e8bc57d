/*
 * Adapters: how code that was there before goes on the bus without being touched.
 *
 * A feed that calls back, `void callback(const void *data, size_t size, void *context)`, is given
 * hl_adapter_feed as its callback and the adapter as its context: each call is published, and then
 * handed on to the callback that stood there before, if there was one.
 *
 *     hl_adapter_options options = HL_ADAPTER_OPTIONS_INIT;
 *     options.topic = ticks;
 *     options.then = old_callback;
 *     options.then_context = old_context;
 *     hl_adapter_open(bus, "feed", &options, &adapter);
 *     feed_set_callback(feed, hl_adapter_feed, adapter);
 *
 * A synchronous function keeps its callers; what it returns is published on the way, and returned
 * unchanged, whatever became of the publishing:
 *
 *     double fair = hl_adapter_result(adapter, instrument, price_of(instrument));
 *
 * An adapter publishes from one thread at a time, or with `shared` from any number at once. It
 * never waits: what finds no room, or is over the throttle, is counted and not published.
 */
#ifndef HOTLANE_ADAPTER_H
#define HOTLANE_ADAPTER_H

#include <hotlane/bus.h>

typedef struct hl_adapter hl_adapter;

/* The shape of a feed's callback. */
typedef void (*hl_feed_callback)(const void *data, size_t size, void *context);

typedef struct hl_adapter_options {
    size_t size;
    hl_topic topic; /* where to */
    bool shared;    /* any number of threads may call at once */
    /* The key of an event; NULL: always 0. */
    uint64_t (*key)(const void *data, size_t size, void *context);
    void *key_context;
    hl_throttle_options throttle; /* of all its calls; not on CRITICAL and HIGH, as everywhere */
    hl_feed_callback then;        /* called after each hl_adapter_feed; NULL: nobody */
    void *then_context;
} hl_adapter_options;

#define HL_ADAPTER_OPTIONS_INIT                                                                \
    {                                                                                          \
        sizeof(hl_adapter_options), {UINT32_MAX}, false, NULL, NULL, HL_THROTTLE_OPTIONS_INIT, \
            NULL, NULL                                                                         \
    }

/* calls = published + throttled + full + failed */
typedef struct hl_adapter_stats {
    uint64_t calls;
    uint64_t published;
    uint64_t throttled; /* over the limit, or refused for load */
    uint64_t full;      /* no room in the lane */
    uint64_t failed;    /* too large, or the bus is closed */
} hl_adapter_stats;

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Opens an adapter, and a publisher of that name. Not on a hot path. HL_OK: it is the caller's,
 * hl_adapter_close. HL_INVALID: options of another size, or no such topic; else as
 * hl_publisher_open; hl_bus_error has the sentence.
 */
HL_API hl_status hl_adapter_open(hl_bus *bus, const char *name, const hl_adapter_options *options,
                                 hl_adapter **ret_adapter);

/* Closes it; nobody may be in a call of it any more. NULL is nothing. */
HL_API void hl_adapter_close(hl_adapter *adapter);

/* An hl_feed_callback; `adapter`: an hl_adapter. Wait-free (`shared`: lock-free), but for `then`.
 */
HL_API void hl_adapter_feed(const void *data, size_t size, void *adapter);

/* Publishes `size` bytes with that key. As hl_adapter_feed, without `then`; what hl_try_publish
 * answers, which may be ignored: it is counted. */
HL_API hl_status hl_adapter_publish(hl_adapter *adapter, uint64_t key, const void *data,
                                    size_t size);

/* Exact at rest. Any thread. */
HL_API void hl_adapter_stats_read(const hl_adapter *adapter, hl_adapter_stats *ret_stats);

#ifdef __cplusplus
}
#endif

/* The value of `call`, evaluated once, published as its bytes: any type that can be copied so. */
#if defined(__GNUC__)
#define hl_adapter_result(adapter, key, call)                                             \
    __extension__({                                                                       \
        __typeof__(call) hl_adapter_value = (call);                                       \
        hl_adapter_publish((adapter), (key), &hl_adapter_value, sizeof hl_adapter_value); \
        hl_adapter_value;                                                                 \
    })
#endif

#endif
