/*
 * Any bytes as a line of JSON Lines. What is taken must be whole: strings that end, sizes that fit.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "journal/exchange/jsonl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static hl_jsonl_event event;
    memset(&event, 0xaa, sizeof event);
    if (hl_jsonl_parse((const char *)data, size, "input:1", &event, NULL) != HL_OK)
        return 0;
    if (strlen(event.partition.text) >= sizeof event.partition.text ||
        event.last_sequence < event.first_sequence)
        abort();
    if (!event.missing &&
        (strlen(event.topic) >= sizeof event.topic || strlen(event.source) >= sizeof event.source ||
         event.event.payload_size > sizeof event.payload || event.event.sequence == 0 ||
         event.event.priority >= HL_PRIORITIES))
        abort();
    return 0;
}
