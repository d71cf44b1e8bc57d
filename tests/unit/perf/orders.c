#include <criterion/criterion.h>

#include "base/error.h"
#include "perf/orders.h"

#define CALLS_A_TURN 64u /* some are left in the lane wherever one looks */

/* All on the test's thread: it sends, and turns their partition now and then. */
typedef struct bench {
    perf_run run;
    perf_options options;
    perf_bus bus;
    perf_orders orders;
    hl_executor *executor;
    uint32_t calls;
    uint64_t warm_up; /* orders sent before the schedule began */
    uint64_t left;    /* of them not handled when it had begun; UINT64_MAX: it has not */
} bench;

static void pass_time(void *context)
{
    bench *const self = context;
    const perf_orders *const orders = &self->orders;
    if (orders->schedule.start == 0)
        self->warm_up = orders->sent;
    else if (self->left == UINT64_MAX)
        self->left = orders->handled < self->warm_up ? self->warm_up - orders->handled : 0;
    if (++self->calls % CALLS_A_TURN == 0)
        hl_executor_turn(self->executor, 0);
}

static hl_status run_half(void *context, hl_error *error)
{
    bench *const self = context;
    const perf_bus_options options = {
        .cores = &self->run.cores, .wait = HL_WAIT_SPIN, .manual = true};
    hl_status status = perf_bus_open(&options, &self->bus, error);
    cr_assert_eq(status, HL_OK, "%s", error->text);
    status = perf_orders_declare(&self->orders, &self->bus, "market_data.order", error);
    if (status == HL_OK)
        status = perf_bus_start(&self->bus, error);
    if (status == HL_OK) {
        self->executor = hl_bus_executor(self->bus.bus, 0);
        self->orders.turned = self->executor;
        perf_orders_send(&self->orders, pass_time, self);
    }
    return perf_bus_close(&self->bus, status, NULL, error);
}

Test(perf_orders, the_schedule_begins_when_the_warm_up_is_handled)
{
    static bench self = {.run = {NULL}, .options = PERF_OPTIONS_INIT, .left = UINT64_MAX};
    static const perf_environment environment;
    static const perf_floor floor;
    double values[PERF_ORDERS_VALUES];
    hl_error error = {.text = ""};
    self.options.seconds = 0.02;
    self.run.options = &self.options;
    perf_timer_init(&self.run.timer);
    cr_assert_eq(perf_cores_choose(NULL, &self.run.cores, &error), HL_OK, "%s", error.text);
    self.run.result = perf_result_create("orders", &environment, &floor);
    const hl_status status =
        perf_orders_measure(&self.orders, &self.run, "orders", run_half, &self, values, &error);
    cr_assert_eq(status, HL_OK, "%s", error.text);
    cr_assert_eq(self.left, 0);
    cr_assert_geq(hl_histogram_count(self.run.result->distributions[0].ns), 200);
    perf_result_destroy(self.run.result);
}
