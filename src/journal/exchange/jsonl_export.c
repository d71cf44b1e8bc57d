#include "journal/exchange/jsonl.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#if HL_HAVE_ZSTD
#include <zstd.h>
#endif

#include "base/error.h"
#include "base/io.h"
#include "journal/durable_file.h"
#include "journal/segment.h"

#define BUFFER_SIZE   (1u << 20)
#define NO_DAY        UINT64_MAX
#define LINE_SIZE_MAX (2u << 20) /* of the longest event, in base64, with all its names */

typedef struct exporting {
    const hl_jsonl_export_options *options;
    hl_export_result result;
    uint64_t day; /* whose file is open */
    int file;     /* -1: none */
    char path[HL_JOURNAL_PATH_SIZE];
    char *buffer;
    size_t filled;
    uint64_t *days; /* whose files this export has begun */
    size_t day_count;
    hl_error *error;
#if HL_HAVE_ZSTD
    ZSTD_CCtx *compressor;
    char *packed;
    size_t packed_size;
#endif
} exporting;

static hl_status failed(exporting *this, const char *what)
{
    return hl_io_error(this->error, -errno, this->path, what);
}

static hl_status write_all(exporting *this, const char *bytes, size_t size)
{
    while (size > 0) {
        const ssize_t done = write(this->file, bytes, size);
        if (done < 0 && errno != EINTR)
            return failed(this, "write");
        if (done > 0) {
            bytes += done;
            size -= (size_t)done;
        }
    }
    return HL_OK;
}

/* Compressed, each buffer is a frame: a file is a row of them, and can be added to. */
static hl_status flush(exporting *this)
{
    const char *bytes = this->buffer;
    size_t size = this->filled;
    if (size == 0 || this->file < 0)
        return HL_OK;
#if HL_HAVE_ZSTD
    if (this->compressor != NULL) {
        size = ZSTD_compress2(this->compressor, this->packed, this->packed_size, bytes, size);
        if (ZSTD_isError(size))
            return hl_error_set(this->error, HL_SYSTEM, "%s: zstd: %s", this->path,
                                ZSTD_getErrorName(size));
        bytes = this->packed;
    }
#endif
    this->filled = 0;
    return write_all(this, bytes, size);
}

static hl_status close_file(exporting *this)
{
    if (this->file < 0)
        return HL_OK;
    hl_status status = flush(this);
    if (status == HL_OK && fsync(this->file) != 0)
        status = failed(this, "sync");
    close(this->file);
    this->file = -1;
    this->day = NO_DAY;
    return status;
}

static bool has_begun(const exporting *this, uint64_t day)
{
    for (size_t i = 0; i < this->day_count; i++)
        if (this->days[i] == day)
            return true;
    return false;
}

/* With a cursor lines are added to the files themselves; else each is made beside, and gets its
 * name when all are whole. */
static bool makes_anew(const exporting *this)
{
    return this->options->reading.cursor == NULL;
}

static void path_of(const exporting *this, uint64_t day, const char *suffix,
                    char ret_path[HL_JOURNAL_PATH_SIZE])
{
    const time_t seconds = (time_t)(day * 86400);
    struct tm date;
    char text[16];
    gmtime_r(&seconds, &date);
    strftime(text, sizeof text, "%Y-%m-%d", &date);
    snprintf(ret_path, HL_JOURNAL_PATH_SIZE, "%.3900s/events_%s.jsonl%s%s", this->options->output,
             text, this->options->compress ? ".zst" : "", suffix);
}

static hl_status open_file(exporting *this, uint64_t day)
{
    path_of(this, day, "", this->path);
    if (makes_anew(this) && !this->options->replace && access(this->path, F_OK) == 0)
        return hl_error_set(this->error, HL_EXISTS,
                            "%s: it is there already: replace it (--replace), or export only what "
                            "is new (--cursor NAME)",
                            this->path);
    if (makes_anew(this))
        path_of(this, day, HL_DURABLE_TEMPORARY, this->path);
    const int how = makes_anew(this) && !has_begun(this, day) ? O_TRUNC : O_APPEND;
    this->file = open(this->path, O_WRONLY | O_CREAT | O_CLOEXEC | how, 0666);
    if (this->file < 0)
        return failed(this, "make");
    this->day = day;
    if (has_begun(this, day))
        return HL_OK;
    uint64_t *const days = realloc(this->days, (this->day_count + 1) * sizeof *days);
    if (days == NULL)
        return hl_error_set(this->error, HL_NO_MEMORY, "export: out of memory");
    this->days = days;
    this->days[this->day_count++] = day;
    this->result.files++;
    return HL_OK;
}

/* All are whole and synced. */
static hl_status name_files(exporting *this)
{
    char path[HL_JOURNAL_PATH_SIZE];
    for (size_t i = 0; makes_anew(this) && i < this->day_count; i++) {
        path_of(this, this->days[i], HL_DURABLE_TEMPORARY, path);
        path_of(this, this->days[i], "", this->path);
        if (rename(path, this->path) != 0)
            return failed(this, "rename what was written to");
    }
    return HL_OK;
}

static hl_status add_line(exporting *this, const hl_journal_entry *entry)
{
    json_t *const object = hl_jsonl_object(entry);
    const size_t room = BUFFER_SIZE + LINE_SIZE_MAX - this->filled;
    const size_t size = object == NULL ? 0
                                       : json_dumpb(object, this->buffer + this->filled, room - 1,
                                                    JSON_COMPACT | JSON_PRESERVE_ORDER);
    json_decref(object);
    if (size == 0 || size >= room)
        return hl_error_set(this->error, HL_NO_MEMORY,
                            "export: %s: sequence %" PRIu64 ": no memory for its line",
                            entry->partition, entry->first_sequence);
    this->filled += size;
    this->buffer[this->filled++] = '\n';
    return this->filled >= BUFFER_SIZE ? flush(this) : HL_OK;
}

static hl_status export_entry(exporting *this, const hl_journal_entry *entry)
{
    hl_status status = HL_OK;
    /* What is missing has no time: it goes where the line before it went, or the next one goes. */
    const uint64_t day =
        entry->event != NULL ? entry->event->published_ns / HL_NS_PER_DAY : this->day;
    if (day != this->day) {
        status = close_file(this);
        if (status == HL_OK)
            status = open_file(this, day);
    }
    if (status == HL_OK)
        status = add_line(this, entry);
    this->result.events += entry->event != NULL;
    this->result.missing += entry->event == NULL;
    return status;
}

static hl_status prepare(exporting *this)
{
    const hl_jsonl_export_options *const options = this->options;
    snprintf(this->path, sizeof this->path, "%.4000s", options->output);
    this->buffer = malloc(BUFFER_SIZE + LINE_SIZE_MAX);
    if (this->buffer == NULL)
        return hl_error_set(this->error, HL_NO_MEMORY, "export: out of memory");
    if (mkdir(options->output, 0777) != 0 && errno != EEXIST)
        return failed(this, "make the directory");
    if (!options->compress)
        return HL_OK;
#if HL_HAVE_ZSTD
    this->compressor = ZSTD_createCCtx();
    this->packed_size = ZSTD_compressBound(BUFFER_SIZE + LINE_SIZE_MAX);
    this->packed = malloc(this->packed_size);
    if (this->compressor == NULL || this->packed == NULL)
        return hl_error_set(this->error, HL_NO_MEMORY, "export: out of memory");
    ZSTD_CCtx_setParameter(this->compressor, ZSTD_c_checksumFlag, 1);
    return HL_OK;
#else
    return hl_error_set(this->error, HL_UNSUPPORTED,
                        "this hotlane was built without zstd: it cannot compress");
#endif
}

static hl_status export_all(exporting *this, hl_journal_reader *reader)
{
    hl_journal_entry entry;
    hl_status status;
    while ((status = hl_journal_reader_next(reader, &entry, this->error)) == HL_OK) {
        status = export_entry(this, &entry);
        if (status != HL_OK)
            return status;
    }
    if (status != HL_NOT_FOUND)
        return status;
    if (this->filled > 0 && this->file < 0) /* nothing but missing events */
        status = open_file(this, 0);
    else
        status = HL_OK;
    if (status == HL_OK)
        status = close_file(this);
    if (status == HL_OK)
        status = name_files(this);
    const hl_io *const io = hl_io_posix();
    const int synced = io->sync_directory(io->context, this->options->output);
    if (status == HL_OK && synced < 0)
        status = hl_io_error(this->error, synced, this->options->output, "sync the directory");
    if (status == HL_OK && this->options->reading.cursor != NULL)
        status = hl_journal_reader_store_cursor(reader, this->options->reading.cursor, this->error);
    return status;
}

hl_status hl_jsonl_export(const hl_jsonl_export_options *options, hl_export_result *ret_result,
                          hl_error *error)
{
    exporting this = {.options = options, .day = NO_DAY, .file = -1, .error = error};
    hl_journal_reader *reader = NULL;
    hl_status status = hl_journal_reader_open(&options->reading, &reader, error);
    if (status == HL_OK)
        status = prepare(&this);
    if (status == HL_OK)
        status = export_all(&this, reader);
    if (this.file >= 0) { /* what came before the failure stays, under its temporary name if new */
        this.error = NULL;
        close_file(&this);
    }
    hl_journal_reader_close(reader);
    free(this.buffer);
    free(this.days);
#if HL_HAVE_ZSTD
    ZSTD_freeCCtx(this.compressor);
    free(this.packed);
#endif
    *ret_result = this.result;
    return status;
}
