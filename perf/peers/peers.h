/*
 * hotlane beside the peers that Debian packages: the same messages, the same checks, the same two
 * CPUs, taking turns in one run. Before the measuring, each finds out in short looks how long it
 * best pauses between two tries, so that every queue is met at its best.
 *
 *     perf_result *result;
 *     if (perf_scenario_run(&perf_peers_scenario, &options, &result, &error) == HL_OK)
 *         perf_peers_print(result, stdout);
 *     perf_result_destroy(result);
 *
 * The result's rows are named CASE.QUEUE, with what else was seen of it CASE.QUEUE.METRIC.
 */
#ifndef HL_PERF_PEERS_PEERS_H
#define HL_PERF_PEERS_PEERS_H

#include "perf/scenario.h"

/* A peer that is not there is named in the result's notes, with its Debian package. */
extern const perf_scenario perf_peers_scenario;

/* Environment, floor, a line for each peer in each case with both figures and their ratio, notes.
 */
void perf_peers_print(const perf_result *result, FILE *stream);

/*
 * {"scenario": "peers", "environment": {...}, "floor": {...}, "notes": ["..."], "rows": [{"case",
 * "unit", "hotlane": median, "hotlane_min", "hotlane_max", "peers": {NAME: median, ...},
 * "peers_min": {...}, "peers_max": {...}, "times_floor": {NAME: the median by that of the floor of
 * this run, a round trip of two lines or the stream copy}, "full": {NAME: per cent of the
 * producers' time, ...}, "empty": {... of the consumer's}, "pauses": {... between two tries}}]}.
 * Cases are unique: a round trip's p99 is one of its own, CASE_p99. A new object; the caller's.
 */
json_t *perf_peers_json(const perf_result *result);

#endif
