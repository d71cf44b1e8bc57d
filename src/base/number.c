#include "number.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

bool hl_number_begin(const char *text, uint64_t *ret_number, const char **ret_end)
{
    if (!isdigit((unsigned char)text[0])) /* strtoull would take "-1" and " 1" as well */
        return false;
    const bool hexadecimal = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    char *end = NULL;
    errno = 0;
    const unsigned long long number = strtoull(text, &end, hexadecimal ? 16 : 10);
    if (errno != 0)
        return false;
    *ret_number = number;
    *ret_end = end;
    return true;
}

bool hl_number_parse(const char *text, uint64_t least, uint64_t most, uint64_t *ret_number)
{
    uint64_t number;
    const char *end;
    if (!hl_number_begin(text, &number, &end) || *end != '\0' || number < least || number > most)
        return false;
    *ret_number = number;
    return true;
}

bool hl_real_begin(const char *text, double *ret_number, const char **ret_end)
{
    const char first = text[text[0] == '-'];
    if (!isdigit((unsigned char)first) && first != '.') /* strtod would take "inf" and "nan", too */
        return false;
    char *end = NULL;
    errno = 0;
    const double number = strtod(text, &end);
    if (end == text || errno != 0)
        return false;
    *ret_number = number;
    *ret_end = end;
    return true;
}

bool hl_real_parse(const char *text, double least, double most, double *ret_number)
{
    double number;
    const char *end;
    if (!hl_real_begin(text, &number, &end) || *end != '\0' || !(number >= least && number <= most))
        return false;
    *ret_number = number;
    return true;
}
