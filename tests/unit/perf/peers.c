#include <criterion/criterion.h>
#include <string.h>

#include "base/error.h"
#include "perf/peers/driver.h"
#include "perf/peers/peers.h"

/* ---- queues that are not what they should be ---- */

/* Sent before the producer first looks at the time, however busy the machine. */
#define FAULTY 100u

/* Of one producer and the consumer, each for itself behind a lock: right, but for `fault`. */
typedef enum fault { NO_FAULT, LOSES, DAMAGES, SWAPS, NEVER_HAS_ROOM } fault;

static fault fault_wanted;

typedef struct locked_queue {
    uint32_t lock;
    uint64_t sent, received;
    peer_message slots[PEER_SLOTS];
} locked_queue;

static void lock(locked_queue *queue)
{
    uint32_t expected = 0;
    while (!hl_compare_exchange_acq_rel_u32(&queue->lock, &expected, 1))
        expected = 0;
}

static void unlock(locked_queue *queue)
{
    hl_store_release_u32(&queue->lock, 0);
}

static void *locked_create(void)
{
    return hl_allocate(1, sizeof(locked_queue));
}

#define locked_destroy free

static void put(locked_queue *queue, uint64_t number)
{
    peer_message *const slot = &queue->slots[queue->sent % PEER_SLOTS];
    const bool faulty = number == FAULTY;
    if (fault_wanted == LOSES && faulty)
        return;
    peer_fill(slot->payload, number);
    if (fault_wanted == DAMAGES && faulty)
        slot->payload[7]++;
    if (fault_wanted == SWAPS && (number == FAULTY || number == FAULTY + 1))
        peer_fill(slot->payload, 2 * FAULTY + 1 - number);
    queue->sent++;
}

static uint32_t locked_send(void *memory, uint32_t producer, uint32_t n, uint64_t number)
{
    (void)producer;
    locked_queue *const queue = memory;
    if (fault_wanted == NEVER_HAS_ROOM)
        return 0;
    lock(queue);
    uint32_t done = 0;
    for (; done < n && queue->sent - queue->received < PEER_SLOTS; done++)
        put(queue, number + done);
    unlock(queue);
    return done;
}

static uint32_t locked_receive(void *memory, uint32_t n, peer_inbox *inbox)
{
    locked_queue *const queue = memory;
    lock(queue);
    uint32_t done = 0;
    for (; done < n && queue->received < queue->sent; done++)
        peer_take(inbox, queue->slots[queue->received++ % PEER_SLOTS].payload);
    unlock(queue);
    return done;
}

extern const peer_queue locked;
PEER_QUEUE(locked, locked)

static hl_status measure(const peer_queue *queue, peer_shape shape, uint32_t run,
                         double *ret_values, hl_error *error)
{
    perf_timer timer;
    perf_cores cores;
    perf_timer_init(&timer);
    cr_assert_eq(perf_cores_choose(NULL, &cores, error), HL_OK);
    const peer_work work = {&timer, &cores, 0.02, shape, run, 1};
    return peer_measure(queue, &work, ret_values, error);
}

static hl_status measure_faulty(fault wanted, double *ret_values, hl_error *error)
{
    fault_wanted = wanted;
    return measure(&locked, PEER_SPSC, 8, ret_values, error);
}

Test(peers, a_queue_that_is_right_passes)
{
    double values[PEER_VALUES];
    hl_error error;
    cr_assert_eq(measure_faulty(NO_FAULT, values, &error), HL_OK);
    cr_assert_gt(values[PEER_FIGURE], 0);
    cr_assert_eq(values[PEER_DISORDERED], 0);
}

Test(peers, a_lost_message_is_found)
{
    double values[PEER_VALUES];
    hl_error error;
    cr_assert_eq(measure_faulty(LOSES, values, &error), HL_NOT_CONSERVED);
    cr_assert_not_null(strstr(error.text, "came"), "%s", error.text);
}

Test(peers, a_damaged_message_is_found)
{
    double values[PEER_VALUES];
    hl_error error;
    cr_assert_eq(measure_faulty(DAMAGES, values, &error), HL_NOT_CONSERVED);
    cr_assert_str_eq(error.text, "1 messages came damaged");
}

Test(peers, messages_that_pass_each_other_are_counted)
{
    double values[PEER_VALUES];
    hl_error error;
    cr_assert_eq(measure_faulty(SWAPS, values, &error), HL_OK);
    cr_assert_eq(values[PEER_DISORDERED], 2);
}

Test(peers, a_producer_that_never_has_room_gives_up)
{
    double values[PEER_VALUES];
    hl_error error;
    cr_assert_eq(measure_faulty(NEVER_HAS_ROOM, values, &error), HL_TIMEOUT);
}

Test(peers, an_asker_whose_message_is_lost_gives_up)
{
    double values[PEER_VALUES];
    hl_error error;
    fault_wanted = LOSES;
    cr_assert_eq(measure(&locked, PEER_ROUND_TRIP, 1, values, &error), HL_TIMEOUT);
    cr_assert_not_null(strstr(error.text, "no answer"), "%s", error.text);
}

static uint32_t tries_without_room;

static uint32_t send_at_the_look(void *queue, uint32_t producer, uint32_t n, uint64_t number)
{
    (void)queue, (void)producer, (void)number;
    return ++tries_without_room == PEER_TRIES_BEFORE_LOOK ? n : 0;
}

Test(peers, room_at_the_last_try_is_no_reason_to_give_up)
{
    static perf_timer timer; /* a patience of no time */
    const peer_work work = {.timer = &timer};
    const peer_bench bench = {.work = &work};
    peer_producer producer = {.bench = (peer_bench *)(uintptr_t)&bench};
    uint32_t tries = 0;
    cr_assert_eq(peer_send_late(&producer, 3, 0, send_at_the_look, &tries), 3);
    cr_assert_not(producer.gave_up);
}

/* ---- queues that are there everywhere ---- */

static void assert_passes(const peer_queue *queue, peer_shape shape, uint32_t run)
{
    double values[PEER_VALUES];
    hl_error error = {.text = ""};
    cr_assert_eq(measure(queue, shape, run, values, &error), HL_OK, "%s", error.text);
    cr_assert_gt(values[PEER_FIGURE], 0);
    cr_assert_eq(values[PEER_DISORDERED], 0);
}

Test(peers, hotlane_and_ck_ring_lose_nothing)
{
    const peer_queue *const one[] = {&peer_hotlane_spsc, &peer_ck_spsc, &peer_ck_pointers_spsc};
    const peer_queue *const many[] = {&peer_hotlane_mpsc, &peer_ck_mpsc, &peer_ck_pointers_mpsc};
    for (size_t i = 0; i < 3; i++) {
        assert_passes(one[i], PEER_SPSC, 1);
        assert_passes(one[i], PEER_SPSC, PEER_RUN_MAX);
        assert_passes(one[i], PEER_ROUND_TRIP, 1);
        assert_passes(many[i], PEER_MPSC_2P, 1);
        assert_passes(many[i], PEER_MPSC_3ON2, 1);
    }
}

/* ---- the table ---- */

static void add(perf_result *result, const char *name, const char *unit, double median)
{
    perf_row row = {.figure = {median - 1, median, median + 2, 5}, .times_floor = median / 200};
    snprintf(row.name, sizeof row.name, "%s", name);
    snprintf(row.unit, sizeof row.unit, "%s", unit);
    perf_result_add(result, &row);
}

static perf_result *some_result(void)
{
    static const perf_environment environment;
    static const perf_floor floor;
    perf_result *const result = perf_result_create("peers", &environment, &floor);
    add(result, "spsc_128_4096_single.hotlane", "msgs_per_s", 100);
    add(result, "spsc_128_4096_single.hotlane.full", "percent", 50);
    add(result, "spsc_128_4096_single.ck_ring", "msgs_per_s", 20);
    add(result, "round_trip_128.hotlane", "ns_p50", 300);
    add(result, "round_trip_128.hotlane", "ns_p99", 400);
    add(result, "round_trip_128.ck_ring", "ns_p50", 500);
    add(result, "round_trip_128.ck_ring", "ns_p99", 900);
    add(result, "bus_128_single.hotlane", "msgs_per_s", 80);
    return result;
}

static const json_t *row_of(const json_t *object, const char *name, const char *unit)
{
    size_t index;
    const json_t *row;
    json_array_foreach(
        json_object_get(object, "rows"), index,
        row) if (strcmp(json_string_value(json_object_get(row, "case")), name) == 0 &&
                 strcmp(json_string_value(json_object_get(row, "unit")), unit) == 0) return row;
    return NULL;
}

static double figure(const json_t *row, const char *member)
{
    return json_real_value(json_object_get(row, member));
}

static double ck_ring_of(const json_t *row)
{
    return figure(json_object_get(row, "peers"), "ck_ring");
}

Test(peers, a_row_of_json_has_ours_and_theirs)
{
    perf_result *const result = some_result();
    json_t *const object = perf_peers_json(result);
    cr_assert_eq(json_array_size(json_object_get(object, "rows")), 4);
    const json_t *const row = row_of(object, "spsc_128_4096_single", "msgs_per_s");
    cr_assert_eq(figure(row, "hotlane"), 100);
    cr_assert_eq(figure(row, "hotlane_min"), 99);
    cr_assert_eq(figure(row, "hotlane_max"), 102);
    cr_assert_eq(ck_ring_of(row), 20);
    cr_assert_eq(figure(json_object_get(row, "full"), "hotlane"), 50);
    cr_assert_null(json_object_get(json_object_get(row, "full"), "ck_ring"));
    cr_assert_eq(figure(json_object_get(row, "times_floor"), "hotlane"), 0.5);
    cr_assert_eq(figure(json_object_get(row, "times_floor"), "ck_ring"), 0.1);
    cr_assert_not_null(json_object_get(object, "environment"));
    cr_assert_not_null(json_object_get(object, "floor"));
    json_decref(object);
    perf_result_destroy(result);
}

Test(peers, a_case_of_two_figures_is_two_rows)
{
    perf_result *const result = some_result();
    json_t *const object = perf_peers_json(result);
    cr_assert_eq(ck_ring_of(row_of(object, "round_trip_128", "ns_p50")), 500);
    cr_assert_eq(ck_ring_of(row_of(object, "round_trip_128_p99", "ns_p99")), 900);
    json_decref(object);
    perf_result_destroy(result);
}

Test(peers, the_whole_bus_stands_beside_the_bare_rings)
{
    perf_result *const result = some_result();
    json_t *const object = perf_peers_json(result);
    const json_t *const row = row_of(object, "bus_128_single", "msgs_per_s");
    cr_assert_eq(figure(row, "hotlane"), 80);
    cr_assert_eq(ck_ring_of(row), 20);
    json_decref(object);
    perf_result_destroy(result);
}

Test(peers, the_table_shows_the_ratio)
{
    perf_result *const result = some_result();
    char *text = NULL;
    size_t size = 0;
    FILE *const stream = open_memstream(&text, &size);
    perf_peers_print(result, stream);
    fclose(stream);
    cr_assert_not_null(strstr(text, "5.00"), "%s", text);          /* 100 by 20 */
    cr_assert_not_null(strstr(text, "4.00"), "%s", text);          /* the bus's 80 by 20 */
    cr_assert_not_null(strstr(text, "5.00    0.10 "), "%s", text); /* beside 20 by the floor */
    free(text);
    perf_result_destroy(result);
}
