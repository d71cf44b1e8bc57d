#include "fault/breaker.h"

#include "base/error.h"

static uint64_t later(uint64_t time_ns, uint64_t delay_ns)
{
    return time_ns > UINT64_MAX - delay_ns ? UINT64_MAX : time_ns + delay_ns;
}

static void set_busy(hl_breaker *breaker)
{
    breaker->busy = breaker->state != HL_BREAKER_CLOSED || breaker->history != 0 ||
                    breaker->window_events != 0 || breaker->held != 0;
}

static void forget(hl_breaker *breaker)
{
    breaker->history = 0;
    breaker->window_events = breaker->window_failures = 0;
    breaker->good_probes = 0;
    breaker->probing = false;
}

static void go(hl_breaker *breaker, hl_breaker_state to, hl_breaker_reason cause, uint32_t failures,
               uint64_t now_ns)
{
    if (to == breaker->state)
        return;
    breaker->change = (hl_breaker_change){breaker->state, to, cause, failures, now_ns};
    breaker->changed = true;
    breaker->state = to;
}

static void open_up(hl_breaker *breaker, hl_breaker_reason cause, uint32_t failures,
                    uint64_t now_ns)
{
    go(breaker, HL_BREAKER_OPEN, cause, failures, now_ns);
    forget(breaker);
    breaker->opened_ns = now_ns;
    breaker->opened_count++;
}

void hl_breaker_init(hl_breaker *breaker, const hl_breaker_options *options)
{
    *breaker = (hl_breaker){.options = *options};
}

/* ------- outcomes while closed ------- */

/* Remembers one outcome of the last ones; true: too many of them are failures. */
static bool count_failures(hl_breaker *breaker, bool failed)
{
    const hl_breaker_options *const options = &breaker->options;
    if (options->failures == 0)
        return false;
    breaker->history = (breaker->history << 1 | failed) & UINT64_MAX >> (64 - options->of_last);
    return (uint32_t)__builtin_popcountll(breaker->history) >= options->failures;
}

/* Remembers one outcome in the window, which only a failure begins; true: the rate is too high. */
static bool rate_failures(hl_breaker *breaker, bool failed, uint64_t now_ns)
{
    const hl_breaker_options *const options = &breaker->options;
    if (options->rate_percent == 0)
        return false;
    if (breaker->window_events == 0 || now_ns >= breaker->window_end_ns) {
        breaker->window_events = breaker->window_failures = 0;
        if (!failed)
            return false;
        breaker->window_end_ns = later(now_ns, options->rate_window_ns);
    }
    breaker->window_events++;
    breaker->window_failures += failed;
    return breaker->window_events >= options->rate_min_events &&
           breaker->window_failures * 100 >= breaker->window_events * options->rate_percent;
}

static void remember(hl_breaker *breaker, bool failed, uint64_t now_ns)
{
    const bool by_count = count_failures(breaker, failed);
    const bool by_rate = rate_failures(breaker, failed, now_ns);
    if (by_count)
        open_up(breaker, HL_BREAKER_FAILURES, (uint32_t)__builtin_popcountll(breaker->history),
                now_ns);
    else if (by_rate)
        open_up(breaker, HL_BREAKER_RATE, (uint32_t)breaker->window_failures, now_ns);
}

/* ------- probes ------- */

/* Whether an event may be delivered now; as a probe, unless it is closed. */
static bool let_through(hl_breaker *breaker, uint64_t now_ns)
{
    if (breaker->state == HL_BREAKER_CLOSED)
        return true;
    if (now_ns < hl_breaker_next_probe_ns(breaker))
        return false;
    go(breaker, HL_BREAKER_HALF_OPEN, HL_BREAKER_RESTED, 0, now_ns);
    breaker->probing = true;
    return true;
}

static void probe_succeeded(hl_breaker *breaker, uint64_t now_ns)
{
    breaker->probing = false;
    if (++breaker->good_probes < breaker->options.successes)
        return;
    go(breaker, HL_BREAKER_CLOSED, HL_BREAKER_PROBED, 0, now_ns);
    forget(breaker);
}

/* ------- what the owner calls ------- */

static hl_admit hold(hl_breaker *breaker)
{
    if (breaker->held >= breaker->options.hold_events)
        return HL_ADMIT_HOLD_FULL;
    breaker->held++;
    return HL_ADMIT_HOLD;
}

hl_admit hl_breaker_admit_busy(hl_breaker *breaker, uint64_t now_ns)
{
    if (breaker->held != 0)
        return hold(breaker);
    if (let_through(breaker, now_ns))
        return HL_ADMIT_DELIVER;
    switch (breaker->options.while_open) {
    case HL_BREAKER_DEAD_LETTER:
        return HL_ADMIT_DEAD_LETTER;
    case HL_BREAKER_SKIP:
        return HL_ADMIT_SKIP;
    case HL_BREAKER_HOLD:
        break;
    }
    return hold(breaker);
}

bool hl_breaker_admit_held(hl_breaker *breaker, uint64_t now_ns)
{
    if (breaker->held == 0 || !let_through(breaker, now_ns))
        return false;
    hl_breaker_unhold(breaker);
    return true;
}

void hl_breaker_unhold(hl_breaker *breaker)
{
    if (breaker->held > 0)
        breaker->held--;
    set_busy(breaker);
}

void hl_breaker_succeeded_busy(hl_breaker *breaker, uint64_t now_ns)
{
    if (breaker->state == HL_BREAKER_HALF_OPEN)
        probe_succeeded(breaker, now_ns);
    else if (breaker->state == HL_BREAKER_CLOSED && breaker->force == HL_BREAKER_FREE)
        remember(breaker, false, now_ns);
    set_busy(breaker);
}

void hl_breaker_failed(hl_breaker *breaker, uint64_t now_ns)
{
    if (breaker->state == HL_BREAKER_HALF_OPEN)
        open_up(breaker, HL_BREAKER_PROBED, 1, now_ns);
    else if (breaker->state == HL_BREAKER_CLOSED && breaker->force == HL_BREAKER_FREE)
        remember(breaker, true, now_ns);
    set_busy(breaker);
}

void hl_breaker_cancelled(hl_breaker *breaker)
{
    breaker->probing = false;
}

void hl_breaker_trip(hl_breaker *breaker, uint64_t now_ns)
{
    if (breaker->force != HL_BREAKER_FREE || breaker->state == HL_BREAKER_OPEN)
        return;
    open_up(breaker, HL_BREAKER_WATCHDOG, 0, now_ns);
    set_busy(breaker);
}

void hl_breaker_set_force(hl_breaker *breaker, hl_breaker_force force, uint64_t now_ns)
{
    if (force == HL_BREAKER_FORCED_OPEN && breaker->state != HL_BREAKER_OPEN) {
        open_up(breaker, HL_BREAKER_FORCED, 0, now_ns);
    } else if (force == HL_BREAKER_FORCED_CLOSED) {
        go(breaker, HL_BREAKER_CLOSED, HL_BREAKER_FORCED, 0, now_ns);
        forget(breaker);
    } else if (force == HL_BREAKER_FREE && breaker->force == HL_BREAKER_FORCED_OPEN) {
        breaker->opened_ns = now_ns;
    }
    breaker->force = force;
    set_busy(breaker);
}

uint64_t hl_breaker_next_probe_ns(const hl_breaker *breaker)
{
    if (breaker->state == HL_BREAKER_CLOSED)
        return 0;
    if (breaker->state == HL_BREAKER_HALF_OPEN)
        return breaker->probing ? UINT64_MAX : 0;
    if (breaker->force == HL_BREAKER_FORCED_OPEN)
        return UINT64_MAX;
    return later(breaker->opened_ns, breaker->options.rest_ns);
}

const char *hl_breaker_state_name(hl_breaker_state state)
{
    switch (state) {
    case HL_BREAKER_CLOSED:
        return "closed";
    case HL_BREAKER_OPEN:
        return "open";
    case HL_BREAKER_HALF_OPEN:
        return "half_open";
    }
    return "unknown";
}

/* ------- options ------- */

static hl_status check_count(const hl_breaker_options *options, hl_error *error)
{
    if (options->of_last < 1 || options->of_last > 64)
        return hl_error_set(error, HL_INVALID, "breaker.of_last: %u: use 1 to 64",
                            options->of_last);
    if (options->failures > options->of_last)
        return hl_error_set(error, HL_INVALID,
                            "breaker.failures: %u of the last %u cannot be: use 0 (not by count) "
                            "to %u",
                            options->failures, options->of_last, options->of_last);
    return HL_OK;
}

static hl_status check_rate(const hl_breaker_options *options, hl_error *error)
{
    if (options->rate_percent > 100)
        return hl_error_set(error, HL_INVALID,
                            "breaker.rate_percent: %u: use 0 (not by rate) to 100",
                            options->rate_percent);
    if (options->rate_percent != 0 && options->rate_min_events < 1)
        return hl_error_set(error, HL_INVALID,
                            "breaker.rate_min_events: 0: use 1 or more, or a single failure is a "
                            "rate of 100 %%");
    if (options->rate_percent != 0 && options->rate_window_ns < 1)
        return hl_error_set(error, HL_INVALID, "breaker.rate_window_ns: 0: use 1 ns or more");
    return HL_OK;
}

hl_status hl_breaker_options_check(const hl_breaker_options *options, hl_error *error)
{
    if (options == NULL)
        return hl_error_set(error, HL_INVALID,
                            "breaker: no options given: use HL_BREAKER_OPTIONS_INIT");
    if (options->size != sizeof *options)
        return hl_error_set(error, HL_INVALID,
                            "breaker.size: %zu, this library knows %zu: begin with "
                            "HL_BREAKER_OPTIONS_INIT, and build against this version's headers",
                            options->size, sizeof *options);
    const hl_status count = check_count(options, error);
    if (count != HL_OK)
        return count;
    const hl_status rate = check_rate(options, error);
    if (rate != HL_OK)
        return rate;
    if (options->successes < 1)
        return hl_error_set(error, HL_INVALID, "breaker.successes: 0: use 1 or more");
    if ((unsigned)options->while_open > HL_BREAKER_HOLD)
        return hl_error_set(error, HL_INVALID,
                            "breaker.while_open: %d: use HL_BREAKER_DEAD_LETTER, HL_BREAKER_SKIP "
                            "or HL_BREAKER_HOLD",
                            (int)options->while_open);
    if (options->while_open == HL_BREAKER_HOLD &&
        (options->hold_events < 1 || options->hold_events > 65536))
        return hl_error_set(error, HL_INVALID, "breaker.hold_events: %u: use 1 to 65536",
                            options->hold_events);
    return HL_OK;
}
