/*
 * What the scheduler has done to a thread of this process so far, as /proc has it.
 */
#ifndef HL_OBSERVE_THREAD_SWITCHES_H
#define HL_OBSERVE_THREAD_SWITCHES_H

#include <stdint.h>

#define HL_SWITCHES_UNKNOWN UINT64_MAX

typedef struct hl_thread_switches {
    uint64_t involuntary; /* times that it was put aside though it could have gone on */
    uint64_t migrations;  /* times that it was moved to another CPU */
} hl_thread_switches;

/* Of the thread with this kernel number (gettid); HL_SWITCHES_UNKNOWN where the kernel does not
 * say. Some ten microseconds and a few system calls; any thread. */
hl_thread_switches hl_thread_switches_read(uint32_t tid);

/* The calling thread's kernel number. */
uint32_t hl_thread_number(void);

#endif
