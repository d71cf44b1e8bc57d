#include "config/domains.h"

#include <string.h>
#include <strings.h>

const hl_domain_config *hl_config_domains(const hl_config *config, uint32_t *ret_count)
{
    if (config->domain_count == 0)
        return hl_default_domains(ret_count);
    *ret_count = config->domain_count;
    return config->domains;
}

bool hl_domain_find(const hl_domain_config *domains, uint32_t domain_count, hl_name name,
                    uint32_t *ret_index)
{
    for (uint32_t i = 0; i < domain_count; i++) {
        if (strlen(domains[i].name) == name.bytes &&
            memcmp(domains[i].name, name.text, name.bytes) == 0) {
            *ret_index = i;
            return true;
        }
    }
    return false;
}

bool hl_domain_list_next(const char **cursor, hl_name *ret_name)
{
    static const char blanks[] = " \t";
    if (*cursor == NULL)
        return false;
    const char *begin = *cursor + strspn(*cursor, blanks);
    if (*begin == '\0') {
        *cursor = NULL;
        return false;
    }
    const size_t room = strcspn(begin, ",");
    size_t bytes = room;
    while (bytes > 0 && strchr(blanks, begin[bytes - 1]) != NULL)
        bytes--;
    *cursor = begin[room] == ',' ? begin + room + 1 : NULL;
    ret_name->text = begin;
    ret_name->bytes = bytes;
    return true;
}

bool hl_domain_publishes_to(const hl_domain_config *from, const hl_domain_config *to)
{
    const char *cursor = from->publishes_to;
    hl_name name;
    while (hl_domain_list_next(&cursor, &name)) {
        if (name.bytes == 1 && *name.text == '*')
            return true;
        if (strlen(to->name) == name.bytes && memcmp(to->name, name.text, name.bytes) == 0)
            return true;
    }
    return false;
}

static const char *const priority_names[HL_PRIORITIES] = {"critical", "high", "normal", "low",
                                                          "background"};

int hl_priority_find(hl_name name)
{
    for (int i = 0; i < HL_PRIORITIES; i++)
        if (strlen(priority_names[i]) == name.bytes &&
            strncasecmp(priority_names[i], name.text, name.bytes) == 0)
            return i;
    return -1;
}

const char *hl_priority_name(hl_priority priority)
{
    return priority_names[priority];
}

uint32_t hl_domain_conflates(const hl_domain_config *domain)
{
    uint32_t priorities = 0;
    const char *cursor = domain->conflates;
    hl_name name;
    while (hl_domain_list_next(&cursor, &name)) {
        const int priority = hl_priority_find(name);
        if (priority >= 0)
            priorities |= 1u << priority;
    }
    return priorities;
}
