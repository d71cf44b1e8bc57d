#include "bus/bus.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "manual_bus.h"

static unsigned threads_of_this_process(void)
{
    unsigned count = 0;
    DIR *const tasks = opendir("/proc/self/task");
    for (const struct dirent *task; (task = readdir(tasks)) != NULL;)
        count += *task->d_name != '.';
    closedir(tasks);
    return count;
}

/* ---- create ---- */

Test(bus, a_bad_configuration_is_refused_with_a_sentence_before_any_thread_starts)
{
    hl_domain_config domains[2] = {manual_domains[0], manual_domains[1]};
    hl_config configs[12];
    for (size_t i = 0; i < 12; i++) {
        configs[i] = manual_config();
        configs[i].domains = domains;
        configs[i].domain_count = 2;
    }
    domains[0].shards = 1023;
    static const char *const sentences[12] = {
        "partitions",     "size",   "max_topics", "max_subscriptions",
        "max_publishers", "guard",  "keys",       "threads",
        "default_domain", "lcores", "domains",    "publishers"};
    configs[1].size--;
    configs[2].max_topics = 0;
    configs[3].max_subscriptions = 0;
    configs[4].max_publishers = 4097;
    configs[5].guard_interval = 1;
    configs[6].max_keys_per_state_topic = 0;
    configs[7].threads = (hl_threads)2;
    configs[8].default_domain = "weather";
    configs[9].lcores = "order@99999";
    configs[10].domains = NULL;
    configs[11].publisher_count = 1;
    for (size_t i = 1; i < 12; i++)
        if (i != 10)
            configs[i].domains = manual_domains;
    configs[9].threads = HL_THREADS_OWN;
    const unsigned before = threads_of_this_process();
    for (size_t i = 0; i < 12; i++) {
        hl_bus *bus = NULL;
        hl_error error = {.text = ""};
        cr_assert_eq(hl_bus_create(&configs[i], &bus, &error), HL_INVALID, "%s", sentences[i]);
        cr_assert_eq(error.status, HL_INVALID);
        cr_assert_not_null(strstr(error.text, sentences[i]), "\"%s\" lacks \"%s\"", error.text,
                           sentences[i]);
        cr_assert_null(bus);
        cr_assert_eq(hl_bus_create(&configs[i], &bus, NULL), HL_INVALID, "without a sentence too");
    }
    cr_assert_eq(threads_of_this_process(), before);
}

Test(bus, creating_starts_no_thread)
{
    const unsigned before = threads_of_this_process();
    hl_bus *const bus = manual_create(NULL);
    cr_assert_eq(threads_of_this_process(), before);
    hl_bus_destroy(bus);
    hl_bus_destroy(NULL);
}

Test(bus, the_configuration_is_copied)
{
    hl_domain_config domain = manual_domains[0];
    char name[] = "market_data", publishes_to[] = "market_data", fallback[] = "market_data";
    domain.name = name;
    domain.publishes_to = publishes_to;
    hl_config config = manual_config();
    config.domains = &domain;
    config.domain_count = 1;
    config.default_domain = fallback;
    hl_bus *const bus = manual_create(&config);
    memset(name, 'x', 5);
    memset(publishes_to, 'x', 5);
    memset(fallback, 'x', 5);
    memset(&domain, 0, sizeof domain);
    cr_assert_str_eq(hl_bus_domain(bus, 0), "market_data");
    cr_assert_eq(hl_bus_start(bus), HL_OK);
    topic(bus, "anything.at_all");
    topic(bus, "market_data.trade");
    manual_stop(bus);
}

Test(bus, who_gives_no_bus_is_told_so)
{
    hl_topic topic;
    hl_publisher *publisher;
    hl_shared_publisher *shared;
    hl_adapter *adapter;
    hl_stop_report report;
    hl_error error;
    const hl_component_options component = HL_COMPONENT_OPTIONS_INIT;
    cr_expect_eq(hl_bus_start(NULL), HL_INVALID);
    cr_expect_eq(hl_bus_stop(NULL, HL_SECOND), HL_INVALID);
    cr_expect_eq(hl_bus_stop_report(NULL, &report), HL_INVALID);
    cr_expect_eq(hl_bus_housekeep(NULL), HL_INVALID);
    cr_expect_eq(hl_topic_declare(NULL, "order.new", NULL, &topic), HL_INVALID);
    cr_expect_eq(hl_subscribe(NULL, "order.new", record, NULL, NULL, NULL), HL_INVALID);
    cr_expect_eq(hl_publisher_open(NULL, "feed", NULL, &publisher), HL_INVALID);
    cr_expect_eq(hl_shared_publisher_open(NULL, "feed", NULL, &shared), HL_INVALID);
    cr_expect_eq(hl_adapter_open(NULL, "feed", NULL, &adapter), HL_INVALID);
    cr_expect_eq(hl_log_debug(NULL, "venue", true), HL_INVALID);
    cr_expect_eq(hl_component_add(NULL, "venue", &component, NULL, &error), HL_INVALID);
    cr_expect_not_null(strstr(error.text, "no bus"), "%s", error.text);
    cr_expect_eq(hl_components_start(NULL, &error), HL_INVALID);
    hl_bus_error(NULL, &error);
    cr_expect_eq(error.status, HL_INVALID);
    cr_expect_not_null(strstr(error.text, "hl_bus_create"), "%s", error.text);
    hl_components_stop(NULL);
    hl_bus_stop_now(NULL);
    hl_bus_destroy(NULL);
}

Test(bus, the_defaults_are_six_domains)
{
    hl_bus *bus;
    hl_error error;
    hl_config config = HL_CONFIG_INIT;
    config.threads = HL_THREADS_MANUAL;
    cr_assert_eq(hl_bus_create(&config, &bus, &error), HL_OK, "%s", error.text);
    static const char *const names[] = {"market_data", "signal",  "order",
                                        "fill",        "account", "system"};
    for (uint32_t i = 0; i < 6; i++)
        cr_assert_str_eq(hl_bus_domain(bus, i), names[i]);
    cr_assert_null(hl_bus_domain(bus, 6));
    hl_bus_destroy(bus);
}

/* ---- destroy ---- */

Test(bus, destroying_a_running_bus_frees_what_is_open)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic trade = topic(bus, "market_data.trade");
    static recorder seen;
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.batch = record_batch;
    subscribe(bus, "market_data.trade", &seen, &options);
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    hl_shared_publisher *feeds;
    cr_assert_eq(hl_shared_publisher_open(bus, "feeds", NULL, &feeds), HL_OK);
    hl_claim claim;
    publish(feed, trade, 1, 1);
    turn_all(bus);
    publish(feed, trade, 1, 2);
    cr_assert_eq(hl_shared_try_claim(feeds, trade, 1, 8, &claim), HL_OK);
    cr_assert_eq(hl_try_claim(feed, trade, 1, 8, &claim), HL_OK);
    hl_bus_destroy(bus);
    cr_assert_eq(seen.count, 0);
}

static unsigned long pages_of_this_process(void)
{
    unsigned long pages = 0;
    FILE *const file = fopen("/proc/self/statm", "r");
    cr_assert_eq(fscanf(file, "%lu", &pages), 1);
    fclose(file);
    return pages;
}

Test(bus, buses_that_come_and_go_leave_nothing_behind)
{
    unsigned threads = 0;
    unsigned long pages = 0;
    for (int i = 0; i < 60; i++) {
        hl_bus *const bus = manual_start(NULL);
        const hl_topic trade = topic(bus, "market_data.trade");
        static recorder seen;
        seen.count = 0;
        hl_subscription *const s = subscribe(bus, "market_data.trade", &seen, NULL);
        publish(open_publisher(bus, "feed", NULL), trade, 1, 1);
        turn_all(bus);
        cr_assert_eq(hl_unsubscribe(s, HL_SECOND, NULL), HL_OK);
        manual_stop(bus);
        if (i != 9)
            continue;
        threads = threads_of_this_process();
        pages = pages_of_this_process();
    }
    cr_assert_eq(threads_of_this_process(), threads);
    /* A thread's stack each would be 8 MiB of addresses; the C library may take some pools of 64
     * MiB meanwhile, once each. */
    const unsigned long grown = pages_of_this_process() - pages;
    cr_assert((long)grown < 50 * 1024, "%lu pages in 50 buses", grown);
}

/* ---- several, and forks ---- */

static hl_status copy_over(const hl_event *event, hl_publisher *out, void *context)
{
    (void)out;
    const uint64_t value = value_of(event);
    return hl_publish(context, (hl_topic){0}, event->key, &value, sizeof value);
}

Test(bus, several_in_one_process_know_nothing_of_each_other)
{
    enum { BUSES = 5 };
    hl_bus *buses[BUSES];
    hl_publisher *feeds[BUSES];
    static recorder seen[BUSES];
    for (int i = 0; i < BUSES; i++) {
        buses[i] = manual_start(NULL);
        cr_assert_eq(topic(buses[i], "market_data.trade").number, 0);
        feeds[i] = open_publisher(buses[i], "feed", NULL);
        subscribe(buses[i], "market_data.trade", &seen[i], NULL);
    }
    hl_subscription *bridge;
    cr_assert_eq(hl_subscribe(buses[0], "market_data.trade", copy_over, feeds[1], NULL, &bridge),
                 HL_OK);
    for (uint64_t value = 0; value < 6; value++)
        for (int i = 0; i < BUSES; i += 2)
            publish(feeds[i], (hl_topic){0}, 1, 100 * (uint64_t)i + value);
    for (int i = 0; i < BUSES; i++)
        turn_all(buses[i]);
    hl_bus_destroy(buses[2]);
    for (int i = 0; i < BUSES; i++)
        cr_assert_eq(seen[i].count, i == 3 ? 0 : 6, "bus %d", i);
    assert_values_follow(&seen[1], 0, 6);
    assert_values_follow(&seen[4], 400, 6);
    for (int i = 0; i < BUSES; i++)
        if (i != 2)
            manual_stop(buses[i]);
}

/* In the child: the number of the step that goes wrong; 0: none. */
static int try_all(hl_bus *bus, hl_publisher *feed, hl_shared_publisher *feeds, hl_topic trade,
                   hl_claim *open)
{
    const uint64_t value = 1;
    hl_claim claim;
    if (hl_publish(feed, trade, 1, &value, 8) != HL_DETACHED)
        return 1;
    if (hl_try_publish(feed, trade, 1, &value, 8) != HL_DETACHED)
        return 2;
    if (hl_try_claim(feed, trade, 1, 8, &claim) != HL_DETACHED)
        return 3;
    if (hl_try_claim_run(feed, trade, 1, 8, 2, &claim) != HL_DETACHED)
        return 4;
    if (hl_shared_publish(feeds, trade, 1, &value, 8) != HL_DETACHED)
        return 5;
    if (hl_shared_try_claim(feeds, trade, 1, 8, &claim) != HL_DETACHED)
        return 6;
    if (hl_executor_turn(hl_bus_executor(bus, 0), 0) != 0)
        return 7;
    hl_commit(&open[0]); /* they were the parent's */
    hl_abort(&open[1]);
    return 0;
}

Test(bus, a_forks_child_sees_it_detached_and_the_parent_nothing_of_it)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic trade = topic(bus, "market_data.trade");
    static recorder seen;
    subscribe(bus, "market_data.trade", &seen, NULL);
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    hl_shared_publisher *feeds;
    cr_assert_eq(hl_shared_publisher_open(bus, "feeds", NULL, &feeds), HL_OK);
    hl_claim open[2];
    publish(feed, trade, 1, 1);
    cr_assert_eq(hl_try_claim(feed, trade, 1, 8, &open[0]), HL_OK);
    cr_assert_eq(hl_shared_try_claim(feeds, trade, 1, 8, &open[1]), HL_OK);
    const pid_t child = fork();
    if (child == 0)
        _exit(try_all(bus, feed, feeds, trade, open));
    int outcome = -1;
    cr_assert_eq(waitpid(child, &outcome, 0), child);
    cr_assert(WIFEXITED(outcome), "the child died of signal %d", WTERMSIG(outcome));
    cr_assert_eq(WEXITSTATUS(outcome), 0, "step %d", WEXITSTATUS(outcome));
    memcpy(open[0].payload, &(uint64_t){2}, 8);
    hl_commit(&open[0]);
    memcpy(open[1].payload, &(uint64_t){3}, 8);
    hl_commit(&open[1]);
    turn_all(bus);
    cr_assert_eq(seen.count, 3);
    manual_stop(bus);
}

/* ---- small answers ---- */

Test(bus, its_clock_is_the_one_handed_in)
{
    hl_bus *const bus = manual_create(NULL);
    manual_now_ns = 123456789;
    cr_assert_eq(hl_bus_now_ns(bus), 123456789);
    hl_bus_destroy(bus);
}

Test(bus, without_threads_the_plan_says_so)
{
    hl_bus *const bus = manual_create(NULL);
    char text[512] = "";
    FILE *const stream = fmemopen(text, sizeof text, "w");
    hl_bus_print_plan(bus, stream);
    fclose(stream);
    cr_assert_not_null(strstr(text, "the application turns 8 executors"), "%s", text);
    uint32_t cpu = 77;
    cr_assert_eq(hl_bus_publisher_cpu(bus, "feed", &cpu), HL_NOT_FOUND);
    cr_assert_eq(cpu, 77);
    hl_bus_destroy(bus);
}

Test(bus, the_last_failure_is_kept_with_its_sentence)
{
    hl_bus *const bus = manual_create(NULL);
    hl_error error = {.status = HL_FAILED};
    hl_bus_error(bus, &error);
    cr_assert_eq(error.status, HL_OK, "none yet");
    hl_topic declared;
    cr_assert_eq(hl_topic_declare(bus, "weather.rain", NULL, &declared), HL_UNKNOWN_DOMAIN);
    assert_sentence(bus, HL_UNKNOWN_DOMAIN, "weather.rain");
    topic(bus, "order.new");
    assert_sentence(bus, HL_UNKNOWN_DOMAIN, "weather.rain");
    hl_bus_destroy(bus);
}
