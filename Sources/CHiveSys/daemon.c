#define _GNU_SOURCE 1
#include "hive_daemon.h"

#include <errno.h>
#include <link.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

int hive_connect_self(int listener) {
  struct sockaddr_storage address;
  socklen_t length = sizeof address;
  if (getsockname(listener, (struct sockaddr *)&address, &length) != 0) return -1;
  if (address.ss_family == AF_INET) {
    struct sockaddr_in *v4 = (struct sockaddr_in *)&address;
    if (v4->sin_addr.s_addr == htonl(INADDR_ANY)) v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  } else if (address.ss_family == AF_INET6) {
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address;
    if (IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr)) v6->sin6_addr = in6addr_loopback;
  } else {
    errno = EAFNOSUPPORT;
    return -1;
  }
  int descriptor = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor < 0) return -1;
  if (connect(descriptor, (struct sockaddr *)&address, length) != 0 && errno != EINPROGRESS) {
    int reason = errno;
    close(descriptor);
    errno = reason;
    return -1;
  }
  return descriptor;
}

int hive_clock_watch_again(int descriptor) {
  // A time that never comes: only the cancellation wakes.
  struct itimerspec never;
  memset(&never, 0, sizeof never);
  never.it_value.tv_sec = (time_t)1 << 40;
  return timerfd_settime(descriptor, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL);
}

int hive_clock_watch(void) {
  int descriptor = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
  if (descriptor < 0) return -1;
  if (hive_clock_watch_again(descriptor) != 0) {
    int reason = errno;
    close(descriptor);
    errno = reason;
    return -1;
  }
  return descriptor;
}

int hive_get_limit(int resource, uint64_t *soft, uint64_t *hard) {
  struct rlimit limit;
  if (getrlimit(resource, &limit) != 0) return -1;
  *soft = limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : (uint64_t)limit.rlim_cur;
  *hard = limit.rlim_max == RLIM_INFINITY ? UINT64_MAX : (uint64_t)limit.rlim_max;
  return 0;
}

int hive_set_limit(int resource, uint64_t soft, uint64_t hard) {
  struct rlimit limit = {
      .rlim_cur = soft == UINT64_MAX ? RLIM_INFINITY : (rlim_t)soft,
      .rlim_max = hard == UINT64_MAX ? RLIM_INFINITY : (rlim_t)hard,
  };
  return setrlimit(resource, &limit);
}

static int release_program(struct dl_phdr_info *program, size_t size, void *unused) {
  (void)size;
  (void)unused;
  const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  for (int i = 0; i < program->dlpi_phnum; i++) {
    const ElfW(Phdr) *segment = &program->dlpi_phdr[i];
    if (segment->p_type != PT_LOAD || (segment->p_flags & PF_W)) continue;
    // Whole pages only: the last one may be shared with the next segment.
    uintptr_t start = (program->dlpi_addr + segment->p_vaddr + page - 1) & ~(page - 1);
    uintptr_t end = (program->dlpi_addr + segment->p_vaddr + segment->p_filesz) & ~(page - 1);
    if (end > start) madvise((void *)start, end - start, MADV_DONTNEED);
  }
  // The first entry is the program itself; libraries, where there are any, are shared with others.
  return 1;
}

void hive_release_code_pages(void) { dl_iterate_phdr(release_program, NULL); }
