/*
 * Encryption of sealed segments: XChaCha20-Poly1305 (libsodium), each frame by itself, so that a
 * seek decrypts one. A frame's nonce is its segment's random one with the frame's number in its
 * last 8 bytes (exclusive or): 16 random bytes a segment, and never one twice within it.
 *
 * In a build without libsodium every call but hl_journal_keys_free gives HL_UNSUPPORTED.
 */
#ifndef HL_JOURNAL_CRYPT_H
#define HL_JOURNAL_CRYPT_H

#include <hotlane/journal_reader.h>

#define HL_CRYPT_NONCE_SIZE 24u
#define HL_CRYPT_TAG_SIZE   16u /* bytes that a frame grows by */

typedef struct hl_crypt_key {
    uint64_t id; /* made from the key; never 0. Says which one without giving it away */
    uint8_t bytes[32];
} hl_crypt_key;

/* The key for new segments; the one of an id, NULL: not among them. `keys` may be NULL. */
const hl_crypt_key *hl_crypt_newest(const hl_journal_keys *keys);
const hl_crypt_key *hl_crypt_find(const hl_journal_keys *keys, uint64_t id);

/* As hl_journal_keys_load; HL_OK and NULL where nobody names a key: `path` is NULL, and the
 * environment has none or this build no encryption. */
hl_status hl_crypt_keys_if_any(const char *path, hl_journal_keys **ret_keys, hl_error *error);

hl_status hl_crypt_nonce(uint8_t ret_nonce[HL_CRYPT_NONCE_SIZE]);

/* What a frame is bound to: it is found wrong in another place or another segment. */
typedef struct hl_crypt_place {
    const uint8_t *nonce; /* of the segment, HL_CRYPT_NONCE_SIZE bytes */
    uint64_t frame;       /* its number, never used twice with one nonce */
    const void *also;     /* further bytes that must be the same; may be NULL */
    size_t also_size;
} hl_crypt_place;

/* Writes size + HL_CRYPT_TAG_SIZE bytes. */
hl_status hl_crypt_lock(const hl_crypt_key *key, const hl_crypt_place *place, const void *plain,
                        size_t size, void *ret_cipher);

/* Writes size - HL_CRYPT_TAG_SIZE bytes. HL_DAMAGED: not what was locked with this key here. */
hl_status hl_crypt_unlock(const hl_crypt_key *key, const hl_crypt_place *place, const void *cipher,
                          size_t size, void *ret_plain);

#endif
