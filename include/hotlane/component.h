/*
 * Components: the parts of an application that must be started and stopped in an order. Each names
 * what it needs; those are started before it, and stopped after it.
 *
 *     hl_component_options venue = HL_COMPONENT_OPTIONS_INIT;
 *     venue.start = start_venue;
 *     venue.stop = stop_venue;
 *     hl_component_add(bus, "venue", &venue, session, &error);
 *     hl_component_options strategy = HL_COMPONENT_OPTIONS_INIT;
 *     strategy.needs = "venue, risk";
 *     ...
 *     hl_bus_start(bus);
 *     if (hl_components_start(bus, &error) != HL_OK)
 *         ...what was started has been stopped again; the sentence names who failed...
 *     ...
 *     hl_components_stop(bus);
 *     hl_bus_stop(bus, 5 * HL_SECOND);
 *
 * Events: system.component_started, system.component_stopped, system.component_failed.
 */
#ifndef HOTLANE_COMPONENT_H
#define HOTLANE_COMPONENT_H

#include <hotlane/bus.h>
#include <hotlane/health.h>

typedef enum hl_component_state {
    HL_COMPONENT_STOPPED = 0,
    HL_COMPONENT_STARTING,
    HL_COMPONENT_STARTED,
    HL_COMPONENT_STOPPING,
    HL_COMPONENT_FAILED
} hl_component_state;

typedef struct hl_component_options {
    size_t size;
    const char *needs; /* names of others, "venue, risk"; copied; NULL: none */
    /* HL_OK, or why not, with a sentence in `error`. NULL: nothing to do. */
    hl_status (*start)(void *context, hl_error *error);
    void (*stop)(void *context);
    /* How it does, with a reason (a line, of at most `room` bytes with its NUL) where it is not
     * HL_HEALTH_OK. Called by the housekeeper while it is started, never beside its stop, which
     * waits for it: so it must not stop the components. Nobody else waits, but the housekeeper has
     * other things to do. NULL: always OK. */
    hl_health_status (*health)(void *context, char *reason, size_t room);
} hl_component_options;

#define HL_COMPONENT_OPTIONS_INIT                            \
    {                                                        \
        sizeof(hl_component_options), NULL, NULL, NULL, NULL \
    }

typedef struct hl_component_status {
    char name[64];
    char reason[128]; /* of its health, or of its failure */
    hl_component_state state;
    hl_health_status health;
    uint64_t start_ns, stop_ns; /* how long its start and its stop took */
} hl_component_status;

/* The payload of the events. Key: the component's place in the order of adding. */
typedef struct hl_system_component {
    uint64_t took_ns;  /* its start or stop */
    int32_t status;    /* hl_status of its start */
    uint32_t reserved; /* 0 */
    char name[64];
    char reason[256]; /* why it failed; "" */
} hl_system_component;

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Adds a component; before it is started. Not from a handler. `context` stays the caller's.
 * - HL_OK
 * - HL_INVALID: no name, or longer than 63 bytes; options of another size.
 * - HL_EXISTS: one of that name is there. HL_WRONG_STATE: components are started.
 * - HL_NO_MEMORY
 */
HL_API hl_status hl_component_add(hl_bus *bus, const char *name,
                                  const hl_component_options *options, void *context,
                                  hl_error *error);

/*
 * Starts all, each after what it needs, otherwise in the order of adding. One caller at a time, not
 * a handler. When one fails, those that were started are stopped again, last first.
 * - HL_OK
 * - HL_INVALID: a need names no component, or they need each other in a circle, which the sentence
 *   names: "a needs b needs a". Nothing was started.
 * - HL_WRONG_STATE: they are started already.
 * - else what the failing component answered, its sentence after its name.
 */
HL_API hl_status hl_components_start(hl_bus *bus, hl_error *error);

/* Stops what is started, last first. One caller at a time, not a handler. Before hl_bus_stop, so
 * that what they still publish is handled; hl_bus_destroy does it for who has not. NULL is nothing.
 */
HL_API void hl_components_stop(hl_bus *bus);

/* Walks the components in the order of adding: 0, 1, ... until HL_NOT_FOUND. Any thread; waits for
 * no component. */
HL_API hl_status hl_component_status_read(hl_bus *bus, uint32_t index,
                                          hl_component_status *ret_status);

/* "stopped", "started", ...; "unknown". Static memory. Any thread. */
HL_API const char *hl_component_state_name(hl_component_state state);

#ifdef __cplusplus
}
#endif
#endif
