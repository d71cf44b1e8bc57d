#include "clinic.h"

#include <string.h>

const clinic_kind clinic_kinds[CLINIC_KINDS] = {
    [CLINIC_INLINE] = {"inline", HL_ASYNC_NONE, HL_CONTRACT_LOSSLESS, false},
    [CLINIC_BATCH] = {"batch", HL_ASYNC_NONE, HL_CONTRACT_LOSSLESS, true},
    [CLINIC_UNORDERED] = {"unordered", HL_ASYNC_UNORDERED, HL_CONTRACT_LOSSLESS, false},
    [CLINIC_BY_KEY] = {"by key", HL_ASYNC_BY_KEY, HL_CONTRACT_LOSSLESS, false},
    [CLINIC_ORDERED] = {"ordered", HL_ASYNC_ORDERED, HL_CONTRACT_LOSSLESS, false},
    [CLINIC_LATEST] = {"latest", HL_ASYNC_BY_KEY, HL_CONTRACT_LATEST, false},
    [CLINIC_UNORDERED_BATCH] = {"unordered batch", HL_ASYNC_UNORDERED, HL_CONTRACT_LOSSLESS, true},
    [CLINIC_BATCH_BY_KEY] = {"batch by key", HL_ASYNC_BY_KEY, HL_CONTRACT_LOSSLESS, true},
    [CLINIC_ORDERED_BATCH] = {"ordered batch", HL_ASYNC_ORDERED, HL_CONTRACT_LOSSLESS, true},
    [CLINIC_LATEST_BATCH] = {"latest batch", HL_ASYNC_ORDERED, HL_CONTRACT_LATEST, true},
};

/* ---- the handler ---- */

static hl_status suffer(const hl_event *event, hl_publisher *out, void *context)
{
    patient *const self = context;
    cr_assert_lt(self->calls, CLINIC_CALLS_MAX);
    self->log[self->calls].sequence = event->sequence;
    self->log[self->calls].key = event->key;
    self->log[self->calls].attempt = event->attempt;
    self->calls++;
    const hl_status status = self->answer(event, out, self);
    self->handled += status == HL_OK;
    return status;
}

hl_status clinic_suffer_all(const hl_batch *batch, hl_publisher *out, void *context)
{
    patient *const self = context;
    self->batches++;
    self->largest_batch = batch->count > self->largest_batch ? batch->count : self->largest_batch;
    for (uint32_t i = 0; i < batch->count; i++) {
        self->place = i;
        const hl_status status = suffer(batch->events[i], out, context);
        if (status != HL_OK)
            return status;
        cr_assert_eq(hl_batch_taken(out, i + 1), HL_OK);
    }
    return HL_OK;
}

hl_status clinic_do_well(const hl_event *event, hl_publisher *out, patient *self)
{
    (void)event, (void)out, (void)self;
    return HL_OK;
}

hl_status clinic_fail(const hl_event *event, hl_publisher *out, patient *self)
{
    (void)out, (void)self;
    return hl_fail(event, 7, "at attempt %u", event->attempt);
}

hl_status clinic_pass_on(const hl_event *event, hl_publisher *out, patient *self)
{
    const uint64_t value = value_of(event);
    return hl_try_publish(out, self->to, event->key, &value, sizeof value);
}

/* ---- the bus ---- */

hl_retry_options clinic_retry(hl_retry_order order)
{
    hl_retry_options retry = HL_RETRY_OPTIONS_INIT;
    retry.attempts = 2;
    retry.order = order;
    return retry;
}

hl_subscription *clinic_add(clinic *c, const clinic_kind *of, const char *name,
                            hl_subscription_options options, patient *with)
{
    options.name = name;
    options.async = of->async;
    options.contract = of->contract;
    options.queue_events = CLINIC_ROOM;
    options.latest_keys = CLINIC_ROOM;
    options.batch = of->is_batch ? clinic_suffer_all : NULL;
    if (options.batch_events == 100)
        options.batch_events = 4;
    with->bus = c->bus;
    with->own = c->quote;
    cr_assert_eq(hl_subscribe(c->bus, "market_data.*", of->is_batch ? NULL : suffer, with, &options,
                              &with->subscription),
                 HL_OK, "%s", of->name);
    return with->subscription;
}

void clinic_open(clinic *c, const clinic_kind *of, hl_subscription_options options,
                 clinic_answer *answer)
{
    hl_config config = manual_config();
    config.max_workers = config.min_workers = CLINIC_WORKERS;
    config.retry_events = CLINIC_ROOM;
    config.log_level = HL_LOG_NOTHING;
    memset(c, 0, sizeof *c);
    c->bus = manual_start(&config);
    c->quote = topic_of_kind(c->bus, "market_data.quote",
                             of->contract == HL_CONTRACT_LATEST ? HL_STATE : HL_DELTA);
    c->patient.answer = answer;
    c->patient.to = topic(c->bus, "account.note");
    clinic_add(c, of, of->name, options, &c->patient);
    c->feed = open_publisher(c->bus, "feed", "market_data");
}

void clinic_pass(clinic *c, uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i++) {
        turn_all(c->bus);
        manual_now_ns += HL_MILLISECOND;
    }
    turn_all(c->bus);
    cr_assert_eq(hl_bus_housekeep(c->bus), HL_OK);
}

void clinic_close(clinic *c)
{
    assert_conserved(c->bus);
    manual_stop(c->bus);
}
