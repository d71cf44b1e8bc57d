#include "floor.h"

#include <inttypes.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"
#include "base/error.h"
#include "observe/histogram.h"
#include "perf/payload.h"
#include "perf/threads.h"
#include "ring/order.h"

#define HISTOGRAM_DIGITS 3u
#define LOOK_SECONDS     0.001
#define GAP_LIMITS_NS      \
    {                      \
        1e3, 1e4, 1e5, 1e6 \
    }

/* ---- ping-pong ----------------------------------------------------------------------------- */

/*
 * Edges: MARK  lines[i].mark, written by one side (store release) -> the other (load acquire); it
 * stands for itself alone.
 */
typedef struct marked_line {
    alignas(64) uint64_t mark;
} marked_line;

/* What crosses from one core to the other: one line of it or both. */
typedef struct crossing {
    alignas(HL_LINE_PAIR) marked_line lines[2];
} crossing;

typedef struct ping_pong {
    crossing there; /* the publisher writes */
    crossing back;  /* the consumer writes */
    const perf_timer *timer;
    uint32_t lines; /* 1 or 2 */
    double seconds;
    hl_histogram *ticks; /* of round trips; the publisher records */
} ping_pong;

#define LAST_MARK UINT64_MAX

static inline void mark(crossing *to, uint32_t lines, uint64_t value)
{
    /* MARK: release. The second line first: whoever sees the first then finds the second. */
    if (lines == 2)
        hl_store_release_u64(&to->lines[1].mark, value);
    hl_store_release_u64(&to->lines[0].mark, value);
}

/* Waits for a mark of `least` or more. Both lines are asked for at once, as a wide core would. */
static inline uint64_t await_mark(const crossing *from, uint32_t lines, uint64_t least)
{
    for (;;) {
        /* MARK: acquire. */
        const uint64_t first = hl_load_acquire_u64(&from->lines[0].mark);
        const uint64_t second = lines == 2 ? hl_load_acquire_u64(&from->lines[1].mark) : first;
        if (first >= least && second >= least)
            return first;
    }
}

static void serve(void *context)
{
    ping_pong *const game = context;
    for (uint64_t round = 1;; round++) {
        const uint64_t seen = await_mark(&game->there, game->lines, round);
        mark(&game->back, game->lines, seen);
        if (seen == LAST_MARK)
            return;
    }
}

static void play(void *context)
{
    ping_pong *const game = context;
    const perf_timer *const timer = game->timer;
    const uint64_t end = perf_timer_after(timer, game->seconds * 1e9);
    uint64_t before = perf_timer_ticks(timer);
    for (uint64_t round = 1; before < end; round++) {
        mark(&game->there, game->lines, round);
        await_mark(&game->back, game->lines, round);
        const uint64_t after = perf_timer_ticks(timer);
        hl_histogram_record(game->ticks, after - before);
        before = after;
    }
    mark(&game->there, game->lines, LAST_MARK);
    await_mark(&game->back, game->lines, LAST_MARK);
}

static hl_status round_trip(const perf_floor_work *work, uint32_t lines, double *ret_ns,
                            hl_error *error)
{
    ping_pong *const game = hl_allocate(1, sizeof *game);
    hl_histogram *const ticks = hl_allocate(1, hl_histogram_size_bytes(HISTOGRAM_DIGITS));
    hl_status status = HL_NO_MEMORY;
    if (game == NULL || ticks == NULL) {
        hl_error_set(error, status, "no memory for a ping-pong");
    } else {
        hl_histogram_init(ticks, HISTOGRAM_DIGITS);
        game->timer = work->timer;
        game->lines = lines;
        game->seconds = work->seconds;
        game->ticks = ticks;
        const perf_thread threads[] = {{"publisher", work->cores->publisher, play, game},
                                       {"consumer", work->cores->consumer, serve, game}};
        status = perf_threads_run(threads, 2, error);
        *ret_ns = perf_timer_ns(work->timer, hl_histogram_value_at_percentile(ticks, 50));
    }
    free(ticks);
    free(game);
    return status;
}

hl_status perf_floor_round_trip_1_line(void *work, double *ret_ns, hl_error *error)
{
    return round_trip(work, 1, ret_ns, error);
}

hl_status perf_floor_round_trip_2_lines(void *work, double *ret_ns, hl_error *error)
{
    return round_trip(work, 2, ret_ns, error);
}

double perf_floor_look(void *context)
{
    perf_floor_work work = *(const perf_floor_work *)context;
    work.seconds = LOOK_SECONDS;
    double ns = 0;
    hl_error ignored;
    /* Where even this fails, what is measured next says why. */
    return perf_floor_round_trip_1_line(&work, &ns, &ignored) == HL_OK && ns > 0 ? ns : 1;
}

/* ---- stream copy --------------------------------------------------------------------------- */

/*
 * Edges: FILLED   filled: the publisher, after a block (store release) -> the consumer (load
 *                 acquire). The block's messages are whole.
 *        DRAINED  drained: the consumer, after a block (store release) -> the publisher (load
 *                 acquire). The block may be filled anew.
 *        FINISHED finished: the publisher, at the end (store release) -> the consumer (load
 *                 acquire). `filled` is the last.
 */
typedef struct stream_work {
    alignas(HL_LINE_PAIR) uint64_t filled;
    uint32_t finished;
    alignas(HL_LINE_PAIR) uint64_t drained;
    /* Read-only while it runs. */
    alignas(HL_LINE_PAIR) const perf_timer *timer;
    unsigned char *slots;
    uint32_t block;
    uint32_t ahead;
    double seconds;
    /* The consumer's. */
    alignas(HL_LINE_PAIR) uint64_t damaged;
    double per_s;
} stream_work;

static inline unsigned char *slot_of(const stream_work *s, uint64_t number)
{
    return s->slots + (number & (PERF_MESSAGE_SLOTS - 1)) * PERF_MESSAGE_BYTES;
}

static inline void fill_block(stream_work *s, uint64_t first)
{
    for (uint64_t number = first; number < first + s->block; number++) {
        if (s->ahead != 0) {
            unsigned char *const later = slot_of(s, number + s->ahead);
            hl_prefetch_write(later);
            hl_prefetch_write(later + 64);
        }
        perf_payload_fill(slot_of(s, number), PERF_MESSAGE_BYTES, number, 0);
    }
}

/* Writes a word of each line of a message back, unchanged: a line that the consumer has only read
 * stays in both caches, and the producer's next stores to it wait, one line after the other. */
static inline void rewrite(unsigned char *slot)
{
    for (uint32_t offset = 0; offset < PERF_MESSAGE_BYTES; offset += 64) {
        uint64_t *const word = (uint64_t *)(void *)(slot + offset);
        /* Relaxed: the consumer's until DRAINED. */
        hl_store_relaxed_u64(word, hl_load_relaxed_u64(word));
    }
}

/* How many of the block's messages are not what was sent. */
static inline uint64_t sum_block(const stream_work *s, uint64_t first)
{
    uint64_t damaged = 0;
    for (uint64_t number = first; number < first + s->block; number++) {
        unsigned char *const slot = slot_of(s, number);
        if (s->ahead != 0) {
            const unsigned char *const later = slot_of(s, number + s->ahead);
            hl_prefetch_read(later);
            hl_prefetch_read(later + 64);
        }
        damaged +=
            !perf_payload_whole(slot, PERF_MESSAGE_BYTES) || perf_payload_number(slot) != number;
        rewrite(slot);
    }
    return damaged;
}

static void stream_out(void *context)
{
    stream_work *const s = context;
    const uint64_t end = perf_timer_after(s->timer, s->seconds * 1e9);
    uint64_t filled = 0;
    uint64_t drained = 0;
    while (perf_timer_ticks(s->timer) < end) {
        while (filled + s->block - drained > PERF_MESSAGE_SLOTS)
            /* DRAINED: acquire, so that nothing is filled before it was read. */
            drained = hl_load_acquire_u64(&s->drained);
        fill_block(s, filled);
        filled += s->block;
        /* FILLED: release, after the messages. */
        hl_store_release_u64(&s->filled, filled);
    }
    /* FINISHED: release, after the last `filled`. */
    hl_store_release_u32(&s->finished, 1);
}

static void stream_in(void *context)
{
    stream_work *const s = context;
    uint64_t drained = 0;
    uint64_t damaged = 0;
    const uint64_t start = perf_timer_ticks(s->timer);
    for (;;) {
        /* FINISHED: acquire; looked at before `filled`, which then is the last. */
        const uint32_t finished = hl_load_acquire_u32(&s->finished);
        /* FILLED: acquire, so that the messages are whole. */
        const uint64_t filled = hl_load_acquire_u64(&s->filled);
        if (filled == drained && finished != 0)
            break;
        while (drained < filled) {
            damaged += sum_block(s, drained);
            drained += s->block;
            /* DRAINED: release, after the messages were read. */
            hl_store_release_u64(&s->drained, drained);
        }
    }
    s->damaged = damaged;
    s->per_s = (double)drained * 1e9 / perf_timer_ns(s->timer, perf_timer_ticks(s->timer) - start);
}

/* One thread that does both in turn. */
static void copy_in_core(void *context)
{
    stream_work *const s = context;
    const uint64_t start = perf_timer_ticks(s->timer);
    const uint64_t end = start + perf_timer_ticks_of(s->timer, s->seconds * 1e9);
    uint64_t number = 0;
    for (; perf_timer_ticks(s->timer) < end; number += s->block) {
        fill_block(s, number);
        /* Keeps the compiler from summing up what it has just put into registers. */
        __asm__ volatile("" : : : "memory");
        s->damaged += sum_block(s, number);
    }
    s->per_s = (double)number * 1e9 / perf_timer_ns(s->timer, perf_timer_ticks(s->timer) - start);
}

static hl_status run_stream(const perf_floor_work *work, const perf_thread *threads,
                            uint32_t thread_count, stream_work *s, double *ret_per_s,
                            hl_error *error)
{
    s->timer = work->timer;
    s->block = work->block;
    s->seconds = work->seconds;
    memset(s->slots, 0, (size_t)PERF_MESSAGE_SLOTS * PERF_MESSAGE_BYTES);
    const hl_status status = perf_threads_run(threads, thread_count, error);
    if (status != HL_OK)
        return status;
    if (s->damaged != 0)
        return hl_error_set(error, HL_NOT_CONSERVED, "%" PRIu64 " messages came damaged",
                            s->damaged);
    *ret_per_s = s->per_s;
    return HL_OK;
}

static hl_status copy(const perf_floor_work *work, bool between_cores, double *ret_per_s,
                      hl_error *error)
{
    stream_work *const s = hl_allocate(1, sizeof *s);
    unsigned char *const slots = hl_allocate(PERF_MESSAGE_SLOTS, PERF_MESSAGE_BYTES);
    hl_status status = HL_NO_MEMORY;
    if (s == NULL || slots == NULL) {
        hl_error_set(error, status, "no memory for %u messages", PERF_MESSAGE_SLOTS);
    } else {
        s->slots = slots;
        s->ahead = between_cores ? work->ahead : 0;
        const perf_thread both[] = {{"publisher", work->cores->publisher, stream_out, s},
                                    {"consumer", work->cores->consumer, stream_in, s}};
        const perf_thread one[] = {{"publisher", work->cores->publisher, copy_in_core, s}};
        status = run_stream(work, between_cores ? both : one, between_cores ? 2 : 1, s, ret_per_s,
                            error);
    }
    free(slots);
    free(s);
    return status;
}

hl_status perf_floor_stream_copy(void *work, double *ret_per_s, hl_error *error)
{
    return copy(work, true, ret_per_s, error);
}

hl_status perf_floor_core_copy(void *work, double *ret_per_s, hl_error *error)
{
    return copy(work, false, ret_per_s, error);
}

/* Which block size and prefetch copies fastest here: one short look at each. */
static hl_status find_best_stream(perf_floor_work *work, hl_error *error)
{
    static const uint32_t blocks[] = {8, 32, 256, 1024};
    static const uint32_t aheads[] = {0, 4, 12};
    perf_floor_work tried = *work;
    tried.seconds = work->seconds / 4;
    double best = 0;
    for (size_t b = 0; b < sizeof blocks / sizeof *blocks; b++) {
        for (size_t a = 0; a < sizeof aheads / sizeof *aheads; a++) {
            tried.block = blocks[b];
            tried.ahead = aheads[a];
            double per_s = 0;
            const hl_status status = perf_floor_stream_copy(&tried, &per_s, error);
            if (status != HL_OK)
                return status;
            if (per_s > best) {
                best = per_s;
                work->block = tried.block;
                work->ahead = tried.ahead;
            }
        }
    }
    return HL_OK;
}

/* ---- gaps ---------------------------------------------------------------------------------- */

typedef struct watch {
    const perf_timer *timer;
    double seconds;
    perf_gaps gaps;
} watch;

static void watch_gaps(void *context)
{
    static const double limits_ns[PERF_GAP_LIMITS] = GAP_LIMITS_NS;
    watch *const w = context;
    uint64_t limits[PERF_GAP_LIMITS];
    for (uint32_t i = 0; i < PERF_GAP_LIMITS; i++)
        limits[i] = perf_timer_ticks_of(w->timer, limits_ns[i]);
    const uint64_t start = perf_timer_ticks(w->timer);
    const uint64_t end = start + perf_timer_ticks_of(w->timer, w->seconds * 1e9);
    uint64_t longest = 0;
    for (uint64_t last = start; last < end;) {
        const uint64_t now = perf_timer_ticks(w->timer);
        const uint64_t gap = now - last;
        last = now;
        if (gap > longest)
            longest = gap;
        for (uint32_t i = 0; i < PERF_GAP_LIMITS && gap > limits[i]; i++)
            w->gaps.over[i]++;
    }
    w->gaps.max_ns = perf_timer_ns(w->timer, longest);
    w->gaps.watched_s = w->seconds;
}

hl_status perf_gaps_watch(const perf_timer *timer, uint32_t cpu, double seconds,
                          perf_gaps *ret_gaps, hl_error *error)
{
    watch w = {.timer = timer, .seconds = seconds};
    const perf_thread thread = {"watch", cpu, watch_gaps, &w};
    const hl_status status = perf_threads_run(&thread, 1, error);
    if (status == HL_OK)
        *ret_gaps = w.gaps;
    return status;
}

/* ---- all of it ----------------------------------------------------------------------------- */

/* Between two cores; on one CPU two spinning threads would measure the kernel's time slice. */
static hl_status measure_between(perf_floor_work *work, uint32_t repeats, perf_floor *floor,
                                 hl_error *error)
{
    const hl_status status = find_best_stream(work, error);
    if (status != HL_OK)
        return status;
    floor->stream_block = work->block;
    floor->stream_ahead = work->ahead;
    const perf_case cases[] = {
        {"round trip, 1 line", perf_floor_round_trip_1_line, work, 1, &floor->round_trip_1_line_ns},
        {"round trip, 2 lines", perf_floor_round_trip_2_lines, work, 1,
         &floor->round_trip_2_lines_ns},
        {"stream copy", perf_floor_stream_copy, work, 1, &floor->stream_copy_per_s},
        {"copy in one core", perf_floor_core_copy, work, 1, &floor->core_copy_per_s},
    };
    return perf_repeat(cases, sizeof cases / sizeof *cases, repeats, NULL, error);
}

static hl_status measure_within(perf_floor_work *work, uint32_t repeats, perf_floor *floor,
                                hl_error *error)
{
    const perf_case within = {"copy in one core", perf_floor_core_copy, work, 1,
                              &floor->core_copy_per_s};
    return perf_repeat(&within, 1, repeats, NULL, error);
}

hl_status perf_floor_measure(const perf_timer *timer, const perf_cores *cores,
                             const perf_floor_options *options, perf_floor *ret_floor,
                             hl_error *error)
{
    perf_floor floor = {.two_cores = perf_cores_are_two(cores)};
    floor.timer_ns = perf_timer_cost_ns(timer);
    perf_floor_work work = {timer, cores, options->seconds, 32, 0};
    hl_status status = floor.two_cores ? measure_between(&work, options->repeats, &floor, error)
                                       : measure_within(&work, options->repeats, &floor, error);
    if (status == HL_OK)
        status = perf_gaps_watch(timer, cores->publisher, options->seconds, &floor.publisher_gaps,
                                 error);
    if (status == HL_OK)
        status =
            perf_gaps_watch(timer, cores->consumer, options->seconds, &floor.consumer_gaps, error);
    if (status == HL_OK)
        *ret_floor = floor;
    return status;
}

static void print_gaps(const char *role, const perf_gaps *gaps, FILE *stream)
{
    fprintf(stream,
            "  gaps, %-22s over 1 us %" PRIu64 ", 10 us %" PRIu64 ", 100 us %" PRIu64
            ", 1 ms %" PRIu64 "; longest %.1f us (in %.2f s)\n",
            role, gaps->over[0], gaps->over[1], gaps->over[2], gaps->over[3], gaps->max_ns / 1e3,
            gaps->watched_s);
}

static void print_summary(const char *name, const perf_summary *summary, double unit,
                          const char *unit_name, FILE *stream)
{
    fprintf(stream, "  %-28s %8.1f %s (%.1f to %.1f)\n", name, summary->median / unit, unit_name,
            summary->min / unit, summary->max / unit);
}

void perf_floor_print(const perf_floor *floor, FILE *stream)
{
    fputs("floor, median (min to max)\n", stream);
    if (floor->two_cores) {
        print_summary("round trip, 1 line", &floor->round_trip_1_line_ns, 1, "ns", stream);
        print_summary("round trip, 2 lines", &floor->round_trip_2_lines_ns, 1, "ns", stream);
        print_summary("stream copy, 128 bytes", &floor->stream_copy_per_s, 1e6, "M/s", stream);
        fprintf(stream, "  %-28s blocks of %u, %u prefetched ahead\n",
                "  the best of several:", floor->stream_block, floor->stream_ahead);
    } else {
        fputs("  between cores                skipped: one CPU for both roles\n", stream);
    }
    print_summary("copy in one core, 128 bytes", &floor->core_copy_per_s, 1e6, "M/s", stream);
    fprintf(stream, "  %-28s %8.1f ns a reading\n", "timer", floor->timer_ns);
    print_gaps("publisher's core", &floor->publisher_gaps, stream);
    print_gaps("consumer's core", &floor->consumer_gaps, stream);
}

static json_t *gaps_json(const perf_gaps *gaps)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:f, s:f}", "over_1_us", (json_int_t)gaps->over[0],
                     "over_10_us", (json_int_t)gaps->over[1], "over_100_us",
                     (json_int_t)gaps->over[2], "over_1_ms", (json_int_t)gaps->over[3], "max_ns",
                     gaps->max_ns, "watched_s", gaps->watched_s);
}

/* NAME: median; NAME_min, NAME_max. */
static void set_summary(json_t *object, const char *name, const perf_summary *summary)
{
    char key[64];
    json_object_set_new(object, name, json_real(summary->median));
    snprintf(key, sizeof key, "%s_min", name);
    json_object_set_new(object, key, json_real(summary->min));
    snprintf(key, sizeof key, "%s_max", name);
    json_object_set_new(object, key, json_real(summary->max));
}

json_t *perf_floor_json(const perf_floor *floor)
{
    json_t *const object = json_object();
    if (floor->two_cores) {
        set_summary(object, "round_trip_1_line_ns", &floor->round_trip_1_line_ns);
        set_summary(object, "round_trip_2_lines_ns", &floor->round_trip_2_lines_ns);
        set_summary(object, "stream_copy_msgs_per_s", &floor->stream_copy_per_s);
        json_object_set_new(object, "stream_block", json_integer(floor->stream_block));
        json_object_set_new(object, "stream_prefetch", json_integer(floor->stream_ahead));
    }
    set_summary(object, "core_copy_msgs_per_s", &floor->core_copy_per_s);
    json_object_set_new(object, "timer_ns", json_real(floor->timer_ns));
    json_object_set_new(object, "publisher_gaps", gaps_json(&floor->publisher_gaps));
    json_object_set_new(object, "consumer_gaps", gaps_json(&floor->consumer_gaps));
    return object;
}
