/* What the journal scenario measures with, on small journals: that it writes, reads and clears up.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "perf/journal_place.h"
#include "perf/journal_read.h"

#define RECORDS 20000u

static perf_run run;
static perf_place place;
static hl_error error;

static void set_up(void)
{
    perf_timer_init(&run.timer);
    cr_assert_eq(perf_place_make("/tmp", &place, &error), HL_OK, "%s", error.text);
}

static void tear_down(void)
{
    struct stat status;
    perf_place_remove(&place);
    cr_assert_neq(stat(place.path, &status), 0, "%s is still there", place.path);
}

TestSuite(perf_journal, .init = set_up, .fini = tear_down);

static hl_histogram *histogram(void)
{
    hl_histogram *const ns = malloc(hl_histogram_size_bytes(PERF_HISTOGRAM_DIGITS));
    cr_assert_not_null(ns);
    hl_histogram_init(ns, PERF_HISTOGRAM_DIGITS);
    return ns;
}

Test(perf_journal, a_place_that_cannot_be_made_is_named)
{
    perf_place nowhere;
    cr_assert_eq(perf_place_make("/proc/nowhere", &nowhere, &error), HL_SYSTEM);
    cr_assert_not_null(strstr(error.text, "/proc/nowhere"), "%s", error.text);
}

Test(perf_journal, plain_writes_and_syncs_leave_nothing)
{
    double per_s = 0;
    hl_histogram *const ns = histogram();
    cr_assert_eq(perf_place_write(&place, &run.timer, 2u << 20, &per_s, &error), HL_OK, "%s",
                 error.text);
    cr_assert_gt(per_s, 0);
    cr_assert_eq(perf_place_sync(&place, &run.timer, 4096, 0.01, ns, &error), HL_OK, "%s",
                 error.text);
    cr_assert_gt(hl_histogram_count(ns), 0);
    cr_assert_eq(rmdir(place.path), 0, "something is left in it");
    free(ns);
}

Test(perf_journal, what_is_written_is_found_and_sound_and_smaller_when_packed)
{
    double per_s = 0, times = 0;
    hl_histogram *const ns = histogram();
    cr_assert_eq(perf_journal_write(place.path, RECORDS, &error), HL_OK, "%s", error.text);
    cr_assert_eq(perf_journal_seek(&run, place.path, RECORDS, 0.02, ns, &error), HL_OK, "%s",
                 error.text);
    cr_assert_gt(hl_histogram_count(ns), 0);
    cr_assert_eq(perf_journal_check(&run, place.path, &per_s, &error), HL_OK, "%s", error.text);
    cr_assert_gt(per_s, 0);
    cr_assert_eq(perf_journal_replay(&run, place.path, RECORDS, &per_s, &error), HL_OK, "%s",
                 error.text);
    cr_assert_eq(perf_journal_replay(&run, place.path, RECORDS + 1, &per_s, &error),
                 HL_NOT_CONSERVED, "an event less than there should be");
    const hl_status packed = perf_journal_pack(place.path, &times, &error);
    cr_assert(packed == HL_UNSUPPORTED || (packed == HL_OK && times > 1), "%s", error.text);
    free(ns);
}
