#include "config/domains.h"

/*
 * The six domains of a trading process, in the order of its story: feed -> market_data -> signal ->
 * order -> fill -> account, and what is worth a line in a log -> system.
 *
 * publishes_to says which rings are made, so it is what a pipeline needs and no more:
 *   market_data  the book and the strategies run here: tops of book, and signals
 *   signal       strategies of strategies, and the risk check: orders
 *   order        the gateway or venue: order status, fills
 *   fill         what answers a fill: hedges and cancels (order), positions (signal's risk check),
 *                the books of account
 *   account      limits that the risk check must know (signal)
 * Everyone logs to system; system's handlers write things down and publish nothing.
 *
 * Rings of 128-byte slots: market_data's take 2 MiB (one huge page, a burst of 16,384 events),
 * the others 512 KiB each. Those of system have 512 bytes, so that an event can carry a sentence.
 */
static const hl_domain_config default_domains[] = {
    {
        .name = "market_data",
        .priority = HL_NORMAL,
        .slot_size_bytes = 128,
        .ring_slots = 16384,
        .handler_ring_slots = 4096,
        .publishes_to = "market_data, signal, system",
        HL_DOMAIN_ORDINARY,
    },
    {
        .name = "signal",
        .priority = HL_NORMAL,
        .slot_size_bytes = 128,
        .ring_slots = 4096,
        .handler_ring_slots = 4096,
        .publishes_to = "signal, order, system",
        HL_DOMAIN_ORDINARY,
    },
    {
        .name = "order",
        .priority = HL_CRITICAL,
        .fixed_priority = true,
        .slot_size_bytes = 128,
        .ring_slots = 4096,
        .handler_ring_slots = 4096,
        .publishes_to = "order, fill, system",
        HL_DOMAIN_ORDINARY,
    },
    {
        .name = "fill",
        .priority = HL_HIGH,
        .slot_size_bytes = 128,
        .ring_slots = 4096,
        .handler_ring_slots = 4096,
        .publishes_to = "signal, order, fill, account, system",
        HL_DOMAIN_ORDINARY,
    },
    {
        .name = "account",
        .priority = HL_LOW,
        .slot_size_bytes = 128,
        .ring_slots = 4096,
        .handler_ring_slots = 4096,
        .publishes_to = "signal, account, system",
        HL_DOMAIN_ORDINARY,
    },
    {
        .name = "system",
        .priority = HL_BACKGROUND,
        .slot_size_bytes = 512,
        .ring_slots = 1024,
        .handler_ring_slots = 1024,
        .publishes_to = "",
        HL_DOMAIN_ORDINARY,
    },
};

const hl_domain_config *hl_default_domains(uint32_t *ret_count)
{
    *ret_count = sizeof default_domains / sizeof *default_domains;
    return default_domains;
}
