#include "base/backtrace.h"

#include <execinfo.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ring/order.h"

#define FRAMES_MAX 64
#define OWN_FRAMES 2 /* the handler's, and the kernel's way into it */
#define LOOK_NS    100000

static struct {
    uint64_t asked, answered; /* FRAMES */
    uint64_t busy;
    int count;
    void *frames[FRAMES_MAX];
} answer;

static bool enabled;

static int signal_number(void)
{
    return SIGRTMAX - 3;
}

static void note_frames(int number)
{
    (void)number;
    /* FRAMES: acquire, the request is this one. */
    const uint64_t asked = hl_load_acquire_u64(&answer.asked);
    answer.count = backtrace(answer.frames, FRAMES_MAX);
    /* FRAMES: release, the frames are whole. */
    hl_store_release_u64(&answer.answered, asked);
}

bool hl_backtrace_enable(void)
{
    struct sigaction before;
    void *frame;
    if (enabled)
        return true;
    if (sigaction(signal_number(), NULL, &before) != 0 || before.sa_handler != SIG_DFL)
        return false;
    backtrace(&frame, 1); /* the first call loads a library, which a signal handler must not */
    struct sigaction action = {.sa_handler = note_frames, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    enabled = sigaction(signal_number(), &action, NULL) == 0;
    return enabled;
}

void hl_backtrace_allow_here(void)
{
    sigset_t allowed;
    sigemptyset(&allowed);
    sigaddset(&allowed, signal_number());
    pthread_sigmask(SIG_UNBLOCK, &allowed, NULL);
}

static uint32_t ask(pthread_t thread, void **ret_frames, uint32_t room, uint64_t timeout_ns)
{
    const uint64_t request = hl_load_relaxed_u64(&answer.asked) + 1; /* Relaxed: one asks. */
    /* FRAMES: release, pairs with the handler. */
    hl_store_release_u64(&answer.asked, request);
    if (!enabled || pthread_kill(thread, signal_number()) != 0)
        return 0;
    for (uint64_t waited_ns = 0;; waited_ns += LOOK_NS) {
        /* FRAMES: acquire, the frames are whole. */
        if (hl_load_acquire_u64(&answer.answered) == request)
            break;
        if (waited_ns >= timeout_ns)
            return 0;
        const struct timespec nap = {0, LOOK_NS};
        nanosleep(&nap, NULL);
    }
    const uint32_t count = answer.count > OWN_FRAMES ? (uint32_t)answer.count - OWN_FRAMES : 0;
    const uint32_t copied = count < room ? count : room;
    memcpy(ret_frames, answer.frames + OWN_FRAMES, copied * sizeof *ret_frames);
    return copied;
}

uint32_t hl_backtrace_of_thread(pthread_t thread, void **ret_frames, uint32_t room,
                                uint64_t timeout_ns)
{
    /* FRAMES: acq_rel, what the last caller did is over. */
    if (hl_exchange_acq_rel_u64(&answer.busy, 1) != 0)
        return 0;
    const uint32_t count = ask(thread, ret_frames, room, timeout_ns);
    hl_exchange_acq_rel_u64(&answer.busy, 0); /* FRAMES: acq_rel, as above. */
    return count;
}

/* "program(name+0x1f) [0x55...]": the name, or without one the whole. */
static void shorten(const char *symbol, char *text, size_t room)
{
    const char *const open = strchr(symbol, '(');
    const size_t bytes = open != NULL ? strcspn(open + 1, "+)") : 0;
    if (bytes != 0) {
        snprintf(text, room, "%.*s", (int)bytes, open + 1);
        return;
    }
    const char *const slash = strrchr(symbol, '/');
    snprintf(text, room, "%s", slash != NULL ? slash + 1 : symbol);
}

void hl_backtrace_print(void *const *frames, uint32_t count, char *text, size_t room)
{
    char **const symbols = backtrace_symbols(frames, (int)count);
    size_t used = 0;
    text[0] = '\0';
    for (uint32_t i = 0; symbols != NULL && i < count && used + 4 < room; i++) {
        char name[128];
        shorten(symbols[i], name, sizeof name);
        const int written = snprintf(text + used, room - used, "%s%s", i == 0 ? "" : " < ", name);
        used += written > 0 ? (size_t)written : 0;
    }
    free(symbols);
}
