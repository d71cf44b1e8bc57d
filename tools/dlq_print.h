/*
 * Dead letters as text and as JSON.
 */
#ifndef HL_TOOLS_DLQ_PRINT_H
#define HL_TOOLS_DLQ_PRINT_H

#include <stdio.h>

#include <hotlane/dlq.h>
#include <jansson.h>

/* The head of a list, and its lines. */
void dlq_print_head(FILE *stream);
void dlq_print_line(FILE *stream, const hl_dead_letter *letter);

/* All that is known of a letter, its payload as hexadecimal and as characters. */
void dlq_print_letter(FILE *stream, const hl_dead_letter *letter);

/* A letter as a JSON object; `whole`: with event, payload and history. Numbers that use all 64 bits
 * (event_id, key, correlation_id, causation_id) are decimal strings. */
json_t *dlq_letter_json(const hl_dead_letter *letter, bool whole);

#endif
