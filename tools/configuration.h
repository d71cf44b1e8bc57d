/*
 * A configuration file as a subcommand's `--config` names it. One rule for all of them: what cannot
 * be used as it was given (a file that is not there or malformed, a value out of range, a placement
 * that this machine does not have) is HL_INVALID, wrong usage, with a sentence that has its place
 * where a file has one.
 */
#ifndef HL_TOOLS_CONFIGURATION_H
#define HL_TOOLS_CONFIGURATION_H

#include <hotlane/config.h>

/* hl_config_load. HL_OK: *ret_config is the caller's, hl_config_free. HL_INVALID, HL_NO_MEMORY;
 * HL_UNSUPPORTED: a build without YAML. */
hl_status configuration_load(const char *path, hl_config **ret_config, hl_error *error);

/* Puts file:line:column before a sentence of HL_INVALID that begins with a field of the file; else
 * nothing. `path` NULL: nothing. */
void configuration_place(const char *path, hl_error *error);

#endif
