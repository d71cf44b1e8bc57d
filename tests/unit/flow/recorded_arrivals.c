#include "recorded_arrivals.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include <hotlane/duration.h>

#include "market/reader.h"
#include "../market/shared_data.h"

const recorded_day recorded_days[RECORDED_DAYS] = {
    {"lobster", "lobster/AAPL_2012-06-21_34200000_57600000_message_1.csv.zst"},
    {"lobster", "lobster/GOOG_2012-06-21_34200000_57600000_message_10.csv.zst"},
    {"dbn", "databento/esh4-glbx-mdp3-20231225.mbo.dbn.zst"},
};

arrivals arrivals_recorded(const recorded_day *day, double speed)
{
    char spec[512];
    shared_data(day->format, day->file, spec, sizeof spec);
    market_recording recording;
    hl_error error = {0};
    const market_reader_options options = {.max_errors = 1000};
    cr_assert_eq(market_reader_read_all(spec, &options, &recording, &error), HL_OK, "%s",
                 error.text);
    arrivals of = {calloc(recording.count, sizeof(arrival)), 0};
    cr_assert_not_null(of.list);
    uint64_t first_ns = 0;
    for (size_t i = 0; i < recording.count; i++) {
        const market_message *const message = &recording.messages[i];
        if (message->action == MARKET_STATUS || (message->flags & MARKET_SNAPSHOT) != 0)
            continue;
        if (of.count == 0)
            first_ns = message->exchange_ns;
        const uint64_t since_ns =
            message->exchange_ns > first_ns ? message->exchange_ns - first_ns : 0;
        of.list[of.count++] =
            (arrival){(uint64_t)((double)since_ns / speed), (uint64_t)message->price};
    }
    market_recording_free(&recording);
    return of;
}

double arrivals_busiest(const arrivals *of)
{
    size_t most = 0;
    for (size_t first = 0, last = 0; last < of->count; last++) {
        while (of->list[last].at_ns > of->list[first].at_ns + 100 * HL_MILLISECOND)
            first++;
        most = last - first + 1 > most ? last - first + 1 : most;
    }
    return (double)most * 2 * 10;
}

void arrivals_free(arrivals *of)
{
    free(of->list);
}
