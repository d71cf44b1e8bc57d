#include "own_bus.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bus/bus.h"

static hl_domain_config own_domain(const char *name, hl_priority priority, hl_wait wait)
{
    return (hl_domain_config){.name = name,
                              .priority = priority,
                              .fixed_priority = priority == HL_CRITICAL,
                              .shards = 1,
                              .slot_size_bytes = 128,
                              .ring_slots = 64,
                              .handler_ring_slots = 16,
                              .full_policy = priority == HL_LOW ? HL_FULL_BLOCK : HL_FULL_REJECT,
                              .block_timeout_ns = 60 * HL_SECOND,
                              .publishes_to = "*",
                              .wait = wait};
}

static hl_bus *create(hl_wait wait, uint32_t max_workers, const char *dlq_path)
{
    const hl_domain_config domains[3] = {
        own_domain("market_data", HL_NORMAL, wait),
        own_domain("order", HL_CRITICAL, wait),
        own_domain("account", HL_LOW, wait),
    };
    hl_config config = HL_CONFIG_INIT;
    config.domains = domains;
    config.domain_count = 3;
    config.huge_pages = config.lock_memory = false;
    config.ladder.enabled = false; /* what state topics lose under load is tested elsewhere */
    config.max_topics = 64;
    config.max_keys_per_state_topic = 64;
    config.ring_start_position = UINT64_MAX - 1000;
    config.max_workers = max_workers;
    config.worker_grow_backlog = UINT64_MAX;
    config.worker_shrink_after_ns = 3600 * HL_SECOND;
    config.dlq_path = dlq_path;
    config.log_level = HL_LOG_NOTHING;
    hl_bus *bus = NULL;
    hl_error error = {.text = ""};
    cr_assert_eq(hl_bus_create(&config, &bus, &error), HL_OK, "%s", error.text);
    return bus;
}

hl_bus *own_create(hl_wait wait)
{
    return create(wait, 0, NULL);
}

hl_bus *own_start_created(hl_bus *bus)
{
    const hl_status status = hl_bus_start(bus);
    hl_error error;
    hl_bus_error(bus, &error);
    cr_assert_eq(status, HL_OK, "%s", error.text);
    return bus;
}

hl_bus *own_start(hl_wait wait)
{
    return own_start_created(own_create(wait));
}

static hl_bus *with_all_at_work(hl_bus *bus, uint32_t workers)
{
    hl_pool_resize(bus->pools[HL_POOL_WORKERS], workers);
    return bus;
}

hl_bus *own_start_with_workers(hl_wait wait, uint32_t max_workers)
{
    return own_start_created(with_all_at_work(create(wait, max_workers, NULL), max_workers));
}

hl_bus *own_create_with_letters(uint32_t max_workers, const char *dlq_path)
{
    return with_all_at_work(create(HL_WAIT_PARK, max_workers, dlq_path), max_workers);
}

void own_stop(hl_bus *bus)
{
    const hl_status status = hl_bus_stop(bus, 60 * HL_SECOND);
    hl_error error;
    hl_bus_error(bus, &error);
    cr_assert_eq(status, HL_OK, "%s", error.text);
    hl_bus_destroy(bus);
}

hl_topic own_topic(hl_bus *bus, const char *name, hl_topic_kind kind)
{
    hl_topic_options options = HL_TOPIC_OPTIONS_INIT;
    hl_topic topic;
    options.kind = kind;
    cr_assert_eq(hl_topic_declare(bus, name, &options, &topic), HL_OK);
    return topic;
}

hl_publisher *own_publisher(hl_bus *bus, const char *name, const char *uses)
{
    hl_publisher_options options = HL_PUBLISHER_OPTIONS_INIT;
    hl_publisher *publisher;
    options.uses = uses;
    cr_assert_eq(hl_publisher_open(bus, name, &options, &publisher), HL_OK);
    return publisher;
}

hl_subscription *own_subscribe(hl_bus *bus, const char *pattern, hl_handler handler, void *context)
{
    hl_subscription *subscription;
    cr_assert_eq(hl_subscribe(bus, pattern, handler, context, NULL, &subscription), HL_OK);
    return subscription;
}

hl_lane_stats own_lane(const hl_bus *bus, const char *domain)
{
    hl_lane_stats lane;
    cr_assert_eq(hl_bus_lane_stats(bus, domain, -1, &lane), HL_OK);
    return lane;
}

pthread_t own_thread(void *(*body)(void *context), void *context)
{
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, body, context), 0);
    return thread;
}

void own_join(pthread_t thread)
{
    cr_assert_eq(pthread_join(thread, NULL), 0);
}

void own_await(const uint64_t *word, uint64_t value)
{
    const time_t begin = time(NULL);
    while (hl_load_acquire_u64(word) < value) {
        cr_assert_lt(time(NULL) - begin, 60, "%lu of %lu", hl_load_acquire_u64(word), value);
        sched_yield();
    }
}

#define ALIVE 0xa11fe

own_guest *own_guest_make(void)
{
    own_guest *const guest = calloc(1, sizeof *guest);
    cr_assert_not_null(guest);
    guest->alive = ALIVE;
    return guest;
}

uint64_t own_guest_free(own_guest *guest)
{
    const uint64_t calls = guest->calls;
    memset(guest, 0xdd, sizeof *guest);
    free(guest);
    return calls;
}

hl_status own_visit(const hl_event *event, hl_publisher *out, void *context)
{
    (void)event;
    (void)out;
    own_guest *const self = context;
    cr_assert_eq(self->alive, ALIVE);
    hl_store_release_u64(&self->calls, self->calls + 1);
    return HL_OK;
}

hl_status own_block(const hl_event *event, hl_publisher *out, void *context)
{
    (void)event;
    (void)out;
    own_blocker *const self = context;
    self->calls++;
    hl_store_release_u64(&self->entered, 1);
    own_await(&self->released, 1);
    return HL_OK;
}

uint32_t own_threads(void)
{
    uint32_t count = 0;
    DIR *const tasks = opendir("/proc/self/task");
    cr_assert_not_null(tasks);
    for (const struct dirent *task; (task = readdir(tasks)) != NULL;)
        count += *task->d_name != '.';
    closedir(tasks);
    return count;
}
