/*
 * Moments as an operator writes them, and as the commands' options --from and --to take them.
 */
#ifndef HL_TOOLS_MOMENT_H
#define HL_TOOLS_MOMENT_H

#include <stdbool.h>
#include <stdint.h>

/* "2026-11-21", "2026-11-21T10:28" (or a blank for the T), with ":30", ".5" and a closing Z (all
 * UTC), or ns since the epoch. *ret_ns: ns since the epoch; with `end` the last ns of the day,
 * minute or second that is named without more. False: it is none of these, or out of range. */
bool moment_parse(const char *text, bool end, uint64_t *ret_ns);

#endif
