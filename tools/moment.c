#include "moment.h"

#include <ctype.h>
#include <string.h>
#include <time.h>

#include "base/number.h"

#define NS_PER_SECOND (uint64_t)1000000000

/* Digits in `text`, `count` of them, as a number; -1: there is another character. */
static int digits(const char *text, int count)
{
    int number = 0;
    for (int i = 0; i < count; i++) {
        if (!isdigit((unsigned char)text[i]))
            return -1;
        number = number * 10 + (text[i] - '0');
    }
    return number;
}

/* ".5" as ns, and what follows; a fraction of up to nine digits. */
static const char *parse_fraction(const char *text, uint64_t *ret_ns)
{
    uint64_t ns = 0;
    int count = 0;
    for (text++; isdigit((unsigned char)*text) && count < 9; text++, count++)
        ns = ns * 10 + (uint64_t)(*text - '0');
    if (count == 0)
        return NULL;
    for (; count < 9; count++)
        ns *= 10;
    *ret_ns = ns;
    return text;
}

/* "T10:28", "T10:28:30", "T10:28:30.5", and what follows; *ret_span_ns: how long that lasts. */
static const char *parse_clock(const char *text, struct tm *date, uint64_t *ret_ns,
                               uint64_t *ret_span_ns)
{
    date->tm_hour = digits(text + 1, 2);
    if (date->tm_hour < 0 || date->tm_hour > 23 || text[3] != ':')
        return NULL;
    date->tm_min = digits(text + 4, 2);
    if (date->tm_min < 0 || date->tm_min > 59)
        return NULL;
    *ret_span_ns = 60 * NS_PER_SECOND;
    text += 6;
    if (*text != ':')
        return text;
    date->tm_sec = digits(text + 1, 2);
    if (date->tm_sec < 0 || date->tm_sec > 59)
        return NULL;
    *ret_span_ns = NS_PER_SECOND;
    text += 3;
    if (*text != '.')
        return text;
    *ret_span_ns = 1;
    return parse_fraction(text, ret_ns);
}

/* Years that 64 bits of ns hold: 1970 to 2553. */
static bool parse_date(const char *text, struct tm *ret_date)
{
    const int year = digits(text, 4);
    if (year < 1970 || year > 2553 || text[4] != '-')
        return false;
    const int month = digits(text + 5, 2);
    if (month < 1 || month > 12 || text[7] != '-')
        return false;
    const int day = digits(text + 8, 2);
    *ret_date = (struct tm){.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day};
    struct tm same = *ret_date;
    timegm(&same); /* moves a 31st that is none on to the next month */
    return day >= 1 && same.tm_mon == ret_date->tm_mon;
}

bool moment_parse(const char *text, bool end, uint64_t *ret_ns)
{
    if (hl_number_parse(text, 0, UINT64_MAX, ret_ns))
        return true;
    struct tm date;
    uint64_t fraction_ns = 0, span_ns = 86400 * NS_PER_SECOND;
    if (!parse_date(text, &date))
        return false;
    text += 10;
    if (*text == 'T' || *text == ' ')
        text = parse_clock(text, &date, &fraction_ns, &span_ns);
    if (text == NULL || strcmp(text + (*text == 'Z'), "") != 0)
        return false;
    *ret_ns = (uint64_t)timegm(&date) * NS_PER_SECOND + fraction_ns + (end ? span_ns - 1 : 0);
    return true;
}
