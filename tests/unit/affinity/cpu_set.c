#include "affinity/cpu_set.h"

#include <criterion/criterion.h>

static const char *told(const hl_cpu_set *set)
{
    static char text[256];
    text[0] = '\0';
    hl_cpu_set_tell(set, text, sizeof text);
    return text;
}

Test(cpu_set, lists_are_read_and_told)
{
    static const char *const cases[][2] = {{"", "none"},
                                           {"\n", "none"},
                                           {"3", "3"},
                                           {"0-3,8", "0-3,8"},
                                           {"8,0-1,2,3\n", "0-3,8"},
                                           {"0-30:2/8", "0-1,8-9,16-17,24-25"},
                                           {"63-65,8191", "63-65,8191"},
                                           {"9000", "none"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        hl_cpu_set set;
        cr_assert(hl_cpu_set_parse_list(cases[i][0], &set), "%s", cases[i][0]);
        cr_expect_str_eq(told(&set), cases[i][1], "%s", cases[i][0]);
    }
}

Test(cpu_set, what_is_no_list_is_refused_and_leaves_the_set)
{
    static const char *const cases[] = {"x",   "1,",    "1,,2",  "-1",    "1-",         "3-1",
                                        "1 2", "0-4:2", "1:0/2", "1:3/2", "9999999999", "0x1"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        hl_cpu_set set = {{42}};
        cr_expect_not(hl_cpu_set_parse_list(cases[i], &set), "%s", cases[i]);
        cr_expect_eq(set.words[0], 42);
    }
}

Test(cpu_set, masks_are_read)
{
    static const char *const cases[][2] = {{"0", "none"},
                                           {"f", "0-3"},
                                           {"00000001,0000010F\n", "0-3,8,32"},
                                           {"1,00000000,00000000", "64"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        hl_cpu_set set;
        cr_assert(hl_cpu_set_parse_mask(cases[i][0], &set), "%s", cases[i][0]);
        cr_expect_str_eq(told(&set), cases[i][1], "%s", cases[i][0]);
    }
    hl_cpu_set set;
    cr_expect_not(hl_cpu_set_parse_mask("", &set));
    cr_expect_not(hl_cpu_set_parse_mask("0-3", &set));
}

Test(cpu_set, sets_are_joined_cut_and_compared)
{
    hl_cpu_set a, b, expected;
    hl_cpu_set_parse_list("0-3,100", &a);
    hl_cpu_set_parse_list("2-5,100", &b);
    hl_cpu_set result = hl_cpu_set_and(&a, &b);
    hl_cpu_set_parse_list("2-3,100", &expected);
    cr_expect(hl_cpu_set_equal(&result, &expected));
    result = hl_cpu_set_or(&a, &b);
    cr_expect_str_eq(told(&result), "0-5,100");
    result = hl_cpu_set_less(&a, &b);
    cr_expect_str_eq(told(&result), "0-1");
    cr_expect_eq(hl_cpu_set_count(&a), 5);
    cr_expect_not(hl_cpu_set_equal(&a, &b));
    hl_cpu_set_add(&a, HL_CPU_SET_BITS);
    cr_expect_eq(hl_cpu_set_count(&a), 5, "a number beyond the set is in no set");
    cr_expect_not(hl_cpu_set_has(&a, HL_CPU_SET_BITS));
}
