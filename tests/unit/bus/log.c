#include <hotlane/log.h>

#include <string.h>

#include "manual_bus.h"

typedef struct book {
    uint32_t count;
    hl_log_line lines[1024];
} book;

static book read;

static void take(const hl_log_line *line, void *context)
{
    book *const self = context;
    cr_assert_lt(self->count, 1024);
    self->lines[self->count++] = *line;
}

static hl_bus *start(hl_log_level level)
{
    hl_config config = manual_config();
    config.on_log = take;
    config.log_context = &read;
    config.log_level = level;
    memset(&read, 0, sizeof read);
    return manual_start(&config);
}

Test(log, a_line_is_written_by_the_housekeeper)
{
    hl_bus *const bus = start(HL_LOG_WARNING);
    hl_log(bus, HL_LOG_WARNING, "venue", "line %d is down", 3);
    hl_log(bus, HL_LOG_INFO, "venue", "not of interest");
    hl_log(bus, HL_LOG_ERROR, "a component of a long name indeed", "%300d", 1);
    cr_assert_eq(read.count, 0, "not where it is said");
    cr_assert_eq(hl_bus_housekeep(bus), HL_OK);
    cr_assert_eq(read.count, 2);
    cr_assert_str_eq(read.lines[0].component, "venue");
    cr_assert_str_eq(read.lines[0].text, "line 3 is down");
    cr_assert_eq(read.lines[0].level, HL_LOG_WARNING);
    cr_assert_eq(read.lines[0].at_ns, manual_now_ns);
    cr_assert_eq(strlen(read.lines[1].component), HL_LOG_COMPONENT_BYTES - 1);
    cr_assert_eq(strlen(read.lines[1].text), HL_LOG_TEXT_BYTES - 1);
    hl_log(bus, HL_LOG_ERROR, "venue", "the last word");
    cr_assert_eq(hl_bus_stop(bus, HL_SECOND), HL_OK);
    cr_assert_eq(read.count, 3, "nothing said is left behind");
    hl_bus_destroy(bus);
}

static void say_often(hl_bus *bus, uint32_t times)
{
    for (uint32_t i = 0; i < times; i++)
        hl_log(bus, HL_LOG_WARNING, "feed", "gap %u", i);
}

Test(log, each_place_says_ten_lines_a_second_and_how_many_were_left_out)
{
    hl_bus *const bus = start(HL_LOG_INFO);
    hl_log_stats stats;
    manual_now_ns = 5000 * HL_SECOND;
    say_often(bus, 1000);
    hl_log(bus, HL_LOG_INFO, "feed", "another place");
    cr_assert_eq(hl_bus_housekeep(bus), HL_OK);
    cr_assert_eq(read.count, HL_LOG_SITE_PER_S + 1);
    manual_now_ns += HL_SECOND;
    say_often(bus, 1);
    cr_assert_eq(hl_bus_housekeep(bus), HL_OK);
    cr_assert_eq(read.count, HL_LOG_SITE_PER_S + 2);
    cr_assert_eq(read.lines[read.count - 1].left_out, 1000 - HL_LOG_SITE_PER_S);
    hl_log_stats_read(bus, &stats);
    cr_assert_eq(stats.written, read.count);
    cr_assert_eq(stats.left_out, 1000 - HL_LOG_SITE_PER_S);
    cr_assert_eq(stats.lost, 0);
    manual_stop(bus);
}

Test(log, debugging_is_switched_by_component_while_it_runs)
{
    hl_bus *const bus = start(HL_LOG_WARNING);
    cr_assert_not(hl_log_is_on(bus, HL_LOG_DEBUG, "journal"));
    cr_assert_eq(hl_log_debug(bus, "journal", true), HL_OK);
    cr_assert_eq(hl_log_debug(bus, "journal", true), HL_OK);
    hl_log(bus, HL_LOG_DEBUG, "journal", "told");
    hl_log(bus, HL_LOG_DEBUG, "faults", "not told");
    hl_log(bus, HL_LOG_INFO, "journal", "under the level");
    cr_assert_eq(hl_log_debug(bus, "journal", false), HL_OK);
    cr_assert_eq(hl_log_debug(bus, "journal", false), HL_OK);
    hl_log(bus, HL_LOG_DEBUG, "journal", "not told");
    cr_assert_eq(hl_log_debug(bus, "*", true), HL_OK);
    hl_log(bus, HL_LOG_DEBUG, "faults", "told, too");
    cr_assert_eq(hl_bus_housekeep(bus), HL_OK);
    cr_assert_eq(read.count, 2);
    cr_assert_str_eq(read.lines[0].text, "told");
    cr_assert_str_eq(read.lines[1].text, "told, too");
    cr_assert_eq(hl_log_debug(bus, "", true), HL_INVALID);
    cr_assert_eq(hl_log_debug(bus, "a name that is much too long", true), HL_INVALID);
    for (int i = 1; i < HL_LOG_DEBUG_MAX; i++) {
        char name[8];
        snprintf(name, sizeof name, "c%d", i);
        cr_assert_eq(hl_log_debug(bus, name, true), HL_OK);
    }
    cr_assert_eq(hl_log_debug(bus, "one too many", true), HL_LIMIT);
    cr_assert_eq(hl_log_debug(bus, "one too many", false), HL_OK);
    manual_stop(bus);
}

Test(log, a_full_ring_loses_lines_and_counts_them)
{
    hl_bus *const bus = start(HL_LOG_WARNING);
    static hl_log_site sites[300];
    hl_log_stats stats;
    for (int i = 0; i < 300; i++)
        hl_log_at(&sites[i], bus, HL_LOG_ERROR, "flood", "line %d", i);
    cr_assert_eq(hl_bus_housekeep(bus), HL_OK);
    hl_log_stats_read(bus, &stats);
    cr_assert_eq(stats.written + stats.lost, 300);
    cr_assert_eq(stats.written, 256);
    cr_assert_eq(read.count, 256);
    manual_stop(bus);
}

Test(log, nothing_is_said_at_the_level_of_nothing)
{
    hl_bus *const bus = start(HL_LOG_NOTHING);
    hl_log(bus, HL_LOG_ERROR, "venue", "not told");
    cr_assert_not(hl_log_is_on(bus, HL_LOG_ERROR, "venue"));
    manual_stop(bus);
    cr_assert_eq(read.count, 0);
}
