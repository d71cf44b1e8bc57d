/*
 * Places in a configuration file, for what is found wrong only after it was loaded: a placement by
 * hand that this machine cannot give.
 */
#ifndef HL_CONFIG_YAML_H
#define HL_CONFIG_YAML_H

#include <hotlane/config.h>

/* Fills `error` with `file:line:column: sentence`, the place being that of `field` ("lcores") in
 * the file, or of what is nearest above it; of a pipe, which cannot be read again, `file:
 * sentence`. HL_BAD_INPUT; another status when the file cannot be read again, or (HL_UNSUPPORTED)
 * in a build without libcyaml. */
hl_status hl_config_file_error(const char *path, const char *field, const char *sentence,
                               hl_error *error);

#endif
