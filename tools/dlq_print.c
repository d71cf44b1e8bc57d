#include "dlq_print.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TIME_BYTES   40
#define TEXT_BYTES   1100 /* more than any name or error text has */
#define BYTES_A_LINE 16u

/* "2026-11-21T10:28:30.000000001Z" */
static const char *time_text(uint64_t ns, char text[TIME_BYTES])
{
    const time_t seconds = (time_t)(ns / 1000000000u);
    struct tm date;
    char whole[TIME_BYTES];
    gmtime_r(&seconds, &date);
    strftime(whole, sizeof whole, "%Y-%m-%dT%H:%M:%S", &date);
    snprintf(text, TIME_BYTES, "%.24s.%09uZ", whole, (unsigned)(ns % 1000000000u));
    return text;
}

/* Names and error texts are the application's: one line each, and no escape reaches the terminal.
 */
static const char *printable(const char *text, char ret_text[TEXT_BYTES])
{
    size_t i = 0;
    for (; text[i] != '\0' && i < TEXT_BYTES - 1; i++) {
        const unsigned char byte = (unsigned char)text[i];
        ret_text[i] = byte >= 0x80 || isprint(byte) ? text[i] : '?';
    }
    ret_text[i] = '\0';
    return ret_text;
}

void dlq_print_head(FILE *stream)
{
    fprintf(stream, "%8s  %-30s  %-24s  %-20s  %-12s  %8s  %-9s  %s\n", "ID", "LAST FAILED",
            "TOPIC", "SUBSCRIPTION", "REASON", "ATTEMPTS", "STATE", "ERROR");
}

void dlq_print_line(FILE *stream, const hl_dead_letter *letter)
{
    char failed[TIME_BYTES], topic[TEXT_BYTES], subscription[TEXT_BYTES], error[TEXT_BYTES];
    fprintf(stream,
            "%8" PRIu64 "  %-30s  %-24s  %-20s  %-12s  %8" PRIu32 "  %-9s  %" PRId32 " %s\n",
            letter->id, time_text(letter->last_failed_ns, failed), printable(letter->topic, topic),
            printable(letter->subscription, subscription), hl_dead_reason_name(letter->reason),
            letter->attempts, hl_dead_state_name(letter->state), letter->error_code,
            printable(letter->error_text, error));
}

static void print_payload(FILE *stream, const unsigned char *payload, uint32_t size)
{
    for (uint32_t at = 0; at < size; at += BYTES_A_LINE) {
        fprintf(stream, "    %05x ", at);
        for (uint32_t i = at; i < at + BYTES_A_LINE; i++) {
            if (i < size)
                fprintf(stream, " %02x", payload[i]);
            else
                fputs("   ", stream);
        }
        fputs("  ", stream);
        for (uint32_t i = at; i < size && i < at + BYTES_A_LINE; i++)
            fputc(payload[i] < 0x80 && isprint(payload[i]) ? payload[i] : '.', stream);
        fputc('\n', stream);
    }
}

static void print_history(FILE *stream, const hl_dead_letter *letter)
{
    char failed[TIME_BYTES], redriven[TIME_BYTES];
    for (uint32_t i = 0; i < letter->history_count; i++) {
        const hl_dead_history *const life = &letter->history[i];
        fprintf(stream,
                "  before         %s, code %" PRId32 ", %" PRIu32
                " attempts, failed %s, redriven %s\n",
                hl_dead_reason_name(life->reason), life->error_code, life->attempts,
                time_text(life->last_failed_ns, failed), time_text(life->redriven_ns, redriven));
    }
}

static void print_event(FILE *stream, const hl_dead_letter *letter)
{
    const hl_event *const event = letter->event;
    char published[TIME_BYTES], source[TEXT_BYTES];
    fprintf(stream,
            "  event          partition %" PRIu32 ", sequence %" PRIu64 ", key %" PRIu64 "\n",
            hl_id_partition(letter->event_id), event->sequence, event->key);
    fprintf(stream, "  published      %s by %s\n", time_text(event->published_ns, published),
            printable(letter->source, source));
    fprintf(stream, "  story          correlation %" PRIu64 ", caused by %" PRIu64 "\n",
            event->correlation_id, event->causation_id);
    fprintf(stream, "  payload        %" PRIu32 " bytes, schema version %u\n", event->payload_size,
            event->schema_version);
    print_payload(stream, hl_payload(event), event->payload_size);
}

static void print_failure(FILE *stream, const hl_dead_letter *letter)
{
    char first[TIME_BYTES], last[TIME_BYTES], state[TIME_BYTES], error[TEXT_BYTES];
    fprintf(stream, "  reason         %s: %s\n  error          code %" PRId32 ", %s\n",
            hl_dead_reason_name(letter->reason), hl_dead_reason_text(letter->reason),
            letter->error_code, printable(letter->error_text, error));
    fprintf(stream, "  attempts       %" PRIu32 "\n  first failed   %s\n  last failed    %s\n",
            letter->attempts, time_text(letter->first_failed_ns, first),
            time_text(letter->last_failed_ns, last));
    fprintf(stream, "  state          %s since %s, redriven %" PRIu32 " times\n",
            hl_dead_state_name(letter->state), time_text(letter->state_ns, state),
            letter->redrives);
}

void dlq_print_letter(FILE *stream, const hl_dead_letter *letter)
{
    char topic[TEXT_BYTES], subscription[TEXT_BYTES], pattern[TEXT_BYTES];
    fprintf(stream, "letter %" PRIu64 "\n  topic          %s\n  subscription   %s (%s)\n",
            letter->id, printable(letter->topic, topic),
            printable(letter->subscription, subscription), printable(letter->pattern, pattern));
    print_failure(stream, letter);
    print_history(stream, letter);
    print_event(stream, letter);
}

/* ------- JSON ------- */

/* A text that may not be UTF-8, which JSON must be. */
static json_t *text_json(const char *text)
{
    json_t *const string = json_string(text);
    if (string != NULL)
        return string;
    char *const copy = strdup(text);
    if (copy == NULL)
        return json_null();
    for (char *at = copy; *at != '\0'; at++)
        *at = (unsigned char)*at < 0x80 ? *at : '?';
    json_t *const plain = json_string(copy);
    free(copy);
    return plain;
}

static void set_integer(json_t *object, const char *name, uint64_t value)
{
    json_object_set_new(object, name, json_integer((json_int_t)value));
}

/* A number that uses all 64 bits, which many readers of JSON would round. */
static void set_decimal(json_t *object, const char *name, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, value);
    json_object_set_new(object, name, json_string(text));
}

static json_t *history_json(const hl_dead_letter *letter)
{
    json_t *const lives = json_array();
    for (uint32_t i = 0; i < letter->history_count; i++) {
        const hl_dead_history *const life = &letter->history[i];
        json_t *const object = json_object();
        json_object_set_new(object, "reason", json_string(hl_dead_reason_name(life->reason)));
        json_object_set_new(object, "error_code", json_integer(life->error_code));
        set_integer(object, "attempts", life->attempts);
        set_integer(object, "first_failed_ns", life->first_failed_ns);
        set_integer(object, "last_failed_ns", life->last_failed_ns);
        set_integer(object, "redriven_ns", life->redriven_ns);
        json_array_append_new(lives, object);
    }
    return lives;
}

static json_t *payload_json(const hl_event *event)
{
    static const char hexadecimal[] = "0123456789abcdef";
    const unsigned char *const payload = hl_payload(event);
    char *const text = malloc((size_t)event->payload_size * 2 + 1);
    if (text == NULL)
        return json_null();
    for (uint32_t i = 0; i < event->payload_size; i++) {
        text[2 * i] = hexadecimal[payload[i] >> 4];
        text[2 * i + 1] = hexadecimal[payload[i] & 15];
    }
    text[(size_t)event->payload_size * 2] = '\0';
    json_t *const string = json_string(text);
    free(text);
    return string;
}

static json_t *event_json(const hl_dead_letter *letter)
{
    const hl_event *const event = letter->event;
    json_t *const object = json_object();
    set_integer(object, "partition", hl_id_partition(letter->event_id));
    set_integer(object, "sequence", event->sequence);
    set_integer(object, "published_ns", event->published_ns);
    set_decimal(object, "key", event->key);
    set_decimal(object, "correlation_id", event->correlation_id);
    set_decimal(object, "causation_id", event->causation_id);
    set_integer(object, "schema_version", event->schema_version);
    set_integer(object, "priority", event->priority);
    set_integer(object, "flags", event->flags);
    set_integer(object, "payload_size", event->payload_size);
    json_object_set_new(object, "payload_hex", payload_json(event));
    return object;
}

json_t *dlq_letter_json(const hl_dead_letter *letter, bool whole)
{
    json_t *const object = json_object();
    set_integer(object, "id", letter->id);
    set_decimal(object, "event_id", letter->event_id);
    json_object_set_new(object, "topic", text_json(letter->topic));
    json_object_set_new(object, "source", text_json(letter->source));
    json_object_set_new(object, "subscription", text_json(letter->subscription));
    json_object_set_new(object, "pattern", text_json(letter->pattern));
    json_object_set_new(object, "reason", json_string(hl_dead_reason_name(letter->reason)));
    json_object_set_new(object, "state", json_string(hl_dead_state_name(letter->state)));
    json_object_set_new(object, "error_code", json_integer(letter->error_code));
    json_object_set_new(object, "error", text_json(letter->error_text));
    set_integer(object, "attempts", letter->attempts);
    set_integer(object, "redrives", letter->redrives);
    set_integer(object, "first_failed_ns", letter->first_failed_ns);
    set_integer(object, "last_failed_ns", letter->last_failed_ns);
    set_integer(object, "state_ns", letter->state_ns);
    if (whole) {
        json_object_set_new(object, "history", history_json(letter));
        json_object_set_new(object, "event", event_json(letter));
    }
    return object;
}
