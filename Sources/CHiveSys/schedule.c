#define _GNU_SOURCE 1
#include "CHiveSys.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SCHED_RESET_ON_FORK
#define SCHED_RESET_ON_FORK 0x40000000
#endif

// Raw system calls: glibc's are per process by POSIX's word where the kernel's are per thread.

int hive_set_policy(pid_t thread, int policy, int priority) {
  return syscall(SYS_sched_setscheduler, thread, policy, &priority) == 0 ? 0 : errno;
}

int hive_get_policy(pid_t thread, int *policy, int *priority) {
  long found = syscall(SYS_sched_getscheduler, thread);
  if (found < 0) return errno;
  *policy = (int)found & ~SCHED_RESET_ON_FORK;
  *priority = 0;
  return syscall(SYS_sched_getparam, thread, priority) == 0 ? 0 : errno;
}

int hive_set_nice(pid_t thread, int nice) {
  return syscall(SYS_setpriority, PRIO_PROCESS, thread, nice) == 0 ? 0 : errno;
}

int hive_get_nice(pid_t thread, int *nice) {
  // The kernel's own answer is 20 - nice, so that no success is negative (getpriority(2), C library/kernel differences).
  long found = syscall(SYS_getpriority, PRIO_PROCESS, thread);
  if (found < 0) return errno;
  *nice = 20 - (int)found;
  return 0;
}

int hive_set_io_priority(pid_t thread, int priority) {
  return syscall(SYS_ioprio_set, 1, thread, priority) == 0 ? 0 : errno;
}

int hive_get_io_priority(pid_t thread) { return (int)syscall(SYS_ioprio_get, 1, thread); }

#ifdef SYS_setresuid32
#define HIVE_SETRESUID SYS_setresuid32
#else
#define HIVE_SETRESUID SYS_setresuid
#endif

int hive_enter_user(uid_t uid) { return syscall(HIVE_SETRESUID, -1, uid, -1) == 0 ? 0 : errno; }

void hive_leave_user(void) {
  syscall(HIVE_SETRESUID, -1, 0, -1);
  // A change of the effective id makes a process undumpable, and its /proc files root's (proc_pid(5)): they are root's anyway, but
  // the flag would stay.
  prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

int hive_probe_memory_policy(void) {
  int mode = 0;
  unsigned long nodes[16] = {0};
  if (syscall(SYS_get_mempolicy, &mode, nodes, sizeof nodes * 8, NULL, 0UL) != 0) return errno;
  // Only the default is set again: what carries no nodes cannot be misunderstood.
  if (mode != 0) return 0;
  return syscall(SYS_set_mempolicy, 0, NULL, 0UL) == 0 ? 0 : errno;
}

// A uevent begins with ACTION@PATH. Four bytes tell the action, and "/cpu" stands where "/devices/system/cpu/" ends.
#define WORD(a, b, c, d) ((unsigned)(a) << 24 | (unsigned)(b) << 16 | (unsigned)(c) << 8 | (unsigned)(d))

int hive_cpu_events_open(void) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, WORD('o', 'n', 'l', 'i'), 4, 0), // online@
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, WORD('o', 'f', 'f', 'l'), 5, 0), // offline@
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, WORD('c', 'h', 'a', 'n'), 2, 0), // change@
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, WORD('a', 'd', 'd', '@'), 5, 0), // add@
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, WORD('r', 'e', 'm', 'o'), 0, 7), // remove@
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 7 + 15),
      BPF_JUMP(BPF_JMP | BPF_JA, 3, 0, 0),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 8 + 15),
      BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 4 + 15),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, WORD('/', 'c', 'p', 'u'), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, 0xFFFF),
      BPF_STMT(BPF_RET | BPF_K, 0),
  };
  struct sock_fprog program = {sizeof code / sizeof *code, code};
  struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = 1};
  int descriptor = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
  if (descriptor < 0) return -1;
  // Without the filter every device that comes or goes would wake us up.
  if (setsockopt(descriptor, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0 ||
      bind(descriptor, (struct sockaddr *)&address, sizeof address) != 0) {
    int reason = errno;
    close(descriptor);
    errno = reason;
    return -1;
  }
  return descriptor;
}

int hive_cpu_events_drain(int descriptor) {
  char text[4096];
  int found = 0;
  for (int count = 0; count < 256; count++) {
    ssize_t bytes = recv(descriptor, text, sizeof text, MSG_DONTWAIT);
    // ENOBUFS: some were lost, which says as much as the others.
    if (bytes < 0 && errno != EINTR && errno != ENOBUFS) break;
    found = 1;
  }
  return found;
}

int hive_file_watch_open(void) { return inotify_init1(IN_NONBLOCK | IN_CLOEXEC); }

int hive_file_watch_add(int descriptor, const char *path) {
  return inotify_add_watch(descriptor, path, IN_MODIFY) >= 0 ? 0 : errno;
}
