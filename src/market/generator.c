#include "market/generator.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define DEFAULT_MESSAGES 400000
#define LEAST_MESSAGES   1000
#define MOST_MESSAGES    50000000
#define DEFAULT_SYMBOLS  8
#define MOST_SYMBOLS     64

#define TICKS          8192 /* prices of a symbol: 1 to TICKS - 1 cents */
#define TICK_PRICE     100  /* a cent in ITCH's unit */
#define MOST_LIVE      4096 /* orders of a symbol in its book at once */
#define NONE           (-1)
#define CROSS_ORDER_NO 0 /* a trade without a displayed order names order 0 */

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
    char stock[9]; /* padded with spaces */
    uint16_t locate;
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
    uint8_t *bytes;
    size_t size_bytes;
    size_t capacity_bytes;
    bool out_of_memory;
    uint64_t now_ns;
    uint64_t next_order;
    uint64_t next_match;
    uint32_t written; /* messages */
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

/* ---- writing ITCH ---- */

/* Room for one message with its length; NULL when there is no memory. */
static uint8_t *reserve(generator *day, size_t length_bytes)
{
    const size_t record_bytes = length_bytes + 2;
    if (day->out_of_memory)
        return NULL;
    if (day->size_bytes + record_bytes > day->capacity_bytes) {
        const size_t capacity_bytes = day->capacity_bytes * 2 + 65536;
        uint8_t *const larger = realloc(day->bytes, capacity_bytes);
        if (larger == NULL) {
            day->out_of_memory = true;
            return NULL;
        }
        day->bytes = larger;
        day->capacity_bytes = capacity_bytes;
    }
    uint8_t *const at = day->bytes + day->size_bytes;
    day->size_bytes += record_bytes;
    return at;
}

static uint8_t *put(uint8_t *at, uint64_t value, int width_bytes)
{
    for (int i = width_bytes - 1; i >= 0; i--)
        *at++ = (uint8_t)(value >> (8 * i));
    return at;
}

static uint8_t *put_text(uint8_t *at, const char *text, size_t length)
{
    memcpy(at, text, length);
    return at + length;
}

/* Length, type, locate, tracking number 0, time. NULL as reserve(). */
static uint8_t *begin(generator *day, uint8_t type, size_t length_bytes, uint16_t locate)
{
    uint8_t *at = reserve(day, length_bytes);
    if (at == NULL)
        return NULL;
    day->written++;
    at = put(at, length_bytes, 2);
    at = put(at, type, 1);
    at = put(at, locate, 2);
    at = put(at, 0, 2);
    return put(at, day->now_ns, 6);
}

static void write_system_event(generator *day, uint8_t code, uint64_t time_ns)
{
    day->now_ns = time_ns;
    uint8_t *const at = begin(day, 'S', 12, 0);
    if (at != NULL)
        put(at, code, 1);
}

static void write_directory(generator *day, const traded_symbol *symbol)
{
    uint8_t *at = begin(day, 'R', 39, symbol->locate);
    if (at == NULL)
        return;
    at = put_text(at, symbol->stock, 8);
    at = put_text(at, "QN", 2); /* Nasdaq Global Select, financial status normal */
    at = put(at, 100, 4);       /* round lot */
    at = put_text(at, "NCZ PN 1N", 9);
    put_text(put(at, 0, 4), "N", 1); /* ETP leverage 0, inverse N */
}

static void write_trading_action(generator *day, const traded_symbol *symbol, char state,
                                 const char *reason)
{
    uint8_t *at = begin(day, 'H', 25, symbol->locate);
    if (at == NULL)
        return;
    at = put_text(at, symbol->stock, 8);
    at = put(at, (uint8_t)state, 1);
    at = put(at, ' ', 1);
    put_text(at, reason, 4);
}

static void write_short_sale_state(generator *day, const traded_symbol *symbol, char action)
{
    uint8_t *const at = begin(day, 'Y', 20, symbol->locate);
    if (at != NULL)
        put(put_text(at, symbol->stock, 8), (uint8_t)action, 1);
}

static void write_market_maker(generator *day, const traded_symbol *symbol)
{
    uint8_t *at = begin(day, 'L', 26, symbol->locate);
    if (at == NULL)
        return;
    at = put_text(at, "MKRA", 4);
    at = put_text(at, symbol->stock, 8);
    put_text(at, "YNA", 3); /* primary, normal mode, active */
}

/* Levels of the market-wide circuit breaker (in 1e-8), of an index that stands at 5,000. */
static void write_breaker_levels(generator *day)
{
    uint8_t *at = begin(day, 'V', 35, 0);
    if (at == NULL)
        return;
    at = put(at, UINT64_C(465000000000), 8);
    at = put(at, UINT64_C(435000000000), 8);
    put(at, UINT64_C(400000000000), 8);
}

static void write_breaker_status(generator *day, char breached_level)
{
    uint8_t *const at = begin(day, 'W', 12, 0);
    if (at != NULL)
        put(at, (uint8_t)breached_level, 1);
}

static void write_cross(generator *day, const traded_symbol *symbol, uint64_t shares, char type)
{
    uint8_t *at = begin(day, 'Q', 40, symbol->locate);
    if (at == NULL)
        return;
    at = put(at, shares, 8);
    at = put_text(at, symbol->stock, 8);
    at = put(at, (uint64_t)symbol->fair_tick * TICK_PRICE, 4);
    at = put(at, day->next_match++, 8);
    put(at, (uint8_t)type, 1);
}

static void write_imbalance(generator *day, const traded_symbol *symbol, uint64_t paired, char type)
{
    uint8_t *at = begin(day, 'I', 50, symbol->locate);
    if (at == NULL)
        return;
    at = put(at, paired, 8);
    at = put(at, 0, 8); /* no imbalance */
    at = put(at, 'N', 1);
    at = put_text(at, symbol->stock, 8);
    for (int i = 0; i < 3; i++) /* far, near and current reference price */
        at = put(at, (uint64_t)symbol->fair_tick * TICK_PRICE, 4);
    at = put(at, (uint8_t)type, 1);
    put(at, 'L', 1);
}

static void write_add(generator *day, const traded_symbol *symbol, const book_order *order,
                      bool attributed)
{
    uint8_t *at = begin(day, attributed ? 'F' : 'A', attributed ? 40 : 36, symbol->locate);
    if (at == NULL)
        return;
    at = put(at, order->number, 8);
    at = put(at, order->side, 1);
    at = put(at, order->shares, 4);
    at = put_text(at, symbol->stock, 8);
    at = put(at, (uint64_t)order->tick * TICK_PRICE, 4);
    if (attributed)
        put_text(at, "MKRA", 4);
}

static void write_execution(generator *day, const traded_symbol *symbol, const book_order *order,
                            uint32_t shares, bool with_price)
{
    uint8_t *at = begin(day, with_price ? 'C' : 'E', with_price ? 36 : 31, symbol->locate);
    if (at == NULL)
        return;
    at = put(at, order->number, 8);
    at = put(at, shares, 4);
    at = put(at, day->next_match++, 8);
    if (with_price) {
        at = put(at, 'Y', 1);
        put(at, (uint64_t)order->tick * TICK_PRICE, 4);
    }
}

static void write_reduction(generator *day, const traded_symbol *symbol, const book_order *order,
                            uint32_t shares)
{
    uint8_t *const at = begin(day, 'X', 23, symbol->locate);
    if (at != NULL)
        put(put(at, order->number, 8), shares, 4);
}

static void write_deletion(generator *day, const traded_symbol *symbol, const book_order *order)
{
    uint8_t *const at = begin(day, 'D', 19, symbol->locate);
    if (at != NULL)
        put(at, order->number, 8);
}

static void write_replacement(generator *day, const traded_symbol *symbol, uint64_t old_number,
                              const book_order *order)
{
    uint8_t *at = begin(day, 'U', 35, symbol->locate);
    if (at == NULL)
        return;
    at = put(at, old_number, 8);
    at = put(at, order->number, 8);
    at = put(at, order->shares, 4);
    put(at, (uint64_t)order->tick * TICK_PRICE, 4);
}

static void write_hidden_trade(generator *day, const traded_symbol *symbol, uint32_t shares,
                               int32_t tick)
{
    uint8_t *at = begin(day, 'P', 44, symbol->locate);
    if (at == NULL)
        return;
    at = put(at, CROSS_ORDER_NO, 8);
    at = put(at, 'B', 1); /* since 2014 always B */
    at = put(at, shares, 4);
    at = put_text(at, symbol->stock, 8);
    at = put(at, (uint64_t)tick * TICK_PRICE, 4);
    put(at, day->next_match++, 8);
}

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

static void add_order(generator *day, traded_symbol *symbol)
{
    const uint8_t side = chance(&day->random, 500) ? 'B' : 'S';
    const int32_t tick = random_tick(day, symbol, side);
    const book_order *const added =
        book_insert(symbol, day->next_order++, side, tick, random_shares(day));
    write_add(day, symbol, added, chance(&day->random, 80));
}

static void delete_order(generator *day, traded_symbol *symbol)
{
    book_order *const gone = random_order(day, symbol);
    write_deletion(day, symbol, gone);
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
    write_reduction(day, symbol, reduced, shares);
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
    write_replacement(day, symbol, old_number, added);
}

/* A taker meets the oldest order at the best price of `side`. */
static void execute_order(generator *day, traded_symbol *symbol, uint8_t side)
{
    const int32_t tick = side == 'B' ? symbol->best_bid : symbol->best_ask;
    book_order *const met = &symbol->orders[symbol->levels[tick].first];
    const bool whole = met->shares < 2 || chance(&day->random, 750);
    const uint32_t shares = whole ? met->shares : 1 + random_below(&day->random, met->shares - 1);
    write_execution(day, symbol, met, shares, chance(&day->random, 20));
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
        write_hidden_trade(day, symbol, random_shares(day), symbol->fair_tick);
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
    day->now_ns = stretch->start_ns;
    for (uint32_t done = 0; done < messages;) {
        const uint32_t left = messages - done;
        uint32_t burst = burst_messages(day, stretch);
        burst = burst < left ? burst : left;
        const uint64_t left_ns = end_ns - day->now_ns;
        const uint64_t burst_ns = 2 * stretch->step_ns * burst; /* at most */
        uint64_t most_gap_ns = 2 * (left_ns / left * burst);
        if (most_gap_ns + burst_ns > left_ns) /* so that no burst is cut by the end */
            most_gap_ns = left_ns > burst_ns ? left_ns - burst_ns : 0;
        day->now_ns += random_below_ns(&day->random, most_gap_ns + 1);
        for (uint32_t i = 0; i < burst; i++, done++) {
            if (!(day->sweeping && chance(&day->random, 700))) /* a sweep has one time */
                day->now_ns += random_below_ns(&day->random, 2 * stretch->step_ns + 1);
            if (day->now_ns >= end_ns)
                day->now_ns = end_ns - 1;
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
        day->now_ns += 1 + random_below_ns(&day->random, 50 * NS_US);
        write(day, &day->symbols[i], argument);
    }
}

static void introduce(generator *day, const traded_symbol *symbol, uint64_t argument)
{
    (void)argument;
    write_directory(day, symbol);
    write_trading_action(day, symbol, 'T', "    ");
    write_short_sale_state(day, symbol, '0');
    write_market_maker(day, symbol);
}

static void halt(generator *day, const traded_symbol *symbol, uint64_t argument)
{
    (void)argument;
    write_trading_action(day, symbol, 'H', "MWC1");
}

static void resume(generator *day, const traded_symbol *symbol, uint64_t argument)
{
    (void)argument;
    write_trading_action(day, symbol, 'T', "MWCQ");
}

static void cross(generator *day, const traded_symbol *symbol, uint64_t type)
{
    const uint64_t shares = 100 * (10 + random_below(&day->random, 5000));
    write_imbalance(day, symbol, shares, (char)type);
    write_cross(day, symbol, shares, (char)type);
}

static void delete_all(generator *day)
{
    for (uint32_t i = 0; i < day->symbol_count; i++) {
        while (day->symbols[i].live_count > 0) {
            day->now_ns += random_below_ns(&day->random, 2 * NS_US);
            delete_order(day, &day->symbols[i]);
        }
    }
}

static void run_day(generator *day, uint32_t messages)
{
    uint32_t count[STRETCH_COUNT];
    for (int i = 0; i < STRETCH_COUNT; i++)
        count[i] = (uint32_t)((uint64_t)messages * stretches[i].share / 1000);

    write_system_event(day, 'O', CLOCK(3, 0)); /* start of messages */
    for_each_symbol(day, introduce, 0);
    write_system_event(day, 'S', CLOCK(4, 0)); /* system hours */
    write_breaker_levels(day);
    run_stretch(day, &stretches[QUIET], count[QUIET], false);
    write_system_event(day, 'Q', CLOCK(9, 30)); /* market hours */
    for_each_symbol(day, cross, 'O');
    day_stretch open = stretches[OPEN];
    open.start_ns = day->now_ns; /* the crosses come first */
    open.length_ns = stretches[CALM].start_ns - open.start_ns;
    run_stretch(day, &open, count[OPEN], true);
    run_stretch(day, &stretches[CALM], count[CALM], true);
    run_stretch(day, &stretches[CRASH], count[CRASH], true);
    day->now_ns = stretches[CRASH].start_ns + stretches[CRASH].length_ns;
    write_breaker_status(day, '1');
    for_each_symbol(day, halt, 0);
    day->now_ns = stretches[RECOVERY].start_ns - NS_S;
    for_each_symbol(day, resume, 0);
    run_stretch(day, &stretches[RECOVERY], count[RECOVERY], true);
    day->now_ns = CLOCK(16, 0);
    for_each_symbol(day, cross, 'C');
    write_system_event(day, 'M', day->now_ns); /* market hours end */
    delete_all(day);
    write_system_event(day, 'E', CLOCK(20, 0)); /* system hours end */
    write_system_event(day, 'C', CLOCK(20, 5)); /* messages end */
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
        memcpy(symbol->stock, stock, sizeof symbol->stock);
        symbol->locate = (uint16_t)(i + 1);
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

    generator day = {.next_order = 1, .next_match = 1, .symbol_count = symbols};
    /* Small days have small books, so that deleting all at the end stays a small part. */
    const uint32_t target = messages / (symbols * 20);
    day.live_target = target < 5 ? 5 : target > 400 ? 400 : (int32_t)target;
    day.symbols = calloc(symbols, sizeof *day.symbols);
    day.out_of_memory = day.symbols == NULL;
    if (!day.out_of_memory) {
        random_seed(&day.random, seed);
        name_symbols(&day);
        run_day(&day, messages);
        free(day.symbols);
    }
    if (day.out_of_memory) {
        free(day.bytes);
        return hl_error_set(error, HL_NO_MEMORY, "synthetic: out of memory for %u messages",
                            messages);
    }
    *ret_bytes = day.bytes;
    *ret_size_bytes = day.size_bytes;
    return HL_OK;
}

hl_status market_generate_file(uint64_t seed, const market_generator_options *options,
                               const char *path, hl_error *error)
{
    uint8_t *bytes;
    size_t size_bytes;
    const hl_status status = market_generate(seed, options, &bytes, &size_bytes, error);
    if (status != HL_OK)
        return status;
    FILE *const file = fopen(path, "wb");
    bool written = file != NULL && fwrite(bytes, 1, size_bytes, file) == size_bytes;
    /* A full disk may show itself at the close only. */
    if (file != NULL && fclose(file) != 0)
        written = false;
    const int reason = errno;
    free(bytes);
    if (!written)
        return hl_error_set(error, HL_SYSTEM, "%.300s: cannot write: %s", path, strerror(reason));
    return HL_OK;
}
