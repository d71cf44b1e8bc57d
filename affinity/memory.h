/*
 * Memory for rings: page-aligned, zeroed, present before first use, near its reader, and unable to
 * be paged out, as far as the system allows. What it does not allow is told in words, and the
 * memory works all the same.
 *
 *     hl_memory_options options = {.numa_node = 0, .want_huge_pages = true, .want_lock = true};
 *     hl_memory memory;
 *     if (hl_memory_map(size, &options, &memory, &error) == HL_OK && memory.note[0] != '\0')
 *         fprintf(stderr, "%s\n", memory.note);
 *
 * Control plane only: mapping touches each page. Different mappings are independent; any thread.
 */
#ifndef HL_AFFINITY_MEMORY_H
#define HL_AFFINITY_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

#include <hotlane/status.h>

typedef struct hl_memory_options {
    int numa_node;        /* the kernel's number of the node, as in hl_cpu.numa_node; -1: none */
    bool want_huge_pages; /* 2 MiB pages from the reserved pool, for 2 MiB and more */
    bool want_lock;       /* mlock */
    bool dont_fork;       /* a fork's child does not get it: touching it there is a fault */
} hl_memory_options;

typedef struct hl_memory {
    void *address;   /* aligned to a page */
    size_t size;     /* bytes asked for */
    size_t mapped;   /* bytes mapped: size, rounded up to whole pages */
    bool huge_pages; /* what was asked for and came true */
    bool locked;
    bool bound;
    char note[256]; /* "", or each fallback: "no 2 MiB pages free: 4 KiB pages; ..." */
} hl_memory;

/*
 * Maps `size` bytes (1 or more), zeroed and prefaulted. `options` NULL: node -1, nothing wanted.
 * HL_OK: *ret_memory is the caller's, to be unmapped; a wish that failed is in its note. HL_INVALID
 * for size 0; HL_NO_MEMORY when there is no memory, also where a page could not be touched.
 */
hl_status hl_memory_map(size_t size, const hl_memory_options *options, hl_memory *ret_memory,
                        hl_error *error);

/* Gives it back and clears *memory; one that was never mapped (all zero) is left alone. */
void hl_memory_unmap(hl_memory *memory);

#endif
