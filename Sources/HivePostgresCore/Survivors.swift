// Before anything touches a data directory, nobody else may be in it. Three cases (research: PostgreSQL's own interlock knows only
// process ids, and is wrong for zombies and for numbers that were given to another process): a live server that someone
// supervises is left alone; what a dead supervisor, postmaster or init left behind is ended; a lock file that no server stands
// behind is removed.

import Glibc

/// Makes sure that a data directory has no user, with the volume's lock as the last word.
struct Survivors {
  let workspace: Workspace
  let volume: Volume

  /// SIGQUIT is the immediate shutdown; backends whose postmaster is gone do nothing else useful.
  static let orphanPlan: [(signal: Int32, wait: Duration)] = [(SIGQUIT, .seconds(5)), (SIGKILL, .seconds(5))]
  /// A whole server without a supervisor gets a chance to shut down in order.
  static let serverPlan: [(signal: Int32, wait: Duration)] = [
    (SIGINT, .seconds(20)), (SIGQUIT, .seconds(5)), (SIGKILL, .seconds(5)),
  ]

  /// Takes the lock. What an earlier, dead holder left running is ended; a live holder is waited for. nil: it is of this container, and
  /// `giveUp` said that the lock is not needed then.
  func takeLock(unless giveUp: () throws(Failure) -> Bool = { () throws(Failure) in false }) throws(Failure)
    -> VolumeLock?
  {
    var holder: VolumeLock.Holder?
    var lock: VolumeLock?
    var isFirst = true
    let took = try workspace.interruption.poll(every: .milliseconds(20), atMost: workspace.settings.lockTimeout) {
      () throws(Failure) in
      switch try VolumeLock.attempt(volume.lock) {
      case .taken(let taken):
        lock = taken
        return true
      case .held(let found):
        holder = found
        if let found, found.namespace == ProcessTable.namespace {
          if try giveUp() { return true }
          if !found.isAlive {
            try endLeftovers()
          } else if isOrphan(found.identity.pid) {
            try endServer(found.identity.pid)
          }
        }
        if isFirst { workspace.console.info("waiting for \(describe(holder)) to leave \(volume.root)") }
        isFirst = false
        return false
      }
    }
    guard !took else { return lock }
    throw Failure(
      .locked, "cannot use the volume \(volume.root): \(describe(holder)) has it",
      remedy: workspace.surroundings.users)
  }

  private func describe(_ holder: VolumeLock.Holder?) -> String {
    guard let holder else { return "another process" }
    guard holder.namespace == ProcessTable.namespace else { return "another container" }
    let command = ProcessTable.command(holder.identity.pid)
    return command.isEmpty ? "another process" : "\(command) (process \(holder.identity.pid))"
  }

  /// Ends what runs in a staging directory or in the cluster after the one who started it has died.
  private func endLeftovers() throws(Failure) {
    let staged = ["PGDATA=\(volume.staging)", "PGDATA=\(volume.inPlaceStaging)"]
    var left = try ProcessTable.find(owner: workspace.user.id) { pid in
      staged.contains { ProcessTable.environment(pid, contains: $0) }
    }
    left += try ProcessTable.servers(of: volume.dataDirectory, owner: workspace.user.id)
    try end(left, Survivors.orphanPlan)
  }

  /// Ends every server process of the cluster. Only with the lock in hand: no supervised server of ours can be running then.
  func endServers() throws(Failure) {
    let servers = try ProcessTable.servers(of: volume.dataDirectory, owner: workspace.user.id)
    guard !servers.isEmpty else { return }
    let pids = Set(servers.map(\.identity.pid))
    // A postmaster is the one whose parent is no process of the same cluster and whose number is in postmaster.pid.
    let recorded: Int32? =
      if case .process(let content) = try lockFile() { content.pid } else { nil }
    if let postmaster = servers.first(where: { $0.identity.pid == recorded && !pids.contains($0.parent) }) {
      guard isOrphan(postmaster.identity.pid) else {
        throw Failure(
          .locked, "cannot use \(volume.dataDirectory): process \(postmaster.identity.pid) serves it already",
          remedy: "stop that first: kill -INT \(postmaster.identity.pid)")
      }
      try endServer(postmaster.identity.pid)
    }
    try end(try ProcessTable.servers(of: volume.dataDirectory, owner: workspace.user.id), Survivors.orphanPlan)
  }

  /// A server that nobody supervises: its parent is the system's init, or the supervisor that has just started us (and would not
  /// have, were the server still his). Anything else that is alive, an init at work for one, is somebody's.
  private func isOrphan(_ pid: pid_t) -> Bool {
    guard let info = ProcessTable.info(pid), ProcessTable.command(pid) == "postgres" else { return false }
    let parent = ProcessTable.command(info.parent)
    return info.parent <= 1 || parent == "systemd" || (info.parent == getppid() && parent == "hivesupd")
  }

  private func endServer(_ pid: pid_t) throws(Failure) {
    guard let info = ProcessTable.info(pid) else { return }
    workspace.console.warning("a server without supervisor (process \(pid)) is in \(volume.dataDirectory): stopping it")
    try end([info], Survivors.serverPlan)
  }

  private func end(_ processes: [ProcessInfo], _ plan: [(signal: Int32, wait: Duration)]) throws(Failure) {
    guard !processes.isEmpty else { return }
    let numbers = processes.map { String($0.identity.pid) }.joined(separator: ", ")
    workspace.console.warning("ending what an earlier run left in \(volume.root): process \(numbers)")
    let left = try ProcessTable.end(processes, plan: plan, workspace.interruption)
    guard left.isEmpty else {
      throw Failure(
        .locked,
        "cannot end process \(left.map { String($0.identity.pid) }.joined(separator: ", ")) in \(volume.dataDirectory)",
        remedy: "it hangs in the kernel, most likely on the disk: look at the kernel's log")
    }
  }

  private var lockFilePath: String { Path.join(volume.dataDirectory, "postmaster.pid") }

  private func lockFile() throws(Failure) -> PostmasterFile? {
    try FileSystem.read(lockFilePath).map { PostmasterFile(parsing: $0) }
  }

  /// Removes lock files that would stop PostgreSQL from starting although no server is there: it takes any live process of its own
  /// user, and any zombie, for the server. With the volume's lock in hand, and after `endServers`, nobody is in the data directory;
  /// the socket's lock file may be another cluster's, so there any live server counts.
  func clearLockFiles() throws(Failure) {
    let servers = try ProcessTable.servers(of: volume.dataDirectory, owner: workspace.user.id)
    _ = try clear(lockFilePath) { pid in servers.contains { $0.identity.pid == pid } }
    let socket = workspace.settings.socketPath
    let cleared = try clear("\(socket).lock") { ProcessTable.command($0) == "postgres" }
    // PostgreSQL removes a socket only together with a lock file of its own.
    if cleared, unlink(socket) != 0, errno != ENOENT { throw .system("remove \(socket)", errno) }
  }

  private func clear(_ path: String, isServer: (pid_t) -> Bool) throws(Failure) -> Bool {
    guard let bytes = try FileSystem.read(path) else { return false }
    let reason: String
    switch PostmasterFile(parsing: bytes) {
    case .empty: reason = "it is empty"
    case .garbage: reason = "it has no process id"
    case .process(let content):
      // Nobody has the number: PostgreSQL removes the file itself.
      guard let info = ProcessTable.info(content.pid) else { return false }
      if !info.isDead && isServer(content.pid) {
        throw Failure(
          .locked, "cannot start a server: process \(content.pid) has \(path)",
          remedy: "stop that first (kill -INT \(content.pid)), or give another HIVE_PG_PORT or HIVE_RUN_DIR")
      }
      reason =
        info.isDead
        ? "process \(content.pid) is dead" : "process \(content.pid) is \(ProcessTable.command(content.pid))"
    }
    workspace.console.warning("removing a stale \(path): \(reason)")
    guard unlink(path) == 0 || errno == ENOENT else { throw .system("remove \(path)", errno) }
    return true
  }
}
