/*
 * Components (hotlane/component.h), from within: what the housekeeper asks of them.
 */
#ifndef HL_FAULT_COMPONENT_H
#define HL_FAULT_COMPONENT_H

#include <hotlane/component.h>

typedef struct hl_components hl_components;

/* NULL: no memory. */
hl_components *hl_components_make(hl_bus *bus);

/* Stops what is started. NULL is nothing. */
void hl_components_free(hl_components *components);

/* Asks each started one for its health. The housekeeper. */
void hl_components_ask(hl_components *components);

#endif
