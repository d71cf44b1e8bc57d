/*
 * What signals mean to hotlane run: the first SIGINT or SIGTERM ends the run in good order, a
 * second one at once: the bus stops now, and if the main thread is not through a second later, for
 * a handler hangs, the report is written as things stand, and the process ends.
 */
#ifndef HL_TOOLS_RUN_SIGNALS_H
#define HL_TOOLS_RUN_SIGNALS_H

#include <pthread.h>
#include <stdbool.h>

#include <hotlane/bus.h>

typedef struct run_signals {
    hl_bus *bus; /* under the lock; NULL: it is about to go */
    pthread_mutex_t lock;
    void (*report)(void *context); /* the last words */
    void *context;
    pthread_t thread;
    bool is_started;
    /* Words of several threads (ring/order.h). */
    uint32_t count;    /* signals so far */
    uint32_t finished; /* 1: the main thread is through */
    uint64_t reported; /* 1: somebody writes the report, or has */
} run_signals;

/* Blocks the two signals in the calling thread, and those that it starts. */
void run_signals_block(void);

/* Starts the thread that waits for them, when the bus is made and the fields above the thread are
 * filled in (but for the lock). HL_OK; HL_SYSTEM. */
hl_status run_signals_start(run_signals *signals, hl_error *error);

/* Whether there was one. */
bool run_signals_any(run_signals *signals);

/* Whether the caller is the one to write the report. False: never, the process is about to end. */
bool run_signals_take_report(run_signals *signals);

/* The bus is about to be destroyed, which may take as long as a handler hangs. */
void run_signals_forget_bus(run_signals *signals);

/* The main thread is through: ends the thread. */
void run_signals_finish(run_signals *signals);

#endif
