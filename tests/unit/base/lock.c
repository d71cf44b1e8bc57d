#include "base/lock.h"
#include "tests/temporary_directory.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[TEMPORARY_DIRECTORY_SIZE];
static char path[TEMPORARY_DIRECTORY_SIZE + 8];

static void setup(void)
{
    temporary_directory_make(NULL, "lock", directory);
    snprintf(path, sizeof path, "%s/lock", directory);
}

static void teardown(void)
{
    temporary_directory_remove(directory);
}

TestSuite(lock, .init = setup, .fini = teardown);

Test(lock, a_second_one_in_this_process_is_refused_and_told_by_whom)
{
    hl_io_owner owner = {0};
    const int lock = hl_lock_take(path, &owner);
    cr_assert_geq(lock, 0);
    cr_assert_eq(hl_lock_take(path, &owner), -EWOULDBLOCK);
    cr_assert_eq(owner.pid, getpid());
    cr_assert(hl_lock_owner_lives(&owner));
    cr_assert_eq(hl_lock_release(lock), 0);
    const int again = hl_lock_take(path, &owner);
    cr_assert_geq(again, 0);
    hl_lock_release(again);
}

/* Runs take in a child that then waits; gives its pid once it holds the lock. */
static pid_t child_with_lock(bool with_heir, pid_t *ret_heir)
{
    int ready[2];
    cr_assert_eq(pipe(ready), 0);
    const pid_t child = fork();
    if (child == 0) {
        hl_io_owner owner;
        pid_t heir = 0;
        if (hl_lock_take(path, &owner) < 0)
            _exit(1);
        if (with_heir) {
            heir = fork();
            if (heir == 0)
                for (;;)
                    pause();
        }
        if (write(ready[1], &heir, sizeof heir) != sizeof heir)
            _exit(1);
        for (;;)
            pause();
    }
    pid_t heir = 0;
    cr_assert_eq(read(ready[0], &heir, sizeof heir), (ssize_t)sizeof heir);
    close(ready[0]);
    close(ready[1]);
    *ret_heir = heir;
    return child;
}

static void end(pid_t child)
{
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

Test(lock, another_process_is_refused_while_the_owner_lives)
{
    pid_t heir;
    const pid_t child = child_with_lock(false, &heir);
    hl_io_owner owner = {0};
    cr_assert_eq(hl_lock_take(path, &owner), -EWOULDBLOCK);
    cr_assert_eq(owner.pid, child);
    end(child);
    const int lock = hl_lock_take(path, &owner);
    cr_assert_geq(lock, 0);
    hl_lock_release(lock);
}

Test(lock, a_dead_owners_lock_is_taken_over_though_its_child_holds_the_file)
{
    pid_t heir;
    cr_assert_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0); /* the heir becomes ours */
    const pid_t child = child_with_lock(true, &heir);
    hl_io_owner owner = {0};
    cr_assert_eq(hl_lock_take(path, &owner), -EWOULDBLOCK);
    end(child);
    const int lock = hl_lock_take(path, &owner);
    cr_assert_geq(lock, 0);
    /* It is a whole lock, not a hole in one. */
    cr_assert_eq(hl_lock_take(path, &owner), -EWOULDBLOCK);
    cr_assert_eq(owner.pid, getpid());
    hl_lock_release(lock);
    end(heir);
}

Test(lock, what_is_released_is_free_though_a_forked_child_holds_the_file)
{
    hl_io_owner owner;
    const int lock = hl_lock_take(path, &owner);
    cr_assert_geq(lock, 0);
    const pid_t heir = fork();
    if (heir == 0)
        for (;;)
            pause();
    const int released = hl_lock_release(lock);
    const int again = hl_lock_take(path, &owner);
    end(heir);
    cr_assert_eq(released, 0);
    cr_assert_geq(again, 0, "%s", strerror(-again));
    hl_lock_release(again);
}

Test(lock, a_pid_that_is_used_again_is_not_the_owner)
{
    hl_io_owner owner;
    hl_lock_self(&owner);
    cr_assert(hl_lock_owner_lives(&owner));
    owner.start_ticks++;
    cr_assert_not(hl_lock_owner_lives(&owner));
    hl_lock_self(&owner);
    owner.boot_id[0] ^= 1;
    cr_assert_not(hl_lock_owner_lives(&owner));
}

Test(lock, of_another_host_nothing_is_taken_over)
{
    hl_io_owner owner;
    hl_lock_self(&owner);
    owner.pid = 999999999;
    cr_assert_not(hl_lock_owner_lives(&owner));
    strcpy(owner.host, "another");
    cr_assert(hl_lock_owner_lives(&owner));
}

Test(lock, a_place_that_cannot_be_written_gives_the_reason)
{
    hl_io_owner owner;
    cr_assert_eq(hl_lock_take("/nowhere/at/all/lock", &owner), -ENOENT);
}
