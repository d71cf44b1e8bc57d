#include "journal/partition.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "journal/segment.h"

#define SHARD_DIGITS_MAX 5

/* The number behind the dot: no sign, no leading zero, below 65536. */
static bool parse_shard(const char *text, uint16_t *ret_shard)
{
    const size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > SHARD_DIGITS_MAX || text[digits] != '\0' ||
        (digits > 1 && text[0] == '0'))
        return false;
    const unsigned long value = strtoul(text, NULL, 10);
    if (value > UINT16_MAX)
        return false;
    *ret_shard = (uint16_t)value;
    return true;
}

bool hl_partition_directory_parse(const char *text, hl_partition_directory *ret_name)
{
    hl_partition_directory name = {0};
    const char *const dot = strchr(text, '.');
    const size_t domain_size = dot != NULL ? (size_t)(dot - text) : strlen(text);
    if (domain_size == 0 || domain_size >= sizeof name.domain || strchr(text, '/') != NULL)
        return false;
    if (dot != NULL && !parse_shard(dot + 1, &name.shard))
        return false;
    name.sharded = dot != NULL;
    memcpy(name.domain, text, domain_size);
    strcpy(name.text, text);
    *ret_name = name;
    return true;
}

typedef struct search {
    const hl_io *io;
    const char *directory;
    const hl_partition_directory *wanted; /* NULL: all */
    hl_partition_directory *names;
    size_t count;
    size_t room;
} search;

static int pass(void *argument, const char *name)
{
    (void)argument, (void)name;
    return 1; /* one entry is enough to know that it is a directory */
}

static bool is_wanted(const search *this, const hl_partition_directory *name)
{
    return this->wanted == NULL || strcmp(this->wanted->text, name->text) == 0 ||
           (!this->wanted->sharded && strcmp(this->wanted->domain, name->domain) == 0);
}

static int add(void *argument, const char *text)
{
    search *const this = argument;
    hl_partition_directory name;
    char path[HL_JOURNAL_PATH_SIZE];
    if (!hl_partition_directory_parse(text, &name) || !is_wanted(this, &name))
        return 0;
    const int length = snprintf(path, sizeof path, "%s/%s", this->directory, text);
    if (length < 0 || (size_t)length >= sizeof path ||
        this->io->list(this->io->context, path, pass, NULL) < 0)
        return 0; /* a file, or gone by now */
    if (this->count == this->room) {
        const size_t room = this->room == 0 ? 16 : this->room * 2;
        hl_partition_directory *const names = realloc(this->names, room * sizeof *names);
        if (names == NULL)
            return -ENOMEM;
        this->names = names;
        this->room = room;
    }
    this->names[this->count++] = name;
    return 0;
}

static int by_domain_and_shard(const void *left, const void *right)
{
    const hl_partition_directory *const a = left, *const b = right;
    const int domains = strcmp(a->domain, b->domain);
    return domains != 0 ? domains : (a->shard > b->shard) - (a->shard < b->shard);
}

static hl_status refuse_unknown(const hl_io *io, const char *directory, const char *wanted,
                                hl_error *error)
{
    hl_partition_directory *names;
    size_t count, length = 0;
    char all[320] = "";
    const hl_status status = hl_partition_list(io, directory, NULL, &names, &count, error);
    if (status != HL_OK)
        return status;
    for (size_t i = 0; i < count && length < sizeof all; i++)
        length += (size_t)snprintf(all + length, sizeof all - length, "%s%s",
                                   i == 0 ? "; there are " : ", ", names[i].text);
    free(names);
    return hl_error_set(error, HL_NOT_FOUND, "%.140s: no partition %s in this directory%s%s",
                        directory, wanted, all, length < sizeof all ? "" : "...");
}

hl_status hl_partition_list(const hl_io *io, const char *directory, const char *wanted,
                            hl_partition_directory **ret_names, size_t *ret_count, hl_error *error)
{
    hl_partition_directory one;
    if (wanted != NULL && !hl_partition_directory_parse(wanted, &one))
        return hl_error_set(error, HL_INVALID,
                            "\"%.80s\": no partition: it is a domain's name, or with its shard "
                            "\"order.3\"",
                            wanted);
    search this = {.io = io, .directory = directory, .wanted = wanted != NULL ? &one : NULL};
    const int result = io->list(io->context, directory, add, &this);
    if (result < 0) {
        free(this.names);
        if (result == -ENOENT || result == -ENOTDIR)
            return hl_error_set(error, HL_NOT_FOUND, "%s: there is no such directory", directory);
        return result == -ENOMEM ? hl_error_set(error, HL_NO_MEMORY, "%s: out of memory", directory)
                                 : hl_io_error(error, result, directory, "list the directory");
    }
    if (wanted != NULL && this.count == 0)
        return refuse_unknown(io, directory, wanted, error);
    if (this.count > 0)
        qsort(this.names, this.count, sizeof *this.names, by_domain_and_shard);
    *ret_names = this.names;
    *ret_count = this.count;
    return HL_OK;
}
