#include "bus/part.h"
#include "fault/faults.h"
#include "flow/control.h"
#include "flow/scaling.h"
#include "health/healths.h"
#include "journal/journals.h"
#include "journal/taker.h"

/* Which parts hang in a bus, in the order in which they are made and called; health looks at the
 * others, behind them. */
const hl_part *const hl_parts[] = {&hl_flow_part,
                                   &hl_faults_part,
                                   &hl_scaling_part,
                                   &hl_journals_part,
                                   &hl_aggregates_part,
                                   &hl_health_part,
                                   NULL};
