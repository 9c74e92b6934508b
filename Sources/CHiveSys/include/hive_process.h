// Waiting for and signalling processes: system calls that have no wrapper in glibc 2.36, or whose structs Swift cannot read.
#ifndef HIVESYS_PROCESS_H
#define HIVESYS_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

// How a child ended.
struct hive_exit {
  int32_t pid;
  int32_t code; // CLD_EXITED, CLD_KILLED or CLD_DUMPED
  int32_t status; // exit status or signal
  uint32_t uid; // the child's real user
};

// waitid(2) for exited children without waiting for any. `pid` 0 means any child. `keep` leaves it a zombie (WNOWAIT).
// 1 found, 0 none has exited, -1 with errno (ECHILD: there is no such child).
int hive_wait(pid_t pid, int keep, struct hive_exit *exit);

// Whether the child `pid` has been stopped since this was last asked: the signal that did it, or 0. Exits are left alone.
int hive_wait_stopped(pid_t pid);

// pidfd_open(2), Linux 5.3. The descriptor is close-on-exec.
int hive_pidfd_open(pid_t pid);

// pidfd_send_signal(2), Linux 5.1.
int hive_pidfd_signal(int pidfd, int signal);

// capget(2): the effective capabilities of this process, as bits.
uint64_t hive_effective_capabilities(void);

// PR_SET_CHILD_SUBREAPER and PR_GET_CHILD_SUBREAPER, Linux 3.4.
int hive_set_subreaper(int enabled);
int hive_is_subreaper(void);

// Blocks signals 32 and 33. glibc keeps them for its threads, leaves them out of every sigset_t, and so an ordinary mask cannot hold
// them: sent by somebody, either would end the process. There is one thread here, which needs neither.
int hive_block_reserved_signals(void);

// The signals, as bits (signal 1 is bit 0), that are caught or ignored now. SIGKILL and SIGSTOP never are.
uint64_t hive_changed_signals(void);

// Ignores a signal.
int hive_ignore_signal(int signal);

// Gives a signal its default action. A signal that our own parent ignored is ignored here too, until this.
int hive_default_signal(int signal);

#endif
