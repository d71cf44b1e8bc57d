#include "market/generator.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "market/itch_writer.h"

#define DEFAULT_MESSAGES 400000
#define LEAST_MESSAGES   1000
#define MOST_MESSAGES    50000000
#define DEFAULT_SYMBOLS  8
#define MOST_SYMBOLS     64

#define TICKS      8192 /* prices of a symbol: 1 to TICKS - 1 cents */
#define TICK_PRICE 100  /* a cent in ITCH's unit */
#define MOST_LIVE  4096 /* orders of a symbol in its book at once */
#define NONE       (-1)

#define NS_US       UINT64_C(1000)
#define NS_MS       (1000 * NS_US)
#define NS_S        (1000 * NS_MS)
#define NS_MIN      (60 * NS_S)
#define NS_HOUR     (60 * NS_MIN)
#define CLOCK(h, m) ((h)*NS_HOUR + (m)*NS_MIN)

/* ---- random numbers ---- */

/* xoshiro256** 1.0 and SplitMix64: D. Blackman, S. Vigna, https://prng.di.unimi.it */
typedef struct random_source {
    uint64_t s[4];
} random_source;

static uint64_t rotate_left(uint64_t value, int bits)
{
    return value << bits | value >> (64 - bits);
}

static uint64_t random_next(random_source *random)
{
    uint64_t *const s = random->s;
    const uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    const uint64_t shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate_left(s[3], 45);
    return result;
}

static void random_seed(random_source *random, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        uint64_t z = seed += UINT64_C(0x9e3779b97f4a7c15);
        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        random->s[i] = z ^ z >> 31;
    }
}

/* 0 to bound - 1; the bias is below bound / 2^32 and of no matter here. */
static uint32_t random_below(random_source *random, uint32_t bound)
{
    return (uint32_t)((random_next(random) >> 32) * bound >> 32);
}

static uint64_t random_below_ns(random_source *random, uint64_t bound_ns)
{
    return (uint64_t)((unsigned __int128)random_next(random) * bound_ns >> 64);
}

static bool chance(random_source *random, uint32_t per_thousand)
{
    return random_below(random, 1000) < per_thousand;
}

/* ---- the day ---- */

typedef struct book_order {
    uint64_t number;
    int32_t next; /* in its level, oldest first; of a free one: the next free one */
    int32_t previous;
    int32_t live_index;
    uint32_t shares;
    uint16_t tick;
    uint8_t side; /* 'B' or 'S' */
} book_order;

typedef struct book_level {
    int32_t first;
    int32_t last;
} book_level;

/* One book for both sides: they never overlap. */
typedef struct traded_symbol {
    market_itch_stock stock;
    int32_t start_tick; /* where the day begins */
    int32_t walk_ticks; /* the random part of the fair price */
    int32_t fair_tick;
    int32_t best_bid; /* tick; 0: none */
    int32_t best_ask; /* tick; TICKS: none */
    int32_t first_free;
    int32_t live_count;
    int32_t live[MOST_LIVE]; /* indices into orders, in any order */
    book_order orders[MOST_LIVE];
    book_level levels[TICKS];
} traded_symbol;

typedef struct generator {
    random_source random;
    market_itch_writer itch;
    uint64_t next_order;
    uint32_t symbol_count;
    int32_t live_target; /* orders that a book should hold */
    bool sweeping;       /* the last message took from a book, and the next one may at once */
    traded_symbol *symbols;
    traded_symbol *hot; /* the symbol of the last message */
} generator;

/* A stretch of the day. */
typedef struct day_stretch {
    uint64_t start_ns;
    uint64_t length_ns;
    uint32_t share;         /* of all its messages, in thousandths */
    uint32_t burst_most;    /* messages in a usual burst */
    uint32_t big_per_mille; /* bursts that are big */
    uint32_t big_least;     /* messages in a big burst, up to 1.35 times as many */
    uint64_t step_ns;       /* mean time between the messages of a burst */
    int32_t from_per_mille; /* of the start price, at its beginning and at its end */
    int32_t to_per_mille;
} day_stretch;

enum { QUIET, OPEN, CALM, CRASH, RECOVERY, STRETCH_COUNT };

/*
 * The crash takes 8 % in one minute; its big bursts are those of the largest recordings known to
 * us: 2,000 to 2,700 messages in 1 ms (ICE at midnight: 2,760). The open has bursts as on an
 * options feed (MIAX: 422 in 1 ms), the rest as on an equity feed (LOBSTER: 46 to 56 in 1 ms).
 */
static const day_stretch stretches[STRETCH_COUNT] = {
    [QUIET] = {CLOCK(8, 30), NS_HOUR, 60, 6, 0, 0, 20 * NS_US, 1000, 1000},
    [OPEN] = {CLOCK(9, 30), 5 * NS_MIN, 220, 40, 30, 200, 2 * NS_US, 1000, 1010},
    [CALM] = {CLOCK(9, 35), 3 * NS_HOUR + 25 * NS_MIN, 230, 20, 2, 45, 10 * NS_US, 1010, 1000},
    [CRASH] = {CLOCK(13, 0), NS_MIN, 310, 80, 40, 2000, 360, 1000, 920},
    [RECOVERY] = {CLOCK(13, 16), 2 * NS_HOUR + 44 * NS_MIN, 180, 20, 2, 45, 10 * NS_US, 920, 960},
};

/* ---- the books that keep the day consistent ---- */

static void book_clear(traded_symbol *symbol)
{
    for (int i = 0; i < TICKS; i++)
        symbol->levels[i] = (book_level){NONE, NONE};
    for (int i = 0; i < MOST_LIVE; i++)
        symbol->orders[i].next = i + 1 < MOST_LIVE ? i + 1 : NONE;
    symbol->first_free = 0;
    symbol->best_bid = 0;
    symbol->best_ask = TICKS;
}

/* There must be a free order and no crossing. */
static book_order *book_insert(traded_symbol *symbol, uint64_t number, uint8_t side, int32_t tick,
                               uint32_t shares)
{
    const int32_t index = symbol->first_free;
    book_order *const added = &symbol->orders[index];
    book_level *const at = &symbol->levels[tick];
    symbol->first_free = added->next;
    *added = (book_order){.number = number,
                          .next = NONE,
                          .previous = at->last,
                          .live_index = symbol->live_count,
                          .shares = shares,
                          .tick = (uint16_t)tick,
                          .side = side};
    if (at->last == NONE)
        at->first = index;
    else
        symbol->orders[at->last].next = index;
    at->last = index;
    symbol->live[symbol->live_count++] = index;
    if (side == 'B' && tick > symbol->best_bid)
        symbol->best_bid = tick;
    if (side == 'S' && tick < symbol->best_ask)
        symbol->best_ask = tick;
    return added;
}

static void book_remove(traded_symbol *symbol, book_order *gone)
{
    const int32_t index = (int32_t)(gone - symbol->orders);
    book_level *const at = &symbol->levels[gone->tick];
    if (gone->previous == NONE)
        at->first = gone->next;
    else
        symbol->orders[gone->previous].next = gone->next;
    if (gone->next == NONE)
        at->last = gone->previous;
    else
        symbol->orders[gone->next].previous = gone->previous;

    const int32_t moved = symbol->live[--symbol->live_count];
    symbol->live[gone->live_index] = moved;
    symbol->orders[moved].live_index = gone->live_index;
    gone->next = symbol->first_free;
    symbol->first_free = index;

    while (symbol->best_bid > 0 && (symbol->levels[symbol->best_bid].first == NONE))
        symbol->best_bid--;
    while (symbol->best_ask < TICKS && (symbol->levels[symbol->best_ask].first == NONE))
        symbol->best_ask++;
}

static book_order *random_order(generator *day, traded_symbol *symbol)
{
    return &symbol->orders[symbol->live[random_below(&day->random, (uint32_t)symbol->live_count)]];
}

/* Mostly round lots. */
static uint32_t random_shares(generator *day)
{
    if (chance(&day->random, 700))
        return 100 * (1 + random_below(&day->random, 8));
    return 1 + random_below(&day->random, 500);
}

/* A price for a resting order: near the fair price, never at or through the other side. */
static int32_t random_tick(generator *day, const traded_symbol *symbol, uint8_t side)
{
    int32_t distance = 0; /* halves with each tick, and now and then far away */
    while (distance < 12 && chance(&day->random, 600))
        distance++;
    if (chance(&day->random, 100))
        distance += (int32_t)random_below(&day->random, 80);
    int32_t tick =
        side == 'B' ? symbol->fair_tick - 1 - distance : symbol->fair_tick + 1 + distance;
    if (side == 'B' && tick >= symbol->best_ask)
        tick = symbol->best_ask - 1;
    if (side == 'S' && tick <= symbol->best_bid)
        tick = symbol->best_bid + 1;
    return tick < 1 ? 1 : tick > TICKS - 1 ? TICKS - 1 : tick;
}

/* ---- what happens ---- */

static market_itch_order itch_order(const book_order *order)
{
    return (market_itch_order){order->number, order->shares, (uint32_t)order->tick * TICK_PRICE,
                               order->side};
}

static void add_order(generator *day, traded_symbol *symbol)
{
    const uint8_t side = chance(&day->random, 500) ? 'B' : 'S';
    const int32_t tick = random_tick(day, symbol, side);
    const book_order *const added =
        book_insert(symbol, day->next_order++, side, tick, random_shares(day));
    const market_itch_order told = itch_order(added);
    market_itch_write_add(&day->itch, &symbol->stock, &told, chance(&day->random, 80));
}

static void delete_order(generator *day, traded_symbol *symbol)
{
    book_order *const gone = random_order(day, symbol);
    const market_itch_order told = itch_order(gone);
    market_itch_write_deletion(&day->itch, &symbol->stock, &told);
    book_remove(symbol, gone);
}

static void reduce_order(generator *day, traded_symbol *symbol)
{
    book_order *const reduced = random_order(day, symbol);
    if (reduced->shares < 2) {
        delete_order(day, symbol);
        return;
    }
    const uint32_t shares = 1 + random_below(&day->random, reduced->shares - 1);
    reduced->shares -= shares;
    const market_itch_order told = itch_order(reduced);
    market_itch_write_reduction(&day->itch, &symbol->stock, &told, shares);
}

static void replace_order(generator *day, traded_symbol *symbol)
{
    book_order *const old = random_order(day, symbol);
    const uint64_t old_number = old->number;
    const uint8_t side = old->side;
    book_remove(symbol, old);
    const int32_t tick = random_tick(day, symbol, side);
    const book_order *const added =
        book_insert(symbol, day->next_order++, side, tick, random_shares(day));
    const market_itch_order told = itch_order(added);
    market_itch_write_replacement(&day->itch, &symbol->stock, old_number, &told);
}

/* A taker meets the oldest order at the best price of `side`. */
static void execute_order(generator *day, traded_symbol *symbol, uint8_t side)
{
    const int32_t tick = side == 'B' ? symbol->best_bid : symbol->best_ask;
    book_order *const met = &symbol->orders[symbol->levels[tick].first];
    const bool whole = met->shares < 2 || chance(&day->random, 750);
    const uint32_t shares = whole ? met->shares : 1 + random_below(&day->random, met->shares - 1);
    const market_itch_order told = itch_order(met);
    market_itch_write_execution(&day->itch, &symbol->stock, &told, shares,
                                chance(&day->random, 20));
    met->shares -= shares;
    if (met->shares == 0)
        book_remove(symbol, met);
    day->sweeping = true;
}

/* Orders that the fair price has left behind on the wrong side are taken. */
static bool execute_stale(generator *day, traded_symbol *symbol)
{
    if (!chance(&day->random, 800))
        return false;
    if (symbol->best_bid > symbol->fair_tick)
        execute_order(day, symbol, 'B');
    else if (symbol->best_ask < symbol->fair_tick)
        execute_order(day, symbol, 'S');
    else
        return false;
    return true;
}

static bool has_side(const traded_symbol *symbol, uint8_t side)
{
    return side == 'B' ? symbol->best_bid > 0 : symbol->best_ask < TICKS;
}

static void trade_something(generator *day, traded_symbol *symbol)
{
    const uint8_t side = chance(&day->random, 500) ? 'B' : 'S';
    if (!chance(&day->random, 250) && has_side(symbol, side))
        execute_order(day, symbol, side);
    else
        market_itch_write_hidden_trade(&day->itch, &symbol->stock, random_shares(day),
                                       (uint32_t)symbol->fair_tick * TICK_PRICE);
}

/* One message of a symbol; the mix keeps its book near live_target orders. */
static void act(generator *day, traded_symbol *symbol, bool trading)
{
    day->sweeping = false;
    if (trading && execute_stale(day, symbol))
        return;
    const uint32_t add_per_mille = symbol->live_count < day->live_target       ? 600
                                   : symbol->live_count < 2 * day->live_target ? 420
                                                                               : 200;
    const uint32_t dice = random_below(&day->random, 1000);
    if (symbol->live_count == 0 || (dice < add_per_mille && symbol->live_count < MOST_LIVE))
        add_order(day, symbol);
    else if (trading && chance(&day->random, 100))
        trade_something(day, symbol);
    else if (chance(&day->random, 150))
        replace_order(day, symbol);
    else if (chance(&day->random, 60))
        reduce_order(day, symbol);
    else
        delete_order(day, symbol);
}

/* ---- time ---- */

/* The fair price goes along the stretch's line, with a random walk around it. */
static void move_fair_price(generator *day, traded_symbol *symbol, const day_stretch *stretch,
                            uint32_t done_per_mille)
{
    const uint32_t step = random_below(&day->random, 128);
    if (step == 0 && symbol->walk_ticks > -25)
        symbol->walk_ticks--;
    if (step == 1 && symbol->walk_ticks < 25)
        symbol->walk_ticks++;
    const int64_t change =
        (int64_t)(stretch->to_per_mille - stretch->from_per_mille) * (int64_t)done_per_mille / 1000;
    const int64_t per_mille = stretch->from_per_mille + change;
    symbol->fair_tick = (int32_t)(symbol->start_tick * per_mille / 1000) + symbol->walk_ticks;
}

static traded_symbol *choose_symbol(generator *day)
{
    if (day->hot == NULL || !chance(&day->random, 500))
        day->hot = &day->symbols[random_below(&day->random, day->symbol_count)];
    return day->hot;
}

static uint32_t burst_messages(generator *day, const day_stretch *stretch)
{
    if (chance(&day->random, stretch->big_per_mille))
        return stretch->big_least + random_below(&day->random, stretch->big_least * 35 / 100);
    return 1 + random_below(&day->random, stretch->burst_most);
}

/* `messages` of them, in bursts whose gaps use up the time that is left, and end with it. */
static void run_stretch(generator *day, const day_stretch *stretch, uint32_t messages, bool trading)
{
    const uint64_t end_ns = stretch->start_ns + stretch->length_ns;
    day->itch.now_ns = stretch->start_ns;
    for (uint32_t done = 0; done < messages;) {
        const uint32_t left = messages - done;
        uint32_t burst = burst_messages(day, stretch);
        burst = burst < left ? burst : left;
        const uint64_t left_ns = end_ns - day->itch.now_ns;
        const uint64_t burst_ns = 2 * stretch->step_ns * burst; /* at most */
        uint64_t most_gap_ns = 2 * (left_ns / left * burst);
        if (most_gap_ns + burst_ns > left_ns) /* so that no burst is cut by the end */
            most_gap_ns = left_ns > burst_ns ? left_ns - burst_ns : 0;
        day->itch.now_ns += random_below_ns(&day->random, most_gap_ns + 1);
        for (uint32_t i = 0; i < burst; i++, done++) {
            if (!(day->sweeping && chance(&day->random, 700))) /* a sweep has one time */
                day->itch.now_ns += random_below_ns(&day->random, 2 * stretch->step_ns + 1);
            if (day->itch.now_ns >= end_ns)
                day->itch.now_ns = end_ns - 1;
            traded_symbol *const symbol = choose_symbol(day);
            move_fair_price(day, symbol, stretch, (uint32_t)((uint64_t)done * 1000 / messages));
            act(day, symbol, trading);
        }
    }
}

/* ---- the programme ---- */

static void for_each_symbol(generator *day,
                            void (*write)(generator *, const traded_symbol *, uint64_t),
                            uint64_t argument)
{
    for (uint32_t i = 0; i < day->symbol_count; i++) {
        day->itch.now_ns += 1 + random_below_ns(&day->random, 50 * NS_US);
        write(day, &day->symbols[i], argument);
    }
}

static void introduce(generator *day, const traded_symbol *symbol, uint64_t argument)
{
    (void)argument;
    market_itch_write_directory(&day->itch, &symbol->stock);
    market_itch_write_trading_action(&day->itch, &symbol->stock, 'T', "    ");
    market_itch_write_short_sale_state(&day->itch, &symbol->stock, '0');
    market_itch_write_market_maker(&day->itch, &symbol->stock);
}

static void halt(generator *day, const traded_symbol *symbol, uint64_t argument)
{
    (void)argument;
    market_itch_write_trading_action(&day->itch, &symbol->stock, 'H', "MWC1");
}

static void resume(generator *day, const traded_symbol *symbol, uint64_t argument)
{
    (void)argument;
    market_itch_write_trading_action(&day->itch, &symbol->stock, 'T', "MWCQ");
}

static void cross(generator *day, const traded_symbol *symbol, uint64_t type)
{
    const uint64_t shares = 100 * (10 + random_below(&day->random, 5000));
    const uint32_t price = (uint32_t)symbol->fair_tick * TICK_PRICE;
    market_itch_write_imbalance(&day->itch, &symbol->stock, price, shares, (char)type);
    market_itch_write_cross(&day->itch, &symbol->stock, price, shares, (char)type);
}

static void delete_all(generator *day)
{
    for (uint32_t i = 0; i < day->symbol_count; i++) {
        while (day->symbols[i].live_count > 0) {
            day->itch.now_ns += random_below_ns(&day->random, 2 * NS_US);
            delete_order(day, &day->symbols[i]);
        }
    }
}

static void run_day(generator *day, uint32_t messages)
{
    uint32_t count[STRETCH_COUNT];
    for (int i = 0; i < STRETCH_COUNT; i++)
        count[i] = (uint32_t)((uint64_t)messages * stretches[i].share / 1000);

    market_itch_write_system_event(&day->itch, 'O', CLOCK(3, 0)); /* start of messages */
    for_each_symbol(day, introduce, 0);
    market_itch_write_system_event(&day->itch, 'S', CLOCK(4, 0)); /* system hours */
    market_itch_write_breaker_levels(&day->itch);
    run_stretch(day, &stretches[QUIET], count[QUIET], false);
    market_itch_write_system_event(&day->itch, 'Q', CLOCK(9, 30)); /* market hours */
    for_each_symbol(day, cross, 'O');
    day_stretch open = stretches[OPEN];
    open.start_ns = day->itch.now_ns; /* the crosses come first */
    open.length_ns = stretches[CALM].start_ns - open.start_ns;
    run_stretch(day, &open, count[OPEN], true);
    run_stretch(day, &stretches[CALM], count[CALM], true);
    run_stretch(day, &stretches[CRASH], count[CRASH], true);
    day->itch.now_ns = stretches[CRASH].start_ns + stretches[CRASH].length_ns;
    market_itch_write_breaker_status(&day->itch, '1');
    for_each_symbol(day, halt, 0);
    day->itch.now_ns = stretches[RECOVERY].start_ns - NS_S;
    for_each_symbol(day, resume, 0);
    run_stretch(day, &stretches[RECOVERY], count[RECOVERY], true);
    day->itch.now_ns = CLOCK(16, 0);
    for_each_symbol(day, cross, 'C');
    market_itch_write_system_event(&day->itch, 'M', day->itch.now_ns); /* market hours end */
    delete_all(day);
    market_itch_write_system_event(&day->itch, 'E', CLOCK(20, 0)); /* system hours end */
    market_itch_write_system_event(&day->itch, 'C', CLOCK(20, 5)); /* messages end */
}

static void name_symbols(generator *day)
{
    static const char *const stocks[] = {"ALDER", "BIRCH", "CEDAR", "EBONY",
                                         "HAZEL", "LARCH", "MAPLE", "ROWAN"};
    const uint32_t named = sizeof stocks / sizeof stocks[0];
    for (uint32_t i = 0; i < day->symbol_count; i++) {
        traded_symbol *const symbol = &day->symbols[i];
        char stock[16];
        if (i < named)
            snprintf(stock, sizeof stock, "%-8s", stocks[i]);
        else
            snprintf(stock, sizeof stock, "TREE%-4u", i);
        memcpy(symbol->stock.name, stock, sizeof symbol->stock.name);
        symbol->stock.locate = (uint16_t)(i + 1);
        symbol->start_tick = 1000 + (int32_t)random_below(&day->random, 5000);
        symbol->fair_tick = symbol->start_tick;
        book_clear(symbol);
    }
}

static hl_status check_range(const char *what, uint32_t value, uint32_t least, uint32_t most,
                             hl_error *error)
{
    if (value >= least && value <= most)
        return HL_OK;
    return hl_error_set(error, HL_INVALID, "synthetic: %u %s: %u to %u would be right", value, what,
                        least, most);
}

hl_status market_generate(uint64_t seed, const market_generator_options *options,
                          uint8_t **ret_bytes, size_t *ret_size_bytes, hl_error *error)
{
    const uint32_t messages =
        options != NULL && options->messages > 0 ? options->messages : DEFAULT_MESSAGES;
    const uint32_t symbols =
        options != NULL && options->symbols > 0 ? options->symbols : DEFAULT_SYMBOLS;
    hl_status status = check_range("messages", messages, LEAST_MESSAGES, MOST_MESSAGES, error);
    if (status == HL_OK)
        status = check_range("symbols", symbols, 1, MOST_SYMBOLS, error);
    if (status != HL_OK)
        return status;

    generator day = {.itch = {.next_match = 1}, .next_order = 1, .symbol_count = symbols};
    /* Small days have small books, so that deleting all at the end stays a small part. */
    const uint32_t target = messages / (symbols * 20);
    day.live_target = target < 5 ? 5 : target > 400 ? 400 : (int32_t)target;
    day.symbols = calloc(symbols, sizeof *day.symbols);
    day.itch.out_of_memory = day.symbols == NULL;
    if (!day.itch.out_of_memory) {
        random_seed(&day.random, seed);
        name_symbols(&day);
        run_day(&day, messages);
        free(day.symbols);
    }
    if (day.itch.out_of_memory) {
        free(day.itch.bytes);
        return hl_error_set(error, HL_NO_MEMORY, "synthetic: out of memory for %u messages",
                            messages);
    }
    *ret_bytes = day.itch.bytes;
    *ret_size_bytes = day.itch.size_bytes;
    return HL_OK;
}
