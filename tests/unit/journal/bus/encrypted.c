#include "journal/retention.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <hotlane/aggregate.h>

#include "journal/segment.h"
#include "journal/snapshot.h"
#include "manual_bus.h"
#include "tests/temporary_directory.h"

/* What docs/journal-format.md says can be read of an encrypted journal without its key, and what
 * cannot: each file of one is searched for what was put in. */

#define PAYLOAD                                                                      \
    "payload that nobody may see" /* of an event, and so of the last value and state \
                                   */
#define TOPIC  "market_data.secret_topic"
#define SOURCE "secret-source"
#define KEY    0x5ec2e75ec2e75ec2u /* of the events */

static char directory[TEMPORARY_DIRECTORY_SIZE];
static char key_path[TEMPORARY_DIRECTORY_SIZE + 8]; /* beside the journal, not in it */
static char journal[TEMPORARY_DIRECTORY_SIZE + 8];
static hl_journal_keys *keys;

static void set_up(void)
{
    hl_error error = {.text = ""};
    temporary_directory_make(NULL, "encrypted", directory);
    snprintf(key_path, sizeof key_path, "%s/keys", directory);
    snprintf(journal, sizeof journal, "%s/journal", directory);
    FILE *const file = fopen(key_path, "w");
    fprintf(file, "%064d\n", 7);
    fclose(file);
    const hl_status status = hl_journal_keys_load(key_path, &keys, &error);
    if (status == HL_UNSUPPORTED)
        cr_skip_test("%s", error.text);
    cr_assert_eq(status, HL_OK, "%s", error.text);
}

static void tear_down(void)
{
    hl_journal_keys_free(keys);
    temporary_directory_remove(directory);
}

TestSuite(encrypted, .init = set_up, .fini = tear_down);

/* ---- the journal ---- */

static hl_status keep(void *state, const hl_event *event, hl_publisher *out, void *context)
{
    (void)out, (void)context;
    memcpy(state, hl_payload(event), sizeof PAYLOAD);
    return HL_OK;
}

static hl_domain_config domains[MANUAL_DOMAINS];

static hl_bus *create(const char *journal_dir, const char *key_file)
{
    hl_aggregate_options options = HL_AGGREGATE_OPTIONS_INIT;
    hl_aggregate *aggregate;
    hl_error error = {.text = ""};
    memcpy(domains, manual_domains, sizeof domains);
    domains[MANUAL_MARKET_DATA].durability =
        journal_dir != NULL ? HL_DURABILITY_ASYNC : HL_DURABILITY_OFF;
    hl_config config = manual_config();
    config.domains = domains;
    config.journal_dir = journal_dir;
    config.journal_key_file = key_file;
    config.journal_segment_bytes = 64 << 10;
    config.snapshot_interval_ns = 0;
    hl_bus *const bus = manual_create(&config);
    options.name = "notes";
    options.domain = "market_data";
    options.pattern = "market_data.>";
    options.apply = keep;
    options.by_key = true;
    options.state_size_bytes = sizeof PAYLOAD;
    cr_assert_eq(hl_aggregate_open(bus, &options, &aggregate, &error), HL_OK, "%s", error.text);
    return bus;
}

static void publish_secrets(hl_bus *bus, uint64_t count)
{
    hl_topic_options options = HL_TOPIC_OPTIONS_INIT;
    hl_topic topic;
    options.kind = HL_STATE;
    options.max_keys = 8;
    cr_assert_eq(hl_topic_declare(bus, TOPIC, &options, &topic), HL_OK);
    hl_publisher *const source = open_publisher(bus, SOURCE, NULL);
    for (uint64_t i = 0; i < count; i++) {
        cr_assert_eq(hl_try_publish(source, topic, KEY, PAYLOAD, sizeof PAYLOAD), HL_OK);
        turn_all(bus);
    }
    hl_publisher_close(source);
}

static void take_snapshots(hl_bus *bus)
{
    hl_error error = {.text = ""};
    cr_assert_eq(hl_bus_snapshot(bus, 10 * HL_SECOND, &error), HL_OK, "%s", error.text);
}

/* All there is in a journal: segments, snapshots of an aggregate and of last values, a cursor, the
 * audit log; what is sealed is packed and encrypted. */
static void write_journal(void)
{
    const hl_retention_options packing = {.directory = journal, .pack = true, .keys = keys};
    const hl_cursor_position position = {.partition = "market_data", .next_sequence = 7};
    hl_retention_result packed;
    hl_error error = {.text = ""};
    hl_bus *const bus = create(journal, key_path);
    cr_assert_eq(hl_bus_start(bus), HL_OK);
    publish_secrets(bus, 2000);
    take_snapshots(bus);
    manual_stop(bus);
    cr_assert_eq(hl_cursor_store(hl_io_posix(), journal, "bridge", &position, 1, NULL), HL_OK);
    cr_assert_eq(hl_retention_apply(hl_io_posix(), &packing, &packed, &error), HL_OK, "%s",
                 error.text);
    cr_assert_geq(packed.packed, 2);
}

/* ---- the search ---- */

/* In which kinds of files something is found. */
enum {
    IN_PACKED = 1,
    IN_NEWEST = 2,   /* segment of its partition: never packed */
    IN_SNAPSHOT = 4, /* of either */
    IN_CURSOR = 8,
    IN_AUDIT = 16,
    IN_OTHER = 32 /* lock, tail */
};

typedef struct search {
    const void *bytes;
    size_t size;
    unsigned found; /* IN_... */
    unsigned seen;  /* files of these kinds */
} search;

static unsigned kind_of(const char *path, const uint8_t *bytes, size_t size)
{
    const char *const name = strrchr(path, '/') + 1;
    const size_t length = strlen(name);
    hl_segment_header header;
    if (strstr(path, "/snapshots.d/") != NULL)
        return IN_SNAPSHOT;
    if (strstr(path, "/cursors.d/") != NULL)
        return IN_CURSOR;
    if (strcmp(name, "audit.log") == 0)
        return IN_AUDIT;
    if (length < 4 || strcmp(name + length - 4, ".hlj") != 0)
        return IN_OTHER;
    cr_assert_geq(size, HL_JOURNAL_HEADER_SIZE);
    cr_assert_eq(hl_segment_header_decode(bytes, path, &header, NULL), HL_OK);
    return (header.flags & HL_SEGMENT_ENCRYPTED) != 0 ? IN_PACKED : IN_NEWEST;
}

static void search_file(search *of, const char *path, size_t size)
{
    uint8_t *const bytes = malloc(size + 1);
    FILE *const file = fopen(path, "rb");
    cr_assert_not_null(file, "%s", path);
    cr_assert_eq(fread(bytes, 1, size, file), size);
    fclose(file);
    const unsigned kind = kind_of(path, bytes, size);
    of->seen |= kind;
    if (memmem(bytes, size, of->bytes, of->size) != NULL)
        of->found |= kind;
    free(bytes);
}

static void search_directory(search *of, const char *path)
{
    DIR *const open = opendir(path);
    cr_assert_not_null(open, "%s", path);
    for (const struct dirent *entry; (entry = readdir(open)) != NULL;) {
        char inner[4 * TEMPORARY_DIRECTORY_SIZE];
        struct stat status;
        snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
        if (entry->d_name[0] == '.' || stat(inner, &status) != 0)
            continue;
        if (S_ISDIR(status.st_mode))
            search_directory(of, inner);
        else
            search_file(of, inner, (size_t)status.st_size);
    }
    closedir(open);
}

static unsigned found_in(const void *bytes, size_t size)
{
    search of = {.bytes = bytes, .size = size};
    search_directory(&of, journal);
    cr_assert_eq(of.seen, 63, "all kinds of files are there: %u", of.seen);
    return of.found;
}

Test(encrypted, what_is_readable_without_the_key_is_what_the_table_says)
{
    const uint64_t key = KEY;
    write_journal();
    cr_assert_eq(found_in(PAYLOAD, sizeof PAYLOAD), IN_NEWEST);
    cr_assert_eq(found_in("payload that", 12), IN_NEWEST, "nor a part of it");
    cr_assert_eq(found_in(&key, sizeof key), IN_NEWEST);
    cr_assert_eq(found_in("secret_topic", 12), IN_NEWEST);
    cr_assert_eq(found_in(SOURCE, strlen(SOURCE)), IN_NEWEST);
    /* Names of partitions and aggregates are readable. */
    cr_assert_eq(found_in("market_data", 11),
                 IN_NEWEST | IN_PACKED | IN_SNAPSHOT | IN_CURSOR | IN_AUDIT);
    cr_assert_eq(found_in("notes", 5), IN_SNAPSHOT);
}

/* ---- the keys that a rebuild was given ---- */

static hl_status look_for_plain(void *context, const char *path, const hl_snapshot *snapshot)
{
    cr_assert_not_null(snapshot, "%s", path);
    *(bool *)context |= snapshot->key_id == 0;
    return HL_OK;
}

Test(encrypted, a_bus_that_was_rebuilt_with_keys_writes_its_snapshots_with_them)
{
    hl_rebuild_options options = HL_REBUILD_OPTIONS_INIT;
    hl_rebuild_report report;
    hl_error error = {.text = ""};
    char snapshots[sizeof journal + 16];
    bool is_plain = false;
    write_journal();
    snprintf(snapshots, sizeof snapshots, "%s/snapshots.d", journal);
    temporary_directory_remove(snapshots);
    hl_bus *const bus = create(NULL, NULL);
    options.reading.directory = journal;
    options.reading.keys = keys;
    cr_assert_eq(hl_bus_rebuild(bus, &options, &report, &error), HL_OK, "%s", error.text);
    cr_assert_eq(report.events, 2000);
    hl_journal_keys_free(keys); /* they need not outlive the call */
    keys = NULL;
    take_snapshots(bus);
    hl_bus_destroy(bus);
    cr_assert_eq(hl_snapshot_each(hl_io_posix(), journal, NULL, look_for_plain, &is_plain, &error),
                 HL_OK, "%s", error.text);
    cr_assert_not(is_plain);
    cr_assert_eq(found_in(PAYLOAD, sizeof PAYLOAD), IN_NEWEST);
}

Test(encrypted, a_rebuild_without_the_key_is_refused_and_replays_nothing)
{
    hl_rebuild_options options = HL_REBUILD_OPTIONS_INIT;
    hl_rebuild_report report;
    hl_error error = {.text = ""};
    write_journal();
    hl_bus *const bus = create(NULL, NULL);
    options.reading.directory = journal;
    cr_assert_eq(hl_bus_rebuild(bus, &options, &report, &error), HL_NOT_ALLOWED);
    cr_assert_not_null(strstr(error.text, ".hls: encrypted with key"), "%s", error.text);
    cr_assert_not_null(strstr(error.text, "no key was given"), "%s", error.text);
    cr_assert_eq(report.loaded + report.passed_over + report.events, 0);
    hl_bus_destroy(bus);
}
