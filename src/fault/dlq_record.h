/*
 * The file of dead letters, as bytes: docs/dlq-format.md says the same for strangers.
 *
 *     [header, 64 bytes][name | letter | mark | synced]...
 *
 * Little-endian. A record is a head of 24 bytes and a body, at a multiple of 8, whose size is a
 * multiple of 8. The head's CRC-32C covers the file's salt, the record's own offset and the rest of
 * the head: so bytes of another file or place never pass, and a head can be found again behind
 * damage by looking at every eighth byte. The body has a CRC-32C of its own, which the head's
 * covers.
 *
 * Pure functions of memory: any thread, no allocation, no system call.
 */
#ifndef HL_FAULT_DLQ_RECORD_H
#define HL_FAULT_DLQ_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hotlane/dlq.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the records are written as they lie in memory: little-endian machines only"
#endif

#define HL_DLQ_MAGIC       "\x89HLD\r\n\x1a\n" /* 8 bytes; shows a text-mode copy at once */
#define HL_DLQ_VERSION     1u
#define HL_DLQ_RECORD_MARK 0x72444c48u /* "HLDr" */

typedef struct hl_dlq_header {
    uint8_t magic[8];
    uint32_t version;
    uint32_t header_size; /* bytes: the first record begins here */
    uint64_t salt;        /* differs from file to file; in every head's CRC */
    uint64_t first_id;    /* no letter of a lower id is to come that the file does not hold */
    uint64_t created_ns;  /* wall clock */
    uint8_t reserved[20]; /* 0 */
    uint32_t crc;         /* of the 60 bytes before it */
} hl_dlq_header;

typedef enum hl_dlq_kind {
    HL_DLQ_NAME = 1,   /* hl_dlq_name, text */
    HL_DLQ_LETTER = 2, /* hl_dlq_letter, history, text, event, payload; replaces one of its id */
    HL_DLQ_MARKED = 3, /* hl_dlq_mark */
    HL_DLQ_SYNCED = 4  /* hl_dlq_synced */
} hl_dlq_kind;

typedef struct hl_dlq_head {
    uint32_t mark; /* HL_DLQ_RECORD_MARK */
    uint32_t crc;  /* of salt, offset, and the 16 bytes that follow */
    uint32_t body_crc;
    uint32_t body_size; /* bytes, the zero bytes of its padding included */
    uint32_t kind;      /* hl_dlq_kind */
    uint32_t reserved;  /* 0 */
} hl_dlq_head;

/* Stands before the first record that uses the number. */
typedef struct hl_dlq_name {
    uint32_t number;
    uint32_t text_size; /* bytes, no NUL; right behind this struct */
} hl_dlq_name;

typedef struct hl_dlq_letter {
    uint64_t id;
    uint64_t event_id;
    uint64_t first_failed_ns, last_failed_ns;
    uint64_t state_ns;
    uint32_t state; /* hl_dead_state */
    uint32_t reason;
    int32_t error_code;
    uint32_t attempts;
    uint32_t redrives;
    uint32_t topic, source, subscription, pattern; /* numbers of names */
    uint32_t history_count;                        /* hl_dead_history entries behind this struct */
    uint32_t text_size;  /* bytes of the error text behind them, no NUL, then zero bytes to 8 */
    uint32_t event_size; /* hl_event and payload, behind that */
} hl_dlq_letter;

/* What a mark says, besides a state of hl_dead_state: the letter is gone. */
#define HL_DLQ_HANDLED 100u /* redriven and handled */
#define HL_DLQ_PURGED  101u

typedef struct hl_dlq_mark {
    uint64_t id;
    uint64_t at_ns;
    uint32_t state; /* hl_dead_state, HL_DLQ_HANDLED or HL_DLQ_PURGED */
    uint32_t reserved;
} hl_dlq_mark;

/* All before `offset` was known to be on the disk when this was written: damage there is damage,
 * and no torn end. */
typedef struct hl_dlq_synced {
    uint64_t offset;
} hl_dlq_synced;

_Static_assert(sizeof(hl_dlq_header) == 64, "version 1");
_Static_assert(sizeof(hl_dlq_head) == 24, "version 1");
_Static_assert(sizeof(hl_dlq_letter) == 88, "version 1");
_Static_assert(sizeof(hl_dead_history) == 40, "version 1");

#define HL_DLQ_EVENT_MAX (64u + 65536u)
#define HL_DLQ_BODY_MAX                                                                           \
    (sizeof(hl_dlq_letter) + HL_DEAD_HISTORY_MAX * sizeof(hl_dead_history) + HL_DEAD_TEXT_BYTES + \
     HL_DLQ_EVENT_MAX)
#define HL_DLQ_RECORD_MAX (sizeof(hl_dlq_head) + HL_DLQ_BODY_MAX)

void hl_dlq_header_make(hl_dlq_header *ret_header, uint64_t salt, uint64_t first_id,
                        uint64_t created_ns);

/* NULL: it is the header of a file of dead letters that this version reads; else a sentence. */
const char *hl_dlq_header_defect(const hl_dlq_header *header);

/* Puts the head of a record whose body, of `body_size` bytes, lies right behind `record`'s head
 * already: zero bytes up to a multiple of 8 are added. The record will lie at `offset`. Bytes of
 * the whole record. */
size_t hl_dlq_record_seal(void *record, hl_dlq_kind kind, size_t body_size, uint64_t salt,
                          uint64_t offset);

/* Whether a head may be believed: its body's size, kind and CRC. */
bool hl_dlq_head_is_good(const hl_dlq_head *head, uint64_t salt, uint64_t offset);

/* Whether the body behind a good head is what was written, and has the shape of its kind. */
bool hl_dlq_body_is_good(const hl_dlq_head *head);

static inline const void *hl_dlq_body(const hl_dlq_head *head)
{
    return head + 1;
}

/* Where the parts of a letter's body lie. */
const hl_dead_history *hl_dlq_letter_history(const hl_dlq_letter *letter);
const char *hl_dlq_letter_text(const hl_dlq_letter *letter);
const void *hl_dlq_letter_event(const hl_dlq_letter *letter);

#endif
