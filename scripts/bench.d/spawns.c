// What a start costs when nobody supervises: clone as hivesupd does it (CLONE_VM | CLONE_VFORK | CLONE_PIDFD), execve at once, nothing
// else. The caller stands still until the child has executed, so this is the kernel's own share of hivesup_spawn_seconds.
//
// spawns SERVICE SOCKET: for each line "N" of its input it starts N services back to back, and prints the N times in nanoseconds in one
// line. At the end of its input it kills them all.
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 1000, STACK = 65536 };

static char *arguments[] = {NULL, "spawned", NULL, NULL};
static char *environment[] = {NULL};

static int child(void *unused) {
  (void)unused;
  execve(arguments[0], arguments, environment);
  _exit(127);
}

static long long now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000000LL + time.tv_nsec;
}

int main(int argc, char **argv) {
  if (argc != 3) return 100;
  arguments[0] = argv[1];
  arguments[2] = argv[2];
  char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED) return 111;
  pid_t *children = NULL;
  size_t count = 0;
  int wanted;
  while (scanf("%d", &wanted) == 1 && wanted > 0 && wanted <= MOST) {
    long long times[MOST];
    children = realloc(children, (count + (size_t)wanted) * sizeof *children);
    if (children == NULL) return 111;
    for (int index = 0; index < wanted; index++) {
      int pidfd = -1;
      long long begun = now();
      pid_t pid = clone(child, stack + STACK, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, NULL, &pidfd, NULL, NULL);
      times[index] = now() - begun;
      if (pid < 0) return 111;
      close(pidfd);
      children[count++] = pid;
    }
    for (int index = 0; index < wanted; index++) printf("%lld%c", times[index], index + 1 < wanted ? ' ' : '\n');
    fflush(stdout);
  }
  for (size_t index = 0; index < count; index++) kill(children[index], SIGKILL);
  while (wait(NULL) > 0) continue;
  return 0;
}
