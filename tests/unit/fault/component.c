/* Components of a bus that is turned by hand. */
#include <hotlane/component.h>

#include <pthread.h>
#include <semaphore.h>
#include <string.h>

#include "../bus/manual_bus.h"
#include "base/error.h"

/* What was called, in order: "+a" is a start of a, "-a" its stop. */
static char calls[512];

typedef struct actor {
    const char *name;
    bool fails;
    hl_health_status health;
} actor;

static hl_status start_actor(void *context, hl_error *error)
{
    const actor *const self = context;
    strcat(strcat(calls, "+"), self->name);
    manual_now_ns += HL_MILLISECOND;
    return self->fails ? hl_error_set(error, HL_SYSTEM, "no cable") : HL_OK;
}

static void stop_actor(void *context)
{
    const actor *const self = context;
    strcat(strcat(calls, "-"), self->name);
}

static hl_health_status ask_actor(void *context, char *reason, size_t room)
{
    const actor *const self = context;
    snprintf(reason, room, "%s is tired", self->name);
    return self->health;
}

static void add(hl_bus *bus, actor *self, const char *needs)
{
    hl_component_options options = HL_COMPONENT_OPTIONS_INIT;
    hl_error error = {.text = ""};
    options.start = start_actor;
    options.stop = stop_actor;
    options.health = ask_actor;
    options.needs = needs;
    cr_assert_eq(hl_component_add(bus, self->name, &options, self, &error), HL_OK, "%s",
                 error.text);
}

Test(component, each_is_started_after_what_it_needs_and_stopped_before_it)
{
    hl_bus *const bus = manual_start(NULL);
    actor a = {.name = "a"}, b = {.name = "b"}, c = {.name = "c"}, d = {.name = "d"};
    hl_error error;
    add(bus, &a, "c, b");
    add(bus, &b, "d");
    add(bus, &c, NULL);
    add(bus, &d, "c");
    calls[0] = '\0';
    cr_assert_eq(hl_components_start(bus, &error), HL_OK);
    cr_assert_str_eq(calls, "+c+d+b+a");
    cr_assert_eq(hl_components_start(bus, &error), HL_WRONG_STATE);
    hl_component_status status;
    cr_assert_eq(hl_component_status_read(bus, 3, &status), HL_OK);
    cr_assert_str_eq(status.name, "d");
    cr_assert_eq(status.state, HL_COMPONENT_STARTED);
    cr_assert_eq(status.start_ns, HL_MILLISECOND);
    cr_assert_eq(hl_component_status_read(bus, 4, &status), HL_NOT_FOUND);
    hl_components_stop(bus);
    cr_assert_str_eq(calls, "+c+d+b+a-a-b-d-c");
    hl_components_stop(bus);
    calls[0] = '\0';
    cr_assert_eq(hl_components_start(bus, &error), HL_OK, "again");
    manual_stop(bus);
    cr_assert_str_eq(calls, "+c+d+b+a-a-b-d-c", "the bus stops them when it goes");
}

Test(component, one_that_fails_rolls_back_those_before_it)
{
    hl_bus *const bus = manual_start(NULL);
    actor a = {.name = "a"}, b = {.name = "b", .fails = true}, c = {.name = "c"};
    hl_error error;
    add(bus, &a, NULL);
    add(bus, &b, "a");
    add(bus, &c, "b");
    calls[0] = '\0';
    cr_assert_eq(hl_components_start(bus, &error), HL_SYSTEM);
    cr_assert_str_eq(error.text, "component b: no cable");
    cr_assert_str_eq(calls, "+a+b-a");
    hl_component_status status;
    hl_component_status_read(bus, 1, &status);
    cr_assert_eq(status.state, HL_COMPONENT_FAILED);
    cr_assert_str_eq(status.reason, "no cable");
    b.fails = false;
    calls[0] = '\0';
    cr_assert_eq(hl_components_start(bus, &error), HL_OK);
    cr_assert_str_eq(calls, "+a+b+c");
    manual_stop(bus);
}

Test(component, a_circle_is_named)
{
    hl_bus *const bus = manual_start(NULL);
    actor a = {.name = "a"}, b = {.name = "b"}, c = {.name = "c"}, d = {.name = "d"};
    hl_error error;
    add(bus, &d, "a");
    add(bus, &a, "b");
    add(bus, &b, "c");
    add(bus, &c, "a");
    calls[0] = '\0';
    cr_assert_eq(hl_components_start(bus, &error), HL_INVALID);
    cr_assert_not_null(strstr(error.text, "a needs b needs c needs a"), "%s", error.text);
    cr_assert_str_eq(calls, "", "nothing was started");
    manual_stop(bus);
}

Test(component, what_cannot_be_added_is_refused)
{
    hl_bus *const bus = manual_start(NULL);
    hl_component_options options = HL_COMPONENT_OPTIONS_INIT;
    hl_error error;
    cr_assert_eq(hl_component_add(bus, "", &options, NULL, &error), HL_INVALID);
    cr_assert_eq(hl_component_add(bus, NULL, &options, NULL, &error), HL_INVALID);
    cr_assert_eq(hl_component_add(bus, "a", NULL, NULL, &error), HL_INVALID);
    cr_assert_eq(hl_component_add(bus, "a", &options, NULL, &error), HL_OK);
    cr_assert_eq(hl_component_add(bus, "a", &options, NULL, &error), HL_EXISTS);
    options.needs = "nobody";
    cr_assert_eq(hl_component_add(bus, "b", &options, NULL, &error), HL_OK);
    cr_assert_eq(hl_components_start(bus, &error), HL_INVALID);
    cr_assert_not_null(strstr(error.text, "b needs nobody"));
    manual_stop(bus);
}

typedef struct heard {
    uint32_t count;
    hl_system_component events[8];
    char topics[8][64];
    hl_bus *bus;
} heard;

static hl_status listen(const hl_event *event, hl_publisher *out, void *context)
{
    heard *const self = context;
    (void)out;
    const hl_topic topic = {event->topic};
    const char *const name = hl_topic_name(self->bus, topic);
    if (strncmp(name, "system.component_", 17) != 0)
        return HL_OK; /* its health is told, too */
    snprintf(self->topics[self->count], 64, "%s", name);
    self->events[self->count++] = *(const hl_system_component *)hl_payload(event);
    return HL_OK;
}

Test(component, their_life_is_told)
{
    hl_config config = manual_config();
    config.domains = &manual_system;
    config.domain_count = 1;
    heard all = {.bus = manual_start(&config)};
    cr_assert_eq(hl_subscribe(all.bus, "system.*", listen, &all, NULL, NULL), HL_OK);
    actor a = {.name = "a"}, b = {.name = "b", .fails = true};
    hl_error error;
    add(all.bus, &a, NULL);
    add(all.bus, &b, NULL);
    hl_components_start(all.bus, &error);
    cr_assert_eq(hl_bus_housekeep(all.bus), HL_OK);
    turn_all(all.bus);
    static const char *const topics[] = {"system.component_started", "system.component_failed",
                                         "system.component_stopped"};
    cr_assert_eq(all.count, 3);
    for (int i = 0; i < 3; i++)
        cr_assert_str_eq(all.topics[i], topics[i]);
    cr_assert_eq(all.events[0].took_ns, HL_MILLISECOND);
    cr_assert_str_eq(all.events[1].name, "b");
    cr_assert_str_eq(all.events[1].reason, "no cable");
    cr_assert_eq(all.events[1].status, HL_SYSTEM);
    manual_stop(all.bus);
}

Test(component, the_housekeeper_asks_how_they_do)
{
    hl_bus *const bus = manual_start(NULL);
    actor a = {.name = "a", .health = HL_HEALTH_DEGRADED};
    hl_error error;
    hl_component_status status;
    add(bus, &a, NULL);
    cr_assert_eq(hl_bus_housekeep(bus), HL_OK);
    hl_component_status_read(bus, 0, &status);
    cr_assert_eq(status.health, HL_HEALTH_OK, "not before it is started");
    cr_assert_eq(hl_components_start(bus, &error), HL_OK);
    for (int i = 0; i < 10; i++)
        cr_assert_eq(hl_bus_housekeep(bus), HL_OK);
    hl_component_status_read(bus, 0, &status);
    cr_assert_eq(status.health, HL_HEALTH_DEGRADED);
    cr_assert_str_eq(status.reason, "a is tired");
    manual_stop(bus);
}

/* ---- a health that takes its time ---- */

typedef struct slow {
    hl_bus *bus;
    sem_t is_asked, may_answer;
    bool is_running, has_answered, ran_beside_stop;
} slow;

static hl_health_status answer_late(void *context, char *reason, size_t room)
{
    slow *const self = context;
    snprintf(reason, room, "slow");
    self->is_running = true;
    sem_post(&self->is_asked);
    sem_wait(&self->may_answer);
    sem_post(&self->may_answer); /* from then on at once */
    self->has_answered = true;
    self->is_running = false;
    return HL_HEALTH_DEGRADED;
}

static void stop_slow(void *context)
{
    slow *const self = context;
    self->ran_beside_stop = self->is_running;
}

/* It needs the slow one, so it is stopped before. */
static void let_answer(void *context)
{
    sem_post(&((slow *)context)->may_answer);
}

static void *keep_house(void *context)
{
    const slow *const self = context;
    for (int i = 0; i < 10; i++)
        hl_bus_housekeep(self->bus);
    return NULL;
}

Test(component, a_health_that_takes_its_time_is_waited_for_by_its_own_stop_alone, .timeout = 60)
{
    static slow self;
    hl_component_options options = HL_COMPONENT_OPTIONS_INIT;
    hl_component_status status;
    hl_error error = {.text = ""};
    pthread_t housekeeper;
    self.bus = manual_start(NULL);
    sem_init(&self.is_asked, 0, 0);
    sem_init(&self.may_answer, 0, 0);
    options.health = answer_late;
    options.stop = stop_slow;
    cr_assert_eq(hl_component_add(self.bus, "slow", &options, &self, &error), HL_OK);
    options = (hl_component_options)HL_COMPONENT_OPTIONS_INIT;
    options.stop = let_answer;
    options.needs = "slow";
    cr_assert_eq(hl_component_add(self.bus, "other", &options, &self, &error), HL_OK);
    cr_assert_eq(hl_components_start(self.bus, &error), HL_OK);
    cr_assert_eq(pthread_create(&housekeeper, NULL, keep_house, &self), 0);
    sem_wait(&self.is_asked);
    /* From here on it answers only when the other one has been stopped. */
    cr_assert_eq(hl_component_status_read(self.bus, 0, &status), HL_OK);
    cr_assert_eq(status.state, HL_COMPONENT_STARTED);
    hl_components_stop(self.bus);
    cr_assert(self.has_answered);
    cr_assert_not(self.ran_beside_stop);
    cr_assert_eq(pthread_join(housekeeper, NULL), 0);
    cr_assert_eq(hl_component_status_read(self.bus, 0, &status), HL_OK);
    cr_assert_eq(status.state, HL_COMPONENT_STOPPED);
    manual_stop(self.bus);
}

Test(component, states_have_names)
{
    cr_assert_str_eq(hl_component_state_name(HL_COMPONENT_FAILED), "failed");
    cr_assert_str_eq(hl_component_state_name((hl_component_state)9), "unknown");
    cr_assert_str_eq(hl_health_name(HL_HEALTH_CRITICAL), "critical");
    cr_assert_str_eq(hl_health_name((hl_health_status)3), "unknown");
}
