#include "flow/scaling.h"

#include <stdio.h>
#include <stdlib.h>

#include <hotlane/system.h>

#include "bus/bus.h"
#include "flow/scale.h"

#define RATE_OVER_NS (50 * HL_MILLISECOND) /* the shortest time that a rate is taken over */

typedef struct scaling {
    hl_scale scale;
    uint64_t since_ns, finished_then; /* of the rate that is being measured */
    uint64_t rate_per_s;
} scaling;

static hl_scale_options options_of(const hl_config *config)
{
    hl_scale_options options = HL_SCALE_OPTIONS_INIT;
    options.min_workers = config->min_workers;
    options.max_workers = config->max_workers;
    options.grow_backlog = config->worker_grow_backlog;
    options.grow_below_per_s = config->worker_grow_below_per_s;
    options.grow_after_ns = config->worker_grow_after_ns;
    options.shrink_backlog = config->worker_shrink_backlog;
    options.shrink_after_ns = config->worker_shrink_after_ns;
    options.shrink_above_per_s = config->worker_shrink_above_per_s;
    options.pause_ns = config->worker_pause_ns;
    return options;
}

static hl_status create(hl_bus *bus, hl_error *error)
{
    hl_pool *const pool = bus->pools[HL_POOL_WORKERS];
    if (pool == NULL)
        return HL_OK;
    const hl_scale_options options = options_of(&bus->config);
    const hl_status status = hl_scale_options_check(&options, "workers", error);
    if (status != HL_OK)
        return status;
    scaling *const self = calloc(1, sizeof *self);
    if (self == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "no memory for the scaling of workers");
    hl_scale_init(&self->scale, &options);
    pool->scaling = self;
    return HL_OK;
}

static void measure_rate(scaling *self, const hl_pool *pool, uint64_t now_ns)
{
    const uint64_t finished = hl_pool_finished(pool);
    const uint64_t elapsed_ns = now_ns > self->since_ns ? now_ns - self->since_ns : 0;
    if (self->since_ns != 0 && elapsed_ns < RATE_OVER_NS)
        return;
    if (self->since_ns != 0)
        self->rate_per_s = (uint64_t)((double)(finished - self->finished_then) * (double)HL_SECOND /
                                      (double)elapsed_ns);
    self->since_ns = now_ns;
    self->finished_then = finished;
}

static void tell(hl_bus *bus, const hl_scale_sample *sample, const hl_scale_decision *decision)
{
    hl_system_scale news = {.before = sample->workers,
                            .after = decision->workers,
                            .backlog = sample->backlog,
                            .rate_per_s = sample->rate_per_s};
    snprintf(news.reason, sizeof news.reason, "%s", hl_scale_reason_name(decision->reason));
    hl_notice(bus, HL_TOPIC_SCALE, 0, &news, sizeof news);
}

static void tick(hl_bus *bus, uint64_t now_ns)
{
    hl_pool *const pool = bus->pools[HL_POOL_WORKERS];
    if (pool == NULL)
        return;
    scaling *const self = pool->scaling;
    measure_rate(self, pool, now_ns);
    const hl_scale_sample sample = {.now_ns = now_ns,
                                    .backlog = hl_pool_backlog(pool),
                                    .rate_per_s = self->rate_per_s,
                                    .workers = hl_pool_active(pool)};
    const hl_scale_decision decision = hl_scale_step(&self->scale, &sample);
    if (decision.workers != sample.workers) {
        hl_pool_resize(pool, decision.workers);
        tell(bus, &sample, &decision);
    }
    hl_pool_tend(pool);
    hl_pool_tend(bus->pools[HL_POOL_TAPS]);
}

static void destroy(hl_bus *bus)
{
    if (bus->pools[HL_POOL_WORKERS] != NULL)
        free(bus->pools[HL_POOL_WORKERS]->scaling);
}

const hl_part hl_scaling_part = {.create = create, .tick = tick, .destroy = destroy};
