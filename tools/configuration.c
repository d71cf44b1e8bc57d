#include "configuration.h"

#include <string.h>

#include "config/yaml.h"

hl_status configuration_load(const char *path, hl_config **ret_config, hl_error *error)
{
    const hl_status status = hl_config_load(path, ret_config, error);
    if (status == HL_OK || status == HL_NO_MEMORY || status == HL_UNSUPPORTED)
        return status;
    error->status = HL_INVALID; /* also a file that is not there: it was named wrongly */
    return HL_INVALID;
}

void configuration_place(const char *path, hl_error *error)
{
    char field[64];
    const size_t bytes = strcspn(error->text, ":");
    if (path == NULL || error->status != HL_INVALID || bytes >= sizeof field)
        return;
    memcpy(field, error->text, bytes);
    field[bytes] = '\0';
    hl_error placed;
    if (hl_config_file_error(path, field, error->text, &placed) == HL_BAD_INPUT)
        memcpy(error->text, placed.text, sizeof placed.text);
}
