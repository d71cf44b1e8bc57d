/*
 * A tree of files that stands for a host's /proc and /sys. Included by test programs.
 */
#ifndef TESTS_UNIT_AFFINITY_CAPTURED_H
#define TESTS_UNIT_AFFINITY_CAPTURED_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "affinity/host.h"
#include "tests/temporary_directory.h"

static char captured_root[TEMPORARY_DIRECTORY_SIZE];

/* Makes the folders above `path`, which begins with '/', and gives the whole name. */
static inline const char *captured_path(const char *path)
{
    static char whole[1024];
    snprintf(whole, sizeof whole, "%s%s", captured_root, path);
    for (char *slash = whole + strlen(captured_root) + 1; (slash = strchr(slash, '/')) != NULL;
         slash++) {
        *slash = '\0';
        mkdir(whole, 0700);
        *slash = '/';
    }
    return whole;
}

static inline void captured_write(const char *path, const char *text)
{
    FILE *const file = fopen(captured_path(path), "w");
    cr_assert_not_null(file, "%s", path);
    fputs(text, file);
    cr_assert_eq(fclose(file), 0);
}

/* The file's text, to be freed; NULL when there is no such file. */
static inline char *captured_read(const char *path)
{
    FILE *const file = fopen(captured_path(path), "r");
    if (file == NULL)
        return NULL;
    char *const text = calloc(1, 65536);
    cr_assert_not_null(text);
    cr_assert_lt(fread(text, 1, 65535, file), 65535, "%s", path);
    fclose(file);
    return text;
}

static inline void captured_remove(const char *path)
{
    remove(captured_path(path));
}

/* An empty host. */
static inline void captured_make(void)
{
    temporary_directory_make(NULL, "captured", captured_root);
    captured_path("/proc/");
    captured_path("/sys/");
}

static inline void captured_unmake(void)
{
    temporary_directory_remove(captured_root);
}

static inline hl_host *captured_open(void)
{
    hl_host *host = NULL;
    hl_error error = {0};
    cr_assert_eq(hl_host_open(captured_root, &host, &error), HL_OK, "%s", error.text);
    return host;
}

#endif
