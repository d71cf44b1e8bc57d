#include "base/error.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include <hotlane/version.h>

Test(status, each_has_its_name_and_a_sentence)
{
#define EXPECT(code, value, text)                  \
    cr_assert_eq((int)code, value);                \
    cr_assert_str_eq(hl_status_name(code), #code); \
    cr_assert_str_eq(hl_status_text(code), text);
    HL_STATUS_LIST(EXPECT)
#undef EXPECT
}

Test(status, values_follow_each_other_from_zero)
{
    static const int values[] = {
#define VALUE(code, value, text) value,
        HL_STATUS_LIST(VALUE)
#undef VALUE
    };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        cr_assert_eq((size_t)values[i], i);
}

Test(status, an_unknown_value_says_so)
{
    cr_assert_str_eq(hl_status_text((hl_status)12345), "unknown status");
    cr_assert_str_eq(hl_status_name((hl_status)-1), "unknown status");
}

Test(error, set_fills_it_and_gives_the_status_back)
{
    hl_error error;
    cr_assert_eq(hl_error_set(&error, HL_LIMIT, "%s: %d", "max_topics", 3), HL_LIMIT);
    cr_assert_eq(error.status, HL_LIMIT);
    cr_assert_str_eq(error.text, "max_topics: 3");
}

Test(error, null_is_allowed)
{
    cr_assert_eq(hl_error_set(NULL, HL_FULL, "%s", "nobody reads it"), HL_FULL);
}

Test(error, a_long_sentence_is_cut_and_closed)
{
    char text[2 * sizeof(((hl_error *)NULL)->text)];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    hl_error error;
    hl_error_set(&error, HL_INVALID, "%s", text);
    cr_assert_eq(strlen(error.text), sizeof error.text - 1);
}

Test(version, number_and_text_are_of_one_kind)
{
    char text[32];
    const int number = hl_version_number();
    cr_assert_eq(number, HL_VERSION_NUMBER);
    snprintf(text, sizeof text, "%d.%d.%d", number / 10000, number / 100 % 100, number % 100);
    cr_assert_str_eq(hl_version_text(), text);
    cr_assert_str_eq(hl_version_text(), PROJECT_VERSION, "meson.build and version.h agree");
}
