#include "bus/pattern.h"

#include <string.h>

size_t hl_first_token_bytes(const char *name)
{
    return strcspn(name, ".");
}

static bool is_wildcard(const char *token, size_t bytes)
{
    return bytes == 1 && (*token == '*' || *token == '>');
}

/* Checks the tokens; wildcards only where `wildcards` is set. */
static const char *defect(const char *text, bool wildcards)
{
    if (text == NULL || *text == '\0')
        return "it is empty: write tokens split by '.', like \"market_data.trade\"";
    if (strlen(text) > HL_NAME_MAX)
        return "it is longer than 255 bytes";
    for (const char *token = text;; token++) {
        const size_t bytes = hl_first_token_bytes(token);
        if (bytes == 0)
            return "it has an empty token: no '.' at the start, at the end, or twice in a row";
        for (size_t i = 0; i < bytes; i++) {
            const unsigned char c = (unsigned char)token[i];
            if (c <= ' ' || c == 0x7f)
                return "it has a blank or control character";
            if ((c == '*' || c == '>') && !(wildcards && is_wildcard(token, bytes)))
                return wildcards ? "`*` and `>` are tokens of their own, as in \"order.*\""
                                 : "a topic's name has no wildcard";
        }
        if (*token == '>' && token[bytes] != '\0')
            return "`>` stands at the end only";
        token += bytes;
        if (*token == '\0')
            return NULL;
    }
}

const char *hl_name_defect(const char *name)
{
    return defect(name, false);
}

const char *hl_pattern_defect(const char *pattern)
{
    return defect(pattern, true);
}

bool hl_pattern_is_exact(const char *pattern)
{
    return strpbrk(pattern, "*>") == NULL;
}

bool hl_pattern_matches(const char *pattern, const char *name)
{
    for (;;) {
        const size_t pattern_bytes = hl_first_token_bytes(pattern);
        const size_t name_bytes = hl_first_token_bytes(name);
        if (*pattern == '>')
            return true;
        if (*pattern != '*' &&
            (pattern_bytes != name_bytes || memcmp(pattern, name, name_bytes) != 0))
            return false;
        pattern += pattern_bytes;
        name += name_bytes;
        if (*pattern == '\0' || *name == '\0')
            return *pattern == *name;
        pattern++;
        name++;
    }
}
