#include "bus/pattern.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* ---- against an oracle ---- */

#define MOST_TOKENS 5

typedef struct token_list {
    char tokens[MOST_TOKENS][4];
    int count;
} token_list;

/* A list of up to MOST_TOKENS tokens; with wildcards it is a pattern. */
static token_list random_tokens(unsigned *seed, bool wildcards)
{
    /* Few words, some the beginning of others, so that matches and near misses are common. */
    static const char *const words[] = {"a", "b", "ab", "aba", "*", "*", ">"};
    token_list list = {.count = 1 + rand_r(seed) % MOST_TOKENS};
    for (int i = 0; i < list.count; i++) {
        const int word = rand_r(seed) % (wildcards ? 7 : 4);
        strcpy(list.tokens[i], words[word]);
        if (*words[word] == '>')
            list.count = i + 1;
    }
    return list;
}

static void join(const token_list *list, char *ret_text)
{
    *ret_text = '\0';
    for (int i = 0; i < list->count; i++) {
        strcat(ret_text, i == 0 ? "" : ".");
        strcat(ret_text, list->tokens[i]);
    }
}

static bool oracle(const token_list *pattern, const token_list *name)
{
    for (int i = 0; i < pattern->count; i++) {
        if (strcmp(pattern->tokens[i], ">") == 0)
            return name->count > i;
        if (i >= name->count)
            return false;
        if (strcmp(pattern->tokens[i], "*") != 0 &&
            strcmp(pattern->tokens[i], name->tokens[i]) != 0)
            return false;
    }
    return pattern->count == name->count;
}

Test(pattern, matches_what_a_token_by_token_oracle_matches)
{
    unsigned seed = 20240607;
    int matches = 0;
    for (int i = 0; i < 300000; i++) {
        const token_list pattern = random_tokens(&seed, true), name = random_tokens(&seed, false);
        char pattern_text[4 * MOST_TOKENS + 1], name_text[4 * MOST_TOKENS + 1];
        join(&pattern, pattern_text);
        join(&name, name_text);
        cr_assert_null(hl_pattern_defect(pattern_text), "%s", pattern_text);
        cr_assert_null(hl_name_defect(name_text), "%s", name_text);
        const bool expected = oracle(&pattern, &name);
        cr_assert_eq(hl_pattern_matches(pattern_text, name_text), expected, "pattern %s, name %s",
                     pattern_text, name_text);
        matches += expected;
    }
    cr_assert(matches > 10000 && matches < 290000, "%d matches prove little", matches);
}

Test(pattern, a_pattern_without_wildcards_matches_itself_alone)
{
    unsigned seed = 7;
    for (int i = 0; i < 10000; i++) {
        const token_list name = random_tokens(&seed, false), other = random_tokens(&seed, false);
        char name_text[4 * MOST_TOKENS + 1], other_text[4 * MOST_TOKENS + 1];
        join(&name, name_text);
        join(&other, other_text);
        cr_assert(hl_pattern_is_exact(name_text));
        cr_assert(hl_pattern_matches(name_text, name_text));
        cr_assert_eq(hl_pattern_matches(name_text, other_text), strcmp(name_text, other_text) == 0);
    }
    cr_assert_not(hl_pattern_is_exact("a.*"));
    cr_assert_not(hl_pattern_is_exact("a.>"));
}

/* ---- what is malformed ---- */

Test(pattern, malformed_names_and_patterns_are_told_apart)
{
    static const char *const neither[] = {"",    ".",     "a.",   ".a",   "a..b", "a b",
                                          "a\t", "a\x7f", "a\nb", "a.*b", "a.>b", "x*.y"};
    static const char *const patterns_only[] = {"*", ">", "a.*", "a.>", "*.*.c", "*.>"};
    static const char *const both[] = {"a", "a.b", "order.new-2_x", "a.\xc3\xa9"};
    cr_assert_not_null(hl_name_defect(NULL));
    cr_assert_not_null(hl_pattern_defect(NULL));
    for (size_t i = 0; i < sizeof neither / sizeof *neither; i++) {
        cr_assert_not_null(hl_name_defect(neither[i]), "name \"%s\"", neither[i]);
        cr_assert_not_null(hl_pattern_defect(neither[i]), "pattern \"%s\"", neither[i]);
    }
    for (size_t i = 0; i < sizeof patterns_only / sizeof *patterns_only; i++) {
        cr_assert_not_null(hl_name_defect(patterns_only[i]), "name %s", patterns_only[i]);
        cr_assert_null(hl_pattern_defect(patterns_only[i]), "pattern %s", patterns_only[i]);
    }
    for (size_t i = 0; i < sizeof both / sizeof *both; i++) {
        cr_assert_null(hl_name_defect(both[i]), "name %s", both[i]);
        cr_assert_null(hl_pattern_defect(both[i]), "pattern %s", both[i]);
    }
    cr_assert_not_null(strstr(hl_pattern_defect("a.>.b"), "at the end"));
}

Test(pattern, a_name_has_up_to_255_bytes)
{
    char name[HL_NAME_MAX + 2];
    memset(name, 'n', sizeof name);
    name[HL_NAME_MAX] = '\0';
    cr_assert_null(hl_name_defect(name));
    name[HL_NAME_MAX] = 'n';
    name[HL_NAME_MAX + 1] = '\0';
    cr_assert_not_null(hl_name_defect(name));
}

Test(pattern, the_first_token_ends_at_the_first_dot_or_the_end)
{
    cr_assert_eq(hl_first_token_bytes("order.new"), 5);
    cr_assert_eq(hl_first_token_bytes("order"), 5);
}
