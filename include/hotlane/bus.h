/*
 * The bus: created from a configuration, started, stopped, destroyed. Several live in one process
 * without knowing of each other. It starts only the threads that its plan names; they block every
 * signal but the synchronous faults.
 *
 *     create -> (declare, subscribe, open publishers) -> start -> ... -> stop -> destroy
 *
 * Topics, subscriptions and publishers may come and go at any time between create and stop. A
 * forked child sees a bus that is detached: every publish, every call of the control plane and
 * every reading of counters answers HL_DETACHED, and none waits or touches what is its parent's.
 *
 * NULL for a bus is HL_INVALID to start, stop, hl_bus_housekeep, and to what declares, subscribes,
 * opens or adds something to it. Elsewhere a handle, a name or an out parameter is not NULL, unless
 * the call says what that means: nobody looks, as nobody looks whether a handle was closed.
 */
#ifndef HOTLANE_BUS_H
#define HOTLANE_BUS_H

#include <stdio.h>

#include <hotlane/stats.h>

/* What a partition's thread turns; see hl_executor_turn. */
typedef struct hl_executor hl_executor;

/* What a stop left behind. */
typedef enum hl_left_kind {
    HL_LEFT_LANE = 0,     /* "order/critical": events unread, or claimed and never committed */
    HL_LEFT_SUBSCRIPTION, /* events that waited for it: in a batch or queue, for a retry, held */
    HL_LEFT_HANDLER       /* "strategy on order+fill": it still runs */
} hl_left_kind;

typedef struct hl_stop_left {
    hl_left_kind kind;
    uint64_t events; /* 0: of HL_LEFT_HANDLER */
    char name[136];
} hl_stop_left;

#define HL_STOP_LEFT_MAX 16u

/* What a stop found. */
typedef struct hl_stop_report {
    bool is_final;         /* the bus is stopped; false: a handler still runs, or the stop does */
    bool drained;          /* every lane ran empty before the deadline */
    uint64_t abandoned;    /* events left in lanes, or claimed and never committed */
    uint64_t elapsed_ns;   /* what the stop took */
    hl_error conservation; /* HL_OK, or the sum that fails; HL_WRONG_STATE: it cannot be said yet */
    uint32_t left_count;   /* all that was left, of which `left` names the first */
    hl_stop_left left[HL_STOP_LEFT_MAX];
} hl_stop_report;

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Checks the configuration (NULL: defaults), reads the machine's topology, makes the plan and the
 * partitions. No thread starts. HL_OK: `ret_bus` is the caller's, hl_bus_destroy. HL_INVALID,
 * HL_NO_MEMORY, HL_SYSTEM with a sentence; HL_BAD_INPUT, HL_UNSUPPORTED: the journal's keys that
 * the environment names (hl_journal_keys_load). Any thread.
 */
HL_API hl_status hl_bus_create(const hl_config *config, hl_bus **ret_bus, hl_error *error);

/*
 * Starts the planned threads and waits until each is where it should be. In HL_THREADS_MANUAL it
 * opens the bus to hl_executor_turn. Any thread. The sentence: hl_bus_error.
 * - HL_OK
 * - HL_WRONG_STATE: it was started before: once is all; one that runs goes on.
 * - HL_SYSTEM: a thread could not be started or pinned; HL_NO_MEMORY. None is left running.
 */
HL_API hl_status hl_bus_start(hl_bus *bus);

/*
 * Stops: closes the publishers from outside (HL_CLOSED), lets what is on its way and what handlers
 * still cause pass until all lanes are empty and stay so, or `timeout_ns` is over; ends the
 * threads; counts what is left as abandoned; checks the sums. In HL_THREADS_MANUAL the caller's
 * thread turns the executors meanwhile; no other thread may.
 * - HL_OK: all passed and the sums hold.
 * - HL_TIMEOUT: something was left, and is counted as abandoned; or a handler still runs: stop
 *   again when it has ended. The sentence names the first of what was left, hl_bus_stop_report all.
 * - HL_NOT_CONSERVED: a sum fails; hl_bus_error and hl_bus_stop_report have the line.
 * - HL_WRONG_STATE: not started, stopped before, or another thread is stopping it.
 * - HL_WRONG_THREAD: called from a handler.
 * - HL_DETACHED: in a fork's child.
 */
HL_API hl_status hl_bus_stop(hl_bus *bus, uint64_t timeout_ns);

/*
 * Has an hl_bus_stop, of another thread or the next one, end at once: what is not through is left
 * (HL_TIMEOUT), a handler that runs gets a tenth of a second. Any thread, a handler, and a signal
 * handler (it is async-signal-safe). NULL is nothing: a signal may come before there is a bus.
 */
HL_API void hl_bus_stop_now(hl_bus *bus);

/* What the stop found; of a bus that is not stopped yet, what would be left if it were now
 * (is_final says which). Any thread. HL_WRONG_STATE: the bus was not started; HL_DETACHED: in
 * a fork's child. */
HL_API hl_status hl_bus_stop_report(const hl_bus *bus, hl_stop_report *ret_report);

/* Frees everything, subscriptions and publishers that are still open too; stops first (without a
 * drain) when running. No other thread may use the bus any more. NULL is nothing. */
HL_API void hl_bus_destroy(hl_bus *bus);

/* The sentence of the last control call on this bus that failed (publishing, and reading counters,
 * leaves it as it is). Any thread. */
HL_API void hl_bus_error(hl_bus *bus, hl_error *ret_error);

/* The bus clock, ns since the epoch. Any thread. */
HL_API uint64_t hl_bus_now_ns(const hl_bus *bus);

/* Prints the plan in force: each thread, its CPU, its wait, why; the memory's fallbacks; warnings.
 * Any thread. */
HL_API void hl_bus_print_plan(const hl_bus *bus, FILE *stream);

/* The CPU that the plan proposes for a publisher named in the configuration. HL_OK; HL_NOT_FOUND:
 * it names none so, or there is no plan (HL_THREADS_MANUAL). Any thread. */
HL_API hl_status hl_bus_publisher_cpu(const hl_bus *bus, const char *name, uint32_t *ret_cpu);

/* Pins the calling thread to one CPU (its number as the OS has it) and makes sure that it is there.
 * HL_OK; HL_INVALID: no such CPU, or it is not allowed here; HL_SYSTEM. */
HL_API hl_status hl_pin_to_cpu(uint32_t cpu, hl_error *error);

/*
 * Executors, for an application that owns its threads (HL_THREADS_MANUAL): one per partition, in
 * the order of the partition numbers, then one per worker, and one for taps. hl_executor_turn takes
 * what is there, highest lane first (at most `max_events`; 0: five looks a partition), dispatches
 * it, serves what is due, never blocks, and returns how many events it dispatched. One thread at a
 * time an executor; between turns it may be another one. 0 at once before start, after stop, and
 * from inside a handler.
 */
HL_API uint32_t hl_bus_executor_count(const hl_bus *bus);
HL_API hl_executor *hl_bus_executor(hl_bus *bus, uint32_t index);
HL_API uint32_t hl_executor_turn(hl_executor *executor, uint32_t max_events);

#ifdef __cplusplus
}
#endif
#endif
