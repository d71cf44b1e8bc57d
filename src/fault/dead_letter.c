#include "fault/dead_letter.h"

#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"
#include "base/error.h"
#include "base/mailbox.h"
#include "fault/dlq.h"

#define SLOT_BYTES 256u
#define SLOT_ROOM  (SLOT_BYTES - 8u) /* behind the stamp */
#define SLOTS_MIN  8u
#define SLOTS_MAX  (1u << 20)

/* What lies in the slots of a letter, one after the other behind their stamps: this, the error text
 * without its end, the event and its payload. */
typedef struct posted {
    hl_dead_post post; /* its error_text means nothing here */
    uint32_t text_size;
    uint32_t event_size;
} posted;

struct hl_dead_letters {
    hl_mailbox posts;
    hl_dlq *dlq;
    uint32_t slot_size_bytes; /* largest event with its payload */
    hl_event *event;          /* the draining thread's: where an event is put together again */
};

static uint32_t slots_of(size_t bytes)
{
    return (uint32_t)((bytes + SLOT_ROOM - 1) / SLOT_ROOM);
}

/* ------- making it ------- */

static hl_status check_sizes(uint32_t ring_slots, uint32_t slot_size_bytes, hl_error *error)
{
    if (ring_slots < SLOTS_MIN || ring_slots > SLOTS_MAX || (ring_slots & (ring_slots - 1)) != 0)
        return hl_error_set(error, HL_INVALID,
                            "dead letters: a ring of %u slots: use a power of two from %u to %u",
                            ring_slots, SLOTS_MIN, SLOTS_MAX);
    if (slot_size_bytes < sizeof(hl_event) || slot_size_bytes > HL_DLQ_EVENT_MAX)
        return hl_error_set(error, HL_INVALID, "dead letters: events of %u bytes: use 64 to %u",
                            slot_size_bytes, HL_DLQ_EVENT_MAX);
    const uint32_t most = slots_of(sizeof(posted) + HL_DEAD_TEXT_BYTES + slot_size_bytes);
    if (most > ring_slots)
        return hl_error_set(error, HL_INVALID,
                            "dead letters: an event of %u bytes takes %u slots, the ring has %u: "
                            "use a larger one",
                            slot_size_bytes, most, ring_slots);
    return HL_OK;
}

hl_status hl_dead_letters_create(hl_dlq *dlq, uint32_t ring_slots, uint32_t slot_size_bytes,
                                 hl_dead_letters **ret_letters, hl_error *error)
{
    const hl_status checked = check_sizes(ring_slots, slot_size_bytes, error);
    if (checked != HL_OK)
        return checked;
    if (dlq->options.read_only)
        return hl_error_set(error, HL_NOT_ALLOWED, "dead letters: the queue was opened read-only");
    hl_dead_letters *const letters = hl_allocate(1, sizeof *letters);
    if (letters != NULL)
        letters->event = hl_allocate(1, slot_size_bytes);
    if (letters == NULL || letters->event == NULL ||
        !hl_mailbox_make(&letters->posts, SLOT_BYTES, ring_slots)) {
        if (letters != NULL)
            free(letters->event);
        free(letters);
        return hl_error_set(error, HL_NO_MEMORY, "dead letters: no memory for a ring of %u slots",
                            ring_slots);
    }
    letters->dlq = dlq;
    letters->slot_size_bytes = slot_size_bytes;
    *ret_letters = letters;
    return HL_OK;
}

void hl_dead_letters_destroy(hl_dead_letters *letters)
{
    if (letters == NULL)
        return;
    hl_dead_letters_drain(letters, NULL);
    hl_dead_letters_set_redriver(letters, NULL, NULL);
    free(letters->event);
    hl_mailbox_free(&letters->posts);
    free(letters);
}

hl_status hl_dead_letters_intern(hl_dead_letters *letters, const char *name, uint32_t *ret_number)
{
    hl_dlq *const dlq = letters->dlq;
    pthread_mutex_lock(&dlq->lock);
    const hl_status status = hl_names_intern(&dlq->names, name, strlen(name), ret_number);
    pthread_mutex_unlock(&dlq->lock);
    return status;
}

void hl_dead_letters_set_redriver(hl_dead_letters *letters, hl_dead_redriver redriver,
                                  void *context)
{
    hl_dlq *const dlq = letters->dlq;
    pthread_mutex_lock(&dlq->lock);
    dlq->redriver = redriver;
    dlq->redriver_context = context;
    pthread_mutex_unlock(&dlq->lock);
}

/* ------- through the slots ------- */

/* Where the next byte of a letter lies. */
typedef struct cursor {
    char *slots; /* of the ring */
    uint32_t capacity;
    uint64_t position;
    uint32_t at; /* bytes behind the stamp */
} cursor;

/* The run of bytes from the cursor to the end of its slot, at most `wanted`; steps over it. */
static char *next_run(cursor *place, size_t wanted, size_t *ret_bytes)
{
    if (place->at == SLOT_ROOM) {
        place->position++;
        place->at = 0;
    }
    char *const slot = hl_ring_slot_at(place->slots, SLOT_BYTES, place->capacity, place->position);
    char *const run = slot + 8 + place->at;
    const size_t room = SLOT_ROOM - place->at;
    *ret_bytes = wanted < room ? wanted : room;
    place->at += (uint32_t)*ret_bytes;
    return run;
}

static void put(cursor *place, const void *bytes, size_t size)
{
    for (size_t done = 0, n; done < size; done += n) {
        char *const run = next_run(place, size - done, &n);
        memcpy(run, (const char *)bytes + done, n);
    }
}

static void take(cursor *place, void *bytes, size_t size)
{
    for (size_t done = 0, n; done < size; done += n) {
        const char *const run = next_run(place, size - done, &n);
        memcpy((char *)bytes + done, run, n);
    }
}

hl_status hl_dead_letters_post(hl_dead_letters *letters, const hl_dead_post *post,
                               const hl_event *event)
{
    const char *const text = post->error_text == NULL ? "" : post->error_text;
    const posted head = {.post = *post,
                         .text_size = (uint32_t)strnlen(text, HL_DEAD_TEXT_BYTES - 1),
                         .event_size = (uint32_t)sizeof *event + event->payload_size};
    if (head.event_size > letters->slot_size_bytes)
        return HL_TOO_LARGE;
    const hl_mpsc_producer *const producer = &letters->posts.in;
    const uint32_t slots = slots_of(sizeof head + head.text_size + head.event_size);
    cursor place = {.slots = producer->slots, .capacity = producer->capacity};
    if (!hl_mpsc_try_claim(producer, slots, &place.position)) {
        /* Relaxed: a number for statistics. */
        hl_fetch_add_relaxed_u64(&letters->dlq->refused, 1);
        return HL_FULL;
    }
    const uint64_t position = place.position;
    put(&place, &head, sizeof head);
    put(&place, text, head.text_size);
    put(&place, event, head.event_size);
    hl_mpsc_commit(producer, position, slots);
    return HL_OK;
}

bool hl_dead_letters_pending(const hl_dead_letters *letters)
{
    return hl_ring_claimed(letters->posts.in.ring) != hl_ring_released(letters->posts.in.ring);
}

/* ------- into the queue ------- */

/* The letter at the head of the ring, into the queue. HL_NOT_FOUND: the ring is empty. A letter's
 * slots are stamped from the last to the first: with the first all are there. */
static hl_status carry_one(hl_dead_letters *letters)
{
    hl_ring_consumer *const consumer = &letters->posts.out;
    void *first;
    if (hl_ring_peek(consumer, 1, &first) == 0)
        return HL_NOT_FOUND;
    cursor place = {consumer->slots, consumer->capacity, consumer->position, 0};
    posted head;
    char text[HL_DEAD_TEXT_BYTES];
    take(&place, &head, sizeof head);
    take(&place, text, head.text_size);
    text[head.text_size] = '\0';
    take(&place, letters->event, head.event_size);
    head.post.error_text = text;
    const hl_status status = hl_dlq_add(letters->dlq, &head.post, letters->event, head.event_size);
    if (status == HL_OK)
        hl_ring_release(consumer, slots_of(sizeof head + head.text_size + head.event_size));
    return status;
}

hl_status hl_dead_letters_drain(hl_dead_letters *letters, hl_error *error)
{
    hl_dlq *const dlq = letters->dlq;
    pthread_mutex_lock(&dlq->lock);
    const uint64_t until = hl_ring_claimed(letters->posts.in.ring);
    hl_status carried = HL_OK;
    while (carried == HL_OK && (int64_t)(until - letters->posts.out.position) > 0)
        carried = carry_one(letters);
    hl_ring_release_publish(&letters->posts.out);
    const hl_status written = hl_dlq_flush(dlq, error);
    pthread_mutex_unlock(&dlq->lock);
    if (carried == HL_OK || carried == HL_NOT_FOUND)
        return written;
    return written != HL_OK ? HL_FULL
                            : hl_error_set(error, carried,
                                           "dead letters: no room for more: raise max_letters or "
                                           "memory_bytes, or purge some");
}

hl_status hl_dead_letters_handled(hl_dead_letters *letters, uint64_t id, hl_error *error)
{
    hl_dlq *const dlq = letters->dlq;
    pthread_mutex_lock(&dlq->lock);
    hl_dlq_entry *const entry = hl_dlq_index_find(&dlq->index, id);
    const hl_status status =
        entry == NULL ? HL_NOT_FOUND : hl_dlq_mark_letter(dlq, entry, HL_DLQ_HANDLED, error);
    pthread_mutex_unlock(&dlq->lock);
    return status;
}
