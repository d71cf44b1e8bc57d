/*
 * Checks of what is granted to this process: CPUs and CPU time.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "affinity/cgroup.h"
#include "affinity/check_look.h"

static void look_allowed(const hl_check_look *look, hl_finding *finding)
{
    const hl_topology *const topology = look->topology;
    const hl_cpu_set allowed = hl_cpu_set_or(&look->hot, &look->cold);
    char list[256] = "";
    hl_cpu_set_tell(&allowed, list, sizeof list);
    hl_found(finding, HL_CHECK_OK, "%s (%u of %u CPUs)", list, topology->allowed,
             topology->cpu_count);
}

static void look_partition(const hl_check_look *look, hl_finding *finding)
{
    if (hl_found_no_hot(look, finding))
        return;
    const hl_cpu_set isolated = hl_isolated_cpus(look->host);
    const hl_cpu_set open = hl_cpu_set_less(&look->hot, &isolated);
    if (hl_cpu_set_count(&open) == 0) {
        hl_found(finding, HL_CHECK_OK, "the hot cores are isolated");
        return;
    }
    char folder[PATH_MAX];
    const char *own = NULL;
    for (uint32_t up = 0; hl_cgroup_folder(look->host, "cpuset", up, folder, sizeof folder); up++) {
        const char *const kind = hl_host_text(look->host, NULL, "%s/cpuset.cpus.partition", folder);
        own = own != NULL ? own : kind;
        if (kind != NULL && (strcmp(kind, "isolated") == 0 || strcmp(kind, "root") == 0)) {
            hl_found(finding, HL_CHECK_OK, "%s", kind);
            return;
        }
        const char *const exclusive =
            hl_host_text(look->host, NULL, "%s/cpuset.cpu_exclusive", folder);
        if (exclusive != NULL && exclusive[0] == '1' && up == 0) {
            hl_found(finding, HL_CHECK_OK, "exclusive");
            return;
        }
    }
    if (own != NULL)
        hl_found(finding, HL_CHECK_WARN, "%s: other groups may use the same CPUs", own);
    else
        hl_found(finding, HL_CHECK_NOT_APPLICABLE, "this process is in no cpuset of its own");
}

static void look_quota(const hl_check_look *look, hl_finding *finding)
{
    const double quota = look->topology->cpu_quota;
    if (quota <= 0.0)
        hl_found(finding, HL_CHECK_OK, "max");
    else if (look->spinning > 0)
        hl_found(finding, HL_CHECK_FAIL, "%.2f CPUs, and %u thread%s spin%s", quota, look->spinning,
                 look->spinning == 1 ? "" : "s", look->spinning == 1 ? "s" : "");
    else
        hl_found(finding, HL_CHECK_WARN, "%.2f CPUs; no thread spins", quota);
}

/* "nr_throttled 12" of cpu.stat. */
static bool throttled_count(const char *statistics, unsigned long long *ret_count)
{
    const char *const at = statistics != NULL ? strstr(statistics, "nr_throttled ") : NULL;
    if (at != NULL)
        *ret_count = strtoull(at + strlen("nr_throttled "), NULL, 10);
    return at != NULL;
}

static void look_throttled(const hl_check_look *look, hl_finding *finding)
{
    char folder[PATH_MAX];
    bool seen = false;
    unsigned long long most = 0;
    for (uint32_t up = 0; hl_cgroup_folder(look->host, "cpu", up, folder, sizeof folder); up++) {
        unsigned long long count = 0;
        if (!throttled_count(hl_host_text(look->host, NULL, "%s/cpu.stat", folder), &count))
            continue;
        seen = true;
        if (count > most)
            most = count;
    }
    if (!seen && look->topology->cpu_quota <= 0.0)
        hl_found(finding, HL_CHECK_NOT_APPLICABLE, "no CPU quota is kept for this process");
    else if (!seen)
        hl_found_nothing(finding, HL_HOST_ABSENT, "cpu.stat of its cgroup");
    else
        hl_found(finding, most == 0 ? HL_CHECK_OK : HL_CHECK_WARN, "%llu", most);
}

/* The last CPUAffinity= of systemd's configuration. */
static const char *systemd_affinity(hl_host *host)
{
    const char *found = hl_host_text_kept(host, NULL, "CPUAffinity=", "/etc/systemd/system.conf");
    if (found != NULL && found[0] == '\0')
        found = NULL;
    const char *names = hl_host_names(host, "/etc/systemd/system.conf.d");
    char name[256];
    while (hl_host_next_line(&names, name)) {
        const char *const text =
            hl_host_text_kept(host, NULL, "CPUAffinity=", "/etc/systemd/system.conf.d/%s", name);
        if (text != NULL && text[0] != '\0')
            found = text;
    }
    return found != NULL ? found + strlen("CPUAffinity=") : NULL;
}

static void look_systemd(const hl_check_look *look, hl_finding *finding)
{
    if (hl_found_no_hot(look, finding))
        return;
    hl_found_mend(finding, "CPUAffinity=%s in /etc/systemd/system.conf; reboot", look->cold_list);
    if (hl_host_names(look->host, "/run/systemd/system") == NULL &&
        hl_host_text_kept(look->host, NULL, "CPUAffinity=", "/etc/systemd/system.conf") == NULL) {
        hl_found(finding, HL_CHECK_NOT_APPLICABLE, "systemd does not run here");
        return;
    }
    const hl_cpu_set isolated = hl_isolated_cpus(look->host);
    const hl_cpu_set open = hl_cpu_set_less(&look->hot, &isolated);
    if (hl_cpu_set_count(&open) == 0) {
        hl_found(finding, HL_CHECK_OK, "not needed: the hot cores are isolated");
        return;
    }
    const char *const affinity = systemd_affinity(look->host);
    if (affinity == NULL) {
        hl_found(finding, HL_CHECK_WARN, "not set: every service may run on hot cores");
        return;
    }
    char list[256];
    size_t length = 0; /* blanks may stand between the CPUs there */
    for (const char *at = affinity; *at != '\0' && *at != '\n' && length + 1 < sizeof list; at++)
        list[length++] = *at == ' ' ? ',' : *at;
    list[length] = '\0';
    hl_cpu_set set;
    if (!hl_cpu_set_parse_list(list, &set)) {
        hl_found(finding, HL_CHECK_UNKNOWN, "CPUAffinity=%s is no list", list);
        return;
    }
    const hl_cpu_set on_hot = hl_cpu_set_and(&set, &look->hot);
    hl_found(finding, hl_cpu_set_count(&on_hot) == 0 ? HL_CHECK_OK : HL_CHECK_WARN, "%s", list);
}

static const hl_check checks[] = {
    {"cpuset", "CPUs that this process may use", "told",
     "Affinity mask and cpuset decide; the plan uses no other.", "",
     "cpuset(7); Linux Documentation/admin-guide/cgroup-v2.rst", false, look_allowed},
    {"cpuset-partition", "cpuset of its own", "isolated or root, or isolcpus",
     "In a shared cpuset other groups' threads run on the hot cores too.",
     "echo isolated > cpuset.cpus.partition in the process's cgroup (its cpuset.cpus must be "
     "exclusive)",
     "Linux Documentation/admin-guide/cgroup-v2.rst (cpuset.cpus.partition)", true, look_partition},
    {"cpu-quota", "CPU quota", "max",
     "A group that has used up its quota stands still, whole, until the next period: up to 100 ms. "
     "Threads that spin use it up always.",
     "echo max > cpu.max in the process's cgroup (docker: no --cpus; Kubernetes: whole CPUs with "
     "the static CPU manager)",
     "Linux Documentation/scheduler/sched-bwc.rst", false, look_quota},
    {"throttled", "times throttled", "0", "The quota has already stopped this group.",
     "lift the quota; the counter starts anew with the group",
     "Linux Documentation/scheduler/sched-bwc.rst", true, look_throttled},
    {"systemd-affinity", "CPUs of services", "without the hot cores, or isolcpus",
     "Without it every service and every cron job may run on hot cores.", "",
     "systemd-system.conf(5), CPUAffinity", true, look_systemd},
};

const hl_check_group hl_checks_cgroup = {"CPUs granted", checks, sizeof checks / sizeof checks[0]};
