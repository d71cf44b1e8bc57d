/*
 * The picture as a file, and as PNG through whatever converter there is.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "topology_report.h"

static hl_status refuse(const char *path, hl_error *error)
{
    return hl_error_set(error, HL_SYSTEM, "%s cannot be written: %s", path, strerror(errno));
}

hl_status topology_write_svg(const topology_report *report, const char *path, hl_error *error)
{
    if (strcmp(path, "-") == 0)
        return topology_svg(report, stdout) && fflush(stdout) == 0 ? HL_OK
                                                                   : refuse("stdout", error);
    FILE *const stream = fopen(path, "we");
    if (stream == NULL)
        return refuse(path, error);
    const bool whole = topology_svg(report, stream);
    return fclose(stream) == 0 && whole ? HL_OK : refuse(path, error);
}

/* Runs a program to its end, without a shell, so that no name of a file is taken for a command.
 * 127: there is no such program. */
static int run_program(char *const *arguments)
{
    const pid_t child = fork();
    if (child == 0) {
        if (freopen("/dev/null", "w", stdout) == NULL)
            _exit(126);
        execvp(arguments[0], arguments);
        _exit(127);
    }
    int outcome = 0;
    if (child < 0 || waitpid(child, &outcome, 0) != child)
        return 126;
    return WIFEXITED(outcome) ? WEXITSTATUS(outcome) : 126;
}

static hl_status convert(char *svg, char *png, hl_error *error)
{
    char rsvg[] = "rsvg-convert", inkscape[] = "inkscape", magick[] = "convert";
    char zoom[] = "--zoom=2", output[] = "-o", type[] = "--export-type=png", density[] = "-density",
         dpi[] = "192", name[4096 + 32];
    snprintf(name, sizeof name, "--export-filename=%s", png);
    char *const converters[][7] = {{rsvg, zoom, output, png, svg, NULL},
                                   {inkscape, type, name, svg, NULL},
                                   {magick, density, dpi, svg, png, NULL}};
    for (size_t i = 0; i < sizeof converters / sizeof converters[0]; i++) {
        const int outcome = run_program(converters[i]);
        if (outcome == 0)
            return HL_OK;
        if (outcome != 127)
            return hl_error_set(error, HL_SYSTEM, "--png: %s could not make %s (exit status %d)",
                                converters[i][0], png, outcome);
    }
    return hl_error_set(error, HL_SYSTEM,
                        "--png: no converter is installed; rsvg-convert (Debian: librsvg2-bin), "
                        "inkscape or ImageMagick is one, or take --svg");
}

hl_status topology_write_png(const topology_report *report, const char *path, hl_error *error)
{
    char svg[] = "/tmp/hotlane-topology-XXXXXX.svg";
    const int file = mkstemps(svg, 4);
    if (file < 0)
        return refuse(svg, error);
    close(file);
    hl_status status = topology_write_svg(report, svg, error);
    char *const png = strdup(path);
    if (status == HL_OK)
        status =
            png != NULL ? convert(svg, png, error) : hl_error_set(error, HL_NO_MEMORY, "no memory");
    free(png);
    unlink(svg);
    return status;
}
