#include "journal_read.h"

#include <inttypes.h>
#include <stdlib.h>

#include <hotlane/replay.h>

#include "base/error.h"
#include "journal/packed.h"
#include "journal/partition.h"
#include "journal/segment.h"
#include "journal/verify.h"
#include "journal/writer.h"
#include "perf/bus_bench.h"
#include "perf/payload.h"

#define TOPICS  16u
#define KEYS    1000u
#define AT_ONCE 512u                 /* events an append */
#define BASE_NS 1750000000000000000u /* published_ns of sequence 0 */
#define STEP_NS 1000u
#define SEED    UINT64_C(0x9e3779b97f4a7c15)

typedef struct record {
    hl_event event;
    unsigned char payload[PERF_BUS_PAYLOAD_BYTES];
} record;

/* xorshift64: G. Marsaglia, "Xorshift RNGs", 2003. */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* ---- writing one ---- */

static bool name_of(void *context, hl_dictionary_entry entry, uint32_t number, uint16_t version,
                    hl_journal_name *ret_name)
{
    static const uint8_t detail[2] = {HL_DELTA, HL_NORMAL};
    char *const name = context;
    (void)version;
    if (entry == HL_DICTIONARY_TOPIC)
        snprintf(name, 32, "market_data.trade%u", number);
    else
        snprintf(name, 32, "bench");
    *ret_name = (hl_journal_name){name, detail, entry == HL_DICTIONARY_TOPIC ? sizeof detail : 0};
    return entry != HL_DICTIONARY_SCHEMA;
}

static void fill(record *records, uint64_t first, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        const uint64_t sequence = first + i;
        records[i].event = (hl_event){.sequence = sequence,
                                      .published_ns = BASE_NS + sequence * STEP_NS,
                                      .key = sequence % KEYS,
                                      .topic = (uint32_t)(sequence % TOPICS),
                                      .source = 1,
                                      .priority = HL_NORMAL,
                                      .flags = HL_EVENT_EXTERNAL,
                                      .payload_size = PERF_BUS_PAYLOAD_BYTES};
        perf_payload_fill(records[i].payload, PERF_BUS_PAYLOAD_BYTES, sequence, 0);
    }
}

static hl_status append_all(hl_journal_writer *writer, uint64_t first, uint64_t records,
                            hl_error *error)
{
    static _Thread_local record run[AT_ONCE];
    uint64_t done = 0;
    while (done < records) {
        const uint64_t count = records - done < AT_ONCE ? records - done : AT_ONCE;
        fill(run, first + done, count);
        if (hl_journal_writer_append(writer, run, sizeof *run, count) != count ||
            hl_journal_writer_turn(writer, false) != HL_OK) {
            const hl_error *const why = hl_journal_writer_error(writer);
            return hl_error_set(error, why->status, "%s", why->text);
        }
        done += count;
    }
    return HL_OK;
}

hl_status perf_journal_write(const char *directory, uint64_t records, hl_error *error)
{
    char name[32];
    hl_journal_writer_options options = HL_JOURNAL_WRITER_OPTIONS_INIT;
    options.directory = directory;
    options.domain = "market_data";
    options.name_of = name_of;
    options.name_context = name;
    hl_journal_writer *writer;
    hl_recovery recovery;
    hl_status status = hl_journal_writer_open(&options, &writer, &recovery, error);
    if (status != HL_OK)
        return status;
    status = append_all(writer, recovery.next_sequence, records, error);
    if (status != HL_OK) {
        hl_journal_writer_abandon(writer);
        return status;
    }
    return hl_journal_writer_close(writer, error);
}

/* ---- replay ---- */

typedef struct witness {
    uint64_t events;
    uint64_t wrong;
} witness;

static hl_status see(const hl_event *event, hl_publisher *out, void *context)
{
    (void)out;
    witness *const self = context;
    const void *const payload = hl_payload(event);
    self->wrong += !perf_payload_whole(payload, PERF_BUS_PAYLOAD_BYTES) ||
                   perf_payload_number(payload) != ++self->events;
    return HL_OK;
}

hl_status perf_journal_replay(perf_run *run, const char *directory, uint64_t records,
                              double *ret_per_s, hl_error *error)
{
    const perf_bus_options options = {.cores = &run->cores, .wait = HL_WAIT_SPIN, .manual = true};
    witness seen = {0};
    perf_bus bus;
    hl_replay_report report = {0};
    hl_replay_options how = HL_REPLAY_OPTIONS_INIT;
    how.reading.directory = directory;
    hl_status status = perf_bus_open(&options, &bus, error);
    if (status != HL_OK)
        return status;
    status = perf_bus_subscribe(&bus, "market_data.>", see, &seen, error);
    const uint64_t start = perf_timer_ticks(&run->timer);
    if (status == HL_OK)
        status = hl_bus_replay(bus.bus, &how, &report, error);
    const double ns = perf_timer_ns(&run->timer, perf_timer_ticks(&run->timer) - start);
    hl_bus_destroy(bus.bus);
    if (status == HL_OK && (report.events != records || seen.events != records || seen.wrong != 0))
        status = hl_error_set(error, HL_NOT_CONSERVED,
                              "%" PRIu64 " events in the journal, %" PRIu64 " replayed, %" PRIu64
                              " handled, %" PRIu64 " of them damaged or out of order",
                              records, report.events, seen.events, seen.wrong);
    *ret_per_s = (double)report.events * 1e9 / ns;
    return status;
}

/* ---- seeks ---- */

static hl_status seek_once(hl_journal_reader *reader, uint64_t sequence, hl_error *error)
{
    hl_journal_entry entry;
    const uint64_t wanted_ns = BASE_NS + sequence * STEP_NS;
    hl_status status = hl_journal_reader_seek_time(reader, wanted_ns, error);
    if (status == HL_OK)
        status = hl_journal_reader_next(reader, &entry, error);
    /* The index knows a place before the event, in the block that holds it. */
    if (status == HL_OK &&
        (entry.kind != HL_JOURNAL_EVENT || entry.event->published_ns > wanted_ns))
        status = hl_error_set(error, HL_NOT_CONSERVED,
                              "a seek to sequence %" PRIu64 " by its time passed it by", sequence);
    return status;
}

hl_status perf_journal_seek(perf_run *run, const char *directory, uint64_t records, double seconds,
                            hl_histogram *ret_ns, hl_error *error)
{
    const perf_timer *const timer = &run->timer;
    uint64_t random = SEED;
    hl_journal_reader_options options = HL_JOURNAL_READER_OPTIONS_INIT;
    options.directory = directory;
    hl_journal_reader *reader;
    hl_status status = hl_journal_reader_open(&options, &reader, error);
    if (status != HL_OK)
        return status;
    const uint64_t end = perf_timer_after(timer, seconds * 1e9);
    while (status == HL_OK && perf_timer_ticks(timer) < end) {
        const uint64_t sequence = 1 + next_random(&random) % records;
        const uint64_t before = perf_timer_ticks(timer);
        status = seek_once(reader, sequence, error);
        hl_histogram_record(ret_ns,
                            (uint64_t)perf_timer_ns(timer, perf_timer_ticks(timer) - before));
    }
    hl_journal_reader_close(reader);
    return status;
}

/* ---- verification, packing ---- */

static void add_bytes(void *context, const hl_verified_partition *partition)
{
    *(uint64_t *)context += partition->bytes;
}

hl_status perf_journal_check(perf_run *run, const char *directory, double *ret_per_s,
                             hl_error *error)
{
    uint64_t bytes = 0, damages = 0;
    const hl_verify_options options = {.directory = directory};
    const hl_verify_visitor visitor = {.context = &bytes, .partition = add_bytes};
    const uint64_t start = perf_timer_ticks(&run->timer);
    hl_status status = hl_journal_verify(hl_io_posix(), &options, &visitor, &damages, error);
    const double ns = perf_timer_ns(&run->timer, perf_timer_ticks(&run->timer) - start);
    if (status == HL_OK && damages != 0)
        status = hl_error_set(error, HL_NOT_CONSERVED, "%s: %" PRIu64 " damages were found",
                              directory, damages);
    *ret_per_s = (double)bytes * 1e9 / ns;
    return status;
}

static hl_status pack_partition(const char *path, hl_pack_result *sum, hl_error *error)
{
    const hl_pack_options options = {.compress = true};
    hl_segment_name *names = NULL;
    size_t count = 0;
    hl_status status = hl_segment_list(hl_io_posix(), path, &names, &count, error);
    for (size_t i = 0; i < count && status == HL_OK; i++) {
        char name[HL_SEGMENT_NAME_SIZE];
        hl_pack_result result;
        hl_segment_name_format(names[i], name);
        status = hl_segment_pack(hl_io_posix(), path, name, &options, &result, error);
        sum->plain_bytes += status == HL_OK ? result.plain_bytes : 0;
        sum->packed_bytes += status == HL_OK ? result.packed_bytes : 0;
    }
    free(names);
    return status;
}

hl_status perf_journal_pack(const char *directory, double *ret_times, hl_error *error)
{
    hl_partition_directory *names = NULL;
    size_t count = 0;
    hl_pack_result sum = {0};
    hl_status status = hl_partition_list(hl_io_posix(), directory, NULL, &names, &count, error);
    for (size_t i = 0; i < count && status == HL_OK; i++) {
        char path[HL_JOURNAL_PATH_SIZE];
        snprintf(path, sizeof path, "%.3000s/%s", directory, names[i].text);
        status = pack_partition(path, &sum, error);
    }
    free(names);
    if (status == HL_OK)
        *ret_times = (double)sum.plain_bytes / (double)sum.packed_bytes;
    return status;
}
