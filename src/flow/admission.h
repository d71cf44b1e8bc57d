/*
 * Who may publish: token buckets of publishers, topics and domains, and the last rung of the
 * ladder, which refuses state topics. Never asked of CRITICAL and HIGH: such an event passes
 * whatever the limits.
 *
 *   REFUSES  refuses[partition]: the housekeeper stores, publishers load: relaxed, for a publish
 *            that overlaps the change may be either.
 */
#ifndef HL_FLOW_ADMISSION_H
#define HL_FLOW_ADMISSION_H

#include "bus/bus.h"
#include "flow/token_bucket.h"

/* The limit of a domain, that all its publishers write. */
typedef struct hl_domain_limit {
    alignas(128) hl_token_bucket bucket;
} hl_domain_limit;

typedef struct hl_admissions {
    hl_domain_limit *limits; /* by domain */
    uint32_t *refuses;       /* REFUSES: by partition: state topics are refused */
} hl_admissions;

/* False: no memory. */
bool hl_admissions_init(hl_admissions *admissions, hl_bus *bus);
void hl_admissions_free(hl_admissions *admissions);

/* The operations of hl_flow (bus/flow.h). */
hl_status hl_admissions_admit(hl_admissions *admissions, hl_bus *bus, const hl_admission *asked);
void hl_admissions_give_back(hl_admissions *admissions, hl_bus *bus, const hl_admission *asked);

/* Whether publishes of the topic are to be admitted. Under the bus's lock. */
bool hl_admissions_check(const hl_admissions *admissions, const hl_topic_entry *topic);

/* Has a partition refuse state topics, or no longer. The housekeeper, without the bus's lock. */
void hl_admissions_refuse(hl_admissions *admissions, hl_bus *bus, const hl_partition *partition,
                          bool refuse);

#endif
