#include "fault/giving_up.h"

#include <stdio.h>
#include <time.h>

#include "bus/bus.h"
#include "bus/subscription.h"
#include "fault/faults.h"
#include "fault/redrive.h"

#define ERRORS_NS    (10 * HL_MILLISECOND) /* in which at most */
#define ERRORS_MOST  16u                   /* errors of a partition are told */
#define UNBURY_BATCH 64u
#define WORKER_NAPS  1000u /* of a millisecond, for room for a dead letter */

/* Why an event is given up, and all that is told of it. */
typedef struct death {
    const hl_event *event;
    hl_dead_reason reason;
    int32_t error_code;
    const char *error_text; /* NULL: none */
    uint32_t attempts;
    uint64_t first_failed_ns, last_failed_ns;
    uint64_t redriven_id;
} death;

/* ---- what is told ---- */

/* Whether an error may be told now: a flood of them would crowd out all other notices. */
static bool may_tell(hl_ward *ward)
{
    if (ward->now_ns - ward->errors_since_ns >= ERRORS_NS) {
        ward->errors_since_ns = ward->now_ns;
        ward->errors_told = 0;
    }
    return ward->errors_told++ < ERRORS_MOST;
}

/* Never of an event of the bus's own domain: a handler of errors that fails would feed itself. */
static void tell_error(const hl_keeper *keeper, const death *of)
{
    hl_ward *const ward = keeper->ward;
    const hl_partition *const partition = keeper->partition;
    if (strcmp(partition->domain->name, "system") == 0 || !may_tell(ward)) {
        hl_count(&ward->errors_untold, 1);
        return;
    }
    const hl_subscription *const subscription = keeper->cell->subscription;
    hl_system_error error = {.event_id = hl_event_id_of(partition->number, of->event->sequence),
                             .event_key = of->event->key,
                             .untold = ward->errors_untold,
                             .code = of->error_code,
                             .reason = of->reason,
                             .attempts = of->attempts,
                             .partition = partition->number};
    const hl_topic topic = {of->event->topic};
    snprintf(error.topic, sizeof error.topic, "%s", hl_topic_name(partition->bus, topic));
    snprintf(error.subscription, sizeof error.subscription, "%s", subscription->name);
    if (of->error_text != NULL)
        snprintf(error.text, sizeof error.text, "%s", of->error_text);
    hl_notice(partition->bus, "system.error", subscription->serial, &error, sizeof error);
    hl_log(partition->bus, HL_LOG_DEBUG, "faults", "%s gives up an event of %s: %s",
           error.subscription, error.topic,
           error.text[0] != '\0' ? error.text : hl_status_text((hl_status)error.code));
}

/* ---- outcomes ---- */

void hl_let_go(hl_kept *kept)
{
    const hl_ward *const ward = kept->timer.keeper->ward;
    /* Asked before its room is another worker's. */
    const bool is_redriven = kept->home == NULL;
    hl_ward_release(kept);
    if (is_redriven)
        hl_redrive_spend(ward->bus->faults, kept);
}

void hl_kept_note_failure(hl_kept *kept, const hl_said *said)
{
    const size_t bytes = said->text != NULL ? strnlen(said->text, sizeof kept->error_text - 1) : 0;
    const uint64_t now_ns = kept->timer.keeper->ward->now_ns;
    if (kept->first_failed_ns == 0)
        kept->first_failed_ns = now_ns;
    kept->last_failed_ns = now_ns;
    kept->error_code = said->code;
    if (bytes != 0)
        memcpy(kept->error_text, said->text, bytes);
    kept->error_text[bytes] = '\0';
}

/* ---- giving up ---- */

/* HL_OK; HL_FULL: later; HL_NOT_FOUND: this bus keeps no dead letters. */
static hl_status post(const hl_keeper *keeper, const death *of)
{
    const hl_partition *const partition = keeper->partition;
    hl_faults *const faults = partition->bus->faults;
    const hl_dead_post letter = {.topic = faults->topic_names[of->event->topic],
                                 .source = faults->source_names[of->event->source],
                                 .subscription = keeper->names[0],
                                 .pattern = keeper->names[1],
                                 .partition = partition->number,
                                 .reason = of->reason,
                                 .error_code = of->error_code,
                                 .attempts = of->attempts,
                                 .error_text = of->error_text,
                                 .first_failed_ns = of->first_failed_ns,
                                 .last_failed_ns = of->last_failed_ns,
                                 .redriven_id = of->redriven_id};
    return hl_faults_post(faults, &letter, of->event);
}

static death death_of(const hl_kept *kept)
{
    return (death){.event = &kept->event,
                   .reason = kept->reason,
                   .error_code = kept->error_code,
                   .error_text = kept->error_text,
                   .attempts = kept->attempts,
                   .first_failed_ns = kept->first_failed_ns,
                   .last_failed_ns = kept->last_failed_ns,
                   .redriven_id = kept->redriven_id};
}

/* What was posted, or is not kept at all, is counted. False: there is no room for it yet. */
static bool settle_death(const hl_keeper *keeper, const death *of)
{
    const hl_status status = post(keeper, of);
    if (status != HL_FULL)
        hl_count(status == HL_OK ? &keeper->cell->dead_lettered : &keeper->cell->skipped, 1);
    return status != HL_FULL;
}

void hl_give_up(hl_kept *kept, hl_dead_reason reason)
{
    hl_keeper *const keeper = kept->timer.keeper;
    kept->reason = reason;
    const death of = death_of(kept);
    tell_error(keeper, &of);
    kept->is_settled = settle_death(keeper, &of);
    if (kept->is_settled)
        hl_let_go(kept);
    else
        hl_ward_bury(kept);
}

/* There is no room for a letter, nor for the event until there is. A worker may block: it waits for
 * room, though not for ever. False: it is still not counted. */
static bool wait_for_letter(const hl_keeper *keeper, const death *of)
{
    const struct timespec nap = {0, (long)HL_MILLISECOND};
    for (uint32_t i = 0; keeper->ward->worker != NULL && i < WORKER_NAPS; i++) {
        nanosleep(&nap, NULL);
        if (settle_death(keeper, of))
            return true;
    }
    return false;
}

void hl_give_up_in_slot(hl_keeper *keeper, const hl_event *event, hl_dead_reason reason,
                        const hl_said *said)
{
    hl_ward *const ward = keeper->ward;
    const death of = {.event = event,
                      .reason = reason,
                      .error_code = said != NULL ? said->code : 0,
                      .error_text = said != NULL ? said->text : NULL,
                      .attempts = event->attempt + (uint32_t)(said != NULL),
                      .first_failed_ns = ward->now_ns,
                      .last_failed_ns = ward->now_ns};
    tell_error(keeper, &of);
    if (settle_death(keeper, &of))
        return;
    hl_kept *const kept = hl_ward_keep(keeper, ward->pool, event);
    if (kept == NULL) {
        if (!wait_for_letter(keeper, &of))
            hl_count(&keeper->cell->skipped, 1);
        return;
    }
    kept->reason = reason;
    kept->attempts = of.attempts;
    hl_kept_note_failure(kept, &(hl_said){of.error_code, of.error_text});
    hl_ward_bury(kept);
}

void hl_give_up_buried(hl_ward *ward)
{
    if (ward->buried.first == NULL || (ward->now_ns < ward->unburied_ns && !ward->is_flushed))
        return;
    for (uint32_t i = 0; i < UNBURY_BATCH && ward->buried.first != NULL; i++) {
        const death of = death_of(ward->buried.first);
        if (!settle_death(ward->buried.first->timer.keeper, &of))
            break;
        hl_kept *const kept = hl_ward_unbury(ward);
        hl_keeper *const keeper = kept->timer.keeper;
        kept->is_settled = true;
        hl_let_go(kept);
        hl_ward_set_state(keeper);
    }
    ward->unburied_ns = hl_due_after(ward->now_ns, HL_UNBURY_NS);
}

void hl_give_up_at_end(hl_kept *kept)
{
    hl_keeper *const keeper = kept->timer.keeper;
    if (kept->reason == 0)
        kept->reason = HL_DEAD_STOPPED;
    const death of = death_of(kept);
    tell_error(keeper, &of);
    kept->is_settled = settle_death(keeper, &of);
    if (!kept->is_settled) {
        hl_faults_drain(keeper->ward->bus->faults);
        kept->is_settled = settle_death(keeper, &of);
    }
    if (!kept->is_settled)
        hl_count(&keeper->cell->skipped, 1);
    hl_let_go(kept);
}
