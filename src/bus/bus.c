#include "bus/bus.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "affinity/pin.h"
#include "bus/thread_request.h"
#include "config/domains.h"

/* ---- small services ---- */

hl_status hl_bus_fail(hl_bus *bus, hl_status status, const char *format, ...)
{
    hl_error *const error = &bus->control->last_error;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    error->status = status;
    return status;
}

void hl_bus_error(hl_bus *bus, hl_error *ret_error)
{
    const hl_status refusal = hl_bus_refusal(bus);
    if (refusal != HL_OK) {
        hl_error_set(ret_error, refusal, "%s",
                     refusal == HL_INVALID ? "no bus was given: use one of hl_bus_create"
                                           : hl_status_text(refusal));
        return;
    }
    hl_bus_lock(bus);
    *ret_error = bus->control->last_error;
    hl_bus_unlock(bus);
}

hl_domain *hl_bus_find_domain(const hl_bus *bus, const char *name, size_t bytes)
{
    for (uint32_t i = 0; i < bus->config.domain_count; i++)
        if (strlen(bus->domains[i].name) == bytes && memcmp(bus->domains[i].name, name, bytes) == 0)
            return &bus->domains[i];
    return NULL;
}

void hl_signals_block(sigset_t *ret_before)
{
    sigset_t blocked;
    sigfillset(&blocked);
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        sigdelset(&blocked, faults[i]);
    pthread_sigmask(SIG_SETMASK, &blocked, ret_before);
}

void hl_bus_reap(hl_bus *bus)
{
    hl_subscription_reap(bus);
    /* COMMAND: acquire, pairs with each push in unlink_inlet. */
    hl_inlet *inlet = hl_exchange_acq_rel_ptr((void **)(void *)&bus->dead_inlets, NULL);
    while (inlet != NULL) {
        hl_inlet *const next = inlet->next_dead;
        hl_inlet_free(inlet);
        inlet = next;
    }
}

uint64_t hl_bus_now_ns(const hl_bus *bus)
{
    return hl_bus_now(bus);
}

hl_status hl_pin_to_cpu(uint32_t cpu, hl_error *error)
{
    return hl_pin_self(cpu, error);
}

uint32_t hl_bus_executor_count(const hl_bus *bus)
{
    return bus->executor_count;
}

hl_executor *hl_bus_executor(hl_bus *bus, uint32_t index)
{
    return index < bus->executor_count ? &bus->executors[index] : NULL;
}

/* ---- create ---- */

/* A copy of a text that lives as long as the bus. NULL stays NULL. */
static bool keep_text(hl_bus *bus, const char **text)
{
    if (*text == NULL)
        return true;
    hl_text *const kept = malloc(sizeof *kept + strlen(*text) + 1);
    if (kept == NULL)
        return false;
    strcpy(kept->text, *text);
    kept->next = bus->texts;
    bus->texts = kept;
    *text = kept->text;
    return true;
}

/* What 0 stands for. */
static void set_journal_defaults(hl_domain_config *domain, const hl_config *config)
{
    if (config->journal_dir == NULL)
        domain->durability = HL_DURABILITY_OFF;
    if (domain->journal_slots == 0)
        domain->journal_slots = domain->ring_slots > 4096 ? domain->ring_slots : 4096;
    if (domain->journal_patience_ns == 0)
        domain->journal_patience_ns = HL_SECOND;
    if (domain->commit_events == 0)
        domain->commit_events = 65536;
    if (domain->commit_interval_ns == 0)
        domain->commit_interval_ns = 10 * HL_MILLISECOND;
}

/* The rules of the alerts. False: no memory. */
static bool copy_alerts(hl_bus *bus)
{
    const hl_alert_rule *const rules = bus->config.alerts;
    hl_alert_rule *const copies = calloc(bus->config.alert_count + 1, sizeof *copies);
    bus->config.alerts = copies;
    bool whole = copies != NULL;
    for (uint32_t i = 0; whole && i < bus->config.alert_count; i++) {
        copies[i] = rules[i];
        whole = keep_text(bus, &copies[i].name) && keep_text(bus, &copies[i].counter) &&
                keep_text(bus, &copies[i].of);
    }
    return whole;
}

/* The configuration with all that it points to: the caller's may go. */
static bool copy_config(hl_bus *bus, const hl_config *config)
{
    uint32_t count;
    const hl_domain_config *const domains = hl_config_domains(config, &count);
    bus->config = *config;
    bus->config.domain_count = count;
    bus->journal_threads = hl_journal_thread_count(config);
    bus->config.domains = NULL;
    bus->domains = hl_allocate(count, sizeof *bus->domains);
    const char **const publishers = calloc(config->publisher_count + 1, sizeof *publishers);
    bus->config.publishers = publishers;
    bool whole =
        bus->domains != NULL && publishers != NULL && keep_text(bus, &bus->config.default_domain) &&
        keep_text(bus, &bus->config.lcores) && keep_text(bus, &bus->config.dlq_path) &&
        keep_text(bus, &bus->config.journal_dir) && keep_text(bus, &bus->config.journal_key_file);
    /* Without short cut: from here on the rules are the bus's own, to be freed. */
    whole = copy_alerts(bus) && whole;
    for (uint32_t i = 0; whole && i < config->publisher_count; i++) {
        publishers[i] = config->publishers[i];
        whole = keep_text(bus, &publishers[i]);
    }
    for (uint32_t i = 0; whole && i < count; i++) {
        hl_domain *const domain = &bus->domains[i];
        domain->config = domains[i];
        domain->index = i;
        domain->first_partition = bus->partition_count;
        domain->journal_thread = hl_journal_thread_of(config, i);
        bus->partition_count += domains[i].shards;
        snprintf(domain->name, sizeof domain->name, "%s", domains[i].name);
        domain->config.name = domain->name;
        if (domain->config.conflate_keys == 0)
            domain->config.conflate_keys = config->max_keys_per_state_topic;
        set_journal_defaults(&domain->config, config);
        whole = keep_text(bus, &domain->config.publishes_to) &&
                keep_text(bus, &domain->config.conflates);
    }
    return whole;
}

static bool make_gate(hl_bus *bus)
{
    void *const page = mmap(NULL, (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return false;
    bus->gate = page;
    *bus->gate = HL_GATE_OPEN;
    return madvise(page, (size_t)sysconf(_SC_PAGESIZE), MADV_WIPEONFORK) == 0;
}

static bool make_partitions(hl_bus *bus)
{
    bus->partitions = hl_allocate(bus->partition_count, sizeof *bus->partitions);
    if (bus->partitions == NULL)
        return false;
    for (uint32_t d = 0; d < bus->config.domain_count; d++) {
        const hl_domain *const domain = &bus->domains[d];
        for (uint32_t shard = 0; shard < domain->config.shards; shard++) {
            hl_partition *const partition = &bus->partitions[domain->first_partition + shard];
            char name[HL_THREAD_NAME_SIZE];
            partition->bus = bus;
            partition->domain = domain;
            partition->number = domain->first_partition + shard;
            partition->shard = shard;
            partition->numa_node = -1;
            hl_partition_name(&domain->config, shard, name);
            partition->image_slot = hl_allocate(1, domain->config.slot_size_bytes);
            partition->out = hl_publisher_make_out(bus, name);
            if (partition->image_slot == NULL || partition->out == NULL)
                return false;
            partition->out->partition = partition;
        }
    }
    return true;
}

static bool make_tables(hl_bus *bus)
{
    const uint32_t topics = bus->config.max_topics;
    bus->max_topics = topics;
    /* calloc: pages that no topic uses are never touched. */
    bus->topics = calloc(topics, sizeof *bus->topics);
    bus->routes = calloc(topics, sizeof(hl_route *));
    bus->entries = calloc(topics, sizeof(hl_topic_entry *));
    bus->sources = calloc(HL_SOURCES_MAX + 1, sizeof(char *));
    bus->shared_outlets = calloc(bus->partition_count * HL_PRIORITIES, sizeof(hl_outlet *));
    return bus->topics != NULL && bus->routes != NULL && bus->entries != NULL &&
           bus->sources != NULL && bus->shared_outlets != NULL;
}

/* ---- the plan ---- */

static hl_status make_plan(hl_bus *bus, const hl_config *config, hl_error *error)
{
    hl_thread_request *threads;
    uint32_t count;
    hl_status status = hl_thread_requests_make(config, &threads, &count, error);
    if (status != HL_OK)
        return status;
    const hl_plan_request request = {
        .threads = threads, .thread_count = count, .lcores = config->lcores};
    status = hl_topology_load(NULL, &bus->topology, error);
    if (status == HL_OK)
        status = hl_plan_make(bus->topology, &request, &bus->plan, error);
    free(threads);
    return status;
}

static void give_partition(hl_executor *executor, hl_partition *partition)
{
    executor->partitions[executor->partition_count++] = partition;
    partition->executor = executor;
}

static void name_executor(hl_executor *executor)
{
    size_t used = 0;
    for (uint32_t i = 0; i < executor->partition_count && used < sizeof executor->name; i++)
        used += (size_t)snprintf(executor->name + used, sizeof executor->name - used, "%s%s",
                                 i == 0 ? "" : "+", executor->partitions[i]->out->name);
}

hl_executor *hl_executor_begin(hl_bus *bus, int cpu)
{
    hl_executor *const executor = &bus->executors[bus->executor_count];
    executor->bus = bus;
    executor->index = bus->executor_count++;
    executor->cpu = cpu;
    executor->running_cpu = (uint32_t)-1;
    executor->guard_interval = bus->config.guard_interval;
    executor->wait = cpu < 0 ? HL_WAIT_SPIN : HL_WAIT_AUTO;
    hl_sleeper_init(&executor->sleeper);
    return executor;
}

/* The executor of a CPU, begun when there is none; -1: one of its own. */
static hl_executor *executor_on(hl_bus *bus, int cpu)
{
    for (uint32_t i = 0; cpu >= 0 && i < bus->executor_count; i++)
        if (bus->executors[i].cpu == cpu)
            return &bus->executors[i];
    hl_executor *const executor = hl_executor_begin(bus, cpu);
    executor->partitions = calloc(bus->partition_count, sizeof(hl_partition *));
    return executor->partitions != NULL ? executor : NULL;
}

/* Of partitions that share an executor, the gentlest wait holds for all. */
static hl_wait gentler(hl_wait a, hl_wait b)
{
    return a > b ? a : b;
}

static bool make_executors(hl_bus *bus)
{
    bus->executors = hl_allocate(bus->partition_count + hl_worker_thread_count(&bus->config),
                                 sizeof *bus->executors);
    if (bus->executors == NULL)
        return false;
    for (uint32_t i = 0; i < bus->partition_count; i++) {
        hl_partition *const partition = &bus->partitions[i];
        const hl_plan_thread *const thread = bus->plan != NULL ? &bus->plan->threads[i] : NULL;
        hl_executor *const executor = executor_on(bus, thread != NULL ? thread->cpu : -1);
        if (executor == NULL)
            return false;
        give_partition(executor, partition);
        if (thread != NULL) {
            executor->wait = gentler(executor->wait, thread->wait);
            partition->numa_node = (int)thread->numa_node;
        }
    }
    for (uint32_t i = 0; i < bus->executor_count; i++)
        name_executor(&bus->executors[i]);
    /* Sharing a CPU with one's own partitions is no reason to yield it; with others it is. */
    for (uint32_t i = 0; bus->plan != NULL && i < bus->executor_count; i++) {
        hl_executor *const executor = &bus->executors[i];
        executor->shares_cpu = bus->plan->housekeeping_cpu == executor->cpu;
        for (uint32_t t = bus->partition_count; t < bus->plan->thread_count; t++)
            executor->shares_cpu |= bus->plan->threads[t].cpu == executor->cpu;
    }
    return hl_pools_make(bus);
}

static bool make_slowest(hl_bus *bus)
{
    for (uint32_t i = 0; i < bus->executor_count; i++) {
        hl_executor *const executor = &bus->executors[i];
        executor->slowest = hl_allocate(bus->config.domain_count, sizeof *executor->slowest);
        if (executor->slowest == NULL)
            return false;
    }
    for (uint32_t i = 0; i < bus->partition_count; i++) {
        hl_partition *const partition = &bus->partitions[i];
        for (int p = 0; p < HL_PRIORITIES; p++)
            partition->lanes[p].slowest = &partition->executor->slowest[partition->domain->index];
    }
    return true;
}

static hl_status create(const hl_config *config, bool is_sketch, hl_bus **ret_bus, hl_error *error)
{
    const hl_config defaults = HL_CONFIG_INIT;
    if (config == NULL)
        config = &defaults;
    if (ret_bus == NULL)
        return hl_error_set(error, HL_INVALID, "bus: there must be room for its handle");
    hl_status status = hl_config_validate(config, error);
    if (status != HL_OK)
        return status;
    hl_bus *const bus = hl_allocate(1, sizeof *bus);
    if (bus == NULL || (bus->control = hl_allocate(1, sizeof *bus->control)) == NULL) {
        free(bus);
        return hl_error_set(error, HL_NO_MEMORY, "no memory for a bus");
    }
    pthread_mutex_init(&bus->control->lock, NULL);
    bus->is_sketch = is_sketch;
    bool whole = copy_config(bus, config) && make_tables(bus) && make_partitions(bus) &&
                 (bus->notices = hl_notices_make()) != NULL && (bus->log = hl_log_make()) != NULL;
    if (whole && config->threads == HL_THREADS_OWN)
        status = make_plan(bus, config, error);
    if (whole && status == HL_OK) {
        hl_clock_init(&bus->clock, config->clock, config->clock_context);
        whole = make_executors(bus) && make_slowest(bus);
    }
    if (whole && status == HL_OK && !make_gate(bus))
        status = hl_error_set(error, HL_SYSTEM,
                              "the kernel has no page that a fork wipes "
                              "(MADV_WIPEONFORK): Linux 4.14 or later is needed");
    for (const hl_part *const *part = hl_parts; whole && status == HL_OK && *part != NULL; part++)
        if ((*part)->create != NULL)
            status = (*part)->create(bus, error);
    if (!whole)
        status =
            hl_error_set(error, HL_NO_MEMORY, "no memory for a bus of %u partitions and %u topics",
                         bus->partition_count, config->max_topics);
    if (status != HL_OK) {
        hl_bus_destroy(bus);
        return status;
    }
    *ret_bus = bus;
    return HL_OK;
}

hl_status hl_bus_create(const hl_config *config, hl_bus **ret_bus, hl_error *error)
{
    return create(config, false, ret_bus, error);
}

hl_status hl_bus_sketch(const hl_config *config, hl_bus **ret_bus, hl_error *error)
{
    return create(config, true, ret_bus, error);
}

/* ---- start ---- */

static hl_status start_executors(hl_bus *bus)
{
    sigset_t before;
    hl_signals_block(&before);
    hl_status status = HL_OK;
    for (uint32_t i = 0; i < bus->executor_count && status == HL_OK; i++) {
        hl_executor *const executor = &bus->executors[i];
        /* Of a start that failed before, too; no thread reads them yet. */
        executor->start_state = HL_START_PENDING;
        executor->stop = executor->go = executor->ended = 0;
        const int failure = pthread_create(&executor->thread, NULL, hl_executor_main, executor);
        if (failure != 0)
            status =
                hl_bus_fail(bus, HL_SYSTEM, "thread of %s: %s", executor->name, strerror(failure));
        executor->thread_started = failure == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status;
}

static hl_status await_executors(hl_bus *bus)
{
    hl_status status = HL_OK;
    for (uint32_t i = 0; i < bus->executor_count; i++) {
        hl_executor *const executor = &bus->executors[i];
        const struct timespec nap = {0, 100000};
        uint32_t state = HL_START_READY; /* of one whose thread did not start, too */
        /* START: acquire, pairs with hl_executor_main. */
        while (executor->thread_started &&
               (state = hl_load_acquire_u32(&executor->start_state)) == HL_START_PENDING)
            nanosleep(&nap, NULL);
        if (state == HL_START_FAILED)
            status = hl_bus_fail(bus, executor->start_error.status, "thread of %s: %s",
                                 executor->name, executor->start_error.text);
    }
    return status;
}

/* What the parts have running; the first that fails is the answer. */
static hl_status start_parts(hl_bus *bus)
{
    hl_error error;
    for (const hl_part *const *part = hl_parts; *part != NULL; part++) {
        const hl_status status = (*part)->start != NULL ? (*part)->start(bus, &error) : HL_OK;
        if (status != HL_OK)
            return hl_bus_fail(bus, status, "%s", error.text);
    }
    return HL_OK;
}

void hl_parts_halt(hl_bus *bus)
{
    for (const hl_part *const *part = hl_parts; *part != NULL; part++)
        if ((*part)->halt != NULL)
            (*part)->halt(bus);
}

hl_status hl_parts_stop(hl_bus *bus, hl_error *error)
{
    hl_status first = HL_OK;
    for (const hl_part *const *part = hl_parts; *part != NULL; part++) {
        hl_error ignored;
        const hl_status status =
            (*part)->stop != NULL ? (*part)->stop(bus, first == HL_OK ? error : &ignored) : HL_OK;
        if (first == HL_OK)
            first = status;
    }
    return first;
}

/* Nothing is left running of a start that failed. Under the lock. */
static void undo_start(hl_bus *bus)
{
    hl_error ignored;
    if (bus->config.threads == HL_THREADS_OWN)
        hl_executors_end(bus, UINT64_MAX);
    hl_parts_stop(bus, &ignored);
}

/* Under the lock. */
static hl_status start_locked(hl_bus *bus)
{
    hl_control *const control = bus->control;
    if (control->state != HL_BUS_CREATED)
        return hl_bus_fail(bus, HL_WRONG_STATE, "a bus is started once, just after its making");
    if (bus->is_sketch)
        return hl_bus_fail(bus, HL_WRONG_STATE, "a sketch of a bus is not started");
    hl_status status =
        hl_reclaimer_start(bus, bus->plan != NULL ? bus->plan->housekeeping_cpu : -1);
    if (status == HL_OK)
        status = hl_handler_lanes_make(bus, NULL);
    if (status == HL_OK && bus->config.threads == HL_THREADS_OWN) {
        status = start_executors(bus);
        const hl_status placed = await_executors(bus);
        if (status == HL_OK)
            status = placed;
    }
    if (status == HL_OK)
        status = start_parts(bus);
    if (status == HL_OK && bus->config.threads == HL_THREADS_OWN)
        status = hl_housekeeper_start(bus);
    if (status != HL_OK) {
        undo_start(bus);
        return status;
    }
    control->state = HL_BUS_RUNNING;
    for (uint32_t i = 0; i < bus->executor_count; i++)
        /* START: release, executors see a bus that was started. */
        hl_store_release_u32(&bus->executors[i].go, 1);
    return HL_OK;
}

hl_status hl_bus_start(hl_bus *bus)
{
    hl_status status = hl_bus_refusal(bus);
    if (status != HL_OK)
        return status;
    hl_bus_lock(bus);
    status = start_locked(bus);
    hl_bus_unlock(bus);
    return status;
}

/* ---- destroy ---- */

static void free_partition(hl_partition *partition)
{
    for (int p = 0; p < HL_PRIORITIES; p++) {
        while (partition->inlets[p] != NULL)
            hl_inlet_free(partition->inlets[p]);
        free(partition->lanes[p].latency);
    }
    free(partition->image_slot);
}

static void end_publishers(hl_bus *bus)
{
    hl_control *const control = bus->control;
    while (control->publishers != NULL) {
        hl_publisher *const publisher = control->publishers;
        control->publishers = publisher->next;
        hl_publisher_end(publisher);
    }
    while (control->shared_publishers != NULL) {
        hl_shared_publisher *const publisher = control->shared_publishers;
        control->shared_publishers = publisher->next;
        hl_shared_publisher_end(publisher);
    }
    hl_pools_end_publishers(bus);
    for (uint32_t i = 0; bus->shared_outlets != NULL && i < bus->partition_count * HL_PRIORITIES;
         i++)
        if (bus->shared_outlets[i] != NULL)
            hl_outlet_close(bus->shared_outlets[i]);
}

/* After the parts are gone: a partition's name is its output's. */
static void end_outputs(hl_bus *bus)
{
    for (uint32_t i = 0; bus->partitions != NULL && i < bus->partition_count; i++)
        if (bus->partitions[i].out != NULL)
            hl_publisher_end(bus->partitions[i].out);
}

void hl_bus_destroy(hl_bus *bus)
{
    /* A fork's child has a copy of a bus whose threads and rings are its parent's. */
    if (bus == NULL || (bus->gate != NULL && hl_bus_is_detached(bus)))
        return;
    hl_control *const control = bus->control;
    for (const hl_part *const *part = hl_parts; *part != NULL; part++)
        if ((*part)->ending != NULL)
            (*part)->ending(bus);
    if (bus->gate != NULL)
        hl_store_relaxed_u32(bus->gate, HL_GATE_STOPPED); /* GATE: nobody else uses the bus. */
    if (control->state == HL_BUS_RUNNING || control->state == HL_BUS_STOPPING) {
        control->stop_now = 0; /* every handler must have ended before its memory goes */
        hl_housekeeper_stop(bus);
        hl_executors_end(bus, UINT64_MAX);
    }
    hl_error ignored; /* nobody is left to be told */
    hl_parts_halt(bus);
    hl_parts_stop(bus, &ignored);
    end_publishers(bus);
    hl_subscriptions_free(bus);
    for (const hl_part *const *part = hl_parts; *part != NULL; part++)
        if ((*part)->destroy != NULL)
            (*part)->destroy(bus);
    end_outputs(bus);
    if (bus->log != NULL)
        hl_log_write(bus);
    hl_log_free(bus->log);
    hl_notices_free(bus->notices);
    for (uint32_t i = 0; i < bus->topic_count; i++) {
        free(bus->routes[i]);
        hl_topic_free(bus, bus->entries[i]);
    }
    for (uint32_t i = 0; bus->partitions != NULL && i < bus->partition_count; i++)
        free_partition(&bus->partitions[i]);
    hl_pools_free(bus);
    for (uint32_t i = 0; i < bus->executor_count; i++) {
        free(bus->executors[i].partitions);
        free(bus->executors[i].slowest);
    }
    hl_bus_free_sources(bus);
    hl_plan_free(bus->plan);
    hl_topology_free(bus->topology);
    while (bus->texts != NULL) {
        hl_text *const next = bus->texts->next;
        free(bus->texts);
        bus->texts = next;
    }
    if (bus->gate != NULL)
        munmap(bus->gate, (size_t)sysconf(_SC_PAGESIZE));
    free(control->closed_rows);
    pthread_mutex_destroy(&control->lock);
    free(control);
    free((void *)(uintptr_t)bus->config.publishers);
    free((void *)(uintptr_t)bus->config.alerts);
    free(bus->domains);
    free(bus->partitions);
    free(bus->executors);
    free(bus->topics);
    free(bus->routes);
    free(bus->entries);
    free(bus->sources);
    free(bus->shared_outlets);
    free(bus);
}
