#include <float.h>

#include <criterion/criterion.h>

#include "base/number.h"

#define UNTOUCHED 77

static uint64_t number_of(const char *text, uint64_t least, uint64_t most)
{
    uint64_t number = UNTOUCHED;
    cr_assert(hl_number_parse(text, least, most, &number), "\"%s\"", text);
    return number;
}

static void assert_no_number(const char *text, uint64_t least, uint64_t most)
{
    uint64_t number = UNTOUCHED;
    cr_assert_not(hl_number_parse(text, least, most, &number), "\"%s\" is %lu", text, number);
    cr_assert_eq(number, UNTOUCHED);
}

Test(number, whole_ones_are_decimal_or_hexadecimal)
{
    cr_assert_eq(number_of("0", 0, UINT64_MAX), 0);
    cr_assert_eq(number_of("0010", 0, UINT64_MAX), 10, "never octal");
    cr_assert_eq(number_of("0x10", 0, UINT64_MAX), 16);
    cr_assert_eq(number_of("0XfF", 0, UINT64_MAX), 255);
    cr_assert_eq(number_of("18446744073709551615", 0, UINT64_MAX), UINT64_MAX);
}

Test(number, whole_ones_are_digits_and_nothing_else)
{
    const char *const none[] = {"",   " 1",  "1 ", "+1",  "-1",  "1.0",
                                "1k", "ten", "0x", "0xg", "1e3", "18446744073709551616"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_no_number(none[i], 0, UINT64_MAX);
}

Test(number, whole_ones_are_held_to_their_range)
{
    cr_assert_eq(number_of("1", 1, 19), 1);
    cr_assert_eq(number_of("19", 1, 19), 19);
    assert_no_number("0", 1, 19);
    assert_no_number("20", 1, 19);
}

Test(number, what_follows_is_told)
{
    uint64_t number;
    const char *end;
    cr_assert(hl_number_begin("42:7", &number, &end));
    cr_assert_eq(number, 42);
    cr_assert_str_eq(end, ":7");
    cr_assert(hl_number_begin("0xg", &number, &end), "a nought, and what follows it");
    cr_assert_eq(number, 0);
    cr_assert_str_eq(end, "xg");
    double real;
    cr_assert(hl_real_begin(".5x", &real, &end));
    cr_assert_float_eq(real, 0.5, DBL_EPSILON);
    cr_assert_str_eq(end, "x");
}

Test(number, real_ones_have_a_fraction_or_not_and_are_held_to_their_range)
{
    double real = UNTOUCHED;
    cr_assert(hl_real_parse("0.25", 0, 60, &real));
    cr_assert_float_eq(real, 0.25, DBL_EPSILON);
    cr_assert(hl_real_parse("60", 0, 60, &real));
    cr_assert_float_eq(real, 60, DBL_EPSILON);
    cr_assert(hl_real_parse("-1.5e2", -1000, 0, &real));
    cr_assert_float_eq(real, -150, DBL_EPSILON);
    real = UNTOUCHED;
    const char *const none[] = {"",    " 1",  "+1",   ".",     "-",  "1x",
                                "inf", "nan", "-inf", "1e999", "-1", "60.5"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        cr_assert_not(hl_real_parse(none[i], 0, 60, &real), "\"%s\" is %g", none[i], real);
    cr_assert_float_eq(real, UNTOUCHED, DBL_EPSILON);
}
