// Environment, program and working directory of this process.

import CHivePostgres
import Glibc

/// What this process was started with.
public enum ProcessEnvironment {
  /// This program's file, absolute.
  public static var executable: String { FileSystem.linkTarget("/proc/self/exe") ?? "/" }

  /// Where it was started.
  public static var workingDirectory: String {
    guard let path = getcwd(nil, 0) else { return "/" }
    defer { free(path) }
    return String(cString: path)
  }

  /// A copy.
  public static var current: [String: String] {
    var environment: [String: String] = [:]
    guard var entry = hpg_environment() else { return environment }
    while let text = entry.pointee {
      let line = String(cString: text)
      if let equals = line.firstIndex(of: "=") {
        environment[String(line[..<equals])] = String(line[line.index(after: equals)...])
      }
      entry += 1
    }
    return environment
  }

  /// libpq reads its variables wherever a connection does not say otherwise, and refuses some of them before it looks at that
  /// (PGSERVICE that no file has, or that is empty). Our connections say all that they need; what is set is for the API, or an accident.
  public static func forgetClientVariables() {
    for name in current.keys where isClientVariable(name) { unsetenv(name) }
  }

  /// None of libpq's has an underscore there; PG_OOM_ADJUST_FILE and its kind are the server's.
  static func isClientVariable(_ name: String) -> Bool { name.hasPrefix("PG") && !name.hasPrefix("PG_") }
}
