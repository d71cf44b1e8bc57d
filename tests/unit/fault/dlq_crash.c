/* A process that is killed while it writes, purges and rewrites dead letters, two hundred times. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault/dlq.h"
#include "letters.h"
#include "tests/random.h"

TestSuite(dlq_crash, .init = letters_set_up, .fini = letters_tear_down);

#define KILLS       200u
#define PAYLOAD_MAX 900u
#define KEPT        300u /* letters that the writer leaves when it purges */

/* Shared with the writer; it stores each word before, or after, what the word says. */
typedef struct shared {
    volatile uint64_t written; /* letters up to this number are in the file: stored after */
    volatile uint64_t purging; /* letters up to this number may be gone: stored before */
} shared;

static uint32_t size_of_number(uint64_t number)
{
    return (uint32_t)(number * 37 % PAYLOAD_MAX);
}

static void purge_up_to(hl_dlq *dlq, shared *with, uint64_t number)
{
    hl_dlq_filter filter = HL_DLQ_FILTER_INIT;
    filter.to_ns = (number + 1) * HL_SECOND;
    with->purging = number;
    hl_dlq_purge(dlq, &filter, NULL, NULL);
}

/* Writes letters from `number` on until it is killed. */
static void write_for_ever(const char *path, shared *with, uint64_t number)
{
    hl_dlq *const dlq = letters_open(path);
    hl_dead_letters *const letters = letters_ring(dlq, 512);
    for (;; number++) {
        const hl_dead_post post = letters_post(letters, number);
        if (hl_dead_letters_post(letters, &post, letters_event(number, size_of_number(number))) !=
                HL_OK ||
            hl_dead_letters_drain(letters, NULL) != HL_OK)
            _exit(1);
        with->written = number;
        if (number % 64 == 0 && number > KEPT)
            purge_up_to(dlq, with, number - KEPT);
        if (number % 100 == 0 && hl_dlq_compact(dlq, NULL) != HL_OK)
            _exit(1);
    }
}

typedef struct found {
    uint64_t next, last, purging;
} found;

static bool look(const hl_dead_letter *letter, void *context)
{
    found *const so_far = context;
    const uint64_t number = letter->event->sequence;
    cr_assert(letters_event_is(letter->event, number, size_of_number(number)));
    cr_assert_str_eq(letter->error_text, "limit exceeded");
    cr_assert_gt(number, so_far->last, "out of order");
    if (number > so_far->purging) { /* none of these may be missing */
        cr_assert_eq(number, so_far->next, "letter %d is missing", (int)so_far->next);
        so_far->next = number + 1;
    }
    so_far->last = number;
    return true;
}

/* Everything that was acknowledged is there; gives the number to go on with. */
static uint64_t check_file(const char *path, const shared *with, uint64_t *cuts)
{
    hl_dlq *const dlq = letters_open(path);
    found so_far = {.next = with->purging + 1, .purging = with->purging};
    hl_error error = {HL_OK, ""};
    cr_assert_eq(hl_dlq_list(dlq, NULL, look, &so_far, &error), HL_OK, "%s", error.text);
    cr_assert_geq(so_far.last, with->written, "%d was written, the last is %d", (int)with->written,
                  (int)so_far.last);
    hl_dlq_stats stats;
    hl_dlq_stats_get(dlq, &stats);
    *cuts += stats.cut_bytes > 0;
    letters_close(dlq);
    return so_far.last + 1;
}

Test(dlq_crash, killed_two_hundred_times_it_loses_nothing_that_was_written)
{
    const char *const path = letters_file();
    shared *const with =
        mmap(NULL, sizeof *with, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(with, MAP_FAILED);
    uint64_t random = 20261121, number = 1, cuts = 0;
    for (uint32_t kill_number = 0; kill_number < KILLS; kill_number++) {
        const uint64_t written_before = with->written;
        const pid_t writer = fork();
        cr_assert_geq(writer, 0);
        if (writer == 0)
            write_for_ever(path, with, number);
        while (with->written == written_before && waitpid(writer, NULL, WNOHANG) == 0)
            usleep(50);
        usleep((useconds_t)random_below(&random, 4000));
        cr_assert_eq(kill(writer, SIGKILL), 0, "the writer ended by itself");
        cr_assert_eq(waitpid(writer, NULL, 0), writer);
        number = check_file(path, with, &cuts);
    }
    cr_assert_gt(number, KILLS);
    munmap(with, sizeof *with);
}
