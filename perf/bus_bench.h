/*
 * A bus made for one measurement: domains that spin with small rings, partitions on the consumer's
 * CPU or turned by the scenario's own threads, a publisher, and the checks at the end.
 *
 *     perf_bus bus;
 *     status = perf_bus_open(&(perf_bus_options){.cores = cores, .wait = HL_WAIT_SPIN}, &bus,
 * error);
 *     ... hl_topic_declare(bus.bus, ...), hl_subscribe(...)
 *     status = perf_bus_start(&bus, error);            // from here bus.publisher may be used
 *     ... run threads ...
 *     status = perf_bus_close(&bus, status, error);    // drains, checks the sums
 */
#ifndef HL_PERF_BUS_BENCH_H
#define HL_PERF_BUS_BENCH_H

#include <hotlane/hotlane.h>

#include "perf/cores.h"

#define PERF_BUS_DOMAINS_MAX   2u
#define PERF_BUS_PAYLOAD_BYTES 64u /* behind the header of 64: slots of 128 */
#define PERF_BUS_RING_SLOTS    4096u
#define PERF_BUS_STOP_NS       (10 * HL_SECOND)
#define PERF_BUS_DRAIN_NS      5e9 /* how long a sender waits for what it sent to be handled */

typedef struct perf_bus_options {
    const perf_cores *cores;
    hl_wait wait;     /* of the executors that the bus runs */
    bool manual;      /* the scenario's threads turn the executors, one for each domain, in order */
    uint32_t workers; /* with `manual`: their executors, and one for taps, follow the domains' */
    const hl_ladder_options *ladder; /* NULL: as it is by default */
    uint32_t conflate_keys;          /* of the NORMAL lane of "market_data"; 0: it is a ring */
    uint32_t retry_events;           /* 0: the default */
    bool two_domains;        /* "market_data", whose handlers may publish to it, and "order" */
    const char *journal_dir; /* NULL: no journal; and then of all domains: */
    hl_durability durability;
    uint32_t journal_slots; /* 0: the default */
    bool journal_io_uring;
    bool beside_publisher; /* the executor is on the publisher's CPU, the journal's threads on the
                              consumer's: where there are no more CPUs than two */
} perf_bus_options;

typedef struct perf_bus {
    hl_bus *bus;
    hl_publisher *publisher; /* exclusive; every domain */
} perf_bus;

/* With `manual` false the one executor is on the consumer's CPU, the housekeeper on its own
 * (cores.h). On an error nothing is left. */
hl_status perf_bus_open(const perf_bus_options *options, perf_bus *ret_bus, hl_error *error);

/* Opens the publisher and starts. */
hl_status perf_bus_start(perf_bus *bus, hl_error *error);

/* Another publisher like that, for another thread. */
hl_status perf_bus_publisher(const perf_bus *bus, const char *name, hl_publisher **ret_publisher,
                             hl_error *error);

/* Stops, drains, checks conservation, frees. `status`: how it went so far; the first failure is the
 * answer, and `error` is left to it. ret_lanes: what all lanes of "market_data" counted; NULL: it
 * is not asked. */
hl_status perf_bus_close(perf_bus *bus, hl_status status, hl_lane_stats *ret_lanes,
                         hl_error *error);

/* The bus's own sentence about a call that failed. */
hl_status perf_bus_error(const perf_bus *bus, hl_status status, hl_error *error);

/* The sentence of a claim that was answered so. */
hl_status perf_bus_publish_error(hl_status status, hl_error *error);

/* Declares a topic (options NULL: the domain's defaults). */
hl_status perf_bus_topic(const perf_bus *bus, const char *name, const hl_topic_options *options,
                         hl_topic *ret_topic, hl_error *error);
hl_status perf_bus_subscribe(const perf_bus *bus, const char *pattern, hl_handler handler,
                             void *context, hl_error *error);

#endif
