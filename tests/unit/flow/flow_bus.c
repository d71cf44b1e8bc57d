#include "flow_bus.h"

hl_config flow_config(hl_domain_config *ret_domains)
{
    hl_config config = manual_config();
    for (uint32_t i = 0; i < MANUAL_DOMAINS; i++)
        ret_domains[i] = manual_domains[i];
    ret_domains[MANUAL_DOMAINS] = (hl_domain_config){.name = "system",
                                                     .priority = HL_BACKGROUND,
                                                     .shards = 1,
                                                     .slot_size_bytes = 512,
                                                     .ring_slots = 1024,
                                                     .handler_ring_slots = 16};
    config.domains = ret_domains;
    config.domain_count = MANUAL_DOMAINS + 1;
    config.ladder.step_up_ns = 0;
    config.ladder.predictive = false;
    config.ladder.order_delay_ns = 0; /* the clock moves in leaps here */
    config.ladder.cpu_pct = 0;
    return config;
}

void flow_tick(hl_bus *bus, uint32_t times)
{
    for (uint32_t i = 0; i < times; i++) {
        manual_now_ns += 10 * HL_MILLISECOND;
        cr_assert_eq(hl_bus_housekeep(bus), HL_OK);
    }
}

void flow_load(hl_bus *bus, hl_publisher *publisher, hl_topic delta)
{
    for (uint64_t i = 0; i < FLOW_RING; i++)
        publish(publisher, delta, i, i);
    flow_tick(bus, 1);
    turn_all(bus);
}

hl_ladder_stats flow_ladder(const hl_bus *bus, const char *domain)
{
    hl_ladder_stats stats;
    cr_assert_eq(hl_bus_ladder_stats(bus, domain, 0, &stats), HL_OK);
    return stats;
}

hl_lane_stats flow_lane(const hl_bus *bus, const char *domain)
{
    hl_lane_stats stats;
    cr_assert_eq(hl_bus_lane_stats(bus, domain, -1, &stats), HL_OK);
    return stats;
}
