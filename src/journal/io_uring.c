#include "journal/io_uring.h"

#include <stdlib.h>

#include "base/allocate.h"
#include "base/error.h"

#if HL_HAVE_URING

#include <errno.h>
#include <liburing.h>
#include <sched.h>
#include <string.h>

#define ENTRIES 4u /* one is used at a time */

struct hl_io_uring {
    hl_io table;
    struct io_uring ring;
    struct io_uring_sqe *entry; /* in the ring, but the kernel has not taken it yet; NULL: none */
    bool has_begun;
};

static int uring_sync_begin(void *context, hl_io_file file)
{
    hl_io_uring *const uring = context;
    if (uring->has_begun)
        return -EBUSY;
    /* One that the kernel did not take would go with the next: two syncs, and the end of the first
     * taken for that of the second. So it is that next one. */
    if (uring->entry == NULL)
        uring->entry = io_uring_get_sqe(&uring->ring);
    if (uring->entry == NULL)
        return -EBUSY;
    io_uring_prep_fsync(uring->entry, file, IORING_FSYNC_DATASYNC);
    int submitted;
    while ((submitted = io_uring_submit(&uring->ring)) == -EINTR) {
    }
    if (submitted != 1)
        return submitted < 0 ? submitted : -EIO;
    uring->entry = NULL;
    uring->has_begun = true;
    return 0;
}

static int uring_sync_end(void *context, hl_io_file file, bool wait)
{
    hl_io_uring *const uring = context;
    struct io_uring_cqe *done;
    int result;
    (void)file;
    do
        result =
            wait ? io_uring_wait_cqe(&uring->ring, &done) : io_uring_peek_cqe(&uring->ring, &done);
    while (result == -EINTR);
    if (result == -EAGAIN && !wait)
        return -EINPROGRESS;
    if (result < 0)
        return result;
    result = done->res;
    io_uring_cqe_seen(&uring->ring, done);
    uring->has_begun = false;
    return result;
}

/* Its threads would else run wherever a CPU is free for a moment, on a partition's too. */
static void keep_to(hl_io_uring *uring, int cpu)
{
    cpu_set_t cpus;
    if (cpu < 0 || cpu >= CPU_SETSIZE)
        return;
    CPU_ZERO(&cpus);
    CPU_SET((size_t)cpu, &cpus);
    (void)io_uring_register_iowq_aff(&uring->ring, sizeof cpus, &cpus); /* as old kernels let it */
}

hl_status hl_io_uring_create(int cpu, hl_io_uring **ret_uring, hl_error *error)
{
    hl_io_uring *const uring = hl_allocate(1, sizeof *uring);
    if (uring == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "io_uring: out of memory");
    const int result = io_uring_queue_init(ENTRIES, &uring->ring, 0);
    if (result < 0) {
        free(uring);
        return hl_error_set(error, HL_UNSUPPORTED, "io_uring is refused here: %s",
                            strerrordesc_np(-result));
    }
    keep_to(uring, cpu);
    uring->table = *hl_io_posix();
    uring->table.context = uring;
    uring->table.sync_begin = uring_sync_begin;
    uring->table.sync_end = uring_sync_end;
    *ret_uring = uring;
    return HL_OK;
}

void hl_io_uring_free(hl_io_uring *uring)
{
    if (uring == NULL)
        return;
    if (uring->has_begun)
        (void)uring_sync_end(uring, -1, true);
    io_uring_queue_exit(&uring->ring);
    free(uring);
}

#else

struct hl_io_uring {
    hl_io table;
};

hl_status hl_io_uring_create(int cpu, hl_io_uring **ret_uring, hl_error *error)
{
    (void)cpu, (void)ret_uring;
    return hl_error_set(error, HL_UNSUPPORTED, "this hotlane was built without liburing");
}

void hl_io_uring_free(hl_io_uring *uring)
{
    free(uring);
}

#endif

const hl_io *hl_io_uring_table(const hl_io_uring *uring)
{
    return &uring->table;
}
