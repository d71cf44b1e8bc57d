/* Linked with --wrap=io_uring_submit, so that the kernel can refuse what is asked of it. */
#include "journal/io_uring.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <liburing.h>
#include <stdio.h>
#include <unistd.h>

int __real_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring);

static int refusal; /* what the next submit gives, once; 0: it is done */
static int submitted;

int __wrap_io_uring_submit(struct io_uring *ring)
{
    const int result = refusal;
    refusal = 0;
    if (result != 0)
        return result;
    const int count = __real_io_uring_submit(ring);
    submitted += count;
    return count;
}

static hl_io_uring *create(void)
{
    hl_io_uring *uring = NULL;
    hl_error error;
    if (hl_io_uring_create(-1, &uring, &error) != HL_OK)
        cr_skip_test("%s", error.text);
    return uring;
}

/* Without a name. (Not every overlay file system, as containers have them, knows O_TMPFILE.) */
static int open_file(void)
{
    FILE *const stream = tmpfile();
    cr_assert_not_null(stream);
    const int file = dup(fileno(stream));
    cr_assert_geq(file, 0);
    fclose(stream);
    return file;
}

Test(io_uring, a_sync_that_could_not_begin_is_not_taken_for_the_next_one)
{
    hl_io_uring *const uring = create();
    const hl_io *const io = hl_io_uring_table(uring);
    const int closed = open_file(), file = open_file();
    refusal = -EAGAIN;
    cr_assert_eq(io->sync_begin(io->context, closed), -EAGAIN);
    close(closed); /* its end would be an error */
    for (int i = 1; i <= 8; i++) {
        cr_assert_eq(io->sync_begin(io->context, file), 0);
        cr_assert_eq(submitted, i, "one at a time");
        cr_assert_eq(io->sync_begin(io->context, file), -EBUSY, "it has begun");
        cr_assert_eq(io->sync_end(io->context, file, true), 0);
    }
    close(file);
    hl_io_uring_free(uring);
}

Test(io_uring, a_sync_that_fails_says_so_and_the_next_one_may_begin)
{
    hl_io_uring *const uring = create();
    const hl_io *const io = hl_io_uring_table(uring);
    const int closed = open_file(), file = open_file();
    close(closed);
    cr_assert_eq(io->sync_begin(io->context, closed), 0);
    cr_assert_eq(io->sync_end(io->context, closed, true), -EBADF);
    cr_assert_eq(io->sync_begin(io->context, file), 0);
    int result;
    while ((result = io->sync_end(io->context, file, false)) == -EINPROGRESS)
        usleep(100);
    cr_assert_eq(result, 0);
    close(file);
    hl_io_uring_free(uring);
}
