/* A queue of dead letters in a directory of the test's own, with a disk that can be made to fail.
 */
#ifndef HL_TESTS_FAULT_LETTERS_H
#define HL_TESTS_FAULT_LETTERS_H

#include <criterion/criterion.h>

#include "fault/dlq.h"

#define LETTERS_PAYLOAD_MAX 65536u

/* A real disk behind a table whose writes and syncs can be refused. */
typedef struct test_disk {
    hl_io io;            /* its context is this */
    uint64_t room_bytes; /* no write goes beyond this offset: -ENOSPC */
    bool fail_sync;
    uint64_t calls;   /* of any operation that can fail */
    uint64_t fail_at; /* this call gives -EIO; 0: none */
} test_disk;

void test_disk_init(test_disk *disk);

/* Of a suite: each test has a directory of its own, removed with what is in it. */
void letters_set_up(void);
void letters_tear_down(void);

/* A path in that directory: of "a.dlq", good as long as the test; and of any name, good until the
 * next call. */
const char *letters_file(void);
const char *letters_path(const char *name);

hl_dlq *letters_open(const char *path);
void letters_close(hl_dlq *dlq);

/* Names like those of a bus, once a queue. */
hl_dead_letters *letters_ring(hl_dlq *dlq, uint32_t ring_slots);

/* An event of sequence and key `number` with `payload_size` bytes that follow from the number. */
const hl_event *letters_event(uint64_t number, uint32_t payload_size);
bool letters_event_is(const hl_event *event, uint64_t number, uint32_t payload_size);

/* What is posted of event `number`: topic "order.new" or "fill.done" (odd), subscription "risk" or
 * "book", failed at `number` seconds. */
hl_dead_post letters_post(hl_dead_letters *letters, uint64_t number);

/* Posts and drains one. */
void letters_add(hl_dead_letters *letters, uint64_t number, uint32_t payload_size);

uint64_t letters_count(hl_dlq *dlq);

/* The whole file; the caller's to free. */
unsigned char *letters_read_file(const char *path, size_t *ret_size);
void letters_write_file(const char *path, const void *bytes, size_t size);

#endif
