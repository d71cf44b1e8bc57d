#include "fault/faults.h"

#include "base/error.h"
#include "bus/bus.h"
#include "fault/guard.h"

static hl_status create(hl_bus *bus, hl_error *error)
{
    bus->check_guard = hl_guard_check;
    bus->make_guard = hl_guard_make;
    for (uint32_t i = 0; i < bus->partition_count; i++) {
        hl_partition *const partition = &bus->partitions[i];
        partition->ward = hl_ward_make(partition, bus->config.retry_events);
        if (partition->ward == NULL)
            return hl_error_set(error, HL_NO_MEMORY,
                                "no memory for retry_events: %u on partition %s",
                                bus->config.retry_events, partition->out->name);
    }
    return HL_OK;
}

static void destroy(hl_bus *bus)
{
    for (uint32_t i = 0; bus->partitions != NULL && i < bus->partition_count; i++)
        hl_ward_free(bus->partitions[i].ward);
}

const hl_part hl_faults_part = {create, NULL, destroy};
