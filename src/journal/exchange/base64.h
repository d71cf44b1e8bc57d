/*
 * Base64 (RFC 4648 section 4, with padding): payloads in JSON. Pure functions.
 */
#ifndef HL_EXCHANGE_BASE64_H
#define HL_EXCHANGE_BASE64_H

#include <stdbool.h>
#include <stddef.h>

/* Characters for `size` bytes, without a NUL. */
#define HL_BASE64_SIZE(size) (((size) + 2) / 3 * 4)

/* Writes HL_BASE64_SIZE(size) characters and a NUL. */
void hl_base64_encode(const void *bytes, size_t size, char *ret_text);

/* False: not canonical base64, or more than `limit` bytes. */
bool hl_base64_decode(const char *text, size_t length, void *ret_bytes, size_t limit,
                      size_t *ret_size);

#endif
