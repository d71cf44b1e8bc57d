/*
 * Topic names and patterns, as NATS has them: tokens split by '.', in a pattern `*` stands for one
 * token and a closing `>` for one or more. Pure functions on text, used when a topic or a
 * subscription is made, never for an event.
 */
#ifndef HL_BUS_PATTERN_H
#define HL_BUS_PATTERN_H

#include <stdbool.h>
#include <stddef.h>

#define HL_NAME_MAX 255

/* NULL: `name` is a topic name; else what is wrong with it, static text. */
const char *hl_name_defect(const char *name);

/* NULL: `pattern` is a pattern; else what is wrong with it, static text. */
const char *hl_pattern_defect(const char *pattern);

/* Whether a valid pattern stands for just the topic of the same name. */
bool hl_pattern_is_exact(const char *pattern);

/* Whether a valid pattern matches a valid name. */
bool hl_pattern_matches(const char *pattern, const char *name);

/* Length of the first token. */
size_t hl_first_token_bytes(const char *name);

#endif
