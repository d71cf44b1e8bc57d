#include "fault/failure.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <hotlane/dlq.h>

typedef struct failure {
    const hl_event *event; /* NULL: nothing was said */
    uint64_t sequence;     /* of the event: its slot may be another's by now */
    int32_t code;
    char text[HL_DEAD_TEXT_BYTES];
} failure;

static _Thread_local failure last;

hl_status hl_fail(const hl_event *event, int code, const char *format, ...)
{
    last.event = event;
    last.sequence = event != NULL ? event->sequence : 0;
    last.code = code;
    if (strchr(format, '%') == NULL) { /* most say but a few words: a tenth of the time */
        const size_t bytes = strnlen(format, sizeof last.text - 1);
        memcpy(last.text, format, bytes);
        last.text[bytes] = '\0';
        return HL_FAILED;
    }
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(last.text, sizeof last.text, format, arguments);
    va_end(arguments);
    return HL_FAILED;
}

const char *hl_failure_take(const hl_event *const *events, uint32_t count, int32_t *ret_code)
{
    const hl_event *const said_of = last.event;
    last.event = NULL;
    for (uint32_t i = 0; said_of != NULL && i < count; i++)
        if (events[i] == said_of && said_of->sequence == last.sequence) {
            *ret_code = last.code;
            return last.text;
        }
    return NULL;
}
