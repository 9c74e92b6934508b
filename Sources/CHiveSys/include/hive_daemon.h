// What the daemon as a whole needs of the kernel, beyond processes and pipes.
#ifndef HIVESYS_DAEMON_H
#define HIVESYS_DAEMON_H

#include <stdint.h>

/// Connects to a listening TCP socket of this process without waiting: a wildcard address is reached over loopback. The connected
/// (or connecting) socket, close-on-exec and non-blocking; -1 and errno on error.
int hive_connect_self(int listener);

/// A timerfd that becomes readable (ECANCELED) when the wall clock is set, and never otherwise (TFD_TIMER_CANCEL_ON_SET,
/// timerfd_create(2)). Close-on-exec, non-blocking. -1 and errno on error.
int hive_clock_watch(void);

/// Waits for the next setting of the clock: call it after each wake-up. -1 and errno on error.
int hive_clock_watch_again(int descriptor);

/// Gives back the resident pages of this program's own code and constants: those that are needed again are mapped again from the page
/// cache, one soft fault for 16 of them. Only segments that cannot be written are touched, so nothing is lost.
void hive_release_code_pages(void);

/// getrlimit(2) and setrlimit(2) by number; infinity is UINT64_MAX. -1 and errno on error.
int hive_get_limit(int resource, uint64_t *soft, uint64_t *hard);
int hive_set_limit(int resource, uint64_t soft, uint64_t hard);

#endif
