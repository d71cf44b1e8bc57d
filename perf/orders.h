/*
 * Orders beside other load: one loop sends them on a schedule of 10,000 a second and does the
 * load's work while none is due; their handler records how long after its intended time each was
 * handled.
 *
 *     status = perf_orders_declare(&orders, &bus, "order.new", &error);
 *     ...
 *     perf_orders_send(&orders, pass_time, self);          // on the sender's thread
 *
 * within what perf_orders_measure runs. The sender's thread and the handler's each write their own
 * part.
 */
#ifndef HL_PERF_ORDERS_H
#define HL_PERF_ORDERS_H

#include "base/allocate.h"
#include "perf/bus_bench.h"
#include "perf/latency.h"

typedef enum perf_orders_value {
    PERF_ORDERS_P50,
    PERF_ORDERS_P99,
    PERF_ORDERS_P999,
    PERF_ORDERS_MAX,
    PERF_ORDERS_VALUES
} perf_orders_value;

typedef struct perf_orders {
    const perf_bus *bus;
    hl_topic topic;
    double seconds;
    hl_executor *turned; /* theirs, which the sender's thread turns when a lane is full, and in
                            pass_time; NULL: the bus does */
    /* The handler's. */
    alignas(HL_LINE_PAIR) perf_latency latency;
    uint64_t handled; /* read by the sender, relaxed: a number */
    uint64_t wrong;
    /* The sender's. */
    alignas(HL_LINE_PAIR) perf_schedule schedule;
    uint64_t sent;
    hl_status failed;
} perf_orders;

/* Declares the topic, CRITICAL, and subscribes the handler that records. */
hl_status perf_orders_declare(perf_orders *orders, const perf_bus *bus, const char *topic,
                              hl_error *error);

/* Sends some unrecorded orders and, when they are handled, those of the schedule. pass_time is
 * called again and again while none is due, and is to be short: the next order waits for it. */
void perf_orders_send(perf_orders *orders, void (*pass_time)(void *context), void *context);

/*
 * Begins `orders` anew, calls run_half, which makes, runs and stops a bus with them, and checks
 * that each order came, once and in its order. HL_OK: ret_values has PERF_ORDERS_VALUES of them,
 * and the run's result the whole distribution under that name.
 */
hl_status perf_orders_measure(perf_orders *orders, const perf_run *run, const char *distribution,
                              hl_status (*run_half)(void *context, hl_error *error), void *context,
                              double *ret_values, hl_error *error);

#endif
