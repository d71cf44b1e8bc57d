/*
 * The pace of a replay as it is written on a command line: "max", or "1x", "10x", "0.5x".
 */
#ifndef HL_TOOLS_SPEED_H
#define HL_TOOLS_SPEED_H

#include <stdbool.h>

/* 0: as fast as possible. False: it is none. */
bool speed_parse(const char *text, double *ret_speed);

#endif
