#include "observe/thread_switches.h"

#include <criterion/criterion.h>
#include <sched.h>

Test(thread_switches, of_this_thread_they_do_not_go_back)
{
    const hl_thread_switches before = hl_thread_switches_read(hl_thread_number());
    for (int i = 0; i < 100; i++)
        sched_yield();
    const hl_thread_switches after = hl_thread_switches_read(hl_thread_number());
    /* The largest number stands for "unknown", and then for both. */
    cr_assert_geq(after.involuntary, before.involuntary);
    cr_assert_geq(after.migrations, before.migrations);
}

Test(thread_switches, of_a_thread_that_is_not_there_nothing_is_known)
{
    const hl_thread_switches found = hl_thread_switches_read(0x7fffffff);
    cr_assert_eq(found.involuntary, HL_SWITCHES_UNKNOWN);
    cr_assert_eq(found.migrations, HL_SWITCHES_UNKNOWN);
}
