#include "bus/pool.h"

#include "bus/async.h"
#include "bus/bus.h"
#include "bus/thread_request.h"

/* ---- who sleeps ---- */

static uint64_t bit_of(const hl_worker *worker)
{
    return (uint64_t)1 << worker->index;
}

/* Takes a bit off `sleeping`; false: it was off already. */
static bool clear_bit(hl_pool *pool, uint64_t bit)
{
    uint64_t seen = hl_load_relaxed_u64(&pool->sleeping); /* Relaxed: a first guess. */
    while ((seen & bit) != 0)
        /* IDLE: relaxed, it elects who wakes it. */
        if (hl_compare_exchange_relaxed_u64(&pool->sleeping, &seen, seen & ~bit))
            return true;
    return false;
}

static void set_bit(hl_pool *pool, uint64_t bit)
{
    uint64_t seen = hl_load_relaxed_u64(&pool->sleeping); /* Relaxed: a first guess. */
    /* IDLE: relaxed, the barrier of hl_sleeper_prepare orders it. */
    while (!hl_compare_exchange_relaxed_u64(&pool->sleeping, &seen, seen | bit))
        ;
}

/* Whom it wakes is counted as searching at once, so that the next event wakes nobody else. */
void hl_pool_wake(hl_pool *pool)
{
    uint64_t seen;
    /* Relaxed: the bit is taken below. */
    while ((seen = hl_load_relaxed_u64(&pool->sleeping)) != 0) {
        const uint64_t bit = seen & -seen;
        if (!clear_bit(pool, bit))
            continue;
        hl_fetch_add_relaxed_u64(&pool->searching, 1); /* IDLE */
        /* IDLE: the bit's taking before the load of `asleep`: a worker that has not stored it yet
         * finds its bit gone, and does not sleep. */
        hl_fence_store_load();
        hl_executor_wake(pool->workers[__builtin_ctzll(bit)].executor);
        return;
    }
}

static void begin_searching(hl_worker *worker)
{
    if (hl_load_relaxed_u32(&worker->searching) != 0) /* Relaxed: its own. */
        return;
    hl_store_relaxed_u32(&worker->searching, 1);           /* IDLE: relaxed, a hint to others. */
    hl_fetch_add_relaxed_u64(&worker->pool->searching, 1); /* IDLE */
}

/* False: it was not searching. *ret_last: nobody else is. */
static bool end_searching(hl_worker *worker, bool *ret_last)
{
    if (hl_load_relaxed_u32(&worker->searching) == 0) /* Relaxed: its own. */
        return false;
    hl_store_relaxed_u32(&worker->searching, 0); /* IDLE: relaxed, a hint to others. */
    *ret_last = hl_fetch_add_relaxed_u64(&worker->pool->searching, (uint64_t)-1) == 1; /* IDLE */
    return true;
}

/* It no longer looks for work: if nobody else does, and there is some, another one is to. */
static void pass_the_search_on(hl_worker *worker)
{
    bool was_last = false;
    hl_pool *const pool = worker->pool;
    if (end_searching(worker, &was_last) && was_last &&
        hl_load_relaxed_u64(&pool->sleeping) != 0 && /* Relaxed: hl_pool_wake looks again. */
        hl_async_waits(worker->links))
        hl_pool_wake(pool);
}

void hl_worker_found(hl_worker *worker)
{
    pass_the_search_on(worker);
}

void hl_worker_rest(hl_worker *worker)
{
    bool ignored;
    end_searching(worker, &ignored);
}

void hl_worker_to_sleep(hl_worker *worker)
{
    worker->in_sleeping = hl_worker_is_active(worker);
    if (worker->in_sleeping)
        set_bit(worker->pool, bit_of(worker));
    hl_worker_rest(worker);
}

void hl_worker_awake(hl_worker *worker)
{
    if (!worker->in_sleeping)
        return;
    worker->in_sleeping = false;
    if (clear_bit(worker->pool, bit_of(worker)))
        begin_searching(worker);
    else
        /* Who woke it has counted it. Relaxed: a hint to others. */
        hl_store_relaxed_u32(&worker->searching, 1);
}

static bool was_woken(const hl_worker *worker)
{
    return worker->in_sleeping &&
           /* Relaxed: the barrier of hl_sleeper_prepare orders it (IDLE). */
           (hl_load_relaxed_u64(&worker->pool->sleeping) & bit_of(worker)) == 0;
}

bool hl_worker_has_work(const hl_worker *worker)
{
    if (was_woken(worker))
        return true;
    for (const hl_link *link = worker->links; link != NULL; link = link->next_of_worker)
        if (hl_async_has_work(worker, link->subscription->async))
            return true;
    return false;
}

/* ---- looking ---- */

uint32_t hl_worker_look(hl_executor *executor, uint32_t max_events)
{
    hl_worker *const worker = executor->worker;
    hl_count(&executor->turns, 1);
    if (hl_command_waiting(&executor->commands))
        hl_executor_obey(executor);
    executor->now_ns = hl_bus_now(executor->bus); /* its busy time counts from here */
    hl_link *link = worker->next != NULL ? worker->next : worker->links;
    for (const hl_link *const first = link; link != NULL;) {
        hl_link *const next = link->next_of_worker != NULL ? link->next_of_worker : worker->links;
        worker->next = next;
        const uint32_t handled = hl_async_serve(worker, link->subscription->async, max_events);
        if (handled != 0)
            return handled;
        link = next != first ? next : NULL;
    }
    if (hl_worker_is_active(worker))
        begin_searching(worker);
    else
        pass_the_search_on(worker);
    return 0;
}

void hl_worker_attach(hl_worker *worker, hl_link *link)
{
    link->next_of_worker = worker->links;
    worker->links = link;
}

void hl_worker_detach(hl_worker *worker, hl_link *link)
{
    for (hl_link **at = &worker->links; *at != NULL; at = &(*at)->next_of_worker)
        if (*at == link) {
            *at = link->next_of_worker;
            break;
        }
    if (worker->next == link)
        worker->next = link->next_of_worker;
}

bool hl_worker_outputs_taken(const hl_worker *worker)
{
    const uint32_t lanes = worker->executor->bus->partition_count * HL_PRIORITIES;
    for (uint32_t i = 0; i < lanes; i++) {
        /* LANE: acquire, it is whole. */
        const hl_outlet *const outlet =
            hl_load_acquire_ptr((void *const *)(const void *)&worker->out->outlets[i]);
        /* What lies in a table is never overtaken by an older value of its key. */
        if (outlet == NULL || outlet->seats != NULL)
            continue;
        /* RELEASED: (ring.h) acquire; what was given back was dispatched. The partition publishes
         * all of it when it finds the ring empty. */
        const uint64_t released = hl_load_acquire_u64(&outlet->inlet->ring->released);
        const uint64_t *const stamp =
            (const uint64_t *)(const void *)(outlet->slots +
                                             (released & outlet->mask) * outlet->slot_size_bytes);
        /* READY: (ring.h) relaxed, only whether there is something. */
        if (hl_load_relaxed_u64(stamp) == released + 1)
            return false;
    }
    return true;
}

/* ---- the control plane ---- */

void hl_pool_resize(hl_pool *pool, uint32_t active)
{
    const uint32_t before = hl_pool_active(pool);
    hl_store_relaxed_u32(&pool->active, active); /* Relaxed: see `active`. */
    if (active != before)
        hl_count(active > before ? &pool->grown : &pool->shrunk, 1);
    for (uint32_t i = before; i < active; i++)
        hl_executor_wake(pool->workers[i].executor);
}

static uint64_t finished_of(const hl_bus *bus, uint32_t kind)
{
    /* DRAINED: acquire, as below. */
    uint64_t finished = hl_load_acquire_u64(&bus->past_counts.finished[kind]);
    for (uint32_t i = 0; i < bus->executor_count; i++)
        /* DRAINED: acquire, what it has caused is seen. */
        finished += hl_load_acquire_u64(&bus->executors[i].finished[kind]);
    return finished;
}

uint64_t hl_backlog(const hl_bus *bus, uint32_t kind)
{
    const uint64_t finished = finished_of(bus, kind);
    uint64_t handed = hl_load_acquire_u64(&bus->past_counts.handed[kind]); /* DRAINED: after */
    for (uint32_t i = 0; i < bus->executor_count; i++)
        handed += hl_load_acquire_u64(&bus->executors[i].handed[kind]); /* DRAINED: after */
    return handed - finished;
}

uint64_t hl_pool_finished(const hl_pool *pool)
{
    return finished_of(pool->bus, pool->kind);
}

uint64_t hl_pool_backlog(const hl_pool *pool)
{
    return hl_backlog(pool->bus, pool->kind);
}

void hl_pool_tend(hl_pool *pool)
{
    if (hl_pool_backlog(pool) != 0 || hl_backlog(pool->bus, HL_KEPT) != 0)
        hl_pool_notify(pool);
}

/* ---- made and freed with the bus ---- */

static bool make_worker(hl_bus *bus, hl_pool *pool, uint32_t index, uint32_t thread)
{
    hl_worker *const worker = &pool->workers[index];
    const hl_plan_thread *const plan =
        bus->plan != NULL
            ? &bus->plan->threads[bus->partition_count + bus->config.publisher_count + thread]
            : NULL;
    hl_executor *const executor = hl_executor_begin(bus, plan != NULL ? plan->cpu : -1);
    executor->worker = worker;
    hl_worker_name(&bus->config, thread, executor->name);
    if (plan != NULL) {
        executor->wait = plan->wait;
        executor->shares_cpu = plan->shares_cpu;
    }
    worker->executor = executor;
    worker->pool = pool;
    worker->index = index;
    worker->out = hl_publisher_make_out(bus, executor->name);
    return worker->out != NULL;
}

static bool make_pool(hl_bus *bus, hl_pool_kind kind, uint32_t count, uint32_t active,
                      uint32_t first_thread)
{
    hl_pool *const pool = hl_allocate(1, sizeof *pool);
    if (pool == NULL)
        return false;
    bus->pools[kind] = pool;
    pool->bus = bus;
    pool->kind = kind;
    pool->active = active;
    pool->workers = hl_allocate(count, sizeof *pool->workers);
    bool whole = pool->workers != NULL;
    for (; whole && pool->count < count; pool->count++)
        whole = make_worker(bus, pool, pool->count, first_thread + pool->count);
    return whole;
}

bool hl_pools_make(hl_bus *bus)
{
    const hl_config *const config = &bus->config;
    return config->max_workers == 0 ||
           (make_pool(bus, HL_POOL_WORKERS, config->max_workers, config->min_workers, 0) &&
            make_pool(bus, HL_POOL_TAPS, 1, 1, config->max_workers));
}

void hl_pools_end_publishers(hl_bus *bus)
{
    for (int kind = 0; kind < HL_POOLS; kind++)
        for (uint32_t i = 0; bus->pools[kind] != NULL && i < bus->pools[kind]->count; i++)
            if (bus->pools[kind]->workers[i].out != NULL)
                hl_publisher_end(bus->pools[kind]->workers[i].out);
}

void hl_pools_free(hl_bus *bus)
{
    for (int kind = 0; kind < HL_POOLS; kind++) {
        if (bus->pools[kind] != NULL)
            free(bus->pools[kind]->workers);
        free(bus->pools[kind]);
    }
}
