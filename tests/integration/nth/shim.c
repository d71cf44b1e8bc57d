#include "shim.h"

#include <dirent.h>
#include <errno.h>
#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* The linker sends a call of `name` to __wrap_name, and ours of __real_name to the C library. */
#define WRAPPED(type, name, ...)            \
    extern type __real_##name(__VA_ARGS__); \
    type __wrap_##name(__VA_ARGS__);        \
    type __wrap_##name(__VA_ARGS__)

static struct {
    uint64_t n;
    uint64_t calls[NTH_KINDS]; /* atomic */
    uint32_t fired;            /* atomic */
    int kind;                  /* -1: not armed; atomic */
    int frames;
    void *place[NTH_FRAMES];
} shim = {.kind = -1};

static const struct {
    const char *name, *calls;
    int number;
} kinds[NTH_KINDS] = {
#define NTH_ROW(name, number, calls) {#name, calls, number},
    NTH_KINDS_LIST(NTH_ROW)
#undef NTH_ROW
};

const char *nth_kind_name(nth_kind kind)
{
    return kinds[kind].name;
}

const char *nth_kind_calls(nth_kind kind)
{
    return kinds[kind].calls;
}

void nth_arm(nth_kind kind, uint64_t n)
{
    void *warm_up[2];
    backtrace(warm_up, 2); /* its first call loads a library */
    memset(shim.calls, 0, sizeof shim.calls);
    __atomic_store_n(&shim.fired, 0, __ATOMIC_RELAXED);
    shim.n = n;
    shim.frames = 0;
    __atomic_store_n(&shim.kind, (int)kind, __ATOMIC_RELEASE);
}

void nth_disarm(void)
{
    __atomic_store_n(&shim.kind, -1, __ATOMIC_RELEASE);
}

uint64_t nth_calls(nth_kind kind)
{
    return __atomic_load_n(&shim.calls[kind], __ATOMIC_RELAXED);
}

bool nth_fired(void)
{
    return __atomic_load_n(&shim.fired, __ATOMIC_ACQUIRE) != 0;
}

int nth_place(void **ret_frames)
{
    memcpy(ret_frames, shim.place, sizeof shim.place);
    return shim.frames;
}

/* Whether this call is the one; errno is then set. */
static bool fails(nth_kind kind)
{
    const int armed = __atomic_load_n(&shim.kind, __ATOMIC_ACQUIRE);
    if (armed < 0 || __atomic_add_fetch(&shim.calls[kind], 1, __ATOMIC_RELAXED) != shim.n ||
        armed != (int)kind)
        return false;
    shim.frames = backtrace(shim.place, NTH_FRAMES);
    __atomic_store_n(&shim.fired, 1, __ATOMIC_RELEASE);
    errno = kinds[kind].number;
    return true;
}

/* ---- time ---- */

extern ssize_t __real_write(int file, const void *from, size_t bytes);

static volatile sig_atomic_t seconds_left;

/* Second by second: one in which all processes were stopped is one, however long it was. */
static void say_where(int number)
{
    static const char words[] = "it hangs; its main thread:\n";
    void *frames[NTH_FRAMES];
    if (--seconds_left > 0) {
        alarm(1);
        return;
    }
    if (__real_write(STDERR_FILENO, words, sizeof words - 1) > 0)
        backtrace_symbols_fd(frames, backtrace(frames, NTH_FRAMES), STDERR_FILENO);
    signal(number, SIG_DFL);
    raise(number);
}

void nth_limit(unsigned seconds)
{
    seconds_left = (sig_atomic_t)seconds;
    signal(SIGALRM, say_where);
    alarm(1);
}

/* ---- what is out ---- */

#define BLOCKS     (1u << 18)
#define BLOCK_GONE ((void *)1)

typedef struct block {
    void *memory;
    size_t bytes;
    void *callers[6];
} block;

static block blocks[BLOCKS]; /* open addressing; under the lock */
static uint64_t block_count, used_slots;
static uint64_t mapped_bytes; /* atomic */
static pthread_mutex_t block_lock = PTHREAD_MUTEX_INITIALIZER;

static size_t home_of(const void *memory)
{
    return (size_t)(((uintptr_t)memory >> 4) * 0x9E3779B97F4A7C15u >> 46);
}

static void note(void *memory, size_t bytes)
{
    if (memory == NULL)
        return;
    void *frames[7];
    const int count = backtrace(frames, 7);
    pthread_mutex_lock(&block_lock);
    size_t at = home_of(memory);
    while (blocks[at].memory != NULL && blocks[at].memory != BLOCK_GONE)
        at = (at + 1) % BLOCKS;
    used_slots += blocks[at].memory == NULL;
    if (used_slots >= BLOCKS - 1)
        abort(); /* a larger table is needed */
    blocks[at] = (block){.memory = memory, .bytes = bytes};
    memcpy(blocks[at].callers, frames + 1, (size_t)(count > 1 ? count - 1 : 0) * sizeof(void *));
    block_count++;
    pthread_mutex_unlock(&block_lock);
}

/* Memory that is not known came from elsewhere: open_memstream, another library. */
static void forget(const void *memory)
{
    if (memory == NULL)
        return;
    pthread_mutex_lock(&block_lock);
    for (size_t at = home_of(memory); blocks[at].memory != NULL; at = (at + 1) % BLOCKS) {
        if (blocks[at].memory != memory)
            continue;
        blocks[at].memory = BLOCK_GONE;
        block_count--;
        break;
    }
    pthread_mutex_unlock(&block_lock);
}

uint64_t nth_blocks(void)
{
    pthread_mutex_lock(&block_lock);
    const uint64_t count = block_count;
    pthread_mutex_unlock(&block_lock);
    return count;
}

uint64_t nth_mapped_bytes(void)
{
    return __atomic_load_n(&mapped_bytes, __ATOMIC_RELAXED);
}

void nth_show_blocks(uint32_t most)
{
    for (size_t at = 0; at < BLOCKS && most > 0; at++) {
        if (blocks[at].memory == NULL || blocks[at].memory == BLOCK_GONE)
            continue;
        most--;
        fprintf(stderr, "  %zu bytes, by\n", blocks[at].bytes);
        int count = 0;
        while (count < 6 && blocks[at].callers[count] != NULL)
            count++;
        backtrace_symbols_fd(blocks[at].callers, count, STDERR_FILENO);
    }
}

/* ---- memory ---- */

WRAPPED(void *, malloc, size_t size)
{
    void *const memory = fails(NTH_MEMORY) ? NULL : __real_malloc(size);
    note(memory, size);
    return memory;
}

WRAPPED(void *, calloc, size_t count, size_t size)
{
    void *const memory = fails(NTH_MEMORY) ? NULL : __real_calloc(count, size);
    note(memory, count * size);
    return memory;
}

WRAPPED(void *, realloc, void *old, size_t size)
{
    if (fails(NTH_MEMORY))
        return NULL;
    forget(old); /* first: another thread may be given its place */
    void *const memory = __real_realloc(old, size);
    note(memory != NULL || size == 0 ? memory : old, size);
    return memory;
}

WRAPPED(void *, aligned_alloc, size_t alignment, size_t size)
{
    void *const memory = fails(NTH_MEMORY) ? NULL : __real_aligned_alloc(alignment, size);
    note(memory, size);
    return memory;
}

WRAPPED(char *, strdup, const char *text)
{
    char *const copy = fails(NTH_MEMORY) ? NULL : __real_strdup(text);
    note(copy, copy != NULL ? strlen(copy) + 1 : 0);
    return copy;
}

WRAPPED(char *, strndup, const char *text, size_t most)
{
    char *const copy = fails(NTH_MEMORY) ? NULL : __real_strndup(text, most);
    note(copy, copy != NULL ? strlen(copy) + 1 : 0);
    return copy;
}

WRAPPED(int, vasprintf, char **ret_text, const char *format, va_list arguments)
{
    if (fails(NTH_MEMORY))
        return -1;
    const int bytes = __real_vasprintf(ret_text, format, arguments);
    if (bytes >= 0)
        note(*ret_text, (size_t)bytes + 1);
    return bytes;
}

int __wrap_asprintf(char **ret_text, const char *format, ...) __attribute__((format(printf, 2, 3)));
int __wrap_asprintf(char **ret_text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const int bytes = __wrap_vasprintf(ret_text, format, arguments);
    va_end(arguments);
    return bytes;
}

WRAPPED(FILE *, open_memstream, char **ret_text, size_t *ret_bytes)
{
    return fails(NTH_MEMORY) ? NULL : __real_open_memstream(ret_text, ret_bytes);
}

WRAPPED(void, free, void *memory)
{
    forget(memory);
    __real_free(memory);
}

static uint64_t pages(size_t bytes)
{
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    return (bytes + page - 1) / page * page;
}

WRAPPED(void *, mmap64, void *at, size_t bytes, int protection, int flags, int file, off_t offset)
{
    if (fails(NTH_MAP))
        return MAP_FAILED;
    void *const memory = __real_mmap64(at, bytes, protection, flags, file, offset);
    if (memory != MAP_FAILED)
        __atomic_add_fetch(&mapped_bytes, pages(bytes), __ATOMIC_RELAXED);
    return memory;
}

WRAPPED(int, munmap, void *memory, size_t bytes)
{
    const int outcome = __real_munmap(memory, bytes);
    if (outcome == 0)
        __atomic_sub_fetch(&mapped_bytes, pages(bytes), __ATOMIC_RELAXED);
    return outcome;
}

/* ---- threads and files ---- */

WRAPPED(int, pthread_create, pthread_t *thread, const pthread_attr_t *attributes,
        void *(*body)(void *), void *context)
{
    return fails(NTH_THREAD) ? EAGAIN : __real_pthread_create(thread, attributes, body, context);
}

extern int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    const mode_t mode = va_arg(arguments, mode_t); /* only looked at where the flags ask for it */
    va_end(arguments);
    return fails(NTH_OPEN) ? -1 : __real_open64(path, flags, mode);
}

WRAPPED(FILE *, fopen64, const char *path, const char *mode)
{
    return fails(NTH_OPEN) ? NULL : __real_fopen64(path, mode);
}

WRAPPED(DIR *, opendir, const char *path)
{
    return fails(NTH_OPEN) ? NULL : __real_opendir(path);
}

typedef int entry_filter(const struct dirent64 *entry);
typedef int entry_order(const struct dirent64 **a, const struct dirent64 **b);
WRAPPED(int, scandir64, const char *path, struct dirent64 ***ret_names, entry_filter *filter,
        entry_order *order)
{
    return fails(NTH_OPEN) ? -1 : __real_scandir64(path, ret_names, filter, order);
}

/* How much of it may be written; -1: it fails. */
static ssize_t share(size_t bytes)
{
    if (fails(NTH_WRITE) || fails(NTH_FULL))
        return -1;
    return (ssize_t)(fails(NTH_SHORT) && bytes > 1 ? bytes / 2 : bytes);
}

WRAPPED(ssize_t, write, int file, const void *from, size_t bytes)
{
    const ssize_t some = share(bytes);
    return some < 0 ? -1 : __real_write(file, from, (size_t)some);
}

WRAPPED(ssize_t, pwrite64, int file, const void *from, size_t bytes, off_t at)
{
    const ssize_t some = share(bytes);
    return some < 0 ? -1 : __real_pwrite64(file, from, (size_t)some, at);
}

WRAPPED(int, fsync, int file)
{
    return fails(NTH_SYNC) ? -1 : __real_fsync(file);
}

WRAPPED(int, fdatasync, int file)
{
    return fails(NTH_SYNC) ? -1 : __real_fdatasync(file);
}

WRAPPED(int, fallocate64, int file, int mode, off_t from, off_t bytes)
{
    return fails(NTH_ROOM) ? -1 : __real_fallocate64(file, mode, from, bytes);
}

WRAPPED(int, posix_fallocate64, int file, off_t from, off_t bytes)
{
    return fails(NTH_ROOM) ? ENOSPC : __real_posix_fallocate64(file, from, bytes);
}

WRAPPED(int, rename, const char *from, const char *to)
{
    return fails(NTH_NAME) ? -1 : __real_rename(from, to);
}

WRAPPED(int, unlink, const char *path)
{
    return fails(NTH_NAME) ? -1 : __real_unlink(path);
}

WRAPPED(int, mkdir, const char *path, mode_t mode)
{
    return fails(NTH_NAME) ? -1 : __real_mkdir(path, mode);
}

WRAPPED(int, ftruncate64, int file, off_t bytes)
{
    return fails(NTH_NAME) ? -1 : __real_ftruncate64(file, bytes);
}
