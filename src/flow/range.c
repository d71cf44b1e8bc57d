#include "flow/range.h"

#include <inttypes.h>

#include "base/error.h"

hl_status hl_option_size_check(size_t size, size_t known, const char *init, const char *place,
                               hl_error *error)
{
    if (size == known)
        return HL_OK;
    return hl_error_set(error, HL_INVALID,
                        "%s.size: %zu, this library knows %zu: begin with %s, and build against "
                        "this version's headers",
                        place, size, known, init);
}

hl_status hl_option_ranges_check(const hl_option_range *ranges, size_t count, const char *place,
                                 hl_error *error)
{
    for (size_t i = 0; i < count; i++) {
        const hl_option_range *const at = &ranges[i];
        if ((at->value >= at->least && at->value <= at->most) || (at->or_off && at->value == 0))
            continue;
        return hl_error_set(error, HL_INVALID,
                            "%s.%s: %" PRIu64 " is out of range: use %" PRIu64 " to %" PRIu64 "%s",
                            place, at->field, at->value, at->least, at->most,
                            at->or_off ? ", or 0 to switch it off" : "");
    }
    return HL_OK;
}
