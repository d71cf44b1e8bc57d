/*
 * Encryption of sealed segments and of snapshots: XChaCha20-Poly1305 (libsodium), each frame by
 * itself, so that a seek decrypts one and no file need be in memory whole. A frame's nonce is its
 * file's random one with the frame's number in its last 8 bytes (exclusive or): 16 random bytes a
 * file, and never one twice within it.
 *
 * In a build without libsodium there are no keys: what needs one gives HL_UNSUPPORTED.
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

#define HL_CRYPT_XCHACHA 1u /* the cipher's number in the files' headers; 0: not encrypted */

/* The key for new files; NULL: there is none. `keys` may be NULL. */
const hl_crypt_key *hl_crypt_newest(const hl_journal_keys *keys);

/* The one that a file is encrypted with; `keys` may be NULL. HL_NOT_ALLOWED: no key was given, or
 * not this one; HL_UNSUPPORTED: this build has no encryption. The sentence begins with `path`. */
hl_status hl_crypt_find(const hl_journal_keys *keys, uint64_t id, const char *path,
                        const hl_crypt_key **ret_key, hl_error *error);

/* Whether the file's key is not there, as hl_crypt_find says it: no damage, and no reason to go on
 * without the file. */
static inline bool hl_crypt_is_locked(hl_status status)
{
    return status == HL_NOT_ALLOWED || status == HL_UNSUPPORTED;
}

/* As hl_journal_keys_load; HL_OK and NULL where nobody names a key: neither `path` nor the
 * environment. */
hl_status hl_crypt_keys_if_any(const char *path, hl_journal_keys **ret_keys, hl_error *error);

/* The same keys once more, for hl_journal_keys_free. NULL: no memory. */
hl_journal_keys *hl_crypt_keys_copy(const hl_journal_keys *keys);

hl_status hl_crypt_nonce(uint8_t ret_nonce[HL_CRYPT_NONCE_SIZE]);

/* What a frame is bound to: it is found wrong in another place or another file. */
typedef struct hl_crypt_place {
    const uint8_t *nonce; /* of the file, HL_CRYPT_NONCE_SIZE bytes */
    uint64_t frame;       /* its number, never used twice with one nonce */
    const void *also;     /* further bytes that must be the same; may be NULL */
    size_t also_size;
} hl_crypt_place;

/* Writes size + HL_CRYPT_TAG_SIZE bytes. */
hl_status hl_crypt_lock(const hl_crypt_key *key, const hl_crypt_place *place, const void *plain,
                        size_t size, void *ret_cipher);

/* Writes size - HL_CRYPT_TAG_SIZE bytes; `ret_plain` may be `cipher`. HL_DAMAGED: not what was
 * locked with this key here. */
hl_status hl_crypt_unlock(const hl_crypt_key *key, const hl_crypt_place *place, const void *cipher,
                          size_t size, void *ret_plain);

#endif
