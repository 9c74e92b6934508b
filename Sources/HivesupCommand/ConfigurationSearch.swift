// Which configuration is meant when nobody names one: hivesup's own place, then supervisord's (supervisor/options.py,
// `Options.default_configfile` and its search paths, 4.3.0).

@preconcurrency import Glibc

enum ConfigurationSearch {
  /// The places in the order in which they are tried.
  static func candidates(executable: String?) -> [String] {
    var places = ["/etc/hivesup/hivesup.conf"]
    if let executable {
      let directory = parent(of: executable)
      places += [
        joined(parent(of: directory), "etc/supervisord.conf"), joined(parent(of: directory), "supervisord.conf"),
      ]
    }
    return places + [
      "supervisord.conf", "etc/supervisord.conf", "/etc/supervisord.conf", "/etc/supervisor/supervisord.conf",
    ]
  }

  /// The named file, or the first one that exists.
  static func find(_ named: String?, executable: String?, exists: (String) -> Bool) throws(Problem) -> String {
    if let named {
      guard exists(named) else {
        throw Problem("cannot read the configuration \(named): \(errorText(ENOENT))", status: ExitStatusCode.usage)
      }
      return named
    }
    let places = candidates(executable: executable)
    if let found = places.first(where: exists) { return found }
    throw Problem(
      "cannot find a configuration: none of \(places.joined(separator: ", ")) exists; name it with -c FILE",
      status: ExitStatusCode.usage)
  }

  /// The named file, or the first one that exists on this machine.
  static func find(_ named: String?) throws(Problem) -> String {
    try find(named, executable: ownExecutable()) { path in
      var status = stat()
      return stat(path, &status) == 0 && status.st_mode & S_IFMT != S_IFDIR
    }
  }

  static func parent(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  static func joined(_ directory: String, _ name: String) -> String {
    directory == "/" ? "/\(name)" : "\(directory)/\(name)"
  }
}

/// Where this executable is; nil when /proc is not mounted.
func ownExecutable() -> String? {
  withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(PATH_MAX)) { buffer in
    guard let start = buffer.baseAddress else { return nil }
    let count = readlink("/proc/self/exe", start, buffer.count)
    guard count > 0 else { return nil }
    return String(decoding: UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<count]), as: UTF8.self)
  }
}
