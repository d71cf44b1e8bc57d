/*
 * Usage: dlq_sample FILE [hold]
 *
 * Makes a file of six dead letters, as a bus would; letter 2 was redriven and failed again. With
 * `hold` it then keeps the file open, as a running bus does, until its input ends.
 */
#include <stdalign.h>
#include <stdio.h>
#include <string.h>

#include "fault/dead_letter.h"

#define DAY_NS UINT64_C(1795219200000000000) /* 2026-11-21T00:00:00Z */

static uint32_t name(hl_dead_letters *letters, const char *text)
{
    uint32_t number = 0;
    hl_dead_letters_intern(letters, text, &number);
    return number;
}

static hl_status post(hl_dead_letters *letters, uint64_t number, uint64_t redriven_id)
{
    static struct {
        alignas(64) hl_event event;
        char payload[64];
    } made;
    const bool odd = number % 2 != 0;
    made.event = (hl_event){.sequence = 1000 + number,
                            .published_ns = DAY_NS + number * HL_SECOND,
                            .key = UINT64_MAX - number};
    made.event.payload_size =
        (uint32_t)snprintf(made.payload, sizeof made.payload, "payload of %d", (int)number);
    const hl_dead_post failed = {.topic = name(letters, odd ? "fill.done" : "order.new"),
                                 .source = name(letters, "gateway-a"),
                                 .subscription = name(letters, odd ? "book" : "risk"),
                                 .pattern = name(letters, odd ? "fill.*" : "order.>"),
                                 .partition = 2,
                                 .reason = odd ? HL_DEAD_REJECTED : HL_DEAD_EXHAUSTED,
                                 .error_code = (int32_t)number,
                                 .attempts = 4,
                                 .error_text = odd ? "no such order" : "limit \x1b[31mexceeded",
                                 .first_failed_ns = DAY_NS + number * HL_SECOND,
                                 .last_failed_ns = DAY_NS + number * HL_SECOND,
                                 .redriven_id = redriven_id};
    const hl_status status = hl_dead_letters_post(letters, &failed, &made.event);
    return status == HL_OK ? hl_dead_letters_drain(letters, NULL) : status;
}

static hl_status accept(const hl_dead_letter *letter, void *context)
{
    (void)letter;
    (void)context;
    return HL_OK;
}

static hl_status write_all(hl_dlq *dlq, hl_dead_letters *letters)
{
    hl_status status = HL_OK;
    for (uint64_t i = 1; i <= 6 && status == HL_OK; i++)
        status = post(letters, i, 0);
    if (status != HL_OK)
        return status;
    hl_dlq_filter second = HL_DLQ_FILTER_INIT;
    second.id = 2;
    hl_dead_letters_set_redriver(letters, accept, NULL);
    status = hl_dlq_redrive(dlq, &second, NULL, NULL);
    return status == HL_OK ? post(letters, 2, 2) : status;
}

int main(int argc, char **argv)
{
    hl_dlq_options options = HL_DLQ_OPTIONS_INIT;
    hl_dlq *dlq = NULL;
    hl_dead_letters *letters = NULL;
    hl_error error = {HL_OK, ""};
    options.path = argc > 1 ? argv[1] : NULL;
    if (hl_dlq_open(&options, &dlq, &error) != HL_OK ||
        hl_dead_letters_create(dlq, 64, 256, &letters, &error) != HL_OK)
        return fprintf(stderr, "%s\n", error.text), 1;
    const hl_status status = write_all(dlq, letters);
    if (argc > 2) {
        puts("holding");
        fflush(stdout);
        while (getchar() != EOF)
            ;
    }
    hl_dead_letters_destroy(letters);
    return hl_dlq_close(dlq, &error) == HL_OK && status == HL_OK ? 0 : 1;
}
