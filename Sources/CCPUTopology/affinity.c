#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>

#include "CCPUTopology.h"

// A cpu_set_t of any size is an array of unsigned long, lowest CPU in the lowest bit: on 64-bit machines the words as
// they are.
_Static_assert(sizeof(unsigned long) == sizeof(uint64_t), "a cpumask is made of 64-bit words");

int hive_get_affinity(pid_t thread, uint64_t *words, size_t count) {
  // glibc clears what the kernel does not fill.
  return sched_getaffinity(thread, count * sizeof *words, (cpu_set_t *)words) == 0 ? 0 : errno;
}

int hive_set_affinity(pid_t thread, const uint64_t *words, size_t count) {
  return sched_setaffinity(thread, count * sizeof *words, (const cpu_set_t *)words) == 0 ? 0 : errno;
}
