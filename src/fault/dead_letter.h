/*
 * From the threads where events fail to the dead letters (hotlane/dlq.h): a ring that any number of
 * them post to, and what one thread at a time (the housekeeper) carries from it into the queue.
 *
 *     uint32_t topic;                                          once, when a topic is declared,
 *     hl_dead_letters_intern(letters, "order.new", &topic);    a publisher opens, one subscribes
 *     ...
 *     if (hl_dead_letters_post(letters, &post, event) == HL_FULL)
 *         ...keep the event where it is, and post again at the next turn: nothing is lost...
 *     ...housekeeper:
 *     hl_dead_letters_drain(letters, &error);
 *
 * hl_dead_letters_post: lock-free, no allocation, no system call; any thread. All others: any
 * thread but a hot one; they take the queue's lock.
 */
#ifndef HL_FAULT_DEAD_LETTER_H
#define HL_FAULT_DEAD_LETTER_H

#include <hotlane/dlq.h>

typedef struct hl_dead_letters hl_dead_letters;

/* What is posted besides the event. Names are numbers from hl_dead_letters_intern. */
typedef struct hl_dead_post {
    uint32_t topic;
    uint32_t source;
    uint32_t subscription;
    uint32_t pattern;
    uint32_t partition; /* of the event */
    hl_dead_reason reason;
    int32_t error_code;
    uint32_t attempts;      /* deliveries, the first included */
    const char *error_text; /* copied, cut at HL_DEAD_TEXT_BYTES - 1; NULL: none */
    uint64_t first_failed_ns;
    uint64_t last_failed_ns;
    uint64_t redriven_id; /* of the letter that this event was redriven from; 0: none */
} hl_dead_post;

/* A redriven event: hand a copy to the one subscription that failed. Called without the lock, by
 * the thread that redrives. HL_OK: taken, and hl_dead_letters_handled or a post with redriven_id
 * will follow. HL_FULL: not now, the letter stays ASKED. HL_NOT_FOUND: no such subscription now,
 * likewise. */
typedef hl_status (*hl_dead_redriver)(const hl_dead_letter *letter, void *context);

/*
 * `ring_slots`: a power of two, 8..2^20; a slot is 256 bytes, a letter takes one for each 248 bytes
 * of 72 + text + event and payload. `slot_size_bytes`: the largest event with its payload; the
 * ring must have room for one such letter. The queue stays the caller's and must outlive this.
 * - HL_OK; HL_INVALID; HL_NO_MEMORY
 */
hl_status hl_dead_letters_create(hl_dlq *dlq, uint32_t ring_slots, uint32_t slot_size_bytes,
                                 hl_dead_letters **ret_letters, hl_error *error);
/* Nobody posts any more. What is still in the ring is drained first. */
void hl_dead_letters_destroy(hl_dead_letters *letters);

/* The number of a name (of a topic, a publisher, a subscription, a pattern), the same each time.
 * Good as long as the queue is open. HL_OK, HL_NO_MEMORY, HL_LIMIT. */
hl_status hl_dead_letters_intern(hl_dead_letters *letters, const char *name, uint32_t *ret_number);

/* HL_OK: copied, the event is the dead letters' business now. HL_FULL: no room, counted as
 * `refused`; keep it. */
hl_status hl_dead_letters_post(hl_dead_letters *letters, const hl_dead_post *post,
                               const hl_event *event);

/* Whether something is in the ring: one load. */
bool hl_dead_letters_pending(const hl_dead_letters *letters);

/*
 * Carries what is in the ring into the queue, and writes it. One thread at a time.
 * - HL_OK: all that was there when it began.
 * - HL_FULL: the queue has no room (disk and memory are full): the rest stays in the ring.
 * - HL_NO_SPACE, HL_SYSTEM: all is in the queue's memory, the file refused it: `error` says why;
 *   it is tried again at the next drain.
 */
hl_status hl_dead_letters_drain(hl_dead_letters *letters, hl_error *error);

/* A redriven letter was handled: it is gone, with its mark in the file. HL_OK, HL_NOT_FOUND,
 * HL_NO_SPACE: no room for the mark, call again. */
hl_status hl_dead_letters_handled(hl_dead_letters *letters, uint64_t id, hl_error *error);

/* From now on hl_dlq_redrive hands letters to `redriver`; NULL: it marks them. */
void hl_dead_letters_set_redriver(hl_dead_letters *letters, hl_dead_redriver redriver,
                                  void *context);

#endif
