#define _GNU_SOURCE 1
#include "CHiveSys.h"

#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

int hive_wait(pid_t pid, int keep, struct hive_exit *result) {
  siginfo_t info;
  memset(&info, 0, sizeof info);
  int options = WEXITED | WNOHANG | (keep ? WNOWAIT : 0);
  int outcome;
  do outcome = waitid(pid == 0 ? P_ALL : P_PID, (id_t)pid, &info, options);
  while (outcome != 0 && errno == EINTR);
  if (outcome != 0) return -1;
  // WNOHANG with nothing to report leaves si_pid as it was (waitid(2)).
  if (info.si_pid == 0) return 0;
  result->pid = info.si_pid;
  result->code = info.si_code;
  result->status = info.si_status;
  result->uid = info.si_uid;
  return 1;
}

int hive_wait_stopped(pid_t pid) {
  siginfo_t info;
  memset(&info, 0, sizeof info);
  int outcome;
  do outcome = waitid(P_PID, (id_t)pid, &info, WSTOPPED | WNOHANG);
  while (outcome != 0 && errno == EINTR);
  return outcome == 0 && info.si_pid == pid ? info.si_status : 0;
}

int hive_pidfd_open(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }

int hive_pidfd_signal(int pidfd, int signal) { return (int)syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0); }

uint64_t hive_effective_capabilities(void) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2];
  memset(data, 0, sizeof data);
  if (syscall(SYS_capget, &header, data) != 0) return 0;
  return ((uint64_t)data[1].effective << 32) | data[0].effective;
}

int hive_set_subreaper(int enabled) { return prctl(PR_SET_CHILD_SUBREAPER, (unsigned long)enabled, 0, 0, 0); }

int hive_is_subreaper(void) {
  int value = 0;
  return prctl(PR_GET_CHILD_SUBREAPER, &value, 0, 0, 0) == 0 && value != 0;
}

int hive_block_reserved_signals(void) {
  uint64_t reserved = (uint64_t)3 << 31;
  return (int)syscall(SYS_rt_sigprocmask, SIG_BLOCK, &reserved, NULL, sizeof reserved);
}

uint64_t hive_changed_signals(void) {
  // The kernel's own call: glibc's refuses to tell of 32 and 33. The handler is the first word on every architecture that Swift has.
  uint64_t changed = 0;
  for (int number = 1; number <= 64; number++) {
    uint64_t action[8] = {0};
    if (syscall(SYS_rt_sigaction, number, NULL, action, sizeof changed) == 0 && action[0] != 0)
      changed |= (uint64_t)1 << (number - 1);
  }
  return changed;
}

static int set_action(int number, void (*handler)(int)) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = handler;
  return sigaction(number, &action, NULL);
}

int hive_ignore_signal(int number) { return set_action(number, SIG_IGN); }

int hive_default_signal(int number) { return set_action(number, SIG_DFL); }
