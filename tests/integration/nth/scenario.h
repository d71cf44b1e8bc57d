/*
 * What a scenario of the n-th failures is: a piece of an application's life, in a process of its
 * own, in which any one call may fail. It says what is broken and ends.
 */
#ifndef HL_TEST_NTH_SCENARIO_H
#define HL_TEST_NTH_SCENARIO_H

#include <hotlane/hotlane.h>

#include "shim.h"

typedef struct nth_run {
    nth_kind kind;
    uint64_t n;
    const char *directory; /* empty, its own */
    const char *recorded;  /* with a journal and dead letters of a process that was killed */
    bool harmed;           /* something has answered that it could not be done */
    /* Of a scenario whose calls are another process's, by that one's shim. */
    bool is_apart;
    bool fired;
    uint64_t calls[NTH_KINDS];
} nth_run;

typedef struct nth_scenario {
    const char *name;
    void (*play)(nth_run *run); /* arms the shim where its first failure may come */
    uint32_t sample;            /* calls of a kind that are tried in a short test */
    bool is_recovery;           /* it begins with what a process left that was killed */
} nth_scenario;

/* The demand that does not hold; ends the process. */
void nth_broken(const nth_run *run, const char *format, ...)
    __attribute__((noreturn, format(printf, 2, 3)));

/* What a call of the control plane answered. HL_OK: true. Else it is harmed: the sentence must be
 * there, and nothing that could not happen without the failure. */
bool nth_answered(nth_run *run, const char *call, hl_status status, const char *sentence);

extern const nth_scenario nth_scenarios[];
extern const uint32_t nth_scenario_count;

/* `hotlane run`; only where the build has it. */
void nth_play_command(nth_run *run);

/* Leaves a journal and dead letters in the directory, and does not close them. */
void nth_record(const char *directory);

#endif
