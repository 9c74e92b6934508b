// A world in which a configuration can be loaded: files, users and directories that exist in the test only.

import SupervisorConfig

/// What exists. `input` makes it a `ConfigurationInput`.
struct VirtualWorld {
  /// Files by absolute path.
  var files: [String: [UInt8]] = [:]
  /// Directories; the parents of files exist as well.
  var directories: Set<String> = [
    "/", "/tmp", "/var", "/var/log", "/dev", "/dev/fd", "/proc/self/fd", "/conf", "/root",
  ]
  /// Paths that exist and cannot be read.
  var unreadable: Set<String> = []
  var users: [UserRecord] = [
    UserRecord(name: "root", userID: 0, groupID: 0, home: "/root"),
    UserRecord(name: "daemon", userID: 1, groupID: 1, home: "/nonexistent"),
    UserRecord(name: "nobody", userID: 65534, groupID: 65534, home: "/nonexistent"),
  ]
  var groups: [(name: String, id: UInt32)] = [("root", 0), ("daemon", 1), ("ssl-cert", 101)]
  var zones: [String: [UInt8]] = [:]
  /// The environment of Fixtures/supervisord_dump.py.
  var environment: [(String, String)] = [
    ("HOME", "/root"), ("PATH", "/usr/bin:/bin"), ("LANG", "C.UTF-8"), ("GREETING", "hello world"),
    ("PERCENT", "100%d"),
    ("QUOTED", "a\"b'c"), ("EMPTY", ""), ("PLAIN", "plain"),
  ]
  var effectiveUserID: UInt32 = 0

  /// A world with one configuration file, /conf/supervisord.conf.
  init(_ text: String = "") { files["/conf/supervisord.conf"] = Array(text.utf8) }

  /// The world as the loader sees it.
  var input: ConfigurationInput {
    let files = files
    var directories = directories
    for path in Array(files.keys) + Array(unreadable) {
      var parts = path.split(separator: "/").dropLast()
      while !parts.isEmpty {
        directories.insert("/" + parts.joined(separator: "/"))
        parts = parts.dropLast()
      }
    }
    let all = directories
    let unreadable = unreadable
    let users = users
    let groups = groups
    let zones = zones
    return ConfigurationInput(
      path: "/conf/supervisord.conf", environment: environment, hostName: "testhost", workingDirectory: "/conf",
      effectiveUserID: effectiveUserID,
      readFile: { (path) throws(FileProblem) in
        if unreadable.contains(path) { throw .system("Permission denied") }
        if all.contains(path) { throw .directory }
        guard let bytes = files[path] else { throw .absent }
        return bytes
      },
      listDirectory: { path in
        guard all.contains(path) else { return nil }
        let prefix = path == "/" ? "/" : path + "/"
        let names = (Array(files.keys) + Array(all) + Array(unreadable)).compactMap { other -> String? in
          guard other.hasPrefix(prefix), other.count > prefix.count else { return nil }
          return other.dropFirst(prefix.count).split(separator: "/").first.map(String.init)
        }
        return Array(Set(names))
      },
      fileExists: { files[$0] != nil || all.contains($0) || unreadable.contains($0) },
      directoryExists: { path in
        var path = path
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        return all.contains(path)
      },
      user: { text in users.first { $0.name == text || String($0.userID) == text } },
      groupExists: { text in groups.contains { $0.name == text || String($0.id) == text } },
      zoneInformation: { zones[$0] })
  }

  /// Loads it.
  func load() -> ConfigurationResult { loadConfiguration(input) }
}
