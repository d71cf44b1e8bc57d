#include "affinity/host.h"

#include <unistd.h>

#include "captured.h"

#define NOBODY 65534

TestSuite(host, .init = captured_make, .fini = captured_unmake);

static void expect_refused(const char *root, const char *words)
{
    hl_host *host = NULL;
    hl_error error = {0};
    cr_expect_eq(hl_host_open(root, &host, &error), HL_BAD_INPUT);
    cr_expect_not_null(strstr(error.text, words), "%s", error.text);
    cr_expect_null(host);
}

Test(host, a_folder_that_is_no_capture_is_refused_in_words)
{
    expect_refused("/nowhere/at/all", "/nowhere/at/all: No such file");
    expect_refused("", "name is empty");
    rmdir(captured_path("/sys"));
    expect_refused(captured_root, "/sys: No such file");
}

Test(host, a_capture_that_lost_a_file_is_refused_with_its_name)
{
    captured_write("/hotlane/manifest", "/proc/version\n/proc/stat\n/run/irqbalance/\n");
    captured_write("/proc/version", "Linux\n");
    expect_refused(captured_root, "/proc/stat is missing");
    captured_write("/proc/stat", "cpu 1\n");
    expect_refused(captured_root, "/run/irqbalance/ is missing");
    captured_path("/run/irqbalance/");
    hl_host_close(captured_open());
}

Test(host, texts_are_trimmed_and_kept_until_the_end)
{
    captured_write("/proc/version", "Linux 6.1\n\n");
    hl_host *const host = captured_open();
    cr_expect_not(hl_host_is_live(host));
    hl_host_outcome outcome;
    const char *const text = hl_host_text(host, &outcome, "/proc/%s", "version");
    cr_expect_str_eq(text, "Linux 6.1");
    cr_expect_eq(outcome, HL_HOST_READ);
    captured_write("/proc/version", "changed\n");
    cr_expect_eq(hl_host_text(host, NULL, "/proc/version"), text, "one look a file");
    cr_expect_null(hl_host_text(host, &outcome, "/proc/other"));
    cr_expect_eq(outcome, HL_HOST_ABSENT);
    hl_host_close(host);
}

Test(host, what_may_not_be_read_is_told_from_what_is_not_there)
{
    captured_write("/proc/secret", "x");
    chmod(captured_path("/proc/secret"), 0);
    /* Root may read everything: the test gives that up for as long as it looks. */
    const bool is_root = geteuid() == 0;
    if (is_root && (chown(captured_root, NOBODY, NOBODY) != 0 ||
                    chown(captured_path("/proc"), NOBODY, NOBODY) != 0 ||
                    chown(captured_path("/sys"), NOBODY, NOBODY) != 0 || seteuid(NOBODY) != 0)) {
        captured_unmake(); /* a test that is skipped is not tidied up after */
        cr_skip_test("the superuser may read everything, and may not be another here");
    }
    hl_host *const host = captured_open();
    hl_host_outcome denied, absent;
    cr_expect_null(hl_host_text(host, &denied, "/proc/secret"));
    cr_expect_null(hl_host_text(host, &absent, "/proc/nothing"));
    hl_host_close(host);
    if (is_root)
        cr_assert_eq(seteuid(0), 0);
    cr_expect_eq(denied, HL_HOST_DENIED);
    cr_expect_eq(absent, HL_HOST_ABSENT);
}

Test(host, only_what_is_asked_for_is_kept_of_some_files)
{
    captured_write("/proc/cmdline", "root=/dev/sda1 isolcpus=2-3 secret=1 nohz_full=2\n");
    captured_write("/proc/self/status", "Name:\tx\nCpus_allowed_list:\t0-3\nNoNewPrivs:\t0\n");
    hl_host *const host = captured_open();
    cr_expect_str_eq(hl_host_text_kept(host, NULL, " isolcpus=|nohz_full=", "/proc/cmdline"),
                     "isolcpus=2-3 nohz_full=2");
    cr_expect_str_eq(hl_host_text_kept(host, NULL, HL_HOST_STATUS_LINES, "/proc/self/status"),
                     "Cpus_allowed_list:\t0-3");
    hl_host_close(host);
}

Test(host, a_text_that_is_kept_whole_ends_where_it_ended)
{
    /* Of a size that fills the memory it is read into, so that a step too far is seen. */
    char text[4096];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    captured_write("/proc/cmdline", text);
    hl_host *const host = captured_open();
    cr_expect_str_eq(hl_host_text_kept(host, NULL, " a", "/proc/cmdline"), text);
    hl_host_close(host);
}

Test(host, a_long_file_comes_whole)
{
    char *const text = malloc(300001);
    memset(text, 'a', 300000);
    text[300000] = '\0';
    captured_write("/proc/interrupts", text);
    hl_host *const host = captured_open();
    cr_expect_str_eq(hl_host_text(host, NULL, "/proc/interrupts"), text);
    hl_host_close(host);
    free(text);
}

Test(host, names_numbers_and_lists)
{
    captured_write("/proc/irq/10/smp_affinity_list", "0-1,4\n");
    captured_write("/proc/irq/9/smp_affinity_list", "rubbish\n");
    captured_write("/proc/sys/vm/swappiness", "60\n");
    hl_host *const host = captured_open();
    cr_expect_str_eq(hl_host_names(host, "/proc/irq"), "9\n10\n");
    cr_expect_null(hl_host_names(host, "/proc/none"));
    hl_cpu_set set;
    cr_expect(hl_host_cpus(host, &set, "/proc/irq/%d/smp_affinity_list", 10));
    cr_expect_eq(hl_cpu_set_count(&set), 3);
    cr_expect_not(hl_host_cpus(host, &set, "/proc/irq/9/smp_affinity_list"));
    int64_t number;
    cr_expect(hl_host_number(host, &number, "/proc/sys/vm/swappiness"));
    cr_expect_eq(number, 60);
    cr_expect_not(hl_host_number(host, &number, "/proc/irq/9/smp_affinity_list"));
    hl_host_close(host);
}

static void never(void *context, char *text, size_t size)
{
    (void)context;
    (void)text;
    (void)size;
    cr_assert_fail("a capture computes nothing");
}

Test(host, a_capture_tells_later_readings_and_what_no_file_says)
{
    captured_write("/proc/stat", "cpu 1\n");
    captured_write("/hotlane/later/proc/stat", "cpu 2\n");
    captured_write("/hotlane/vdso", "present\n");
    hl_host *const host = captured_open();
    cr_expect_str_eq(hl_host_text(host, NULL, "/proc/stat"), "cpu 1");
    cr_expect_str_eq(hl_host_text_later(host, "/proc/stat"), "cpu 2");
    cr_expect_str_eq(hl_host_computed(host, "vdso", never, NULL), "present");
    cr_expect_null(hl_host_computed(host, "shm", never, NULL));
    hl_host_close(host);
}

static void append(void *context, const char *path, const char *text)
{
    strcat(strcat(strcat(context, path), "="), text);
    strcat(context, ";");
}

Test(host, each_gives_what_was_read_and_nothing_else)
{
    captured_write("/proc/b", "2");
    captured_write("/proc/a", "1");
    captured_write("/proc/c", "3");
    hl_host *const host = captured_open();
    hl_host_text(host, NULL, "/proc/b");
    hl_host_text(host, NULL, "/proc/a");
    hl_host_text(host, NULL, "/proc/none");
    char all[256] = "";
    hl_host_each(host, append, all);
    cr_expect_str_eq(all, "/proc/a=1;/proc/b=2;");
    hl_host_close(host);
}

Test(host, this_machine_is_live)
{
    hl_host *host = NULL;
    cr_assert_eq(hl_host_open(NULL, &host, NULL), HL_OK);
    cr_expect(hl_host_is_live(host));
    cr_expect_str_eq(hl_host_root(host), "");
    cr_expect_not_null(hl_host_text(host, NULL, "/proc/self/status"));
    hl_host_close(host);
    hl_host_close(NULL);
}
