#include "base/crc32c.h"

#include <stdbool.h>
#include <string.h>

#define POLYNOMIAL 0x82f63b78u /* reflected */
#define SLICES     8           /* bytes a step */

/* table[k][b]: the CRC of byte b with k zero bytes behind it. */
static uint32_t table[SLICES][256];
static bool in_hardware;

/* Before main, so that no caller pays for the look: the only state, and never written again. */
__attribute__((constructor)) static void prepare(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? POLYNOMIAL : 0);
        table[0][byte] = crc;
    }
    for (int slice = 1; slice < SLICES; slice++)
        for (uint32_t byte = 0; byte < 256; byte++) {
            const uint32_t before = table[slice - 1][byte];
            table[slice][byte] = (before >> 8) ^ table[0][before & 0xff];
        }
#if defined(__x86_64__)
    __builtin_cpu_init();
    in_hardware = __builtin_cpu_supports("sse4.2") != 0;
#endif
}

uint32_t hl_crc32c_by_table(uint32_t crc, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    crc = ~crc;
    for (; size >= SLICES; size -= SLICES, at += SLICES) {
        uint32_t low, high;
        memcpy(&low, at, sizeof low);
        memcpy(&high, at + sizeof low, sizeof high);
        low ^= crc;
        crc = table[7][low & 0xff] ^ table[6][(low >> 8) & 0xff] ^ table[5][(low >> 16) & 0xff] ^
              table[4][low >> 24] ^ table[3][high & 0xff] ^ table[2][(high >> 8) & 0xff] ^
              table[1][(high >> 16) & 0xff] ^ table[0][high >> 24];
    }
    for (; size > 0; size--)
        crc = (crc >> 8) ^ table[0][(crc ^ *at++) & 0xff];
    return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const uint8_t *at,
                                                                 size_t size)
{
    uint64_t state = (uint32_t)~crc;
    for (; size >= sizeof(uint64_t); size -= sizeof(uint64_t), at += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        state = __builtin_ia32_crc32di(state, word);
    }
    uint32_t rest = (uint32_t)state;
    if (size >= sizeof(uint32_t)) {
        uint32_t word;
        memcpy(&word, at, sizeof word);
        rest = __builtin_ia32_crc32si(rest, word);
        size -= sizeof word;
        at += sizeof word;
    }
    for (; size > 0; size--)
        rest = __builtin_ia32_crc32qi(rest, *at++);
    return ~rest;
}

__attribute__((target("sse4.2"))) static uint32_t words_by_instruction(uint32_t crc, uint32_t first,
                                                                       const uint8_t *at,
                                                                       size_t words)
{
    uint64_t state = __builtin_ia32_crc32si(~crc, first);
    for (; words > 0; words--, at += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        state = __builtin_ia32_crc32di(state, word);
    }
    return ~(uint32_t)state;
}
#endif

uint32_t hl_crc32c(uint32_t crc, const void *bytes, size_t size)
{
#if defined(__x86_64__)
    if (__builtin_expect(in_hardware, 1))
        return by_instruction(crc, bytes, size);
#endif
    return hl_crc32c_by_table(crc, bytes, size);
}

uint32_t hl_crc32c_words(uint32_t crc, uint32_t first, const void *bytes, size_t words)
{
#if defined(__x86_64__)
    if (__builtin_expect(in_hardware, 1))
        return words_by_instruction(crc, first, bytes, words);
#endif
    crc = hl_crc32c_by_table(crc, &first, sizeof first);
    return hl_crc32c_by_table(crc, bytes, words * sizeof(uint64_t));
}
