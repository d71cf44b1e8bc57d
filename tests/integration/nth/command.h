/*
 * Between the scenario of the command and the shim in the command.
 */
#ifndef HL_TEST_NTH_COMMAND_H
#define HL_TEST_NTH_COMMAND_H

#include <stdint.h>

#include "shim.h"

#define NTH_ENV_KIND   "NTH_KIND"   /* nth_kind, a number */
#define NTH_ENV_N      "NTH_N"      /* 0: none fails */
#define NTH_ENV_RESULT "NTH_RESULT" /* the file for what follows */

typedef struct nth_result {
    uint64_t calls[NTH_KINDS], fired;
    uint64_t blocks, mapped_bytes; /* not given back at exit */
} nth_result;

#endif
