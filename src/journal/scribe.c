#include "journal/scribe.h"

#include <stdio.h>
#include <time.h>

#include <hotlane/system.h>

#include "affinity/pin.h"
#include "journal/progress.h"

#define APPEND_AT_ONCE   1024 /* events: then the writer looks at the time */
#define REOPEN_NS        HL_SECOND
#define RESERVE_TO_GO_ON 1000000000u /* sequences */
/* With nothing new it naps, longer each time, and only then sleeps until it is woken: a wake costs
 * the partition a system call. For a `sync` domain it sleeps at once: a nap would cost its events
 * more. */
#define NAP_NS     (50 * HL_MICROSECOND)
#define NAP_NS_MAX HL_MILLISECOND
#define NAPS       64
#define SYNC_POLLS 64

/* ---- names ---- */

static bool name_of(void *context, hl_dictionary_entry entry, uint32_t number, uint16_t version,
                    hl_journal_name *ret_name)
{
    hl_feed *const feed = context;
    const hl_bus *const bus = feed->partition->bus;
    (void)version;
    if (entry == HL_DICTIONARY_TOPIC && number < bus->max_topics) {
        /* DECLARED: acquire, the topic is whole. */
        if (hl_load_acquire_u8(&bus->topics[number].declared) == HL_TOPIC_UNDECLARED)
            return false;
        const hl_topic_entry *const topic = bus->entries[number];
        feed->topic_detail[0] = (uint8_t)topic->options.kind;
        feed->topic_detail[1] = bus->topics[number].priority;
        *ret_name = (hl_journal_name){topic->name, feed->topic_detail, sizeof feed->topic_detail};
        return true;
    }
    if (entry != HL_DICTIONARY_SOURCE || number > HL_SOURCES_MAX)
        return false;
    /* SOURCE: acquire, the name is whole. */
    const char *const source =
        hl_load_acquire_ptr((void *const *)(const void *)&bus->sources[number]);
    if (source == NULL)
        return false;
    *ret_name = (hl_journal_name){source, NULL, 0};
    return true;
}

/* ---- opening, and opening anew ---- */

/* The bus's own table, or the best that the system lets it have. A `sync` domain's group is waited
 * for at once, and then io_uring is the longer way. */
static const hl_io *choose_io(hl_feed *feed)
{
    const hl_config *const config = &feed->partition->bus->config;
    hl_error error;
    if (config->journal_io != NULL)
        return config->journal_io;
    if (feed->is_sync || !config->journal_io_uring)
        return hl_io_posix();
    const int cpu = feed->scribe != NULL ? feed->scribe->cpu : -1;
    if (feed->uring != NULL || hl_io_uring_create(cpu, &feed->uring, &error) == HL_OK)
        return hl_io_uring_table(feed->uring);
    snprintf(feed->io_refused, sizeof feed->io_refused, "%.80s: its syncs are waited for",
             error.text);
    return hl_io_posix();
}

/* JOURNALED (progress.h): the state is published behind this with release, so that who has read it
 * (acquire) finds no older reason. */
static void keep_reason(void *context, const hl_error *why)
{
    hl_feed_set_reason(context, why->text);
}

static void options_of(hl_feed *feed)
{
    const hl_bus *const bus = feed->partition->bus;
    const hl_domain_config *const domain = &feed->partition->domain->config;
    hl_journal_writer_options *const options = &feed->options;
    *options = (hl_journal_writer_options)HL_JOURNAL_WRITER_OPTIONS_INIT;
    options->io = choose_io(feed);
    options->directory = bus->config.journal_dir;
    options->domain = domain->name;
    options->shard = (uint16_t)feed->partition->shard;
    options->shards = (uint16_t)domain->shards;
    options->partition = (uint16_t)feed->partition->number;
    options->segment_bytes = bus->config.journal_segment_bytes;
    options->commit_events = domain->commit_events;
    options->commit_interval_ns = domain->commit_interval_ns;
    options->damage = bus->config.journal_salvage ? HL_DAMAGE_SALVAGE : HL_DAMAGE_STRICT;
    /* Who goes on while the disk is gone lives on what was reserved before. */
    options->reserve_block = feed->goes_on ? RESERVE_TO_GO_ON : 0;
    options->name_of = name_of;
    options->name_context = feed;
    options->stops = keep_reason;
    options->stops_context = feed;
    options->progress = &feed->progress;
    if (feed->is_sync) {
        /* Each turn with news is a group, as large as what came while the last one was synced. */
        options->write_interval_ns = options->commit_events = options->commit_interval_ns = 0;
        options->zero_fill = true;
    }
    options->overlap_syncs = !feed->is_sync;
}

/* The last sequence that a crash the domain cares about takes from nobody. */
static uint64_t safe_sequence(const hl_feed *feed)
{
    return feed->is_sync ? hl_journal_durable(&feed->progress)
                         : hl_journal_written(&feed->progress);
}

static hl_status open_tail(hl_feed *feed, hl_error *error)
{
    const hl_journal_writer_options *const options = &feed->options;
    if (options->io->open != hl_io_posix()->open) /* a disk of a test's own: no file to map */
        return HL_OK;
    return hl_tail_create(options->directory, feed->partition->out->name, true, safe_sequence(feed),
                          &feed->tail, error);
}

hl_status hl_scribe_open(hl_feed *feed, hl_error *error)
{
    options_of(feed);
    const hl_status status =
        hl_journal_writer_open(&feed->options, &feed->writer, &feed->recovery, error);
    if (status != HL_OK)
        return status;
    feed->last_sequence = feed->recovery.next_sequence - 1;
    feed->partition->sequence = feed->partition->sequence_base = feed->last_sequence;
    feed->reserved_seen = hl_journal_reserved(&feed->progress);
    return open_tail(feed, error);
}

static uint64_t ticks(const hl_feed *feed)
{
    return feed->options.io->ticks(feed->options.io->context);
}

static void tell(hl_feed *feed, hl_journal_state state, const char *text)
{
    hl_system_journal news = {.partition = feed->partition->number,
                              .state = state,
                              .sequence = feed->last_sequence,
                              .written_sequence = hl_journal_written(&feed->progress),
                              .durable_sequence = hl_journal_durable(&feed->progress)};
    news.unjournaled = hl_load_relaxed_u64(&feed->unjournaled); /* Relaxed: a counter. */
    snprintf(news.text, sizeof news.text, "%s", text);
    feed->told = state;
    hl_notice(feed->partition->bus, HL_TOPIC_JOURNAL_STATE, news.partition, &news, sizeof news);
    hl_log(feed->partition->bus,
           state == HL_JOURNAL_FAILED     ? HL_LOG_ERROR
           : state == HL_JOURNAL_NO_SPACE ? HL_LOG_WARNING
                                          : HL_LOG_INFO,
           "journal", "of %s: %s", feed->partition->out->name, text[0] != '\0' ? text : "it runs");
}

/* The writer has failed for good: what it had not acknowledged still lies in the ring. */
static void give_up_writer(hl_feed *feed)
{
    feed->directory_lock = hl_journal_writer_give_up(feed->writer);
    feed->writer = NULL;
    feed->reopen_at_ticks = ticks(feed) + REOPEN_NS;
}

/* Goes on behind what the disk really holds with the first event of the ring that it lacks. */
static void try_to_reopen(hl_feed *feed)
{
    char directory[HL_JOURNAL_PATH_SIZE];
    hl_recovery recovery;
    hl_error error;
    feed->reopen_at_ticks = ticks(feed) + REOPEN_NS;
    snprintf(directory, sizeof directory, "%.4000s/%s", feed->options.directory,
             feed->partition->out->name);
    hl_status status =
        hl_journal_recover(feed->options.io, directory, feed->options.damage, &recovery, &error);
    if (status == HL_OK) {
        /* FED: acquire, the events up to it are whole. */
        const uint64_t filled = hl_load_acquire_u64(&feed->filled);
        uint64_t from = feed->done;
        while (from != filled && hl_feed_event(feed, from)->sequence <= recovery.last_sequence)
            from++;
        hl_journal_writer_options options = feed->options;
        options.lock = &feed->directory_lock;
        options.first_sequence =
            from != filled ? hl_feed_event(feed, from)->sequence : feed->last_sequence + 1;
        status = hl_journal_writer_open(&options, &feed->writer, &recovery, &error);
        if (status == HL_OK) {
            feed->reopen_at_ticks = 0;
            feed->appended = from;
            feed->last_sequence = options.first_sequence - 1;
            return;
        }
    }
    feed->writer = NULL;
    keep_reason(feed, &error);
    hl_progress_publish(&feed->progress.state, HL_JOURNAL_FAILED);
}

/* ---- a turn ---- */

/* Events from `position` on that lie in one piece and whose sequences follow each other. */
static uint32_t run_at(const hl_feed *feed, uint64_t position, uint64_t filled)
{
    const uint64_t to_end = feed->mask + 1 - (position & feed->mask);
    uint64_t count = filled - position < to_end ? filled - position : to_end;
    if (count > APPEND_AT_ONCE)
        count = APPEND_AT_ONCE;
    const uint64_t first = hl_feed_event(feed, position)->sequence;
    /* Only what went on without the journal leaves a gap. */
    while (hl_feed_event(feed, position + count - 1)->sequence != first + count - 1)
        count /= 2;
    return (uint32_t)count;
}

/* The event can never be written: a gap stands for it. */
static bool pass_over(hl_feed *feed, uint64_t sequence)
{
    if (hl_journal_writer_skip(feed->writer, sequence, HL_GAP_JOURNAL_OFF) != HL_OK)
        return false;
    hl_count(&feed->refused, 1);
    feed->last_sequence = sequence;
    feed->appended++;
    return true;
}

/* Appends one run. False: nothing more can be taken now. */
static bool append_run(hl_feed *feed, uint64_t filled)
{
    const hl_event *const first = hl_feed_event(feed, feed->appended);
    if (first->sequence > feed->last_sequence + 1) {
        if (hl_journal_writer_skip(feed->writer, first->sequence - 1, HL_GAP_JOURNAL_OFF) != HL_OK)
            return false;
        feed->last_sequence = first->sequence - 1;
    }
    const uint32_t count = run_at(feed, feed->appended, filled);
    const size_t taken =
        hl_journal_writer_append(feed->writer, first, feed->slot_size_bytes, count);
    feed->appended += taken;
    feed->last_sequence += taken;
    if (taken == count)
        return true;
    /* A full disk or a failed one says so in the state; else it is the event's own fault. */
    return hl_journal_state_of(&feed->progress) == HL_JOURNAL_RUNNING &&
           pass_over(feed, feed->last_sequence + 1);
}

/* Frees the slots whose events are safe. */
static void release(hl_feed *feed)
{
    const uint64_t safe = safe_sequence(feed);
    /* Where sequences are missing it is more than there are: those wait a little longer. */
    const uint64_t unsafe = feed->last_sequence > safe ? feed->last_sequence - safe : 0;
    if (unsafe >= feed->appended - feed->done)
        return;
    hl_store_release_u64(&feed->done, feed->appended - unsafe); /* DONE: release, they were read. */
}

/* Says so when the journal's state has changed. */
static void tell_state(hl_feed *feed)
{
    const hl_journal_state state = hl_journal_state_of(&feed->progress);
    char reason[160] = "";
    if (state == feed->told)
        return;
    if (state != HL_JOURNAL_RUNNING)
        hl_feed_reason(feed, reason);
    tell(feed, state, reason);
}

bool hl_scribe_turn(hl_feed *feed, bool commit)
{
    if (feed->writer == NULL && ticks(feed) >= feed->reopen_at_ticks)
        try_to_reopen(feed);
    if (feed->writer == NULL) {
        tell_state(feed);
        return false;
    }
    const uint64_t durable = hl_journal_durable(&feed->progress);
    const uint64_t before = feed->appended;
    hl_status status = HL_OK;
    for (;;) {
        /* FED: acquire, the events up to it are whole. */
        const uint64_t filled = hl_load_acquire_u64(&feed->filled);
        if (feed->appended == filled || !append_run(feed, filled))
            break;
        /* A sync domain's group is all that is there; others write as it comes. */
        if (!feed->is_sync)
            status = hl_journal_writer_turn(feed->writer, false);
        release(feed);
        if (status != HL_OK || feed->appended - before > feed->mask)
            break;
    }
    const bool moved = feed->appended != before;
    if (feed->scribe != NULL)
        hl_count(&feed->scribe->events, feed->appended - before);
    /* What it comes to is in the state. */
    (void)(commit ? hl_journal_writer_commit(feed->writer)
                  : hl_journal_writer_turn(feed->writer, !moved));
    release(feed);
    if (feed->is_sync && feed->scribe != NULL && hl_journal_durable(&feed->progress) != durable)
        hl_executor_wake(feed->partition->executor);
    if (feed->tail != NULL)
        hl_tail_tell(feed->tail, safe_sequence(feed));
    if (hl_journal_state_of(&feed->progress) == HL_JOURNAL_FAILED)
        give_up_writer(feed);
    tell_state(feed);
    return moved;
}

static hl_status close_writer(hl_feed *feed, hl_error *error)
{
    if (feed->writer == NULL && feed->reopen_at_ticks == 0)
        return HL_OK; /* it was never opened, or is closed */
    if (feed->writer == NULL)
        try_to_reopen(feed); /* a last time */
    while (feed->writer != NULL && hl_scribe_turn(feed, false)) {
    }
    if (feed->writer == NULL) {
        feed->options.io->unlock(feed->options.io->context, feed->directory_lock);
        feed->reopen_at_ticks = 0;
        return hl_error_set(
            error, HL_FAILED,
            "the journal of %s has failed: what lies above sequence %llu is not in it",
            feed->partition->out->name, (unsigned long long)hl_journal_durable(&feed->progress));
    }
    const bool whole = feed->appended == feed->filled;
    const hl_status status = hl_journal_writer_close(feed->writer, error);
    feed->writer = NULL;
    return status != HL_OK || whole
               ? status
               : hl_error_set(error, HL_NO_SPACE,
                              "the journal of %s had no room for its last %llu events",
                              feed->partition->out->name,
                              (unsigned long long)(feed->filled - feed->appended));
}

hl_status hl_scribe_close(hl_feed *feed, hl_error *error)
{
    const hl_status status = close_writer(feed, error);
    hl_tail_close(feed->tail);
    feed->tail = NULL;
    return status;
}

/* ---- the thread ---- */

static bool halted(const hl_scribe *scribe)
{
    return hl_load_acquire_u32(&scribe->halt) != 0; /* HALT: acquire, all that was fed is seen. */
}

/* Something to write, or the end. */
static bool has_news(const hl_scribe *scribe)
{
    bool any = halted(scribe);
    for (uint32_t i = 0; i < scribe->feed_count; i++)
        /* FED: acquire, as in the turn that follows. */
        any |= hl_load_acquire_u64(&scribe->feeds[i]->filled) != scribe->feeds[i]->appended;
    return any;
}

/* Until a writer has something to do of its own accord; UINT64_MAX: it has not. */
static uint64_t time_left_ns(const hl_scribe *scribe)
{
    uint64_t due = UINT64_MAX, now = 0;
    for (uint32_t i = 0; i < scribe->feed_count; i++) {
        const hl_feed *const feed = scribe->feeds[i];
        const uint64_t mine =
            feed->writer != NULL ? hl_journal_writer_due(feed->writer) : feed->reopen_at_ticks;
        if (mine < due)
            due = mine;
        now = ticks(feed);
    }
    return due == UINT64_MAX ? UINT64_MAX : due > now ? due - now : 1;
}

static void nap(uint64_t nap_ns)
{
    const struct timespec pause = {0, (long)nap_ns};
    nanosleep(&pause, NULL);
}

/* What cannot be taken now (a full disk) is no news that one could wait for awake. */
static bool is_stuck(const hl_scribe *scribe)
{
    bool stuck = false;
    for (uint32_t i = 0; i < scribe->feed_count; i++)
        stuck |= hl_journal_state_of(&scribe->feeds[i]->progress) != HL_JOURNAL_RUNNING;
    return stuck;
}

/* Relaxed both: for statistics. */
static void say_state(hl_scribe *scribe, hl_scribe_state state)
{
    hl_store_relaxed_u32(&scribe->state, state);                           /* Relaxed: as said. */
    hl_store_relaxed_u32(&scribe->running_cpu, (uint32_t)hl_thread_cpu()); /* Relaxed: as said. */
}

static void sleep_awhile(hl_scribe *scribe, uint32_t ticket, uint64_t left_ns)
{
    hl_count(&scribe->sleeps, 1);
    say_state(scribe, HL_SCRIBE_ASLEEP);
    hl_sleeper_sleep(&scribe->sleeper, ticket, left_ns);
    say_state(scribe, HL_SCRIBE_BUSY);
}

static void sleep_until_woken(hl_scribe *scribe)
{
    const uint64_t left_ns = time_left_ns(scribe);
    const uint32_t ticket = hl_sleeper_prepare(&scribe->sleeper);
    if (has_news(scribe))
        hl_sleeper_cancel(&scribe->sleeper);
    else
        sleep_awhile(scribe, ticket, left_ns);
}

static void wait(hl_scribe *scribe, uint32_t idle)
{
    if (is_stuck(scribe)) {
        nap(NAP_NS_MAX);
    } else if (scribe->feeds[0]->is_sync) {
        if (idle > SYNC_POLLS)
            sleep_until_woken(scribe);
        else
            hl_pause();
    } else if (idle <= NAPS) {
        const uint64_t nap_ns = NAP_NS * idle;
        nap(nap_ns < NAP_NS_MAX ? nap_ns : NAP_NS_MAX);
    } else {
        sleep_until_woken(scribe);
    }
}

static void *scribe_main(void *argument)
{
    hl_scribe *const scribe = argument;
    hl_error ignored; /* where it runs is a matter of taste */
    char name[16];
    snprintf(name, sizeof name, "hl-%.12s", scribe->name);
    pthread_setname_np(pthread_self(), name);
    if (scribe->cpu >= 0)
        (void)hl_pin_self((uint32_t)scribe->cpu, &ignored);
    uint32_t idle = 0;
    if (scribe->feeds[0]->io_refused[0] != '\0') /* the same for all: said once */
        tell(scribe->feeds[0], HL_JOURNAL_RUNNING, scribe->feeds[0]->io_refused);
    say_state(scribe, HL_SCRIBE_BUSY);
    while (!halted(scribe)) {
        bool moved = false;
        for (uint32_t i = 0; i < scribe->feed_count; i++)
            moved |= hl_scribe_turn(scribe->feeds[i], false);
        hl_count(&scribe->turns, 1);
        idle = moved ? 0 : idle + (idle < UINT32_MAX);
        if (!moved)
            wait(scribe, idle);
    }
    say_state(scribe, HL_SCRIBE_STOPPED);
    return NULL;
}

void hl_scribe_status(const hl_scribe *scribe, hl_thread_status *ret_status)
{
    static const char *const states[] = {"stopped", "busy", "asleep"};
    *ret_status = (hl_thread_status){.cpu = scribe->cpu, .partitions = scribe->feed_count};
    snprintf(ret_status->name, sizeof ret_status->name, "%s", scribe->name);
    snprintf(ret_status->role, sizeof ret_status->role, "journal");
    snprintf(ret_status->wait, sizeof ret_status->wait, "park");
    /* Relaxed all: for statistics. */
    snprintf(ret_status->state, sizeof ret_status->state, "%s",
             states[hl_load_relaxed_u32(&scribe->state)]);
    ret_status->running_cpu = (int)hl_load_relaxed_u32(&scribe->running_cpu);
    ret_status->turns = hl_load_relaxed_u64(&scribe->turns);
    ret_status->events = hl_load_relaxed_u64(&scribe->events);
    ret_status->parks = hl_load_relaxed_u64(&scribe->sleeps);
}

hl_status hl_scribe_start(hl_scribe *scribe, hl_error *error)
{
    sigset_t before;
    hl_store_relaxed_u32(&scribe->halt, 0); /* Relaxed: no thread runs yet. */
    hl_signals_block(&before);
    const int failure = pthread_create(&scribe->thread, NULL, scribe_main, scribe);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failure != 0)
        return hl_error_set(error, HL_SYSTEM, "thread of %s: %s", scribe->name, strerror(failure));
    scribe->thread_started = true;
    return HL_OK;
}

void hl_scribe_end(hl_scribe *scribe)
{
    if (!scribe->thread_started)
        return;
    hl_store_release_u32(&scribe->halt, 1); /* HALT: release, after all that was fed. */
    hl_sleeper_notify(&scribe->sleeper);
    pthread_join(scribe->thread, NULL);
    scribe->thread_started = false;
}
