#include "command.h"

#include <stdio.h>
#include <string.h>

#include "config/nearest.h"

hl_exit hl_refuse_unknown(const char *command, const char *what, const char *word,
                          const char *const *names, size_t count)
{
    const char *const nearest = hl_nearest(word, names, count);
    fprintf(stderr, "%s: there is no %s \"%s\"", command, what, word);
    if (nearest != NULL)
        fprintf(stderr, ": did you mean \"%s\"?\n", nearest);
    else
        fprintf(stderr, ": `%s --help` lists them\n", command);
    return HL_EXIT_USAGE;
}

hl_parse hl_refuse_value(const char *command, const char *option, const char *value,
                         const char *wanted)
{
    fprintf(stderr, "%s: --%s: \"%s\" is not right: %s\n", command, option, value, wanted);
    return HL_PARSE_WRONG;
}
