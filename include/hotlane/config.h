/*
 * The configuration of a bus: a plain struct with defaults, or a YAML file of the same names.
 *
 *     hl_config config = HL_CONFIG_INIT;
 *     config.lcores = "order@2,market_data@4,housekeeping@0";
 *     hl_bus_create(&config, &bus, &error);
 *
 * Everything is checked before any thread starts; a value out of range is HL_INVALID with a
 * sentence that names the field (in a file: file:line:column) and what would be right.
 */
#ifndef HOTLANE_CONFIG_H
#define HOTLANE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hotlane/duration.h>
#include <hotlane/event.h>
#include <hotlane/flow.h>
#include <hotlane/health.h>
#include <hotlane/journal.h>
#include <hotlane/log.h>
#include <hotlane/status.h>

/* How an idle thread waits. */
typedef enum hl_wait {
    HL_WAIT_AUTO = 0, /* the plan decides: spin where the executor owns a core, else park */
    HL_WAIT_SPIN,     /* polls; burns its core; no system call in a publish */
    HL_WAIT_BACKOFF,  /* polls, then yields, then naps, of 50 us at first, 800 us when it has been
                         idle for 50 ms; no system call in a publish */
    HL_WAIT_PARK      /* sleeps in the kernel; the publisher that finds it asleep wakes it */
} hl_wait;

/* What hl_publish, hl_claim_wait, hl_claim_run_wait and those of shared publishers do when the lane
 * has no room. hl_try_... and handlers' output never wait, whatever the policy. */
typedef enum hl_full_policy {
    HL_FULL_REJECT = 0, /* HL_FULL at once */
    HL_FULL_BLOCK       /* wait up to block_timeout_ns, then HL_TIMEOUT */
} hl_full_policy;

/* What a domain does when its journal has no room: its disk is slow, full, or has failed. */
typedef enum hl_journal_policy {
    HL_JOURNAL_WAIT = 0, /* backpressure: no event is taken until there is room again */
    HL_JOURNAL_GO_ON     /* after journal_patience_ns the events pass all the same: `sync` becomes
                            `async`, and what finds no room is not written down. Announced
                            (system.journal_degraded), counted, and a gap in the journal */
} hl_journal_policy;

/* Who turns the partitions. */
typedef enum hl_threads {
    HL_THREADS_OWN = 0, /* the bus starts one thread per executor of its plan, and a housekeeper */
    HL_THREADS_MANUAL   /* the application calls hl_executor_turn; one executor per partition */
} hl_threads;

typedef struct hl_domain_config {
    const char *name;            /* one token: letters, digits, '_' and '-'; at most 63 bytes; not
                                    "housekeeping", "workers" or "journals" (names of
                                    the placement) */
    hl_priority priority;        /* of topics that name none */
    bool fixed_priority;         /* a topic of it has one priority: none may differ per publish */
    uint32_t shards;             /* partitions of this domain, 1..1023; the key picks one */
    uint32_t slot_size_bytes;    /* header and payload; multiple of 64, 64..65,600 */
    uint32_t ring_slots;         /* capacity of each publisher's ring; power of two, 2..2^24 */
    uint32_t handler_ring_slots; /* the same for what handlers publish */
    hl_full_policy full_policy;
    uint64_t block_timeout_ns; /* at least 1 where full_policy blocks */
    const char *publishes_to;  /* domains that its handlers publish to, "order, system"; "*": all;
                                  NULL, "": none */
    hl_wait wait;
    const char *conflates;  /* priorities whose lanes keep the newest event of each (topic, key)
                               instead of a queue of all: "normal, low"; only state topics may lie
                               there; not critical or high. NULL, "": none */
    uint32_t conflate_keys; /* keys that such a lane has room for, 1..16,777,216; 0: the bus's
                               max_keys_per_state_topic */
    hl_throttle_options throttle; /* of what is published to it at NORMAL and below, all publishers
                                     and shards together; not in a domain of CRITICAL or HIGH */
    uint32_t high_water_pct; /* of a ring's slots: reaching it is told (hl_watermark); 1..100; 0: it
                                is not watched */
    uint32_t low_water_pct;  /* and going down to it afterwards; under high_water_pct */
    /* The journal, where the bus has one (journal_dir); journal.h says what each promises. */
    hl_durability durability;
    hl_journal_policy journal_policy;
    uint64_t journal_patience_ns; /* of HL_JOURNAL_GO_ON; 0: a second */
    uint32_t journal_slots;       /* events that may be in flight to the disk; power of two, at most
                                     2^24; 0: ring_slots, at least 4096 */
    uint64_t commit_events; /* async: a sync after so many events, at most 262,144 (0: 65,536), */
    uint64_t commit_interval_ns; /* or so long after the first of them; at most a minute; 0: 10 ms.
                                    So far may durable_sequence lag behind written_sequence */
} hl_domain_config;

typedef struct hl_config {
    size_t size; /* sizeof(hl_config): set by HL_CONFIG_INIT */
    const hl_domain_config *domains;
    uint32_t domain_count;             /* 0: the six domains of hl_default_domains */
    const char *default_domain;        /* where topics of an unknown domain go; NULL: refused */
    const char *lcores;                /* placement by hand, "order@2,fill@4"; NULL: planned */
    const char *const *publishers;     /* names (as of domains) that the plan proposes a CPU for */
    uint32_t publisher_count;          /* entries of it */
    uint32_t max_topics;               /* 1..1,048,576 */
    uint32_t max_subscriptions;        /* 1..1,048,576, open at one time */
    uint32_t max_publishers;           /* 1..4,096, open at one time */
    uint32_t guard_interval;           /* one event in so many goes to a lower lane; 2..65,536 */
    uint64_t spin_before_park_ns;      /* how long a parking executor polls first */
    uint32_t max_keys_per_state_topic; /* default bound of hl_last; 1..16,777,216 */
    hl_threads threads;
    bool huge_pages;                  /* use 2 MiB pages where there are any */
    bool lock_memory;                 /* mlock where the limit allows */
    uint64_t (*clock)(void *context); /* ns since the epoch, never stepping back; NULL: the TSC */
    void *clock_context;
    uint64_t ring_start_position; /* where positions begin; for tests of the counters' wrap */
    /* The pool that runs async handlers: as many threads as it may have are made with the bus, and
     * sleep unless they are needed; and one more, for taps. What makes it grow and shrink: flow.h.
     */
    uint32_t max_workers;               /* 0..64; 0: no pool, and no async subscription */
    uint32_t min_workers;               /* 1..max_workers */
    uint64_t worker_grow_backlog;       /* more events than this wait: one more worker, */
    uint64_t worker_grow_below_per_s;   /* if they handle fewer than this a second; 0: whatever */
    uint64_t worker_grow_after_ns;      /* and it has been so for so long */
    uint64_t worker_shrink_backlog;     /* fewer events than this wait, */
    uint64_t worker_shrink_after_ns;    /* for so long: one worker less, */
    uint64_t worker_shrink_above_per_s; /* if they handle more than this a second; 0: whatever (an
                                           idle pool would never shrink) */
    uint64_t worker_pause_ns;           /* between two changes, until the last one shows */
    uint32_t retry_events;              /* a partition keeps so many failed events for their
                                           retries, and so does each async subscription;
                                           1..1,048,576 */
    uint64_t dlq_memory_bytes;  /* for dead letters, 1 MiB..4 GiB; 0: none are kept, what is given
                                   up is counted as skipped */
    const char *dlq_path;       /* a file for them, locked while the bus lives; NULL: memory only */
    uint64_t handler_budget_ns; /* the watchdog reports a handler that runs longer; 0: none. A
                                   subscription may have its own */
    uint64_t turn_budget_ns;    /* and an executor that makes no progress for so long; 0: none */
    bool stall_backtrace;       /* with where it is: its thread is asked by the signal SIGRTMAX-3 */
    hl_ladder_options ladder;   /* of each partition */
    hl_sampling_options sampling; /* the window of `state` topics that name none, and the bounds of
                                     each partition's windows of one length */
    hl_watermark_handler on_watermark; /* NULL: system.watermark alone tells */
    void *watermark_context;
    /* The journal. */
    const char *journal_dir; /* made if it is not there (its parent must be); NULL: no journal,
                                whatever the domains' durability says */
    uint64_t journal_segment_bytes; /* a new file at this size; 64 KiB..8 GiB. Each journaled
                                       partition takes two of them on the disk ahead */
    const struct hl_io *journal_io; /* what its writes, syncs and time go through: for tests and
                                       simulations; NULL: the operating system */
    bool journal_io_uring; /* a sync of an `async` domain runs beside its next writes, by io_uring;
                              where that is refused, system.journal_state says so, and it waits */
    bool journal_salvage;  /* go on with what is good of a damaged journal; else it is refused */
    const char *journal_key_file; /* keys (hl_journal_keys_load): snapshots and what the bus packs
                                     are encrypted with the newest, and what it reads itself
                                     (hand-over, rebuild, replay) is decrypted; read once, when the
                                     bus is made; NULL: as the environment says, if it does, else
                                     nothing is encrypted */
    /* Sealed segments are removed, the oldest first, never what a cursor, a kept snapshot or an
     * aggregate without one still needs; looked at when the bus starts, when a segment is sealed,
     * and each hour: */
    uint64_t journal_ttl_ns;    /* when all in it is older; at least an hour; 0: kept for ever */
    uint64_t journal_max_bytes; /* when all files together are larger; at least
                                   journal_segment_bytes; 0: no limit */
    /* Sealed segments are packed: compressed, in a build with zstd, and encrypted where there is a
     * key; readers go on. By a thread that no event waits for, at most half of its time: */
    uint64_t journal_pack_after_ns; /* so long after they were sealed; 0: never */
    /* Snapshots of a partition's aggregates (aggregate.h), into the journal's directory: */
    uint64_t snapshot_events;      /* when it has so many events since the last; 0: not by number */
    uint64_t snapshot_interval_ns; /* or so long after it, if it has any; at least 10 ms; 0: not by
                                      time. With either also when the bus stops */
    uint32_t snapshots_kept;       /* the newest so many of each; 2..1,000 */
    hl_health_options health;      /* from when on something is degraded, or critical */
    const hl_alert_rule *alerts;   /* rules over counters */
    uint32_t alert_count;          /* entries of it; 0..256 */
    hl_log_handler on_log;         /* what is to be told to people; NULL: to stderr */
    void *log_context;
    hl_log_level log_level; /* and from which level on; not HL_LOG_DEBUG, see hl_log_debug */
} hl_config;

#define HL_CONFIG_INIT                                                                         \
    {                                                                                          \
        sizeof(hl_config), NULL, 0, NULL, NULL, NULL, 0, 65536, 65536, 256, 64,                \
            50 * HL_MICROSECOND, 4096, HL_THREADS_OWN, true, true, NULL, NULL, 0, 0, 1, 1000,  \
            5000, 0, 10, HL_SECOND, 0, 100 * HL_MILLISECOND, 4096, (uint64_t)16 << 20, NULL,   \
            100 * HL_MILLISECOND, HL_SECOND, false, HL_LADDER_OPTIONS_INIT,                    \
            HL_SAMPLING_OPTIONS_INIT, NULL, NULL, NULL, UINT64_C(67108864), NULL, true, false, \
            NULL, 30 * 24 * 3600 * HL_SECOND, 0, 3600 * HL_SECOND, 0, 60 * HL_SECOND, 2,       \
            HL_HEALTH_OPTIONS_INIT, NULL, 0, NULL, NULL, HL_LOG_WARNING                        \
    }

#ifdef __cplusplus
extern "C" {
#endif

/* The six default domains (market_data, signal, order, fill, account, system); static memory. Copy
 * and change what should differ. Any thread. */
HL_API const hl_domain_config *hl_default_domains(uint32_t *ret_count);

/* Checks every field of `config`. HL_OK, or HL_INVALID with the field and what would be right. Any
 * thread. */
HL_API hl_status hl_config_validate(const hl_config *config, hl_error *error);

/* Reads and checks a YAML file. On HL_OK `ret_config` is the caller's: hl_config_free. HL_BAD_INPUT
 * with `file:line:column: what, and what would be right`; HL_SYSTEM when it cannot be read;
 * HL_UNSUPPORTED in a build without libcyaml. Not on a hot path; any thread. */
HL_API hl_status hl_config_load(const char *path, hl_config **ret_config, hl_error *error);
HL_API void hl_config_free(hl_config *config);

#ifdef __cplusplus
}
#endif
#endif
