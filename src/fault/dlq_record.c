#include "fault/dlq_record.h"

#include <string.h>

#include "fault/names.h"
#include "base/crc32c.h"

static size_t up_to_8(size_t bytes)
{
    return (bytes + 7) & ~(size_t)7;
}

void hl_dlq_header_make(hl_dlq_header *ret_header, uint64_t salt, uint64_t first_id,
                        uint64_t created_ns)
{
    *ret_header = (hl_dlq_header){.version = HL_DLQ_VERSION,
                                  .header_size = sizeof(hl_dlq_header),
                                  .salt = salt,
                                  .first_id = first_id,
                                  .created_ns = created_ns};
    memcpy(ret_header->magic, HL_DLQ_MAGIC, sizeof ret_header->magic);
    ret_header->crc = hl_crc32c(0, ret_header, offsetof(hl_dlq_header, crc));
}

const char *hl_dlq_header_defect(const hl_dlq_header *header)
{
    if (memcmp(header->magic, HL_DLQ_MAGIC, sizeof header->magic) != 0)
        return "this is no file of dead letters";
    if (header->crc != hl_crc32c(0, header, offsetof(hl_dlq_header, crc)))
        return "the header is damaged";
    if (header->version != HL_DLQ_VERSION || header->header_size != sizeof *header)
        return "written by another version of hotlane, whose format this one does not know";
    return NULL;
}

static uint32_t head_crc(const hl_dlq_head *head, uint64_t salt, uint64_t offset)
{
    const uint64_t place[2] = {salt, offset};
    return hl_crc32c(hl_crc32c(0, place, sizeof place), &head->body_crc,
                     sizeof *head - offsetof(hl_dlq_head, body_crc));
}

size_t hl_dlq_record_seal(void *record, hl_dlq_kind kind, size_t body_size, uint64_t salt,
                          uint64_t offset)
{
    hl_dlq_head *const head = record;
    char *const body = (char *)(head + 1);
    const size_t padded = up_to_8(body_size);
    memset(body + body_size, 0, padded - body_size);
    *head = (hl_dlq_head){.mark = HL_DLQ_RECORD_MARK,
                          .body_crc = hl_crc32c(0, body, padded),
                          .body_size = (uint32_t)padded,
                          .kind = kind};
    head->crc = head_crc(head, salt, offset);
    return sizeof *head + padded;
}

bool hl_dlq_head_is_good(const hl_dlq_head *head, uint64_t salt, uint64_t offset)
{
    return head->mark == HL_DLQ_RECORD_MARK && head->body_size % 8 == 0 &&
           head->body_size <= HL_DLQ_BODY_MAX && head->kind >= HL_DLQ_NAME &&
           head->kind <= HL_DLQ_SYNCED && head->crc == head_crc(head, salt, offset);
}

static bool letter_is_shaped(const hl_dlq_letter *letter, size_t size)
{
    if (size < sizeof *letter || letter->history_count > HL_DEAD_HISTORY_MAX ||
        letter->text_size >= HL_DEAD_TEXT_BYTES || letter->event_size > HL_DLQ_EVENT_MAX ||
        letter->event_size < sizeof(hl_event))
        return false;
    const size_t needed = sizeof *letter + letter->history_count * sizeof(hl_dead_history) +
                          up_to_8(letter->text_size) + letter->event_size;
    if (up_to_8(needed) != size)
        return false;
    hl_event event;
    memcpy(&event, hl_dlq_letter_event(letter), sizeof event);
    return event.payload_size == letter->event_size - sizeof event;
}

static bool body_is_shaped(const hl_dlq_head *head)
{
    const size_t size = head->body_size;
    switch ((hl_dlq_kind)head->kind) {
    case HL_DLQ_NAME: {
        const hl_dlq_name *const name = hl_dlq_body(head);
        return size >= sizeof *name && name->text_size <= HL_NAMES_BYTES_MAX &&
               up_to_8(sizeof *name + name->text_size) == size;
    }
    case HL_DLQ_LETTER:
        return letter_is_shaped(hl_dlq_body(head), size);
    case HL_DLQ_MARKED:
        return size == sizeof(hl_dlq_mark);
    case HL_DLQ_SYNCED:
        return size == sizeof(hl_dlq_synced);
    }
    return false;
}

bool hl_dlq_body_is_good(const hl_dlq_head *head)
{
    return head->body_crc == hl_crc32c(0, hl_dlq_body(head), head->body_size) &&
           body_is_shaped(head);
}

const hl_dead_history *hl_dlq_letter_history(const hl_dlq_letter *letter)
{
    return (const hl_dead_history *)(letter + 1);
}

const char *hl_dlq_letter_text(const hl_dlq_letter *letter)
{
    return (const char *)(hl_dlq_letter_history(letter) + letter->history_count);
}

const void *hl_dlq_letter_event(const hl_dlq_letter *letter)
{
    return hl_dlq_letter_text(letter) + up_to_8(letter->text_size);
}
