// What every supervisor supervises here. It stamps CLOCK_MONOTONIC first thing in main, tells it to the benchmark in one
// datagram ("NAME PID NANOSECONDS"), and sleeps. Linked statically: no loader time, and no shared page to argue about.
//
// service NAME SOCKET, or with neither: the name of the working directory and $BENCH_SOCKET (s6 and runit start ./run).
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  char directory[4096];
  const char *name = argc > 2 ? argv[1] : NULL, *path = argc > 2 ? argv[2] : getenv("BENCH_SOCKET");
  if (!name) {
    if (!getcwd(directory, sizeof directory)) return 111;
    name = strrchr(directory, '/') + 1;
  }
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (!path || strlen(path) >= sizeof address.sun_path) return 100;
  strcpy(address.sun_path, path);
  char text[256];
  int length = snprintf(text, sizeof text, "%s %d %lld", name, (int)getpid(), now.tv_sec * 1000000000LL + now.tv_nsec);
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || sendto(fd, text, (size_t)length, 0, (struct sockaddr *)&address, sizeof address) < 0) return 111;
  close(fd);
  for (;;) pause();
}
