/*
 * A directory for one test's files, and its removal with all that is in it. For the programs of
 * tests/ alone; a failure ends the program with a sentence.
 */
#ifndef HL_TESTS_TEMPORARY_DIRECTORY_H
#define HL_TESTS_TEMPORARY_DIRECTORY_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEMPORARY_DIRECTORY_SIZE 128

/* Makes PARENT/hotlane-NAME-?????? and writes its path. parent NULL: $TMPDIR, else /tmp. */
static inline void temporary_directory_make(const char *parent, const char *name,
                                            char ret_path[static TEMPORARY_DIRECTORY_SIZE])
{
    const char *const set = getenv("TMPDIR");
    const int length = snprintf(ret_path, TEMPORARY_DIRECTORY_SIZE, "%s/hotlane-%s-XXXXXX",
                                parent != NULL ? parent : (set != NULL ? set : "/tmp"), name);
    if (length >= TEMPORARY_DIRECTORY_SIZE || mkdtemp(ret_path) == NULL) {
        perror(ret_path);
        abort();
    }
}

/* Where many small files are fastest made: a file system in memory if there is one, else NULL. */
static inline const char *temporary_directory_in_memory(void)
{
    return access("/dev/shm", W_OK) == 0 ? "/dev/shm" : NULL;
}

static inline int temporary_directory_remove_one(const char *path, const struct stat *status,
                                                 int kind, struct FTW *place)
{
    (void)status, (void)kind, (void)place;
    return remove(path);
}

/* Removes the directory and all in it; links are removed, not followed. What is gone already is no
 * failure: a test may have moved it away. */
static inline void temporary_directory_remove(const char *path)
{
    nftw(path, temporary_directory_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
