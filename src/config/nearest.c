#include "config/nearest.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#define WORD_MAX 63

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static bool same(char a, char b)
{
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

/* Edits from `a` to `b`, both of at most WORD_MAX bytes: "optimal string alignment", the distance
 * of Damerau (CACM 7:3, 1964) where no piece is edited twice. */
static size_t edits(const char *a, const char *b)
{
    const size_t a_bytes = strlen(a);
    const size_t b_bytes = strlen(b);
    size_t cost[WORD_MAX + 1][WORD_MAX + 1];
    for (size_t i = 0; i <= a_bytes; i++)
        cost[i][0] = i;
    for (size_t j = 0; j <= b_bytes; j++)
        cost[0][j] = j;
    for (size_t i = 1; i <= a_bytes; i++) {
        for (size_t j = 1; j <= b_bytes; j++) {
            const size_t replaced = cost[i - 1][j - 1] + (same(a[i - 1], b[j - 1]) ? 0 : 1);
            const size_t moved = least(cost[i - 1][j], cost[i][j - 1]) + 1;
            cost[i][j] = least(replaced, moved);
            if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]))
                cost[i][j] = least(cost[i][j], cost[i - 2][j - 2] + 1);
        }
    }
    return cost[a_bytes][b_bytes];
}

const char *hl_nearest(const char *word, const char *const *candidates, size_t candidate_count)
{
    const char *nearest = NULL;
    size_t nearest_edits = WORD_MAX + 1;
    const size_t word_bytes = strlen(word);
    if (word_bytes > WORD_MAX)
        return NULL;
    for (size_t i = 0; i < candidate_count; i++) {
        if (candidates[i] == NULL || strlen(candidates[i]) > WORD_MAX)
            continue;
        const size_t bytes = strlen(candidates[i]);
        const size_t count = edits(word, candidates[i]);
        if (count * 3 <= (word_bytes > bytes ? word_bytes : bytes) && count < nearest_edits) {
            nearest = candidates[i];
            nearest_edits = count;
        }
    }
    return nearest;
}
