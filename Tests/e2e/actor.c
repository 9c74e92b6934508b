// A program to be supervised that does one thing on demand. Shell scripts do the rest.
//
//   actor orphans COUNT MILLISECONDS   makes COUNT orphans that live that long, prints "orphaned COUNT", waits for TERM
//   actor flood BYTES                  writes BYTES to standard output in lines of 100, then prints "flooded" to standard error, waits
//   actor daemonize COMMAND…           forks twice with a new session in between, runs COMMAND in the grandchild; waits for TERM itself
//   actor listen SECONDS               sleeps, then accepts on descriptor 3 and answers every request with 200 "actor"
//   actor signals                      prints "foreground 1" (0: another group has the terminal of standard input; -1: it is none), then "got N" for
//                                      every signal that can be caught, for ever
//   actor deaf                         ignores every signal that can be ignored, prints "deaf", waits for ever
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void wait_for_ever(void) {
  for (;;) pause();
}

static void rest(long milliseconds) {
  struct timespec left = {milliseconds / 1000, milliseconds % 1000 * 1000000};
  while (nanosleep(&left, &left) < 0 && errno == EINTR) {}
}

static int orphans(int count, long milliseconds) {
  for (int i = 0; i < count; i++) {
    pid_t middle = fork();
    if (middle < 0) return 111;
    if (middle == 0) {
      pid_t orphan = fork();
      if (orphan == 0) {
        rest(milliseconds);
        _exit(i & 127);
      }
      _exit(orphan < 0);
    }
    int status;
    if (waitpid(middle, &status, 0) != middle || status) return 111;
  }
  printf("orphaned %d\n", count);
  fflush(stdout);
  wait_for_ever();
  return 0;
}

static int flood(long long bytes) {
  char line[101];
  memset(line, 'x', 99);
  line[99] = '\n';
  for (long long written = 0; written < bytes; written += 100) {
    for (size_t done = 0; done < 100;) {
      ssize_t n = write(1, line + done, 100 - done);
      if (n < 0 && errno != EINTR) return 111;
      if (n > 0) done += (size_t)n;
    }
  }
  fputs("flooded\n", stderr);
  wait_for_ever();
  return 0;
}

static int daemonize(char **command) {
  pid_t middle = fork();
  if (middle < 0) return 111;
  if (middle == 0) {
    setsid();
    pid_t grandchild = fork();
    if (grandchild == 0) {
      execvp(command[0], command);
      _exit(127);
    }
    _exit(grandchild < 0);
  }
  int status;
  if (waitpid(middle, &status, 0) != middle || status) return 111;
  puts("daemonized");
  fflush(stdout);
  wait_for_ever();
  return 0;
}

static int serve(int seconds) {
  static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nactor";
  signal(SIGPIPE, SIG_IGN);
  rest(seconds * 1000L);
  for (;;) {
    int client = accept(3, NULL, NULL);
    if (client < 0) {
      if (errno == EAGAIN) {
        // The descriptor is shared and may be non-blocking: then it is polled, calmly.
        rest(2);
        continue;
      }
      if (errno == EINTR || errno == ECONNABORTED) continue;
      return 111;
    }
    char request[4096];
    if (read(client, request, sizeof request) > 0) {
      if (write(client, answer, sizeof answer - 1) < 0) { /* the client went away */ }
    }
    close(client);
  }
}

static void take_signals(void) {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, NULL);
  pid_t foreground = tcgetpgrp(0);
  printf("foreground %d\n", foreground < 0 ? -1 : foreground == getpgrp());
  fflush(stdout);
  for (;;) {
    siginfo_t signal;
    if (sigwaitinfo(&all, &signal) < 0) continue;
    printf("got %d\n", signal.si_signo);
    fflush(stdout);
  }
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  if (!strcmp(what, "orphans") && argc == 4) return orphans(atoi(argv[2]), atol(argv[3]));
  if (!strcmp(what, "flood") && argc == 3) return flood(atoll(argv[2]));
  if (!strcmp(what, "daemonize") && argc > 2) return daemonize(argv + 2);
  if (!strcmp(what, "listen") && argc == 3) return serve(atoi(argv[2]));
  if (!strcmp(what, "signals")) take_signals();
  if (!strcmp(what, "deaf")) {
    for (int number = 1; number < 65; number++) signal(number, SIG_IGN);
    puts("deaf");
    fflush(stdout);
    wait_for_ever();
  }
  fprintf(stderr, "usage: actor orphans|flood|daemonize|listen|signals|deaf …\n");
  return 100;
}
