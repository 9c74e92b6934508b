// Everything that must not be Swift: the child between clone and exec, and thin wrappers of system calls. Also the kernel headers
// that the Glibc module does not carry.
#ifndef CHIVESYS_H
#define CHIVESYS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/types.h>

#include "hive_daemon.h"
#include "hive_probe.h"
#include "hive_process.h"
#include "hive_schedule.h"
#include "hive_spawn.h"
#include "sockets.h"

#endif
