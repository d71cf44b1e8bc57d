#include "bus/notice.h"

#include "manual_bus.h"

#define QUEUE 512 /* notices that wait at most */

static recorder seen;

/* A manual bus that has the domain `system`. */
static hl_bus *start_with_system(void)
{
    const hl_domain_config domains[] = {manual_domains[MANUAL_ORDER], manual_system};
    hl_config config = manual_config();
    config.domains = domains;
    config.domain_count = 2;
    return manual_start(&config);
}

Test(notice, what_is_noticed_is_published_by_the_housekeeper_with_its_payload)
{
    hl_bus *const bus = start_with_system();
    subscribe(bus, "system.>", &seen, NULL);
    for (uint64_t value = 0; value < 3; value++)
        hl_notice(bus, "system.test", value, &value, sizeof value);
    turn_all(bus);
    cr_assert_eq(seen.count, 0, "before the housekeeper came");
    cr_assert_eq(hl_bus_housekeep(bus), HL_OK);
    turn_all(bus);
    assert_values_follow(&seen, 0, 3);
    cr_assert_eq(hl_bus_notices_lost(bus), 0);
    manual_stop(bus);
}

Test(notice, what_finds_no_room_is_counted_as_lost)
{
    hl_bus *const bus = start_with_system();
    const unsigned char payload[HL_SYSTEM_PAYLOAD_MAX + 1] = {0};
    hl_notice(bus, "system.test", 0, payload, sizeof payload);
    cr_assert_eq(hl_bus_notices_lost(bus), 1, "too large");
    for (uint64_t value = 0; value < QUEUE + 2; value++)
        hl_notice(bus, "system.test", value, &value, sizeof value);
    cr_assert_eq(hl_bus_notices_lost(bus), 3, "two more than the queue holds");
    cr_assert_eq(hl_bus_housekeep(bus), HL_OK);
    hl_notice(bus, "system.test", 0, NULL, 0);
    cr_assert_eq(hl_bus_notices_lost(bus), 3, "there is room again");
    manual_stop(bus);
}

Test(notice, a_bus_without_the_domain_counts_them_as_lost)
{
    hl_bus *const bus = manual_start(NULL);
    hl_notice(bus, "system.test", 0, NULL, 0);
    cr_assert_eq(hl_bus_housekeep(bus), HL_OK);
    cr_assert_eq(hl_bus_notices_lost(bus), 1);
    manual_stop(bus);
}

static hl_status keep_house(const hl_event *event, hl_publisher *out, void *context)
{
    (void)event, (void)out;
    cr_assert_eq(hl_bus_housekeep(context), HL_WRONG_THREAD);
    return HL_OK;
}

Test(notice, the_house_is_kept_by_hand_only_where_nobody_else_does)
{
    hl_bus *const bus = manual_create(NULL);
    cr_assert_eq(hl_bus_housekeep(bus), HL_WRONG_STATE, "not started");
    cr_assert_eq(hl_bus_start(bus), HL_OK);
    cr_assert_eq(hl_subscribe(bus, "order.new", keep_house, bus, NULL, NULL), HL_OK);
    publish(open_publisher(bus, "gateway", NULL), topic(bus, "order.new"), 1, 1);
    turn_all(bus);
    cr_assert_eq(hl_bus_stop(bus, HL_SECOND), HL_OK);
    cr_assert_eq(hl_bus_housekeep(bus), HL_WRONG_STATE, "stopped");
    hl_bus_destroy(bus);
    hl_bus *own;
    cr_assert_eq(hl_bus_create(NULL, &own, NULL), HL_OK);
    cr_assert_eq(hl_bus_start(own), HL_OK);
    cr_assert_eq(hl_bus_housekeep(own), HL_WRONG_STATE, "it has a thread for that");
    cr_assert_eq(hl_bus_stop(own, HL_SECOND), HL_OK);
    hl_bus_destroy(own);
}
