/*
 * hotlane journal tail: the last events, found from the newest segments backward, and those that
 * come.
 */
#include "journal_options.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "journal/packed.h"
#include "journal/reader.h"

#define TAIL_DEFAULT 10u
#define TAIL_MOST    (1u << 20)

/* The last of what passes, at most `room` of it; the oldest is overwritten. */
typedef struct last_lines {
    char **lines;
    uint64_t room, count;
} last_lines;

typedef struct last_sequences {
    uint64_t *sequences;
    uint64_t room, count;
    uint64_t began_ns;
} last_sequences;

/* What was published since it began: beside a writer that is always ahead the end would never
 * come. */
static bool is_new(const hl_journal_entry *entry, uint64_t began_ns)
{
    return entry->event != NULL && entry->event->published_ns > began_ns;
}

static void keep(last_lines *last, char *line)
{
    char **const slot = &last->lines[last->count++ % last->room];
    free(*slot);
    *slot = line;
}

static void print_kept(const last_lines *last)
{
    const uint64_t count = last->count < last->room ? last->count : last->room;
    for (uint64_t i = last->count - count; i < last->count; i++)
        if (last->lines[i % last->room] != NULL)
            fputs(last->lines[i % last->room], stdout);
}

static void free_kept(last_lines *last)
{
    for (uint64_t i = 0; last->lines != NULL && i < last->room; i++)
        free(last->lines[i]);
    free(last->lines);
}

/* ---- where the last ones begin ---- */

/* Reads one partition from this sequence to its end. */
static hl_status read_from(hl_journal_reader *reader, uint64_t sequence, last_sequences *last,
                           hl_error *error)
{
    hl_journal_entry entry;
    hl_status status = hl_journal_reader_seek_sequence(reader, sequence, error);
    last->count = 0;
    while (status == HL_OK && (status = hl_journal_reader_next(reader, &entry, error)) == HL_OK) {
        if (entry.first_sequence != 0)
            sequence = entry.first_sequence;
        last->sequences[last->count++ % last->room] = sequence;
        if (is_new(&entry, last->began_ns))
            break;
    }
    return status == HL_NOT_FOUND ? HL_OK : status;
}

/* The sequence of the first of the partition's last `last->room` entries that the filter wants:
 * from the newest segment on, then from twice as many, until there are enough or no more. Where
 * there is none at all, that of the newest segment; 0: no segment. */
static hl_status find_last(const journal_options *options, const char *partition,
                           last_sequences *last, uint64_t *ret_sequence, hl_error *error)
{
    char directory[HL_JOURNAL_PATH_SIZE];
    hl_segment_name *segments = NULL;
    size_t count = 0;
    hl_journal_reader *reader = NULL;
    hl_journal_reader_options reading = options->reading;
    reading.partition = partition;
    reading.follow = false;
    snprintf(directory, sizeof directory, "%.3900s/%s", reading.directory, partition);
    hl_status status = hl_segment_list(hl_io_posix(), directory, &segments, &count, error);
    if (status == HL_OK && count != 0)
        status = hl_journal_reader_open(&reading, &reader, error);
    size_t taken = 0;
    last->count = 0;
    for (size_t more = 1; status == HL_OK && taken < count && last->count < last->room; more *= 2) {
        taken = taken + more < count ? taken + more : count;
        status = read_from(reader, segments[count - taken].first_sequence, last, error);
    }
    if (last->count != 0)
        *ret_sequence = last->sequences[last->count < last->room ? 0 : last->count % last->room];
    else
        *ret_sequence = count != 0 ? segments[count - 1].first_sequence : 0;
    hl_journal_reader_close(reader);
    free(segments);
    return status;
}

/* Before the last entries of each partition; a range that has a beginning is read from there. */
static hl_status go_near_end(hl_journal_reader *reader, const journal_options *options,
                             uint64_t count, uint64_t began_ns, hl_error *error)
{
    const hl_journal_filter *const filter = &options->reading.filter;
    if (filter->from_sequence != 0 || filter->from_ns != 0)
        return HL_OK;
    hl_partition_directory *names = NULL;
    size_t partitions = 0;
    last_sequences last = {
        .sequences = calloc(count, sizeof *last.sequences), .room = count, .began_ns = began_ns};
    if (last.sequences == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "out of memory");
    hl_status status = journal_partitions(options, &names, &partitions, error);
    for (size_t i = 0; status == HL_OK && i < partitions; i++) {
        uint64_t sequence;
        status = find_last(options, names[i].text, &last, &sequence, error);
        if (status == HL_OK && sequence != 0)
            status = hl_reader_seek_partition(reader, names[i].text, sequence, 0, error);
    }
    free(last.sequences);
    free(names);
    return status;
}

/* ---- those that come ---- */

static volatile sig_atomic_t interrupted;

static void interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

/* Until there is something to read, or a signal: which is taken only where it ends the wait. */
static void wait_for_more(hl_journal_reader *reader)
{
    sigset_t ends, before;
    struct pollfd news = {.fd = hl_journal_reader_fd(reader), .events = POLLIN};
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    sigprocmask(SIG_BLOCK, &ends, &before);
    if (!interrupted)
        ppoll(&news, 1, NULL, &before);
    sigprocmask(SIG_SETMASK, &before, NULL);
    hl_journal_reader_wait(reader, 0);
}

static hl_status follow(hl_journal_reader *reader, const journal_options *options, hl_error *error)
{
    hl_journal_entry entry;
    signal(SIGINT, interrupt);
    signal(SIGTERM, interrupt);
    while (!interrupted) {
        const hl_status status = hl_journal_reader_next(reader, &entry, error);
        if (status == HL_NOT_FOUND) {
            if (fflush(stdout) != 0)
                return HL_NOT_FOUND;
            wait_for_more(reader);
            continue;
        }
        if (status != HL_OK)
            return status;
        char *const line = journal_entry_line(&entry, options->json);
        if (line != NULL)
            fputs(line, stdout);
        free(line);
    }
    return HL_NOT_FOUND;
}

static hl_status show_last(hl_journal_reader *reader, const journal_options *options,
                           last_lines *last, hl_error *error)
{
    const hl_io *const io = hl_io_posix();
    const uint64_t began_ns = io->now(io->context);
    hl_journal_entry entry;
    hl_status status = go_near_end(reader, options, last->room, began_ns, error);
    while (status == HL_OK && (status = hl_journal_reader_next(reader, &entry, error)) == HL_OK) {
        keep(last, journal_entry_line(&entry, options->json));
        if (is_new(&entry, began_ns))
            break;
    }
    print_kept(last);
    if ((status == HL_OK || status == HL_NOT_FOUND) && options->reading.follow)
        status = follow(reader, options, error);
    return status == HL_NOT_FOUND ? HL_OK : status;
}

hl_exit journal_tail(const journal_options *options)
{
    hl_journal_reader *reader = NULL;
    hl_error error = {0};
    last_lines last = {.room = options->limit != 0 ? options->limit : TAIL_DEFAULT};
    if (last.room > TAIL_MOST) {
        fprintf(stderr, "journal tail: --limit %" PRIu64 " is too many; cat shows all\n",
                last.room);
        return HL_EXIT_USAGE;
    }
    last.lines = calloc(last.room, sizeof *last.lines);
    hl_status status = last.lines != NULL
                           ? hl_journal_reader_open(&options->reading, &reader, &error)
                           : hl_error_set(&error, HL_NO_MEMORY, "out of memory");
    if (status == HL_OK)
        status = show_last(reader, options, &last, &error);
    hl_journal_reader_close(reader);
    free_kept(&last);
    return status == HL_OK ? HL_EXIT_OK : journal_failed(&error);
}
