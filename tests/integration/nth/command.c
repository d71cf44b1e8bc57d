/*
 * The scenario of the command: `hotlane run`, linked with the shim (command_shim.c), as a process.
 */
#include "command.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>

#include "scenario.h"

#define EVENTS "400"

/* Small segments, which cost least to make; where the command reads configurations. */
static void write_config(const char *path)
{
    FILE *const file = fopen(path, "w");
    if (file == NULL || fputs("journal_segment_bytes: 65536\n", file) < 0 || fclose(file) != 0)
        _exit(125);
}

static void run_command(const nth_run *run, const char *result, const char *words)
{
    char journal[600], letters[600], config[600], n[32], kind[32];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(journal, sizeof journal, "%s/journal", run->directory);
    snprintf(letters, sizeof letters, "%s/letters.dlq", run->directory);
    snprintf(config, sizeof config, "%s/small.yaml", run->directory);
    snprintf(n, sizeof n, "%llu", (unsigned long long)run->n);
    snprintf(kind, sizeof kind, "%d", (int)run->kind);
    setenv(NTH_ENV_N, n, 1);
    setenv(NTH_ENV_KIND, kind, 1);
    setenv(NTH_ENV_RESULT, result, 1);
    if (freopen("/dev/null", "w", stdout) == NULL || freopen(words, "w", stderr) == NULL)
        _exit(126);
    write_config(config);
    execl(NTH_COMMAND, "hotlane", "run", "--limit", EVENTS, "--journal", journal, "--durability",
          "order=sync,fill=async", "--dlq", letters, "--recover", "--json", "--log", "nothing",
          NTH_YAML ? "--config" : (char *)NULL, config, (char *)NULL);
    _exit(127);
}

static size_t read_all(const char *path, void *into, size_t room)
{
    FILE *const file = fopen(path, "r");
    const size_t bytes = file != NULL ? fread(into, 1, room, file) : 0;
    if (file != NULL)
        fclose(file);
    return bytes;
}

void nth_play_command(nth_run *run)
{
    char result_path[600], words_path[600], words[2048] = "";
    nth_result result = {0};
    snprintf(result_path, sizeof result_path, "%s/result", run->directory);
    snprintf(words_path, sizeof words_path, "%s/words", run->directory);
    const pid_t command = fork();
    if (command == 0)
        run_command(run, result_path, words_path);
    int outcome = 0;
    waitpid(command, &outcome, 0);
    read_all(words_path, words, sizeof words - 1);
    if (read_all(result_path, &result, sizeof result) != sizeof result)
        nth_broken(run, "it ended by %s %d without a word of the shim: %s",
                   WIFSIGNALED(outcome) ? "signal" : "exit",
                   WIFSIGNALED(outcome) ? WTERMSIG(outcome) : WEXITSTATUS(outcome), words);
    run->is_apart = true;
    memcpy(run->calls, result.calls, sizeof run->calls);
    run->fired = result.fired;
    if (!WIFEXITED(outcome) || WEXITSTATUS(outcome) > 2)
        nth_broken(run, "it ended with %#x: %s", (unsigned)outcome, words);
    run->harmed = WEXITSTATUS(outcome) != 0;
    if (run->harmed && !run->fired)
        nth_broken(run, "it failed though nothing failed: %s", words);
    const char *const sentence = strstr(words, "hotlane run: ");
    if (run->harmed && (sentence == NULL || strlen(sentence) < strlen("hotlane run: ") + 10))
        nth_broken(run, "exit %d without a sentence: \"%s\"", WEXITSTATUS(outcome), words);
    if (strstr(words, "conserv") != NULL)
        nth_broken(run, "%s", words);
    if (result.blocks != 0 || result.mapped_bytes != 0)
        nth_broken(run, "left behind: %llu blocks, %llu mapped bytes\n%s",
                   (unsigned long long)result.blocks, (unsigned long long)result.mapped_bytes,
                   words);
    if (run->harmed && getenv("HOTLANE_VERBOSE") != NULL)
        fputs(words, stderr);
}
