#include "run_report.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "bus/thread_request.h"
#include "run_health.h"
#include "run_journal.h"
#include "run_slowest.h"
#include "run_parts.h"
#include "topology_report.h"

static const char *const priority_names[HL_PRIORITIES] = {"CRITICAL", "HIGH", "NORMAL", "LOW",
                                                          "BACKGROUND"};

/* ---- what both forms say ------------------------------------------------------------------- */

static double events_per_second(const run_report *report)
{
    hl_lane_stats stats;
    if (report->elapsed_s <= 0.0 ||
        hl_bus_lane_stats(report->bus, "market_data", HL_NORMAL, &stats) != HL_OK)
        return 0.0; /* without the quotes that the messages cause */
    return (double)stats.dispatched / report->elapsed_s;
}

static void read_quotes(const run_report *report, market_quote_counts *ret_counts,
                        uint64_t *ret_conflated)
{
    hl_lane_stats lane = {0};
    market_pipeline_quotes(report->pipeline, ret_counts);
    hl_bus_lane_stats(report->bus, "market_data", HL_LOW, &lane);
    *ret_conflated = lane.conflated;
}

static const char *conservation(const run_report *report)
{
    return report->stop.conservation.status == HL_OK ? "ok" : report->stop.conservation.text;
}

/* The symbol of an instrument; the instrument's number when the input has not named it; with the
 * input's number behind it when there are several inputs that name it. */
static void instrument_name(const run_report *report, uint64_t key, char ret_name[64])
{
    const uint32_t input = market_key_input(key);
    const uint32_t instrument = market_key_instrument(key);
    const char *const symbol = market_reader_symbol(report->recordings[input].reader, instrument);
    if (strcmp(symbol, "?") == 0)
        snprintf(ret_name, 64, "%" PRIu32, instrument);
    else
        snprintf(ret_name, 64, "%s", symbol);
}

/* ---- words --------------------------------------------------------------------------------- */

static void print_inputs(const run_report *report, FILE *stream)
{
    fprintf(stream, "\nInputs (decoded ahead in %.3f s)\n", report->decoding_s);
    for (uint32_t input = 0; input < report->input_count; input++) {
        const market_input_report *const in =
            market_reader_report(report->recordings[input].reader);
        fprintf(stream, "  %s:%s  %" PRIu64 " messages (", in->format, in->path, in->messages);
        const char *comma = "";
        for (unsigned type = 0; type < 256; type++) {
            if (in->by_type[type] == 0)
                continue;
            char name[8];
            market_type_name((uint8_t)type, name);
            fprintf(stream, "%s%s %" PRIu64, comma, name, in->by_type[type]);
            comma = ", ";
        }
        fprintf(stream, ")\n");
        if (in->bad_records != 0)
            fprintf(stream, "    %" PRIu64 " bad records passed over; the first: %s\n",
                    in->bad_records, in->first_bad.text);
    }
}

/* What subscriptions to this domain alone have lost, and how often they were ejected; those to
 * several are named below the table. */
static void add_up_losses(const run_report *report, const char *domain, uint64_t *ret_lost,
                          uint64_t *ret_ejected)
{
    const size_t length = strlen(domain);
    hl_subscription_stats s;
    *ret_lost = *ret_ejected = 0;
    for (uint32_t index = 0; hl_bus_subscription_stats(report->bus, index, &s) == HL_OK; index++)
        if (strncmp(s.pattern, domain, length) == 0 && s.pattern[length] == '.') {
            *ret_lost += s.lost;
            *ret_ejected += s.ejections;
        }
}

static void print_domains(const run_report *report, FILE *stream)
{
    fprintf(stream,
            "\nDomains%18s %13s %9s %9s %9s %9s %9s %9s %9s %9s %9s   publish to handler, ns\n"
            "%25s %13s %9s %9s %9s %9s %9s %9s %9s %9s %9s %8s %8s %8s %9s\n",
            "committed", "dispatched", "conflated", "shed", "throttled", "lost", "ejected",
            "rejected", "aborted", "abandoned", "unrouted", "", "", "", "", "", "", "", "", "", "",
            "", "p50", "p99", "p99.9", "max");
    const char *domain;
    for (uint32_t index = 0; (domain = hl_bus_domain(report->bus, index)) != NULL; index++) {
        hl_lane_stats s;
        uint64_t lost, ejected;
        if (hl_bus_lane_stats(report->bus, domain, -1, &s) != HL_OK)
            continue;
        add_up_losses(report, domain, &lost, &ejected);
        const hl_latency *const l = &s.latency_ns;
        fprintf(stream,
                "  %-11s %11" PRIu64 " %13" PRIu64 " %9" PRIu64 " %9" PRIu64 " %9" PRIu64
                " %9" PRIu64 " %9" PRIu64 " %9" PRIu64 " %9" PRIu64 " %9" PRIu64 " %9" PRIu64
                " %8" PRIu64 " %8" PRIu64 " %8" PRIu64 " %9" PRIu64 "\n",
                domain, s.committed, s.dispatched, s.conflated, s.shed, s.throttled, lost, ejected,
                s.rejected, s.aborted, s.abandoned, s.unrouted, l->p50, l->p99, l->p999, l->max);
    }
}

static void print_books(const run_report *report, FILE *stream)
{
    enum { MOST = 12 };
    uint64_t position = 0, key;
    const market_book *book;
    uint32_t count = 0;
    fprintf(stream, "\nBooks, last state (prices in the input's unit)\n");
    while ((book = market_pipeline_next_book(report->pipeline, &position, &key)) != NULL) {
        if (count++ >= MOST)
            continue;
        char name[64];
        instrument_name(report, key, name);
        fprintf(stream,
                "  %-10s %8" PRIu64 " @ %-14" PRId64 " / %14" PRId64 " @ %-8" PRIu64 " %s\n", name,
                book->top.best_bid_size, book->top.best_bid, book->top.best_ask,
                book->top.best_ask_size, market_book_exact(book) ? "exact" : "partial");
    }
    if (count == 0)
        fprintf(stream, "  none: no order was in the input\n");
    else if (count > MOST)
        fprintf(stream, "  and %" PRIu32 " more (all of them with --json)\n", count - MOST);
}

static void print_trading(const run_report *report, FILE *stream)
{
    market_order_counts orders;
    market_pipeline_orders(report->pipeline, &orders);
    fprintf(stream,
            "\nOrders  %" PRIu64 " new, %" PRIu64 " acked, %" PRIu64 " filled, %" PRIu64
            " cancelled, %" PRIu64 " rejected; %" PRIu64 " signals refused by the risk check\n",
            orders.sent, orders.acked, orders.filled, orders.cancelled, orders.rejected,
            orders.refused_signals);
    if (orders.late_signals != 0 || orders.errors != 0)
        fprintf(stream, "        %" PRIu64 " signals found no room at first, %" PRIu64 " errors\n",
                orders.late_signals, orders.errors);
    uint64_t position = 0, key;
    const market_position *account;
    while ((account = market_pipeline_next_position(report->pipeline, &position, &key)) != NULL) {
        char name[64];
        instrument_name(report, key, name);
        fprintf(stream,
                "  %-10s position %6" PRId64 ", %" PRIu64 " fills, %" PRIu64
                " traded, profit %" PRId64 " at the last fill's price\n",
                name, account->position, account->fills, account->volume, account->profit);
    }
}

static void print_failures(const run_report *report, FILE *stream)
{
    hl_subscription_stats s;
    for (uint32_t index = 0; hl_bus_subscription_stats(report->bus, index, &s) == HL_OK; index++) {
        if (s.lost != 0 || s.ejections != 0)
            fprintf(stream,
                    "Subscription '%s' lost %" PRIu64 " events and was ejected %" PRIu64
                    " times.\n",
                    s.name, s.lost, s.ejections);
        if (s.failures != 0)
            fprintf(stream,
                    "Handler '%s' failed %" PRIu64 " times; of its events %" PRIu64
                    " became dead letters, %" PRIu64 " were skipped.\n",
                    s.name, s.failures, s.dead_lettered, s.skipped);
    }
    run_left_print(&report->stop, stream);
}

void run_report_print(const run_report *report, FILE *stream)
{
    fprintf(stream, "Plan\n");
    hl_bus_print_plan(report->bus, stream);
    print_inputs(report, stream);
    print_domains(report, stream);
    run_slowest_print(report->bus, stream);
    print_books(report, stream);
    print_trading(report, stream);
    if (report->ladder != NULL)
        run_ladder_print(report->ladder, stream);
    market_quote_counts quotes;
    uint64_t conflated;
    read_quotes(report, &quotes, &conflated);
    fprintf(stream,
            "\nQuotes         %" PRIu64 " changes of a book's best prices, %" PRIu64
            " shown, %" PRIu64 " conflated\n",
            quotes.told + quotes.late, quotes.seen, conflated);
    run_journal_print(report->bus, stream);
    run_parts_print(report->bus, stream);
    run_health_print(report->bus, stream);
    hl_latency tick;
    market_pipeline_tick_to_order(report->pipeline, &tick);
    fprintf(stream,
            "\nTick to order  p50 %" PRIu64 " ns, p90 %" PRIu64 ", p99 %" PRIu64 ", p99.9 %" PRIu64
            ", max %" PRIu64 " (%" PRIu64 " orders)\n",
            tick.p50, tick.p90, tick.p99, tick.p999, tick.max, tick.count);
    if (!report->paced)
        fprintf(stream,
                "               At full speed events queue: these are waiting times. Pace the "
                "input to see\n               the bus's own (--rate 100000, --speed 10x).\n");
    fprintf(stream, "Throughput     %.0f market data events a second, %.3f s\n",
            events_per_second(report), report->elapsed_s);
    print_failures(report, stream);
    fprintf(stream, "Conservation   %s\n", conservation(report));
}

/* ---- JSON ---------------------------------------------------------------------------------- */

/* A failed json_..._new is NULL and makes every set fail; what fails is looked at once, at the
 * end. */
static int failed(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value) != 0;
}

static json_t *count_of(uint64_t count)
{
    return json_integer((json_int_t)count);
}

/* JSON is UTF-8, a path may be anything: what is not both is shown as '?'. */
static json_t *text_json(const char *text)
{
    json_t *const exact = json_string(text);
    if (exact != NULL)
        return exact;
    char *const copy = strdup(text);
    if (copy == NULL)
        return NULL;
    for (char *at = copy; *at != '\0'; at++)
        if ((unsigned char)*at >= 0x80)
            *at = '?';
    json_t *const shown = json_string(copy);
    free(copy);
    return shown;
}

static json_t *latency_json(const hl_latency *latency)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I}", "p50", (json_int_t)latency->p50, "p90",
                     (json_int_t)latency->p90, "p99", (json_int_t)latency->p99, "p999",
                     (json_int_t)latency->p999, "max", (json_int_t)latency->max);
}

static json_t *input_json(const market_input_report *in)
{
    json_t *const object = json_object();
    json_t *const by_type = json_object();
    int bad = 0;
    for (unsigned type = 0; type < 256; type++) {
        char name[8];
        market_type_name((uint8_t)type, name);
        if (in->by_type[type] != 0)
            bad |= failed(by_type, name, count_of(in->by_type[type]));
    }
    bad |= failed(object, "format", json_string(in->format));
    bad |= failed(object, "path", text_json(in->path));
    bad |= failed(object, "messages", count_of(in->messages));
    bad |= failed(object, "by_type", by_type);
    bad |= failed(object, "bad_records", count_of(in->bad_records));
    bad |= failed(object, "first_ns", count_of(in->first_ns));
    bad |= failed(object, "last_ns", count_of(in->last_ns));
    if (!bad)
        return object;
    json_decref(object);
    return NULL;
}

static json_t *inputs_json(const run_report *report)
{
    json_t *const array = json_array();
    for (uint32_t input = 0; array != NULL && input < report->input_count; input++) {
        if (json_array_append_new(
                array, input_json(market_reader_report(report->recordings[input].reader))) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static json_t *lane_json(const hl_bus *bus, const char *domain, int priority)
{
    hl_lane_stats stats;
    json_t *const object = json_object();
    int bad = hl_bus_lane_stats(bus, domain, priority, &stats) != HL_OK;
    if (!bad) {
#define SET(name, meaning) bad |= failed(object, #name, count_of(stats.name));
        HL_LANE_COUNTERS(SET)
#undef SET
        bad |= failed(object, "latency_ns", latency_json(&stats.latency_ns));
    }
    if (!bad)
        return object;
    json_decref(object);
    return NULL;
}

static json_t *lanes_json(const run_report *report, const char *domain)
{
    json_t *const lanes = json_object();
    int bad = 0;
    for (int priority = 0; priority < HL_PRIORITIES; priority++)
        bad |= failed(lanes, priority_names[priority], lane_json(report->bus, domain, priority));
    if (!bad)
        return lanes;
    json_decref(lanes);
    return NULL;
}

/* As `hotlane topology --json` has it; null: one thread turns all. */
static json_t *plan_json(const run_report *report)
{
    topology_report planned = {.config_path = report->config_path};
    planned.plan = hl_bus_plan(report->bus, &planned.topology);
    return planned.plan != NULL ? topology_plan_json(&planned) : json_null();
}

static int set_domains(const run_report *report, json_t *root)
{
    json_t *const domains = json_object();
    json_t *const lanes = json_object();
    const char *name;
    int bad = 0;
    for (uint32_t index = 0; (name = hl_bus_domain(report->bus, index)) != NULL; index++) {
        bad |= failed(domains, name, lane_json(report->bus, name, -1));
        bad |= failed(lanes, name, lanes_json(report, name));
    }
    bad |= failed(root, "domains", domains);
    bad |= failed(root, "lanes", lanes);
    return bad;
}

static json_t *subscription_json(const hl_subscription_stats *stats)
{
    json_t *const object = json_object();
    int bad = 0;
#define SET(name, meaning) bad |= failed(object, #name, count_of(stats->name));
    HL_SUBSCRIPTION_COUNTERS(SET)
#undef SET
    bad |= failed(object, "ejected", count_of(stats->ejections));
    if (!bad)
        return object;
    json_decref(object);
    return NULL;
}

static int set_subscriptions(const run_report *report, json_t *root)
{
    json_t *const subscriptions = json_object();
    hl_subscription_stats stats;
    int bad = 0;
    for (uint32_t index = 0; hl_bus_subscription_stats(report->bus, index, &stats) == HL_OK;
         index++)
        bad |= failed(subscriptions, stats.name, subscription_json(&stats));
    return bad | failed(root, "subscriptions", subscriptions);
}

/* The name under which an instrument goes into `object`: with its input's number when another
 * input's instrument of that name is there already. */
static void free_name(const run_report *report, const json_t *object, uint64_t key,
                      char ret_name[96])
{
    char name[64];
    instrument_name(report, key, name);
    snprintf(ret_name, 96, "%s", name);
    if (json_object_get(object, ret_name) != NULL)
        snprintf(ret_name, 96, "%s#%" PRIu32, name, market_key_input(key) + 1);
}

static int set_books(const run_report *report, json_t *root)
{
    json_t *const books = json_object();
    uint64_t position = 0, key;
    const market_book *book;
    int bad = 0;
    while ((book = market_pipeline_next_book(report->pipeline, &position, &key)) != NULL) {
        char name[96];
        free_name(report, books, key, name);
        bad |= failed(
            books, name,
            json_pack("{s:I, s:I, s:I, s:I, s:b}", "best_bid", (json_int_t)book->top.best_bid,
                      "best_bid_size", (json_int_t)book->top.best_bid_size, "best_ask",
                      (json_int_t)book->top.best_ask, "best_ask_size",
                      (json_int_t)book->top.best_ask_size, "exact", (int)market_book_exact(book)));
    }
    return bad | failed(root, "books", books);
}

static int set_positions(const run_report *report, json_t *root)
{
    json_t *const positions = json_object();
    uint64_t position = 0, key;
    const market_position *account;
    int bad = 0;
    while ((account = market_pipeline_next_position(report->pipeline, &position, &key)) != NULL) {
        char name[96];
        free_name(report, positions, key, name);
        bad |= failed(positions, name,
                      json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "position",
                                (json_int_t)account->position, "cash", (json_int_t)account->cash,
                                "mark", (json_int_t)account->mark, "profit",
                                (json_int_t)account->profit, "volume", (json_int_t)account->volume,
                                "fills", (json_int_t)account->fills));
    }
    return bad | failed(root, "positions", positions);
}

static int set_orders(const run_report *report, json_t *root)
{
    market_order_counts orders;
    market_pipeline_orders(report->pipeline, &orders);
    return failed(root, "orders",
                  json_pack("{s:I, s:I, s:I, s:I, s:I}", "new", (json_int_t)orders.sent, "acked",
                            (json_int_t)orders.acked, "filled", (json_int_t)orders.filled,
                            "cancelled", (json_int_t)orders.cancelled, "rejected",
                            (json_int_t)orders.rejected));
}

static int set_quotes(const run_report *report, json_t *root)
{
    market_quote_counts quotes;
    uint64_t conflated;
    read_quotes(report, &quotes, &conflated);
    return failed(root, "quotes",
                  json_pack("{s:I, s:I, s:I, s:I}", "told", (json_int_t)quotes.told, "seen",
                            (json_int_t)quotes.seen, "conflated", (json_int_t)conflated, "late",
                            (json_int_t)quotes.late));
}

static int set_hashes(const run_report *report, json_t *root)
{
    json_t *const hashes = json_object();
    const char *name;
    int bad = 0;
    for (uint32_t index = 0; (name = hl_bus_domain(report->bus, index)) != NULL; index++) {
        uint64_t hash;
        if (!market_pipeline_hash(report->pipeline, name, &hash))
            continue;
        char text[24];
        snprintf(text, sizeof text, "%016" PRIx64, hash);
        bad |= failed(hashes, name, json_string(text));
    }
    return bad | failed(root, "output_hash", hashes);
}

/* Only where there is a journal. */
static int set_journal(const run_report *report, json_t *root)
{
    json_t *journal;
    if (!run_journal_json(report->bus, &journal))
        return 1;
    return journal != NULL && failed(root, "journal", journal);
}

hl_status run_report_print_json(const run_report *report, FILE *stream)
{
    json_t *const root = json_object();
    hl_latency tick;
    market_pipeline_tick_to_order(report->pipeline, &tick);
    int bad = failed(root, "plan", plan_json(report));
    bad |= failed(root, "inputs", inputs_json(report));
    bad |= set_domains(report, root);
    bad |= failed(root, "slowest", run_slowest_json(report->bus));
    bad |= set_subscriptions(report, root);
    bad |= set_books(report, root);
    bad |= set_quotes(report, root);
    bad |= set_orders(report, root);
    bad |= set_positions(report, root);
    if (report->ladder != NULL)
        bad |= failed(root, "ladder", run_ladder_json(report->ladder));
    bad |= failed(root, "tick_to_order_ns", latency_json(&tick));
    bad |= set_journal(report, root);
    bad |= failed(root, "components", run_parts_json(report->bus));
    bad |= failed(root, "health", run_health_json(report->bus));
    if (report->stop.left_count != 0)
        bad |= failed(root, "left", run_left_json(&report->stop));
    bad |= failed(root, "elapsed_s", json_real(report->elapsed_s));
    bad |= failed(root, "events_per_s", json_real(events_per_second(report)));
    bad |= failed(root, "conservation", json_string(conservation(report)));
    bad |= set_hashes(report, root);
    hl_status status = bad ? HL_NO_MEMORY : HL_OK;
    if (status == HL_OK && (json_dumpf(root, stream, JSON_INDENT(2)) != 0 ||
                            fputc('\n', stream) == EOF || fflush(stream) != 0))
        status = HL_SYSTEM;
    json_decref(root);
    return status;
}
