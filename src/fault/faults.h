/*
 * What hangs in a bus so that its handlers may fail: a ward for each partition, the guards of its
 * subscriptions, its dead letters.
 *
 *   SPENT  faults.spent: an executor pushes a redriven event that it is done with (release), the
 *          housekeeper takes the list (acquire): it sees the event's outcome and may free it.
 */
#ifndef HL_FAULT_FAULTS_H
#define HL_FAULT_FAULTS_H

#include "bus/bus.h"
#include "fault/component.h"
#include "fault/dead_letter.h"
#include "fault/ward.h"
#include "fault/watchdog.h"

struct hl_faults {
    hl_bus *bus;
    /* NULL both: this bus keeps no dead letters. */
    hl_dlq *dlq;
    hl_dead_letters *letters;
    /* Numbers in the letters' dictionary, by topic and by publisher; written under the bus's lock
     * before either can be in an event. */
    uint32_t *topic_names;
    uint32_t *source_names;
    hl_kept *spent;     /* SPENT */
    uint64_t redriving; /* redriven events that are not back yet; several threads count */
    uint64_t ticks;     /* the housekeeper's */
    hl_watchdog *watchdog;
    hl_components *components;
};

extern const hl_part hl_faults_part;

/* Gives a letter for an event: HL_OK; HL_FULL: keep it, and try again; HL_NOT_FOUND: none are kept.
 * The partition's thread. */
hl_status hl_faults_post(hl_faults *faults, const hl_dead_post *post, const hl_event *event);

/* Carries posted letters into the queue. The housekeeper; or the stopping thread, when nothing runs
 * any more. */
void hl_faults_drain(hl_faults *faults);

#endif
