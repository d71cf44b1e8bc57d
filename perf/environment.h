/*
 * Where and with what a figure was measured; it is printed beside every figure, for a figure alone
 * means nothing.
 */
#ifndef HL_PERF_ENVIRONMENT_H
#define HL_PERF_ENVIRONMENT_H

#include <stdio.h>

#include <jansson.h>

#include "perf/cores.h"

typedef struct perf_environment {
    perf_cores cores;
    char cpu[128];           /* model */
    bool virtual_machine;    /* the CPU says that a hypervisor runs it */
    char kernel[256];        /* release and build */
    char command_line[2048]; /* the kernel's; empty: not readable */
    char governor[64];       /* of the two CPUs; "none shown" without cpufreq */
    char scheduler[32];      /* of the harness and the threads it starts, as "SCHED_FIFO 50" */
    char compiler[64];
    char flags[256];
    char library[32];     /* hotlane's version */
    char started[32];     /* UTC */
    double load_1min;     /* threads that wanted to run when the measurement began; ours excluded */
    double steal_percent; /* of the time of the two CPUs, taken by the hypervisor; -1: not shown */
    /* /proc/stat of the two when it began, in ticks */
    uint64_t stolen_ticks;
    uint64_t total_ticks;
} perf_environment;

/* HL_OK; HL_UNSUPPORTED with a sentence in a build whose figures would mean nothing: not optimised,
 * or for debugging (-Og), with sanitizers, or with the rings' owner checks. */
hl_status perf_environment_refuse_debug(hl_error *error);

/* Reads it and starts the count of stolen time. What the system does not show is left empty or
 * says so. */
void perf_environment_begin(const perf_cores *cores, perf_environment *ret_environment);

/* Ends the count: steal_percent. */
void perf_environment_end(perf_environment *environment);

void perf_environment_print(const perf_environment *environment, FILE *stream);

/* A new object; the caller's. */
json_t *perf_environment_json(const perf_environment *environment);

#endif
