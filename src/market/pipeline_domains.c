#include "market/pipeline_parts.h"

#include <string.h>

#include "base/error.h"
#include "config/domains.h"

const char *const market_domain_names[MARKET_DOMAINS] = {"market_data", "signal",  "order",
                                                         "fill",        "account", "system"};

/* What each stage publishes to and no more: every ring is one more to look at. */
static const char *const needs[MARKET_DOMAINS] = {
    "market_data, signal", "order, system", "order, fill", "account, signal, system", "", ""};

void market_pipeline_domains(hl_domain_config ret_domains[MARKET_DOMAINS])
{
    uint32_t count;
    const hl_domain_config *const defaults = hl_default_domains(&count);
    for (uint32_t index = 0; index < count; index++) {
        for (uint32_t number = 0; number < MARKET_DOMAINS; number++) {
            if (strcmp(defaults[index].name, market_domain_names[number]) != 0)
                continue;
            ret_domains[number] = defaults[index];
            ret_domains[number].publishes_to = needs[number];
        }
    }
    /* A recording can wait; what it would lose is a hole in the book. */
    ret_domains[MARKET_DATA].full_policy = HL_FULL_BLOCK;
    ret_domains[MARKET_DATA].block_timeout_ns = 10 * HL_SECOND;
    ret_domains[MARKET_DATA].conflates = "low";
    ret_domains[MARKET_DATA].conflate_keys = 16384; /* a whole exchange's instruments */
}

hl_status market_no_domain(uint32_t number, hl_error *error)
{
    return hl_error_set(error, HL_UNKNOWN_DOMAIN,
                        "domains: there is no '%s', which the pipeline needs: add it",
                        market_domain_names[number]);
}

static const hl_domain_config *configured(const hl_config *config, uint32_t number)
{
    for (uint32_t index = 0; index < config->domain_count; index++)
        if (strcmp(config->domains[index].name, market_domain_names[number]) == 0)
            return &config->domains[index];
    return NULL;
}

static hl_status check_domain(const hl_config *config, uint32_t number, hl_error *error)
{
    const size_t slot_bytes = sizeof(hl_event) + sizeof(market_message);
    const hl_domain_config *const from = configured(config, number);
    if (from->slot_size_bytes < slot_bytes)
        return hl_error_set(error, HL_INVALID,
                            "domains: '%s' has slots of %u bytes: the pipeline's events need a "
                            "slot_size_bytes of %zu",
                            from->name, from->slot_size_bytes, slot_bytes);
    for (uint32_t target = 0; target < MARKET_DOMAINS; target++) {
        const hl_domain_config wanted = {.publishes_to = needs[number]};
        const hl_domain_config *const to = configured(config, target);
        if (hl_domain_publishes_to(&wanted, to) && !hl_domain_publishes_to(from, to))
            return hl_error_set(error, HL_INVALID,
                                "domains: '%s' does not publish to '%s', as the pipeline needs: "
                                "add it to its publishes_to",
                                from->name, to->name);
    }
    return HL_OK;
}

hl_status market_pipeline_check(const hl_config *config, hl_error *error)
{
    for (uint32_t number = 0; number < MARKET_DOMAINS; number++)
        if (configured(config, number) == NULL)
            return market_no_domain(number, error);
    hl_status status = HL_OK;
    for (uint32_t number = 0; number < MARKET_DOMAINS && status == HL_OK; number++)
        status = check_domain(config, number, error);
    return status;
}
