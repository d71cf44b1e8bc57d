#include "journal/crypt.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#if HL_HAVE_SODIUM
#include <sodium.h>
#endif

#define KEYS_MAX   64u
#define KEY_DIGITS 64u
#define KEY_NAME   "HOTLANE_JOURNAL_KEY"
#define KEY_FILE   "HOTLANE_JOURNAL_KEY_FILE"
#define LINE_SIZE  256 /* a key's line with blanks around it; comments may be longer */

struct hl_journal_keys {
    uint32_t count;
    hl_crypt_key keys[KEYS_MAX];
};

const hl_crypt_key *hl_crypt_newest(const hl_journal_keys *keys)
{
    return keys == NULL || keys->count == 0 ? NULL : &keys->keys[0];
}

hl_status hl_crypt_find(const hl_journal_keys *keys, uint64_t id, const char *path,
                        const hl_crypt_key **ret_key, hl_error *error)
{
    for (uint32_t i = 0; keys != NULL && i < keys->count; i++)
        if (keys->keys[i].id == id) {
            *ret_key = &keys->keys[i];
            return HL_OK;
        }
    if (!HL_HAVE_SODIUM)
        return hl_error_set(error, HL_UNSUPPORTED,
                            "%s: encrypted, and this hotlane was built without libsodium", path);
    if (keys == NULL)
        return hl_error_set(error, HL_NOT_ALLOWED,
                            "%s: encrypted with key %016" PRIx64
                            ", and no key was given: name a file of keys (--key-file, "
                            "journal_key_file or " KEY_FILE ")",
                            path, id);
    return hl_error_set(error, HL_NOT_ALLOWED,
                        "%s: encrypted with key %016" PRIx64
                        ", which is none of the keys that were given",
                        path, id);
}

static hl_status no_key(hl_error *error)
{
    return hl_error_set(error, HL_NOT_FOUND,
                        "no key: neither " KEY_FILE " nor " KEY_NAME " is set");
}

#if HL_HAVE_SODIUM

_Static_assert(HL_CRYPT_NONCE_SIZE == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, "");
_Static_assert(HL_CRYPT_TAG_SIZE == crypto_aead_xchacha20poly1305_ietf_ABYTES, "");

static uint64_t id_of(const uint8_t key[32])
{
    static const char purpose[] = "hotlane journal key id";
    uint64_t id;
    uint8_t hash[crypto_generichash_BYTES];
    crypto_generichash(hash, sizeof hash, (const uint8_t *)purpose, sizeof purpose, key, 32);
    memcpy(&id, hash, sizeof id);
    return id == 0 ? 1 : id;
}

static int digit_of(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* `text` without blanks around it. */
static hl_status add_key(hl_journal_keys *keys, const char *text, const char *place, unsigned line,
                         hl_error *error)
{
    const size_t length = strlen(text);
    if (length != KEY_DIGITS || strspn(text, "0123456789abcdefABCDEF") != KEY_DIGITS)
        return hl_error_set(error, HL_BAD_INPUT,
                            "%s:%u: a key is 64 hexadecimal digits, and this is not; `head -c32 "
                            "/dev/urandom | xxd -p -c32` makes one",
                            place, line);
    if (keys->count == KEYS_MAX)
        return hl_error_set(error, HL_BAD_INPUT, "%s:%u: more than %u keys; remove the oldest",
                            place, line, KEYS_MAX);
    hl_crypt_key *const key = &keys->keys[keys->count++];
    for (size_t i = 0; i < sizeof key->bytes; i++)
        key->bytes[i] = (uint8_t)(digit_of(text[2 * i]) << 4 | digit_of(text[2 * i + 1]));
    key->id = id_of(key->bytes);
    return HL_OK;
}

/* Cuts the blanks on both sides. */
static char *strip(char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    size_t length = strlen(text);
    while (length > 0 && isspace((unsigned char)text[length - 1]))
        text[--length] = '\0';
    return text;
}

/* What `line` had no room for; true: there was more. */
static bool skip_rest(const char *line, FILE *file)
{
    if (strchr(line, '\n') != NULL)
        return false;
    int c = fgetc(file);
    const bool more = c != EOF && c != '\n';
    while (c != EOF && c != '\n')
        c = fgetc(file);
    return more;
}

static hl_status read_lines(hl_journal_keys *keys, FILE *file, const char *path, hl_error *error)
{
    char line[LINE_SIZE];
    hl_status status = HL_OK;
    for (unsigned number = 1; status == HL_OK && fgets(line, sizeof line, file) != NULL; number++) {
        const bool is_long = skip_rest(line, file);
        const char *const text = strip(line);
        if (*text != '#' && is_long)
            status = add_key(keys, "", path, number, error); /* which is refused */
        else if (*text != '#' && *text != '\0')
            status = add_key(keys, text, path, number, error);
    }
    sodium_memzero(line, sizeof line);
    if (status == HL_OK && ferror(file))
        return hl_error_set(error, HL_SYSTEM, "%s: cannot read the keys: %m", path);
    if (status == HL_OK && keys->count == 0)
        return hl_error_set(error, HL_BAD_INPUT,
                            "%s:1: no key in it: write 64 hexadecimal digits a line", path);
    return status;
}

static hl_status read_file(hl_journal_keys *keys, const char *path, hl_error *error)
{
    FILE *const file = fopen(path, "re");
    if (file == NULL)
        return hl_error_set(error, HL_SYSTEM, "%s: cannot open the file of keys: %m", path);
    setvbuf(file, NULL, _IONBF, 0); /* no copy of a key is left in a buffer */
    const hl_status status = read_lines(keys, file, path, error);
    fclose(file);
    return status;
}

static hl_status fill(hl_journal_keys *keys, const char *path, hl_error *error)
{
    if (path == NULL)
        path = getenv(KEY_FILE);
    if (path != NULL)
        return read_file(keys, path, error);
    const char *const text = getenv(KEY_NAME);
    if (text == NULL)
        return no_key(error);
    return add_key(keys, text, KEY_NAME, 1, error);
}

static hl_journal_keys *new_keys(void)
{
    hl_journal_keys *const keys = calloc(1, sizeof *keys);
    if (keys != NULL)
        sodium_mlock(keys, sizeof *keys); /* as far as the limits allow it */
    return keys;
}

hl_status hl_journal_keys_load(const char *path, hl_journal_keys **ret_keys, hl_error *error)
{
    if (sodium_init() < 0)
        return hl_error_set(error, HL_SYSTEM, "libsodium does not start: no random numbers?");
    hl_journal_keys *const keys = new_keys();
    if (keys == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "keys: out of memory");
    const hl_status status = fill(keys, path, error);
    if (status == HL_OK)
        *ret_keys = keys;
    else
        hl_journal_keys_free(keys);
    return status;
}

hl_journal_keys *hl_crypt_keys_copy(const hl_journal_keys *keys)
{
    hl_journal_keys *const copy = new_keys();
    if (copy != NULL)
        *copy = *keys;
    return copy;
}

void hl_journal_keys_free(hl_journal_keys *keys)
{
    if (keys == NULL)
        return;
    sodium_munlock(keys, sizeof *keys); /* overwrites them */
    free(keys);
}

hl_status hl_crypt_nonce(uint8_t ret_nonce[HL_CRYPT_NONCE_SIZE])
{
    if (sodium_init() < 0)
        return HL_SYSTEM;
    randombytes_buf(ret_nonce, HL_CRYPT_NONCE_SIZE);
    return HL_OK;
}

static void nonce_of(const hl_crypt_place *place, uint8_t ret_nonce[HL_CRYPT_NONCE_SIZE])
{
    memcpy(ret_nonce, place->nonce, HL_CRYPT_NONCE_SIZE);
    for (unsigned i = 0; i < 8; i++)
        ret_nonce[HL_CRYPT_NONCE_SIZE - 8 + i] ^= (uint8_t)(place->frame >> (8 * i));
}

hl_status hl_crypt_lock(const hl_crypt_key *key, const hl_crypt_place *place, const void *plain,
                        size_t size, void *ret_cipher)
{
    uint8_t nonce[HL_CRYPT_NONCE_SIZE];
    nonce_of(place, nonce);
    crypto_aead_xchacha20poly1305_ietf_encrypt(ret_cipher, NULL, plain, size, place->also,
                                               place->also_size, NULL, nonce, key->bytes);
    return HL_OK;
}

hl_status hl_crypt_unlock(const hl_crypt_key *key, const hl_crypt_place *place, const void *cipher,
                          size_t size, void *ret_plain)
{
    uint8_t nonce[HL_CRYPT_NONCE_SIZE];
    nonce_of(place, nonce);
    if (size < HL_CRYPT_TAG_SIZE ||
        crypto_aead_xchacha20poly1305_ietf_decrypt(ret_plain, NULL, NULL, cipher, size, place->also,
                                                   place->also_size, nonce, key->bytes) != 0)
        return HL_DAMAGED;
    return HL_OK;
}

#else

hl_status hl_journal_keys_load(const char *path, hl_journal_keys **ret_keys, hl_error *error)
{
    (void)ret_keys;
    if (path == NULL && getenv(KEY_FILE) == NULL && getenv(KEY_NAME) == NULL)
        return no_key(error);
    return hl_error_set(error, HL_UNSUPPORTED,
                        "this hotlane was built without libsodium: it has no encryption");
}

hl_journal_keys *hl_crypt_keys_copy(const hl_journal_keys *keys)
{
    (void)keys;
    return NULL; /* there are none */
}

void hl_journal_keys_free(hl_journal_keys *keys)
{
    free(keys);
}

hl_status hl_crypt_nonce(uint8_t ret_nonce[HL_CRYPT_NONCE_SIZE])
{
    (void)ret_nonce;
    return HL_UNSUPPORTED;
}

hl_status hl_crypt_lock(const hl_crypt_key *key, const hl_crypt_place *place, const void *plain,
                        size_t size, void *ret_cipher)
{
    (void)key, (void)place, (void)plain, (void)size, (void)ret_cipher;
    return HL_UNSUPPORTED;
}

hl_status hl_crypt_unlock(const hl_crypt_key *key, const hl_crypt_place *place, const void *cipher,
                          size_t size, void *ret_plain)
{
    (void)key, (void)place, (void)cipher, (void)size, (void)ret_plain;
    return HL_UNSUPPORTED;
}

#endif

hl_status hl_crypt_keys_if_any(const char *path, hl_journal_keys **ret_keys, hl_error *error)
{
    hl_journal_keys *keys = NULL;
    const hl_status status = hl_journal_keys_load(path, &keys, error);
    const bool none = path == NULL && status == HL_NOT_FOUND;
    if (status == HL_OK || none)
        *ret_keys = keys;
    return none ? HL_OK : status;
}
