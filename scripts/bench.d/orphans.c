// orphans COUNT SOCKET: makes COUNT orphans that all wait, lets them end at one moment, and tells how long it took until
// the last one was reaped ("orphans COUNT NANOSECONDS" in one datagram). Then sleeps, as a service does.
//
// A double fork each: the one in the middle ends, the kernel gives its child to PID 1. What is timed begins when the orphans
// are allowed to end, so it is their exit and PID 1's reaping and nothing else. An orphan is reaped when its id is free.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long monotonic(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

int main(int argc, char **argv) {
  if (argc < 3) return 100;
  int count = atoi(argv[1]), gate[2], ids[2];
  pid_t *orphans = calloc((size_t)count, sizeof *orphans);
  if (!orphans || pipe(gate) < 0 || pipe(ids) < 0) return 111;
  for (int i = 0; i < count; i++) {
    pid_t middle = fork();
    if (middle < 0) return 111;
    if (middle == 0) {
      pid_t orphan = fork();
      if (orphan == 0) {
        char nothing;
        close(gate[1]);
        while (read(gate[0], &nothing, 1) < 0 && errno == EINTR) {}
        _exit(0);
      }
      _exit(write(ids[1], &orphan, sizeof orphan) == sizeof orphan && orphan > 0 ? 0 : 111);
    }
    int status;
    if (waitpid(middle, &status, 0) != middle || status != 0) return 111;
    if (read(ids[0], &orphans[i], sizeof orphans[i]) != sizeof orphans[i]) return 111;
  }
  long long begun = monotonic();
  close(gate[1]);
  for (int i = 0; i < count; i++) {
    // Yields instead of spinning: the processor belongs to the orphans and to who reaps them.
    struct timespec moment = {.tv_nsec = 50000};
    while (kill(orphans[i], 0) == 0) nanosleep(&moment, NULL);
  }
  long long taken = monotonic() - begun;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(argv[2]) >= sizeof address.sun_path) return 100;
  strcpy(address.sun_path, argv[2]);
  char text[128];
  int length = snprintf(text, sizeof text, "orphans %d %lld", count, taken);
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || sendto(fd, text, (size_t)length, 0, (struct sockaddr *)&address, sizeof address) < 0) return 111;
  for (;;) pause();
}
