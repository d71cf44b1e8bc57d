#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>

#include <hotlane/version.h>

const char *hl_status_text(hl_status status)
{
    switch (status) {
#define STATUS_TEXT(code, value, text) \
    case code:                         \
        return text;
        HL_STATUS_LIST(STATUS_TEXT)
#undef STATUS_TEXT
    }
    return "unknown status";
}

const char *hl_status_name(hl_status status)
{
    switch (status) {
#define STATUS_NAME(code, value, text) \
    case code:                         \
        return #code;
        HL_STATUS_LIST(STATUS_NAME)
#undef STATUS_NAME
    }
    return "unknown status";
}

hl_status hl_error_set(hl_error *error, hl_status status, const char *format, ...)
{
    if (error == NULL)
        return status;
    error->status = status;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    return status;
}

#define TEXT_OF(x) #x
#define TEXT(x)    TEXT_OF(x)

int hl_version_number(void)
{
    return HL_VERSION_NUMBER;
}

const char *hl_version_text(void)
{
    return TEXT(HL_VERSION_MAJOR) "." TEXT(HL_VERSION_MINOR) "." TEXT(HL_VERSION_PATCH);
}
