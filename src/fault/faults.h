/*
 * What hangs in a bus so that its handlers may fail: a ward for each partition, and the guards of
 * its subscriptions.
 */
#ifndef HL_FAULT_FAULTS_H
#define HL_FAULT_FAULTS_H

#include "bus/part.h"

extern const hl_part hl_faults_part;

#endif
