/*
 * The smallest application: a feed publishes trades, one handler turns large ones into signals,
 * another prints them.
 *
 *     cc first_bus.c $(pkg-config --cflags --libs hotlane) && ./a.out
 */
#include <inttypes.h>
#include <stdio.h>

#include <hotlane/hotlane.h>

struct trade {
    int64_t price; /* in 1/10,000 dollars */
    uint32_t size; /* shares */
};

struct block_trade {
    int64_t price;
    uint32_t size;
};

static hl_topic trades, block_trades;

/* Runs on market_data's thread, the trade still in the publisher's slot. What it publishes becomes
 * visible when it returns HL_OK, and carries the trade as its cause. */
static hl_status on_trade(const hl_event *event, hl_publisher *out, void *context)
{
    (void)context;
    const struct trade *const trade = hl_payload(event);
    if (trade->size < 10000)
        return HL_OK;
    const struct block_trade block = {trade->price, trade->size};
    return hl_try_publish(out, block_trades, event->key, &block, sizeof block);
}

/* Runs on signal's thread. */
static hl_status on_block_trade(const hl_event *event, hl_publisher *out, void *context)
{
    (void)out;
    (void)context;
    const struct block_trade *const block = hl_payload(event);
    printf("instrument %" PRIu64 ": %" PRIu32 " shares at %.4f, caused by event %" PRIu64 "\n",
           event->key, block->size, (double)block->price / 10000,
           hl_id_sequence(event->causation_id));
    return HL_OK;
}

/* Says why the last call on the bus failed. */
static int fail(hl_bus *bus)
{
    hl_error error;
    hl_bus_error(bus, &error);
    fprintf(stderr, "%s\n", error.text);
    hl_bus_destroy(bus);
    return 1;
}

int main(void)
{
    hl_error error;
    hl_bus *bus;
    hl_subscription *subscription;
    hl_publisher *feed;
    /* NULL: six domains, planned for this machine */
    if (hl_bus_create(NULL, &bus, &error) != HL_OK)
        return fprintf(stderr, "%s\n", error.text), 1;
    if (hl_topic_declare(bus, "market_data.trade", NULL, &trades) != HL_OK ||
        hl_topic_declare(bus, "signal.block_trade", NULL, &block_trades) != HL_OK ||
        hl_subscribe(bus, "market_data.trade", on_trade, NULL, NULL, &subscription) != HL_OK ||
        hl_subscribe(bus, "signal.>", on_block_trade, NULL, NULL, &subscription) != HL_OK ||
        hl_bus_start(bus) != HL_OK || hl_publisher_open(bus, "feed", NULL, &feed) != HL_OK)
        return fail(bus);

    for (uint32_t size = 5000; size <= 20000; size += 2500) {
        hl_claim claim;
        hl_status status;
        while ((status = hl_try_claim(feed, trades, 7, sizeof(struct trade), &claim)) == HL_FULL)
            ; /* the lane is full: this feed waits, another may prefer to drop */
        if (status != HL_OK)
            break;
        struct trade *const trade = claim.payload; /* in the ring itself: no copy */
        *trade = (struct trade){.price = 1850000 + size, .size = size};
        hl_commit(&claim);
    }
    if (hl_bus_stop(bus, 5 * HL_SECOND) != HL_OK) /* drains, and checks that nothing was lost */
        return fail(bus);
    hl_bus_destroy(bus);
    return 0;
}
