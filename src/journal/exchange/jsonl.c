#include "journal/exchange/jsonl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "base/error.h"
#include "journal/exchange/base64.h"
#include "journal/format.h"

#define NS_PER_SECOND (uint64_t)1000000000
#define DIGITS_SIZE   21 /* of 64 bits, and a NUL */

void hl_jsonl_time(uint64_t time_ns, char ret_text[HL_JSONL_TIME_SIZE])
{
    const time_t seconds = (time_t)(time_ns / NS_PER_SECOND);
    struct tm date;
    gmtime_r(&seconds, &date);
    const size_t size = strftime(ret_text, HL_JSONL_TIME_SIZE, "%Y-%m-%dT%H:%M:%S", &date);
    snprintf(ret_text + size, HL_JSONL_TIME_SIZE - size, ".%09" PRIu64 "Z",
             time_ns % NS_PER_SECOND);
}

static json_t *digits(uint64_t value)
{
    char text[DIGITS_SIZE];
    snprintf(text, sizeof text, "%" PRIu64, value);
    return json_string(text);
}

static json_t *payload_of(const hl_event *event)
{
    char *const text = malloc(HL_BASE64_SIZE((size_t)event->payload_size) + 1);
    if (text == NULL)
        return NULL;
    hl_base64_encode(hl_payload(event), event->payload_size, text);
    json_t *const string = json_stringn_nocheck(text, HL_BASE64_SIZE((size_t)event->payload_size));
    free(text);
    return string;
}

static const char *missing_text(hl_journal_entry_kind kind)
{
    return kind == HL_JOURNAL_GAP ? "gap" : kind == HL_JOURNAL_REMOVED ? "removed" : "damage";
}

json_t *hl_jsonl_object(const hl_journal_entry *entry)
{
    const hl_event *const event = entry->event;
    if (entry->kind != HL_JOURNAL_EVENT)
        return json_pack("{s:s, s:i, s:i, s:s, s:I, s:I, s:s}", "partition", entry->partition,
                         "partition_number", (int)entry->partition_number, "shards",
                         (int)entry->shards, "missing", missing_text(entry->kind), "first_sequence",
                         (json_int_t)entry->first_sequence, "last_sequence",
                         (json_int_t)entry->last_sequence, "detail", entry->detail);
    char time_text[HL_JSONL_TIME_SIZE];
    hl_jsonl_time(event->published_ns, time_text);
    return json_pack(
        "{s:o, s:s, s:i, s:i, s:I, s:I, s:s, s:s, s:i, s:i, s:s, s:o, s:o, s:o, s:i, s:i, s:i, "
        "s:i, s:o}",
        "id", digits(entry->id), "partition", entry->partition, "partition_number",
        (int)entry->partition_number, "shards", (int)entry->shards, "sequence",
        (json_int_t)event->sequence, "published_ns", (json_int_t)event->published_ns, "time",
        time_text, "topic", entry->topic, "topic_kind", (int)entry->topic_kind, "topic_priority",
        (int)entry->topic_priority, "source", entry->source, "key", digits(event->key),
        "correlation_id", digits(event->correlation_id), "causation_id",
        digits(event->causation_id), "priority", (int)event->priority, "flags", (int)event->flags,
        "attempt", (int)event->attempt, "schema_version", (int)event->schema_version, "payload",
        payload_of(event));
}

/* ---- reading ---- */

typedef struct parsing {
    const json_t *object;
    const char *place;
    hl_error *error;
    hl_status status;
} parsing;

static void refuse(parsing *this, const char *field, const char *right)
{
    if (this->status == HL_OK)
        this->status = hl_error_set(this->error, HL_BAD_INPUT, "%s: \"%s\" should be %s",
                                    this->place, field, right);
}

/* An integer up to `most`, as a number or as a string of digits. */
static uint64_t number(parsing *this, const char *field, uint64_t most)
{
    const json_t *const value = json_object_get(this->object, field);
    uint64_t result = 0;
    bool good = false;
    if (json_is_integer(value) && json_integer_value(value) >= 0) {
        result = (uint64_t)json_integer_value(value);
        good = true;
    } else if (json_is_string(value)) {
        const char *const text = json_string_value(value);
        const size_t length = strspn(text, "0123456789");
        char again[DIGITS_SIZE];
        result = strtoull(text, NULL, 10);
        snprintf(again, sizeof again, "%" PRIu64, result);
        good = length > 0 && text[length] == '\0' && strcmp(text, again) == 0;
    }
    if (!good || result > most) {
        char right[64];
        snprintf(right, sizeof right, "an integer from 0 to %" PRIu64, most);
        refuse(this, field, right);
        return 0;
    }
    return result;
}

static void text(parsing *this, const char *field, char *ret_text, size_t room)
{
    const json_t *const value = json_object_get(this->object, field);
    if (!json_is_string(value) || json_string_length(value) >= room ||
        strlen(json_string_value(value)) != json_string_length(value)) {
        refuse(this, field, "a string of at most 255 bytes");
        return;
    }
    strcpy(ret_text, json_string_value(value));
}

static void parse_partition(parsing *this, hl_jsonl_event *event)
{
    const json_t *const value = json_object_get(this->object, "partition");
    if (!json_is_string(value) || strlen(json_string_value(value)) != json_string_length(value) ||
        !hl_partition_directory_parse(json_string_value(value), &event->partition)) {
        refuse(this, "partition", "a domain's name, or with its shard \"order.3\"");
        return;
    }
    event->partition_number = (uint16_t)number(this, "partition_number", 1023);
    event->shards = (uint16_t)number(this, "shards", UINT16_MAX);
    if (event->shards == 0 || event->partition.shard >= event->shards ||
        event->partition.sharded != (event->shards > 1))
        refuse(this, "shards", "the number of the domain's shards, which the partition is one of");
}

static void parse_event(parsing *this, hl_jsonl_event *event)
{
    const uint64_t last = HL_JOURNAL_SEQUENCE_MAX;
    event->event = (hl_event){
        .sequence = number(this, "sequence", last),
        .published_ns = number(this, "published_ns", INT64_MAX),
        .key = number(this, "key", UINT64_MAX),
        .correlation_id = number(this, "correlation_id", UINT64_MAX),
        .causation_id = number(this, "causation_id", UINT64_MAX),
        .schema_version = (uint16_t)number(this, "schema_version", UINT16_MAX),
        .priority = (uint8_t)number(this, "priority", HL_PRIORITIES - 1),
        .flags = (uint8_t)number(this, "flags", UINT8_MAX),
        .attempt = (uint8_t)number(this, "attempt", UINT8_MAX),
    };
    event->first_sequence = event->last_sequence = event->event.sequence;
    text(this, "topic", event->topic, sizeof event->topic);
    text(this, "source", event->source, sizeof event->source);
    event->topic_kind = (uint8_t)number(this, "topic_kind", 2);
    event->topic_priority = (uint8_t)number(this, "topic_priority", HL_PRIORITIES - 1);
    const json_t *const payload = json_object_get(this->object, "payload");
    size_t size = 0;
    if (!json_is_string(payload) ||
        !hl_base64_decode(json_string_value(payload), json_string_length(payload), event->payload,
                          sizeof event->payload, &size))
        refuse(this, "payload", "at most 65536 bytes in base64");
    event->event.payload_size = (uint32_t)size;
    if (event->event.sequence == 0)
        refuse(this, "sequence", "at least 1");
}

hl_status hl_jsonl_parse(const char *line, size_t size, const char *place,
                         hl_jsonl_event *ret_event, hl_error *error)
{
    json_error_t why;
    json_t *const object = json_loadb(line, size, JSON_REJECT_DUPLICATES, &why);
    if (object == NULL)
        return hl_error_set(error, HL_BAD_INPUT, "%s:%d: no JSON: %s", place, why.column, why.text);
    parsing this = {.object = object, .place = place, .error = error};
    ret_event->missing = json_object_get(object, "missing") != NULL;
    if (!json_is_object(object))
        this.status = hl_error_set(error, HL_BAD_INPUT, "%s: a line is a JSON object", place);
    parse_partition(&this, ret_event);
    if (ret_event->missing) {
        const uint64_t last = HL_JOURNAL_SEQUENCE_MAX;
        ret_event->first_sequence = number(&this, "first_sequence", last);
        ret_event->last_sequence = number(&this, "last_sequence", last);
        if (ret_event->last_sequence < ret_event->first_sequence)
            refuse(&this, "last_sequence", "at least first_sequence");
    } else {
        parse_event(&this, ret_event);
    }
    json_decref(object);
    return this.status;
}
