#include "journal/pack_lock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "journal/packed.h"
#include "journal/segment.h"

#define LOCK_NAME "pack.lock"
#define POLL_NS   10000000L

hl_status hl_pack_lock_take(const hl_io *io, const char *directory, uint64_t wait_ns,
                            hl_io_file *ret_lock, hl_error *error)
{
    const uint64_t began_ns = io->ticks(io->context);
    char path[HL_JOURNAL_PATH_SIZE];
    hl_io_owner owner = {0};
    snprintf(path, sizeof path, "%.4000s/" LOCK_NAME, directory);
    for (;;) {
        const int held = io->lock(io->context, path, &owner);
        if (held >= 0) {
            *ret_lock = held;
            return HL_OK;
        }
        if (held != -EWOULDBLOCK)
            return hl_io_error(error, held, path, "lock");
        if (io->ticks(io->context) - began_ns >= wait_ns)
            return hl_error_set(error, HL_LOCKED,
                                "%s: process %" PRId64 " packs this journal: let it end", path,
                                owner.pid);
        nanosleep(&(struct timespec){.tv_nsec = POLL_NS}, NULL);
    }
}

typedef struct sweeping {
    const hl_io *io;
    const char *directory;
} sweeping;

/* The first that there is: what a list shows while it changes is not told. */
static int sweep_one(void *argument, const char *name)
{
    const sweeping *const this = argument;
    char path[HL_JOURNAL_PATH_SIZE + 256];
    const size_t length = strlen(name), end = strlen(HL_PACK_TEMPORARY);
    if (length <= end || strcmp(name + length - end, HL_PACK_TEMPORARY) != 0)
        return 0;
    snprintf(path, sizeof path, "%s/%s", this->directory, name);
    const int result = this->io->unlink(this->io->context, path);
    return result == 0 || result == -ENOENT ? 1 : result;
}

hl_status hl_pack_sweep(const hl_io *io, const char *partition_directory, hl_error *error)
{
    sweeping this = {io, partition_directory};
    int result;
    while ((result = io->list(io->context, partition_directory, sweep_one, &this)) > 0)
        continue;
    return result < 0
               ? hl_io_error(error, result, partition_directory, "remove what is half packed in")
               : HL_OK;
}
