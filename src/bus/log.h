/* Lines for people (hotlane/log.h), from within: a ring of the bus until somebody writes them. */
#ifndef HL_BUS_LOG_H
#define HL_BUS_LOG_H

#include <hotlane/log.h>

typedef struct hl_log_ring hl_log_ring;

/* NULL: no memory. */
hl_log_ring *hl_log_make(void);
void hl_log_free(hl_log_ring *log);

/* Writes what was said. The housekeeper; the thread that stops or destroys the bus, when there is
 * no housekeeper any more. Without the bus's lock. */
void hl_log_write(hl_bus *bus);

#endif
