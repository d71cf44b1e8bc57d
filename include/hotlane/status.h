/*
 * What a call can answer. One list gives codes and sentences. HL_FULL, HL_THROTTLED, HL_CLOSED,
 * HL_TIMEOUT, HL_DEFERRED, HL_BUSY and HL_NOT_FOUND are outcomes that say what to do next, the
 * rest are errors. Every call on a bus may answer HL_DETACHED, in a fork's child. Calls that can
 * fail for more than one reason also fill an hl_error with a sentence that names the place and the
 * remedy.
 *
 *     hl_error error;
 *     if (hl_bus_create(NULL, &bus, &error) != HL_OK)
 *         return fprintf(stderr, "%s\n", error.text), 1;
 */
#ifndef HOTLANE_STATUS_H
#define HOTLANE_STATUS_H

#if defined(__GNUC__)
#define HL_API __attribute__((visibility("default")))
#else
#define HL_API
#endif

/* code, value, sentence. The values are part of the ABI: append, never renumber. */
#define HL_STATUS_LIST(X)                                                                        \
    X(HL_OK, 0, "done")                                                                          \
    X(HL_FULL, 1, "the lane has no room now: try again, or let the domain's full_policy block")  \
    X(HL_THROTTLED, 2, "refused for load: the topic's kind lets the bus do so; try again later") \
    X(HL_CLOSED, 3, "the bus is stopping or stopped: publish no more")                           \
    X(HL_TIMEOUT, 4, "not done in the time given: the call may be made again")                   \
    X(HL_DEFERRED, 5, "called from a hotlane thread: it completes later, on_closed will tell")   \
    X(HL_BUSY, 6, "the value was being written at each try: try again")                          \
    X(HL_NOT_FOUND, 7, "there is no such thing")                                                 \
    X(HL_TOO_LARGE, 8, "the payload does not fit the domain's slot: raise slot_size_bytes")      \
    X(HL_INVALID, 9, "an argument is out of its range")                                          \
    X(HL_EXISTS, 10, "the name is taken with other properties")                                  \
    X(HL_NO_MEMORY, 11, "out of memory")                                                         \
    X(HL_LIMIT, 12, "a configured limit is reached: raise it in the configuration")              \
    X(HL_UNKNOWN_DOMAIN, 13, "the topic's first token names no domain of this bus")              \
    X(HL_NO_LANE, 14, "the publisher did not declare this domain and priority when it opened")   \
    X(HL_SPANS_PARTITIONS, 15, "the pattern reaches several partitions: say `concurrent`")       \
    X(HL_WRONG_STATE, 16, "not possible in the bus's present state")                             \
    X(HL_WRONG_THREAD, 17, "this handle belongs to another thread")                              \
    X(HL_NOT_ALLOWED, 18, "the topic's kind or domain does not allow this")                      \
    X(HL_NOT_CONSERVED, 19, "the counters do not add up: an event is missing")                   \
    X(HL_UNSUPPORTED, 20, "this build lacks the feature")                                        \
    X(HL_SYSTEM, 21, "the system refused a call")                                                \
    X(HL_BAD_INPUT, 22, "the input is not what it should be")                                    \
    X(HL_RETRY, 23, "a handler asks for the event again")                                        \
    X(HL_REJECT, 24, "a handler refuses the event for good")                                     \
    X(HL_FAILED, 25, "a handler failed")                                                         \
    X(HL_DAMAGED, 26, "what was stored is damaged: see the place it names")                      \
    X(HL_NO_SPACE, 27, "the disk is full: it goes on by itself when there is room")              \
    X(HL_LOCKED, 28, "another process holds it: stop that one first")                            \
    X(HL_GONE, 29, "it was kept and is no longer: begin later, or accept the gap")               \
    X(HL_DETACHED, 30, "this is a fork's child: the bus is its parent's")

typedef enum hl_status {
#define HL_STATUS_CODE(code, value, text) code = value,
    HL_STATUS_LIST(HL_STATUS_CODE)
#undef HL_STATUS_CODE
} hl_status;

/* A status with its sentence: place first, then what is wrong, then what would be right. */
typedef struct hl_error {
    hl_status status;
    char text[500];
} hl_error;

#ifdef __cplusplus
extern "C" {
#endif

/* The sentence of a status, static memory; "unknown status" for a value not in the list. Any
 * thread. */
HL_API const char *hl_status_text(hl_status status);

/* The name of a status, "HL_FULL". Static memory. Any thread. */
HL_API const char *hl_status_name(hl_status status);

#ifdef __cplusplus
}
#endif
#endif
