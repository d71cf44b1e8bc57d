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
#include "journal/progress.h"

#define TAIL_MAGIC 0x6c696174656e6c68u /* "hlnetail" as it lies in memory */
#define TAIL_SIZE  4096u

typedef struct hl_tail_page {
    uint64_t magic;
    uint64_t reserved[7];
    hl_journal_progress progress; /* a cache line of its own */
    uint64_t poked;               /* written, not mapped: what wakes the readers */
} hl_tail_page;

_Static_assert(sizeof(hl_journal_progress) == 64, "one cache line");
_Static_assert(offsetof(hl_tail_page, progress) == 64, "one cache line");

struct hl_tail {
    int file;
    hl_tail_page *page;
    uint64_t pokes;
    uint64_t written; /* at the last poke */
    uint64_t durable;
    uint64_t state;
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
    tail->file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
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
    memset(&tail->page->progress, 0, sizeof tail->page->progress);
    hl_progress_publish(&tail->page->magic, TAIL_MAGIC);
    return HL_OK;
}

hl_status hl_tail_create(const char *directory, const char *partition, hl_tail **ret_tail,
                         hl_error *error)
{
    char path[4096];
    const hl_status made = make_directories(directory, partition, path, error);
    if (made != HL_OK)
        return made;
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

hl_journal_progress *hl_tail_progress(hl_tail *tail)
{
    return &tail->page->progress;
}

void hl_tail_poke(hl_tail *tail)
{
    const hl_journal_progress *const progress = &tail->page->progress;
    const uint64_t written = hl_progress_read(&progress->written_sequence);
    const uint64_t durable = hl_progress_read(&progress->durable_sequence);
    const uint64_t state = hl_progress_read(&progress->state);
    if (written == tail->written && durable == tail->durable && state == tail->state)
        return;
    tail->written = written;
    tail->durable = durable;
    tail->state = state;
    tail->pokes++;
    /* A reader that is not woken now is woken by the next one: nothing to do about a failure. */
    (void)!pwrite(tail->file, &tail->pokes, sizeof tail->pokes, offsetof(hl_tail_page, poked));
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
        tail->pokes++;
        (void)!pwrite(tail->file, &tail->pokes, sizeof tail->pokes, offsetof(hl_tail_page, poked));
        close(tail->file);
    }
    free(tail);
}

void hl_tail_view_init(hl_tail_view *view, const char *partition_directory)
{
    *view = (hl_tail_view){.file = -1};
    snprintf(view->path, sizeof view->path, "%s/" HL_TAIL_NAME, partition_directory);
}

/* A writer uses the same file again, so that one that is open stays the right one. */
static bool open_view(hl_tail_view *view)
{
    struct stat about;
    if (view->page != NULL)
        return true;
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
    return lives ? hl_progress_read(&view->page->progress.written_sequence) : UINT64_MAX;
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
