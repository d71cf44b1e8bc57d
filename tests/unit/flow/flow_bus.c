#include "flow_bus.h"

hl_config flow_config(hl_domain_config *ret_domains)
{
    hl_config config = manual_config_with_system(ret_domains);
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
