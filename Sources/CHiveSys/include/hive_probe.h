// Small questions to the kernel that `hivesupd --doctor` asks of itself.
#ifndef HIVESYS_PROBE_H
#define HIVESYS_PROBE_H

// Whether close_range(2) exists, and knows CLOSE_RANGE_CLOEXEC: 0, or errno.
int hive_probe_close_range(int cloexec);

// Sets this process's CPU affinity to what it is: 0, or errno. `cpus` is how many it has.
int hive_probe_affinity(int *cpus);

// Takes ioprio class and level and gives the old one back: 0, or errno.
int hive_probe_io_priority(int class_and_level);

// prctl(PR_GET_NO_NEW_PRIVS): 0, 1, or -1.
int hive_no_new_privileges(void);

// Starts a child that cannot execute, the way every program is started, and reaps it. Returns 0 or the errno of clone(2); tells
// whether a pidfd came with it and whether memory was shared (an emulator forks instead).
int hive_probe_clone(int *has_pidfd, int *is_shared);

// The same child, born in the cgroup v2 of this directory descriptor. 0; errno; EOPNOTSUPP when the kernel started it elsewhere;
// ECANCELED when the kernel killed it at its birth.
int hive_probe_cgroup(int cgroup);

#endif
