/*
 * Putting the calling thread on its CPU, and seeing that it is there.
 */
#ifndef HL_AFFINITY_PIN_H
#define HL_AFFINITY_PIN_H

#include <stdint.h>

#include <hotlane/status.h>

/*
 * Pins the calling thread, and no other, to one CPU (OS index), then checks that it runs there.
 * HL_OK; HL_INVALID when there is no such CPU or this process may not use it; HL_SYSTEM when the
 * kernel refuses or the thread is seen elsewhere. On an error the mask may have changed.
 */
hl_status hl_pin_self(uint32_t cpu, hl_error *error);

/* The CPU (OS index) that the calling thread runs on at this moment; -1 when the kernel will not
 * say. */
int hl_thread_cpu(void);

#endif
