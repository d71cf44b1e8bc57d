/*
 * hotlane journal cat --correlation: a story as a tree, cause above effect.
 */
#include "journal_options.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "journal/exchange/jsonl.h"

#define NONE      SIZE_MAX
#define DEPTH_MAX 64 /* what is deeper is shown at this depth */

/* An event of the story; the reader's memory is gone by the time the tree is drawn. */
typedef struct node {
    uint64_t id;
    uint64_t cause;
    char *line;     /* as text */
    json_t *object; /* or as JSON */
    size_t child;   /* its first effect, NONE: none */
    size_t sibling; /* the next effect of the same cause */
    size_t parent;  /* its cause, NONE: a root */
} node;

typedef struct story {
    node *nodes; /* in the order they were read: a cause before its effects */
    size_t count;
    size_t room;
    bool json;
} story;

static bool add(story *this, const hl_journal_entry *entry)
{
    if (this->count == this->room) {
        const size_t room = this->room == 0 ? 64 : 2 * this->room;
        node *const nodes = realloc(this->nodes, room * sizeof *nodes);
        if (nodes == NULL)
            return false;
        this->nodes = nodes;
        this->room = room;
    }
    this->nodes[this->count++] =
        (node){.id = entry->id,
               .cause = entry->event != NULL ? entry->event->causation_id : 0,
               .line = this->json ? NULL : journal_entry_line(entry, false),
               .object = this->json ? hl_jsonl_object(entry) : NULL,
               .child = NONE,
               .sibling = NONE,
               .parent = NONE};
    return true;
}

static int by_id(const void *left, const void *right)
{
    const node *const a = *(const node *const *)left, *const b = *(const node *const *)right;
    return (a->id > b->id) - (a->id < b->id);
}

static node *find(node *const *sorted, size_t count, uint64_t id)
{
    size_t low = 0, high = count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (sorted[middle]->id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && sorted[low]->id == id ? sorted[low] : NULL;
}

/* Hangs each event under its cause, where that is part of what was read. */
static bool link_causes(story *this)
{
    node **const sorted = malloc((this->count + 1) * sizeof *sorted);
    if (sorted == NULL)
        return false;
    for (size_t i = 0; i < this->count; i++)
        sorted[i] = &this->nodes[i];
    qsort(sorted, this->count, sizeof *sorted, by_id);
    for (size_t i = this->count; i-- > 0;) { /* backwards: each is put before its elders */
        node *const effect = &this->nodes[i];
        node *const cause = effect->cause == 0 ? NULL : find(sorted, this->count, effect->cause);
        if (cause == NULL || cause >= effect) /* made-up ids must not make a ring */
            continue;
        effect->parent = (size_t)(cause - this->nodes);
        effect->sibling = cause->child;
        cause->child = i;
    }
    free(sorted);
    return true;
}

/* A root and all below it. Effects come behind their cause in memory, so that this ends; without
 * recursion, for a chain of causes may be long. */
static void print_tree(const story *this, size_t root)
{
    int depth = 0;
    for (size_t at = root; at != NONE;) {
        const node *const here = &this->nodes[at];
        printf("%*s%s", 2 * (depth < DEPTH_MAX ? depth : DEPTH_MAX), "",
               here->line != NULL ? here->line : "\n");
        if (here->child != NONE) {
            at = here->child;
            depth++;
            continue;
        }
        while (at != root && this->nodes[at].sibling == NONE) {
            at = this->nodes[at].parent;
            depth--;
        }
        at = at == root ? NONE : this->nodes[at].sibling;
    }
}

/* Effects first: they lie behind their cause, so that backwards every object is whole. */
static json_t *tree_of(const story *this)
{
    json_t *const roots = json_array();
    for (size_t i = this->count; i-- > 0;) {
        json_t *const effects = json_array();
        for (size_t child = this->nodes[i].child; child != NONE; child = this->nodes[child].sibling)
            json_array_append(effects, this->nodes[child].object);
        json_object_set_new(this->nodes[i].object, "effects", effects);
    }
    for (size_t i = 0; i < this->count; i++)
        if (this->nodes[i].parent == NONE)
            json_array_append(roots, this->nodes[i].object);
    return roots;
}

static void print_story(const story *this, const journal_options *options)
{
    if (this->json) {
        char id[24];
        snprintf(id, sizeof id, "%" PRIu64, options->reading.filter.correlation_id);
        journal_print(json_pack("{s:s, s:I, s:o}", "correlation_id", id, "count",
                                (json_int_t)this->count, "story", tree_of(this)));
        return;
    }
    for (size_t i = 0; i < this->count; i++)
        if (this->nodes[i].parent == NONE)
            print_tree(this, i);
}

hl_exit journal_show_story(hl_journal_reader *reader, const journal_options *options)
{
    story this = {.json = options->json};
    hl_journal_entry entry;
    hl_error error = {0};
    hl_status status;
    while ((status = hl_journal_reader_next(reader, &entry, &error)) == HL_OK)
        if (!add(&this, &entry))
            break;
    const bool whole = status == HL_NOT_FOUND && link_causes(&this);
    if (whole)
        print_story(&this, options);
    for (size_t i = 0; i < this.count; i++) {
        free(this.nodes[i].line);
        json_decref(this.nodes[i].object);
    }
    free(this.nodes);
    if (whole)
        return HL_EXIT_OK;
    if (status == HL_OK || status == HL_NOT_FOUND) {
        fputs("journal cat: out of memory: the story is too long for a tree\n", stderr);
        return HL_EXIT_FAILED;
    }
    return journal_failed(&error);
}
