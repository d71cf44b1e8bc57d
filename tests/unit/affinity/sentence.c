#include "affinity/sentence.h"

#include <criterion/criterion.h>
#include <string.h>

Test(sentence, grows_piece_by_piece)
{
    char text[32] = "";
    cr_assert(hl_sentence_add(text, sizeof text, "core %d", 7));
    cr_assert(hl_sentence_add_item(text, sizeof text, "own"));
    cr_assert_str_eq(text, "core 7, own");
}

Test(sentence, ends_in_dots_when_full_and_stays_so)
{
    char text[12] = "";
    cr_assert(hl_sentence_add_item(text, sizeof text, "order"));
    cr_assert_not(hl_sentence_add_item(text, sizeof text, "market_data"));
    cr_assert_str_eq(text, "order, m...");
    cr_assert_not(hl_sentence_add(text, sizeof text, "more"));
    cr_assert_str_eq(text, "order, m...");
}

Test(sentence, exactly_full_is_not_cut)
{
    char text[8] = "";
    cr_assert(hl_sentence_add(text, sizeof text, "1234567"));
    cr_assert_str_eq(text, "1234567");
}

Test(sentence, cpus_become_ranges)
{
    const uint32_t cpus[] = {0, 1, 2, 5, 8, 9};
    char text[64] = "";
    cr_assert(hl_sentence_add_cpus(text, sizeof text, cpus, 6));
    cr_assert_str_eq(text, "0-2,5,8-9");
    char none[64] = "";
    cr_assert(hl_sentence_add_cpus(none, sizeof none, cpus, 0));
    cr_assert_str_eq(none, "none");
}

Test(sentence, a_long_list_of_cpus_is_cut)
{
    uint32_t even[96];
    for (uint32_t i = 0; i < 96; i++)
        even[i] = 2 * i;
    char text[32] = "";
    cr_assert_not(hl_sentence_add_cpus(text, sizeof text, even, 96));
    cr_assert_eq(strlen(text), sizeof text - 1);
    cr_assert_str_eq(text + strlen(text) - 3, "...");
}
