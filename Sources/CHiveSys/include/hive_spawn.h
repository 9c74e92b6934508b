// One child, from clone to exec. The parent prepares everything in one struct; the child only makes system calls.
#ifndef HIVESYS_SPAWN_H
#define HIVESYS_SPAWN_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// At which step the child was refused; the numbers are those of SupervisorCore's SpawnStage.
enum hive_stage {
  HIVE_STAGE_PIPE = 3,
  HIVE_STAGE_CLONE = 4,
  HIVE_STAGE_SESSION = 5,
  HIVE_STAGE_DESCRIPTORS = 6,
  HIVE_STAGE_LIMITS = 7,
  HIVE_STAGE_PRIORITY = 8,
  HIVE_STAGE_GROUPS = 9,
  HIVE_STAGE_GID = 10,
  HIVE_STAGE_UID = 11,
  HIVE_STAGE_DIRECTORY = 12,
  HIVE_STAGE_NO_NEW_PRIVILEGES = 13,
  HIVE_STAGE_EXEC = 14,
  // Not a failure: the kernel refused a setting that the program can run without (`refusals`).
  HIVE_STAGE_RESOURCES = 15,
};

// Which optional members of hive_spawn_plan are set.
enum hive_spawn_set {
  HIVE_SET_UMASK = 1 << 0,
  HIVE_SET_GROUPS = 1 << 1,
  HIVE_SET_GID = 1 << 2,
  HIVE_SET_UID = 1 << 3,
  HIVE_SET_NICE = 1 << 4,
  HIVE_SET_IO_PRIORITY = 1 << 5,
  HIVE_SET_OOM_SCORE_ADJUST = 1 << 6,
  HIVE_SET_NO_NEW_PRIVILEGES = 1 << 7,
  HIVE_SET_TAG = 1 << 8,
  // Its process group becomes the foreground one of the terminal that is descriptor 0; without a terminal it is ignored.
  HIVE_SET_FOREGROUND = 1 << 9,
  // It gets every descriptor that is not close-on-exec, as execve(2) alone would give them; `descriptors` is ignored.
  HIVE_SET_INHERIT_DESCRIPTORS = 1 << 10,
  // What the kernel may refuse without harm, as it may HIVE_SET_NICE and HIVE_SET_IO_PRIORITY: the program runs without it.
  HIVE_SET_AFFINITY = 1 << 16,
  HIVE_SET_POLICY = 1 << 17,
  HIVE_SET_MEMORY_POLICY = 1 << 18,
};

// Kernel features to do without, so that every fallback can be tested on a kernel that has them all.
enum hive_spawn_without {
  HIVE_WITHOUT_CLONE_PIDFD = 1 << 0,        // Linux 5.2
  HIVE_WITHOUT_PIDFD_OPEN = 1 << 1,         // Linux 5.3
  HIVE_WITHOUT_CLOSE_RANGE_CLOEXEC = 1 << 2, // Linux 5.11
  HIVE_WITHOUT_CLOSE_RANGE = 1 << 3,        // Linux 5.9
  HIVE_WITHOUT_PROC_FD = 1 << 4,            // no /proc
  HIVE_WITHOUT_SHARED_MEMORY = 1 << 5,      // emulators (qemu-user) turn CLONE_VM|CLONE_VFORK into fork
  HIVE_WITHOUT_CLONE_INTO_CGROUP = 1 << 6,  // Linux 5.7
};

// `source` of the parent becomes `target` of the child.
struct hive_descriptor {
  int32_t source;
  int32_t target;
  int32_t scratch; // used by the child
};

struct hive_limit {
  int32_t resource;
  uint64_t soft;
  uint64_t hard;
};

// A setting that the kernel refused, and why (errno).
struct hive_refusal {
  uint32_t setting; // enum hive_spawn_set
  int32_t error;
};

// What to run. Nothing here is owned; all of it must stay valid during the call.
struct hive_spawn_plan {
  const char *file;
  char *const *arguments;
  char *const *environment;
  const char *directory; // NULL: stay
  struct hive_descriptor *descriptors; // ascending by target, no target twice
  char *const *pid_slots; // each is room for HIVE_PID_SLOT bytes inside `environment`, where the child writes its own pid
  const struct hive_limit *limits;
  const gid_t *groups;
  uint64_t signals; // which signals' actions to set back to the default, as bits (signal 1 is bit 0)
  uint32_t descriptor_count;
  uint32_t pid_slot_count;
  uint32_t limit_count;
  uint32_t group_count;
  uint32_t set;     // enum hive_spawn_set
  uint32_t without; // enum hive_spawn_without
  uint32_t mask;    // umask
  uint32_t gid;
  uint32_t uid;
  int32_t nice;
  int32_t io_priority;
  int32_t oom_score_adjust;
  uint64_t tag;   // soft RLIMIT_LOCKS, see ProcessTree.swift
  const uint64_t *cpus;  // sched_setaffinity(2): bits, CPU 0 in the lowest of the first word
  const uint64_t *nodes; // set_mempolicy(2): likewise
  uint32_t cpu_words;
  uint32_t node_words;
  int32_t policy; // SCHED_*
  int32_t policy_priority;
  int32_t memory_policy; // MPOL_*
  int32_t cgroup; // directory descriptor of a cgroup v2, or -1
  // The pipe over which a failure is told: its two ends, kept from start to start, or -1. hive_spawn fills them in once it has seen that
  // the child really shares our memory; the owner closes them. Until then, without that, and where this is NULL, every start has a pipe
  // of its own.
  int32_t *pipe;
  int32_t pipe_error;  // test seam: pretend that pipe2 or clone was refused with this errno; 0 in production
  int32_t clone_error;
  uint32_t refuse; // test seam: the settings (enum hive_spawn_set) that are to be refused with `refuse_error`
  int32_t refuse_error;
  void *stack; // from hive_stack_map
  size_t stack_bytes;
};

enum { HIVE_PID_SLOT = 12, HIVE_REFUSALS = 8 };

// What came of it.
struct hive_spawn_result {
  int32_t pid;    // > 0: a process existed and must be reaped, even when `stage` is set
  int32_t pidfd;  // -1: this kernel has none
  int32_t stage;  // enum hive_stage; 0: executed, or not known yet
  int32_t error;  // errno
  int32_t detail; // which limit (its index), or which priority (HIVE_SET_*), was refused
  int32_t status; // -1, or (emulators only) the pipe on which hive_spawn_status will tell
  uint32_t refusal_count;
  struct hive_refusal refusals[HIVE_REFUSALS]; // what it runs without
  int32_t in_cgroup; // whether it was born in `cgroup`
};

// Starts a child. Blocks until it has executed or failed, which takes about 50 µs at any size of the parent
// (CLONE_VM|CLONE_VFORK). Returns 0 when a process exists; otherwise the errno, with `stage` set to pipe or clone.
int hive_spawn(const struct hive_spawn_plan *plan, struct hive_spawn_result *result);

// Reads a status pipe without blocking, refusals first: 1 executed, 0 not yet, -1 failed (`stage`, `error` and `detail` are set).
int hive_spawn_status(int32_t descriptor, struct hive_spawn_result *result);

// The environment of this process, for `environment`: bytes as they are, also those that are no UTF-8.
char *const *hive_environment(void);

// A stack with a guard page below it for the children, which use it one after the other. NULL with errno set.
void *hive_stack_map(size_t bytes);
void hive_stack_unmap(void *stack, size_t bytes);

#endif
