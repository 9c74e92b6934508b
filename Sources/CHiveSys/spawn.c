// The child between clone and exec.
//
// It borrows the parent's memory (CLONE_VM) while the parent sleeps (CLONE_VFORK), so the price of a start does not grow with the
// parent, and so these rules hold from `child_main` on:
//   * only system calls; nothing that allocates, locks or touches stdio;
//   * every signal is blocked from before clone until just before execve: a handler of the parent must not run in the child, and a
//     TERM that is sent in between stays pending and ends the child then - it is not lost (supervisord loses it);
//   * set*id go through syscall(2): glibc's own signal the sibling threads, which here are the parent's (nptl setxid);
//   * _exit only.
// Emulators that turn this into a plain fork (qemu-user) still work: nothing but the status pipe carries results back.

#define _GNU_SOURCE 1
#include "CHiveSys.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000
#endif
#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif
#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_clone3
#define SYS_clone3 435
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifdef SYS_setuid32
#define HIVE_SETUID SYS_setuid32
#define HIVE_SETGID SYS_setgid32
#define HIVE_SETGROUPS SYS_setgroups32
#else
#define HIVE_SETUID SYS_setuid
#define HIVE_SETGID SYS_setgid
#define HIVE_SETGROUPS SYS_setgroups
#endif

// The kernel's signal mask: 64 signals. glibc's sigset_t functions leave 32 and 33 out, which the kernel does not.
#define HIVE_MASK_BYTES 8
#define HIVE_LAST_SIGNAL 64

// The kernel's struct sigaction. All zero is SIG_DFL on every architecture; the room covers the largest of them.
struct kernel_action {
  uint64_t words[6];
};

struct child_context {
  const struct hive_spawn_plan *plan;
  int status;
  // Set by the child. The parent sees it only if the memory is really shared, and then it also really slept.
  volatile int is_shared;
};

static void fail_at(int status, int stage, int error, int detail) __attribute__((noreturn));
static void fail_at(int status, int stage, int error, int detail) {
  int32_t report[3] = {stage, error, detail};
  // 12 bytes into an empty pipe cannot be short, and no signal can interrupt them.
  ssize_t written = write(status, report, sizeof report);
  (void)written;
  _exit(127);
}

static void fail(int status, int stage, int error) __attribute__((noreturn));
static void fail(int status, int stage, int error) { fail_at(status, stage, error, 0); }

static size_t decimal(char *out, uint64_t value) {
  char digits[20];
  size_t count = 0;
  do {
    digits[count++] = (char)('0' + value % 10);
    value /= 10;
  } while (value != 0);
  for (size_t index = 0; index < count; index++) out[index] = digits[count - 1 - index];
  return count;
}

// ---- descriptors -----------------------------------------------------------------------------------------------------------

static int set_close_on_exec(int descriptor) { return fcntl(descriptor, F_SETFD, FD_CLOEXEC); }

struct kernel_dirent {
  uint64_t inode;
  int64_t offset;
  uint16_t length;
  uint8_t type;
  char name[];
};

// Marks everything in [first, last] by reading /proc/self/fd. False when there is no /proc.
static int mark_by_proc(unsigned first, unsigned last) {
  int directory = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return 0;
  char buffer[2048] __attribute__((aligned(8)));
  for (;;) {
    long bytes = syscall(SYS_getdents64, directory, buffer, sizeof buffer);
    if (bytes <= 0) break;
    for (long position = 0; position < bytes;) {
      const struct kernel_dirent *entry = (const struct kernel_dirent *)(const void *)(buffer + position);
      position += entry->length;
      if (entry->name[0] < '0' || entry->name[0] > '9') continue;
      unsigned number = 0;
      for (const char *digit = entry->name; *digit != 0; digit++) number = number * 10 + (unsigned)(*digit - '0');
      if (number >= first && number <= last) set_close_on_exec((int)number);
    }
  }
  close(directory);
  return 1;
}

// Linux 5.9 and 5.10 can close a range but not mark it: everything but the status pipe is closed.
static int close_range_around(unsigned first, unsigned last, unsigned keep) {
  if (keep < first || keep > last) return syscall(SYS_close_range, first, last, 0) == 0;
  if (keep > first && syscall(SYS_close_range, first, keep - 1, 0) != 0) return 0;
  if (keep < last && syscall(SYS_close_range, keep + 1, last, 0) != 0) return 0;
  return 1;
}

// Keeps every descriptor in [first, last] from the program, and the status pipe alive until exec.
static void hide_range(uint32_t without, unsigned first, unsigned last, unsigned keep) {
  if (!(without & HIVE_WITHOUT_CLOSE_RANGE)) {
    if (!(without & HIVE_WITHOUT_CLOSE_RANGE_CLOEXEC) &&
        syscall(SYS_close_range, first, last, CLOSE_RANGE_CLOEXEC) == 0)
      return;
    if (close_range_around(first, last, keep)) return;
  }
  if (!(without & HIVE_WITHOUT_PROC_FD) && mark_by_proc(first, last)) return;
  // Neither: try the numbers. Container runtimes set limits of a thousand million, of which nobody uses the end.
  struct rlimit limit = {1024, 1024};
  getrlimit(RLIMIT_NOFILE, &limit);
  unsigned end = limit.rlim_cur > 65536 ? 65536 : (unsigned)limit.rlim_cur;
  for (unsigned number = first; number < end && number <= last; number++) set_close_on_exec((int)number);
}

// Puts every source at its target. Sources that stand where a target will be go above all targets first, so that no step destroys
// what a later one needs. Returns where the status pipe is now.
static int arrange_descriptors(const struct hive_spawn_plan *plan, int status) {
  int highest = -1;
  for (uint32_t index = 0; index < plan->descriptor_count; index++)
    if (plan->descriptors[index].target > highest) highest = plan->descriptors[index].target;

  if (status <= highest) {
    int moved = fcntl(status, F_DUPFD_CLOEXEC, highest + 1);
    if (moved < 0) fail(status, HIVE_STAGE_DESCRIPTORS, errno);
    status = moved;
  }
  for (uint32_t index = 0; index < plan->descriptor_count; index++) {
    struct hive_descriptor *descriptor = &plan->descriptors[index];
    descriptor->scratch = descriptor->source;
    if (descriptor->source > highest) continue;
    descriptor->scratch = fcntl(descriptor->source, F_DUPFD_CLOEXEC, highest + 1);
    if (descriptor->scratch < 0) fail(status, HIVE_STAGE_DESCRIPTORS, errno);
  }
  unsigned next = 0;
  for (uint32_t index = 0; index < plan->descriptor_count; index++) {
    struct hive_descriptor *descriptor = &plan->descriptors[index];
    if (dup2(descriptor->scratch, descriptor->target) < 0) fail(status, HIVE_STAGE_DESCRIPTORS, errno);
    unsigned target = (unsigned)descriptor->target;
    if (target > next) hide_range(plan->without, next, target - 1, (unsigned)status);
    next = target + 1;
  }
  hide_range(plan->without, next, ~0U, (unsigned)status);
  return status;
}

// ---- priority --------------------------------------------------------------------------------------------------------------

static int write_oom_score_adjust(int32_t value) {
  char text[24];
  size_t length = 0;
  if (value < 0) text[length++] = '-';
  length += decimal(text + length, value < 0 ? (uint64_t)(-(int64_t)value) : (uint64_t)value);
  int file = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (file < 0) return errno;
  ssize_t written = write(file, text, length);
  int error = written < 0 ? errno : 0;
  close(file);
  return error;
}

// Tells the parent that the kernel refused what the program can run without.
static void tell_refused(int status, uint32_t setting, int error) {
  int32_t report[3] = {HIVE_STAGE_RESOURCES, error, (int32_t)setting};
  // A handful of these fit into any pipe.
  ssize_t written = write(status, report, sizeof report);
  (void)written;
}

static int set_one(const struct hive_spawn_plan *plan, uint32_t setting) {
  if (plan->refuse & setting) {
    errno = plan->refuse_error;
    return -1;
  }
  switch (setting) {
    case HIVE_SET_AFFINITY:
      return (int)syscall(SYS_sched_setaffinity, 0, (size_t)plan->cpu_words * sizeof *plan->cpus, plan->cpus);
    // IOPRIO_WHO_PROCESS is 1; glibc has no wrapper (ioprio_set(2)).
    case HIVE_SET_IO_PRIORITY: return (int)syscall(SYS_ioprio_set, 1, 0, plan->io_priority);
    case HIVE_SET_NICE: return (int)syscall(SYS_setpriority, PRIO_PROCESS, 0, plan->nice);
    case HIVE_SET_POLICY: {
      int priority = plan->policy_priority; // struct sched_param is one int
      return (int)syscall(SYS_sched_setscheduler, 0, plan->policy, &priority);
    }
    case HIVE_SET_MEMORY_POLICY:
      // The kernel looks at one bit less than it is told of (set_mempolicy(2), BUGS of get_nodes).
      return (int)syscall(SYS_set_mempolicy, plan->memory_policy, plan->node_words > 0 ? plan->nodes : NULL,
                          plan->node_words > 0 ? (unsigned long)plan->node_words * 64 + 1 : 0UL);
    default: return 0;
  }
}

// Before the change of user, which takes CAP_SYS_NICE away.
static void set_priority(const struct hive_spawn_plan *plan, int status) {
  // nice before the policy: out of SCHED_IDLE it would be refused to an ordinary user.
  static const uint32_t settings[] = {HIVE_SET_AFFINITY, HIVE_SET_NICE, HIVE_SET_POLICY, HIVE_SET_IO_PRIORITY,
                                      HIVE_SET_MEMORY_POLICY};
  for (size_t index = 0; index < sizeof settings / sizeof *settings; index++)
    if ((plan->set & settings[index]) && set_one(plan, settings[index]) != 0) tell_refused(status, settings[index], errno);
  if (plan->set & HIVE_SET_OOM_SCORE_ADJUST) {
    int error = write_oom_score_adjust(plan->oom_score_adjust);
    if (error != 0) fail_at(status, HIVE_STAGE_PRIORITY, error, HIVE_SET_OOM_SCORE_ADJUST);
  }
}

// ---- the child -------------------------------------------------------------------------------------------------------------

// Handlers vanish at exec by themselves, but ignored signals stay ignored (execve(2)): nohup, or our own SIGPIPE. Only those that
// were changed: one system call for each of 62 signals took a fifth of a start's time.
static void reset_signal_actions(uint64_t signals) {
  struct kernel_action action;
  memset(&action, 0, sizeof action);
  for (int signal = 1; signal <= HIVE_LAST_SIGNAL; signal++) {
    if (!(signals >> (signal - 1) & 1)) continue;
    syscall(SYS_rt_sigaction, signal, &action, NULL, HIVE_MASK_BYTES);
  }
}

static int child_main(void *argument) {
  struct child_context *context = argument;
  const struct hive_spawn_plan *plan = context->plan;
  int status = context->status;
  context->is_shared = 1;

  reset_signal_actions(plan->signals);

  // A process group of its own, in the supervisor's session, as supervisord does: Ctrl-C reaches the supervisor only, which then stops
  // its programs in order; and nice keeps its meaning among the programs (the kernel's autogroups are per session, sched(7)).
  if (setpgid(0, 0) != 0) fail(status, HIVE_STAGE_SESSION, errno);

  // Before exec, so that the program never reads from a terminal that is not its own yet (tini's nested-init race). TTOU is blocked
  // here: the kernel would stop a background process that does this (tcsetpgrp(3)). Without a terminal there is nothing to take.
  if (plan->set & HIVE_SET_FOREGROUND) {
    pid_t group = (pid_t)syscall(SYS_getpid);
    ioctl(0, TIOCSPGRP, &group);
  }

  if (!(plan->set & HIVE_SET_INHERIT_DESCRIPTORS)) status = arrange_descriptors(plan, status);

  for (uint32_t index = 0; index < plan->limit_count; index++) {
    const struct hive_limit *limit = &plan->limits[index];
    struct rlimit value = {(rlim_t)limit->soft, (rlim_t)limit->hard};
    if (setrlimit(limit->resource, &value) != 0)
      fail_at(status, HIVE_STAGE_LIMITS, errno, (int)index);
  }
  if (plan->set & HIVE_SET_TAG) {
    // Sandboxes may refuse this (gVisor does); the tree is then found by group and descent alone.
    struct rlimit value = {0, 0};
    if (getrlimit(RLIMIT_LOCKS, &value) == 0) {
      value.rlim_cur = (rlim_t)plan->tag;
      setrlimit(RLIMIT_LOCKS, &value);
    }
  }
  set_priority(plan, status);

  if ((plan->set & HIVE_SET_GROUPS) && syscall(HIVE_SETGROUPS, (size_t)plan->group_count, plan->groups) != 0)
    fail(status, HIVE_STAGE_GROUPS, errno);
  if ((plan->set & HIVE_SET_GID) && syscall(HIVE_SETGID, plan->gid) != 0) fail(status, HIVE_STAGE_GID, errno);
  if ((plan->set & HIVE_SET_UID) && syscall(HIVE_SETUID, plan->uid) != 0) fail(status, HIVE_STAGE_UID, errno);

  // After setuid, as supervisord: the directory must be reachable for the user, not for root.
  if (plan->directory != NULL && chdir(plan->directory) != 0) fail(status, HIVE_STAGE_DIRECTORY, errno);
  if (plan->set & HIVE_SET_UMASK) umask((mode_t)plan->mask);
  if ((plan->set & HIVE_SET_NO_NEW_PRIVILEGES) && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    fail(status, HIVE_STAGE_NO_NEW_PRIVILEGES, errno);

  if (plan->pid_slot_count > 0) {
    uint64_t pid = (uint64_t)syscall(SYS_getpid);
    for (uint32_t index = 0; index < plan->pid_slot_count; index++)
      plan->pid_slots[index][decimal(plan->pid_slots[index], pid)] = 0;
  }

  uint64_t none = 0;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, HIVE_MASK_BYTES);
  execve(plan->file, plan->arguments, plan->environment);
  fail(status, HIVE_STAGE_EXEC, errno);
}

// ---- the parent ------------------------------------------------------------------------------------------------------------

// clone3(2) has no wrapper in glibc, and the child cannot return from it on another stack: hence the few instructions.
struct hive_clone_args {
  uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};

static long clone_into_cgroup(struct hive_clone_args *arguments, struct child_context *context) {
#if defined(__x86_64__)
  long result;
  register int (*function)(void *) __asm__("r12") = child_main;
  register void *argument __asm__("r13") = context;
  __asm__ volatile(
      "syscall\n\t"
      "test %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      "xor %%ebp, %%ebp\n\t"
      "mov %[argument], %%rdi\n\t"
      "call *%[function]\n\t"
      "hlt\n"
      "1:"
      : "=a"(result)
      : "0"((long)SYS_clone3), "D"(arguments), "S"(sizeof *arguments), [function] "r"(function), [argument] "r"(argument)
      : "rcx", "r11", "memory", "cc");
#elif defined(__aarch64__)
  register long number __asm__("x8") = SYS_clone3;
  register long result __asm__("x0") = (long)arguments;
  register long size __asm__("x1") = (long)sizeof *arguments;
  register int (*function)(void *) __asm__("x20") = child_main;
  register void *argument __asm__("x21") = context;
  __asm__ volatile(
      "svc #0\n\t"
      "cbnz x0, 1f\n\t"
      "mov x29, #0\n\t"
      "mov x0, %[argument]\n\t"
      "blr %[function]\n\t"
      "brk #1\n"
      "1:"
      : "+r"(result)
      : "r"(number), "r"(size), [function] "r"(function), [argument] "r"(argument)
      : "memory", "cc");
#else
  long result = -ENOSYS;
  (void)arguments;
  (void)context;
#endif
  if (result < 0) {
    errno = (int)-result;
    return -1;
  }
  return result;
}

static int start_child(const struct hive_spawn_plan *plan, struct child_context *context, struct hive_spawn_result *result) {
  int shared = (plan->without & HIVE_WITHOUT_SHARED_MEMORY) ? 0 : CLONE_VM | CLONE_VFORK;
  int want_pidfd = (plan->without & HIVE_WITHOUT_CLONE_PIDFD) ? 0 : CLONE_PIDFD;
  char *top = (char *)plan->stack + plan->stack_bytes;
  // Old kernels ignore the flag in clone(2) instead of refusing it: the untouched value tells (clone(2), CLONE_PIDFD).
  int pidfd = -1;
  long pid = -1;

  if (plan->cgroup >= 0 && !(plan->without & HIVE_WITHOUT_CLONE_INTO_CGROUP)) {
    struct hive_clone_args arguments;
    memset(&arguments, 0, sizeof arguments);
    arguments.flags = (uint64_t)(unsigned)(shared | want_pidfd) | CLONE_INTO_CGROUP;
    arguments.pidfd = (uint64_t)(uintptr_t)&pidfd;
    arguments.exit_signal = SIGCHLD;
    arguments.stack = (uint64_t)(uintptr_t)plan->stack;
    arguments.stack_size = plan->stack_bytes;
    arguments.cgroup = (uint64_t)(unsigned)plan->cgroup;
    pid = clone_into_cgroup(&arguments, context);
    // A lack of processes or memory is the same without the cgroup. Anything else means that this kernel, sandbox or cgroup does
    // not want it, and the child is started where we are.
    if (pid < 0 && (errno == EAGAIN || errno == ENOMEM)) return errno;
    result->in_cgroup = pid > 0;
  }
  if (pid < 0) pid = clone(child_main, top, shared | want_pidfd | SIGCHLD, context, &pidfd, NULL, NULL);
  if (pid < 0 && want_pidfd && (errno == EINVAL || errno == EMFILE || errno == ENFILE)) {
    // No descriptor left, or an emulator that does not know the flag: better a child without a pidfd than none.
    pidfd = -1;
    pid = clone(child_main, top, shared | SIGCHLD, context, NULL, NULL, NULL);
  }
  if (pid < 0) return errno;
  if (pidfd < 0 && !(plan->without & HIVE_WITHOUT_PIDFD_OPEN)) pidfd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
  result->pid = (int32_t)pid;
  result->pidfd = pidfd < 0 ? -1 : pidfd;
  return 0;
}

int hive_spawn(const struct hive_spawn_plan *plan, struct hive_spawn_result *result) {
  *result = (struct hive_spawn_result){.pid = 0, .pidfd = -1, .stage = 0, .error = 0, .detail = 0, .status = -1, .in_cgroup = 0};
  int ends[2];
  int error = plan->pipe_error;
  // With memory shared nobody waits for the end of file: the pipe can stay, which saves making one for every start.
  int is_kept = plan->pipe != NULL && plan->pipe[0] >= 0 && !(plan->without & HIVE_WITHOUT_SHARED_MEMORY);
  if (is_kept) {
    ends[0] = plan->pipe[0];
    ends[1] = plan->pipe[1];
  } else if (error == 0 && pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
    error = errno;
  }
  if (error != 0) {
    result->stage = HIVE_STAGE_PIPE;
    result->error = error;
    return error;
  }

  struct child_context context = {.plan = plan, .status = ends[1], .is_shared = 0};
  uint64_t all = ~(uint64_t)0, before = 0;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, HIVE_MASK_BYTES);
  error = plan->clone_error != 0 ? plan->clone_error : start_child(plan, &context, result);
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, HIVE_MASK_BYTES);

  if (error != 0) {
    if (!is_kept) {
      close(ends[0]);
      close(ends[1]);
    }
    result->stage = HIVE_STAGE_CLONE;
    result->error = error;
    return error;
  }
  if (context.is_shared) {
    // An empty pipe: the child has passed the point of no return, for we run again. (The kernel releases us in exec_mmap, and closes the
    // child's descriptors a little later.) Whatever it had to say it has said, so nothing of one start is left for the next.
    hive_spawn_status(ends[0], result);
    if (plan->pipe != NULL) {
      plan->pipe[0] = ends[0];
      plan->pipe[1] = ends[1];
    } else {
      close(ends[0]);
      close(ends[1]);
    }
    return 0;
  }
  // After an emulated vfork we know nothing yet.
  if (is_kept) plan->pipe[0] = plan->pipe[1] = -1;
  close(ends[1]);
  if (hive_spawn_status(ends[0], result) == 0)
    result->status = ends[0];
  else
    close(ends[0]);
  return 0;
}

int hive_spawn_status(int32_t descriptor, struct hive_spawn_result *result) {
  for (;;) {
    int32_t report[3] = {0, 0, 0};
    ssize_t bytes;
    do bytes = read(descriptor, report, sizeof report);
    while (bytes < 0 && errno == EINTR);
    if (bytes < 0 && errno == EAGAIN) return 0;
    // End of file: the write end was closed by exec - or by the child's death before it, which its exit status tells.
    if (bytes != (ssize_t)sizeof report) return 1;
    if (report[0] == HIVE_STAGE_RESOURCES) {
      if (result->refusal_count < HIVE_REFUSALS)
        result->refusals[result->refusal_count++] = (struct hive_refusal){(uint32_t)report[2], report[1]};
      continue;
    }
    result->stage = report[0];
    result->error = report[1];
    result->detail = report[2];
    return -1;
  }
}

char *const *hive_environment(void) { return environ; }

void *hive_stack_map(size_t bytes) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  char *base = mmap(NULL, bytes + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (base == MAP_FAILED) return NULL;
  if (mprotect(base, page, PROT_NONE) != 0) {
    int reason = errno;
    munmap(base, bytes + page);
    errno = reason;
    return NULL;
  }
  return base + page;
}

void hive_stack_unmap(void *stack, size_t bytes) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  munmap((char *)stack - page, bytes + page);
}
