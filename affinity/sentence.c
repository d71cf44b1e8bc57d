#include "affinity/sentence.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool hl_sentence_add(char *text, size_t size, const char *format, ...)
{
    const size_t length = strlen(text);
    if (length + 1 == size)
        return false;
    va_list arguments;
    va_start(arguments, format);
    const int wanted = vsnprintf(text + length, size - length, format, arguments);
    va_end(arguments);
    if (wanted >= 0 && (size_t)wanted < size - length)
        return true;
    memcpy(text + size - 4, "...", 4);
    return false;
}

bool hl_sentence_add_item(char *text, size_t size, const char *item)
{
    return hl_sentence_add(text, size, "%s%s", text[0] == '\0' ? "" : ", ", item);
}

bool hl_sentence_add_cpus(char *text, size_t size, const uint32_t *cpus, uint32_t count)
{
    if (count == 0)
        return hl_sentence_add(text, size, "none");
    bool fits = true;
    for (uint32_t first = 0, next; first < count && fits; first = next) {
        for (next = first + 1; next < count && cpus[next] == cpus[next - 1] + 1;)
            next++;
        fits = hl_sentence_add(text, size, "%s%u", first == 0 ? "" : ",", cpus[first]);
        if (next - first > 1)
            fits = hl_sentence_add(text, size, "-%u", cpus[next - 1]);
    }
    return fits;
}
