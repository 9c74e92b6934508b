// Becoming the daemon: `execve`, so that the process id stays and PID 1 carries no argument parser.

@preconcurrency import Glibc

enum DaemonExecutable {
  /// Where `hivesupd` may be, in the order in which it is tried: beside this executable, HIVESUPD, PATH.
  static func candidates(executable: String?, override: String?, searchPath: String?) -> [String] {
    var places: [String] = []
    if let executable {
      places.append(ConfigurationSearch.joined(ConfigurationSearch.parent(of: executable), "hivesupd"))
    }
    if let override, !override.isEmpty { places.append(override) }
    for directory in (searchPath ?? "/usr/local/bin:/usr/bin:/bin").split(separator: ":") where directory.hasPrefix("/")
    {
      places.append(ConfigurationSearch.joined(String(directory), "hivesupd"))
    }
    return places
  }

  /// Replaces this process with the daemon that supervises, or is a program's init: signals that arrive from now on wait for it. Returns
  /// only by throwing.
  static func supervise(_ arguments: [String], program: [UnsafeMutablePointer<CChar>?] = []) throws(Problem) -> Never {
    PID1Signals.keepForTheDaemon()
    try become(arguments, then: program)
  }

  /// Replaces this process with the daemon; `rest` are further words, as they came. Returns only by throwing.
  static func become(_ arguments: [String], then rest: [UnsafeMutablePointer<CChar>?] = []) throws(Problem) -> Never {
    let places = candidates(
      executable: ownExecutable(), override: environmentValue("HIVESUPD"), searchPath: environmentValue("PATH"))
    guard let path = places.first(where: { access($0, X_OK) == 0 }) else {
      throw Problem(
        "cannot find hivesupd: it is not beside hivesup, not in PATH, and HIVESUPD names none; install it beside hivesup",
        status: ExitStatusCode.usage)
    }
    // What this program ignores or catches, the daemon must not inherit.
    signal(SIGPIPE, SIG_DFL)
    let own: [UnsafeMutablePointer<CChar>?] = (["hivesupd"] + arguments).map { strdup($0) }
    var words = own + rest + [nil]
    execv(path, &words)
    let reason = errno
    for word in own { free(word) }
    throw Problem("cannot run \(path): \(errorText(reason))", status: ExitStatusCode.usage)
  }
}

/// Signals between the start of a container and the daemon's first instruction.
enum PID1Signals {
  /// The kernel drops what is sent to PID 1 and has its default action (pid_namespaces(7)): a `docker stop` right after the start, or
  /// Ctrl-C for `hivesup ctl events -f`, would be lost. With this it ends the process as it would end any other.
  static func endOnRequest() {
    guard getpid() == 1 else { return }
    for number in [SIGHUP, SIGINT, SIGQUIT, SIGTERM] { signal(number) { Glibc._exit(128 + $0) } }
  }

  /// Blocked signals stay pending across execve(2), whatever their action; the daemon blocks the same ones and reads them. Those that
  /// report a fault are left alone.
  static func keepForTheDaemon() {
    var set = sigset_t()
    sigfillset(&set)
    for number in [SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT] { sigdelset(&set, number) }
    sigprocmask(SIG_BLOCK, &set, nil)
  }
}
