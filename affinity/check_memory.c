/*
 * Checks of memory: what can stop a thread that only reads and writes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <linux/magic.h>

#include "affinity/cgroup.h"
#include "affinity/check_look.h"
#include "affinity/sentence.h"

#define MIB            (1024ull * 1024)
#define HUGE_PAGE      (2 * MIB)
#define SHM_WANTED     (64 * MIB)
#define SWAPPINESS_MAX 10

/* The word in brackets: "always [madvise] never" is "madvise". */
static bool chosen_word(const char *text, char ret_word[32])
{
    const char *const open = text != NULL ? strchr(text, '[') : NULL;
    const char *const close = open != NULL ? strchr(open, ']') : NULL;
    if (close == NULL || close - open > 31)
        return false;
    snprintf(ret_word, 32, "%.*s", (int)(close - open - 1), open + 1);
    return true;
}

static void look_choice(const hl_check_look *look, hl_finding *finding, const char *path,
                        const char *unwanted)
{
    hl_host_outcome outcome;
    char word[32];
    const char *const text = hl_host_text(look->host, &outcome, "%s", path);
    if (text == NULL && outcome == HL_HOST_ABSENT)
        hl_found(finding, HL_CHECK_NOT_APPLICABLE, "this kernel has no %s", path);
    else if (text == NULL)
        hl_found_nothing(finding, outcome, path);
    else if (!chosen_word(text, word))
        hl_found(finding, HL_CHECK_UNKNOWN, "%s holds no choice: \"%.60s\"", path, text);
    else
        hl_found(finding, strcmp(word, unwanted) == 0 ? HL_CHECK_WARN : HL_CHECK_OK, "%s", word);
}

static void look_thp(const hl_check_look *look, hl_finding *finding)
{
    look_choice(look, finding, "/sys/kernel/mm/transparent_hugepage/enabled", "always");
}

static void look_thp_defrag(const hl_check_look *look, hl_finding *finding)
{
    look_choice(look, finding, "/sys/kernel/mm/transparent_hugepage/defrag", "always");
}

static void look_khugepaged(const hl_check_look *look, hl_finding *finding)
{
    char word[32];
    if (chosen_word(hl_host_text(look->host, NULL, "/sys/kernel/mm/transparent_hugepage/enabled"),
                    word) &&
        strcmp(word, "never") == 0)
        hl_found(finding, HL_CHECK_NOT_APPLICABLE, "transparent huge pages are off");
    else
        hl_found_number(look, finding, "/sys/kernel/mm/transparent_hugepage/khugepaged/defrag", 0,
                        0);
}

/* ---- per node ------------------------------------------------------------------------------- */

/* The bytes of rings that the plan puts on a node; 0 when nothing is put there. */
static uint64_t ring_bytes_on(const hl_check_look *look, uint32_t node)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < look->plan->thread_count && look->input->ring_bytes != NULL; i++)
        if (look->plan->threads[i].numa_node == node)
            bytes += look->input->ring_bytes[i];
    return bytes;
}

static bool holds_threads(const hl_check_look *look, uint32_t node)
{
    for (uint32_t i = 0; i < look->plan->thread_count; i++)
        if (look->plan->threads[i].role == HL_ROLE_PARTITION &&
            look->plan->threads[i].numa_node == node)
            return true;
    return false;
}

static void look_huge_pages(const hl_check_look *look, hl_finding *finding)
{
    if (!look->input->wants_huge_pages) {
        hl_found(finding, HL_CHECK_NOT_APPLICABLE, "the configuration wants none");
        return;
    }
    char told[300] = "", mend[400] = "";
    bool seen = false, enough = true;
    for (uint32_t i = 0; i < look->topology->node_count; i++) {
        const uint32_t node = look->topology->nodes[i].os_index;
        int64_t free_pages;
        if (!holds_threads(look, node))
            continue;
        const uint64_t wanted = ring_bytes_on(look, node) / HUGE_PAGE + 1;
        if (!hl_host_number(look->host, &free_pages,
                            "/sys/devices/system/node/node%u/hugepages/hugepages-2048kB/"
                            "free_hugepages",
                            node))
            continue;
        seen = true;
        enough &= (uint64_t)free_pages >= wanted;
        hl_sentence_add(told, sizeof told, "%snode %u: %lld free of %llu wanted",
                        told[0] == '\0' ? "" : ", ", node, (long long)free_pages,
                        (unsigned long long)wanted);
        hl_sentence_add(mend, sizeof mend,
                        "%secho %llu > /sys/devices/system/node/node%u/hugepages/"
                        "hugepages-2048kB/nr_hugepages",
                        mend[0] == '\0' ? "" : "; ", (unsigned long long)wanted, node);
    }
    hl_found_mend(finding, "%s", mend);
    if (!seen)
        hl_found(finding, HL_CHECK_UNKNOWN,
                 "the kernel tells of no 2 MiB pages of the plan's nodes");
    else
        hl_found(finding, enough ? HL_CHECK_OK : HL_CHECK_WARN, "%s", told);
}

static void look_hugetlb_limit(const hl_check_look *look, hl_finding *finding)
{
    char folder[4096];
    for (uint32_t up = 0; hl_cgroup_folder(look->host, "hugetlb", up, folder, sizeof folder);
         up++) {
        const char *limit = hl_host_text(look->host, NULL, "%s/hugetlb.2MB.max", folder);
        if (limit == NULL)
            limit = hl_host_text(look->host, NULL, "%s/hugetlb.2MB.limit_in_bytes", folder);
        if (limit == NULL || strcmp(limit, "max") == 0)
            continue;
        const unsigned long long bytes = strtoull(limit, NULL, 10);
        if (bytes >= 1ull << 60)
            continue;
        uint64_t wanted = 0;
        for (uint32_t i = 0; i < look->topology->node_count; i++)
            wanted += ring_bytes_on(look, look->topology->nodes[i].os_index);
        hl_found(finding, bytes >= wanted ? HL_CHECK_OK : HL_CHECK_WARN, "%llu MiB, %llu wanted",
                 bytes / MIB, (unsigned long long)(wanted / MIB + 1));
        return;
    }
    hl_found(finding, HL_CHECK_OK, "no limit");
}

static void look_node_memory(const hl_check_look *look, hl_finding *finding)
{
    const char *status =
        hl_host_text_kept(look->host, NULL, HL_HOST_STATUS_LINES, "/proc/self/status");
    status = status != NULL ? strstr(status, "Mems_allowed_list:") : NULL;
    hl_cpu_set allowed = {{0}};
    char list[256] = "";
    if (status != NULL)
        snprintf(list, sizeof list, "%.*s", (int)strcspn(status + 18, "\n"), status + 18);
    const bool has_list = status != NULL && hl_cpu_set_parse_list(list, &allowed);
    char told[250] = "";
    bool forbidden = false, scarce = false;
    for (uint32_t i = 0; i < look->topology->node_count; i++) {
        const uint32_t node = look->topology->nodes[i].os_index;
        if (!holds_threads(look, node))
            continue;
        const char *const facts = hl_host_text_kept(
            look->host, NULL, "Node ", "/sys/devices/system/node/node%u/meminfo", node);
        const char *const free = facts != NULL ? strstr(facts, "MemFree:") : NULL;
        const uint64_t free_bytes = free != NULL ? strtoull(free + 8, NULL, 10) * 1024 : 0;
        hl_sentence_add(told, sizeof told, "%snode %u", told[0] == '\0' ? "" : ", ", node);
        if (has_list && !hl_cpu_set_has(&allowed, node)) {
            forbidden = true;
            hl_sentence_add(told, sizeof told, " is not allowed");
        } else if (free != NULL) {
            scarce |= free_bytes < ring_bytes_on(look, node);
            hl_sentence_add(told, sizeof told, ": %llu MiB free",
                            (unsigned long long)(free_bytes / MIB));
        }
    }
    if (!has_list && told[0] == '\0')
        hl_found(finding, HL_CHECK_UNKNOWN, "nothing tells which nodes are allowed");
    else
        hl_found(finding, forbidden || scarce ? HL_CHECK_WARN : HL_CHECK_OK, "%s", told);
}

static void look_balancing(const hl_check_look *look, hl_finding *finding)
{
    if (look->topology->numa_nodes < 2)
        hl_found(finding, HL_CHECK_NOT_APPLICABLE, "one node");
    else
        hl_found_number(look, finding, "/proc/sys/kernel/numa_balancing", 0, 0);
}

static void look_ksm(const hl_check_look *look, hl_finding *finding)
{
    hl_host_outcome outcome;
    if (hl_host_text(look->host, &outcome, "/sys/kernel/mm/ksm/run") == NULL &&
        outcome == HL_HOST_ABSENT)
        hl_found(finding, HL_CHECK_NOT_APPLICABLE, "this kernel does not merge pages");
    else
        hl_found_number(look, finding, "/sys/kernel/mm/ksm/run", 0, 0);
}

static void look_swap(const hl_check_look *look, hl_finding *finding)
{
    hl_host_outcome outcome;
    const char *const swaps = hl_host_text(look->host, &outcome, "/proc/swaps");
    if (swaps == NULL)
        hl_found_nothing(finding, outcome, "/proc/swaps");
    else if (strchr(swaps, '\n') == NULL)
        hl_found(finding, HL_CHECK_OK, "there is no swap");
    else
        hl_found_number(look, finding, "/proc/sys/vm/swappiness", 0, SWAPPINESS_MAX);
}

static void look_memlock(const hl_check_look *look, hl_finding *finding)
{
    if (!look->input->wants_locked_memory) {
        hl_found(finding, HL_CHECK_NOT_APPLICABLE, "the configuration does not lock memory");
        return;
    }
    uint64_t limit, wanted = 0;
    for (uint32_t i = 0; i < look->topology->node_count; i++)
        wanted += ring_bytes_on(look, look->topology->nodes[i].os_index);
    if (hl_has_capability(look->host, HL_CAP_IPC_LOCK))
        hl_found(finding, HL_CHECK_OK, "CAP_IPC_LOCK");
    else if (!hl_process_limit(look->host, "Max locked memory", &limit))
        hl_found_nothing(finding, HL_HOST_ABSENT, "/proc/self/limits");
    else if (limit == UINT64_MAX)
        hl_found(finding, HL_CHECK_OK, "unlimited");
    else
        hl_found(finding, limit >= wanted && limit > 0 ? HL_CHECK_OK : HL_CHECK_WARN,
                 "%.1f MiB; the rings take about %.1f MiB", (double)limit / (double)MIB,
                 (double)wanted / (double)MIB);
}

/* ---- file systems --------------------------------------------------------------------------- */

/* "tmpfs 1024 512": kind, size and room in MiB. */
static void tell_filesystem(void *path, char *text, size_t size)
{
    struct statfs facts;
    if (statfs(path, &facts) != 0)
        return;
    const char *const kind = facts.f_type == TMPFS_MAGIC             ? "tmpfs"
                             : facts.f_type == HUGETLBFS_MAGIC       ? "hugetlbfs"
                             : facts.f_type == EXT4_SUPER_MAGIC      ? "ext4"
                             : facts.f_type == XFS_SUPER_MAGIC       ? "xfs"
                             : facts.f_type == OVERLAYFS_SUPER_MAGIC ? "overlay"
                                                                     : "other";
    const uint64_t block = (uint64_t)facts.f_bsize;
    snprintf(text, size, "%s %llu %llu", kind, (unsigned long long)(facts.f_blocks * block / MIB),
             (unsigned long long)(facts.f_bavail * block / MIB));
}

static bool filesystem(hl_host *host, char *path, char ret_kind[32], unsigned long long *ret_size,
                       unsigned long long *ret_free)
{
    char name[64];
    snprintf(name, sizeof name, "filesystem%s", path);
    const char *const text = hl_host_computed(host, name, tell_filesystem, path);
    return text != NULL && sscanf(text, "%31s %llu %llu", ret_kind, ret_size, ret_free) == 3;
}

static void look_shm(const hl_check_look *look, hl_finding *finding)
{
    char path[] = "/dev/shm", kind[32];
    unsigned long long size, room;
    if (!filesystem(look->host, path, kind, &size, &room))
        hl_found_nothing(finding, HL_HOST_ABSENT, "/dev/shm");
    else
        hl_found(finding,
                 room * MIB >= SHM_WANTED && strcmp(kind, "tmpfs") == 0 ? HL_CHECK_OK
                                                                        : HL_CHECK_WARN,
                 "%s, %llu MiB free of %llu", kind, room, size);
}

static void look_tmp(const hl_check_look *look, hl_finding *finding)
{
    char path[] = "/tmp", kind[32];
    unsigned long long size, room;
    if (!filesystem(look->host, path, kind, &size, &room))
        hl_found_nothing(finding, HL_HOST_ABSENT, "/tmp");
    else
        hl_found(finding, HL_CHECK_OK, "%s, %llu MiB free of %llu", kind, room, size);
}

static void look_remove_ipc(const hl_check_look *look, hl_finding *finding)
{
    const char *const setting =
        hl_host_text_kept(look->host, NULL, "RemoveIPC=", "/etc/systemd/logind.conf");
    const char *status =
        hl_host_text_kept(look->host, NULL, HL_HOST_STATUS_LINES, "/proc/self/status");
    status = status != NULL ? strstr(status, "Uid:") : NULL;
    if (setting == NULL)
        hl_found(finding, HL_CHECK_NOT_APPLICABLE, "no logind here");
    else if (strcmp(setting, "RemoveIPC=no") == 0)
        hl_found(finding, HL_CHECK_OK, "no");
    else if (status != NULL && strtoul(status + 4, NULL, 10) < 1000)
        hl_found(finding, HL_CHECK_OK, "yes, but a system user is spared");
    else
        hl_found(finding, HL_CHECK_WARN, "%s", setting[0] == '\0' ? "yes (default)" : setting + 10);
}

static const hl_check checks[] = {
    {"thp", "transparent huge pages", "madvise or never",
     "With \"always\" a page fault may copy 2 MiB, and pages are merged behind the program's back.",
     "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled (or transparent_hugepage=madvise "
     "on the kernel command line)",
     "Linux Documentation/admin-guide/mm/transhuge.rst; rigtorp.se/low-latency-guide", true,
     look_thp},
    {"thp-defrag", "compaction in page faults", "anything but always",
     "A fault waits until memory has been compacted.",
     "echo madvise > /sys/kernel/mm/transparent_hugepage/defrag",
     "Linux Documentation/admin-guide/mm/transhuge.rst", true, look_thp_defrag},
    {"khugepaged", "khugepaged compacts", "0",
     "The kernel thread that merges pages locks page tables and sends TLB flushes to all cores.",
     "echo 0 > /sys/kernel/mm/transparent_hugepage/khugepaged/defrag",
     "Linux Documentation/admin-guide/mm/transhuge.rst", true, look_khugepaged},
    {"huge-pages", "2 MiB pages set aside", "room for the rings, on their nodes",
     "Rings in 4 KiB pages miss the TLB with each new page: 20 to 100 ns.", "",
     "Linux Documentation/admin-guide/mm/hugetlbpage.rst", true, look_huge_pages},
    {"hugetlb-limit", "limit of huge pages", "max, or room for the rings",
     "Above the cgroup's limit a page that was mapped kills the process when it is touched.",
     "echo max > hugetlb.2MB.max in the process's cgroup",
     "Linux Documentation/admin-guide/cgroup-v2.rst (hugetlb)", true, look_hugetlb_limit},
    {"node-memory", "memory on the partitions' nodes", "allowed, and room for the rings",
     "Without room there the rings lie on another node: 60 to 120 ns more for each line.",
     "put the node into cpuset.mems; free memory there", "numa(7); cpuset(7)", true,
     look_node_memory},
    {"numa-balancing", "NUMA balancing", "0",
     "The kernel takes pages away from a process to see who uses them: page faults and TLB flushes "
     "on hot cores.",
     "sysctl -w kernel.numa_balancing=0",
     "Linux Documentation/admin-guide/sysctl/kernel.rst; rigtorp.se/low-latency-guide", true,
     look_balancing},
    {"ksm", "merging of equal pages", "0",
     "A merged page is copied at the next write to it, in a page fault.",
     "echo 0 > /sys/kernel/mm/ksm/run", "Linux Documentation/admin-guide/mm/ksm.rst", true,
     look_ksm},
    {"swap", "swapping (swappiness)", "no swap, or at most 10",
     "A page that was swapped out takes milliseconds to come back.",
     "sysctl -w vm.swappiness=10, or swapoff -a",
     "Linux Documentation/admin-guide/sysctl/vm.rst; tuned latency-performance", true, look_swap},
    {"memlock", "memory may be locked", "CAP_IPC_LOCK, unlimited, or room for the rings",
     "Memory that is not locked can be paged out.",
     "LimitMEMLOCK=infinity in the service's unit (ulimit -l unlimited)", "mlock(2)", true,
     look_memlock},
    {"shm", "/dev/shm", "tmpfs with 64 MiB free",
     "hotlane keeps nothing there; an application whose handlers write to shared memory is killed "
     "(SIGBUS) when it is full.",
     "mount -o remount,size=1G /dev/shm (docker: --shm-size=1g)", "shm_overview(7)", true,
     look_shm},
    {"remove-ipc", "logind removes shared memory", "no",
     "When the last session of the user ends, logind removes the shared memory of what still runs.",
     "RemoveIPC=no in /etc/systemd/logind.conf; systemctl restart systemd-logind", "logind.conf(5)",
     true, look_remove_ipc},
    {"tmp", "/tmp", "told", "On tmpfs files there are memory: a journal must not be there.", "",
     "tmpfs(5)", true, look_tmp},
};

const hl_check_group hl_checks_memory = {"memory", checks, sizeof checks / sizeof checks[0]};
