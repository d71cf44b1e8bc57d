/*
 * Version of the headers, and of the library that is linked. An application that wants to be sure
 * that both are of one kind compares HL_VERSION_NUMBER with hl_version_number().
 */
#ifndef HOTLANE_VERSION_H
#define HOTLANE_VERSION_H

#include <hotlane/status.h>

#define HL_VERSION_MAJOR  0
#define HL_VERSION_MINOR  1
#define HL_VERSION_PATCH  0
#define HL_VERSION_NUMBER (HL_VERSION_MAJOR * 10000 + HL_VERSION_MINOR * 100 + HL_VERSION_PATCH)

#ifdef __cplusplus
extern "C" {
#endif

/* Version of the linked library: major * 10000 + minor * 100 + patch. Any thread. */
HL_API int hl_version_number(void);

/* The same as text, "0.1.0". Static memory. Any thread. */
HL_API const char *hl_version_text(void);

#ifdef __cplusplus
}
#endif
#endif
