#include "kept_bus.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

kept_disk_state kept_disk;
static hl_io_file half_packed = -1; /* the file that was opened last to be packed into */

static uint64_t read_now(void *context)
{
    return hl_io_posix()->now(context) + kept_disk.ahead_ns;
}

/* A test that moves the clock of its bus moves this one too. */
static uint64_t read_ticks(void *context)
{
    return hl_io_posix()->ticks(context) + manual_now_ns;
}

static int unlink_or_fail(void *context, const char *path)
{
    return kept_disk.unlink_error != 0 ? kept_disk.unlink_error
                                       : hl_io_posix()->unlink(context, path);
}

static int open_and_note(void *context, const char *path, unsigned flags)
{
    const hl_io_file file = hl_io_posix()->open(context, path, flags);
    const char *const end = strrchr(path, '.');
    if (flags == HL_IO_READ && end != NULL) {
        kept_disk.segments_read += strcmp(end, ".hlj") == 0;
        kept_disk.snapshots_read += strcmp(end, ".hls") == 0;
    }
    if ((flags & HL_IO_EMPTY) != 0 && strstr(path, ".pack.tmp") != NULL)
        __atomic_store_n(&half_packed, file, __ATOMIC_RELAXED);
    return file;
}

bool kept_is_half_packed(hl_io_file file)
{
    return file == __atomic_load_n(&half_packed, __ATOMIC_RELAXED);
}

static int64_t write_or_fail(void *context, hl_io_file file, const void *bytes, size_t size,
                             uint64_t offset)
{
    if (kept_is_half_packed(file) && kept_disk.pack_error != 0)
        return kept_disk.pack_error;
    return hl_io_posix()->pwrite(context, file, bytes, size, offset);
}

static int close_and_forget(void *context, hl_io_file file)
{
    if (kept_is_half_packed(file))
        __atomic_store_n(&half_packed, -1, __ATOMIC_RELAXED);
    return hl_io_posix()->close(context, file);
}

static void note_line(const hl_log_line *line, void *context)
{
    (void)context;
    kept_disk.log_lines += line->level == HL_LOG_ERROR;
}

void kept_set_up(void)
{
    temporary_directory_make(NULL, "keeper", kept_disk.directory);
    kept_disk.io = *hl_io_posix();
    kept_disk.io.now = read_now;
    kept_disk.io.ticks = read_ticks;
    kept_disk.io.unlink = unlink_or_fail;
    kept_disk.io.open = open_and_note;
    kept_disk.io.pwrite = write_or_fail;
    kept_disk.io.close = close_and_forget;
}

void kept_tear_down(void)
{
    temporary_directory_remove(kept_disk.directory);
}

hl_config kept_config(void)
{
    static hl_domain_config domains[MANUAL_DOMAINS + 1];
    memcpy(domains, manual_domains, sizeof manual_domains);
    domains[MANUAL_ORDER].durability = HL_DURABILITY_ASYNC;
    domains[MANUAL_ORDER].ring_slots = 64;
    domains[MANUAL_DOMAINS] = (hl_domain_config){.name = "system",
                                                 .priority = HL_BACKGROUND,
                                                 .shards = 1,
                                                 .slot_size_bytes = 512,
                                                 .ring_slots = 64,
                                                 .handler_ring_slots = 4};
    hl_config config = manual_config();
    config.domains = domains;
    config.domain_count = MANUAL_DOMAINS + 1;
    config.journal_dir = kept_disk.directory;
    config.journal_segment_bytes = 64 << 10;
    config.journal_io = &kept_disk.io;
    config.journal_pack_after_ns = 0;
    config.on_log = note_line;
    return config;
}

void kept_publish(hl_bus *bus, uint64_t count)
{
    const hl_topic to = topic(bus, "order.new");
    hl_publisher *const desk = open_publisher(bus, "desk", NULL);
    for (uint64_t i = 0; i < count; i++) {
        publish(desk, to, i, i);
        if (i % 32 == 0)
            turn_all(bus);
    }
    turn_all(bus);
    hl_publisher_close(desk);
    manual_now_ns += 10 * HL_MILLISECOND; /* what is written at all is written then */
    turn_all(bus);
}

void kept_tick(hl_bus *bus, uint64_t after_ns)
{
    manual_now_ns += after_ns;
    cr_assert_eq(hl_bus_housekeep(bus), HL_OK);
}

hl_partition_journal_stats kept_stats(const hl_bus *bus)
{
    hl_partition_journal_stats stats;
    cr_assert_eq(hl_bus_journal_stats(bus, MANUAL_ORDER, &stats), HL_OK);
    return stats;
}

hl_subscription *kept_subscribe_late(hl_bus *bus, recorder *seen)
{
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.async = HL_ASYNC_ORDERED;
    options.contract = HL_CONTRACT_EJECT;
    options.queue_events = 8;
    options.eject_behind = 6;
    options.past.from = HL_FROM_START;
    hl_subscription *const late = subscribe(bus, "order.>", seen, &options);
    kept_tick(bus, HL_MILLISECOND);
    return late;
}

typedef struct counting {
    const char *end;
    size_t count;
} counting;

static int count_one(void *argument, const char *name)
{
    counting *const this = argument;
    const size_t length = strlen(name), end = strlen(this->end);
    this->count += length >= end && strcmp(name + length - end, this->end) == 0;
    return 0;
}

size_t kept_files(const char *end)
{
    char path[TEMPORARY_DIRECTORY_SIZE + 8];
    counting count = {end, 0};
    snprintf(path, sizeof path, "%s/order", kept_disk.directory);
    cr_assert_eq(hl_io_posix()->list(NULL, path, count_one, &count), 0);
    return count.count;
}

size_t kept_segments(void)
{
    return kept_files(".hlj");
}

hl_bus *kept_start(const hl_config *config)
{
    hl_bus *const bus = manual_start(config);
    kept_tick(bus, 0);
    kept_publish(bus, 3000);
    kept_tick(bus, 2 * HL_SECOND);
    cr_assert_gt(kept_segments(), 3);
    cr_assert_eq(kept_stats(bus).removed_segments, 0);
    cr_assert_eq(kept_stats(bus).packed_segments, 0);
    return bus;
}

/* ---- a keeper's thread that stands ---- */

static uint32_t stands, let_go; /* shared with the keeper's thread */
static pthread_t standing;

static void doze(void)
{
    nanosleep(&(struct timespec){0, 1000000}, NULL);
}

void kept_stand_first(void)
{
    if (__atomic_load_n(&stands, __ATOMIC_SEQ_CST) == 0)
        standing = pthread_self();
    if (__atomic_fetch_add(&stands, 1, __ATOMIC_SEQ_CST) == 0)
        while (__atomic_load_n(&let_go, __ATOMIC_SEQ_CST) == 0)
            doze();
}

int __real_pthread_join(pthread_t thread, void **ret_value);
int __wrap_pthread_join(pthread_t thread, void **ret_value);

/* Who joins the keeper's thread has told it to end: what it has in hand is then the last. */
int __wrap_pthread_join(pthread_t thread, void **ret_value)
{
    if (kept_stands() != 0 && pthread_equal(thread, standing))
        __atomic_store_n(&let_go, 1, __ATOMIC_SEQ_CST);
    return __real_pthread_join(thread, ret_value);
}

uint32_t kept_stands(void)
{
    return __atomic_load_n(&stands, __ATOMIC_SEQ_CST);
}

void kept_expect_life(hl_bus *bus)
{
    const uint64_t recovered = kept_stats(bus).recovered_sequence;
    while (kept_stands() == 0)
        doze();
    hl_publisher *const desk = open_publisher(bus, "desk", NULL);
    publish(desk, topic(bus, "order.new"), 1, 1);
    while (kept_stats(bus).durable_sequence <= recovered)
        doze();
    hl_publisher_close(desk);
}

void kept_stop_while_it_stands(hl_bus *bus)
{
    while (kept_stands() == 0)
        doze();
    cr_assert_eq(hl_bus_stop(bus, 10 * HL_SECOND), HL_OK);
}
