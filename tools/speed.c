#include "speed.h"

#include <string.h>

#include "base/number.h"

bool speed_parse(const char *text, double *ret_speed)
{
    if (strcmp(text, "max") == 0) {
        *ret_speed = 0.0;
        return true;
    }
    double speed;
    const char *end;
    if (!hl_real_begin(text, &speed, &end) || strcmp(end, "x") != 0 || speed < 1e-6 || speed > 1e9)
        return false;
    *ret_speed = speed;
    return true;
}
