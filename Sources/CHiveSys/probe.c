#define _GNU_SOURCE 1
#include "CHiveSys.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

int hive_probe_close_range(int cloexec) {
  // A range that holds nothing: descriptors end long before (NR_OPEN).
  return syscall(SYS_close_range, ~0U - 1, ~0U, cloexec ? 1U << 2 : 0U) == 0 ? 0 : errno;
}

int hive_probe_affinity(int *cpus) {
  unsigned long mask[1024 / sizeof(unsigned long)];
  memset(mask, 0, sizeof mask);
  long bytes = syscall(SYS_sched_getaffinity, 0, sizeof mask, mask);
  if (bytes < 0) return errno;
  *cpus = 0;
  for (size_t index = 0; index < (size_t)bytes / sizeof(unsigned long); index++) *cpus += __builtin_popcountl(mask[index]);
  return syscall(SYS_sched_setaffinity, 0, (size_t)bytes, mask) == 0 ? 0 : errno;
}

int hive_probe_io_priority(int class_and_level) {
  long before = syscall(SYS_ioprio_get, 1, 0);
  if (before < 0) return errno;
  if (syscall(SYS_ioprio_set, 1, 0, class_and_level) != 0) return errno;
  syscall(SYS_ioprio_set, 1, 0, before);
  return 0;
}

int hive_no_new_privileges(void) { return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); }

// Starts and reaps a child that cannot execute.
static int start_and_fail(int cgroup, struct hive_spawn_result *result, int *wait_status) {
  size_t bytes = 64 * 1024;
  void *stack = hive_stack_map(bytes);
  if (stack == NULL) return errno;
  char *const none[] = {NULL};
  struct hive_descriptor descriptors[] = {{2, 2, -1}};
  struct hive_spawn_plan plan;
  memset(&plan, 0, sizeof plan);
  plan.file = "/"; // a directory: EACCES
  plan.arguments = none;
  plan.environment = none;
  plan.descriptors = descriptors;
  plan.descriptor_count = 1;
  plan.without = HIVE_WITHOUT_PIDFD_OPEN;
  plan.cgroup = cgroup;
  plan.stack = stack;
  plan.stack_bytes = bytes;
  int error = hive_spawn(&plan, result);
  if (error == 0) {
    if (result->pidfd >= 0) close(result->pidfd);
    if (result->status >= 0) close(result->status);
    // Not a wait worth the name: it has ended, or is about to.
    while (waitpid(result->pid, wait_status, 0) < 0 && errno == EINTR) {
    }
  }
  hive_stack_unmap(stack, bytes);
  return error;
}

int hive_probe_clone(int *has_pidfd, int *is_shared) {
  struct hive_spawn_result result;
  int wait_status = 0;
  int error = start_and_fail(-1, &result, &wait_status);
  if (error != 0) return error;
  *has_pidfd = result.pidfd >= 0;
  *is_shared = result.status < 0;
  return 0;
}

int hive_probe_cgroup(int cgroup) {
  struct hive_spawn_result result;
  int wait_status = 0;
  int error = start_and_fail(cgroup, &result, &wait_status);
  if (error != 0) return error;
  if (!result.in_cgroup) return EOPNOTSUPP;
  return WIFEXITED(wait_status) ? 0 : ECANCELED;
}
