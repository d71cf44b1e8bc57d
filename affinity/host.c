#include "affinity/host.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <search.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

/* A file that was asked for; `path` is its place in a capture. */
typedef struct hl_host_file {
    char *path;
    char *text; /* NULL: there is none, for the reason in outcome */
    hl_host_outcome outcome;
} hl_host_file;

struct hl_host {
    char *root;  /* "" for this machine */
    void *files; /* tsearch tree of hl_host_file, by path */
};

static int compare_files(const void *a, const void *b)
{
    return strcmp(((const hl_host_file *)a)->path, ((const hl_host_file *)b)->path);
}

static void free_file(void *pointer)
{
    hl_host_file *const file = pointer;
    free(file->path);
    free(file->text);
    free(file);
}

/* ---- opening -------------------------------------------------------------------------------- */

static bool is_there(const char *root, const char *path)
{
    char whole[PATH_MAX];
    const int length = snprintf(whole, sizeof whole, "%s%s", root, path);
    return length > 0 && (size_t)length < sizeof whole && access(whole, F_OK) == 0;
}

/* A capture that lost files in transport must not look like a machine that lacks features. */
static hl_status check_manifest(hl_host *host, hl_error *error)
{
    const char *manifest = hl_host_text(host, NULL, "/hotlane/manifest");
    char path[256];
    while (hl_host_next_line(&manifest, path))
        if (!is_there(host->root, path))
            return hl_error_set(error, HL_BAD_INPUT,
                                "root: %s%s is missing, but the capture's manifest names it: "
                                "unpack the archive again, or make a new one with `hotlane "
                                "topology capture OUT.tar`",
                                host->root, path);
    return HL_OK;
}

static hl_status check_root(hl_host *host, hl_error *error)
{
    static const char *const needed[] = {"", "/proc", "/sys"};
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++)
        if (!is_there(host->root, needed[i]))
            return hl_error_set(error, HL_BAD_INPUT,
                                "root: %s%s: %s; name a folder into which a capture was unpacked "
                                "(hotlane topology capture OUT.tar; tar -xf OUT.tar -C FOLDER)",
                                host->root, needed[i], strerror(errno));
    return check_manifest(host, error);
}

hl_status hl_host_open(const char *root, hl_host **ret_host, hl_error *error)
{
    hl_host *const host = calloc(1, sizeof *host);
    if (host == NULL || (host->root = strdup(root != NULL ? root : "")) == NULL) {
        free(host);
        return hl_error_set(error, HL_NO_MEMORY, "root: no memory");
    }
    for (size_t length = strlen(host->root); length > 1 && host->root[length - 1] == '/';)
        host->root[--length] = '\0';
    hl_status status = HL_OK;
    if (root != NULL && root[0] == '\0')
        status = hl_error_set(error, HL_BAD_INPUT, "root: the folder's name is empty");
    else if (root != NULL)
        status = check_root(host, error);
    if (status == HL_OK)
        *ret_host = host;
    else
        hl_host_close(host);
    return status;
}

void hl_host_close(hl_host *host)
{
    if (host == NULL)
        return;
    tdestroy(host->files, free_file);
    free(host->root);
    free(host);
}

bool hl_host_is_live(const hl_host *host)
{
    return host->root[0] == '\0';
}

const char *hl_host_root(const hl_host *host)
{
    return host->root;
}

/* ---- files ---------------------------------------------------------------------------------- */

/* The file of that path: one that was asked for before, or a new one that `ret_is_new` says is to
 * be filled. NULL: no memory. */
static hl_host_file *file_of(hl_host *host, const char *path, bool *ret_is_new)
{
    hl_host_file wanted = {.path = (char *)(uintptr_t)path};
    hl_host_file **found = tfind(&wanted, &host->files, compare_files);
    *ret_is_new = found == NULL;
    if (found != NULL)
        return *found;
    hl_host_file *const file = calloc(1, sizeof *file);
    if (file == NULL || (file->path = strdup(path)) == NULL ||
        tsearch(file, &host->files, compare_files) == NULL) {
        if (file != NULL)
            free(file->path);
        free(file);
        return NULL;
    }
    file->outcome = HL_HOST_ABSENT;
    return file;
}

static void trim(char *text)
{
    size_t length = strlen(text);
    while (length > 0 && strchr(" \t\r\n", text[length - 1]) != NULL)
        text[--length] = '\0';
}

/* Reads to the end: the kernel tells no size for files of /proc and /sys. */
static char *read_stream(FILE *stream)
{
    size_t size = 4096, used = 0;
    char *text = malloc(size);
    while (text != NULL) {
        used += fread(text + used, 1, size - used - 1, stream);
        text[used] = '\0';
        if (used + 1 < size)
            break;
        if (size >= HL_HOST_FILE_MAX_BYTES) {
            char *const line = strrchr(text, '\n');
            if (line != NULL)
                *line = '\0';
            break;
        }
        char *const larger = realloc(text, size *= 4);
        if (larger == NULL)
            free(text);
        text = larger;
    }
    if (text != NULL && ferror(stream)) {
        free(text);
        text = NULL;
    }
    return text;
}

static void read_file(const hl_host *host, const char *path, hl_host_file *file)
{
    char whole[PATH_MAX];
    const int length = snprintf(whole, sizeof whole, "%s%s", host->root, path);
    if (length < 0 || (size_t)length >= sizeof whole)
        return;
    errno = 0;
    FILE *const stream = fopen(whole, "re");
    if (stream != NULL) {
        file->text = read_stream(stream);
        const int reason = errno; /* some files of /sys open, and then refuse to be read */
        fclose(stream);
        errno = reason;
    }
    if (file->text != NULL) {
        trim(file->text);
        file->outcome = HL_HOST_READ;
    } else if (errno == EACCES || errno == EPERM) {
        file->outcome = HL_HOST_DENIED;
    }
}

static bool begins_with_one_of(const char *text, const char *prefixes)
{
    for (const char *prefix = prefixes; *prefix != '\0';) {
        const size_t length = strcspn(prefix, "|");
        if (strncmp(text, prefix, length) == 0)
            return true;
        prefix += length + (prefix[length] == '|');
    }
    return false;
}

/* Only what begins with one of the prefixes stays. */
static void keep_only(char *text, const char *keep)
{
    const char *const separators = keep[0] == ' ' ? " \n" : "\n";
    const char *const prefixes = keep[0] == ' ' ? keep + 1 : keep;
    char *to = text;
    for (const char *from = text; *from != '\0';) {
        const size_t length = strcspn(from, separators);
        const bool is_last = from[length] == '\0';
        if (begins_with_one_of(from, prefixes)) {
            memmove(to, from, length);
            to += length;
            if (!is_last) /* its separator's room is there; the last one has none */
                *to++ = separators[0];
        }
        from += length + !is_last;
        if (is_last)
            break;
    }
    *to = '\0';
    trim(text);
}

static bool format_path(char path[PATH_MAX], const char *format, va_list arguments)
{
    const int length = vsnprintf(path, PATH_MAX, format, arguments);
    return length > 0 && length < PATH_MAX;
}

static const char *answer(const hl_host_file *file, hl_host_outcome *ret_outcome)
{
    if (ret_outcome != NULL)
        *ret_outcome = file != NULL ? file->outcome : HL_HOST_ABSENT;
    return file != NULL ? file->text : NULL;
}

static const char *text_of(hl_host *host, hl_host_outcome *ret_outcome, const char *keep,
                           const char *format, va_list arguments)
{
    char path[PATH_MAX];
    bool is_new = false;
    hl_host_file *const file =
        format_path(path, format, arguments) ? file_of(host, path, &is_new) : NULL;
    if (is_new && file != NULL) {
        read_file(host, path, file);
        if (keep != NULL && file->text != NULL)
            keep_only(file->text, keep);
    }
    return answer(file, ret_outcome);
}

const char *hl_host_text(hl_host *host, hl_host_outcome *ret_outcome, const char *path, ...)
{
    va_list arguments;
    va_start(arguments, path);
    const char *const text = text_of(host, ret_outcome, NULL, path, arguments);
    va_end(arguments);
    return text;
}

const char *hl_host_text_kept(hl_host *host, hl_host_outcome *ret_outcome, const char *keep,
                              const char *path, ...)
{
    va_list arguments;
    va_start(arguments, path);
    const char *const text = text_of(host, ret_outcome, keep, path, arguments);
    va_end(arguments);
    return text;
}

const char *hl_host_text_later(hl_host *host, const char *path, ...)
{
    char now[PATH_MAX], later[PATH_MAX + 16];
    va_list arguments;
    va_start(arguments, path);
    const bool fits = format_path(now, path, arguments);
    va_end(arguments);
    snprintf(later, sizeof later, "/hotlane/later%s", now);
    bool is_new = false;
    hl_host_file *const file = fits ? file_of(host, later, &is_new) : NULL;
    if (is_new && file != NULL)
        read_file(host, hl_host_is_live(host) ? now : later, file);
    return answer(file, NULL);
}

const char *hl_host_computed(hl_host *host, const char *name,
                             void (*compute)(void *context, char *text, size_t size), void *context)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "/hotlane/%s", name);
    bool is_new = false;
    hl_host_file *const file = file_of(host, path, &is_new);
    if (is_new && file != NULL && !hl_host_is_live(host)) {
        read_file(host, path, file);
    } else if (is_new && file != NULL) {
        char text[1024] = "";
        compute(context, text, sizeof text);
        file->text = text[0] != '\0' ? strdup(text) : NULL;
        file->outcome = file->text != NULL ? HL_HOST_READ : HL_HOST_ABSENT;
    }
    return answer(file, NULL);
}

/* ---- folders -------------------------------------------------------------------------------- */

static int is_entry(const struct dirent *entry)
{
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static void read_names(const hl_host *host, const char *path, hl_host_file *file)
{
    char whole[PATH_MAX];
    const int length = snprintf(whole, sizeof whole, "%s%s", host->root, path);
    if (length < 0 || (size_t)length >= sizeof whole)
        return;
    struct dirent **entries = NULL;
    const int count = scandir(whole, &entries, is_entry, versionsort);
    size_t size = 1;
    for (int i = 0; i < count; i++)
        size += strlen(entries[i]->d_name) + 1;
    char *const text = count >= 0 ? calloc(1, size) : NULL;
    char *to = text;
    for (int i = 0; i < count; i++) {
        if (to != NULL)
            to = stpcpy(stpcpy(to, entries[i]->d_name), "\n");
        free(entries[i]);
    }
    free(entries);
    file->text = text;
    file->outcome = text != NULL ? HL_HOST_READ : HL_HOST_ABSENT;
}

const char *hl_host_names(hl_host *host, const char *path, ...)
{
    char folder[PATH_MAX], key[PATH_MAX + 2];
    va_list arguments;
    va_start(arguments, path);
    const bool fits = format_path(folder, path, arguments);
    va_end(arguments);
    snprintf(key, sizeof key, "%s/", folder);
    bool is_new = false;
    hl_host_file *const file = fits ? file_of(host, key, &is_new) : NULL;
    if (is_new && file != NULL)
        read_names(host, folder, file);
    return answer(file, NULL);
}

/* ---- reading in a text ---------------------------------------------------------------------- */

bool hl_host_next_line(const char **cursor, char ret_line[256])
{
    if (*cursor == NULL || **cursor == '\0')
        return false;
    const size_t length = strcspn(*cursor, "\n");
    if (length >= 256)
        return false;
    memcpy(ret_line, *cursor, length);
    ret_line[length] = '\0';
    *cursor += length + ((*cursor)[length] == '\n');
    return true;
}

bool hl_host_number(hl_host *host, int64_t *ret_number, const char *path, ...)
{
    va_list arguments;
    va_start(arguments, path);
    const char *const text = text_of(host, NULL, NULL, path, arguments);
    va_end(arguments);
    if (text == NULL || text[0] == '\0')
        return false;
    char *end;
    errno = 0;
    const long long number = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0')
        return false;
    *ret_number = number;
    return true;
}

bool hl_host_cpus(hl_host *host, hl_cpu_set *ret_set, const char *path, ...)
{
    va_list arguments;
    va_start(arguments, path);
    const char *const text = text_of(host, NULL, NULL, path, arguments);
    va_end(arguments);
    return text != NULL && hl_cpu_set_parse_list(text, ret_set);
}

/* ---- all that was read ---------------------------------------------------------------------- */

typedef struct visitor {
    void (*visit)(void *context, const char *path, const char *text);
    void *context;
} visitor;

static void visit_node(const void *node, VISIT order, void *closure)
{
    const hl_host_file *const file = *(const hl_host_file *const *)node;
    const visitor *const to = closure;
    if ((order == postorder || order == leaf) && file->text != NULL)
        to->visit(to->context, file->path, file->text);
}

void hl_host_each(const hl_host *host,
                  void (*visit)(void *context, const char *path, const char *text), void *context)
{
    visitor to = {visit, context};
    twalk_r(host->files, visit_node, &to);
}
