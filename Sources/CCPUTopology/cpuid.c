#include "CCPUTopology.h"

#if defined(__x86_64__)
#include <cpuid.h>

// __get_cpuid_count checks the highest leaf of the range itself: 0 when there is no such leaf.
static int intel_is_hybrid(void) {
  unsigned int a, b, c, d;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d >> 15 & 1);
}

static int amd_is_hybrid(void) {
  unsigned int a, b, c, d;
  return __get_cpuid_count(0x80000026, 0, &a, &b, &c, &d) && (a >> 30 & 1);
}

int hive_cpuid_is_hybrid(void) { return intel_is_hybrid() || amd_is_hybrid(); }

int hive_cpuid_core_kind(void) {
  unsigned int a, b, c, d;
  if (intel_is_hybrid()) {
    if (!__get_cpuid_count(0x1A, 0, &a, &b, &c, &d)) return 0;
    return a >> 24 == 0x40 ? 1 : a >> 24 == 0x20 ? 2 : 0;
  }
  if (amd_is_hybrid() && __get_cpuid_count(0x80000026, 0, &a, &b, &c, &d))
    return b >> 28 == 0 ? 1 : b >> 28 == 1 ? 2 : 0;
  return 0;
}

#else

int hive_cpuid_is_hybrid(void) { return 0; }
int hive_cpuid_core_kind(void) { return 0; }

#endif
