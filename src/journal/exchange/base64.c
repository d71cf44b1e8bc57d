#include "journal/exchange/base64.h"

#include <stdint.h>
#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void hl_base64_encode(const void *bytes, size_t size, char *ret_text)
{
    const uint8_t *at = bytes;
    for (; size >= 3; size -= 3, at += 3) {
        const uint32_t word = (uint32_t)at[0] << 16 | (uint32_t)at[1] << 8 | at[2];
        for (int shift = 18; shift >= 0; shift -= 6)
            *ret_text++ = digits[word >> shift & 63];
    }
    if (size > 0) {
        const uint32_t word = (uint32_t)at[0] << 16 | (size > 1 ? (uint32_t)at[1] << 8 : 0);
        *ret_text++ = digits[word >> 18 & 63];
        *ret_text++ = digits[word >> 12 & 63];
        *ret_text++ = size > 1 ? digits[word >> 6 & 63] : '=';
        *ret_text++ = '=';
    }
    *ret_text = '\0';
}

static int value_of(char c)
{
    const char *const at = c == '\0' ? NULL : strchr(digits, c);
    return at == NULL ? -1 : (int)(at - digits);
}

bool hl_base64_decode(const char *text, size_t length, void *ret_bytes, size_t limit,
                      size_t *ret_size)
{
    if (length % 4 != 0 || length / 4 * 3 > limit + 2)
        return false;
    uint8_t *const bytes = ret_bytes;
    size_t size = 0;
    for (size_t i = 0; i < length; i += 4) {
        const bool last = i + 4 == length;
        const size_t padding = !last || text[i + 3] != '=' ? 0
                               : text[i + 2] == '='        ? (size_t)2
                                                           : (size_t)1;
        uint32_t word = 0;
        for (size_t j = 0; j < 4; j++) {
            const int value = j < 4 - padding ? value_of(text[i + j]) : 0;
            if (value < 0)
                return false;
            word = word << 6 | (uint32_t)value;
        }
        if ((word & ((1u << (8 * padding)) - 1)) != 0 || size + 3 - padding > limit)
            return false; /* bits that say nothing: two texts would mean the same */
        for (size_t j = 0; j < 3 - padding; j++)
            bytes[size++] = (uint8_t)(word >> (16 - 8 * j));
    }
    *ret_size = size;
    return true;
}
