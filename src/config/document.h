/*
 * A YAML file as a tree that knows the line and column of everything in it, and its check against a
 * schema of libcyaml.
 *
 * Why not libcyaml's own check: it reads "1_000" as 1 and "maybe" as true, takes the first of
 * several documents for the whole file, and places an unknown key at the value before it (1.3.1).
 * So the tree is checked here, strictly; libcyaml then loads what is known to fit.
 *
 * Not thread-safe; nothing here is on a hot path.
 */
#ifndef HL_CONFIG_DOCUMENT_H
#define HL_CONFIG_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>

#include <cyaml/cyaml.h>
#include <yaml.h>

#include <hotlane/status.h>

#define HL_DOCUMENT_MAX_BYTES (1024u * 1024u)

typedef struct hl_document {
    const char *path; /* the caller's */
    unsigned char *text;
    size_t text_bytes;
    yaml_document_t tree;
} hl_document;

/* From 1, as editors count; a column is a character. */
typedef struct hl_place {
    size_t line;
    size_t column;
} hl_place;

/* Reads and parses a file. HL_OK: hl_document_close is due. HL_SYSTEM: it cannot be read;
 * HL_BAD_INPUT: it is not one YAML document of at most 1 MiB; HL_NO_MEMORY. */
hl_status hl_document_open(const char *path, hl_document *ret_document, hl_error *error);
void hl_document_close(hl_document *document);

/* Whether there is nothing in it but comments. */
bool hl_document_is_empty(const hl_document *document);

/* Checks keys, kinds and scalars against the schema (mappings, sequences, strings, unsigned whole
 * numbers, booleans, enums). HL_OK, or HL_BAD_INPUT with the place of the first defect. */
hl_status hl_document_check(const hl_document *document, const cyaml_schema_value_t *schema,
                            hl_error *error);

/* The place of a value, "domains[2].name"; where there is none, of what is nearest above it. */
hl_place hl_document_place(const hl_document *document, const char *field);

/* Fills `error` with `file:line:column: sentence`; answers HL_BAD_INPUT. */
hl_status hl_document_error(const hl_document *document, hl_place place, hl_error *error,
                            const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
