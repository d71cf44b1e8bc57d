#include "base/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define OWNER_TEXT_SIZE 256
#define STAT_TEXT_SIZE  1024
#define STARTTIME_FIELD 20 /* behind the ")": proc(5) calls it field 22 */

/* The whole of a small file, terminated; 0 bytes when it cannot be read. */
static size_t read_text(int file, char *text, size_t size)
{
    const ssize_t got = pread(file, text, size - 1, 0);
    const size_t length = got > 0 ? (size_t)got : 0;
    text[length] = '\0';
    return length;
}

static size_t read_path(const char *path, char *text, size_t size)
{
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return 0;
    const size_t length = read_text(file, text, size);
    close(file);
    return length;
}

/* When the process began, in ticks since boot; 0: there is none. */
static uint64_t start_of(int64_t pid)
{
    char path[64], text[STAT_TEXT_SIZE];
    snprintf(path, sizeof path, "/proc/%" PRId64 "/stat", pid);
    if (read_path(path, text, sizeof text) == 0)
        return 0;
    /* A program's name may hold spaces and brackets: count from the last bracket. */
    const char *at = strrchr(text, ')');
    for (int field = 0; at != NULL && field < STARTTIME_FIELD; field++)
        at = strchr(at + 1, ' ');
    uint64_t ticks = 0;
    if (at == NULL || sscanf(at + 1, "%" SCNu64, &ticks) != 1)
        return 0;
    return ticks;
}

void hl_lock_self(hl_io_owner *ret_owner)
{
    hl_io_owner owner = {.pid = getpid(), .start_ticks = start_of(getpid())};
    char text[64];
    if (read_path("/proc/sys/kernel/random/boot_id", text, sizeof text) > 0)
        sscanf(text, "%39s", owner.boot_id);
    if (gethostname(owner.host, sizeof owner.host - 1) != 0)
        owner.host[0] = '\0';
    *ret_owner = owner;
}

bool hl_lock_owner_lives(const hl_io_owner *owner)
{
    hl_io_owner self;
    hl_lock_self(&self);
    if (strcmp(owner->host, self.host) != 0)
        return true;
    if (strcmp(owner->boot_id, self.boot_id) != 0)
        return false;
    return start_of(owner->pid) == owner->start_ticks && owner->start_ticks != 0;
}

static bool read_owner(int file, hl_io_owner *ret_owner)
{
    char text[OWNER_TEXT_SIZE];
    hl_io_owner owner = {0};
    if (read_text(file, text, sizeof text) == 0 ||
        sscanf(text, "pid %" SCNd64 " start %" SCNu64 " boot %39s host %63s", &owner.pid,
               &owner.start_ticks, owner.boot_id, owner.host) < 3)
        return false;
    *ret_owner = owner;
    return true;
}

static int write_owner(int file)
{
    hl_io_owner self;
    hl_lock_self(&self);
    char text[OWNER_TEXT_SIZE];
    const int length =
        snprintf(text, sizeof text, "pid %" PRId64 " start %" PRIu64 " boot %s host %s\n", self.pid,
                 self.start_ticks, self.boot_id[0] != '\0' ? self.boot_id : "-", self.host);
    if (ftruncate(file, 0) < 0 || pwrite(file, text, (size_t)length, 0) != length)
        return errno != 0 ? -errno : -EIO;
    return 0;
}

/* True when `path` still names this open file: another may have put a new one in its place between
 * our opening it and our locking it. */
static bool is_named(int file, const char *path)
{
    struct stat opened, named;
    return fstat(file, &opened) == 0 && stat(path, &named) == 0 && opened.st_ino == named.st_ino &&
           opened.st_dev == named.st_dev;
}

/* Opens and locks. A handle, or -EWOULDBLOCK with the file open in *ret_held, or -errno. */
static int try_take(const char *path, int *ret_held)
{
    for (;;) {
        const int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
        if (file < 0)
            return -errno;
        if (flock(file, LOCK_EX | LOCK_NB) < 0) {
            const int result = -errno;
            if (result == -EWOULDBLOCK)
                *ret_held = file;
            else
                close(file);
            return result;
        }
        if (is_named(file, path))
            return file;
        close(file);
    }
}

/* The owner is dead but a child of its holds the file open: a new file gets the name. The held file
 * is renamed away first under a name of our own, so that of two that try only one finds it. */
static int take_over(const char *path, int held)
{
    char aside[4096];
    const int length = snprintf(aside, sizeof aside, "%s.dead-%d", path, getpid());
    if (length < 0 || (size_t)length >= sizeof aside)
        return -ENAMETOOLONG;
    if (!is_named(held, path))
        return -EAGAIN;
    if (rename(path, aside) < 0)
        return errno == ENOENT ? -EAGAIN : -errno;
    if (!is_named(held, aside)) {
        /* Someone was faster, and it is the new owner's file that we moved: give it back. */
        if (link(aside, path) < 0 && errno != EEXIST)
            return -errno;
        unlink(aside);
        return -EAGAIN;
    }
    unlink(aside);
    return 0;
}

int hl_lock_take(const char *path, hl_io_owner *ret_owner)
{
    for (;;) {
        int held = -1;
        const int file = try_take(path, &held);
        if (file >= 0) {
            const int result = write_owner(file);
            if (result < 0) {
                close(file);
                return result;
            }
            return file;
        }
        if (file != -EWOULDBLOCK)
            return file;
        hl_io_owner owner = {0};
        const bool known = read_owner(held, &owner);
        if (!known || hl_lock_owner_lives(&owner)) {
            close(held);
            *ret_owner = owner;
            return -EWOULDBLOCK;
        }
        const int result = take_over(path, held);
        close(held);
        if (result != 0 && result != -EAGAIN) /* else someone was faster, or it is ours */
            return result;
    }
}

int hl_lock_release(int lock)
{
    int result = ftruncate(lock, 0) < 0 ? -errno : 0;
    /* A child that was forked meanwhile has the file open still, and closing ours would leave it
     * the lock for as long as it lives. */
    if (flock(lock, LOCK_UN) < 0 && result == 0)
        result = -errno;
    if (close(lock) < 0 && result == 0)
        result = -errno;
    return result;
}
