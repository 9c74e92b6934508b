// A server in another container has neither its process ids nor its shared memory in common with us, and one of the official image
// takes no lock of ours. But it has files open for writing, and the kernel knows that of every container: a read lease
// (fcntl(2), F_SETLEASE) is given on a file only while nobody has it open for writing. Even an idle server has: the launchers of
// autovacuum and logical replication keep pg_database and pg_subscription open (seen with 15, 16 and 18), and whoever wrote last
// keeps the WAL segment.

import CHivePostgres
import Glibc

/// Looks for servers of other containers.
struct ServerElsewhere {
  let dataDirectory: String

  /// What a look found.
  enum Finding: Equatable {
    /// No file is open for writing, or there is no file to ask for.
    case none
    /// This file is, below the data directory.
    case open(String)
    /// The filesystem gives no leases (NFS), or we may not ask.
    case unknown
  }

  /// Asks for every file of `global` and `pg_wal`. The lease is given back at once.
  func look() throws(Failure) -> Finding {
    var finding = Finding.none
    for directory in ["global", "pg_wal"] {
      for name in try FileSystem.list(Path.join(dataDirectory, directory)) {
        let path = Path.join(Path.join(dataDirectory, directory), name)
        guard let status = try FileSystem.status(path), status.isRegular else { continue }
        switch hpg_is_open_for_writing(path, status.owner) {
        case 1: return .open("\(directory)/\(name)")
        case 0: break
        default: finding = .unknown
        }
      }
    }
    return finding
  }

  /// The cluster's server processes that can be seen. An engine's root has no CAP_SYS_PTRACE, without which nobody sees where
  /// another user's process works: so root looks as that user.
  private func visibleServers(_ user: ServiceUser) throws(Failure) -> [ProcessInfo] {
    guard let status = try FileSystem.status(dataDirectory) else { return [] }
    let isRoot = geteuid() == 0
    // A directory may have its group from the one above it (setgid); the processes have ours.
    if isRoot { hpg_filesystem_user(status.owner, status.owner == user.id ? user.group : status.group) }
    defer { if isRoot { hpg_filesystem_user(0, getegid()) } }
    return try ProcessTable.servers(of: dataDirectory, owner: status.owner)
  }

  /// Waits, at most `timeout`, until no server that we cannot see has the cluster open. Those that we can see are `Survivors`'
  /// business. `user`: who serves it in this container.
  func waitUntilGone(
    _ user: ServiceUser, atMost timeout: Duration, _ interruption: Interruption, surroundings: Surroundings,
    console: Console
  ) throws(Failure) {
    // A server removes it when it ends; without one there is nobody to ask for, and no file is touched.
    guard try FileSystem.exists(Path.join(dataDirectory, "postmaster.pid")) else { return }
    var file = ""
    let isGone = try interruption.poll(every: .milliseconds(100), atMost: timeout) { () throws(Failure) in
      guard try visibleServers(user).isEmpty, case .open(let name) = try look() else {
        return true
      }
      if file.isEmpty { console.info("waiting for a server in another container to leave \(dataDirectory)") }
      file = name
      return false
    }
    guard !isGone else { return }
    throw Failure(
      .locked,
      "cannot use \(dataDirectory): a server in another container has it open (\(file) is open for writing)",
      remedy: surroundings.users)
  }
}
