// `docker run --user 12345:0`: a user that /etc/passwd does not have. initdb and the server ask for their own name and refuse to go
// on without one, and `peer` asks for the client's. libnss_wrapper, which the official image ships for this too, answers them from
// files of ours: the system's own plus one line.

import Glibc

/// The user and group database for PostgreSQL's programs when the user is in none.
struct UserDatabase: Equatable, Sendable {
  /// libnss_wrapper.so.
  var library: String
  /// The files, in V/.hivesup/server.
  var passwd: String
  var group: String

  /// For this volume. `library`: `HIVE_NSS_WRAPPER`, else where distributions put it. Nothing is written yet.
  init(library: String?, directory: String, user: ServiceUser, systemRoot: String = "/") throws(Failure) {
    passwd = Path.join(directory, "passwd")
    group = Path.join(directory, "group")
    let candidates = library.map { [$0] } ?? UserDatabase.candidates(systemRoot)
    guard let found = candidates.first(where: { (path: String) in access(path, R_OK) == 0 }) else {
      throw Failure(
        .unusable,
        "cannot run PostgreSQL as user \(user.id): it has no line in /etc/passwd, and libnss_wrapper.so, which would stand in for one, "
          + "is not \(library.map { "readable at \($0)" } ?? "installed")",
        remedy:
          "install it in the image (Debian: libnss-wrapper), name it in HIVE_NSS_WRAPPER, or start the container as a user "
          + "that has a line (docker run --user hive)")
    }
    self.library = found
  }

  /// As the official image looks: `/usr/lib`, `/lib`, and one directory below (`/usr/lib/x86_64-linux-gnu`).
  static func candidates(_ root: String) -> [String] {
    ["usr/lib", "lib"].map { Path.join(root, $0) }.flatMap { top in
      ((try? FileSystem.list(top)) ?? []).map { Path.join(top, $0) } + [top]
    }
    .map { Path.join($0, "libnss_wrapper.so") }
  }

  /// Adds to a child's environment what makes the library answer. What was preloaded before stays.
  func apply(to environment: inout [String: String]) {
    environment["LD_PRELOAD"] = [library, environment["LD_PRELOAD"] ?? ""].filter { !$0.isEmpty }.joined(separator: ":")
    environment["NSS_WRAPPER_PASSWD"] = passwd
    environment["NSS_WRAPPER_GROUP"] = group
  }

  /// Writes the files. The system's lines stay, so that root and others who connect have their names.
  func write(_ user: ServiceUser, systemRoot: String = "/") throws(Failure) {
    func lines(_ name: String) throws(Failure) -> String {
      let text = try FileSystem.readText(Path.join(systemRoot, "etc/\(name)")) ?? ""
      return text.isEmpty || text.hasSuffix("\n") ? text : text + "\n"
    }
    try FileSystem.makeDirectories(Path.parent(passwd), mode: 0o700)
    let home = user.home.filter { $0 != ":" && $0 != "\n" }
    let entry = "\(user.name):x:\(user.id):\(user.group):hivesup:\(home):/bin/sh\n"
    try FileSystem.writeAtomically(passwd, (try lines("passwd") + entry).utf8, mode: 0o644)
    let groups = try lines("group")
    let isKnown = groups.split(separator: "\n").contains { line in
      let fields = line.split(separator: ":", omittingEmptySubsequences: false)
      return fields.count > 2 && fields[2] == String(user.group)
    }
    try FileSystem.writeAtomically(
      group, (isKnown ? groups : groups + "\(user.name):x:\(user.group):\n").utf8, mode: 0o644)
  }
}
