/*
 * What is wrong with a configuration, with the place apart from the sentence, so that the reader of
 * a file can give it a line and a column. Pure function; any thread.
 */
#ifndef HL_CONFIG_DEFECT_H
#define HL_CONFIG_DEFECT_H

#include <stdbool.h>

#include <hotlane/config.h>

typedef struct hl_config_defect {
    char path[64];  /* "domains[2].slot_size_bytes": the names of the struct and of the file */
    char text[384]; /* "100 is not a multiple of 64: use 128" */
} hl_config_defect;

/* Whether something is wrong; `ret_defect` is then the first defect. */
bool hl_config_find_defect(const hl_config *config, hl_config_defect *ret_defect);

#endif
