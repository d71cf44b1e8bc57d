/*
 * Commands: how the control plane has an executor do something between two events, on the
 * executor's own thread. A list that any thread pushes to and the executor takes whole.
 *
 *   COMMAND  hl_command_list.head: a pusher stores its command (release), the executor takes the
 *            list (acquire): it sees what the command points to, and all that the pusher did
 * before.
 *
 * The executor looks after it has seen that events are ready and before it dispatches them, so that
 * whatever was commanded before an event was published is done before that event is dispatched.
 */
#ifndef HL_BUS_COMMAND_H
#define HL_BUS_COMMAND_H

#include <hotlane/bus.h>

#include "ring/order.h"

typedef enum hl_command_kind {
    HL_COMMAND_LINK_INLET,   /* begin to poll a ring */
    HL_COMMAND_RETIRE_INLET, /* its publisher has closed: stop polling once it is empty */
    HL_COMMAND_ATTACH,       /* take a subscription up */
    HL_COMMAND_REATTACH,     /* take up again what was ejected */
    HL_COMMAND_FLUSH,        /* deliver its batches */
    HL_COMMAND_DETACH,       /* let go of it */
    HL_COMMAND_CALL          /* call something of a part's */
} hl_command_kind;

typedef struct hl_command {
    struct hl_command *next;
    hl_command_kind kind;
    void *subject; /* hl_inlet, hl_link or hl_call */
} hl_command;

/* What a part (part.h) has an executor do between two events. `run` may free it. When no thread
 * turns the executor any more, it is called by the control plane (hl_turning is not the executor):
 * no handler may run then. */
typedef struct hl_call {
    hl_command command; /* first; HL_COMMAND_CALL, its subject is this */
    void (*run)(hl_executor *executor, struct hl_call *call);
} hl_call;

typedef struct hl_command_list {
    hl_command *head; /* the newest */
} hl_command_list;

/* Any thread; lock-free. */
static inline void hl_command_push(hl_command_list *list, hl_command *command)
{
    /* Relaxed: only a first guess. */
    void *head = hl_load_relaxed_ptr((void *const *)(void *)&list->head);
    do {
        command->next = head;
        /* COMMAND: release, so that the executor sees the command filled in. */
    } while (!hl_compare_exchange_acq_rel_ptr((void **)(void *)&list->head, &head, command));
}

static inline bool hl_command_waiting(const hl_command_list *list)
{
    /* Relaxed: hl_command_take orders it. */
    return hl_load_relaxed_ptr((void *const *)(const void *)&list->head) != NULL;
}

/* The newest that waits, or NULL: to see in an order whether there is one (DRAINED, executor.h). */
static inline const hl_command *hl_command_list_acquire(const hl_command_list *list)
{
    /* DRAINED: acquire, what is loaded after it is no older. */
    return hl_load_acquire_ptr((void *const *)(const void *)&list->head);
}

/* The executor's thread: takes all, the oldest first. */
static inline hl_command *hl_command_take(hl_command_list *list)
{
    /* COMMAND: acquire, pairs with the push of each command in the list. */
    hl_command *newest = hl_exchange_acq_rel_ptr((void **)(void *)&list->head, NULL);
    hl_command *oldest = NULL;
    while (newest != NULL) {
        hl_command *const next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

#endif
