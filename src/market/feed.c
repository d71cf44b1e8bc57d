#include "market/feed.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "base/error.h"
#include "market/keys.h"
#include "market/payloads.h"

#define LONGEST_NAP_NS (20 * HL_MILLISECOND) /* so that a stop is soon heard */
#define SPIN_NS        (60 * HL_MICROSECOND) /* what a nap may oversleep */

struct market_feed {
    hl_bus *bus;
    hl_publisher *publisher;
    hl_topic topic;
    uint32_t input;
    const market_recording *recording;
    market_feed_options options;
    market_keys instruments; /* that have orders: cleared between passes */
    uint64_t origin_ns;      /* the first message's time, but for a snapshot's */
    uint64_t period_ns;      /* what each pass adds to the times */
    uint64_t busiest_ns;     /* where the busiest second begins */
    char name[32];
    /* Where it is. */
    uint64_t pass;
    size_t index;    /* the next message */
    uint32_t clears; /* instruments cleared before this pass */
    uint64_t start_ns;
    /* Of the next ones, what was published before: */
    uint64_t passed_over; /* how many of them are left, */
    uint64_t *left_of;    /* and of each partition from first_partition on; NULL: none ever were */
    uint32_t first_partition;
    bool is_resumed; /* the next message is due at once, whenever that was */
    bool only_cpu;   /* the process has a single CPU */
    hl_error failure;
    pthread_t thread;
    bool started;
    atomic_bool stop;
    atomic_bool done;
    _Atomic uint64_t published;
};

void market_feed_name(uint32_t input, char ret_name[32])
{
    snprintf(ret_name, 32, "feed-%u", input);
}

/* ---- what comes next ----------------------------------------------------------------------- */

static bool at_end(const market_feed *feed)
{
    return feed->recording->count == 0 ||
           (feed->options.passes != 0 && feed->pass >= feed->options.passes);
}

static bool clearing(const market_feed *feed)
{
    return feed->pass != 0 && feed->clears < feed->instruments.count;
}

static uint64_t shift_ns(const market_feed *feed)
{
    return feed->pass * feed->period_ns;
}

static uint32_t next_instrument(const market_feed *feed)
{
    return clearing(feed) ? (uint32_t)feed->instruments.keys[feed->clears]
                          : feed->recording->messages[feed->index].instrument;
}

/* Writes the next message where it shall be. */
static inline void write_next(const market_feed *feed, market_message *ret_message)
{
    if (clearing(feed)) {
        *ret_message = (market_message){.exchange_ns = feed->origin_ns + shift_ns(feed),
                                        .instrument = next_instrument(feed),
                                        .action = MARKET_CLEAR,
                                        .side = 'N'};
        return;
    }
    *ret_message = feed->recording->messages[feed->index];
    ret_message->exchange_ns += shift_ns(feed);
}

/* Goes on to the message after the next one. */
static inline void step(market_feed *feed)
{
    if (clearing(feed)) {
        feed->clears++;
        return;
    }
    if (++feed->index == feed->recording->count) {
        feed->index = 0;
        feed->clears = 0;
        feed->pass++;
    }
}

/* Of market_feed_place: where the next message goes. */
static uint32_t place_of_next(const market_feed *feed)
{
    uint32_t partition = feed->first_partition;
    (void)hl_topic_partition(feed->bus, feed->topic, market_key(feed->input, next_instrument(feed)),
                             &partition);
    return partition - feed->first_partition;
}

/* Over those that were published before. */
static void pass_over(market_feed *feed)
{
    while (feed->passed_over != 0 && !at_end(feed)) {
        uint64_t *const left = &feed->left_of[place_of_next(feed)];
        if (*left == 0)
            return;
        *left -= 1;
        feed->passed_over--;
        step(feed);
    }
}

/* The next message is published. */
static inline void count_published(market_feed *feed)
{
    /* Relaxed, and not a read-modify-write: one writer, a number for progress reports. */
    atomic_store_explicit(&feed->published,
                          atomic_load_explicit(&feed->published, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    step(feed);
    if (feed->passed_over != 0)
        pass_over(feed);
}

uint64_t market_feed_next_ns(const market_feed *feed)
{
    if (at_end(feed))
        return UINT64_MAX;
    if (clearing(feed))
        return feed->origin_ns + shift_ns(feed);
    const market_message *const message = &feed->recording->messages[feed->index];
    /* A snapshot's orders keep the times of their entry, days ago: it belongs to the start. */
    const uint64_t own_ns =
        message->flags & MARKET_SNAPSHOT ? feed->origin_ns : message->exchange_ns;
    return own_ns + shift_ns(feed);
}

hl_status market_feed_publish(market_feed *feed)
{
    if (at_end(feed))
        return HL_NOT_FOUND;
    hl_claim claim;
    const hl_status status =
        hl_try_claim(feed->publisher, feed->topic, market_key(feed->input, next_instrument(feed)),
                     sizeof(market_message), &claim);
    if (status != HL_OK)
        return status;
    write_next(feed, claim.payload);
    hl_commit(&claim);
    count_published(feed);
    return HL_OK;
}

static bool same_message(const market_message *a, const market_message *b)
{
    market_message like = *a;
    like.exchange_ns = b->exchange_ns;
    return memcmp(&like, b, sizeof like) == 0;
}

static void begin_at_start(market_feed *feed)
{
    feed->pass = 0;
    feed->index = 0;
    feed->clears = 0;
}

/* Whether the messages that the places tell of are this recording's: each one's last is where it
 * should be. Leaves it behind the last of them all. */
static bool are_own(market_feed *feed, const market_feed_place *places, uint32_t count,
                    uint64_t *seen_of)
{
    const uint64_t whole_pass = feed->recording->count + feed->instruments.count;
    uint64_t idle =
        0; /* since one that a place tells of: in a whole pass there would be one more */
    uint32_t found = 0;
    for (uint32_t i = 0; i < count; i++)
        found += places[i].count == 0;
    while (found < count && !at_end(feed) && idle <= whole_pass) {
        const uint32_t to = place_of_next(feed);
        if (to >= count)
            return false;
        idle = seen_of[to] < places[to].count ? 0 : idle + 1;
        if (++seen_of[to] == places[to].count) {
            market_message message;
            write_next(feed, &message);
            if (!same_message(&message, &places[to].last))
                return false;
            found++;
        }
        step(feed);
    }
    return found == count;
}

hl_status market_feed_resume(market_feed *feed, const market_feed_place *places,
                             uint32_t first_partition, uint32_t count)
{
    uint64_t *const left_of = calloc(count, sizeof *left_of);
    if (left_of == NULL)
        return HL_NO_MEMORY;
    feed->first_partition = first_partition;
    const bool own = are_own(feed, places, count, left_of);
    begin_at_start(feed);
    if (!own) {
        free(left_of);
        return HL_NOT_FOUND;
    }
    free(feed->left_of);
    feed->left_of = left_of;
    feed->passed_over = 0;
    for (uint32_t i = 0; i < count; i++) {
        left_of[i] = places[i].count;
        feed->passed_over += places[i].count;
    }
    pass_over(feed);
    feed->is_resumed = true;
    return HL_OK;
}

/* ---- the thread ---------------------------------------------------------------------------- */

static bool stopping(const market_feed *feed)
{
    /* Relaxed: nothing else is handed over with it. */
    return atomic_load_explicit(&feed->stop, memory_order_relaxed);
}

/* What the dense seconds up to a time of the data, one in each pass, are shorter by. */
static uint64_t saved_ns(const market_feed *feed, uint64_t at_ns)
{
    if (feed->options.burst <= 1)
        return 0;
    const uint64_t a_second_ns = HL_SECOND - HL_SECOND / feed->options.burst;
    const uint64_t begins_ns = feed->busiest_ns + shift_ns(feed);
    if (at_ns <= begins_ns)
        return feed->pass * a_second_ns;
    const uint64_t into_ns = at_ns - begins_ns < HL_SECOND ? at_ns - begins_ns : HL_SECOND;
    return feed->pass * a_second_ns + into_ns - into_ns / feed->options.burst;
}

/* When the next message is due, bus time; 0: now. */
static uint64_t due_ns(const market_feed *feed)
{
    if (feed->options.rate != 0) {
        const uint64_t sent = atomic_load_explicit(&feed->published, memory_order_relaxed);
        return feed->start_ns +
               (uint64_t)((unsigned __int128)sent * HL_SECOND / feed->options.rate);
    }
    if (feed->options.speed <= 0.0)
        return 0;
    const uint64_t at_ns = market_feed_next_ns(feed);
    if (at_ns <= feed->origin_ns)
        return 0;
    const uint64_t elapsed_ns = at_ns - feed->origin_ns - saved_ns(feed, at_ns);
    return feed->start_ns + (uint64_t)((double)elapsed_ns / feed->options.speed);
}

static void wait_until(const market_feed *feed, uint64_t due)
{
    while (!stopping(feed)) {
        const uint64_t now_ns = hl_bus_now_ns(feed->bus);
        if (now_ns >= due)
            return;
        uint64_t left_ns = due - now_ns;
        if (left_ns <= SPIN_NS) {
            if (feed->only_cpu)
                sched_yield(); /* what was published is waiting for this very CPU */
            continue;
        }
        left_ns -= SPIN_NS;
        if (left_ns > LONGEST_NAP_NS)
            left_ns = LONGEST_NAP_NS;
        const struct timespec nap = {.tv_nsec = (long)left_ns};
        nanosleep(&nap, NULL);
    }
}

/* Publishes the next message, waiting for room. */
static hl_status publish_waiting(market_feed *feed)
{
    const uint64_t key = market_key(feed->input, next_instrument(feed));
    hl_claim claim;
    for (;;) {
        const hl_status status =
            hl_claim_wait(feed->publisher, feed->topic, key, sizeof(market_message), &claim);
        if (status == HL_OK)
            break;
        if (status != HL_FULL && status != HL_TIMEOUT && status != HL_THROTTLED)
            return status;
        if (stopping(feed))
            return HL_CLOSED;
        sched_yield(); /* the domain's policy is to refuse: the feed's is to wait */
    }
    write_next(feed, claim.payload);
    hl_commit(&claim);
    count_published(feed);
    return HL_OK;
}

static void settle_down(market_feed *feed)
{
    cpu_set_t allowed;
    feed->only_cpu =
        sched_getaffinity(0, sizeof allowed, &allowed) == 0 && CPU_COUNT(&allowed) == 1;
    uint32_t cpu;
    hl_error error;
    /* The plan has no CPU for it, or it may not be used: the scheduler finds one. */
    if (hl_bus_publisher_cpu(feed->bus, feed->name, &cpu) == HL_OK)
        (void)hl_pin_to_cpu(cpu, &error);
    prctl(PR_SET_NAME, feed->name, 0, 0, 0);
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
}

static void *feed_main(void *context)
{
    market_feed *const feed = context;
    settle_down(feed);
    feed->start_ns = hl_bus_now_ns(feed->bus);
    if (feed->is_resumed && feed->options.speed > 0.0)
        feed->start_ns -= due_ns(feed) - feed->start_ns;
    const bool paced = feed->options.rate != 0 || feed->options.speed > 0.0;
    hl_status status = HL_OK;
    while (status == HL_OK && !at_end(feed) && !stopping(feed)) {
        if (paced) {
            wait_until(feed, due_ns(feed));
            if (stopping(feed))
                break;
        }
        status = publish_waiting(feed);
    }
    if (status != HL_OK && status != HL_CLOSED)
        hl_error_set(&feed->failure, status, "%s: cannot publish: %s", feed->name,
                     hl_status_text(status));
    /* Release: whoever sees that it is done sees what it did. */
    atomic_store_explicit(&feed->done, true, memory_order_release);
    return NULL;
}

/* ---- life ---------------------------------------------------------------------------------- */

static void read_times(market_feed *feed)
{
    const market_recording *const recording = feed->recording;
    uint64_t last_ns = 0;
    bool live = false;
    for (size_t index = 0; index < recording->count; index++) {
        const market_message *const message = &recording->messages[index];
        if (message->exchange_ns > last_ns)
            last_ns = message->exchange_ns;
        if (!live && !(message->flags & MARKET_SNAPSHOT)) {
            feed->origin_ns = message->exchange_ns;
            live = true;
        }
    }
    if (!live && recording->count != 0)
        feed->origin_ns = recording->messages[0].exchange_ns;
    feed->period_ns = (last_ns > feed->origin_ns ? last_ns - feed->origin_ns : 0) + HL_SECOND;
}

/* The second with the most messages: by a window that is moved over the recording, whose times do
 * not go back but for a snapshot's. */
static void find_busiest(market_feed *feed)
{
    const market_recording *const recording = feed->recording;
    size_t first = 0, most = 0;
    feed->busiest_ns = feed->origin_ns;
    for (size_t last = 0; last < recording->count; last++) {
        const uint64_t end_ns = recording->messages[last].exchange_ns;
        if (end_ns < feed->origin_ns) {
            first = last + 1;
            continue;
        }
        while (first < last && recording->messages[first].exchange_ns + HL_SECOND <= end_ns)
            first++;
        if (last - first + 1 > most) {
            most = last - first + 1;
            feed->busiest_ns = recording->messages[first].exchange_ns;
        }
    }
}

static hl_status read_instruments(market_feed *feed)
{
    hl_status status = market_keys_init(&feed->instruments, 0);
    for (size_t index = 0; status == HL_OK && index < feed->recording->count; index++) {
        const market_message *const message = &feed->recording->messages[index];
        const bool in_book = message->action != MARKET_STATUS && message->action != MARKET_TRADE;
        if (in_book && market_keys_number(&feed->instruments, message->instrument) == MARKET_NO_KEY)
            status = HL_NO_MEMORY;
    }
    return status;
}

hl_status market_feed_open(hl_bus *bus, hl_topic topic, uint32_t input,
                           const market_recording *recording, const market_feed_options *options,
                           market_feed **ret_feed, hl_error *error)
{
    market_feed *const feed = calloc(1, sizeof *feed);
    if (feed == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "feed %u: out of memory", input);
    feed->bus = bus;
    feed->topic = topic;
    feed->input = input;
    feed->recording = recording;
    feed->options = *options;
    market_feed_name(input, feed->name);
    read_times(feed);
    find_busiest(feed);
    hl_status status = read_instruments(feed);
    if (status != HL_OK) {
        market_feed_close(feed);
        return hl_error_set(error, status, "feed %u: out of memory", input);
    }
    hl_publisher_options publisher_options = HL_PUBLISHER_OPTIONS_INIT;
    publisher_options.uses = "market_data";
    status = hl_publisher_open(bus, feed->name, &publisher_options, &feed->publisher);
    if (status != HL_OK) {
        feed->publisher = NULL;
        market_feed_close(feed);
        hl_error reason;
        hl_bus_error(bus, &reason);
        return hl_error_set(error, status, "feed %u: %s", input, reason.text);
    }
    *ret_feed = feed;
    return HL_OK;
}

hl_status market_feed_start(market_feed *feed, hl_error *error)
{
    const int code = pthread_create(&feed->thread, NULL, feed_main, feed);
    if (code != 0)
        return hl_error_set(error, HL_SYSTEM, "%s: no thread can be started: %s", feed->name,
                            strerror(code));
    feed->started = true;
    return HL_OK;
}

void market_feed_stop(market_feed *feed)
{
    atomic_store_explicit(&feed->stop, true, memory_order_relaxed);
}

bool market_feed_done(const market_feed *feed)
{
    return atomic_load_explicit(&feed->done, memory_order_acquire);
}

uint64_t market_feed_published(const market_feed *feed)
{
    return atomic_load_explicit(&feed->published, memory_order_relaxed);
}

hl_status market_feed_join(market_feed *feed, hl_error *error)
{
    if (feed->started)
        pthread_join(feed->thread, NULL);
    feed->started = false;
    if (feed->failure.status != HL_OK && error != NULL)
        *error = feed->failure;
    return feed->failure.status;
}

void market_feed_close(market_feed *feed)
{
    if (feed == NULL)
        return;
    market_feed_stop(feed);
    market_feed_join(feed, NULL);
    if (feed->publisher != NULL)
        hl_publisher_close(feed->publisher);
    market_keys_free(&feed->instruments);
    free(feed->left_of);
    free(feed);
}
