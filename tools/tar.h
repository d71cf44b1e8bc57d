/*
 * Writing an archive that tar unpacks: POSIX ustar, files and folders only. The whole format is one
 * header of 512 bytes a file (IEEE Std 1003.1, pax, "ustar Interchange Format"), which does not
 * deserve a library.
 */
#ifndef HL_TOOLS_TAR_H
#define HL_TOOLS_TAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Appends a file, mode 0644, root's, of 1970, so that equal contents make equal archives. The path
 * is relative; one that ends in '/' is a folder (size 0). False: it is longer than ustar can say
 * (255 bytes, 100 of them after a '/'), or it could not be written. */
bool tar_add(FILE *archive, const char *path, const char *content, size_t size);

/* Ends the archive; the stream stays the caller's. */
bool tar_end(FILE *archive);

#endif
