/* A process with a whole bus, whose handlers give up every event, is killed again and again while
 * it writes its dead letters: what was acknowledged is there, nothing twice, and all of it can be
 * redriven in the end. Ten times, two hundred times with HOTLANE_LONG=1. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/random.h"
#include "tests/temporary_directory.h"
#include "own_bus.h"

#define KILLS_SHORT 10u
#define KILLS_LONG  200u
#define LIVES       5u    /* kills, whose letters lie in one file */
#define LIFE_EVENTS 1000u /* then a process only waits to be killed */
#define WORKERS     2u
#define KEYS        11u
#define NUMBERS     (LIVES * LIFE_EVENTS)
#define WORDS_MAX   7u /* of a payload, so that records have many sizes */

/* ---- who fails ---- */

typedef enum loser { REJECTS, GIVES_UP, REJECTS_ON_WORKERS, FAILS_IN_BATCHES, LOSERS } loser;

static const char *const names[LOSERS] = {"rejects", "gives up", "rejects on workers",
                                          "fails in batches"};

/* Of all processes of one file. An event's number is in its payload, and given out once. */
typedef struct shared {
    uint64_t next;         /* the next number: stored before the one before it is published */
    uint64_t acknowledged; /* letters in all */
    unsigned char is_acknowledged[LOSERS][NUMBERS]; /* stored when the file had it */
    unsigned char is_found[LOSERS][NUMBERS];        /* the watching process's alone */
    uint64_t handled[LOSERS][NUMBERS];              /* redriven at the end */
} shared;

static shared *with;
static uint32_t all_is_well; /* to the handlers: at the end none fails any more */

static uint32_t words_of(uint64_t number)
{
    return 1 + (uint32_t)(number * 5 % WORDS_MAX);
}

static hl_status lose(const hl_event *event, loser who)
{
    const uint64_t number = own_value(event);
    if (hl_load_relaxed_u32(&all_is_well) != 0) {
        hl_fetch_add_relaxed_u64(&with->handled[who][number % NUMBERS], 1);
        return HL_OK;
    }
    return who == REJECTS || who == REJECTS_ON_WORKERS
               ? HL_REJECT
               : hl_fail(event, 7, "no account for %llu", (unsigned long long)number);
}

static hl_status lose_one(const hl_event *event, hl_publisher *out, void *context)
{
    (void)out;
    return lose(event, *(const loser *)context);
}

static hl_status lose_all(const hl_batch *batch, hl_publisher *out, void *context)
{
    (void)context;
    for (uint32_t i = 0; i < batch->count; i++) {
        const hl_status status = lose(batch->events[i], FAILS_IN_BATCHES);
        if (status != HL_OK)
            return status;
        cr_assert_eq(hl_batch_taken(out, i + 1), HL_OK);
    }
    return HL_OK;
}

static void subscribe_losers(hl_bus *bus)
{
    static const loser who[LOSERS] = {REJECTS, GIVES_UP, REJECTS_ON_WORKERS, FAILS_IN_BATCHES};
    hl_retry_options retry = HL_RETRY_OPTIONS_INIT;
    retry.attempts = 1;
    retry.base_ns = 10 * HL_MICROSECOND;
    for (int i = 0; i < LOSERS; i++) {
        hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
        options.name = names[i];
        options.retry = &retry;
        if (i == REJECTS_ON_WORKERS)
            options.async = HL_ASYNC_BY_KEY;
        if (i == FAILS_IN_BATCHES)
            options.batch = lose_all;
        cr_assert_eq(hl_subscribe(bus, "market_data.trade", i == FAILS_IN_BATCHES ? NULL : lose_one,
                                  (void *)(uintptr_t)&who[i], &options, NULL),
                     HL_OK);
    }
}

static hl_bus *open_bus(const char *path)
{
    hl_bus *const bus = own_create_with_letters(WORKERS, path);
    own_topic(bus, "market_data.trade", HL_DELTA);
    subscribe_losers(bus);
    return own_start_created(bus);
}

/* ---- letters ---- */

static loser loser_of(const hl_dead_letter *letter)
{
    int who = 0;
    while (who < LOSERS && strcmp(letter->subscription, names[who]) != 0)
        who++;
    cr_assert_lt(who, LOSERS, "no one is called \"%s\"", letter->subscription);
    return (loser)who;
}

/* Its number, after all of it was found to be as it was published. */
static uint64_t number_of(const hl_dead_letter *letter)
{
    const hl_event *const event = letter->event;
    const uint64_t number = own_value(event);
    const loser who = loser_of(letter);
    char text[64] = "";
    if (who == GIVES_UP)
        snprintf(text, sizeof text, "no account for %llu", (unsigned long long)number);
    cr_assert_lt(number, hl_load_acquire_u64(&with->next));
    cr_assert_eq(event->payload_size, words_of(number) * sizeof number);
    for (uint32_t i = 0; i < words_of(number); i++)
        cr_assert_eq(((const uint64_t *)hl_payload(event))[i], number);
    cr_assert_eq(event->key, number % KEYS);
    cr_assert_str_eq(letter->topic, "market_data.trade");
    cr_assert_str_eq(letter->source, "feed");
    /* The rest of a batch may have failed with the text of its first that did. */
    cr_assert(who == FAILS_IN_BATCHES || strcmp(letter->error_text, text) == 0, "%s: \"%s\"",
              letter->subscription, letter->error_text);
    return number;
}

/* ---- the process that is killed ---- */

typedef struct listed {
    uint64_t last_id;
    uint32_t count;
    struct {
        loser who;
        uint64_t number;
    } letters[8192];
} listed;

static bool note(const hl_dead_letter *letter, void *context)
{
    listed *const to = context;
    if (letter->id <= to->last_id)
        return true;
    to->last_id = letter->id;
    to->letters[to->count].who = loser_of(letter);
    to->letters[to->count++].number = number_of(letter);
    return to->count < sizeof to->letters / sizeof *to->letters;
}

/* Whatever is a letter now, and then written: acknowledged. */
static void *acknowledge(void *context)
{
    static listed seen;
    hl_dlq *const dlq = hl_bus_dlq(context);
    for (;;) {
        hl_dlq_filter filter = HL_DLQ_FILTER_INIT;
        seen.count = 0;
        cr_assert_eq(hl_dlq_list(dlq, &filter, note, &seen, NULL), HL_OK);
        cr_assert_eq(hl_dlq_sync(dlq, NULL), HL_OK);
        for (uint32_t i = 0; i < seen.count; i++) {
            unsigned char *const is_acknowledged =
                &with->is_acknowledged[seen.letters[i].who][seen.letters[i].number];
            hl_fetch_add_relaxed_u64(&with->acknowledged, *is_acknowledged == 0);
            *is_acknowledged = 1;
        }
        usleep(200);
    }
    return NULL;
}

static void live_until_killed(const char *path)
{
    uint64_t payload[WORDS_MAX];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    hl_bus *const bus = open_bus(path);
    const hl_topic trade = own_topic(bus, "market_data.trade", HL_DELTA);
    hl_publisher *const feed = own_publisher(bus, "feed", "market_data");
    own_thread(acknowledge, bus);
    for (uint32_t event = 0; event < LIFE_EVENTS; event++) {
        const uint64_t number = with->next;
        hl_store_release_u64(&with->next, number + 1);
        for (uint32_t i = 0; i < words_of(number); i++)
            payload[i] = number;
        while (hl_try_publish(feed, trade, number % KEYS, payload,
                              words_of(number) * sizeof number) == HL_FULL)
            sched_yield();
    }
    for (;;)
        pause();
}

/* ---- the one that watches ---- */

static hl_dlq *open_file(const char *path)
{
    hl_dlq_options options = HL_DLQ_OPTIONS_INIT;
    options.path = path;
    hl_dlq *dlq = NULL;
    hl_error error = {.text = ""};
    cr_assert_eq(hl_dlq_open(&options, &dlq, &error), HL_OK, "%s", error.text);
    return dlq;
}

static void close_file(hl_dlq *dlq)
{
    hl_error error = {.text = ""};
    cr_assert_eq(hl_dlq_close(dlq, &error), HL_OK, "%s", error.text);
}

static bool find(const hl_dead_letter *letter, void *context)
{
    unsigned char *const is_found = &with->is_found[loser_of(letter)][number_of(letter)];
    cr_assert_eq(*is_found, 0, "%s: %llu is there twice", letter->subscription,
                 (unsigned long long)number_of(letter));
    *is_found = 1;
    ++*(uint64_t *)context;
    return true;
}

/* All that was acknowledged is in the file, once. The number of letters. */
static uint64_t check_letters(hl_dlq *dlq)
{
    uint64_t count = 0;
    hl_error error = {.text = ""};
    memset(with->is_found, 0, sizeof with->is_found);
    cr_assert_eq(hl_dlq_list(dlq, NULL, find, &count, &error), HL_OK, "%s", error.text);
    for (int who = 0; who < LOSERS; who++)
        for (uint64_t number = 0; number < with->next; number++)
            cr_assert(!with->is_acknowledged[who][number] || with->is_found[who][number],
                      "%s: %llu was acknowledged, and is lost", names[who],
                      (unsigned long long)number);
    return count;
}

/* Mostly once some of its letters are acknowledged; else wherever it is, in its start perhaps. */
static void kill_one(const char *path, uint64_t *random)
{
    const uint64_t before = hl_load_relaxed_u64(&with->acknowledged);
    const pid_t victim = fork();
    cr_assert_geq(victim, 0);
    if (victim == 0)
        live_until_killed(path);
    const bool waits = random_below(random, 4) != 0;
    while (waits && waitpid(victim, NULL, WNOHANG) == 0 &&
           hl_load_relaxed_u64(&with->acknowledged) == before)
        usleep(1000);
    usleep((useconds_t)random_below(random, 30000));
    cr_assert_eq(kill(victim, SIGKILL), 0, "it ended by itself");
    int outcome = 0;
    cr_assert_eq(waitpid(victim, &outcome, 0), victim);
    cr_assert(WIFSIGNALED(outcome) && WTERMSIG(outcome) == SIGKILL, "it ended with %#x", outcome);
}

/* The handlers are mended: each letter is handled once, by the one that failed, and gone. */
static void redrive_all(const char *path)
{
    hl_error error = {.text = ""};
    uint64_t left = 1;
    hl_store_relaxed_u32(&all_is_well, 1); /* to the threads of the bus, which begin after it */
    hl_bus *const bus = open_bus(path);
    const hl_status status = hl_dlq_redrive(hl_bus_dlq(bus), NULL, NULL, &error);
    cr_assert(status == HL_OK || status == HL_NOT_FOUND, "%s", error.text);
    for (int i = 0; i < 6000 && left != 0; i++) {
        usleep(10000);
        cr_assert_eq(hl_dlq_count(hl_bus_dlq(bus), NULL, &left, NULL), HL_OK);
    }
    cr_assert_eq(left, 0);
    own_stop(bus);
    hl_store_relaxed_u32(&all_is_well, 0); /* the next file's */
    for (int who = 0; who < LOSERS; who++)
        for (uint64_t number = 0; number < with->next; number++)
            cr_assert_eq(with->handled[who][number], with->is_found[who][number], "%s: %llu",
                         names[who], (unsigned long long)number);
}

typedef struct tally {
    uint64_t acknowledged, found, cuts; /* letters, letters, torn tails */
} tally;

/* The lives of one file. */
static void play_file(const char *path, uint64_t *random, tally *to)
{
    uint64_t letters = 0;
    memset(with, 0, sizeof *with);
    unlink(path);
    for (uint32_t i = 0; i < LIVES; i++) {
        hl_dlq_stats stats;
        kill_one(path, random);
        hl_dlq *const dlq = open_file(path);
        letters = check_letters(dlq);
        hl_dlq_stats_get(dlq, &stats);
        to->cuts += stats.cut_bytes != 0;
        close_file(dlq);
    }
    to->acknowledged += with->acknowledged;
    to->found += letters;
    redrive_all(path);
}

Test(letters_killed, what_was_acknowledged_is_there_once_and_can_be_redriven)
{
    const uint32_t files = (getenv("HOTLANE_LONG") != NULL ? KILLS_LONG : KILLS_SHORT) / LIVES;
    const uint64_t first = random_seed((uint64_t)time(NULL));
    char directory[TEMPORARY_DIRECTORY_SIZE], path[TEMPORARY_DIRECTORY_SIZE + 16];
    uint64_t random = first;
    tally total = {0, 0, 0};
    temporary_directory_make(temporary_directory_in_memory(), "letters", directory);
    snprintf(path, sizeof path, "%s/a.dlq", directory);
    with = mmap(NULL, sizeof *with, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(with, MAP_FAILED);
    for (uint32_t i = 0; i < files; i++)
        play_file(path, &random, &total);
    fprintf(stderr,
            "HOTLANE_SEED=%llu: %u kills, %llu letters acknowledged, %llu found, %llu torn tails "
            "cut\n",
            (unsigned long long)first, files * LIVES, (unsigned long long)total.acknowledged,
            (unsigned long long)total.found, (unsigned long long)total.cuts);
    cr_assert_gt(total.acknowledged, 0);
    munmap(with, sizeof *with);
    temporary_directory_remove(directory);
}
