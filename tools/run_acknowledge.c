#include "run_acknowledge.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "config/domains.h"
#include "ring/order.h"
#include "run_journal.h"

#define PAUSE_NS 500000

struct run_acknowledge {
    const hl_bus *bus;
    const char *path;
    int file;
    int failure; /* errno of the write that failed: nothing is told any more; 0: none has */
    uint32_t ends;
    pthread_t thread;
    struct {
        uint64_t last, written, durable;
    } told[HL_PARTITIONS_MAX];
};

/* False: the file cannot be written. */
static bool tell(run_acknowledge *self, const char *text, int bytes)
{
    const ssize_t written = write(self->file, text, (size_t)bytes);
    if (written != bytes)
        self->failure = written < 0 ? errno : ENOSPC;
    return written == bytes;
}

static void tell_all(run_acknowledge *self, bool begins)
{
    uint32_t domain = 0, shard = 0, n = 0;
    char name[RUN_JOURNAL_NAME], line[RUN_JOURNAL_NAME + 80];
    hl_partition_journal_stats s;
    if (self->failure != 0)
        return;
    for (; n < HL_PARTITIONS_MAX && run_journal_next(self->bus, &domain, &shard, name, &s); n++) {
        if (!begins && self->told[n].last == s.last_sequence &&
            self->told[n].written == s.written_sequence &&
            self->told[n].durable == s.durable_sequence)
            continue;
        const int bytes =
            begins ? snprintf(line, sizeof line, "%s begins %" PRIu64 "\n", name, s.last_sequence)
                   : snprintf(line, sizeof line, "%s %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", name,
                              s.last_sequence, s.written_sequence, s.durable_sequence);
        if (!tell(self, line, bytes))
            return;
        self->told[n].last = s.last_sequence;
        self->told[n].written = s.written_sequence;
        self->told[n].durable = s.durable_sequence;
    }
}

static void *acknowledge(void *context)
{
    run_acknowledge *const self = context;
    const struct timespec pause = {0, PAUSE_NS};
    while (hl_load_relaxed_u32(&self->ends) == 0) { /* Relaxed: a flag; the join orders the rest. */
        tell_all(self, false);
        nanosleep(&pause, NULL);
    }
    return NULL;
}

hl_status run_acknowledge_begin(const hl_bus *bus, const char *path,
                                run_acknowledge **ret_acknowledge, hl_error *error)
{
    *ret_acknowledge = NULL;
    if (path == NULL)
        return HL_OK;
    run_acknowledge *const self = calloc(1, sizeof *self);
    if (self == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "--acknowledge: no memory");
    self->bus = bus;
    self->path = path;
    self->file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (self->file < 0) {
        free(self);
        return hl_error_set(error, HL_SYSTEM, "%s: cannot be opened: %s", path, strerror(errno));
    }
    tell_all(self, true);
    if (pthread_create(&self->thread, NULL, acknowledge, self) != 0) {
        close(self->file);
        free(self);
        return hl_error_set(error, HL_SYSTEM, "--acknowledge: no thread");
    }
    *ret_acknowledge = self;
    return HL_OK;
}

hl_status run_acknowledge_end(run_acknowledge *self, hl_error *error)
{
    if (self == NULL)
        return HL_OK;
    hl_store_relaxed_u32(&self->ends, 1); /* Relaxed, as above. */
    pthread_join(self->thread, NULL);
    tell_all(self, false);
    if (close(self->file) != 0 && self->failure == 0)
        self->failure = errno;
    const hl_status status = self->failure == 0
                                 ? HL_OK
                                 : hl_error_set(error, HL_SYSTEM, "%s: cannot be written: %s",
                                                self->path, strerror(self->failure));
    free(self);
    return status;
}
