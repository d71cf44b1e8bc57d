/* A build without libcyaml. */
#include "config/yaml.h"

#include "base/error.h"

static hl_status refuse(const char *path, hl_error *error)
{
    return hl_error_set(error, HL_UNSUPPORTED,
                        "%s: this build cannot read YAML: build with -Dyaml=enabled", path);
}

hl_status hl_config_load(const char *path, hl_config **ret_config, hl_error *error)
{
    (void)ret_config;
    return refuse(path, error);
}

/* Nothing was ever handed out. */
void hl_config_free(hl_config *config)
{
    (void)config;
}

hl_status hl_config_file_error(const char *path, const char *field, const char *sentence,
                               hl_error *error)
{
    (void)field;
    (void)sentence;
    return refuse(path, error);
}
