#include "bus/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/mailbox.h"
#include "bus/bus.h"

#define SLOT_BYTES 256
#define SLOTS      256

typedef struct slot {
    uint64_t stamp; /* the ring's */
    hl_log_line line;
} slot;

_Static_assert(sizeof(slot) <= SLOT_BYTES, "a line lies in one slot");

struct hl_log_ring {
    hl_mailbox lines;
    pthread_mutex_t lock; /* of the names below */
    uint32_t debugged;    /* how many; relaxed: a switch that works soon */
    char names[HL_LOG_DEBUG_MAX][HL_LOG_COMPONENT_BYTES];
    alignas(128) uint64_t written, left_out, lost; /* anyone adds */
};

hl_log_ring *hl_log_make(void)
{
    hl_log_ring *const log = hl_allocate(1, sizeof *log);
    if (log == NULL || !hl_mailbox_make(&log->lines, SLOT_BYTES, SLOTS)) {
        free(log);
        return NULL;
    }
    pthread_mutex_init(&log->lock, NULL);
    return log;
}

void hl_log_free(hl_log_ring *log)
{
    if (log == NULL)
        return;
    pthread_mutex_destroy(&log->lock);
    hl_mailbox_free(&log->lines);
    free(log);
}

const char *hl_log_level_name(hl_log_level level)
{
    static const char *const names[] = {"debug", "info", "warning", "error", "nothing"};
    return (unsigned)level < sizeof names / sizeof *names ? names[level] : "unknown";
}

/* ---- debugging ---- */

/* Its place; the first free one when it is not there, HL_LOG_DEBUG_MAX when there is none. Under
 * the lock. */
static uint32_t find(const hl_log_ring *log, const char *component)
{
    uint32_t free_place = HL_LOG_DEBUG_MAX;
    for (uint32_t i = HL_LOG_DEBUG_MAX; i-- > 0;) {
        if (strcmp(log->names[i], component) == 0)
            return i;
        if (log->names[i][0] == '\0')
            free_place = i;
    }
    return free_place;
}

hl_status hl_log_debug(hl_bus *bus, const char *component, bool on)
{
    if (component == NULL || *component == '\0' || strlen(component) >= HL_LOG_COMPONENT_BYTES)
        return HL_INVALID;
    const hl_status refusal = hl_bus_refusal(bus);
    if (refusal != HL_OK)
        return refusal;
    hl_log_ring *const log = bus->log;
    pthread_mutex_lock(&log->lock);
    const uint32_t place = find(log, component);
    const bool is_room = place < HL_LOG_DEBUG_MAX;
    const bool was_on = is_room && log->names[place][0] != '\0';
    if (is_room && on != was_on) {
        snprintf(log->names[place], sizeof log->names[place], "%s", on ? component : "");
        /* Relaxed both: under the lock; others look whether there are any. */
        hl_store_relaxed_u32(&log->debugged,
                             hl_load_relaxed_u32(&log->debugged) + (on ? 1 : UINT32_MAX));
    }
    pthread_mutex_unlock(&log->lock);
    return is_room || !on ? HL_OK : HL_LIMIT;
}

static bool is_debugged(hl_log_ring *log, const char *component)
{
    if (hl_load_relaxed_u32(&log->debugged) == 0) /* Relaxed: a switch that works soon. */
        return false;
    pthread_mutex_lock(&log->lock);
    bool on = false;
    for (uint32_t i = 0; i < HL_LOG_DEBUG_MAX && !on; i++)
        on = strcmp(log->names[i], component) == 0 || strcmp(log->names[i], "*") == 0;
    pthread_mutex_unlock(&log->lock);
    return on;
}

bool hl_log_is_on(const hl_bus *bus, hl_log_level level, const char *component)
{
    if (level == HL_LOG_DEBUG && !hl_bus_is_detached(bus))
        return is_debugged(bus->log, component);
    return level >= bus->config.log_level && level < HL_LOG_NOTHING;
}

/* ---- saying ---- */

/* Whether the place has said few enough lines in this second. Several threads may be at it, so that
 * a line too many may pass when a second begins. */
static bool may_say(hl_log_site *site, uint64_t now_ns)
{
    const uint64_t second = now_ns / HL_SECOND + 1;
    /* Relaxed all: a limit, no order. */
    if (hl_load_relaxed_u64(&site->second) != second) {
        hl_store_relaxed_u64(&site->second, second); /* as above */
        hl_store_relaxed_u64(&site->said, 0);        /* as above */
    }
    return hl_fetch_add_relaxed_u64(&site->said, 1) < HL_LOG_SITE_PER_S; /* as above */
}

static void say(hl_log_ring *log, const hl_log_line *line)
{
    uint64_t position;
    if (!hl_mpsc_try_claim(&log->lines.in, 1, &position)) {
        hl_fetch_add_relaxed_u64(&log->lost, 1); /* COUNTED (bus.h) */
        return;
    }
    slot *const at = hl_mpsc_slot(&log->lines.in, position);
    at->line = *line;
    hl_mpsc_commit(&log->lines.in, position, 1);
}

void hl_log_at(hl_log_site *site, hl_bus *bus, hl_log_level level, const char *component,
               const char *format, ...)
{
    if (hl_bus_is_detached(bus) || !hl_log_is_on(bus, level, component))
        return;
    hl_log_line line = {.at_ns = hl_bus_now(bus), .level = level};
    if (!may_say(site, line.at_ns)) {
        hl_fetch_add_relaxed_u64(&site->left_out, 1);     /* Relaxed: a counter. */
        hl_fetch_add_relaxed_u64(&bus->log->left_out, 1); /* COUNTED (bus.h) */
        return;
    }
    line.left_out = hl_exchange_relaxed_u64(&site->left_out, 0); /* Relaxed: a counter. */
    snprintf(line.component, sizeof line.component, "%s", component);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line.text, sizeof line.text, format, arguments);
    va_end(arguments);
    say(bus->log, &line);
}

void hl_log_stats_read(const hl_bus *bus, hl_log_stats *ret_stats)
{
    const hl_log_ring *const log = bus->log;
    *ret_stats = (hl_log_stats){.written = hl_load_relaxed_u64(&log->written),   /* Relaxed all: */
                                .left_out = hl_load_relaxed_u64(&log->left_out), /* counters. */
                                .lost = hl_load_relaxed_u64(&log->lost)};        /* as above */
}

/* ---- writing ---- */

static void write_to_stderr(const hl_log_line *line)
{
    char left_out[64] = "";
    if (line->left_out != 0)
        snprintf(left_out, sizeof left_out, " (%" PRIu64 " like it left out)", line->left_out);
    fprintf(stderr, "hotlane: %s: %s: %s%s\n", hl_log_level_name(line->level), line->component,
            line->text, left_out);
}

void hl_log_write(hl_bus *bus)
{
    hl_log_ring *const log = bus->log;
    void *first;
    while (hl_ring_peek(&log->lines.out, 1, &first) != 0) {
        const hl_log_line line = ((const slot *)first)->line;
        hl_ring_release(&log->lines.out, 1);
        if (bus->config.on_log != NULL)
            bus->config.on_log(&line, bus->config.log_context);
        else
            write_to_stderr(&line);
        hl_fetch_add_relaxed_u64(&log->written, 1); /* COUNTED (bus.h) */
    }
}
