#include "affinity/memory.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)

static hl_memory map(size_t size, const hl_memory_options *options)
{
    hl_memory memory = {0};
    hl_error error = {0};
    cr_assert_eq(hl_memory_map(size, options, &memory, &error), HL_OK, "%s", error.text);
    cr_assert_eq(memory.size, size);
    cr_assert_geq(memory.mapped, size);
    cr_assert_eq((uintptr_t)memory.address % (uintptr_t)sysconf(_SC_PAGESIZE), 0);
    return memory;
}

Test(memory, is_zeroed_writable_and_present_before_first_use)
{
    hl_memory memory = map(3 * MIB + 1, NULL);
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    cr_assert_eq(memory.mapped % page, 0);
    unsigned char *const resident = calloc(memory.mapped / page, 1);
    cr_assert_eq(mincore(memory.address, memory.mapped, resident), 0);
    for (size_t i = 0; i < memory.mapped / page; i++)
        cr_assert(resident[i] & 1, "page %zu was not touched", i);
    free(resident);
    unsigned char *const bytes = memory.address;
    for (size_t i = 0; i < memory.size; i++)
        cr_assert_eq(bytes[i], 0);
    memset(memory.address, 0xa5, memory.size);
    cr_assert_str_eq(memory.note, "", "nothing was wanted, so nothing fell back");
    hl_memory_unmap(&memory);
    cr_assert_null(memory.address);
    hl_memory_unmap(&memory);
}

Test(memory, no_memory_is_said_and_nothing_is_written)
{
    hl_memory memory = {.size = 42};
    hl_error error = {0};
    cr_assert_eq(hl_memory_map(0, NULL, &memory, &error), HL_INVALID);
    cr_assert_eq(hl_memory_map(SIZE_MAX, NULL, &memory, &error), HL_NO_MEMORY);
    cr_assert_eq(
        hl_memory_map((size_t)1 << 62, &(hl_memory_options){-1, true, true, true}, &memory, &error),
        HL_NO_MEMORY);
    cr_assert_not_null(strstr(error.text, "cannot map 4611686018427387904 bytes"), "%s",
                       error.text);
    cr_assert_eq(memory.size, 42);
}

Test(memory, huge_pages_come_or_the_note_says_why_not)
{
    hl_memory memory = map(4 * MIB + 1, &(hl_memory_options){-1, .want_huge_pages = true});
    if (memory.huge_pages) {
        cr_assert_eq(memory.mapped, 6 * MIB);
        cr_assert_str_eq(memory.note, "");
    } else {
        cr_assert_not_null(strstr(memory.note, "no 2 MiB pages free"), "%s", memory.note);
    }
    memset(memory.address, 1, memory.size);
    hl_memory_unmap(&memory);
}

Test(memory, less_than_a_huge_page_does_not_ask_for_one)
{
    hl_memory memory = map(2 * MIB - 1, &(hl_memory_options){-1, .want_huge_pages = true});
    cr_assert_not(memory.huge_pages);
    cr_assert_str_eq(memory.note, "");
    hl_memory_unmap(&memory);
}

/* Root may lock whatever the limit says: the test gives that up. */
static void forbid_locking(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    cr_skip_test("the sanitizers turn mlock into a call that does nothing and succeeds");
#endif
    const struct rlimit none = {0, 0};
    cr_assert_eq(setrlimit(RLIMIT_MEMLOCK, &none), 0);
    if (geteuid() == 0)
        cr_assert_eq(setuid(65534), 0);
}

Test(memory, a_memlock_limit_is_noted_and_the_memory_works)
{
    forbid_locking();
    hl_memory memory = map(MIB, &(hl_memory_options){-1, .want_lock = true});
    cr_assert_not(memory.locked);
    cr_assert_str_eq(memory.note, "not locked: memlock limit 0 KiB (ulimit -l)");
    memset(memory.address, 1, memory.size);
    hl_memory_unmap(&memory);
}

Test(memory, several_fallbacks_are_all_noted)
{
    forbid_locking();
    hl_memory memory = map(4 * MIB, &(hl_memory_options){4000, true, true, true});
    cr_assert_not(memory.bound);
    cr_assert_not_null(strstr(memory.note, "not bound to node 4000"), "%s", memory.note);
    if (!memory.huge_pages) {
        cr_assert_not_null(strstr(memory.note, "no 2 MiB pages free"), "%s", memory.note);
        cr_assert_not_null(strstr(memory.note, "; not locked: "), "%s", memory.note);
    }
    hl_memory_unmap(&memory);
}

Test(memory, a_lock_within_the_limit_holds)
{
    struct rlimit limit;
    cr_assert_eq(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
    if (geteuid() != 0 && limit.rlim_cur < 64 * 1024)
        cr_skip_test("the memlock limit is below 64 KiB");
    hl_memory memory = map(16 * 1024, &(hl_memory_options){-1, .want_lock = true});
    cr_assert(memory.locked);
    cr_assert_str_eq(memory.note, "");
    hl_memory_unmap(&memory);
}

static uint32_t first_node(void)
{
    FILE *const file = fopen("/sys/devices/system/node/has_memory", "re");
    unsigned node = 0;
    if (file != NULL) {
        cr_assert_eq(fscanf(file, "%u", &node), 1);
        fclose(file);
    }
    return node;
}

Test(memory, a_node_that_is_there_binds_or_the_note_says_why_not)
{
    const int node = (int)first_node();
    hl_memory memory = map(MIB, &(hl_memory_options){.numa_node = node});
    if (memory.bound)
        cr_assert_str_eq(memory.note, "");
    else
        cr_assert_not_null(strstr(memory.note, "not bound to node"), "%s", memory.note);
    hl_memory_unmap(&memory);
}

static int signal_of_child_that_reads(const hl_memory *memory)
{
    const pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        _exit(*(volatile const char *)memory->address);
    }
    int status = 0;
    cr_assert_eq(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

Test(memory, a_child_gets_it_only_when_it_may)
{
    hl_memory shared = map(MIB, &(hl_memory_options){.numa_node = -1});
    hl_memory own = map(MIB, &(hl_memory_options){.numa_node = -1, .dont_fork = true});
    cr_assert_eq(signal_of_child_that_reads(&shared), 0);
    cr_assert_eq(signal_of_child_that_reads(&own), SIGSEGV);
    hl_memory_unmap(&shared);
    hl_memory_unmap(&own);
}
