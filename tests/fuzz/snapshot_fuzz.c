/*
 * Any bytes as a snapshot, plain or encrypted. The first byte of the input chooses whether its CRCs
 * are made right.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "journal/segment.h"
#include "journal/snapshot_file.h"
#include "memory_journal.h"

#define HEAD_SIZE   128u /* as snapshot_file.c has it; the CRCs stand in its last 16 bytes, */
#define FORMAT_AT   8u
#define BODY_CRC_AT 116u
#define CRC_AT      124u
#define LOCK_SIZE   64u /* and that of an encrypted one's second head in its last 4 */
#define KEY         "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* NULL in a build without encryption. */
static const hl_journal_keys *keys(void)
{
    static hl_journal_keys *all;
    if (all == NULL) {
        setenv("HOTLANE_JOURNAL_KEY", KEY, 1);
        if (hl_journal_keys_load(NULL, &all, NULL) != HL_OK)
            all = NULL;
    }
    return all;
}

static void put_crc(uint8_t *bytes, size_t at, size_t from, size_t size)
{
    const uint32_t crc = hl_crc32c(0, bytes + from, size);
    memcpy(bytes + at, &crc, sizeof crc);
}

static void mend(uint8_t *bytes, size_t size)
{
    if (size < HEAD_SIZE)
        return;
    if (bytes[FORMAT_AT] == 2 && size >= HEAD_SIZE + LOCK_SIZE)
        put_crc(bytes, HEAD_SIZE + LOCK_SIZE - 4, HEAD_SIZE, LOCK_SIZE - 4);
    put_crc(bytes, BODY_CRC_AT, HEAD_SIZE, size - HEAD_SIZE);
    put_crc(bytes, CRC_AT, 0, CRC_AT);
}

static void use(hl_snapshot *snapshot)
{
    volatile size_t sum = strlen(snapshot->name);
    for (size_t i = 0; snapshot->payload != NULL && i < snapshot->size; i++)
        sum += ((const uint8_t *)snapshot->payload)[i];
    for (uint32_t i = 0; i < snapshot->positions_count; i++)
        sum += strlen(snapshot->positions[i].partition);
    hl_snapshot_release(snapshot);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    memory_journal file;
    hl_snapshot snapshot;
    if (size < 1)
        return 0;
    uint8_t *const bytes = malloc(size);
    if (bytes == NULL)
        return 0;
    memcpy(bytes, data + 1, size - 1);
    if ((data[0] & 1) != 0)
        mend(bytes, size - 1);
    memory_journal_init(&file, bytes, size - 1);
    strcpy(file.name, "input");
    if (hl_snapshot_file_read(&file.io, "journal/input", keys(), &snapshot, NULL) == HL_OK)
        use(&snapshot);
    if (hl_snapshot_file_look(&file.io, "journal/input", NULL, &snapshot, NULL) == HL_OK)
        use(&snapshot);
    free(bytes);
    return 0;
}
