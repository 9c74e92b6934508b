#define _GNU_SOURCE 1
#include "CHivePostgres.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

// Moves `from` to `to` without close-on-exec. dup2 of a descriptor to itself keeps the flag, hence fcntl.
static int place(int from, int to) {
  if (from == to) {
    return fcntl(to, F_SETFD, 0);
  }
  return dup2(from, to) < 0 ? -1 : 0;
}

static void become(const struct hpg_child *child, pid_t parent) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, child->death_signal);
  if (getppid() != parent) {
    // The parent died before prctl: the signal will never come.
    _exit(1);
  }
  for (int number = 1; number < NSIG; number++) {
    signal(number, SIG_DFL);
  }
  // The three sources may be any of 0, 1, 2 in any order: take them out of the way first.
  int source[3] = {child->standard_input, child->standard_output, child->standard_error};
  for (int i = 0; i < 3; i++) {
    if (source[i] < 3 && source[i] != i) {
      source[i] = fcntl(source[i], F_DUPFD_CLOEXEC, 3);
      if (source[i] < 0) {
        return;
      }
    }
  }
  for (int i = 0; i < 3; i++) {
    if (place(source[i], i) != 0) {
      return;
    }
  }
  if (child->directory != NULL && chdir(child->directory) != 0) {
    return;
  }
  sigset_t none;
  sigemptyset(&none);
  if (sigprocmask(SIG_SETMASK, &none, NULL) != 0) {
    return;
  }
  execve(child->path, child->argv, child->envp);
}

pid_t hpg_spawn(const struct hpg_child *child) {
  int channel[2];
  if (pipe2(channel, O_CLOEXEC) != 0) {
    return -errno;
  }
  // No handler of the parent may run in the child: everything is blocked across fork.
  sigset_t all, before;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &before);
  pid_t parent = getpid();
  pid_t pid = fork();
  if (pid == 0) {
    // The channel must survive `place`, which writes to 0, 1 and 2.
    int report = channel[1];
    if (report < 3) {
      report = fcntl(report, F_DUPFD_CLOEXEC, 3);
    }
    become(child, parent);
    int code = errno;
    (void)!write(report, &code, sizeof code);
    _exit(127);
  }
  int failure = pid < 0 ? errno : 0;
  sigprocmask(SIG_SETMASK, &before, NULL);
  close(channel[1]);
  if (pid > 0) {
    // The group exists before we may want to signal it, whoever of the two runs first.
    setpgid(pid, pid);
    ssize_t got;
    do {
      got = read(channel[0], &failure, sizeof failure);
    } while (got < 0 && errno == EINTR);
    if (got != (ssize_t)sizeof failure) {
      failure = 0;
    } else {
      while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
      }
    }
  }
  close(channel[0]);
  return failure != 0 ? -failure : pid;
}
