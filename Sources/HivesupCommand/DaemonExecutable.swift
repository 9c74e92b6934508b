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

  /// Replaces this process with the daemon. Returns only by throwing.
  static func become(_ arguments: [String]) throws(Problem) -> Never {
    let places = candidates(
      executable: ownExecutable(), override: environmentValue("HIVESUPD"), searchPath: environmentValue("PATH"))
    guard let path = places.first(where: { access($0, X_OK) == 0 }) else {
      throw Problem(
        "cannot find hivesupd: it is not beside hivesup, not in PATH, and HIVESUPD names none; install it beside hivesup",
        status: ExitStatusCode.usage)
    }
    // What this program ignores or catches, the daemon must not inherit.
    signal(SIGPIPE, SIG_DFL)
    var words: [UnsafeMutablePointer<CChar>?] = (["hivesupd"] + arguments).map { strdup($0) }
    words.append(nil)
    execv(path, &words)
    let reason = errno
    for word in words { free(word) }
    throw Problem("cannot run \(path): \(errorText(reason))", status: ExitStatusCode.usage)
  }
}
