#include "journal/tail.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/io.h"
#include "journal/progress.h"

#define TAIL_MAGIC 0x6c696174656e6c68u /* "hlnetail" as it lies in memory */
#define TAIL_SIZE  4096u

typedef struct hl_tail_page {
    uint64_t magic;
    uint64_t reserved[7];
    uint64_t shown; /* JOURNALED: the last sequence that may be shown; a cache line of its own */
    uint64_t padding[7];
    uint64_t poked; /* written, not mapped: what wakes the readers */
} hl_tail_page;

_Static_assert(offsetof(hl_tail_page, shown) == 64, "one cache line");
_Static_assert(offsetof(hl_tail_page, poked) == 128, "one cache line");

struct hl_tail {
    int file;
    hl_tail_page *page;
    uint64_t pokes;
    uint64_t told;
};

static hl_status failed(hl_error *error, const char *path, const char *what)
{
    return hl_io_error(error, -errno, path, what);
}

/* The lock goes with the open file description: kept by the mapping's owner, gone when it dies. */
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

static hl_status prepare(hl_tail *tail, const char *path, hl_error *error)
{
    struct flock lock;
    tail->file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (tail->file < 0)
        return failed(error, path, "open");
    if (lock_command(tail->file, F_OFD_SETLK, F_WRLCK, &lock) != 0)
        return errno == EAGAIN || errno == EACCES
                   ? hl_error_set(error, HL_LOCKED, "%s: another process writes this journal", path)
                   : failed(error, path, "lock");
    /* Blocks that are really there: a full disk is an error here, not a signal at a store. */
    const int allocated = posix_fallocate(tail->file, 0, TAIL_SIZE);
    if (allocated != 0)
        return hl_io_error(error, -allocated, path, "make room for");
    tail->page = mmap(NULL, TAIL_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, tail->file, 0);
    if (tail->page == MAP_FAILED) {
        tail->page = NULL;
        return failed(error, path, "map");
    }
    hl_progress_publish(&tail->page->shown, 0);
    hl_progress_publish(&tail->page->magic, TAIL_MAGIC);
    return HL_OK;
}

static hl_status make(const char *path, hl_tail **ret_tail, hl_error *error)
{
    hl_tail *const tail = calloc(1, sizeof *tail);
    if (tail == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "%s: out of memory", path);
    tail->file = -1;
    const hl_status status = prepare(tail, path, error);
    if (status == HL_OK)
        *ret_tail = tail;
    else
        hl_tail_close(tail);
    return status;
}

hl_status hl_tail_create(const char *directory, const char *partition, bool owns_partition,
                         hl_tail **ret_tail, hl_error *error)
{
    char path[4096];
    hl_status status = make_directories(directory, partition, path, error);
    if (status == HL_OK)
        status = make(path, ret_tail, error);
    /* A child that a dead writer forked has it open still: its name is given to a new file. */
    if (status == HL_LOCKED && owns_partition && unlink(path) == 0)
        status = make(path, ret_tail, error);
    return status;
}

static void poke(hl_tail *tail)
{
    tail->pokes++;
    /* A reader that is not woken now is woken by the next one: nothing to do about a failure. */
    (void)!pwrite(tail->file, &tail->pokes, sizeof tail->pokes, offsetof(hl_tail_page, poked));
}

void hl_tail_tell(hl_tail *tail, uint64_t last_sequence)
{
    if (last_sequence == tail->told)
        return;
    tail->told = last_sequence;
    hl_progress_publish(&tail->page->shown, last_sequence);
    poke(tail);
}

void hl_tail_close(hl_tail *tail)
{
    if (tail == NULL)
        return;
    if (tail->page != NULL)
        munmap(tail->page, TAIL_SIZE);
    if (tail->file >= 0) {
        struct flock lock;
        lock_command(tail->file, F_OFD_SETLK, F_UNLCK, &lock);
        poke(tail);
        close(tail->file);
    }
    free(tail);
}

void hl_tail_view_init(hl_tail_view *view, const char *partition_directory)
{
    *view = (hl_tail_view){.file = -1};
    if (partition_directory != NULL)
        snprintf(view->path, sizeof view->path, "%s/" HL_TAIL_NAME, partition_directory);
}

/* A writer uses the same file again, but for one that another holds (hl_tail_create). */
static bool is_open(hl_tail_view *view)
{
    struct stat named, opened;
    if (view->page == NULL)
        return false;
    if (stat(view->path, &named) != 0 || fstat(view->file, &opened) != 0 ||
        (named.st_ino == opened.st_ino && named.st_dev == opened.st_dev))
        return true;
    hl_tail_view_close(view);
    return false;
}

static bool open_view(hl_tail_view *view)
{
    struct stat about;
    if (is_open(view))
        return true;
    if (view->path[0] == '\0')
        return false;
    const int file = open(view->path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    /* Shorter than a page: being made just now, its writer has published nothing yet. */
    void *const page = fstat(file, &about) == 0 && about.st_size >= TAIL_SIZE
                           ? mmap(NULL, TAIL_SIZE, PROT_READ, MAP_SHARED, file, 0)
                           : MAP_FAILED;
    if (page == MAP_FAILED) {
        close(file);
        return false;
    }
    view->file = file;
    view->page = page;
    return true;
}

uint64_t hl_tail_view_limit(hl_tail_view *view)
{
    if (!open_view(view) || hl_progress_read(&view->page->magic) != TAIL_MAGIC)
        return UINT64_MAX;
    struct flock lock;
    const bool lives =
        lock_command(view->file, F_OFD_GETLK, F_RDLCK, &lock) == 0 && lock.l_type != F_UNLCK;
    return lives ? hl_progress_read(&view->page->shown) : UINT64_MAX;
}

void hl_tail_view_close(hl_tail_view *view)
{
    if (view->page != NULL)
        munmap((void *)(uintptr_t)view->page, TAIL_SIZE);
    if (view->file >= 0)
        close(view->file);
    view->page = NULL;
    view->file = -1;
}
