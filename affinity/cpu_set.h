/*
 * A set of CPUs by OS index, and the two ways in which Linux writes one: as a list ("0-3,8") and as
 * a mask ("00000001,0000010f"). A plain value: copy it, no freeing. Any thread.
 */
#ifndef HL_AFFINITY_CPU_SET_H
#define HL_AFFINITY_CPU_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Linux numbers at most 8,192 (CONFIG_NR_CPUS). */
#define HL_CPU_SET_BITS 8192u

typedef struct hl_cpu_set {
    uint64_t words[HL_CPU_SET_BITS / 64];
} hl_cpu_set;

/* A number beyond HL_CPU_SET_BITS is never in a set: adding it does nothing. */
void hl_cpu_set_add(hl_cpu_set *set, uint32_t cpu);
bool hl_cpu_set_has(const hl_cpu_set *set, uint32_t cpu);
uint32_t hl_cpu_set_count(const hl_cpu_set *set);

hl_cpu_set hl_cpu_set_and(const hl_cpu_set *a, const hl_cpu_set *b);
hl_cpu_set hl_cpu_set_or(const hl_cpu_set *a, const hl_cpu_set *b);
/* What is in `a` and not in `b`. */
hl_cpu_set hl_cpu_set_less(const hl_cpu_set *a, const hl_cpu_set *b);
bool hl_cpu_set_equal(const hl_cpu_set *a, const hl_cpu_set *b);

/* "0-3,8", "" and blanks at the end for the empty set, as in cpuset files, also with strides
 * ("0-30:2/4"). False when it is no list; *ret_set is untouched then. */
bool hl_cpu_set_parse_list(const char *text, hl_cpu_set *ret_set);

/* "ff", "00000001,0000010f". False when it is no mask; *ret_set is untouched then. */
bool hl_cpu_set_parse_mask(const char *text, hl_cpu_set *ret_set);

/* Appends the set to `text` as a list, "none" for an empty one, "..." where it does not fit. */
void hl_cpu_set_tell(const hl_cpu_set *set, char *text, size_t size);

#endif
