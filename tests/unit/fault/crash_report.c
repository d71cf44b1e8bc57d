/* Children that crash in a handler; what they say before, and how they end. */
#include <hotlane/crash.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../bus/manual_bus.h"

/* So many handlers more are installed, and the one after them is not; -1: all are. */
static int fails_after = -1;

int sigaction(int number, const struct sigaction *action, struct sigaction *ret_before)
{
    static int (*real)(int, const struct sigaction *, struct sigaction *);
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "sigaction");
    if (action != NULL && fails_after >= 0 && fails_after-- == 0) {
        errno = EINVAL;
        return -1;
    }
    return real(number, action, ret_before);
}

typedef enum way {
    BY_POINTER,
    BY_ABORT,
    BY_SIGNAL /* sent by the process itself */
} way;

static hl_status crash(const hl_event *event, hl_publisher *out, void *context)
{
    (void)out;
    if (value_of(event) != 3)
        return HL_OK;
    switch (*(const way *)context) {
    case BY_POINTER:
        *(volatile int *)(uintptr_t)(value_of(event) * 4) = 1;
        break;
    case BY_ABORT:
        abort();
    case BY_SIGNAL:
        raise(SIGBUS);
        break;
    }
    return HL_OK;
}

static void own_handler(int number)
{
    (void)number;
    _exit(33);
}

static void child(int fd, way how, bool has_own)
{
    hl_error error;
    const struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    for (int i = 0; i < 3; i++) /* the test program's own handlers are not of interest */
        signal((const int[]){SIGSEGV, SIGBUS, SIGABRT}[i], has_own ? own_handler : SIG_DFL);
    hl_bus *const bus = manual_start(NULL);
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.name = "crasher";
    hl_subscribe(bus, "order.new", crash, &how, &options, NULL);
    hl_publisher *const desk = open_publisher(bus, "desk", NULL);
    if (hl_crash_report_enable(bus, fd, &error) != HL_OK)
        _exit(99);
    for (uint64_t value = 1; value <= 3; value++)
        publish(desk, topic(bus, "order.new"), 7, value);
    turn_all(bus);
    _exit(98);
}

/* What the child says to its end, and how that was. */
static int hear(pid_t pid, const int ends[2], char *text, size_t room)
{
    int status = 0;
    close(ends[1]);
    size_t used = 0;
    ssize_t more;
    while ((more = read(ends[0], text + used, room - 1 - used)) > 0)
        used += (size_t)more;
    text[used] = '\0';
    close(ends[0]);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return status;
}

static int run(way how, bool has_own, char *text, size_t room)
{
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    const pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]); /* who says more than is heard dies of it */
        child(ends[1], how, has_own);
    }
    return hear(pid, ends, text, room);
}

Test(crash_report, the_last_words_name_the_handler_and_the_event)
{
    static const struct {
        way how;
        int number;
        const char *name;
    } ways[] = {{BY_POINTER, SIGSEGV, "SIGSEGV"},
                {BY_ABORT, SIGABRT, "SIGABRT"},
                {BY_SIGNAL, SIGBUS, "SIGBUS"}};
    for (size_t i = 0; i < 3; i++) {
        char text[8192];
        const int status = run(ways[i].how, false, text, sizeof text);
        cr_assert(WIFSIGNALED(status), "%s", text);
        cr_assert_eq(WTERMSIG(status), ways[i].number, "it dies as it would have");
        cr_assert_not_null(strstr(text, ways[i].name));
        cr_assert_not_null(strstr(text, "in the handler of crasher"), "%s", text);
        cr_assert_not_null(strstr(text, "sequence 3, topic order.new, key 7, attempt 0"), "%s",
                           text);
        cr_assert_not_null(strstr(text, "crashed on executor order"), "%s", text);
        cr_assert_not_null(strstr(text, "delivered 3, handled 2"), "%s", text);
        cr_assert_not_null(strstr(text, "hotlane: executor market_data: events 0"), "%s", text);
    }
}

Test(crash_report, the_handler_that_was_there_before_is_called)
{
    for (int i = 0; i < 3; i++) {
        char text[8192];
        const int status = run((way)i, true, text, sizeof text);
        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 33, "%d: %s", i, text);
        cr_assert_not_null(strstr(text, "in the handler of crasher"));
    }
}

/* ---- two at once ---- */

static void *crash_first(void *ret_thread)
{
    *(_Atomic pid_t *)ret_thread = gettid();
    raise(SIGSEGV); /* its report finds no room in the pipe, and waits */
    return NULL;
}

/* That thread of this process has nothing to do but to wait. */
static bool sleeps(pid_t thread)
{
    char path[64], state = '?';
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)thread);
    FILE *const file = fopen(path, "re");
    if (file != NULL && fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
        state = '?';
    if (file != NULL)
        fclose(file);
    return state == 'S';
}

/* Two threads crash, the second one while the first one's report is stuck; `begun` is told when. */
static void crash_twice(int report, int begun)
{
    hl_error error;
    pthread_t first;
    _Atomic pid_t thread = 0;
    char filling[4096] = "";
    const struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    signal(SIGSEGV, SIG_DFL);
    signal(SIGBUS, SIG_DFL);
    hl_bus *const bus = manual_start(NULL);
    fcntl(report, F_SETPIPE_SZ, (int)sizeof filling);
    fcntl(report, F_SETFL, O_NONBLOCK);
    while (write(report, filling, sizeof filling) > 0) {
    }
    fcntl(report, F_SETFL, 0);
    if (hl_crash_report_enable(bus, report, &error) != HL_OK)
        _exit(99);
    pthread_create(&first, NULL, crash_first, &thread);
    while (thread == 0 || !sleeps(thread))
        sched_yield();
    if (write(begun, "b", 1) == 1)
        raise(SIGBUS);
    _exit(98);
}

Test(crash_report, who_crashes_meanwhile_lets_the_first_ones_words_be_said)
{
    static char text[1 << 20];
    int report[2], begun[2], status = 0;
    size_t used = 0;
    char byte;
    cr_assert(pipe(report) == 0 && pipe(begun) == 0);
    const pid_t pid = fork();
    if (pid == 0)
        crash_twice(report[1], begun[1]);
    close(report[1]);
    close(begun[1]);
    cr_assert_eq(read(begun[0], &byte, 1), 1);
    usleep(50000);
    for (ssize_t more; (more = read(report[0], text + used, sizeof text - 1 - used)) > 0;)
        used += (size_t)more;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFSIGNALED(status));
    /* What filled the pipe was zeros. */
    const char *const said = memmem(text, used, "hotlane: signal", strlen("hotlane: signal"));
    cr_assert_not_null(said);
    cr_assert_not_null(strstr(said, "SIGSEGV"), "%s", said);
    cr_assert_null(strstr(said, "SIGBUS"), "one report a process: %s", said);
    cr_assert_not_null(strstr(said, "executor account: events 0"), "to its end: %s", said);
    close(report[0]);
    close(begun[0]);
}

Test(crash_report, afterwards_the_handlers_are_as_before)
{
    hl_bus *const bus = manual_start(NULL);
    hl_error error;
    struct sigaction first, last;
    sigaction(SIGBUS, NULL, &first);
    cr_assert_eq(hl_crash_report_enable(bus, 2, &error), HL_OK);
    cr_assert_eq(hl_crash_report_enable(bus, 1, &error), HL_OK, "again, with another fd");
    sigaction(SIGBUS, NULL, &last);
    cr_assert_neq(first.sa_handler, last.sa_handler);
    manual_stop(bus);
    sigaction(SIGBUS, NULL, &last);
    cr_assert_eq(first.sa_handler, last.sa_handler);
    cr_assert_eq(hl_crash_report_enable(NULL, 2, &error), HL_INVALID);
    cr_assert_eq(hl_crash_report_enable((hl_bus *)&error, -1, &error), HL_INVALID);
    hl_crash_report_disable(NULL);
}

/* ---- handlers of others ---- */

static struct sigaction below[2]; /* what each of them passes on to */
static int report_fd;

static void say_and_pass_on(int other, int number, siginfo_t *info, void *context)
{
    if (write(report_fd, other == 0 ? "<first>" : "<second>", other == 0 ? 7 : 8) < 0)
        _exit(97);
    if ((below[other].sa_flags & SA_SIGINFO) != 0)
        below[other].sa_sigaction(number, info, context);
    else
        below[other].sa_handler(number);
}

static void first_other(int number, siginfo_t *info, void *context)
{
    say_and_pass_on(0, number, info, context);
}

static void second_other(int number, siginfo_t *info, void *context)
{
    say_and_pass_on(1, number, info, context);
}

static void install_other(int other)
{
    struct sigaction action = {.sa_sigaction = other == 0 ? first_other : second_other,
                               .sa_flags = SA_SIGINFO};
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &below[other]);
}

/* Enables, and disables and enables again after each of the others was installed. */
static void crash_below_others(int fd, int others)
{
    hl_error error;
    hl_bus *const bus = manual_start(NULL);
    report_fd = fd;
    signal(SIGBUS, own_handler);
    hl_crash_report_enable(bus, fd, &error);
    for (int i = 0; i < others; i++) {
        install_other(i);
        hl_crash_report_disable(bus);
        if (hl_crash_report_enable(bus, fd, &error) != HL_OK)
            _exit(99);
    }
    raise(SIGBUS);
    _exit(98);
}

static uint32_t count(const char *text, const char *what)
{
    uint32_t found = 0;
    for (; (text = strstr(text, what)) != NULL; text++)
        found++;
    return found;
}

Test(crash_report, a_handler_that_was_installed_in_between_is_called_once_and_those_before_it_too)
{
    for (int others = 0; others <= 2; others++) {
        char text[8192];
        int ends[2];
        cr_assert_eq(pipe(ends), 0);
        const pid_t pid = fork();
        if (pid == 0) {
            close(ends[0]);
            crash_below_others(ends[1], others);
        }
        const int status = hear(pid, ends, text, sizeof text);
        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 33, "the first of all: %s", text);
        cr_assert_eq(count(text, "hotlane: signal"), 1, "%s", text);
        cr_assert_eq(count(text, "<first>"), others > 0, "%s", text);
        cr_assert_eq(count(text, "<second>"), others > 1, "%s", text);
    }
}

Test(crash_report, one_that_was_above_and_is_gone_leaves_nothing_behind)
{
    hl_bus *const bus = manual_start(NULL);
    hl_error error;
    struct sigaction first, last;
    sigaction(SIGBUS, NULL, &first);
    for (int i = 0; i < 20; i++) {
        cr_assert_eq(hl_crash_report_enable(bus, 2, &error), HL_OK, "%s", error.text);
        install_other(0);
        hl_crash_report_disable(bus);
        sigaction(SIGBUS, NULL, &last);
        cr_assert_eq(last.sa_sigaction, first_other, "it is not ours to remove");
        cr_assert_eq(hl_crash_report_enable(bus, 2, &error), HL_OK, "%s", error.text);
        hl_crash_report_disable(bus);
        sigaction(SIGBUS, NULL, &last);
        cr_assert_eq(last.sa_sigaction, first_other);
        sigaction(SIGBUS, &below[0], NULL); /* it goes: the report's lies there, disabled */
        cr_assert_eq(hl_crash_report_enable(bus, 2, &error), HL_OK, "%s", error.text);
        hl_crash_report_disable(bus);
        sigaction(SIGBUS, NULL, &last);
        cr_assert_eq(first.sa_handler, last.sa_handler);
    }
    manual_stop(bus);
}

Test(crash_report, where_one_handler_cannot_be_installed_none_is)
{
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGABRT};
    hl_bus *const bus = manual_start(NULL);
    hl_error error = {.text = ""};
    struct sigaction first[3], last;
    for (int i = 0; i < 3; i++)
        sigaction(numbers[i], NULL, &first[i]);
    for (int most = 0; most < 3; most++) {
        fails_after = most;
        cr_assert_eq(hl_crash_report_enable(bus, 2, &error), HL_SYSTEM);
        cr_assert_not_null(strstr(error.text, "refuses signal handlers"));
        for (int i = 0; i < 3; i++) {
            sigaction(numbers[i], NULL, &last);
            cr_assert_eq(first[i].sa_handler, last.sa_handler, "%d after %d", i, most);
        }
    }
    cr_assert_eq(hl_crash_report_enable(bus, 2, &error), HL_OK);
    manual_stop(bus);
}
