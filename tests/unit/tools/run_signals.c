/* A run whose main thread hangs: the second signal ends it, with its last words. */
#include "run_signals.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"

static int pipe_ends[2];

static void report(void *context)
{
    (void)context;
    cr_assert_eq(write(pipe_ends[1], "report", 6), 6);
}

/* In the child: says "1" when it has seen the first signal, and hangs. */
static void hang(void)
{
    hl_config config = HL_CONFIG_INIT;
    hl_error error;
    config.threads = HL_THREADS_MANUAL;
    run_signals signals = {.report = report};
    run_signals_block();
    if (hl_bus_create(&config, &signals.bus, &error) != HL_OK ||
        hl_bus_start(signals.bus) != HL_OK || run_signals_start(&signals, &error) != HL_OK ||
        write(pipe_ends[1], "0", 1) != 1)
        _exit(99);
    while (!run_signals_any(&signals))
        usleep(1000);
    if (write(pipe_ends[1], "1", 1) != 1)
        _exit(99);
    for (;;)
        pause();
}

static void expect(const char *words)
{
    char seen[16] = "";
    for (size_t i = 0; i < strlen(words); i++)
        cr_assert_eq(read(pipe_ends[0], &seen[i], 1), 1);
    cr_assert_str_eq(seen, words);
}

Test(run_signals, a_second_one_ends_at_once_with_the_report, .timeout = 120)
{
    int status = 0;
    cr_assert_eq(pipe(pipe_ends), 0);
    const pid_t child = fork();
    if (child == 0)
        hang();
    expect("0");
    kill(child, SIGTERM);
    expect("1");
    kill(child, SIGINT);
    expect("report");
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status));
    cr_assert_eq(WEXITSTATUS(status), HL_EXIT_FAILED);
}
