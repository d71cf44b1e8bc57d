/*
 * The dictionary of names of dead letters: a number for each text, from 0 on, the same as long as
 * it lives; texts never move. The caller excludes others.
 */
#ifndef HL_FAULT_NAMES_H
#define HL_FAULT_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hotlane/status.h>

#define HL_NAMES_BUCKETS   4096u
#define HL_NAMES_MAX       1000000u
#define HL_NAMES_BYTES_MAX 1024u /* of one name, without its end */
#define HL_NAMES_NONE      UINT32_MAX

typedef struct hl_name {
    char *text;    /* NULL: the number is not used */
    uint32_t next; /* of the same bucket, or HL_NAMES_NONE */
    bool written;  /* the file knows it */
} hl_name;

typedef struct hl_names {
    hl_name *names;
    uint32_t count, room;
    uint32_t buckets[HL_NAMES_BUCKETS];
} hl_names;

void hl_names_init(hl_names *names);
void hl_names_free(hl_names *names);

/* The number of a text, which is new or was there. HL_OK, HL_NO_MEMORY, HL_LIMIT: too many, or over
 * HL_NAMES_BYTES_MAX. */
hl_status hl_names_intern(hl_names *names, const char *text, size_t bytes, uint32_t *ret_number);

/* Gives a text the number that a file has for it, `written`. HL_EXISTS: the number has another
 * text. HL_NO_MEMORY, HL_LIMIT. */
hl_status hl_names_put(hl_names *names, uint32_t number, const char *text, size_t bytes);

/* NULL for a number that is none. */
const char *hl_names_text(const hl_names *names, uint32_t number);

#endif
