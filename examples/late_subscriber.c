/*
 * A subscriber that comes late gets what was before from the journal, then what comes live: each
 * event once. The journal lies in the directory that is named, and is gone on with at the next run.
 *
 *     cc late_subscriber.c $(pkg-config --cflags --libs hotlane) && ./a.out DIRECTORY
 */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include <hotlane/hotlane.h>

#define BEFORE 1000u
#define AFTER  10u

typedef struct desk {
    hl_subscription *subscription;
    _Atomic uint64_t replayed, live;
} desk;

/* On a worker, in the order of its partition. */
static hl_status on_order(const hl_event *event, hl_publisher *out, void *context)
{
    desk *const self = context;
    (void)out;
    if ((event->flags & HL_EVENT_EJECTED) != 0) { /* it fell behind: goes on where it was */
        const hl_past where_it_was = {.from = HL_FROM_LAST};
        return hl_subscription_reattach_from(self->subscription, &where_it_was);
    }
    if ((event->flags & HL_EVENT_LOST) != 0) {
        const hl_lost *const lost = hl_payload(event);
        fprintf(stderr, "the journal lacks %" PRIu64 " events\n", lost->count);
    } else if ((event->flags & HL_EVENT_REPLAYED) != 0) {
        self->replayed++;
    } else {
        self->live++;
    }
    return HL_OK;
}

static int fail(hl_bus *bus, const char *what)
{
    hl_error error = {.text = ""};
    if (bus != NULL)
        hl_bus_error(bus, &error);
    fprintf(stderr, "%s: %s\n", what, error.text);
    hl_bus_destroy(bus);
    return 1;
}

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static hl_status publish_orders(hl_publisher *publisher, hl_topic orders, uint32_t count)
{
    hl_status status = HL_OK;
    for (uint32_t i = 0; i < count && status == HL_OK; i++)
        while ((status = hl_try_publish(publisher, orders, i % 8, &i, sizeof i)) == HL_FULL)
            nap();
    return status;
}

int main(int argc, char **argv)
{
    hl_error error;
    hl_bus *bus = NULL;
    hl_topic orders;
    hl_publisher *publisher;
    desk late = {0};
    hl_config config = HL_CONFIG_INIT;
    if (argc != 2)
        return fprintf(stderr, "usage: late_subscriber DIRECTORY\n"), 2;
    config.journal_dir = argv[1];
    config.max_workers = config.min_workers = 1;
    if (hl_bus_create(&config, &bus, &error) != HL_OK)
        return fprintf(stderr, "%s\n", error.text), 1;
    if (hl_topic_declare(bus, "order.new", NULL, &orders) != HL_OK || hl_bus_start(bus) != HL_OK ||
        hl_publisher_open(bus, "desk", NULL, &publisher) != HL_OK)
        return fail(bus, "cannot begin");
    uint32_t partition = 0;
    hl_topic_partition(bus, orders, 0, &partition);
    const uint64_t first = hl_bus_sequence(bus, partition);
    if (publish_orders(publisher, orders, BEFORE) != HL_OK)
        return fail(bus, "cannot publish");
    while (hl_bus_sequence(bus, partition) < first + BEFORE) /* until they are past */
        nap();

    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.async = HL_ASYNC_ORDERED;
    options.contract = HL_CONTRACT_EJECT;
    options.past.from = HL_FROM_START;
    if (hl_subscribe(bus, "order.>", on_order, &late, &options, &late.subscription) != HL_OK)
        return fail(bus, "cannot subscribe");
    hl_subscription_stats stats;
    do {
        nap();
        hl_subscription_stats_read(late.subscription, &stats);
    } while (stats.catching_up);
    if (publish_orders(publisher, orders, AFTER) != HL_OK)
        return fail(bus, "cannot publish");
    hl_publisher_close(publisher);
    if (hl_bus_stop(bus, 5 * HL_SECOND) != HL_OK)
        return fail(bus, "cannot stop");
    printf("%" PRIu64 " from the journal, %" PRIu64 " live\n", late.replayed, late.live);
    hl_bus_destroy(bus);
    return late.replayed >= BEFORE && late.live == AFTER ? 0 : 1;
}
