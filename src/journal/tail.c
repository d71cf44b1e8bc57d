#include "journal/tail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/io.h"

#define TAIL_MAGIC 0x326c6961745f6c68u /* "hl_tail2" as it lies in memory */
#define LOOKS      100u /* at a mark that is being written; a write takes far less than one */

/* All of the file, which each write replaces: a reader that comes in the middle finds no whole one
 * and looks again. */
typedef struct hl_tail_mark {
    uint64_t magic;
    uint64_t shown; /* the last sequence that may be shown */
    uint64_t check; /* its complement */
} hl_tail_mark;

struct hl_tail {
    int file;
    uint64_t told;
};

static hl_status failed(hl_error *error, const char *path, const char *what)
{
    return hl_io_error(error, -errno, path, what);
}

/* The lock goes with the open file description: gone when its owner dies. */
static int lock_command(int file, int command, short type, struct flock *lock)
{
    *lock = (struct flock){.l_type = type, .l_whence = SEEK_SET};
    return fcntl(file, command, lock);
}

static hl_status make_directories(const char *directory, const char *partition, char ret_path[4096],
                                  hl_error *error)
{
    const int length = snprintf(ret_path, 4096, "%s/%s", directory, partition);
    if (length < 0 || length >= 4096 - (int)sizeof HL_TAIL_NAME - 1)
        return hl_error_set(error, HL_INVALID, "%.200s...: the path is too long", directory);
    if (mkdir(directory, 0777) != 0 && errno != EEXIST)
        return failed(error, directory, "make the directory");
    if (mkdir(ret_path, 0777) != 0 && errno != EEXIST)
        return failed(error, ret_path, "make the directory");
    strcat(ret_path, "/" HL_TAIL_NAME);
    return HL_OK;
}

/* Writes the mark, which wakes who waits. */
static bool show(hl_tail *tail, uint64_t last_sequence)
{
    const hl_tail_mark mark = {TAIL_MAGIC, last_sequence, ~last_sequence};
    const ssize_t done = pwrite(tail->file, &mark, sizeof mark, 0);
    if (done >= 0 && done < (ssize_t)sizeof mark)
        errno = ENOSPC;
    if (done == (ssize_t)sizeof mark)
        tail->told = last_sequence;
    return done == (ssize_t)sizeof mark;
}

static hl_status prepare(hl_tail *tail, const char *path, uint64_t last_sequence, hl_error *error)
{
    struct flock lock;
    tail->file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (tail->file < 0)
        return failed(error, path, "open");
    if (lock_command(tail->file, F_OFD_SETLK, F_WRLCK, &lock) != 0)
        return errno == EAGAIN || errno == EACCES
                   ? hl_error_set(error, HL_LOCKED, "%s: another process writes this journal", path)
                   : failed(error, path, "lock");
    return show(tail, last_sequence) ? HL_OK : failed(error, path, "write");
}

static hl_status make(const char *path, uint64_t last_sequence, hl_tail **ret_tail, hl_error *error)
{
    hl_tail *const tail = calloc(1, sizeof *tail);
    if (tail == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "%s: out of memory", path);
    tail->file = -1;
    const hl_status status = prepare(tail, path, last_sequence, error);
    if (status == HL_OK)
        *ret_tail = tail;
    else
        hl_tail_close(tail);
    return status;
}

hl_status hl_tail_create(const char *directory, const char *partition, bool owns_partition,
                         uint64_t last_sequence, hl_tail **ret_tail, hl_error *error)
{
    char path[4096];
    hl_status status = make_directories(directory, partition, path, error);
    if (status == HL_OK)
        status = make(path, last_sequence, ret_tail, error);
    /* A child that a dead writer forked has it open still: its name is given to a new file. */
    if (status == HL_LOCKED && owns_partition && unlink(path) == 0)
        status = make(path, last_sequence, ret_tail, error);
    return status;
}

void hl_tail_tell(hl_tail *tail, uint64_t last_sequence)
{
    if (last_sequence != tail->told)
        /* What cannot be written now is with the next call, which finds it untold. */
        (void)show(tail, last_sequence);
}

void hl_tail_close(hl_tail *tail)
{
    if (tail == NULL)
        return;
    if (tail->file >= 0) {
        struct flock lock;
        lock_command(tail->file, F_OFD_SETLK, F_UNLCK, &lock);
        /* Wakes who waits. Behind the mark, which another writer's may be by now; a reader that is
         * not woken finds out when it looks. */
        (void)!pwrite(tail->file, "", 1, sizeof(hl_tail_mark));
        close(tail->file);
    }
    free(tail);
}

void hl_tail_view_init(hl_tail_view *view, const char *partition_directory)
{
    *view = (hl_tail_view){.file = -1, .shown = UINT64_MAX};
    if (partition_directory != NULL)
        snprintf(view->path, sizeof view->path, "%s/" HL_TAIL_NAME, partition_directory);
}

/* A writer uses the same file again, but for one that another holds (hl_tail_create). */
static bool is_open(hl_tail_view *view)
{
    struct stat named, opened;
    if (view->file < 0)
        return false;
    if (stat(view->path, &named) != 0 || fstat(view->file, &opened) != 0 ||
        (named.st_ino == opened.st_ino && named.st_dev == opened.st_dev))
        return true;
    hl_tail_view_close(view);
    return false;
}

static bool open_view(hl_tail_view *view)
{
    if (is_open(view))
        return true;
    if (view->path[0] != '\0')
        view->file = open(view->path, O_RDONLY | O_CLOEXEC);
    return view->file >= 0;
}

/* Notes the mark, if there is a whole one: what was noted last else holds on. */
static void read_mark(hl_tail_view *view)
{
    hl_tail_mark mark;
    for (unsigned i = 0; i < LOOKS; i++) {
        if (pread(view->file, &mark, sizeof mark, 0) != (ssize_t)sizeof mark ||
            mark.magic != TAIL_MAGIC)
            return; /* being made just now: its writer has written nothing yet */
        if (mark.shown == ~mark.check) {
            view->shown = mark.shown;
            return;
        }
    }
}

uint64_t hl_tail_view_limit(hl_tail_view *view)
{
    struct flock lock;
    if (!open_view(view))
        return UINT64_MAX;
    const bool lives =
        lock_command(view->file, F_OFD_GETLK, F_RDLCK, &lock) == 0 && lock.l_type != F_UNLCK;
    if (!lives)
        return UINT64_MAX;
    read_mark(view);
    return view->shown;
}

void hl_tail_view_close(hl_tail_view *view)
{
    if (view->file >= 0)
        close(view->file);
    view->file = -1;
    view->shown = UINT64_MAX;
}
