#include "disruptor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include "base/error.h"

#define START_TIMEOUT_MS 30000
#define SLACK_MS         30000 /* behind the measurement's own time */

struct peer_disruptor {
    pid_t process;
    FILE *requests;
    FILE *answers;
};

/* One line, without its end. HL_SYSTEM: the process has ended or is silent. */
static hl_status read_line(const peer_disruptor *disruptor, int timeout_ms, char *ret_line,
                           size_t room, hl_error *error)
{
    struct pollfd answers = {.fd = fileno(disruptor->answers), .events = POLLIN};
    const int ready = poll(&answers, 1, timeout_ms);
    if (ready == 0)
        return hl_error_set(error, HL_SYSTEM, "the virtual machine is silent for %d s",
                            timeout_ms / 1000);
    if (ready < 0 || fgets(ret_line, (int)room, disruptor->answers) == NULL)
        return hl_error_set(error, HL_SYSTEM, "the virtual machine has ended");
    ret_line[strcspn(ret_line, "\n")] = '\0';
    return HL_OK;
}

/* ---- pinning: Java knows no CPUs, but names its threads ---- */

static bool read_thread_name(pid_t process, const char *thread, char *ret_name, size_t room)
{
    char path[128];
    snprintf(path, sizeof path, "/proc/%d/task/%.20s/comm", process, thread);
    FILE *const file = fopen(path, "re");
    if (file == NULL)
        return false;
    const bool read = fgets(ret_name, (int)room, file) != NULL;
    fclose(file);
    if (read)
        ret_name[strcspn(ret_name, "\n")] = '\0';
    return read;
}

static hl_status pin_thread(const char *name, pid_t thread, uint32_t cpu, hl_error *error)
{
    cpu_set_t *const set = CPU_ALLOC(cpu + 1);
    const size_t bytes = CPU_ALLOC_SIZE(cpu + 1);
    if (set == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "no memory for a set of %u CPUs", cpu + 1);
    CPU_ZERO_S(bytes, set);
    CPU_SET_S(cpu, bytes, set);
    const bool pinned = sched_setaffinity(thread, bytes, set) == 0;
    CPU_FREE(set);
    return pinned ? HL_OK
                  : hl_error_set(error, HL_SYSTEM, "%s cannot be pinned to CPU %u: %s", name, cpu,
                                 strerror(errno));
}

static hl_status pin_threads(pid_t process, const perf_cores *cores, hl_error *error)
{
    const struct {
        const char *name;
        uint32_t cpu;
    } threads[] = {{"peer-producer", cores->publisher},
                   {"peer-consumer", cores->consumer},
                   {"peer-second", cores->consumer}};
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", process);
    DIR *const directory = opendir(path);
    if (directory == NULL)
        return hl_error_set(error, HL_SYSTEM, "%s: %s", path, strerror(errno));
    hl_status status = HL_OK;
    size_t pinned = 0;
    for (const struct dirent *entry; status == HL_OK && (entry = readdir(directory)) != NULL;) {
        char name[32];
        if (entry->d_name[0] == '.' || !read_thread_name(process, entry->d_name, name, sizeof name))
            continue;
        for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) {
            if (status != HL_OK || strcmp(name, threads[i].name) != 0)
                continue;
            status = pin_thread(name, atoi(entry->d_name), threads[i].cpu, error);
            pinned++;
        }
    }
    closedir(directory);
    if (status == HL_OK && pinned != sizeof threads / sizeof *threads)
        status =
            hl_error_set(error, HL_SYSTEM, "%zu of its threads were found to be pinned", pinned);
    return status;
}

/* ---- the process ---- */

#ifdef PEER_DISRUPTOR_CLASSES

/* Its standard input and output become the two ends; its errors are ours. */
static hl_status spawn(peer_disruptor *disruptor, hl_error *error)
{
    static char *const arguments[] = {(char *)"java",
                                      (char *)"-Xms256m",
                                      (char *)"-Xmx256m",
                                      (char *)"-XX:+AlwaysPreTouch",
                                      (char *)"-XX:+UseSerialGC",
                                      (char *)"-cp",
                                      (char *)PEER_DISRUPTOR_CLASSES,
                                      (char *)"PeerDisruptor",
                                      NULL};
    extern char **environ;
    int in[2], out[2];
    if (pipe2(in, O_CLOEXEC) != 0)
        return hl_error_set(error, HL_SYSTEM, "pipe: %s", strerror(errno));
    if (pipe2(out, O_CLOEXEC) != 0) {
        close(in[0]);
        close(in[1]);
        return hl_error_set(error, HL_SYSTEM, "pipe: %s", strerror(errno));
    }
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    const int failure =
        posix_spawnp(&disruptor->process, "java", &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    disruptor->requests = fdopen(in[1], "w");
    disruptor->answers = fdopen(out[0], "r");
    if (failure != 0) {
        disruptor->process = 0;
        return hl_error_set(error, HL_SYSTEM, "java: %s", strerror(failure));
    }
    if (disruptor->requests == NULL || disruptor->answers == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "no memory for its streams");
    /* A virtual machine that ends must not end us. */
    signal(SIGPIPE, SIG_IGN);
    return HL_OK;
}

#else

static hl_status spawn(peer_disruptor *disruptor, hl_error *error)
{
    (void)disruptor;
    return hl_error_set(error, HL_UNSUPPORTED, "it was not there when this was built");
}

#endif

hl_status peer_disruptor_start(const perf_cores *cores, peer_disruptor **ret_disruptor,
                               hl_error *error)
{
    peer_disruptor *const disruptor = hl_allocate(1, sizeof *disruptor);
    if (disruptor == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "no memory for a process");
    hl_status status = spawn(disruptor, error);
    char line[256] = "";
    if (status == HL_OK)
        status = read_line(disruptor, START_TIMEOUT_MS, line, sizeof line, error);
    if (status == HL_OK && strcmp(line, "ready") != 0)
        status = hl_error_set(error, HL_SYSTEM, "the virtual machine says \"%s\"", line);
    if (status == HL_OK)
        status = pin_threads(disruptor->process, cores, error);
    if (status != HL_OK) {
        peer_disruptor_stop(disruptor);
        return status;
    }
    *ret_disruptor = disruptor;
    return HL_OK;
}

void peer_disruptor_stop(peer_disruptor *disruptor)
{
    if (disruptor == NULL)
        return;
    if (disruptor->requests != NULL)
        fclose(disruptor->requests);
    if (disruptor->answers != NULL)
        fclose(disruptor->answers);
    if (disruptor->process != 0) {
        kill(disruptor->process, SIGTERM);
        waitpid(disruptor->process, NULL, 0);
    }
    free(disruptor);
}

/* ---- measuring ---- */

static hl_status read_answer(const char *line, const peer_work *work, double *ret_values,
                             hl_error *error)
{
    json_t *const answer = json_loads(line, 0, NULL);
    double figure = 0, p99 = 0;
    json_int_t wrong = 0, lost = 0;
    const int failure = json_unpack(answer, "{s:F, s:F, s:I, s:I}", "figure", &figure, "p99", &p99,
                                    "wrong", &wrong, "lost", &lost);
    json_decref(answer);
    if (failure != 0)
        return hl_error_set(error, HL_SYSTEM, "the virtual machine says \"%s\"", line);
    if (wrong != 0 || lost != 0)
        return hl_error_set(error, HL_NOT_CONSERVED,
                            "%lld messages came damaged or out of order, %lld did not come",
                            (long long)wrong, (long long)lost);
    ret_values[PEER_FIGURE] = figure;
    ret_values[PEER_FULL_PERCENT] = NAN;
    ret_values[PEER_EMPTY_PERCENT] = NAN;
    ret_values[PEER_DISORDERED] = 0;
    if (work->shape == PEER_ROUND_TRIP)
        ret_values[PEER_P99] = p99;
    return HL_OK;
}

hl_status peer_disruptor_measure(peer_disruptor *disruptor, const peer_work *work,
                                 double *ret_values, hl_error *error)
{
    static const char *const shapes[] = {[PEER_SPSC] = "spsc",
                                         [PEER_MPSC_2P] = "2p",
                                         [PEER_MPSC_3ON2] = "3on2",
                                         [PEER_ROUND_TRIP] = "round_trip"};
    fprintf(disruptor->requests, "%s %u %.0f\n", shapes[work->shape], work->run,
            work->seconds * 1e9);
    if (fflush(disruptor->requests) != 0)
        return hl_error_set(error, HL_SYSTEM, "the virtual machine has ended");
    char line[256];
    const hl_status status =
        read_line(disruptor, (int)(work->seconds * 1e3) + SLACK_MS, line, sizeof line, error);
    return status == HL_OK ? read_answer(line, work, ret_values, error) : status;
}
