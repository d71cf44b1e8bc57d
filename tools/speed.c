#include "speed.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool speed_parse(const char *text, double *ret_speed)
{
    if (strcmp(text, "max") == 0) {
        *ret_speed = 0.0;
        return true;
    }
    if (!isdigit((unsigned char)text[0]) && text[0] != '.')
        return false;
    char *end;
    const double speed = strtod(text, &end);
    if (end == text || strcmp(end, "x") != 0 || !isfinite(speed) || speed < 1e-6 || speed > 1e9)
        return false;
    *ret_speed = speed;
    return true;
}
