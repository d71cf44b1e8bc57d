/* Dead letters of a bus that is turned by hand: how they come to be, and back to the one handler
 * that failed; and what the bus tells of errors and breakers. */
#include "fault/redrive.h"

#include <string.h>
#include <unistd.h>

#include "../bus/manual_bus.h"

/* A handler that fails as told, and remembers the last event. */
typedef struct patient {
    hl_status answer;
    uint32_t count;
    hl_event last;
    uint64_t value;
    hl_subscription *subscription;
} patient;

static hl_status suffer(const hl_event *event, hl_publisher *out, void *context)
{
    patient *const self = context;
    (void)out;
    self->count++;
    self->last = *event;
    self->value = value_of(event);
    return self->answer == HL_FAILED
               ? hl_fail(event, 42, "no room for %llu", (unsigned long long)self->value)
               : self->answer;
}

static hl_config config_with_system(void)
{
    static hl_domain_config domains[3];
    domains[0] = manual_domains[MANUAL_ORDER];
    domains[1] = manual_domains[MANUAL_MARKET_DATA];
    domains[2] = manual_system;
    hl_config config = manual_config();
    config.domains = domains;
    config.domain_count = 3;
    return config;
}

typedef struct ward_fixture {
    hl_bus *bus;
    hl_topic trade;
    hl_publisher *feed;
    patient patient, other;
} ward_fixture;

static void set_up(ward_fixture *f, const hl_config *config, uint32_t attempts,
                   const hl_breaker_options *breaker)
{
    hl_retry_options retry = HL_RETRY_OPTIONS_INIT;
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    retry.attempts = attempts;
    options.retry = &retry;
    options.breaker = breaker;
    options.name = "patient";
    f->bus = manual_start(config);
    f->trade = topic(f->bus, "market_data.trade");
    f->feed = open_publisher(f->bus, "feed", "market_data");
    cr_assert_eq(hl_subscribe(f->bus, "market_data.*", suffer, &f->patient, &options,
                              &f->patient.subscription),
                 HL_OK);
    cr_assert_eq(hl_subscribe(f->bus, "market_data.*", suffer, &f->other, NULL, NULL), HL_OK);
}

static void run_out(hl_bus *bus)
{
    for (int i = 0; i < 16; i++) {
        turn_all(bus);
        manual_now_ns += HL_MILLISECOND;
        cr_assert_eq(hl_bus_housekeep(bus), HL_OK);
    }
}

/* An event of value 77 becomes a letter. */
static void lose_one(ward_fixture *f, hl_status answer)
{
    f->patient.answer = answer;
    publish(f->feed, f->trade, 5, 77);
    run_out(f->bus);
}

typedef struct letter_copy {
    uint32_t count;
    uint64_t id, event_id, value;
    hl_dead_reason reason;
    hl_dead_state state;
    int32_t error_code;
    uint32_t attempts, redrives;
    char text[HL_DEAD_TEXT_BYTES], topic[64], source[64], subscription[64], pattern[64];
} letter_copy;

static bool copy_letter(const hl_dead_letter *letter, void *context)
{
    letter_copy *const copy = context;
    copy->count++;
    copy->id = letter->id;
    copy->event_id = letter->event_id;
    copy->value = *(const uint64_t *)hl_payload(letter->event);
    copy->reason = letter->reason;
    copy->state = letter->state;
    copy->error_code = letter->error_code;
    copy->attempts = letter->attempts;
    copy->redrives = letter->redrives;
    snprintf(copy->text, sizeof copy->text, "%s", letter->error_text);
    snprintf(copy->topic, sizeof copy->topic, "%s", letter->topic);
    snprintf(copy->source, sizeof copy->source, "%s", letter->source);
    snprintf(copy->subscription, sizeof copy->subscription, "%s", letter->subscription);
    snprintf(copy->pattern, sizeof copy->pattern, "%s", letter->pattern);
    return true;
}

static letter_copy letters_of(hl_bus *bus)
{
    letter_copy copy = {0};
    hl_error error = {.text = ""};
    cr_assert_eq(hl_dlq_list(hl_bus_dlq(bus), NULL, copy_letter, &copy, &error), HL_OK, "%s",
                 error.text);
    return copy;
}

static uint64_t redrive_all(hl_bus *bus)
{
    hl_error error = {.text = ""};
    uint64_t count = 0;
    cr_assert_eq(hl_dlq_redrive(hl_bus_dlq(bus), NULL, &count, &error), HL_OK, "%s", error.text);
    return count;
}

Test(redrive, what_is_given_up_is_a_letter_with_all_that_is_known)
{
    static ward_fixture f;
    set_up(&f, NULL, 2, NULL);
    lose_one(&f, HL_FAILED);
    const letter_copy letter = letters_of(f.bus);
    cr_assert_eq(letter.count, 1);
    cr_assert_eq(letter.value, 77);
    cr_assert_eq(letter.reason, HL_DEAD_EXHAUSTED);
    cr_assert_eq(letter.state, HL_DEAD_WAITING);
    cr_assert_eq(letter.error_code, 42);
    cr_assert_str_eq(letter.text, "no room for 77");
    cr_assert_eq(letter.attempts, 3);
    cr_assert_str_eq(letter.topic, "market_data.trade");
    cr_assert_str_eq(letter.source, "feed");
    cr_assert_str_eq(letter.subscription, "patient");
    cr_assert_str_eq(letter.pattern, "market_data.*");
    const hl_subscription_stats stats = stats_of(f.patient.subscription);
    cr_assert_eq(stats.dead_lettered, 1);
    cr_assert_eq(stats.skipped, 0);
    manual_stop(f.bus);
}

Test(redrive, a_letter_goes_to_the_one_that_failed_flagged_and_is_gone)
{
    static ward_fixture f;
    set_up(&f, NULL, 0, NULL);
    lose_one(&f, HL_REJECT);
    const uint64_t id = letters_of(f.bus).event_id;
    f.patient.answer = HL_OK;
    cr_assert_eq(f.patient.last.redriven, 0);
    cr_assert_eq(redrive_all(f.bus), 1);
    cr_assert_eq(letters_of(f.bus).state, HL_DEAD_REDRIVING);
    run_out(f.bus);
    cr_assert_eq(f.patient.count, 2);
    cr_assert_eq(f.other.count, 1, "no one else sees it again");
    cr_assert_eq(f.patient.value, 77);
    cr_assert_eq(f.patient.last.redriven, 1);
    cr_assert_eq(f.patient.last.topic, f.trade.number);
    cr_assert_eq(hl_event_id_of((uint32_t)hl_id_partition(id), f.patient.last.sequence), id);
    cr_assert_eq(letters_of(f.bus).count, 0);
    const hl_subscription_stats stats = stats_of(f.patient.subscription);
    cr_assert_eq(stats.delivered, 2);
    cr_assert_eq(stats.handled, 1);
    manual_stop(f.bus);
}

Test(redrive, a_letter_that_fails_again_comes_back_with_its_history)
{
    static ward_fixture f;
    set_up(&f, NULL, 1, NULL);
    lose_one(&f, HL_FAILED);
    const uint64_t first = letters_of(f.bus).id;
    for (uint32_t round = 1; round <= 3; round++) {
        cr_assert_eq(redrive_all(f.bus), 1);
        run_out(f.bus);
        const letter_copy letter = letters_of(f.bus);
        cr_assert_eq(letter.count, 1);
        cr_assert_eq(letter.id, first);
        cr_assert_eq(letter.redrives, round);
        cr_assert_eq(f.patient.last.redriven, round);
        cr_assert_eq(f.patient.count, 2 + 2 * round);
    }
    manual_stop(f.bus);
}

Test(redrive, a_letter_whose_subscription_is_gone_waits_for_one_of_its_name)
{
    static ward_fixture f;
    set_up(&f, NULL, 0, NULL);
    lose_one(&f, HL_REJECT);
    cr_assert_eq(hl_unsubscribe(f.patient.subscription, HL_SECOND, NULL), HL_OK);
    hl_error error;
    uint64_t count = 0;
    hl_dlq_redrive(hl_bus_dlq(f.bus), NULL, &count, &error);
    run_out(f.bus);
    cr_assert_eq(letters_of(f.bus).state, HL_DEAD_ASKED);
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.name = "patient";
    f.patient.answer = HL_OK;
    cr_assert_eq(hl_subscribe(f.bus, "market_data.*", suffer, &f.patient, &options, NULL), HL_OK);
    run_out(f.bus);
    cr_assert_eq(f.patient.count, 2);
    cr_assert_eq(letters_of(f.bus).count, 0);
    manual_stop(f.bus);
}

Test(redrive, an_unsubscribe_in_between_gives_the_letter_back)
{
    static ward_fixture f;
    set_up(&f, NULL, 3, NULL);
    lose_one(&f, HL_REJECT);
    f.patient.answer = HL_FAILED;
    cr_assert_eq(redrive_all(f.bus), 1);
    turn_all(f.bus);
    turn_all(f.bus);
    cr_assert_eq(stats_of(f.patient.subscription).in_retry, 1);
    cr_assert_eq(hl_unsubscribe(f.patient.subscription, HL_SECOND, NULL), HL_OK);
    run_out(f.bus);
    const letter_copy letter = letters_of(f.bus);
    cr_assert_eq(letter.count, 1);
    cr_assert_eq(letter.reason, HL_DEAD_STOPPED);
    manual_stop(f.bus);
}

Test(redrive, a_stop_in_between_gives_the_letter_back)
{
    static ward_fixture f;
    set_up(&f, NULL, 3, NULL);
    f.patient.answer = HL_REJECT;
    for (uint64_t value = 1; value <= 8; value++)
        publish(f.feed, f.trade, 5, value);
    run_out(f.bus);
    cr_assert_eq(redrive_all(f.bus), 8);
    cr_assert_eq(hl_bus_stop(f.bus, HL_SECOND), HL_OK);
    cr_assert_eq(letters_of(f.bus).count, 8, "rejected again, or not tried");
    hl_bus_destroy(f.bus);
}

Test(redrive, letters_in_a_file_outlive_the_bus)
{
    static ward_fixture f;
    char path[] = "/tmp/hotlane-test-dlq-XXXXXX";
    cr_assert_geq(mkstemp(path), 0);
    unlink(path);
    hl_config config = manual_config();
    config.dlq_path = path;
    set_up(&f, &config, 0, NULL);
    f.patient.answer = HL_REJECT;
    publish(f.feed, f.trade, 5, 77);
    turn_all(f.bus);
    hl_error error;
    hl_bus *second = NULL;
    cr_assert_eq(hl_bus_create(&config, &second, &error), HL_LOCKED);
    manual_stop(f.bus);
    /* Asked for while no bus runs; done when one does. */
    hl_dlq_options options = HL_DLQ_OPTIONS_INIT;
    options.path = path;
    hl_dlq *dlq;
    cr_assert_eq(hl_dlq_open(&options, &dlq, &error), HL_OK, "%s", error.text);
    cr_assert_eq(hl_dlq_redrive(dlq, NULL, NULL, &error), HL_OK, "%s", error.text);
    cr_assert_eq(hl_dlq_close(dlq, &error), HL_OK);
    memset(&f, 0, sizeof f);
    set_up(&f, &config, 0, NULL);
    run_out(f.bus);
    cr_assert_eq(f.patient.count, 1);
    cr_assert_eq(f.patient.value, 77);
    cr_assert_eq(letters_of(f.bus).count, 0);
    manual_stop(f.bus);
    unlink(path);
}

Test(redrive, a_bus_without_dead_letters_counts_what_is_given_up_as_skipped)
{
    static ward_fixture f;
    hl_config config = manual_config();
    config.dlq_memory_bytes = 0;
    set_up(&f, &config, 0, NULL);
    lose_one(&f, HL_FAILED);
    cr_assert_null(hl_bus_dlq(f.bus));
    cr_assert_eq(stats_of(f.patient.subscription).skipped, 1);
    manual_stop(f.bus);
}

/* More letters at once than their ring holds: nothing is lost, whether the housekeeper comes or the
 * bus stops before it does. */
Test(redrive, letters_without_room_are_kept_until_there_is_some)
{
    for (int stopping = 0; stopping < 2; stopping++) {
        static ward_fixture f;
        memset(&f, 0, sizeof f);
        hl_config config = manual_config();
        config.retry_events = 20000;
        config.dlq_memory_bytes = (uint64_t)64 << 20;
        set_up(&f, &config, 0, NULL);
        f.patient.answer = HL_REJECT;
        const uint32_t events = 36000; /* more than there is room for between two housekeepings */
        for (uint32_t i = 0; i < events; i++) {
            publish(f.feed, f.trade, 5, i);
            turn_all(f.bus);
        }
        const hl_subscription_stats stats = stats_of(f.patient.subscription);
        cr_assert_gt(stats.in_retry, 0);
        cr_assert_eq(stats.in_retry + stats.dead_lettered, events);
        for (int i = 0; i < 20 && !stopping; i++)
            run_out(f.bus);
        if (!stopping)
            cr_assert_eq(letters_of(f.bus).count, events);
        cr_assert_eq(hl_bus_stop(f.bus, HL_SECOND), HL_OK);
        cr_assert_eq(letters_of(f.bus).count, events);
        hl_bus_destroy(f.bus);
    }
}

/* ---- what the bus tells ---- */

typedef struct told {
    uint32_t errors, breakers;
    hl_system_error error;
    hl_system_breaker changes[16];
    hl_status answer;
} told;

static hl_status listen(const hl_event *event, hl_publisher *out, void *context)
{
    told *const self = context;
    (void)out;
    if (event->payload_size == sizeof self->error) {
        self->errors++;
        memcpy(&self->error, hl_payload(event), sizeof self->error);
    } else if (event->payload_size == sizeof self->changes[0] && self->breakers < 16) {
        memcpy(&self->changes[self->breakers++], hl_payload(event), sizeof self->changes[0]);
    }
    return self->answer;
}

Test(redrive, what_is_given_up_is_told_and_never_feeds_itself)
{
    static ward_fixture f;
    static told heard;
    const hl_config config = config_with_system();
    set_up(&f, &config, 0, NULL);
    hl_retry_options once = HL_RETRY_OPTIONS_INIT;
    once.attempts = 0;
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.retry = &once;
    hl_subscription *listener;
    cr_assert_eq(hl_subscribe(f.bus, "system.>", listen, &heard, &options, &listener), HL_OK);
    heard.answer = HL_FAILED;
    lose_one(&f, HL_FAILED);
    cr_assert_eq(heard.errors, 1, "the listener's own failure is not told");
    cr_assert_eq(heard.error.code, 42);
    cr_assert_str_eq(heard.error.text, "no room for 77");
    cr_assert_str_eq(heard.error.topic, "market_data.trade");
    cr_assert_str_eq(heard.error.subscription, "patient");
    cr_assert_eq(heard.error.reason, HL_DEAD_EXHAUSTED);
    cr_assert_eq(heard.error.attempts, 1);
    cr_assert_eq(heard.error.event_key, 5);
    cr_assert_eq(hl_id_sequence(heard.error.event_id), 1);
    cr_assert_eq(letters_of(f.bus).count, 2, "its event is kept all the same");
    cr_assert_eq(stats_of(listener).failures, 1);
    manual_stop(f.bus);
}

Test(redrive, each_change_of_a_breaker_is_told_and_it_can_be_forced)
{
    static ward_fixture f;
    static told heard;
    const hl_config config = config_with_system();
    hl_breaker_options breaker = HL_BREAKER_OPTIONS_INIT;
    breaker.failures = 2;
    breaker.of_last = 2;
    breaker.rest_ns = 5 * HL_MILLISECOND;
    breaker.successes = 1;
    breaker.while_open = HL_BREAKER_SKIP;
    set_up(&f, &config, 0, &breaker);
    cr_assert_eq(hl_subscribe(f.bus, "system.breaker", listen, &heard, NULL, NULL), HL_OK);
    f.patient.answer = HL_FAILED;
    publish(f.feed, f.trade, 5, 1);
    publish(f.feed, f.trade, 5, 2);
    run_out(f.bus);
    f.patient.answer = HL_OK;
    publish(f.feed, f.trade, 5, 3);
    run_out(f.bus);
    cr_assert_eq(heard.breakers, 3);
    static const uint32_t states[] = {HL_BREAKER_CLOSED, HL_BREAKER_OPEN, HL_BREAKER_HALF_OPEN,
                                      HL_BREAKER_CLOSED};
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(heard.changes[i].from, states[i]);
        cr_assert_eq(heard.changes[i].to, states[i + 1]);
        cr_assert_str_eq(heard.changes[i].subscription, "patient");
    }
    hl_error error;
    cr_assert_eq(
        hl_subscription_breaker_force(f.patient.subscription, HL_BREAKER_FORCED_OPEN, &error),
        HL_OK);
    publish(f.feed, f.trade, 5, 4);
    run_out(f.bus);
    cr_assert_eq(f.patient.count, 3);
    cr_assert_eq(heard.changes[3].cause, HL_BREAKER_FORCED);
    cr_assert_eq(
        hl_subscription_breaker_force(f.patient.subscription, HL_BREAKER_FORCED_CLOSED, &error),
        HL_OK);
    cr_assert_eq(hl_subscription_breaker_force(f.patient.subscription, HL_BREAKER_FREE, &error),
                 HL_OK);
    publish(f.feed, f.trade, 5, 5);
    run_out(f.bus);
    cr_assert_eq(f.patient.count, 3, "set free, it rests: the last word counts");
    run_out(f.bus);
    publish(f.feed, f.trade, 5, 6);
    run_out(f.bus);
    cr_assert_eq(f.patient.count, 4);
    cr_assert_eq(hl_subscription_breaker_force(NULL, HL_BREAKER_FREE, &error), HL_INVALID);
    manual_stop(f.bus);
}

Test(redrive, forcing_needs_a_breaker)
{
    static ward_fixture f;
    hl_error error = {.text = ""};
    set_up(&f, NULL, 0, NULL);
    cr_assert_eq(
        hl_subscription_breaker_force(f.patient.subscription, HL_BREAKER_FORCED_OPEN, &error),
        HL_WRONG_STATE);
    cr_assert_not_null(strstr(error.text, "patient"));
    manual_stop(f.bus);
}

/* ---- async handlers ---- */

Test(redrive, what_a_worker_fails_on_is_a_dead_letter_too)
{
    static ward_fixture f;
    hl_config config = manual_config();
    config.max_workers = 1;
    f.bus = manual_start(&config);
    f.trade = topic(f.bus, "market_data.trade");
    f.feed = open_publisher(f.bus, "feed", "market_data");
    f.patient.answer = HL_FAILED;
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    hl_retry_options retry = HL_RETRY_OPTIONS_INIT;
    retry.attempts = 0;
    options.name = "patient";
    options.async = HL_ASYNC_ORDERED;
    options.retry = &retry;
    cr_assert_eq(
        hl_subscribe(f.bus, "market_data.*", suffer, &f.patient, &options, &f.patient.subscription),
        HL_OK);
    publish(f.feed, f.trade, 5, 77);
    run_out(f.bus);
    const letter_copy letter = letters_of(f.bus);
    cr_assert_eq(letter.count, 1);
    cr_assert_eq(letter.error_code, 42);
    cr_assert_str_eq(letter.text, "no room for 77");
    cr_assert_eq(stats_of(f.patient.subscription).dead_lettered, 1);
    f.patient.answer = HL_OK;
    cr_assert_eq(redrive_all(f.bus), 1);
    run_out(f.bus);
    cr_assert_eq(f.patient.count, 2);
    manual_stop(f.bus);
}
