#include "environment.h"

#include <inttypes.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <time.h>

#include <hotlane/version.h>

#include "base/error.h"

#if !defined(PERF_BUILD_FLAGS)
#error "perf/meson.build gives the flags of the build"
#endif

hl_status perf_environment_refuse_debug(hl_error *error)
{
#if !defined(__OPTIMIZE__) || defined(PERF_NOT_OPTIMISED)
    return hl_error_set(error, HL_UNSUPPORTED,
                        "this build is not optimised, its figures would mean nothing: "
                        "meson setup --buildtype=release");
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(PERF_SANITIZED)
    return hl_error_set(error, HL_UNSUPPORTED,
                        "this build has sanitizers, its figures would mean nothing: "
                        "meson setup --buildtype=release -Db_sanitize=none");
#elif defined(HL_DEBUG_OWNER)
    return hl_error_set(error, HL_UNSUPPORTED,
                        "this build checks the owners of rings, its figures would mean nothing: "
                        "build without -DHL_DEBUG_OWNER");
#else
    (void)error;
    return HL_OK;
#endif
}

/* The first line of a file, without its end; empty when it cannot be read. */
static void read_line(const char *path, char *ret_line, size_t room)
{
    ret_line[0] = '\0';
    FILE *const file = fopen(path, "re");
    if (file == NULL)
        return;
    if (fgets(ret_line, (int)room, file) != NULL)
        ret_line[strcspn(ret_line, "\n")] = '\0';
    fclose(file);
}

/* "model name" and the flag "hypervisor" of the first CPU. */
static void read_cpu(perf_environment *environment)
{
    snprintf(environment->cpu, sizeof environment->cpu, "not shown");
    FILE *const file = fopen("/proc/cpuinfo", "re");
    if (file == NULL)
        return;
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, file) > 1) { /* the first CPU's part ends with an empty line */
        char *const value = strstr(line, ": ");
        if (value == NULL)
            continue;
        value[strcspn(value, "\n")] = '\0';
        if (strncmp(line, "model name", 10) == 0)
            snprintf(environment->cpu, sizeof environment->cpu, "%s", value + 2);
        else if (strncmp(line, "flags", 5) == 0)
            environment->virtual_machine = strstr(value, " hypervisor") != NULL;
    }
    free(line);
    fclose(file);
}

/* proc(5): "cpuN" user nice system idle iowait irq softirq steal ...; of the two CPUs that are
 * measured: those of a large machine would hide what is stolen of them. */
static bool read_ticks(const perf_cores *cores, uint64_t *ret_stolen, uint64_t *ret_total)
{
    FILE *const file = fopen("/proc/stat", "re");
    if (file == NULL)
        return false;
    uint64_t stolen = 0, total = 0;
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, file) > 0) {
        unsigned cpu;
        uint64_t ticks[8];
        if (sscanf(line,
                   "cpu%u %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
                   " %" SCNu64 " %" SCNu64,
                   &cpu, &ticks[0], &ticks[1], &ticks[2], &ticks[3], &ticks[4], &ticks[5],
                   &ticks[6], &ticks[7]) != 9 ||
            (cpu != cores->publisher && cpu != cores->consumer))
            continue;
        stolen += ticks[7];
        for (size_t i = 0; i < 8; i++)
            total += ticks[i];
    }
    free(line);
    fclose(file);
    *ret_stolen = stolen;
    *ret_total = total;
    return total != 0;
}

/* Threads inherit it. sched(7). */
static void read_scheduler(perf_environment *environment)
{
    struct sched_param param = {0};
    const int policy = sched_getscheduler(0);
    sched_getparam(0, &param);
    if (policy == SCHED_FIFO || policy == SCHED_RR)
        snprintf(environment->scheduler, sizeof environment->scheduler, "%s %d",
                 policy == SCHED_FIFO ? "SCHED_FIFO" : "SCHED_RR", param.sched_priority);
    else
        snprintf(environment->scheduler, sizeof environment->scheduler, "nice %d",
                 getpriority(PRIO_PROCESS, 0));
}

static void read_kernel(perf_environment *environment)
{
    struct utsname name;
    if (uname(&name) == 0)
        snprintf(environment->kernel, sizeof environment->kernel, "%.80s %.80s %.80s", name.sysname,
                 name.release, name.version);
    read_line("/proc/cmdline", environment->command_line, sizeof environment->command_line);
}

static void read_governor(uint32_t cpu, char *ret_name, size_t room)
{
    char path[96];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%u/cpufreq/scaling_governor", cpu);
    read_line(path, ret_name, room);
    if (ret_name[0] == '\0')
        snprintf(ret_name, room, "none shown");
}

static void read_governors(perf_environment *environment)
{
    char of_publisher[24], of_consumer[24];
    read_governor(environment->cores.publisher, of_publisher, sizeof of_publisher);
    read_governor(environment->cores.consumer, of_consumer, sizeof of_consumer);
    if (strcmp(of_publisher, of_consumer) == 0)
        snprintf(environment->governor, sizeof environment->governor, "%s", of_publisher);
    else
        snprintf(environment->governor, sizeof environment->governor, "%s, the consumer's %s",
                 of_publisher, of_consumer);
}

void perf_environment_begin(const perf_cores *cores, perf_environment *ret_environment)
{
    perf_environment *const environment = ret_environment;
    *environment = (perf_environment){.cores = *cores, .steal_percent = -1};
    read_cpu(environment);
    read_kernel(environment);
    read_governors(environment);
    read_scheduler(environment);
#if defined(__clang__)
    snprintf(environment->compiler, sizeof environment->compiler, "clang %s", __clang_version__);
#else
    snprintf(environment->compiler, sizeof environment->compiler, "gcc %s", __VERSION__);
#endif
    snprintf(environment->flags, sizeof environment->flags, "%s", PERF_BUILD_FLAGS);
    snprintf(environment->library, sizeof environment->library, "%s", hl_version_text());
    const time_t now = time(NULL);
    struct tm utc;
    strftime(environment->started, sizeof environment->started, "%Y-%m-%dT%H:%M:%SZ",
             gmtime_r(&now, &utc));
    if (getloadavg(&environment->load_1min, 1) != 1)
        environment->load_1min = 0;
    if (!read_ticks(cores, &environment->stolen_ticks, &environment->total_ticks))
        environment->total_ticks = 0;
}

void perf_environment_end(perf_environment *environment)
{
    uint64_t stolen, total;
    if (environment->total_ticks == 0 || !read_ticks(&environment->cores, &stolen, &total) ||
        total <= environment->total_ticks)
        return;
    environment->steal_percent = 100.0 * (double)(stolen - environment->stolen_ticks) /
                                 (double)(total - environment->total_ticks);
}

void perf_environment_print(const perf_environment *environment, FILE *stream)
{
    const perf_cores *const cores = &environment->cores;
    fprintf(stream, "cpu        %s%s, %u usable\n", environment->cpu,
            environment->virtual_machine ? " (virtual machine)" : "", cores->allowed);
    fprintf(stream,
            "cores      publisher on CPU %u, consumer on CPU %u (%s; %s); the bus's housekeeper on "
            "CPU %u\n",
            cores->publisher, cores->consumer, cores->relation,
            cores->named ? "named" : "chosen: --cores names others", cores->housekeeper);
    fprintf(stream, "kernel     %s\n", environment->kernel);
    fprintf(stream, "cmdline    %s\n",
            environment->command_line[0] == '\0' ? "not readable" : environment->command_line);
    fprintf(stream, "governor   %s\n", environment->governor);
    fprintf(stream, "scheduler  %s\n", environment->scheduler);
    fprintf(stream, "compiler   %s, %s\n", environment->compiler, environment->flags);
    fprintf(stream, "hotlane    %s, measured %s\n", environment->library, environment->started);
    fprintf(stream, "load       %.2f when it began (1 minute)\n", environment->load_1min);
    if (environment->steal_percent < 0)
        fputs("steal      not shown\n", stream);
    else
        fprintf(stream, "steal      %.2f %% of the time of these CPUs in the run\n",
                environment->steal_percent);
}

json_t *perf_environment_json(const perf_environment *environment)
{
    const perf_cores *const cores = &environment->cores;
    json_t *const object = json_pack(
        "{s:s, s:b, s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:f}", "cpu", environment->cpu,
        "virtual_machine", (int)environment->virtual_machine, "cpus_usable", (int)cores->allowed,
        "kernel", environment->kernel, "kernel_command_line", environment->command_line, "governor",
        environment->governor, "scheduler", environment->scheduler, "compiler",
        environment->compiler, "flags", environment->flags, "hotlane", environment->library,
        "started", environment->started, "load_1min", environment->load_1min);
    json_object_set_new(object, "cores",
                        json_pack("{s:i, s:i, s:i, s:s, s:b}", "publisher", (int)cores->publisher,
                                  "consumer", (int)cores->consumer, "housekeeper",
                                  (int)cores->housekeeper, "relation", cores->relation, "named",
                                  (int)cores->named));
    json_object_set_new(object, "steal_percent",
                        environment->steal_percent < 0 ? json_null()
                                                       : json_real(environment->steal_percent));
    return object;
}
