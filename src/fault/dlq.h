/*
 * The dead letters of a bus or a file (hotlane/dlq.h), from within.
 *
 * Every letter is a sealed record with a place: its offset in the file. Those at or behind `base`
 * lie in `pending`, in memory, until they are written; without a file all of them do, for good, and
 * places are moved together when memory is full.
 *
 * Everything but `refused` is under the lock.
 */
#ifndef HL_FAULT_DLQ_H
#define HL_FAULT_DLQ_H

#include <pthread.h>

#include "fault/dead_letter.h"
#include "fault/dlq_file.h"
#include "fault/dlq_index.h"
#include "fault/names.h"

struct hl_dlq {
    pthread_mutex_t lock;
    pid_t owner;            /* the process that opened it: file, lock and memory are not a fork's */
    hl_dlq_options options; /* its path is not ours: file.path */
    bool has_file;
    hl_dlq_file file;
    hl_names names;
    hl_dlq_index index;
    uint64_t next_id;
    unsigned char *pending; /* options.memory_bytes; its first byte's place is `base` */
    size_t pending_bytes;
    uint64_t pending_records; /* letters and marks in it */
    uint64_t base;
    uint64_t gone;         /* letters that still lie in the file, handled or purged */
    uint64_t last_sync_ns; /* ticks */
    const hl_io *io;
    void *scratch; /* HL_DLQ_RECORD_MAX bytes */
    hl_dlq_stats counts;
    hl_dead_redriver redriver;
    void *redriver_context;
    uint64_t refused; /* posts that found no room; atomic */
};

/* HL_DETACHED with a sentence in a fork's child: what is there is its parent's. */
hl_status hl_dlq_check_owner(const hl_dlq *dlq, hl_error *error);

/* HL_NOT_ALLOWED with a sentence. */
hl_status hl_dlq_is_read_only(hl_error *error);

/* hl_dlq_open with a disk of one's own. */
hl_status hl_dlq_open_on(const hl_io *io, const hl_dlq_options *options, hl_dlq **ret_dlq,
                         hl_error *error);

/*
 * Takes a letter in; `event`: header and payload, event_size bytes, any alignment.
 * - HL_OK: it is in memory, and will be written with the next flush.
 * - HL_FULL: neither memory nor disk has room, or max_letters are kept.
 * - HL_NO_MEMORY
 */
hl_status hl_dlq_add(hl_dlq *dlq, const hl_dead_post *post, const void *event, size_t event_size);

/* Writes what is pending, and syncs if the interval is over. HL_OK, HL_NO_SPACE, HL_SYSTEM. */
hl_status hl_dlq_flush(hl_dlq *dlq, hl_error *error);

/* The record of a letter, in `scratch` (HL_DLQ_RECORD_MAX bytes, 8-byte aligned), with the state it
 * is in now. */
hl_status hl_dlq_load(hl_dlq *dlq, const hl_dlq_entry *entry, void *scratch, hl_error *error);

/* A letter's new state, or HL_DLQ_HANDLED, HL_DLQ_PURGED: it is gone. HL_OK; HL_NO_SPACE: no room
 * for the mark, nothing has changed. */
hl_status hl_dlq_mark_letter(hl_dlq *dlq, hl_dlq_entry *entry, uint32_t state, hl_error *error);

/* Writes the file anew without what is gone. After any but HL_OK all is as it was. (dlq_rewrite.c)
 */
hl_status hl_dlq_rewrite(hl_dlq *dlq, hl_error *error);

/* Appends the name's record, sealed for `offset`, to `record`; its bytes. */
size_t hl_dlq_name_record(void *record, const hl_names *names, uint32_t number, uint64_t salt,
                          uint64_t offset);

#define HL_DLQ_NAME_RECORD_MAX (sizeof(hl_dlq_head) + sizeof(hl_dlq_name) + HL_NAMES_BYTES_MAX + 8)

#endif
