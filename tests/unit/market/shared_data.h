/* Where the recordings are; a test that needs one that is not there skips itself, saying so. */
#ifndef TEST_MARKET_SHARED_DATA_H
#define TEST_MARKET_SHARED_DATA_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* `ret_spec`: "FORMAT:PATH" of the file below the folder of recordings. */
static inline void shared_data(const char *format, const char *file, char *ret_spec, size_t room)
{
    snprintf(ret_spec, room, "%s:%s/%s", format, HOTLANE_SHARED_DATA, file);
    const char *const path = ret_spec + strlen(format) + 1;
    if (access(path, R_OK) != 0)
        cr_skip_test("no recording %s", path);
}

#endif
