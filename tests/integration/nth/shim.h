/*
 * Makes the n-th call of one kind fail, once, and counts what the program got and has not given
 * back. Linked before the C library by the linker's --wrap (meson.build has the list), so that the
 * calls of hotlane's own code go through it and those of other libraries do not, under
 * AddressSanitizer too.
 */
#ifndef HL_TEST_NTH_SHIM_H
#define HL_TEST_NTH_SHIM_H

#include <stdbool.h>
#include <stdint.h>

/* kind, the errno of the failure, calls */
#define NTH_KINDS_LIST(X)                                                    \
    X(MEMORY, ENOMEM, "malloc, calloc, realloc, aligned_alloc, strdup, ...") \
    X(MAP, ENOMEM, "mmap")                                                   \
    X(THREAD, EAGAIN, "pthread_create")                                      \
    X(OPEN, EMFILE, "open, fopen, opendir, scandir")                         \
    X(WRITE, EIO, "write, pwrite")                                           \
    X(FULL, ENOSPC, "write, pwrite on a full disk")                          \
    X(SHORT, 0, "write, pwrite of half of it")                               \
    X(SYNC, EIO, "fsync, fdatasync")                                         \
    X(ROOM, ENOSPC, "fallocate, posix_fallocate")                            \
    X(NAME, EIO, "rename, unlink, mkdir, ftruncate")

typedef enum nth_kind {
#define NTH_ENUM(name, number, calls) NTH_##name,
    NTH_KINDS_LIST(NTH_ENUM)
#undef NTH_ENUM
        NTH_KINDS
} nth_kind;

#define NTH_FRAMES 24

/* For a process that takes a tenth of a second: it hangs. */
#if defined(__SANITIZE_ADDRESS__)
#define NTH_LIMIT_S 60u
#else
#define NTH_LIMIT_S 30u
#endif

/* In so many seconds, of those in which it runs, the process says where its main thread is, and
 * dies of SIGALRM. */
void nth_limit(unsigned seconds);

/* From here on the calls of each kind are counted, and the n-th (1: the next one) of this kind
 * fails; 0: none does. Any thread's. */
void nth_arm(nth_kind kind, uint64_t n);

/* No call fails any more, none is counted. */
void nth_disarm(void);

/* How many of a kind there were. */
uint64_t nth_calls(nth_kind kind);

/* Whether the call came and failed; where: the addresses of its callers. */
bool nth_fired(void);
int nth_place(void **ret_frames);

/* What was allocated and mapped through the shim so far and is not given back. */
uint64_t nth_blocks(void);
uint64_t nth_mapped_bytes(void);

/* Shows up to `most` of the blocks, with who asked for them, on stderr. */
void nth_show_blocks(uint32_t most);

const char *nth_kind_name(nth_kind kind);
const char *nth_kind_calls(nth_kind kind);

#endif
