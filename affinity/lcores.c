/*
 * Placement by hand. The grammar of lcores (plan.h), read from left to right:
 *     lcores = item {"," item}          item  = who "@" where
 *     who    = name | "(" name {"," name} ")"
 *     where  = cpus | "(" cpus {"," cpus} ")"      cpus = number ["-" number]
 * Blanks may stand between any two of these.
 */
#include "affinity/placement.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "affinity/sentence.h"
#include "base/error.h"

#define HOUSEKEEPING "housekeeping"
#define WORKERS      "workers" /* their CPUs can be kept free before any worker exists */

typedef struct hl_lcores_reader {
    hl_placement *placement;
    hl_error *error;
    const char *text;
    const char *at;        /* the next character; never a blank */
    uint32_t *threads;     /* whom the item names, in the order written */
    uint32_t thread_count; /* 0 also for workers and for a housekeeper that nobody requested */
    bool housekeeping, workers;
    uint32_t *cpus; /* where, indexes into topology->cpus */
    uint32_t cpu_count;
    size_t *named_at; /* per thread: column of the item that names it; 0 for none */
    size_t housekeeping_at;
} hl_lcores_reader;

static size_t column(const hl_lcores_reader *reader, const char *at)
{
    return (size_t)(at - reader->text) + 1;
}

static void skip_blanks(hl_lcores_reader *reader)
{
    reader->at += strspn(reader->at, " \t\r\n");
}

static bool take(hl_lcores_reader *reader, char wanted)
{
    if (*reader->at != wanted)
        return false;
    reader->at++;
    skip_blanks(reader);
    return true;
}

/* "column 7: expected X, found 'y'; Z" */
static hl_status expected(const hl_lcores_reader *reader, const char *what, const char *remedy)
{
    char found[8] = "the end";
    if (*reader->at != '\0') {
        found[0] = found[2] = '\'';
        found[1] = *reader->at;
        found[3] = '\0';
    }
    return hl_error_set(reader->error, HL_INVALID, "lcores: column %zu: expected %s, found %s; %s",
                        column(reader, reader->at), what, found, remedy);
}

/* All names that could stand before an '@', for the sentence that refuses another one. */
static void list_names(const hl_lcores_reader *reader, char *text, size_t size)
{
    const hl_plan_request *const request = reader->placement->request;
    const char *previous = "";
    for (uint32_t i = 0; i < request->thread_count; i++) {
        const hl_thread_request *const thread = &request->threads[i];
        const char *const name = thread->domain != NULL ? thread->domain : thread->name;
        if (thread->role == HL_ROLE_HOUSEKEEPER || strcmp(name, previous) == 0)
            continue; /* named below; the shards of a domain stand together */
        hl_sentence_add_item(text, size, name);
        previous = name;
    }
    hl_sentence_add_item(text, size, HOUSEKEEPING);
}

static bool equals(const char *name, const char *at, size_t length)
{
    return name != NULL && strncmp(name, at, length) == 0 && name[length] == '\0';
}

static hl_status refuse_twice(const hl_lcores_reader *reader, const char *name, const char *at,
                              size_t before)
{
    return hl_error_set(reader->error, HL_INVALID,
                        "lcores: column %zu: %s has its CPU already, by column %zu; name it once",
                        column(reader, at), name, before);
}

static hl_status add_threads(hl_lcores_reader *reader, const char *at, size_t length)
{
    const hl_plan_request *const request = reader->placement->request;
    bool known = false;
    for (uint32_t i = 0; i < request->thread_count; i++) {
        const hl_thread_request *const thread = &request->threads[i];
        const bool housekeeper =
            thread->role == HL_ROLE_HOUSEKEEPER && equals(HOUSEKEEPING, at, length);
        if (!equals(thread->name, at, length) && !equals(thread->domain, at, length) &&
            !housekeeper)
            continue;
        if (reader->named_at[i] != 0)
            return refuse_twice(reader, thread->name, at, reader->named_at[i]);
        known = true;
        reader->named_at[i] = column(reader, at);
        reader->threads[reader->thread_count++] = i;
        if (thread->role == HL_ROLE_HOUSEKEEPER)
            reader->housekeeping = true;
    }
    if (!known && equals(HOUSEKEEPING, at, length)) {
        if (reader->housekeeping_at != 0)
            return refuse_twice(reader, HOUSEKEEPING, at, reader->housekeeping_at);
        reader->housekeeping_at = column(reader, at);
        reader->housekeeping = known = true;
    } else if (!known && equals(WORKERS, at, length)) {
        reader->workers = known = true;
    }
    if (known)
        return HL_OK;
    char names[256] = "";
    list_names(reader, names, sizeof names);
    return hl_error_set(reader->error, HL_INVALID,
                        "lcores: column %zu: no thread or domain is named \"%.*s\"; there are %s",
                        column(reader, at), (int)(length < 64 ? length : 64), at, names);
}

static hl_status read_name(hl_lcores_reader *reader)
{
    const char *const at = reader->at;
    const size_t length = strcspn(at, "@,() \t\r\n");
    if (length == 0)
        return expected(reader, "the name of a thread or domain", "an item is NAME@CPU: order@2");
    const hl_status status = add_threads(reader, at, length);
    if (status != HL_OK && reader->at > reader->text && isdigit((unsigned char)*at) &&
        strspn(at, "0123456789-") == length)
        return hl_error_set(reader->error, HL_INVALID,
                            "lcores: column %zu: expected a name, found the number %.*s; several "
                            "CPUs of one item stand in parentheses: market_data@(6,8)",
                            column(reader, at), (int)(length < 64 ? length : 64), at);
    reader->at += length;
    skip_blanks(reader);
    return status;
}

static hl_status read_number(hl_lcores_reader *reader, uint32_t *ret_number)
{
    if (!isdigit((unsigned char)*reader->at))
        return expected(reader, "a CPU number", "an item is NAME@CPU: order@2, order@(2,4-6)");
    const size_t digits = strspn(reader->at, "0123456789");
    if (digits > 9)
        return hl_error_set(reader->error, HL_INVALID,
                            "lcores: column %zu: a CPU number has at most 9 digits, this one %zu",
                            column(reader, reader->at), digits);
    *ret_number = (uint32_t)strtoul(reader->at, NULL, 10);
    reader->at += digits;
    skip_blanks(reader);
    return HL_OK;
}

static hl_status refuse_cpu(const hl_lcores_reader *reader, uint32_t number, const char *at)
{
    const hl_topology *const topology = reader->placement->topology;
    uint32_t *const allowed = calloc(topology->allowed + 1, sizeof *allowed);
    if (allowed == NULL)
        return hl_error_set(reader->error, HL_NO_MEMORY, "lcores: no memory");
    uint32_t count = 0;
    for (uint32_t i = 0; i < topology->cpu_count; i++)
        if (topology->cpus[i].allowed)
            allowed[count++] = topology->cpus[i].os_index;
    hl_placement_sort_cpus(allowed, count);
    char list[256] = "";
    hl_sentence_add_cpus(list, sizeof list, allowed, count);
    free(allowed);
    return hl_error_set(reader->error, HL_INVALID,
                        "lcores: column %zu: CPU %u is not allowed here; allowed are %s",
                        column(reader, at), number, list);
}

static hl_status add_cpu(hl_lcores_reader *reader, uint32_t number, const char *at)
{
    const hl_topology *const topology = reader->placement->topology;
    const hl_cpu *const cpu = hl_topology_cpu(topology, number);
    if (cpu == NULL || !cpu->allowed)
        return refuse_cpu(reader, number, at);
    const uint32_t index = (uint32_t)(cpu - topology->cpus);
    for (uint32_t i = 0; i < reader->cpu_count; i++)
        if (reader->cpus[i] == index)
            return hl_error_set(reader->error, HL_INVALID,
                                "lcores: column %zu: CPU %u is in this list already; list it once",
                                column(reader, at), number);
    reader->cpus[reader->cpu_count++] = index;
    return HL_OK;
}

static hl_status read_cpus(hl_lcores_reader *reader)
{
    const char *const at = reader->at;
    uint32_t first, last;
    hl_status status = read_number(reader, &first);
    last = first;
    if (status == HL_OK && take(reader, '-'))
        status = read_number(reader, &last);
    if (status == HL_OK && last < first)
        return hl_error_set(reader->error, HL_INVALID,
                            "lcores: column %zu: the range %u-%u runs backwards; write %u-%u",
                            column(reader, at), first, last, last, first);
    for (uint32_t number = first; status == HL_OK && number <= last; number++)
        status = add_cpu(reader, number, at);
    return status;
}

/* One `read_one`, or several in parentheses. */
static hl_status read_group(hl_lcores_reader *reader, hl_status (*read_one)(hl_lcores_reader *))
{
    const char *const opened = reader->at;
    if (!take(reader, '('))
        return read_one(reader);
    if (*reader->at == ')')
        return hl_error_set(reader->error, HL_INVALID,
                            "lcores: column %zu: the group is empty; put at least one entry in it",
                            column(reader, opened));
    hl_status status;
    do
        status = read_one(reader);
    while (status == HL_OK && take(reader, ','));
    if (status != HL_OK || take(reader, ')'))
        return status;
    if (*reader->at == '\0')
        return hl_error_set(reader->error, HL_INVALID,
                            "lcores: column %zu: the group opened here is not closed; end it "
                            "with ')'",
                            column(reader, opened));
    return expected(reader, "',' or ')'", "a group is (6,8)");
}

static void warn_of_empty_cpus(const hl_lcores_reader *reader, const char *item, int length)
{
    hl_placement *const placement = reader->placement;
    uint32_t *const cpus = calloc(reader->cpu_count + 1, sizeof *cpus);
    if (cpus == NULL) {
        placement->out_of_memory = true;
        return;
    }
    uint32_t count = 0;
    for (uint32_t i = reader->thread_count; i < reader->cpu_count; i++)
        cpus[count++] = placement->topology->cpus[reader->cpus[i]].os_index;
    hl_placement_sort_cpus(cpus, count);
    char list[256] = "";
    hl_sentence_add_cpus(list, sizeof list, cpus, count);
    hl_placement_warn(placement, "lcores: %.*s: %u thread%s for %u CPUs: kept empty: %s", length,
                      item, reader->thread_count, reader->thread_count == 1 ? "" : "s",
                      reader->cpu_count, list);
    free(cpus);
}

static hl_status read_item(hl_lcores_reader *reader)
{
    hl_placement *const placement = reader->placement;
    const char *const item = reader->at;
    reader->thread_count = reader->cpu_count = 0;
    reader->housekeeping = reader->workers = false;
    hl_status status = read_group(reader, read_name);
    if (status == HL_OK && !take(reader, '@'))
        return expected(reader, "'@'", "an item is NAME@CPU: order@2");
    if (status == HL_OK)
        status = read_group(reader, read_cpus);
    if (status != HL_OK)
        return status;
    for (uint32_t i = 0; i < reader->cpu_count; i++)
        placement->named[reader->cpus[i]] = true;
    for (uint32_t i = 0; i < reader->thread_count; i++) {
        const uint32_t thread = reader->threads[i];
        const uint32_t cpu = reader->cpus[i % reader->cpu_count];
        hl_placement_put(placement, thread, cpu);
        placement->by_hand[thread] = true;
        if (hl_placement_thread(placement, thread)->role == HL_ROLE_HOUSEKEEPER &&
            placement->housekeeping == HL_NO_CPU)
            placement->housekeeping = cpu;
    }
    if (reader->housekeeping && placement->housekeeping == HL_NO_CPU)
        placement->housekeeping = reader->cpus[0];
    const uint32_t wanted =
        reader->thread_count == 0 && reader->housekeeping ? 1 : reader->thread_count;
    if (reader->cpu_count > wanted)
        warn_of_empty_cpus(reader, item, (int)(reader->at - item));
    return HL_OK;
}

static hl_status read_items(hl_lcores_reader *reader)
{
    skip_blanks(reader);
    hl_status status;
    do
        status = read_item(reader);
    while (status == HL_OK && take(reader, ','));
    if (status == HL_OK && *reader->at != '\0')
        return expected(reader, "','", "items stand apart by commas: order@2,fill@4");
    return status;
}

hl_status hl_placement_by_hand(hl_placement *placement, hl_error *error)
{
    const size_t threads = (size_t)placement->request->thread_count + 1;
    hl_lcores_reader reader = {.placement = placement,
                               .error = error,
                               .text = placement->request->lcores,
                               .at = placement->request->lcores};
    reader.threads = calloc(threads, sizeof *reader.threads);
    reader.named_at = calloc(threads, sizeof *reader.named_at);
    reader.cpus = calloc((size_t)placement->topology->cpu_count + 1, sizeof *reader.cpus);
    const bool has_memory =
        reader.threads != NULL && reader.named_at != NULL && reader.cpus != NULL;
    const hl_status status =
        has_memory ? read_items(&reader) : hl_error_set(error, HL_NO_MEMORY, "lcores: no memory");
    free(reader.threads);
    free(reader.named_at);
    free(reader.cpus);
    return status;
}
