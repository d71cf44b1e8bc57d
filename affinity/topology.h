/*
 * The machine as the plan sees it: CPUs, the cores, packages, NUMA nodes and L3 groups they belong
 * to, which of them this process may use, and how much of them its cgroup grants.
 *
 *     hl_topology *topology;
 *     if (hl_topology_load(NULL, &topology, &error) != HL_OK)
 *         return fprintf(stderr, "%s\n", error.text), 1;
 *     printf("%u of %u CPUs\n", topology->allowed, topology->cpu_count);
 *     hl_topology_free(topology);
 *
 * "CPU" is a hardware thread (hwloc: PU), "core" a physical core. hwloc is behind it and shows in
 * no type here. Loading allocates and reads /sys: some milliseconds; control plane only. A loaded
 * topology is never changed by this library: any number of threads may read it.
 */
#ifndef HL_AFFINITY_TOPOLOGY_H
#define HL_AFFINITY_TOPOLOGY_H

#include <stdbool.h>
#include <stdint.h>

#include <hotlane/status.h>

#include "affinity/host.h"

/* Where a topology comes from. All NULL: this machine. xml_path and synthetic exclude each other.
 */
typedef struct hl_topology_source {
    const char *xml_path;     /* an hwloc XML file, format 2, as `lstopo FILE.xml` writes it */
    const char *synthetic;    /* an hwloc synthetic description, "pack:2 core:12 pu:2" */
    const char *allowed_cpus; /* OS indexes that may be used, "0-3,8"; it can only take away from
                                 what the file, or affinity mask and cpuset, allow. NULL: all */
    hl_host *host; /* whose /proc and /sys tell about isolated CPUs, interrupts and the CPU quota,
                      and, of a captured one without xml_path and synthetic, the machine itself.
                      NULL: this machine's, where the topology is this machine; else none */
    bool want_devices; /* also the network devices and disks: reads the PCI bus */
} hl_topology_source;

/* One CPU. core, package, die, l3 count from 0 in hwloc's logical order, without gaps; os_index and
 * numa_node are the kernel's numbers. */
typedef struct hl_cpu {
    uint32_t os_index;
    uint32_t core;
    uint32_t package;
    uint32_t die;              /* as package, where the machine tells of no dies */
    uint32_t numa_node;        /* as in /sys/devices/system/node/nodeN, and as mbind takes it */
    uint32_t l3;               /* CPUs under one L3 cache; under one package where there is no L3 */
    uint32_t smt_rank;         /* 0 for the first CPU of its core, 1 for its sibling, ... */
    uint32_t efficiency_class; /* 0 slowest kind (E cores), higher is faster; 0 if all are alike */
    bool allowed;
    bool isolated;         /* the kernel schedules nothing there by itself (isolcpus) */
    bool takes_interrupts; /* of devices, more than other CPUs do, by how IRQs are set up */
} hl_cpu;

/* Pages of one size that the kernel has set aside on a node. */
typedef struct hl_huge_pages {
    uint64_t size_bytes;
    uint64_t count;
} hl_huge_pages;

#define HL_HUGE_PAGE_SIZES 4

typedef struct hl_numa_node {
    uint32_t os_index;
    uint32_t package;      /* the one all its CPUs are in; UINT32_MAX: several, or none */
    uint64_t memory_bytes; /* 0: not known */
    hl_huge_pages huge_pages[HL_HUGE_PAGE_SIZES]; /* size 0 from the first that is not used */
} hl_numa_node;

/* Caches of one level, kind and size. */
typedef struct hl_cache_kind {
    uint32_t level;
    char type; /* 'd' data, 'i' instructions, 'u' both */
    uint64_t size_bytes;
    uint32_t count;
    uint32_t cpus_each; /* CPUs under one of them */
} hl_cache_kind;

typedef enum hl_device_kind { HL_DEVICE_NETWORK = 0, HL_DEVICE_DISK } hl_device_kind;

typedef struct hl_device {
    char name[64]; /* "eth2", "mlx5_0", "nvme0n1" */
    hl_device_kind kind;
    int numa_node;  /* the node it hangs on; -1: not known, or near to several alike */
    char place[16]; /* on the PCI bus, "0000:af:00.0"; "" when not there */
    char model[96]; /* "" when not known */
} hl_device;

typedef struct hl_topology {
    hl_cpu *cpus;        /* logical order: CPUs of a core, L3, package stand together */
    uint32_t cpu_count;  /* CPUs that are online, allowed or not */
    uint32_t packages;   /* what follows counts the whole machine, not only the allowed part */
    uint32_t dies;       /* at least one a package */
    uint32_t numa_nodes; /* nodes that have CPUs */
    uint32_t l3_groups;  /* distinct values of hl_cpu.l3 */
    uint32_t cores;      /* physical cores */
    uint32_t efficiency_classes; /* kinds of cores; 1 if all are alike */
    uint32_t allowed;            /* CPUs with `allowed`; at least 1 */
    bool l3_known;       /* false: some group stands for a package, as no L3 is known there */
    bool this_machine;   /* false for a file or a description: threads cannot be pinned by it */
    double cpu_quota;    /* CPUs' worth of time a period (cgroup cpu.max); 0: no limit */
    hl_numa_node *nodes; /* all, also those without CPUs; by os_index */
    uint32_t node_count;
    hl_cache_kind *caches; /* the largest level first */
    uint32_t cache_count;
    hl_device *devices; /* network devices, then disks, by name; none unless wanted */
    uint32_t device_count;
    char model[96]; /* "Intel(R) Xeon(R) Gold 6146 CPU @ 3.20GHz"; "" when not known */
    char *xml;      /* the same machine for hwloc, for a capture; only with want_devices. No name,
                       address or serial number is in it */
} hl_topology;

/*
 * Loads a topology; `source` NULL is this machine. There, a CPU is allowed when the cgroup's cpuset
 * and the affinity mask of the process's first thread both have it; so load before that thread
 * pins itself. A mask of just what is not isolated is what every process begins with where CPUs are
 * isolated, and takes none of those away. Of a captured host that is not the only thread with an
 * environment, take care: hwloc is told of its folder by a variable (HWLOC_FSROOT) meanwhile.
 * HL_OK: *ret_topology is the caller's, to be freed. HL_BAD_INPUT: the file,
 * description or list cannot be read, or leaves no CPU. HL_INVALID: two sources at once.
 * HL_NO_MEMORY, HL_SYSTEM. Any thread.
 */
hl_status hl_topology_load(const hl_topology_source *source, hl_topology **ret_topology,
                           hl_error *error);

/* The device of that name; NULL when there is none. Valid as long as the topology. */
const hl_device *hl_topology_device(const hl_topology *topology, const char *name);

/* The CPU with this OS index; NULL when there is none. Valid as long as the topology. */
const hl_cpu *hl_topology_cpu(const hl_topology *topology, uint32_t os_index);

/* NULL is allowed. */
void hl_topology_free(hl_topology *topology);

#endif
