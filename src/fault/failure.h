/*
 * What a handler said with hl_fail, kept by its thread until the handler has returned.
 */
#ifndef HL_FAULT_FAILURE_H
#define HL_FAULT_FAILURE_H

#include <hotlane/fault.h>

/* Takes what the calling thread's handler has said of one of these events. The text, good until the
 * thread's next hl_fail, with its code; NULL: nothing was said of them. */
const char *hl_failure_take(const hl_event *const *events, uint32_t count, int32_t *ret_code);

#endif
