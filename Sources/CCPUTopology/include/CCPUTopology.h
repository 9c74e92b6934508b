// What Swift has no word for: the CPUID instruction, and the affinity calls, which the Glibc module hides (they need
// _GNU_SOURCE).
#ifndef CCPUTOPOLOGY_H
#define CCPUTOPOLOGY_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// sched_getaffinity(2) of a thread (0: the calling one) into so many words; words that the kernel does not fill become
// 0. 0, or errno.
int hive_get_affinity(pid_t thread, uint64_t *words, size_t count);

// sched_setaffinity(2). 0, or errno.
int hive_set_affinity(pid_t thread, const uint64_t *words, size_t count);

// Whether the processor says that its cores are not all alike: Intel's CPUID.07H.0:EDX[15], AMD's
// CPUID.80000026H.0:EAX[30]. 0 elsewhere than on x86-64.
int hive_cpuid_is_hybrid(void);

// The kind of the core that executes it: 1 Intel Core (CPUID.1AH:EAX[31:24] = 40H) or AMD's performance core
// (CPUID.80000026H.0:EBX[31:28] = 0), 2 Intel Atom (20H) or AMD's efficiency core (1), 0 neither.
int hive_cpuid_core_kind(void);

#endif
