/*
 * Any bytes as a snapshot. The first byte of the input chooses whether its CRCs are made right.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "journal/snapshot.h"

#define HEAD_SIZE   128u /* as snapshot.h tells; the CRCs stand in its last 16 bytes */
#define BODY_CRC_AT 116u
#define CRC_AT      124u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hl_snapshot snapshot;
    if (size < 1)
        return 0;
    uint8_t *const bytes = malloc(size);
    if (bytes == NULL)
        return 0;
    memcpy(bytes, data + 1, size - 1);
    if ((data[0] & 1) != 0 && size - 1 >= HEAD_SIZE) {
        const uint32_t body = hl_crc32c(0, bytes + HEAD_SIZE, size - 1 - HEAD_SIZE);
        memcpy(bytes + BODY_CRC_AT, &body, sizeof body);
        const uint32_t crc = hl_crc32c(0, bytes, CRC_AT);
        memcpy(bytes + CRC_AT, &crc, sizeof crc);
    }
    if (hl_snapshot_decode(bytes, size - 1, "input", &snapshot, NULL) == HL_OK) {
        volatile size_t sum = strlen(snapshot.name);
        for (size_t i = 0; i < snapshot.size; i++)
            sum += ((const uint8_t *)snapshot.payload)[i];
        for (uint32_t i = 0; i < snapshot.positions_count; i++)
            sum += strlen(snapshot.positions[i].partition);
        hl_snapshot_release(&snapshot);
    }
    free(bytes);
    return 0;
}
