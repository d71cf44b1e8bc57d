#include "simulated_disk.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_SIZE   128
#define NODE_LIMIT  256
#define ENTRY_LIMIT 256
#define OPEN_LIMIT  64
#define LOG_LIMIT   4096

/* A change to a file that is not synced yet. */
typedef struct file_change {
    bool is_size; /* the file's size became `offset` */
    uint64_t offset;
    uint64_t size;
    uint8_t *bytes;
} file_change;

typedef struct file_node {
    bool is_directory;
    uint8_t *bytes; /* as a reader sees it */
    uint64_t size;
    uint8_t *synced; /* as it lies on the disk */
    uint64_t synced_size;
    file_change *log;
    size_t changes;
    bool is_syncing; /* a sync has begun, about the first of the changes: */
    size_t syncing;
    sim_sync syncing_kind;
    bool was_asked; /* after it, once: the next time it is done */
} file_node;

/* A change to the names that is not synced yet. */
typedef struct name_change {
    char from[PATH_SIZE]; /* goes away; "": nothing */
    char to[PATH_SIZE];   /* comes; "": nothing */
    int node;
} name_change;

typedef struct entry {
    char path[PATH_SIZE];
    int node;
} entry;

struct sim_disk {
    hl_io io;
    file_node nodes[NODE_LIMIT];
    int node_count;
    entry entries[ENTRY_LIMIT];
    size_t entry_count;
    entry synced_entries[ENTRY_LIMIT];
    size_t synced_entry_count;
    name_change names[LOG_LIMIT];
    size_t name_changes;
    int open_nodes[OPEN_LIMIT]; /* -1: free */
    char lock_path[OPEN_LIMIT][PATH_SIZE];
    void (*before)(void *context);
    void *before_context;
    uint64_t calls;
    uint64_t fail_call;
    uint64_t fail_sync;
    int fail_error;
    int fail_sync_error;
    sim_sync skipped;
    bool opening;
    uint64_t capacity;
    uint64_t now_ns;
    uint64_t ticks_ns;
    uint64_t random;
};

static uint64_t next_random(uint64_t *state)
{
    uint64_t value = (*state += 0x9e3779b97f4a7c15u);
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return value ^ (value >> 31);
}

static void *copied(const void *bytes, uint64_t size)
{
    void *const copy = malloc(size > 0 ? size : 1);
    assert(copy != NULL);
    if (size > 0)
        memcpy(copy, bytes, size);
    return copy;
}

static void resize(uint8_t **bytes, uint64_t *size, uint64_t wanted)
{
    if (wanted > *size) {
        *bytes = realloc(*bytes, wanted);
        assert(*bytes != NULL);
        memset(*bytes + *size, 0, wanted - *size);
    }
    *size = wanted;
}

/* ---- names ---- */

static int find(const entry *entries, size_t count, const char *path)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(entries[i].path, path) == 0)
            return (int)i;
    return -1;
}

static void remove_entry(entry *entries, size_t *count, const char *path)
{
    const int at = find(entries, *count, path);
    if (at >= 0)
        entries[at] = entries[--*count];
}

static void apply_name(entry *entries, size_t *count, const name_change *change)
{
    if (change->from[0] != '\0')
        remove_entry(entries, count, change->from);
    if (change->to[0] != '\0') {
        remove_entry(entries, count, change->to);
        assert(*count < ENTRY_LIMIT);
        strcpy(entries[*count].path, change->to);
        entries[(*count)++].node = change->node;
    }
}

static void change_name(sim_disk *disk, const char *from, const char *to, int node)
{
    assert(disk->name_changes < LOG_LIMIT && strlen(from) < PATH_SIZE && strlen(to) < PATH_SIZE);
    name_change *const change = &disk->names[disk->name_changes++];
    strcpy(change->from, from);
    strcpy(change->to, to);
    change->node = node;
    apply_name(disk->entries, &disk->entry_count, change);
}

static bool lies_in(const char *path, const char *directory)
{
    const char *const slash = strrchr(path, '/');
    return slash != NULL && (size_t)(slash - path) == strlen(directory) &&
           strncmp(path, directory, strlen(directory)) == 0;
}

static bool concerns(const name_change *change, const char *directory)
{
    return lies_in(change->from[0] != '\0' ? change->from : change->to, directory);
}

/* ---- what may go wrong ---- */

/* 0, or the failure that is due. Of a call that changes nothing. */
static int look_in(sim_disk *disk)
{
    return disk->fail_call > 0 && --disk->fail_call == 0 ? -disk->fail_error : 0;
}

/* Of a call that may change the disk. */
static int enter(sim_disk *disk)
{
    if (disk->before != NULL)
        disk->before(disk->before_context);
    disk->calls++;
    return look_in(disk);
}

static uint64_t used_bytes(const sim_disk *disk)
{
    uint64_t used = 0;
    for (size_t i = 0; i < disk->entry_count; i++)
        used += disk->nodes[disk->entries[i].node].size;
    return used;
}

static file_node *node_of(sim_disk *disk, hl_io_file file)
{
    assert(file >= 0 && file < OPEN_LIMIT && disk->open_nodes[file] >= 0);
    return &disk->nodes[disk->open_nodes[file]];
}

static int take_handle(sim_disk *disk, int node)
{
    for (int i = 0; i < OPEN_LIMIT; i++)
        if (disk->open_nodes[i] < 0) {
            disk->open_nodes[i] = node;
            return i;
        }
    return -EMFILE;
}

static file_change *log_change(file_node *file)
{
    assert(file->changes < LOG_LIMIT);
    file->log = realloc(file->log, (file->changes + 1) * sizeof *file->log);
    assert(file->log != NULL);
    file_change *const added = &file->log[file->changes++];
    *added = (file_change){0};
    return added;
}

static void set_size(file_node *file, uint64_t size)
{
    file_change *const logged = log_change(file);
    logged->is_size = true;
    logged->offset = size;
    resize(&file->bytes, &file->size, size);
}

static void forget_log(file_node *file)
{
    for (size_t i = 0; i < file->changes; i++)
        free(file->log[i].bytes);
    free(file->log);
    file->log = NULL;
    file->changes = 0;
}

/* ---- the power cut ---- */

/* Puts into file->synced what one outcome leaves: for each sector, the changes up to some moment of
 * its own. */
static void settle_file(file_node *file, uint64_t *random)
{
    uint64_t size = file->synced_size;
    const uint64_t size_until = next_random(random) % (file->changes + 1);
    for (size_t i = 0; i < file->changes; i++) {
        const file_change *const change = &file->log[i];
        const uint64_t end = change->is_size ? change->offset : change->offset + change->size;
        if (i < size_until && (change->is_size || end > size))
            size = end;
    }
    uint64_t most = size > file->synced_size ? size : file->synced_size;
    for (size_t i = 0; i < file->changes; i++)
        if (!file->log[i].is_size && file->log[i].offset + file->log[i].size > most)
            most = file->log[i].offset + file->log[i].size;
    uint64_t length = file->synced_size;
    resize(&file->synced, &length, most);
    /* Now and then everything or nothing of it survives: the extremes are rare by chance. */
    const uint64_t whole = next_random(random) % 6;
    for (uint64_t sector = 0; sector < most; sector += SIM_SECTOR) {
        uint64_t until = next_random(random) % (file->changes + 1);
        if (whole < 2)
            until = whole == 0 ? 0 : file->changes;
        for (size_t i = 0; i < file->changes && i < until; i++) {
            const file_change *const change = &file->log[i];
            if (change->is_size)
                continue;
            const uint64_t from = change->offset > sector ? change->offset : sector;
            const uint64_t change_end = change->offset + change->size;
            const uint64_t sector_end = sector + SIM_SECTOR;
            const uint64_t to = change_end < sector_end ? change_end : sector_end;
            if (from < to)
                memcpy(file->synced + from, change->bytes + (from - change->offset), to - from);
        }
    }
    if (size < most)
        file->synced = realloc(file->synced, size > 0 ? size : 1);
    file->synced_size = size;
    forget_log(file);
}

static void settle_names(sim_disk *disk, uint64_t *random)
{
    const uint64_t whole = next_random(random) % 4;
    for (size_t i = 0; i < disk->name_changes; i++) {
        const bool survives = whole < 2 ? whole == 1 : next_random(random) % 2 == 0;
        if (survives)
            apply_name(disk->synced_entries, &disk->synced_entry_count, &disk->names[i]);
    }
    disk->name_changes = 0;
    /* What lies in a directory whose own name is lost is lost with it. */
    for (bool again = true; again;) {
        again = false;
        for (size_t i = 0; i < disk->synced_entry_count && !again; i++) {
            char parent[PATH_SIZE];
            strcpy(parent, disk->synced_entries[i].path);
            char *const slash = strrchr(parent, '/');
            if (slash == NULL || slash == parent)
                continue;
            *slash = '\0';
            if (find(disk->synced_entries, disk->synced_entry_count, parent) < 0) {
                disk->synced_entries[i] = disk->synced_entries[--disk->synced_entry_count];
                again = true;
            }
        }
    }
}

void sim_kill(sim_disk *disk)
{
    for (int i = 0; i < OPEN_LIMIT; i++) {
        disk->open_nodes[i] = -1;
        disk->lock_path[i][0] = '\0';
    }
    for (int i = 0; i < disk->node_count; i++)
        disk->nodes[i].is_syncing = false; /* it may be done or not: nobody was told */
    disk->fail_call = 0;
    disk->fail_sync = 0;
    disk->opening = false;
}

void sim_power_cut(sim_disk *disk, uint64_t seed)
{
    uint64_t random = seed;
    sim_kill(disk);
    settle_names(disk, &random);
    memcpy(disk->entries, disk->synced_entries, sizeof disk->entries);
    disk->entry_count = disk->synced_entry_count;
    for (int i = 0; i < disk->node_count; i++) {
        file_node *const file = &disk->nodes[i];
        settle_file(file, &random);
        free(file->bytes);
        file->bytes = copied(file->synced, file->synced_size);
        file->size = file->synced_size;
    }
}

/* ---- the table ---- */

static int sim_open(void *context, const char *path, unsigned flags)
{
    sim_disk *const disk = context;
    const bool changes = (flags & (HL_IO_CREATE | HL_IO_EMPTY)) != 0;
    const int result = changes ? enter(disk) : look_in(disk);
    if (result < 0)
        return result;
    const int at = find(disk->entries, disk->entry_count, path);
    int node = at >= 0 ? disk->entries[at].node : -1;
    if (node >= 0 && (flags & HL_IO_NEW) != 0)
        return -EEXIST;
    if (node < 0) {
        if ((flags & HL_IO_CREATE) == 0)
            return -ENOENT;
        assert(disk->node_count < NODE_LIMIT);
        node = disk->node_count++;
        change_name(disk, "", path, node);
    }
    if ((flags & HL_IO_EMPTY) != 0 && disk->nodes[node].size > 0)
        set_size(&disk->nodes[node], 0);
    return take_handle(disk, node);
}

static int sim_close(void *context, hl_io_file file)
{
    sim_disk *const disk = context;
    disk->open_nodes[file] = -1;
    return 0;
}

static int64_t sim_pwrite(void *context, hl_io_file file, const void *bytes, size_t size,
                          uint64_t offset)
{
    sim_disk *const disk = context;
    const int result = enter(disk);
    if (result < 0)
        return result;
    file_node *const target = node_of(disk, file);
    if (offset + size > target->size) {
        const uint64_t more = offset + size - target->size;
        const uint64_t used = used_bytes(disk);
        const uint64_t room = used < disk->capacity ? disk->capacity - used : 0;
        if (more > room) {
            /* As a file system does: first what fits, then the error. */
            if (more - room >= size)
                return -ENOSPC;
            size -= (size_t)(more - room);
        }
        resize(&target->bytes, &target->size, offset + size);
    }
    file_change *const logged = log_change(target);
    logged->offset = offset;
    logged->size = size;
    logged->bytes = copied(bytes, size);
    memcpy(target->bytes + offset, bytes, size);
    return (int64_t)size;
}

static int64_t sim_pread(void *context, hl_io_file file, void *bytes, size_t size, uint64_t offset)
{
    sim_disk *const disk = context;
    const int failure = look_in(disk);
    if (failure < 0)
        return failure;
    const file_node *const source = node_of(disk, file);
    if (offset >= source->size)
        return 0;
    const uint64_t there = source->size - offset;
    const size_t count = there < size ? (size_t)there : size;
    memcpy(bytes, source->bytes + offset, count);
    return (int64_t)count;
}

static int sim_preallocate(void *context, hl_io_file file, uint64_t offset, uint64_t size)
{
    sim_disk *const disk = context;
    const int result = enter(disk);
    if (result < 0)
        return result;
    file_node *const target = node_of(disk, file);
    const uint64_t end = offset + size;
    if (end <= target->size)
        return 0;
    if (used_bytes(disk) + end - target->size > disk->capacity)
        return -ENOSPC;
    set_size(target, end);
    return 0;
}

static sim_sync kind_of_sync(const sim_disk *disk, hl_io_file file)
{
    const int node = disk->open_nodes[file];
    for (size_t i = 0; i < disk->entry_count; i++)
        if (disk->entries[i].node == node && strstr(disk->entries[i].path, ".tmp") != NULL)
            return SIM_SYNC_HEADER;
    const file_node *const target = &disk->nodes[node];
    for (size_t i = 0; i < target->changes; i++)
        if (target->log[i].is_size)
            return SIM_SYNC_SEAL;
    return disk->opening ? SIM_SYNC_TAIL : SIM_SYNC_COMMIT;
}

static int sim_fail_due(sim_disk *disk)
{
    return disk->fail_sync > 0 && --disk->fail_sync == 0 ? -disk->fail_sync_error : 0;
}

/* The first `count` of the logged changes go down. What an earlier failed sync has dropped stays
 * dropped. */
static void settle_changes(file_node *target, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const file_change *const change = &target->log[i];
        if (change->is_size) {
            resize(&target->synced, &target->synced_size, change->offset);
            continue;
        }
        if (change->offset + change->size > target->synced_size)
            resize(&target->synced, &target->synced_size, change->offset + change->size);
        memcpy(target->synced + change->offset, change->bytes, change->size);
        free(change->bytes);
    }
    target->changes -= count;
    if (target->changes > 0)
        memmove(target->log, target->log + count, target->changes * sizeof *target->log);
    else
        forget_log(target);
    target->syncing = 0;
}

static int sim_sync_file(void *context, hl_io_file file)
{
    sim_disk *const disk = context;
    int result = enter(disk);
    file_node *const target = node_of(disk, file);
    if (result == 0)
        result = sim_fail_due(disk);
    if (result < 0) {
        settle_file(target, &disk->random);
        return result;
    }
    const sim_sync kind = kind_of_sync(disk, file);
    if (kind == disk->skipped)
        return 0;
    settle_changes(target, target->changes);
    return 0;
}

static int sim_sync_begin(void *context, hl_io_file file)
{
    sim_disk *const disk = context;
    const int result = enter(disk);
    file_node *const target = node_of(disk, file);
    if (result < 0)
        return result;
    assert(!target->is_syncing);
    target->is_syncing = true;
    target->was_asked = false;
    target->syncing = target->changes;
    target->syncing_kind = kind_of_sync(disk, file);
    return 0;
}

/* Done when it is asked after for the second time, or waited for. */
static int sim_sync_end(void *context, hl_io_file file, bool wait)
{
    sim_disk *const disk = context;
    file_node *const target = node_of(disk, file);
    assert(target->is_syncing);
    const bool is_done = wait || target->was_asked;
    target->was_asked = true;
    if (!is_done)
        return -EINPROGRESS;
    int result = enter(disk);
    if (result == 0)
        result = sim_fail_due(disk);
    target->is_syncing = false;
    if (result < 0) {
        settle_file(target, &disk->random);
        return result;
    }
    if (target->syncing_kind != disk->skipped)
        settle_changes(target, target->syncing);
    return 0;
}

/* What goes down early is within what a power cut may leave anyway. */
static void sim_flush_ahead(void *context, hl_io_file file, uint64_t offset, uint64_t size)
{
    const file_node *const target = node_of(context, file);
    assert(offset + size <= target->size);
}

static int sim_sync_directory(void *context, const char *path)
{
    sim_disk *const disk = context;
    int result = enter(disk);
    if (result == 0)
        result = sim_fail_due(disk);
    if (result < 0)
        return result;
    size_t depth = 0;
    for (const char *at = path; *at != '\0'; at++)
        depth += *at == '/';
    const sim_sync kind = depth == 0   ? SIM_SYNC_PARENT
                          : depth == 1 ? SIM_SYNC_PARTITION
                                       : SIM_SYNC_NAMES;
    if (kind == disk->skipped)
        return 0;
    size_t kept = 0;
    for (size_t i = 0; i < disk->name_changes; i++) {
        if (concerns(&disk->names[i], path))
            apply_name(disk->synced_entries, &disk->synced_entry_count, &disk->names[i]);
        else
            disk->names[kept++] = disk->names[i];
    }
    disk->name_changes = kept;
    return 0;
}

static int64_t sim_size(void *context, hl_io_file file)
{
    return (int64_t)node_of(context, file)->size;
}

static int sim_truncate(void *context, hl_io_file file, uint64_t size)
{
    sim_disk *const disk = context;
    const int result = enter(disk);
    if (result == 0)
        set_size(node_of(disk, file), size);
    return result;
}

static int sim_rename(void *context, const char *from, const char *to)
{
    sim_disk *const disk = context;
    const int result = enter(disk);
    if (result < 0)
        return result;
    const int at = find(disk->entries, disk->entry_count, from);
    if (at < 0)
        return -ENOENT;
    change_name(disk, from, to, disk->entries[at].node);
    return 0;
}

static int sim_unlink(void *context, const char *path)
{
    sim_disk *const disk = context;
    const int result = enter(disk);
    if (result < 0)
        return result;
    if (find(disk->entries, disk->entry_count, path) < 0)
        return -ENOENT;
    change_name(disk, path, "", -1);
    return 0;
}

static int sim_make_directory(void *context, const char *path)
{
    sim_disk *const disk = context;
    const int result = enter(disk);
    if (result < 0)
        return result;
    if (find(disk->entries, disk->entry_count, path) >= 0)
        return 0;
    assert(disk->node_count < NODE_LIMIT);
    disk->nodes[disk->node_count].is_directory = true;
    change_name(disk, "", path, disk->node_count++);
    return 0;
}

static int sim_list(void *context, const char *path, int (*each)(void *argument, const char *name),
                    void *argument)
{
    sim_disk *const disk = context;
    const int failure = look_in(disk);
    if (failure < 0)
        return failure;
    if (find(disk->entries, disk->entry_count, path) < 0)
        return -ENOENT;
    int result = 0;
    for (size_t i = 0; i < disk->entry_count && result == 0; i++)
        if (lies_in(disk->entries[i].path, path))
            result = each(argument, strrchr(disk->entries[i].path, '/') + 1);
    return result;
}

static int sim_lock(void *context, const char *path, hl_io_owner *ret_owner)
{
    sim_disk *const disk = context;
    const int failure = look_in(disk);
    if (failure < 0)
        return failure;
    for (int i = 0; i < OPEN_LIMIT; i++)
        if (strcmp(disk->lock_path[i], path) == 0) {
            *ret_owner = (hl_io_owner){.pid = 1};
            return -EWOULDBLOCK;
        }
    const int handle = take_handle(disk, 0);
    if (handle >= 0)
        strcpy(disk->lock_path[handle], path);
    return handle;
}

static int sim_unlock(void *context, hl_io_file lock)
{
    sim_disk *const disk = context;
    disk->open_nodes[lock] = -1;
    disk->lock_path[lock][0] = '\0';
    return 0;
}

static uint64_t sim_now(void *context)
{
    return ((sim_disk *)context)->now_ns;
}

static uint64_t sim_ticks(void *context)
{
    return ((sim_disk *)context)->ticks_ns;
}

static uint64_t sim_random(void *context)
{
    return next_random(&((sim_disk *)context)->random);
}

static hl_io table_of(sim_disk *disk)
{
    return (hl_io){.context = disk,
                   .open = sim_open,
                   .close = sim_close,
                   .pwrite = sim_pwrite,
                   .pread = sim_pread,
                   .preallocate = sim_preallocate,
                   .sync = sim_sync_file,
                   .sync_begin = sim_sync_begin,
                   .sync_end = sim_sync_end,
                   .flush_ahead = sim_flush_ahead,
                   .sync_directory = sim_sync_directory,
                   .size = sim_size,
                   .truncate = sim_truncate,
                   .rename = sim_rename,
                   .unlink = sim_unlink,
                   .make_directory = sim_make_directory,
                   .list = sim_list,
                   .lock = sim_lock,
                   .unlock = sim_unlock,
                   .now = sim_now,
                   .ticks = sim_ticks,
                   .random = sim_random};
}

sim_disk *sim_create(void)
{
    sim_disk *const disk = calloc(1, sizeof *disk);
    assert(disk != NULL);
    disk->io = table_of(disk);
    disk->capacity = UINT64_MAX;
    disk->now_ns = 1750000000ull * 1000000000ull;
    disk->ticks_ns = 1000000000ull;
    disk->random = 1;
    /* The root, there for ever. */
    disk->nodes[disk->node_count].is_directory = true;
    strcpy(disk->entries[0].path, "root");
    disk->entry_count = 1;
    disk->node_count = 1;
    disk->synced_entries[0] = disk->entries[0];
    disk->synced_entry_count = 1;
    sim_kill(disk);
    return disk;
}

void sim_destroy(sim_disk *disk)
{
    for (int i = 0; i < disk->node_count; i++) {
        forget_log(&disk->nodes[i]);
        free(disk->nodes[i].bytes);
        free(disk->nodes[i].synced);
    }
    free(disk);
}

const hl_io *sim_io(sim_disk *disk)
{
    return &disk->io;
}

sim_disk *sim_copy(const sim_disk *disk)
{
    sim_disk *const copy = copied(disk, sizeof *disk);
    copy->io = table_of(copy);
    copy->before = NULL;
    for (int i = 0; i < copy->node_count; i++) {
        file_node *const file = &copy->nodes[i];
        file->bytes = copied(file->bytes, file->size);
        file->synced = copied(file->synced, file->synced_size);
        if (file->changes > 0)
            file->log = copied(file->log, file->changes * sizeof *file->log);
        for (size_t c = 0; c < file->changes; c++)
            if (file->log[c].bytes != NULL)
                file->log[c].bytes = copied(file->log[c].bytes, file->log[c].size);
    }
    sim_kill(copy);
    return copy;
}

void sim_watch(sim_disk *disk, void (*before)(void *context), void *context)
{
    disk->before = before;
    disk->before_context = context;
}

void sim_fail_call(sim_disk *disk, uint64_t nth, int error)
{
    disk->fail_call = nth;
    disk->fail_error = error;
}

bool sim_fail_is_pending(const sim_disk *disk)
{
    return disk->fail_call > 0;
}

void sim_fail_sync(sim_disk *disk, uint64_t nth, int error)
{
    disk->fail_sync = nth;
    disk->fail_sync_error = error;
}

void sim_skip_sync(sim_disk *disk, sim_sync kind)
{
    disk->skipped = kind;
}

void sim_set_opening(sim_disk *disk, bool opening)
{
    disk->opening = opening;
}

void sim_set_capacity(sim_disk *disk, uint64_t bytes)
{
    disk->capacity = bytes;
}

uint64_t sim_calls(const sim_disk *disk)
{
    return disk->calls;
}

void sim_set_now(sim_disk *disk, uint64_t now_ns)
{
    disk->now_ns = now_ns;
}

void sim_add_ticks(sim_disk *disk, uint64_t ticks_ns)
{
    disk->ticks_ns += ticks_ns;
}

uint8_t *sim_bytes(sim_disk *disk, const char *path, uint64_t *ret_size)
{
    const int at = find(disk->entries, disk->entry_count, path);
    if (at < 0)
        return NULL;
    file_node *const file = &disk->nodes[disk->entries[at].node];
    *ret_size = file->size;
    return file->bytes;
}

void sim_plant(sim_disk *disk, const char *path, const void *bytes, uint64_t size, uint64_t offset)
{
    const int at = find(disk->entries, disk->entry_count, path);
    assert(at >= 0);
    file_node *const file = &disk->nodes[disk->entries[at].node];
    if (offset + size > file->size)
        resize(&file->bytes, &file->size, offset + size);
    if (offset + size > file->synced_size)
        resize(&file->synced, &file->synced_size, offset + size);
    memcpy(file->bytes + offset, bytes, size);
    memcpy(file->synced + offset, bytes, size);
}
