/*
 * What the library, and who uses it, has to say to people. A line is put into a ring where it is
 * said and written by the housekeeper, to `on_log` of the configuration or, without one, to stderr:
 * no hot thread ever waits for a terminal.
 *
 *     hl_log(bus, HL_LOG_WARNING, "venue", "line %u is down", line);
 *     hl_log_debug(bus, "venue", true);
 *
 * Each place in the code may say ten lines a second; the others are left out and counted, and the
 * next line that passes says how many. Not for the hot path all the same: a line is formatted where
 * it is said.
 */
#ifndef HOTLANE_LOG_H
#define HOTLANE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include <hotlane/status.h>

typedef struct hl_bus hl_bus;

typedef enum hl_log_level {
    HL_LOG_DEBUG = 0, /* only of components that it is switched on for */
    HL_LOG_INFO,
    HL_LOG_WARNING,
    HL_LOG_ERROR,
    HL_LOG_NOTHING /* of log_level: not even errors */
} hl_log_level;

#define HL_LOG_COMPONENT_BYTES 24  /* with its end; longer ones are cut */
#define HL_LOG_TEXT_BYTES      200 /* likewise */
#define HL_LOG_DEBUG_MAX       16  /* components with debugging on at one time */
#define HL_LOG_SITE_PER_S      10

typedef struct hl_log_line {
    uint64_t at_ns;    /* bus clock */
    uint64_t left_out; /* lines of the same place since the one before */
    hl_log_level level;
    char component[HL_LOG_COMPONENT_BYTES];
    char text[HL_LOG_TEXT_BYTES];
} hl_log_line;

/* Called by the housekeeper, and by the threads that stop and destroy the bus; one at a time.
 * `line` is valid until it returns. It may call hl_log, not stop the bus. */
typedef void (*hl_log_handler)(const hl_log_line *line, void *context);

/* A place that says something: one static struct each. The library's own. */
typedef struct hl_log_site {
    uint64_t second; /* which one it said `said` lines in */
    uint64_t said;
    uint64_t left_out;
} hl_log_site;

typedef struct hl_log_stats {
    uint64_t written;
    uint64_t left_out; /* by the limit of their place */
    uint64_t lost;     /* the ring was full */
} hl_log_stats;

#ifdef __cplusplus
extern "C" {
#endif

/* Debug lines of a component on or off ("*": of all). Any thread, at any time. HL_OK; HL_LIMIT:
 * 16 are on already; HL_INVALID: no name, or longer than 23 bytes; HL_DETACHED: in a fork's child.
 */
HL_API hl_status hl_log_debug(hl_bus *bus, const char *component, bool on);

/* Whether a line of that level would be taken. Any thread; wait-free where nothing is debugged. */
HL_API bool hl_log_is_on(const hl_bus *bus, hl_log_level level, const char *component);

/* The function behind hl_log. Any thread; lock-free, but for a debug line while any component has
 * debugging on. */
HL_API void hl_log_at(hl_log_site *site, hl_bus *bus, hl_log_level level, const char *component,
                      const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 5, 6)))
#endif
    ;

/* Any thread. */
HL_API void hl_log_stats_read(const hl_bus *bus, hl_log_stats *ret_stats);

/* "debug", "info", "warning", "error", "nothing"; "unknown". Static memory. Any thread. */
HL_API const char *hl_log_level_name(hl_log_level level);

#ifdef __cplusplus
}
#endif

/* Says a line: hl_log(bus, level, component, format, ...). */
#define hl_log(bus, level, component, ...)                                 \
    do {                                                                   \
        static hl_log_site hl_log_here;                                    \
        hl_log_at(&hl_log_here, (bus), (level), (component), __VA_ARGS__); \
    } while (0)

#endif
