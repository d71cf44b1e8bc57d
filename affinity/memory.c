#include "affinity/memory.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/mempolicy.h>

#include "affinity/sentence.h"
#include "base/error.h"

#ifndef MAP_HUGE_2MB
#define MAP_HUGE_2MB (21 << 26)
#endif
#ifndef MADV_POPULATE_WRITE /* Linux 5.14 */
#define MADV_POPULATE_WRITE 23
#endif

#define HUGE_PAGE  ((size_t)2 << 20)
#define NODE_LIMIT 1024 /* of Linux: MAX_NUMNODES is at most 2^10 */

static void __attribute__((format(printf, 2, 3))) note(hl_memory *memory, const char *format, ...)
{
    char text[sizeof memory->note];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    hl_sentence_add(memory->note, sizeof memory->note, "%s%s", memory->note[0] ? "; " : "", text);
}

/* A machine with one memory node needs no binding, and containers often forbid the call. */
static bool only_node_is(int node)
{
    char text[32] = "0\n"; /* a kernel without NUMA has no such file, and calls its memory node 0 */
    FILE *const file = fopen("/sys/devices/system/node/has_memory", "re");
    if (file != NULL) {
        if (fgets(text, sizeof text, file) == NULL)
            text[0] = '\0';
        fclose(file);
    }
    char expected[32];
    snprintf(expected, sizeof expected, "%d\n", node);
    return strcmp(text, expected) == 0;
}

static void bind_to_node(hl_memory *memory, int node)
{
    unsigned long mask[NODE_LIMIT / (8 * sizeof(unsigned long))] = {0};
    const size_t bits = 8 * sizeof mask[0];
    if (only_node_is(node)) {
        memory->bound = true;
        return;
    }
    if (node >= NODE_LIMIT) {
        note(memory, "not bound to node %d: there is none", node);
        return;
    }
    mask[(size_t)node / bits] = 1ul << ((size_t)node % bits);
    memory->bound = syscall(SYS_mbind, memory->address, memory->mapped, MPOL_BIND, mask,
                            (unsigned long)NODE_LIMIT + 1, 0u) == 0;
    if (!memory->bound)
        note(memory, "not bound to node %d: %s", node, strerror(errno));
}

/* Makes every page present. The kernel's own call says no where a touch would be a SIGBUS (no huge
 * page left on that node); kernels before it are touched by hand. */
static bool prefault(const hl_memory *memory)
{
    if (madvise(memory->address, memory->mapped, MADV_POPULATE_WRITE) == 0)
        return true;
    if (errno != EINVAL || memory->huge_pages)
        return false;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (size_t offset = 0; offset < memory->mapped; offset += page)
        *((volatile char *)memory->address + offset) = 0;
    return true;
}

static bool map_pages(hl_memory *memory, size_t page_size, int extra_flags, int node)
{
    if (memory->size > SIZE_MAX - page_size) {
        errno = ENOMEM;
        return false;
    }
    memory->mapped = (memory->size + page_size - 1) / page_size * page_size;
    memory->huge_pages = extra_flags != 0;
    void *const address = mmap(NULL, memory->mapped, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | extra_flags, -1, 0);
    if (address == MAP_FAILED)
        return false;
    memory->address = address;
    if (node >= 0)
        bind_to_node(memory, node);
    return true;
}

/* False leaves nothing mapped and no word in the note: normal pages are tried next. */
static bool map_huge(hl_memory *memory, int node)
{
    const hl_memory untouched = *memory;
    if (!map_pages(memory, HUGE_PAGE, MAP_HUGETLB | MAP_HUGE_2MB, node)) {
        *memory = untouched;
        return false;
    }
    if (prefault(memory))
        return true;
    munmap(memory->address, memory->mapped);
    *memory = untouched;
    return false;
}

/*
 * Transparent huge pages are taken only while the pages are first touched, where they cost nothing
 * later. Then they are switched off for this memory: else the kernel might join its small pages
 * into a huge one while the bus runs, and stop whoever touches them. Both are only hints: how many
 * of the pages became huge is not promised, so huge_pages stays false.
 */
static bool map_normal(hl_memory *memory, const hl_memory_options *options)
{
    if (!map_pages(memory, (size_t)sysconf(_SC_PAGESIZE), 0, options->numa_node))
        return false;
    if (options->want_huge_pages && memory->size >= HUGE_PAGE) {
        const bool hinted = madvise(memory->address, memory->mapped, MADV_HUGEPAGE) == 0;
        note(memory, "no 2 MiB pages free (vm.nr_hugepages): 4 KiB pages%s",
             hinted ? ", transparent huge ones where the kernel has them" : "");
    }
    if (!prefault(memory)) {
        const int reason = errno;
        munmap(memory->address, memory->mapped);
        errno = reason;
        return false;
    }
    madvise(memory->address, memory->mapped, MADV_NOHUGEPAGE);
    return true;
}

static void lock(hl_memory *memory)
{
    /* Pages of the huge page pool are never paged out, and count against no limit. */
    memory->locked = memory->huge_pages || mlock(memory->address, memory->mapped) == 0;
    if (memory->locked)
        return;
    const int reason = errno;
    struct rlimit limit;
    if ((reason == ENOMEM || reason == EPERM || reason == EAGAIN) &&
        getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        note(memory, "not locked: memlock limit %llu KiB (ulimit -l)",
             (unsigned long long)limit.rlim_cur / 1024);
    else
        note(memory, "not locked: %s", strerror(reason));
}

hl_status hl_memory_map(size_t size, const hl_memory_options *options, hl_memory *ret_memory,
                        hl_error *error)
{
    static const hl_memory_options nothing_wanted = {.numa_node = -1};
    if (options == NULL)
        options = &nothing_wanted;
    if (size == 0)
        return hl_error_set(error, HL_INVALID, "memory: size is 0; 1 byte or more would be right");
    hl_memory memory = {.size = size};
    const bool try_huge = options->want_huge_pages && size >= HUGE_PAGE;
    if (!(try_huge && map_huge(&memory, options->numa_node)) && !map_normal(&memory, options))
        return hl_error_set(error, HL_NO_MEMORY, "memory: cannot map %zu bytes: %s", size,
                            strerror(errno));
    if (options->want_lock)
        lock(&memory);
    if (options->dont_fork && madvise(memory.address, memory.mapped, MADV_DONTFORK) != 0)
        note(&memory, "a fork's child will share it: %s", strerror(errno));
    *ret_memory = memory;
    return HL_OK;
}

void hl_memory_unmap(hl_memory *memory)
{
    if (memory->address != NULL)
        munmap(memory->address, memory->mapped);
    memset(memory, 0, sizeof *memory);
}
