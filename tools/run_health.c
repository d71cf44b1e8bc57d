#include "run_health.h"

#include <inttypes.h>

/* ---- words ---- */

static void print_source(const hl_health *health, FILE *stream)
{
    fprintf(stream, "  %s %s: %s", hl_health_kind_name(health->kind), health->name,
            hl_health_name(health->status));
    if (health->text[0] != '\0')
        fprintf(stream, ", %s", health->text);
    if (health->worst > health->status)
        fprintf(stream, "; was %s: %s", hl_health_name(health->worst), health->worst_text);
    fputc('\n', stream);
}

static void print_alert(const hl_alert *alert, FILE *stream)
{
    fprintf(stream,
            "  alert %s: %s, raised %" PRIu64 " times (%s%s%s %s %" PRIu64 ", at %" PRIu64 ")\n",
            alert->name, alert->is_raised ? hl_health_name(alert->severity) : "cleared",
            alert->raised, alert->counter, alert->of[0] != '\0' ? " of " : "", alert->of,
            hl_alert_when_name(alert->when), alert->limit, alert->value);
}

void run_health_print(const hl_bus *bus, FILE *stream)
{
    hl_health_summary summary;
    hl_health health;
    hl_alert alert;
    hl_health_summary_read(bus, &summary);
    fprintf(stream,
            "\nHealth         %s: %u ok, %u degraded, %u critical, %u alerts; it changed %" PRIu64
            " times\n",
            hl_health_name(summary.status), summary.ok, summary.degraded, summary.critical,
            summary.alerts, summary.changes);
    for (uint32_t i = 0; hl_health_read(bus, i, &health) == HL_OK; i++)
        if (health.worst != HL_HEALTH_OK)
            print_source(&health, stream);
    for (uint32_t i = 0; hl_alert_read(bus, i, &alert) == HL_OK; i++)
        if (alert.raised != 0)
            print_alert(&alert, stream);
}

void run_left_print(const hl_stop_report *stop, FILE *stream)
{
    if (stop->is_final && stop->drained)
        return;
    fprintf(stream, "%s: %" PRIu64 " events were left.\n",
            stop->is_final ? "The stop's deadline passed" : "The bus is not stopped",
            stop->abandoned);
    for (uint32_t i = 0; i < stop->left_count && i < HL_STOP_LEFT_MAX; i++) {
        const hl_stop_left *const left = &stop->left[i];
        if (left->kind == HL_LEFT_HANDLER)
            fprintf(stream, "  handler %s still runs\n", left->name);
        else
            fprintf(stream, "  %" PRIu64 " %s %s\n", left->events,
                    left->kind == HL_LEFT_LANE ? "in" : "waiting for", left->name);
    }
    if (stop->left_count > HL_STOP_LEFT_MAX)
        fprintf(stream, "  and %u more\n", stop->left_count - HL_STOP_LEFT_MAX);
}

/* ---- JSON ---- */

/* Takes `value`; whether it could not be appended. */
static int not_appended(json_t *array, json_t *value)
{
    return json_array_append_new(array, value) != 0;
}

static json_t *source_json(const hl_health *health)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:s, s:s, s:I}", "kind",
                     hl_health_kind_name(health->kind), "name", health->name, "status",
                     hl_health_name(health->status), "reason",
                     hl_health_reason_name(health->reason), "text", health->text, "value",
                     (json_int_t)health->value, "limit", (json_int_t)health->limit, "worst",
                     hl_health_name(health->worst), "worst_text", health->worst_text, "changes",
                     (json_int_t)health->changes);
}

static json_t *alert_json(const hl_alert *alert)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:I, s:I, s:I}", "name", alert->name,
                     "counter", alert->counter, "of", alert->of, "when",
                     hl_alert_when_name(alert->when), "severity", hl_health_name(alert->severity),
                     "is_raised", (int)alert->is_raised, "raised", (json_int_t)alert->raised,
                     "value", (json_int_t)alert->value, "limit", (json_int_t)alert->limit);
}

json_t *run_health_json(const hl_bus *bus)
{
    hl_health_summary summary;
    hl_health health;
    hl_alert alert;
    json_t *const sources = json_array(), *const alerts = json_array();
    int bad = sources == NULL || alerts == NULL;
    hl_health_summary_read(bus, &summary);
    for (uint32_t i = 0; hl_health_read(bus, i, &health) == HL_OK; i++)
        if (health.worst != HL_HEALTH_OK)
            bad |= not_appended(sources, source_json(&health));
    for (uint32_t i = 0; hl_alert_read(bus, i, &alert) == HL_OK; i++)
        bad |= not_appended(alerts, alert_json(&alert));
    json_t *const object =
        json_pack("{s:s, s:I, s:I, s:I, s:I, s:o, s:o}", "status", hl_health_name(summary.status),
                  "ok", (json_int_t)summary.ok, "degraded", (json_int_t)summary.degraded,
                  "critical", (json_int_t)summary.critical, "changes", (json_int_t)summary.changes,
                  "sources", sources, "alerts", alerts);
    if (!bad)
        return object;
    json_decref(object);
    return NULL;
}

json_t *run_left_json(const hl_stop_report *stop)
{
    static const char *const kinds[] = {"lane", "subscription", "handler"};
    json_t *const array = json_array();
    for (uint32_t i = 0; array != NULL && i < stop->left_count && i < HL_STOP_LEFT_MAX; i++) {
        const hl_stop_left *const left = &stop->left[i];
        if (not_appended(array, json_pack("{s:s, s:s, s:I}", "kind", kinds[left->kind], "name",
                                          left->name, "events", (json_int_t)left->events))) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}
