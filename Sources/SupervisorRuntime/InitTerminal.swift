// The terminal of `hivesup PROGRAM …`: descriptor 0, where that is the controlling terminal. The program's process group is its foreground
// group while the program runs, so Ctrl-C, Ctrl-Z and the window's size reach the program and what it starts, and not us.
//
// Ctrl-Z needs somebody who continues what it stops. Below a shell with job control that is the shell, which looks at its own child: us.
// So we stop too (as dumb-init does, and sudo). In a container there is nobody. The kernel knows that case (an orphaned process group
// ignores TSTP, TTIN and TTOU, POSIX.1-2017 2.4.3), but not for the program, whose parent is us; so we continue it at once.

import CHiveSys
import Glibc

/// The terminal of an init and its one program.
struct InitTerminal {
  /// Whether our process group is the foreground one. Both are 0 for a group outside of this pid namespace (getpgrp(2)).
  var isOurs: Bool {
    let group = tcgetpgrp(0)
    return group >= 0 && group == getpgrp()
  }

  /// Makes `group` the foreground group, if that is ours to give: it was our group until now, or one that is gone. Returns whether `group`
  /// has the terminal now. `Signals` has blocked TTOU, which would stop us here.
  @discardableResult
  func handOver(to group: pid_t) -> Bool {
    if isOurs || isAbandoned { _ = tcsetpgrp(0, group) }
    return tcgetpgrp(0) == group
  }

  /// Makes our group the foreground one again, unless somebody else has the terminal by now.
  func takeBack(from group: pid_t) {
    guard tcgetpgrp(0) == group || isAbandoned else { return }
    let own = getpgrp()
    if own > 0 { _ = tcsetpgrp(0, own) }
  }

  private var isAbandoned: Bool {
    let group = tcgetpgrp(0)
    return group > 1 && kill(-group, 0) != 0 && errno == ESRCH
  }

  /// Stops this process, or its whole group as the terminal would, until it is continued. False, at once, when nobody could continue it:
  /// it is PID 1 or a child of it, or the kernel finds the group orphaned.
  static func stopSelf(by signal: Int32, withGroup: Bool) -> Bool {
    guard getpid() != 1, getppid() != 1 else { return false }
    // A stop discards a pending CONT (signal(7)): one that is pending afterwards has continued us.
    _ = hive_default_signal(signal)
    _ = kill(withGroup && getpgrp() > 0 ? 0 : getpid(), signal)
    var stop = sigset_t()
    sigemptyset(&stop)
    sigaddset(&stop, signal)
    pthread_sigmask(SIG_UNBLOCK, &stop, nil)
    pthread_sigmask(SIG_BLOCK, &stop, nil)
    var proceed = sigset_t()
    sigemptyset(&proceed)
    sigaddset(&proceed, SIGCONT)
    var now = timespec()
    return sigtimedwait(&proceed, nil, &now) == SIGCONT
  }
}
