/*
 * What the kernel says about a machine, as text: files of /proc, /sys, /etc, of this machine or of
 * a captured tree, so that a host with 24 cores can be examined on a laptop.
 *
 *     hl_host *host;
 *     if (hl_host_open("captured", &host, &error) == HL_OK) {
 *         const char *text = hl_host_text(host, NULL, "/proc/irq/%u/smp_affinity_list", 33);
 *         ...
 *         hl_host_close(host);
 *     }
 *
 * Everything read is kept until the host is closed: a second look at a file sees the same text, and
 * hl_host_each then gives exactly what a report was made from, which is what a capture holds.
 * Reading never changes the machine. One thread at a time.
 *
 * A captured tree has the files at their places below its root, and beside them `hotlane/`:
 *   hotlane/manifest         the names of all files of the capture, a line each
 *   hotlane/topology.xml     the machine as hwloc saw it
 *   hotlane/later/PATH       the same file a moment later (see hl_host_text_later)
 *   hotlane/...              what was not read from a file (see hl_host_computed)
 */
#ifndef HL_AFFINITY_HOST_H
#define HL_AFFINITY_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hotlane/status.h>

#include "affinity/cpu_set.h"

/* Text beyond it is cut off at the end of a line. */
#define HL_HOST_FILE_MAX_BYTES (4u * 1024u * 1024u)

/* What is kept of /proc/self/status, for hl_host_text_kept. */
#define HL_HOST_STATUS_LINES "Cpus_allowed_list:|Mems_allowed_list:|CapEff:|Uid:|VmLck:|VmSwap:"

typedef struct hl_host hl_host;

/* Why there is no text. */
typedef enum hl_host_outcome {
    HL_HOST_READ = 0, /* there is */
    HL_HOST_ABSENT,   /* no such file, or the kernel has nothing to say through it */
    HL_HOST_DENIED    /* not for this user */
} hl_host_outcome;

/*
 * `root` NULL: this machine. Else a folder that holds `proc` and `sys`; where it has a manifest,
 * every file of that must be there. HL_OK: *ret_host is the caller's, to be closed. HL_BAD_INPUT
 * with the folder, what is missing and the remedy; HL_NO_MEMORY.
 */
hl_status hl_host_open(const char *root, hl_host **ret_host, hl_error *error);

/* NULL is allowed. Every text it gave ends here. */
void hl_host_close(hl_host *host);

/* Whether it is this machine, so that system calls may complete what files do not say. */
bool hl_host_is_live(const hl_host *host);

/* The root, "" for this machine's. */
const char *hl_host_root(const hl_host *host);

/*
 * The text of the file at a path, which begins with '/', without blanks at its end. NULL when there
 * is none; `ret_outcome` (NULL allowed) says why. Valid until the host is closed.
 */
const char *hl_host_text(hl_host *host, hl_host_outcome *ret_outcome, const char *path, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * The same, of a file that also holds what is nobody's business: only the lines (or, where the
 * first character of `keep` is ' ', the words) that begin with one of the prefixes in `keep`, which
 * stand apart by '|'. Always ask with the same `keep` for one file.
 */
const char *hl_host_text_kept(hl_host *host, hl_host_outcome *ret_outcome, const char *keep,
                              const char *path, ...) __attribute__((format(printf, 4, 5)));

/* The same file as hl_host_text, read once more: the caller waits between the two. */
const char *hl_host_text_later(hl_host *host, const char *path, ...)
    __attribute__((format(printf, 2, 3)));

/* The names in a folder, a line each, sorted; NULL when it cannot be read. */
const char *hl_host_names(hl_host *host, const char *path, ...)
    __attribute__((format(printf, 2, 3)));

/* The next line of such a text: `*cursor` begins as the text (NULL: no lines) and is moved on.
 * False at the end, and for lines of 256 bytes or more. */
bool hl_host_next_line(const char **cursor, char ret_line[256]);

/*
 * What no file says. `name` ("filesystem/dev/shm") is its place below hotlane/ in a capture. On
 * this machine, `compute` writes the text ("" for none) into `size` bytes. NULL for none.
 */
const char *hl_host_computed(hl_host *host, const char *name,
                             void (*compute)(void *context, char *text, size_t size),
                             void *context);

/* The file's whole number, decimal. False when there is no such file or something else in it. */
bool hl_host_number(hl_host *host, int64_t *ret_number, const char *path, ...)
    __attribute__((format(printf, 3, 4)));

/* The file's list of CPUs ("0-3,8"). False when there is no such file or something else in it. */
bool hl_host_cpus(hl_host *host, hl_cpu_set *ret_set, const char *path, ...)
    __attribute__((format(printf, 3, 4)));

/* Gives every text that was read so far, in the order of paths: "/proc/cmdline", what stands below
 * hotlane/ as "/hotlane/...", and a folder whose names were read with '/' at its end. */
void hl_host_each(const hl_host *host,
                  void (*visit)(void *context, const char *path, const char *text), void *context);

#endif
