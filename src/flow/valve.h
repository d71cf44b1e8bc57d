/*
 * The valve of a partition: what its stage of the ladder does to events that lie in its lanes.
 * State topics are sampled (sampler.h), expendable ones shed; it is in the partition's way
 * (intake.h) only as long as there is something to do.
 *
 * The control plane and the housekeeper say what is wanted; the partition's thread takes it over by
 * a command. When sampling ends, windows that are open close in their time, and newer events of
 * their keys still go into them: so that no older one comes after a newer.
 *
 *   WANTED  wanted_stage, wanted_always: stored before `asked` is exchanged (acq_rel); the
 *           partition's thread exchanges it (acq_rel) and then loads them.
 *   SAMPLER samplers[n]: the control plane stores one before the topic that uses it has a route;
 *           ROUTE (route.h) makes it seen.
 */
#ifndef HL_FLOW_VALVE_H
#define HL_FLOW_VALVE_H

#include "bus/bus.h"
#include "bus/intake.h"
#include "flow/ladder.h"
#include "flow/sampler.h"
#include "flow/token_bucket.h"

#define HL_VALVE_WINDOWS 8 /* different lengths in one partition */
#define HL_NO_WINDOW     UINT32_MAX

struct hl_topic_flow {
    alignas(128) hl_token_bucket limit; /* of all its publishers; they write it */
    alignas(128) uint32_t window;       /* which of the samplers; HL_NO_WINDOW: never sampled */
    bool always;                        /* sampled at every stage */
};

typedef struct hl_valve {
    hl_intake intake; /* first: partition->intake */
    hl_partition *partition;
    uint32_t closes_per_look;
    /* Under the bus's lock. */
    uint64_t windows_ns[HL_VALVE_WINDOWS];
    uint32_t window_count;
    hl_sampler *samplers[HL_VALVE_WINDOWS]; /* SAMPLER */
    /* The partition's thread writes. */
    alignas(128) hl_due due; /* open while a window is */
    hl_stage stage;
    bool always;                     /* a topic is always sampled */
    uint32_t used;                   /* samplers with open windows, a bit each */
    uint32_t waiting[HL_PRIORITIES]; /* values in them */
    uint64_t opened;                 /* windows; others read */
    uint64_t windowless;             /* events for which there was none; others read */
    /* Others write. */
    alignas(128) hl_stage wanted_stage; /* WANTED */
    uint32_t wanted_always;             /* WANTED */
    uint64_t asked;                     /* WANTED: the command is on its way */
    hl_call call;
} hl_valve;

void hl_valve_init(hl_valve *valve, hl_partition *partition, uint32_t closes_per_look);
void hl_valve_free(hl_valve *valve);

/*
 * The sampler for windows of this length, made when there is none yet. Under the bus's lock. HL_OK,
 * HL_LIMIT: there are HL_VALVE_WINDOWS others; HL_NO_MEMORY, each with a sentence.
 */
hl_status hl_valve_window(hl_valve *valve, uint64_t window_ns, uint32_t *ret_window,
                          hl_error *error);

/* Has the partition's thread go over to a stage, before it dispatches what is published from now
 * on. Any thread. */
void hl_valve_set_stage(hl_valve *valve, hl_stage stage);

/* A topic that is always sampled is going to be there. Any thread. */
void hl_valve_set_always(hl_valve *valve);

#endif
