#include "fault/component.h"

#include <pthread.h>
#include <stdio.h>

#include "base/allocate.h"
#include "base/error.h"
#include "bus/bus.h"
#include "config/domains.h"
#include "fault/faults.h"

typedef struct component {
    hl_component_status status;
    hl_component_options options; /* its strings are copies */
    char *needs;
    void *context;
    bool is_asked;            /* its health is running */
    bool is_visited, is_open; /* while the order is made: seen; on the path from the first one */
} component;

struct hl_components {
    hl_bus *bus;
    pthread_mutex_t lock;    /* of all below; not held in a component's own functions */
    pthread_cond_t answered; /* one is asked no more */
    component **all;         /* in the order of adding */
    uint32_t *order;         /* of starting: indices */
    uint32_t count, room;
    uint32_t ordered, started; /* entries of `order`; of them started */
    bool is_busy;              /* someone starts or stops them */
};

hl_components *hl_components_make(hl_bus *bus)
{
    hl_components *const components = calloc(1, sizeof *components);
    if (components == NULL)
        return NULL;
    components->bus = bus;
    pthread_mutex_init(&components->lock, NULL);
    pthread_cond_init(&components->answered, NULL);
    return components;
}

/* ---- adding ---- */

static hl_status grow(hl_components *components, hl_error *error)
{
    const uint32_t room = components->room * 2 + 8;
    component **const all = realloc(components->all, room * sizeof *all);
    if (all != NULL)
        components->all = all;
    uint32_t *const order = all != NULL ? realloc(components->order, room * sizeof *order) : NULL;
    if (order == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "no memory for a component");
    components->order = order;
    components->room = room;
    return HL_OK;
}

/* The component of a name of so many bytes; -1: there is none. */
static int64_t find(const hl_components *components, const char *name, size_t bytes)
{
    for (uint32_t i = 0; i < components->count; i++) {
        const char *const other = components->all[i]->status.name;
        if (strlen(other) == bytes && memcmp(other, name, bytes) == 0)
            return i;
    }
    return -1;
}

static hl_status add(hl_components *components, const char *name,
                     const hl_component_options *options, void *context, hl_error *error)
{
    if (components->started != 0 || components->is_busy)
        return hl_error_set(error, HL_WRONG_STATE,
                            "component %s: the others are started: add it before", name);
    if (find(components, name, strlen(name)) >= 0)
        return hl_error_set(error, HL_EXISTS, "component %s: there is one of that name", name);
    const hl_status status =
        components->count == components->room ? grow(components, error) : HL_OK;
    if (status != HL_OK)
        return status;
    component *const new = calloc(1, sizeof *new);
    if (new == NULL || (options->needs != NULL && (new->needs = strdup(options->needs)) == NULL)) {
        free(new);
        return hl_error_set(error, HL_NO_MEMORY, "no memory for component %s", name);
    }
    snprintf(new->status.name, sizeof new->status.name, "%s", name);
    new->options = *options;
    new->options.needs = new->needs;
    new->context = context;
    components->all[components->count++] = new;
    return HL_OK;
}

/* What a call answers at once, with its sentence: as hl_bus_refusal. */
static hl_status refuse(const hl_bus *bus, hl_error *error)
{
    const hl_status refusal = hl_bus_refusal(bus);
    if (refusal != HL_OK)
        hl_error_set(error, refusal, "components: %s",
                     refusal == HL_INVALID ? "no bus was given"
                                           : "this is a fork's child: they are its parent's");
    return refusal;
}

hl_status hl_component_add(hl_bus *bus, const char *name, const hl_component_options *options,
                           void *context, hl_error *error)
{
    if (name == NULL || *name == '\0' || strlen(name) > 63)
        return hl_error_set(error, HL_INVALID, "a component's name has 1 to 63 bytes");
    if (options == NULL || options->size != sizeof *options)
        return hl_error_set(error, HL_INVALID,
                            "component %s: its options begin with HL_COMPONENT_OPTIONS_INIT", name);
    hl_status status = refuse(bus, error);
    if (status != HL_OK)
        return status;
    hl_components *const components = bus->faults->components;
    pthread_mutex_lock(&components->lock);
    status = add(components, name, options, context, error);
    pthread_mutex_unlock(&components->lock);
    return status;
}

/* ---- the order ---- */

/* Those on the path from `first` on, which leads back to it. */
static hl_status tell_circle(const hl_components *components, const uint32_t *path, uint32_t depth,
                             uint32_t first, hl_error *error)
{
    char text[256] = "";
    size_t used = 0;
    uint32_t from = 0;
    while (path[from] != first)
        from++;
    for (uint32_t i = from; i < depth && used < sizeof text; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s needs ",
                                 components->all[path[i]]->status.name);
    return hl_error_set(error, HL_INVALID, "components: %s%s: none of them can be the first", text,
                        components->all[first]->status.name);
}

/* After all that it needs. `path`: those that led here. */
static hl_status put_in_order(hl_components *components, uint32_t index, uint32_t *path,
                              uint32_t depth, hl_error *error)
{
    component *const self = components->all[index];
    if (self->is_open)
        return tell_circle(components, path, depth, index, error);
    if (self->is_visited)
        return HL_OK;
    self->is_visited = self->is_open = true;
    path[depth] = index;
    hl_name item;
    for (const char *cursor = self->needs; hl_domain_list_next(&cursor, &item);) {
        const int64_t need = find(components, item.text, item.bytes);
        if (need < 0)
            return hl_error_set(error, HL_INVALID, "component %s needs %.*s: add one of that name",
                                self->status.name, (int)item.bytes, item.text);
        const hl_status status = put_in_order(components, (uint32_t)need, path, depth + 1, error);
        if (status != HL_OK)
            return status;
    }
    self->is_open = false;
    components->order[components->ordered++] = index;
    return HL_OK;
}

static hl_status make_order(hl_components *components, hl_error *error)
{
    uint32_t *const path = calloc(components->count + 1, sizeof *path);
    if (path == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "no memory for the order of the components");
    components->ordered = 0;
    for (uint32_t i = 0; i < components->count; i++)
        components->all[i]->is_visited = components->all[i]->is_open = false;
    hl_status status = HL_OK;
    for (uint32_t i = 0; i < components->count && status == HL_OK; i++)
        status = put_in_order(components, i, path, 0, error);
    free(path);
    return status;
}

/* ---- starting and stopping ---- */

static void tell(const hl_components *components, uint32_t index, const char *topic,
                 hl_status status, uint64_t took_ns, const char *reason)
{
    hl_system_component event = {.took_ns = took_ns, .status = status};
    snprintf(event.name, sizeof event.name, "%s", components->all[index]->status.name);
    snprintf(event.reason, sizeof event.reason, "%.255s", reason);
    hl_notice(components->bus, topic, index, &event, sizeof event);
    hl_log(components->bus, status == HL_OK ? HL_LOG_INFO : HL_LOG_ERROR, "components",
           "%s: %s after %.3f s%s%s", event.name, strrchr(topic, '_') + 1, (double)took_ns / 1e9,
           *reason != '\0' ? ": " : "", reason);
}

static void set_state(hl_components *components, component *self, hl_component_state state)
{
    pthread_mutex_lock(&components->lock);
    self->status.state = state;
    pthread_mutex_unlock(&components->lock);
}

/* `took_ns`: one of self->status. `reason` NULL: as it was. */
static void set_outcome(hl_components *components, component *self, hl_component_state state,
                        uint64_t *took_ns, uint64_t ns, const char *reason)
{
    pthread_mutex_lock(&components->lock);
    self->status.state = state;
    *took_ns = ns;
    if (reason != NULL)
        snprintf(self->status.reason, sizeof self->status.reason, "%.127s", reason);
    pthread_mutex_unlock(&components->lock);
}

/* Nobody asks it from now on; its health that runs is waited for. */
static void begin_stop(hl_components *components, component *self)
{
    pthread_mutex_lock(&components->lock);
    self->status.state = HL_COMPONENT_STOPPING;
    while (self->is_asked)
        pthread_cond_wait(&components->answered, &components->lock);
    pthread_mutex_unlock(&components->lock);
}

static void stop_one(hl_components *components, uint32_t index)
{
    component *const self = components->all[index];
    const uint64_t begin_ns = hl_bus_now(components->bus);
    begin_stop(components, self);
    if (self->options.stop != NULL)
        self->options.stop(self->context);
    const uint64_t took_ns = hl_bus_now(components->bus) - begin_ns;
    set_outcome(components, self, HL_COMPONENT_STOPPED, &self->status.stop_ns, took_ns, NULL);
    tell(components, index, "system.component_stopped", HL_OK, took_ns, "");
}

static void stop_started(hl_components *components)
{
    while (components->started > 0)
        stop_one(components, components->order[--components->started]);
}

static hl_status start_one(hl_components *components, uint32_t index, hl_error *error)
{
    component *const self = components->all[index];
    hl_error own = {.status = HL_OK, .text = ""};
    const uint64_t begin_ns = hl_bus_now(components->bus);
    set_state(components, self, HL_COMPONENT_STARTING);
    const hl_status status =
        self->options.start != NULL ? self->options.start(self->context, &own) : HL_OK;
    const uint64_t took_ns = hl_bus_now(components->bus) - begin_ns;
    if (status == HL_OK) {
        set_outcome(components, self, HL_COMPONENT_STARTED, &self->status.start_ns, took_ns, "");
        tell(components, index, "system.component_started", status, took_ns, "");
        return HL_OK;
    }
    const char *const reason = own.text[0] != '\0' ? own.text : hl_status_text(status);
    set_outcome(components, self, HL_COMPONENT_FAILED, &self->status.start_ns, took_ns, reason);
    tell(components, index, "system.component_failed", status, took_ns, reason);
    return hl_error_set(error, status, "component %s: %s", self->status.name, reason);
}

static hl_status start_all(hl_components *components, hl_error *error)
{
    for (uint32_t i = 0; i < components->ordered; i++) {
        const hl_status status = start_one(components, components->order[i], error);
        if (status != HL_OK) {
            stop_started(components);
            return status;
        }
        components->started++;
    }
    return HL_OK;
}

static hl_status begin(hl_components *components, hl_error *error)
{
    pthread_mutex_lock(&components->lock);
    const bool free_to_start = !components->is_busy && components->started == 0;
    hl_status status =
        free_to_start ? make_order(components, error)
                      : hl_error_set(error, HL_WRONG_STATE, "the components are started already");
    if (status == HL_OK)
        components->is_busy = true;
    pthread_mutex_unlock(&components->lock);
    return status;
}

static void end(hl_components *components)
{
    pthread_mutex_lock(&components->lock);
    components->is_busy = false;
    pthread_mutex_unlock(&components->lock);
}

hl_status hl_components_start(hl_bus *bus, hl_error *error)
{
    hl_status status = refuse(bus, error);
    if (status != HL_OK)
        return status;
    hl_components *const components = bus->faults->components;
    status = begin(components, error);
    if (status != HL_OK)
        return status;
    status = start_all(components, error);
    end(components);
    return status;
}

void hl_components_stop(hl_bus *bus)
{
    if (hl_bus_refusal(bus) != HL_OK)
        return;
    hl_components *const components = bus->faults->components;
    pthread_mutex_lock(&components->lock);
    const bool is_free = !components->is_busy;
    components->is_busy = true;
    pthread_mutex_unlock(&components->lock);
    if (!is_free)
        return;
    stop_started(components);
    end(components);
}

void hl_components_free(hl_components *components)
{
    if (components == NULL)
        return;
    stop_started(components);
    for (uint32_t i = 0; i < components->count; i++) {
        free(components->all[i]->needs);
        free(components->all[i]);
    }
    free(components->all);
    free(components->order);
    pthread_cond_destroy(&components->answered);
    pthread_mutex_destroy(&components->lock);
    free(components);
}

/* ---- how they do ---- */

/* Under the lock, which it lets go meanwhile. */
static void ask(hl_components *components, component *self)
{
    char reason[sizeof self->status.reason] = "";
    self->is_asked = true;
    pthread_mutex_unlock(&components->lock);
    const hl_health_status health = self->options.health(self->context, reason, sizeof reason);
    pthread_mutex_lock(&components->lock);
    self->is_asked = false;
    pthread_cond_broadcast(&components->answered);
    if (self->status.state != HL_COMPONENT_STARTED)
        return;
    self->status.health = health;
    memcpy(self->status.reason, reason, sizeof reason);
}

void hl_components_ask(hl_components *components)
{
    pthread_mutex_lock(&components->lock);
    for (uint32_t i = 0; i < components->count; i++) {
        component *const self = components->all[i];
        if (self->status.state == HL_COMPONENT_STARTED && self->options.health != NULL)
            ask(components, self);
    }
    pthread_mutex_unlock(&components->lock);
}

hl_status hl_component_status_read(hl_bus *bus, uint32_t index, hl_component_status *ret_status)
{
    if (hl_bus_is_detached(bus))
        return HL_DETACHED;
    hl_components *const components = bus->faults->components;
    pthread_mutex_lock(&components->lock);
    const bool is_there = index < components->count;
    if (is_there)
        *ret_status = components->all[index]->status;
    pthread_mutex_unlock(&components->lock);
    return is_there ? HL_OK : HL_NOT_FOUND;
}

const char *hl_component_state_name(hl_component_state state)
{
    static const char *const names[] = {"stopped", "starting", "started", "stopping", "failed"};
    return (unsigned)state < sizeof names / sizeof *names ? names[state] : "unknown";
}
