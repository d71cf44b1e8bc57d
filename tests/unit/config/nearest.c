#include "config/nearest.h"

#include <criterion/criterion.h>
#include <string.h>

static const char *const keys[] = {"name", "shards", "ring_slots", "handler_ring_slots", "wait"};

static const char *nearest(const char *word)
{
    return hl_nearest(word, keys, sizeof keys / sizeof *keys);
}

Test(nearest, an_exact_word_is_itself)
{
    cr_assert_str_eq(nearest("wait"), "wait");
}

Test(nearest, one_edit_of_each_kind_is_found)
{
    cr_assert_str_eq(nearest("shard"), "shards");   /* one byte missing */
    cr_assert_str_eq(nearest("shardss"), "shards"); /* one too many */
    cr_assert_str_eq(nearest("shardz"), "shards");  /* another one */
    cr_assert_str_eq(nearest("shrads"), "shards");  /* neighbours swapped */
}

Test(nearest, case_counts_for_nothing)
{
    cr_assert_str_eq(nearest("RING_SLOTS"), "ring_slots");
}

Test(nearest, the_closer_one_wins)
{
    cr_assert_str_eq(nearest("handler_ring_slot"), "handler_ring_slots");
    cr_assert_str_eq(nearest("ring_slot"), "ring_slots");
}

Test(nearest, a_word_unlike_all_has_none)
{
    cr_assert_null(nearest("xyzzy"));
    cr_assert_null(nearest(""));
    cr_assert_null(hl_nearest("name", keys, 0));
}

Test(nearest, a_third_of_the_letters_may_differ_and_no_more)
{
    static const char *const six[] = {"abcdef"};
    cr_assert_str_eq(hl_nearest("abcdxy", six, 1), "abcdef");
    cr_assert_null(hl_nearest("abcxyz", six, 1));
}

Test(nearest, words_beyond_63_bytes_and_null_candidates_are_passed_over)
{
    char longest[64], too_long[65];
    memset(longest, 'a', 63);
    longest[63] = '\0';
    memset(too_long, 'a', 64);
    too_long[64] = '\0';
    const char *const candidates[] = {NULL, too_long, longest};
    cr_assert_eq(hl_nearest(longest, candidates, 3), candidates[2]);
    cr_assert_null(hl_nearest(too_long, candidates, 3));
}
