/*
 * Runs LLVMFuzzerTestOneInput where the compiler has no libFuzzer: each file of the corpus as it
 * is, then changed ones, by a seeded generator, for a time. It knows nothing of coverage.
 *
 *     FUZZ [--seconds N] [--seed N] FILE-OR-DIRECTORY...
 *
 * An input that ends the process is written to fuzz-crash-SEED-NUMBER in the working directory;
 * give that file to run it again.
 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/random.h"

#define INPUT_MAX  (1u << 20)
#define CORPUS_MAX 1024

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct sample {
    uint8_t *bytes;
    size_t size;
} sample;

static sample corpus[CORPUS_MAX];
static size_t corpus_count;
static uint64_t state;
static uint8_t input[INPUT_MAX];
static size_t input_size;
static char crash_path[128];

static uint64_t draw(uint64_t below)
{
    return random_below(&state, below);
}

static void add_file(const char *path)
{
    FILE *const file = fopen(path, "rb");
    if (file == NULL || corpus_count == CORPUS_MAX) {
        fprintf(stderr, "%s: cannot be read\n", path);
        exit(2);
    }
    sample *const added = &corpus[corpus_count++];
    added->bytes = malloc(INPUT_MAX);
    added->size = added->bytes == NULL ? 0 : fread(added->bytes, 1, INPUT_MAX, file);
    fclose(file);
}

static void add(const char *path)
{
    DIR *const directory = opendir(path);
    if (directory == NULL) {
        add_file(path);
        return;
    }
    char inside[4096];
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(inside, sizeof inside, "%.3500s/%.500s", path, entry->d_name);
        add_file(inside);
    }
    closedir(directory);
}

/* Only calls that a signal handler may make. */
static void write_crash(int number)
{
    const int file = open(crash_path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (file >= 0 && write(file, input, input_size) == (ssize_t)input_size)
        close(file);
    signal(number, SIG_DFL);
    raise(number);
}

static void change_once(void)
{
    static const uint64_t telling[] = {0,          1,          7,          8,         63,
                                       64,         0x7f,       0xff,       0x7fff,    0xffff,
                                       0x0fffffff, 0x7fffffff, 0xffffffff, INT64_MAX, UINT64_MAX};
    const size_t at = input_size == 0 ? 0 : (size_t)draw(input_size);
    const size_t rest = input_size - at;
    const sample *const other = &corpus[draw(corpus_count)];
    switch (draw(7)) {
    case 0:
        if (rest > 0)
            input[at] ^= (uint8_t)(1u << draw(8));
        break;
    case 1:
        if (rest > 0)
            input[at] = (uint8_t)draw(256);
        break;
    case 2: { /* a number that often is too large or too small, where numbers stand */
        const uint64_t value = telling[draw(sizeof telling / sizeof *telling)];
        const size_t size = (size_t)1 << draw(4);
        const size_t place = at / 8 * 8 + 1; /* behind the byte that chooses */
        if (place + size <= input_size)
            memcpy(input + place, &value, size);
        break;
    }
    case 3: /* cut */
        input_size = at;
        break;
    case 4: /* take out */
        if (rest > 1) {
            const size_t size = 1 + (size_t)draw(rest < 64 ? rest : 64);
            memmove(input + at, input + at + size, rest - size);
            input_size -= size;
        }
        break;
    case 5: /* repeat */
        if (rest > 0) {
            const size_t size = 1 + (size_t)draw(rest < 256 ? rest : 256);
            if (input_size + size <= INPUT_MAX) {
                memmove(input + at + size, input + at, rest);
                input_size += size;
            }
        }
        break;
    default: /* a piece of another */
        if (other->size > at && rest > 0) {
            const size_t most = other->size - at < rest ? other->size - at : rest;
            memcpy(input + at, other->bytes + at, 1 + (size_t)draw(most));
        }
    }
}

static void make_input(void)
{
    const sample *const base = &corpus[draw(corpus_count)];
    memcpy(input, base->bytes, base->size);
    input_size = base->size;
    for (uint64_t changes = 1 + draw(6); changes > 0; changes--)
        change_once();
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

int main(int argc, char **argv)
{
    double seconds = 0;
    uint64_t seed = (uint64_t)time(NULL) << 20 ^ (uint64_t)getpid();
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc)
            seconds = atof(argv[++i]);
        else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
            seed = strtoull(argv[++i], NULL, 10);
        else
            add(argv[i]);
    }
    if (corpus_count == 0) {
        fputs("name a corpus: files or directories\n", stderr);
        return 2;
    }
    state = seed;
    signal(SIGSEGV, write_crash);
    signal(SIGBUS, write_crash);
    signal(SIGABRT, write_crash);
    signal(SIGFPE, write_crash);
    uint64_t runs = 0;
    for (size_t i = 0; i < corpus_count; i++) {
        memcpy(input, corpus[i].bytes, corpus[i].size);
        input_size = corpus[i].size;
        snprintf(crash_path, sizeof crash_path, "fuzz-crash-corpus-%zu", i);
        LLVMFuzzerTestOneInput(input, input_size);
    }
    for (const double end = now() + seconds; now() < end; runs++) {
        snprintf(crash_path, sizeof crash_path, "fuzz-crash-%" PRIu64 "-%" PRIu64, seed, runs);
        make_input();
        LLVMFuzzerTestOneInput(input, input_size);
    }
    printf("%" PRIu64 " changed inputs from %zu, seed %" PRIu64 "\n", runs, corpus_count, seed);
    for (size_t i = 0; i < corpus_count; i++)
        free(corpus[i].bytes);
    return 0;
}
