/* What a handler says of its failure, until it is taken. */
#include "fault/failure.h"

#include <string.h>

#include <criterion/criterion.h>
#include <hotlane/dlq.h>

static const hl_event event = {.sequence = 7};
static const hl_event *const events[] = {&event};

Test(failure, a_text_with_values_or_without_is_taken_once)
{
    int32_t code = 1;
    cr_assert_eq(hl_fail(&event, 42, "no account %d of 100%%", 9), HL_FAILED);
    cr_assert_str_eq(hl_failure_take(events, 1, &code), "no account 9 of 100%");
    cr_assert_eq(code, 42);
    cr_assert_eq(hl_fail(&event, 43, "closed"), HL_FAILED);
    cr_assert_str_eq(hl_failure_take(events, 1, &code), "closed");
    cr_assert_eq(code, 43);
    cr_assert_null(hl_failure_take(events, 1, &code), "it was taken");
    hl_fail(&event, 44, "%s", "");
    cr_assert_str_eq(hl_failure_take(events, 1, &code), "");
}

#define TEN     "0123456789"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

Test(failure, a_long_text_is_cut)
{
    int32_t code = 0;
    hl_fail(&event, 1, HUNDRED HUNDRED);
    cr_assert_eq(strlen(hl_failure_take(events, 1, &code)), HL_DEAD_TEXT_BYTES - 1);
    hl_fail(&event, 1, "%s", HUNDRED HUNDRED);
    cr_assert_eq(strlen(hl_failure_take(events, 1, &code)), HL_DEAD_TEXT_BYTES - 1);
}
