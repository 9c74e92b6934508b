// How threads that run already are scheduled, and what tells that the machine's CPUs have changed.
#ifndef HIVESYS_SCHEDULE_H
#define HIVESYS_SCHEDULE_H

#include <stdint.h>
#include <sys/types.h>

// sched_setscheduler(2) of one thread. 0 or errno.
int hive_set_policy(pid_t thread, int policy, int priority);

// sched_getscheduler(2) and sched_getparam(2) of one thread, without SCHED_RESET_ON_FORK. 0 or errno.
int hive_get_policy(pid_t thread, int *policy, int *priority);

// setpriority(2) and getpriority(2) of one thread. 0 or errno.
int hive_set_nice(pid_t thread, int nice);
int hive_get_nice(pid_t thread, int *nice);

// ioprio_set(2) of one thread. 0 or errno. 0 as a priority is "none": by nice.
int hive_set_io_priority(pid_t thread, int priority);

// ioprio_get(2) of one thread (0: the caller's); -1 with errno.
int hive_get_io_priority(pid_t thread);

// Takes the effective user id `uid` for a moment (setresuid(2)); the real and the saved one stay, so that nobody gains power over this
// process meanwhile and `hive_leave_user` can go back. Only for root with a single thread. 0 or errno.
int hive_enter_user(uid_t uid);

// Goes back to root's effective id, with which the effective capabilities come back (capabilities(7)).
void hive_leave_user(void);

// Whether set_mempolicy(2) may be called: 0 or errno. The caller's policy stays what it is.
int hive_probe_memory_policy(void);

// A socket that becomes readable when the kernel brings a CPU up or down (uevents, Linux 2.6.10), and for nothing else; -1 with errno.
// Everybody may listen, but the kernel sends them only to network namespaces of the initial user namespace (lib/kobject_uevent.c):
// silence in a rootless container.
int hive_cpu_events_open(void);

// Reads away what has come; 1 when there was something.
int hive_cpu_events_drain(int descriptor);

// An inotify descriptor that becomes readable when somebody writes to one of the files that are added; -1 with errno.
int hive_file_watch_open(void);

// Adds a file. 0 or errno.
int hive_file_watch_add(int descriptor, const char *path);

#endif
