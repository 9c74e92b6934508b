// The child between fork and exec, and system calls that the Glibc module does not carry. Decides nothing.
#ifndef CHIVEPOSTGRES_H
#define CHIVEPOSTGRES_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/// What a child is made of.
struct hpg_child {
  const char *path;
  char *const *argv;
  char *const *envp;
  /// NULL: the parent's.
  const char *directory;
  /// Descriptors that become 0, 1 and 2.
  int standard_input;
  int standard_output;
  int standard_error;
  /// The signal it gets when its parent dies (prctl(2), PR_SET_PDEATHSIG).
  int death_signal;
};

/// Starts a child as the leader of a process group of its own, with no signal blocked or ignored. Returns its process id, or
/// -errno of the step that failed: the program of that path never ran. Only for processes with one thread.
pid_t hpg_spawn(const struct hpg_child *child);

/// getrandom(2), all of it; -1 and errno where it cannot.
int hpg_random(void *buffer, size_t length);

/// memfd_create(2) with MFD_CLOEXEC.
int hpg_memory_file(const char *name);

/// The filesystem's type (statfs(2), f_type), or 0.
uint64_t hpg_filesystem_type(const char *path);

/// TMPFS_MAGIC.
uint64_t hpg_tmpfs(void);

/// 1 for filesystems of which syncfs(2) is known to make everything durable that fsync(2) would.
int hpg_syncs_whole(uint64_t type);

/// syncfs(2).
int hpg_sync_filesystem(int fd);

/// fallocate(2): reserves blocks, never by writing zeros as posix_fallocate(3) may.
int hpg_allocate(int fd, int64_t length);

/// signalfd(2), non-blocking and close-on-exec: readable while one of these signals is pending.
int hpg_signal_descriptor(const sigset_t *signals);

/// pipe2(2) with O_CLOEXEC.
int hpg_pipe(int ends[2]);

/// 1 when this system has the locale.
int hpg_has_locale(const char *name);

/// 1 when any process on this system has the file open for writing, 0 when none has, -errno when the kernel does not tell. Asked
/// with a read lease, which is given back at once; `owner` owns the file: who may not take leases of others' files asks as he.
int hpg_is_open_for_writing(const char *path, uid_t owner);

/// For root: makes this process another user for filesystems (credentials(7)), /proc among them; 0 and 0 undo it.
void hpg_filesystem_user(uid_t user, gid_t group);

/// environ(7).
char *const *hpg_environment(void);

#endif
