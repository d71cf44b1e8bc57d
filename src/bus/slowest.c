#include "bus/slowest.h"

#include <stdio.h>
#include <stdlib.h>

#include "affinity/pin.h"
#include "bus/bus.h"
#include "observe/thread_switches.h"

#define LOOKS_A_TICK 4u /* threads; others have their turn at the next */
#define WORDS        (sizeof(hl_slow_words) / sizeof(uint64_t))

/* ---- the executor's side ---- */

static void write_words(hl_slow_note *note, const hl_slow_words *words)
{
    const uint64_t *const from = (const uint64_t *)words;
    uint64_t *const to = (uint64_t *)&note->words;
    const uint64_t version = hl_load_relaxed_u64(&note->version); /* Relaxed: its own. */
    hl_store_relaxed_u64(&note->version, version + 1); /* NOTED: relaxed, each word is released. */
    for (size_t i = 0; i < WORDS; i++)
        hl_store_release_u64(&to[i], from[i]); /* NOTED: release, not before the odd version. */
    hl_store_release_u64(&note->version, version + 2); /* NOTED: release, after the words. */
}

static uint32_t fastest(const hl_slowest *slowest)
{
    uint32_t index = 0;
    for (uint32_t i = 1; i < HL_SLOWEST_MOST; i++)
        if (slowest->waited_ns[i] < slowest->waited_ns[index])
            index = i;
    return index;
}

void hl_slowest_note(hl_slowest *slowest, const hl_executor *executor, const hl_event *event,
                     uint64_t event_id, uint64_t taken_ns, uint64_t began_ns)
{
    const hl_switches_seen *const seen = &executor->seen;
    const uint32_t place = fastest(slowest);
    const hl_slow_words words = {
        .event_id = event_id,
        .key = event->key,
        .published_ns = event->published_ns,
        .taken_ns = taken_ns,
        .began_ns = began_ns,
        .ended_ns = hl_bus_now(executor->bus),
        .topic = event->topic,
        .priority = event->priority,
        .cpu = (uint32_t)hl_thread_cpu(),
        /* Relaxed all: of two readings at worst, and then told as a longer window. */
        .seen_ns = hl_load_relaxed_u64(&seen->at_ns),
        .involuntary = hl_load_relaxed_u64(&seen->involuntary),
        .migrations = hl_load_relaxed_u64(&seen->migrations)};
    write_words(&slowest->notes[place], &words);
    slowest->waited_ns[place] = began_ns - event->published_ns;
    slowest->least_ns = slowest->waited_ns[fastest(slowest)];
}

/* ---- reading ---- */

/* The words and the version that they are of; 0: there are none, or they change all the time. */
static uint64_t read_words(const hl_slow_note *note, hl_slow_words *ret_words)
{
    const uint64_t *const from = (const uint64_t *)&note->words;
    uint64_t *const to = (uint64_t *)ret_words;
    for (int tries = 0; tries < 16; tries++) {
        const uint64_t version = hl_load_acquire_u64(&note->version); /* NOTED: acquire, first. */
        for (size_t i = 0; i < WORDS; i++)
            to[i] = hl_load_acquire_u64(&from[i]); /* NOTED: acquire, the second look comes after */
        /* NOTED: acquire, as said. */
        if (version % 2 == 0 && hl_load_acquire_u64(&note->version) == version)
            return version;
    }
    return 0;
}

/* ---- the housekeeper's side ---- */

static uint64_t between(uint64_t before, uint64_t now)
{
    return before != HL_SWITCHES_UNKNOWN && now != HL_SWITCHES_UNKNOWN && now >= before
               ? now - before
               : HL_SWITCHES_UNKNOWN;
}

static void settle(hl_slow_note *note, const hl_thread_switches *now, uint64_t now_ns)
{
    hl_slow_words words;
    const uint64_t version = read_words(note, &words);
    /* SETTLED: relaxed, the housekeeper's own. */
    if (version == 0 || hl_load_relaxed_u64(&note->settled) == version || words.seen_ns == 0)
        return;
    /* Relaxed all: SETTLED orders them. */
    hl_store_relaxed_u64(&note->settled, 0);
    hl_store_relaxed_u64(&note->window_ns, now_ns > words.seen_ns ? now_ns - words.seen_ns : 1);
    hl_store_relaxed_u64(&note->involuntary, between(words.involuntary, now->involuntary));
    hl_store_relaxed_u64(&note->migrations, between(words.migrations, now->migrations));
    hl_store_release_u64(&note->settled, version); /* SETTLED: release, after what it is of. */
}

static void look_at(hl_executor *executor)
{
    hl_switches_seen *const seen = &executor->seen;
    /* START: acquire, the thread has said its number. */
    const uint32_t tid = hl_load_acquire_u32(&executor->tid);
    if (tid == 0)
        return;
    const hl_thread_switches now = hl_thread_switches_read(tid);
    const uint64_t now_ns = hl_bus_now(executor->bus);
    for (uint32_t d = 0; d < executor->bus->config.domain_count; d++)
        for (uint32_t i = 0; i < HL_SLOWEST_MOST; i++)
            settle(&executor->slowest[d].notes[i], &now, now_ns);
    /* Relaxed all: as in hl_slowest_note. */
    hl_store_relaxed_u64(&seen->involuntary, now.involuntary);
    hl_store_relaxed_u64(&seen->migrations, now.migrations);
    hl_store_relaxed_u64(&seen->at_ns, now_ns);
}

void hl_slowest_look(hl_bus *bus, uint64_t tick)
{
    const uint32_t count = bus->executor_count;
    for (uint32_t i = 0; i < LOOKS_A_TICK && i < count; i++)
        look_at(&bus->executors[(tick * LOOKS_A_TICK + i) % count]);
}

/* ---- by call ---- */

static void tell(const hl_executor *executor, const hl_slow_note *note, const hl_slow_words *words,
                 uint64_t version, hl_slow_event *ret_event)
{
    const hl_topic topic = {(uint32_t)words->topic};
    const char *const name = hl_topic_name(executor->bus, topic);
    /* SETTLED: acquire, what it is of is seen. */
    const bool settled = hl_load_acquire_u64(&note->settled) == version;
    *ret_event = (hl_slow_event){
        .event_id = words->event_id,
        .key = words->key,
        .published_ns = words->published_ns,
        .taken_ns = words->taken_ns,
        .began_ns = words->began_ns,
        .ended_ns = words->ended_ns,
        .waited_ns = words->began_ns - words->published_ns,
        .priority = (int32_t)words->priority,
        .cpu = (int32_t)words->cpu,
        /* Relaxed all: SETTLED orders them. */
        .window_ns = settled ? hl_load_relaxed_u64(&note->window_ns) : 0,
        .involuntary_switches =
            settled ? hl_load_relaxed_u64(&note->involuntary) : HL_SWITCHES_UNKNOWN,
        .migrations = settled ? hl_load_relaxed_u64(&note->migrations) : HL_SWITCHES_UNKNOWN};
    snprintf(ret_event->thread, sizeof ret_event->thread, "%s", executor->name);
    snprintf(ret_event->topic, sizeof ret_event->topic, "%s", name != NULL ? name : "");
}

/* Keeps `count` events in order, the slowest first, of which at most `room`. */
static uint32_t insert(hl_slow_event *events, uint32_t count, uint32_t room,
                       const hl_slow_event *event)
{
    uint32_t at = count < room ? count : room;
    while (at > 0 && events[at - 1].waited_ns < event->waited_ns) {
        if (at < room)
            events[at] = events[at - 1];
        at--;
    }
    if (at >= room)
        return count;
    events[at] = *event;
    return count < room ? count + 1 : count;
}

hl_status hl_bus_slowest(const hl_bus *bus, const char *domain, hl_slow_event *ret_events,
                         uint32_t room, uint32_t *ret_count)
{
    if (hl_bus_is_detached(bus))
        return HL_DETACHED;
    const hl_domain *const found =
        domain != NULL ? hl_bus_find_domain(bus, domain, strlen(domain)) : NULL;
    uint32_t count = 0;
    if (found == NULL)
        return HL_NOT_FOUND;
    if (room > HL_SLOWEST_MOST)
        room = HL_SLOWEST_MOST;
    for (uint32_t i = 0; i < bus->executor_count; i++) {
        const hl_executor *const executor = &bus->executors[i];
        for (uint32_t n = 0; n < HL_SLOWEST_MOST; n++) {
            const hl_slow_note *const note = &executor->slowest[found->index].notes[n];
            hl_slow_words words;
            hl_slow_event event;
            const uint64_t version = read_words(note, &words);
            if (version == 0)
                continue;
            tell(executor, note, &words, version, &event);
            count = insert(ret_events, count, room, &event);
        }
    }
    *ret_count = count;
    return HL_OK;
}
