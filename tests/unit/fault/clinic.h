/* A clinic: a bus that is turned by hand, one subscription of any kind, and what its handler
 * answers; for the tests of handlers that fail. */
#ifndef HL_TEST_CLINIC_H
#define HL_TEST_CLINIC_H

#include "../bus/manual_bus.h"

#define CLINIC_CALLS_MAX 20000
#define CLINIC_WORKERS   3
#define CLINIC_ROOM      16 /* of queues, and of retries */

typedef struct clinic_kind {
    const char *name;
    hl_async_order async;
    hl_contract contract;
    bool is_batch;
} clinic_kind;

/* Every kind of handler that there is. */
typedef enum clinic_kind_name {
    CLINIC_INLINE,
    CLINIC_BATCH,
    CLINIC_UNORDERED,
    CLINIC_BY_KEY,
    CLINIC_ORDERED,
    CLINIC_LATEST,
    CLINIC_UNORDERED_BATCH,
    CLINIC_BATCH_BY_KEY,
    CLINIC_ORDERED_BATCH,
    CLINIC_LATEST_BATCH,
    CLINIC_KINDS
} clinic_kind_name;
extern const clinic_kind clinic_kinds[CLINIC_KINDS];

typedef struct patient patient;
typedef hl_status clinic_answer(const hl_event *event, hl_publisher *out, patient *self);

/* The handler's context: notes each call, and answers. Of a batch, each event in turn, until one
 * fails; those before are taken. */
struct patient {
    clinic_answer *answer;
    hl_bus *bus;
    uint64_t seed; /* an answer's own */
    hl_topic own;  /* the topic that it listens to */
    hl_topic to;   /* for what is passed on */
    hl_subscription *subscription;
    hl_subscription *other; /* an answer's own */
    uint32_t calls, handled, batches, largest_batch;
    uint32_t place; /* of the event in its batch, from 0 */
    struct {
        uint64_t sequence, key;
        uint8_t attempt;
    } log[CLINIC_CALLS_MAX];
};

typedef struct clinic {
    hl_bus *bus;
    hl_topic quote;
    hl_publisher *feed;
    patient patient;
} clinic;

/* Two attempts after the first, 1 ms and longer apart. */
hl_retry_options clinic_retry(hl_retry_order order);

/* A bus with workers, and the patient listening to market_data.* by these options, as one of that
 * kind; a batch is of 4 events unless they say otherwise. */
void clinic_open(clinic *c, const clinic_kind *of, hl_subscription_options options,
                 clinic_answer *answer);

/* Another subscription of that kind, of another patient. */
hl_subscription *clinic_add(clinic *c, const clinic_kind *of, const char *name,
                            hl_subscription_options options, patient *with);

/* The patient as a batch handler. */
hl_status clinic_suffer_all(const hl_batch *batch, hl_publisher *out, void *context);

/* So long that all that waits for a time is over. */
void clinic_pass(clinic *c, uint64_t ms);

/* Stops it, which must drain and conserve. */
void clinic_close(clinic *c);

clinic_answer clinic_do_well;
clinic_answer clinic_fail;    /* hl_fail, 7, "at attempt %u" */
clinic_answer clinic_pass_on; /* the event's value to account.note */

#endif
