/*
 * Checks of the network stack, for feeds that are read from sockets.
 */
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "affinity/check_look.h"
#include "affinity/sentence.h"

static void look_steering(const hl_check_look *look, hl_finding *finding)
{
    if (hl_found_no_hot(look, finding))
        return;
    const char *devices = hl_host_names(look->host, "/sys/class/net");
    char device[256], queue[256], bad[300] = "";
    uint32_t queues_seen = 0;
    while (hl_host_next_line(&devices, device)) {
        const char *queues = hl_host_names(look->host, "/sys/class/net/%s/queues", device);
        while (hl_host_next_line(&queues, queue)) {
            hl_cpu_set set;
            if (strncmp(queue, "rx-", 3) != 0)
                continue;
            const char *const mask = hl_host_text(
                look->host, NULL, "/sys/class/net/%s/queues/%s/rps_cpus", device, queue);
            if (mask == NULL || !hl_cpu_set_parse_mask(mask, &set))
                continue;
            queues_seen++;
            set = hl_cpu_set_and(&set, &look->hot);
            if (hl_cpu_set_count(&set) > 0)
                hl_sentence_add(bad, sizeof bad, "%s%s %s", bad[0] == '\0' ? "" : ", ", device,
                                queue);
        }
    }
    if (queues_seen == 0)
        hl_found(finding, HL_CHECK_NOT_APPLICABLE, "no receive queues are to be seen");
    else if (bad[0] == '\0')
        hl_found(finding, HL_CHECK_OK, "none of %u queues", queues_seen);
    else
        hl_found(finding, HL_CHECK_WARN, "%s", bad);
}

static void look_transmit(const hl_check_look *look, hl_finding *finding)
{
    const char *devices = hl_host_names(look->host, "/sys/class/net");
    char device[256], queue[256], told[300] = "";
    while (hl_host_next_line(&devices, device)) {
        const char *queues = hl_host_names(look->host, "/sys/class/net/%s/queues", device);
        while (hl_host_next_line(&queues, queue)) {
            hl_cpu_set set;
            const char *mask = NULL;
            if (strncmp(queue, "tx-", 3) == 0)
                mask = hl_host_text(look->host, NULL, "/sys/class/net/%s/queues/%s/xps_cpus",
                                    device, queue);
            if (mask == NULL || !hl_cpu_set_parse_mask(mask, &set) || hl_cpu_set_count(&set) == 0)
                continue;
            char list[64] = "";
            hl_cpu_set_tell(&set, list, sizeof list);
            hl_sentence_add(told, sizeof told, "%s%s %s: %s", told[0] == '\0' ? "" : ", ", device,
                            queue, list);
        }
    }
    hl_found(finding, HL_CHECK_OK, "%s", told[0] != '\0' ? told : "no queue is bound to CPUs");
}

static void look_busy_poll(const hl_check_look *look, hl_finding *finding)
{
    int64_t poll_us, read_us;
    if (!hl_host_number(look->host, &poll_us, "/proc/sys/net/core/busy_poll") ||
        !hl_host_number(look->host, &read_us, "/proc/sys/net/core/busy_read")) {
        hl_found(finding, HL_CHECK_NOT_APPLICABLE, "this kernel does not poll sockets");
        return;
    }
    const bool wanted = look->input->nic != NULL;
    hl_found(finding, wanted && (poll_us < 50 || read_us < 50) ? HL_CHECK_WARN : HL_CHECK_OK,
             "busy_poll %lld us, busy_read %lld us", (long long)poll_us, (long long)read_us);
}

/* "8 1": receive delay in us, and whether it adapts. */
static void tell_coalescing(void *name, char *text, size_t size)
{
    struct ethtool_coalesce facts = {.cmd = ETHTOOL_GCOALESCE};
    struct ifreq request = {.ifr_data = (char *)&facts};
    snprintf(request.ifr_name, sizeof request.ifr_name, "%.15s", (const char *)name);
    const int file = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (file < 0)
        return;
    if (ioctl(file, SIOCETHTOOL, &request) == 0)
        snprintf(text, size, "%u %u", facts.rx_coalesce_usecs, facts.use_adaptive_rx_coalesce);
    close(file);
}

static void look_coalescing(const hl_check_look *look, hl_finding *finding)
{
    char told[300] = "";
    bool delays = false;
    for (uint32_t i = 0; i < look->topology->device_count; i++) {
        hl_device device = look->topology->devices[i];
        if (device.kind != HL_DEVICE_NETWORK ||
            (look->input->nic != NULL && strcmp(look->input->nic, device.name) != 0))
            continue;
        char name[96];
        unsigned delay_us, adaptive;
        snprintf(name, sizeof name, "coalesce/%s", device.name);
        const char *const text = hl_host_computed(look->host, name, tell_coalescing, device.name);
        if (text == NULL || sscanf(text, "%u %u", &delay_us, &adaptive) != 2)
            continue;
        delays |= delay_us > 0 || adaptive != 0;
        hl_sentence_add(told, sizeof told, "%s%s: %u us%s", told[0] == '\0' ? "" : ", ",
                        device.name, delay_us, adaptive != 0 ? ", adaptive" : "");
    }
    const char *const nic = look->input->nic;
    hl_found_mend(finding, "ethtool -C %s adaptive-rx off rx-usecs 0",
                  nic != NULL ? nic : "DEVICE");
    if (told[0] == '\0')
        hl_found(finding, HL_CHECK_NOT_APPLICABLE, "no network device tells of it");
    else
        hl_found(finding, delays && nic != NULL ? HL_CHECK_WARN : HL_CHECK_OK, "%s", told);
}

static const hl_check checks[] = {
    {"packet-steering", "packets steered to hot cores (RPS)", "none",
     "Receive packet steering hands packets to other cores with an interrupt between them.",
     "echo 0 > /sys/class/net/DEVICE/queues/rx-N/rps_cpus",
     "Linux Documentation/networking/scaling.rst", true, look_steering},
    {"transmit-steering", "transmit queues by CPU (XPS)", "told",
     "Which CPUs share a transmit queue, and with it its lock.", "",
     "Linux Documentation/networking/scaling.rst", true, look_transmit},
    {"busy-poll", "sockets polled", "50 (us) where a feed is read from a socket",
     "Without it each packet waits for an interrupt and a wake-up: 5 to 20 us.",
     "sysctl -w net.core.busy_poll=50 net.core.busy_read=50",
     "tuned network-latency; Linux Documentation/admin-guide/sysctl/net.rst", true, look_busy_poll},
    {"coalescing", "interrupts held back by the device", "0 us, not adaptive",
     "The device waits that long for more packets before it says that there is one.", "",
     "ethtool(8), -C; rigtorp.se/low-latency-guide", true, look_coalescing},
};

const hl_check_group hl_checks_network = {"network", checks, sizeof checks / sizeof checks[0]};
