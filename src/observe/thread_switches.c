#include "observe/thread_switches.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FILE_BYTES 8192 /* of `status` and `sched`; what is looked for lies within */

uint32_t hl_thread_number(void)
{
    return (uint32_t)syscall(SYS_gettid);
}

/* "": it cannot be read. */
static void read_file(uint32_t tid, const char *name, char *text, size_t room)
{
    char path[64];
    size_t bytes = 0;
    snprintf(path, sizeof path, "/proc/self/task/%" PRIu32 "/%s", tid, name);
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    for (ssize_t more = 1; file >= 0 && more > 0 && bytes < room - 1; bytes += (size_t)more) {
        more = read(file, text + bytes, room - 1 - bytes);
        if (more < 0)
            more = 0;
    }
    if (file >= 0)
        close(file);
    text[bytes] = '\0';
}

/* The number behind a name and a colon. */
static uint64_t number_behind(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    if (at == NULL || (at = strchr(at, ':')) == NULL)
        return HL_SWITCHES_UNKNOWN;
    return strtoull(at + 1, NULL, 10);
}

hl_thread_switches hl_thread_switches_read(uint32_t tid)
{
    char text[FILE_BYTES];
    hl_thread_switches found;
    read_file(tid, "status", text, sizeof text);
    found.involuntary = number_behind(text, "nonvoluntary_ctxt_switches");
    read_file(tid, "sched", text, sizeof text);
    found.migrations = number_behind(text, "nr_migrations");
    return found;
}
