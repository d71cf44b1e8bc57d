#include "tar.h"

#include <string.h>

#define BLOCK 512

/* Offsets of the fields that are used. */
enum { NAME = 0, MODE = 100, UID = 108, GID = 116, SIZE = 124, TIME = 136, SUM = 148, KIND = 156 };
enum { MAGIC = 257, VERSION = 263, PREFIX = 345, NAME_MAX_BYTES = 100, PREFIX_MAX_BYTES = 155 };

/* A path of more than 100 bytes is cut at a '/' into prefix and name. */
static bool put_path(char header[BLOCK], const char *path)
{
    const size_t length = strlen(path);
    if (length <= NAME_MAX_BYTES) {
        memcpy(header + NAME, path, length);
        return true;
    }
    for (const char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        const size_t prefix = (size_t)(slash - path), name = length - prefix - 1;
        if (name == 0 || name > NAME_MAX_BYTES || prefix > PREFIX_MAX_BYTES)
            continue;
        memcpy(header + PREFIX, path, prefix);
        memcpy(header + NAME, slash + 1, name);
        return true;
    }
    return false;
}

/* The sum of the header's bytes, its own field taken as blanks. */
static void put_sum(char header[BLOCK])
{
    unsigned sum = 0;
    memset(header + SUM, ' ', 8);
    for (int i = 0; i < BLOCK; i++)
        sum += (unsigned char)header[i];
    snprintf(header + SUM, 8, "%06o", sum);
}

bool tar_add(FILE *archive, const char *path, const char *content, size_t size)
{
    static const char zeros[BLOCK];
    char header[BLOCK] = {0};
    const size_t length = strlen(path);
    const bool is_folder = length > 0 && path[length - 1] == '/';
    if (!put_path(header, path))
        return false;
    strcpy(header + MODE, is_folder ? "0000755" : "0000644");
    strcpy(header + UID, "0000000");
    strcpy(header + GID, "0000000");
    snprintf(header + SIZE, 12, "%011zo", size);
    strcpy(header + TIME, "00000000000");
    header[KIND] = is_folder ? '5' : '0';
    memcpy(header + MAGIC, "ustar", 6);
    memcpy(header + VERSION, "00", 2);
    put_sum(header);
    return fwrite(header, 1, BLOCK, archive) == BLOCK &&
           fwrite(content, 1, size, archive) == size &&
           fwrite(zeros, 1, (BLOCK - size % BLOCK) % BLOCK, archive) ==
               (BLOCK - size % BLOCK) % BLOCK;
}

bool tar_end(FILE *archive)
{
    static const char zeros[2 * BLOCK];
    return fwrite(zeros, 1, sizeof zeros, archive) == sizeof zeros && fflush(archive) == 0;
}
