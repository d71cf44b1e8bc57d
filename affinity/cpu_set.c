#include "affinity/cpu_set.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "affinity/sentence.h"

#define WORDS (HL_CPU_SET_BITS / 64)

void hl_cpu_set_add(hl_cpu_set *set, uint32_t cpu)
{
    if (cpu < HL_CPU_SET_BITS)
        set->words[cpu / 64] |= (uint64_t)1 << (cpu % 64);
}

bool hl_cpu_set_has(const hl_cpu_set *set, uint32_t cpu)
{
    return cpu < HL_CPU_SET_BITS && (set->words[cpu / 64] >> (cpu % 64) & 1) != 0;
}

uint32_t hl_cpu_set_count(const hl_cpu_set *set)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < WORDS; i++)
        count += (uint32_t)__builtin_popcountll(set->words[i]);
    return count;
}

hl_cpu_set hl_cpu_set_and(const hl_cpu_set *a, const hl_cpu_set *b)
{
    hl_cpu_set result;
    for (uint32_t i = 0; i < WORDS; i++)
        result.words[i] = a->words[i] & b->words[i];
    return result;
}

hl_cpu_set hl_cpu_set_or(const hl_cpu_set *a, const hl_cpu_set *b)
{
    hl_cpu_set result;
    for (uint32_t i = 0; i < WORDS; i++)
        result.words[i] = a->words[i] | b->words[i];
    return result;
}

hl_cpu_set hl_cpu_set_less(const hl_cpu_set *a, const hl_cpu_set *b)
{
    hl_cpu_set result;
    for (uint32_t i = 0; i < WORDS; i++)
        result.words[i] = a->words[i] & ~b->words[i];
    return result;
}

bool hl_cpu_set_equal(const hl_cpu_set *a, const hl_cpu_set *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static bool take_number(const char **at, uint32_t *ret_number)
{
    const size_t digits = strspn(*at, "0123456789");
    if (digits == 0 || digits > 9)
        return false;
    *ret_number = (uint32_t)strtoul(*at, NULL, 10);
    *at += digits;
    return true;
}

/* "3", "3-7", "0-30:2/4": of each 4 the first 2. */
static bool take_range(const char **at, hl_cpu_set *set)
{
    uint32_t first, last, used = 1, period = 1;
    if (!take_number(at, &first))
        return false;
    last = first;
    if (**at == '-' && ((*at)++, !take_number(at, &last)))
        return false;
    if (**at == ':') {
        (*at)++;
        if (!take_number(at, &used) || *(*at)++ != '/' || !take_number(at, &period))
            return false;
    }
    if (last < first || used == 0 || period < used)
        return false;
    for (uint32_t cpu = first; cpu <= last && cpu < HL_CPU_SET_BITS; cpu++)
        if ((cpu - first) % period < used)
            hl_cpu_set_add(set, cpu);
    return true;
}

bool hl_cpu_set_parse_list(const char *text, hl_cpu_set *ret_set)
{
    hl_cpu_set set = {{0}};
    const char *at = text + strspn(text, " \t\n");
    while (*at != '\0') {
        if (!take_range(&at, &set))
            return false;
        if (*at == ',' && at[1] != '\0')
            at++;
        else if (at[strspn(at, " \t\n")] == '\0')
            break;
        else
            return false;
    }
    *ret_set = set;
    return true;
}

bool hl_cpu_set_parse_mask(const char *text, hl_cpu_set *ret_set)
{
    hl_cpu_set set = {{0}};
    size_t end = strlen(text);
    while (end > 0 && isspace((unsigned char)text[end - 1]))
        end--;
    if (end == 0)
        return false;
    uint32_t bit = 0;
    for (size_t i = end; i-- > 0;) {
        if (text[i] == ',')
            continue;
        if (!isxdigit((unsigned char)text[i]))
            return false;
        const char digit[2] = {text[i], '\0'};
        const unsigned long value = strtoul(digit, NULL, 16);
        for (uint32_t b = 0; b < 4; b++, bit++)
            if ((value >> b & 1) != 0)
                hl_cpu_set_add(&set, bit);
    }
    *ret_set = set;
    return true;
}

void hl_cpu_set_tell(const hl_cpu_set *set, char *text, size_t size)
{
    bool any = false;
    for (uint32_t first = 0; first < HL_CPU_SET_BITS; first++) {
        if (!hl_cpu_set_has(set, first))
            continue;
        uint32_t last = first;
        while (hl_cpu_set_has(set, last + 1))
            last++;
        hl_sentence_add(text, size, last > first ? "%s%u-%u" : "%s%u", any ? "," : "", first, last);
        any = true;
        first = last;
    }
    if (!any)
        hl_sentence_add(text, size, "none");
}
