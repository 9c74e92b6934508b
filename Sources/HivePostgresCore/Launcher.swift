// `hive-postgres exec`: what must be true before a server starts, then the server in our place, under our process id.

import CHivePostgres
import Glibc

/// Starts the server.
public struct Launcher {
  let workspace: Workspace
  private var settings: Settings { workspace.settings }
  private var installation: PostgresInstallation { workspace.installation }

  /// For a workspace that was not entered yet: configuration is read before root is given up.
  public init(_ workspace: Workspace) {
    self.workspace = workspace
  }

  /// Becomes `postgres`. Returns only by throwing.
  public func run() throws(Failure) -> Never {
    let role = try settings.requiredRole()
    let sources = try ServerFiles.Sources(workspace.configurationDirectory())
    try workspace.enter()
    let initial = try InstallationState.read(
      Path.join(Path.join(settings.volume, Volume.privateName), "state.json"))
    let volume = try Volume(settings: settings, state: initial)
    let survivors = Survivors(workspace: workspace, volume: volume)
    guard let lock = try survivors.takeLock() else {
      throw Failure(.locked, "cannot lock \(volume.root)")
    }
    let (state, control) = try checkCluster(volume)
    try survivors.endServers()
    try survivors.clearLockFiles()
    try DiskSpace(workspace: workspace, volume: volume).prepare(walSegmentBytes: control.walSegmentBytes)
    if !control.isShutDown {
      workspace.console.info("the cluster was not shut down (\(control.state)): the server will recover it")
    }
    try workspace.writeUserDatabase()
    let users = workspace.user.id == 0 ? ["root"] : [workspace.user.name, "root"]
    let files = try ServerFiles(
      sources, volume: volume, users: users, roles: [state.superuser, role.owner, Migrator.monitorRole].uniqued)
    let arguments = self.arguments(volume, files, role)
    try workspace.interruption.check()
    workspace.console.info(
      "starting \(installation.version) on \(volume.dataDirectory), socket \(settings.socketPath)")
    throw become(arguments, environment(), lock)
  }

  private func checkCluster(_ volume: Volume) throws(Failure) -> (InstallationState, ControlData) {
    let state = try InstallationState.read(volume.state)
    let survey = try Survey.take(volume, state: state) { (path) throws(Failure) in try workspace.controlData(path) }
    let decision = survey.decide(
      volume: volume, installation: installation, surroundings: workspace.surroundings, quarantine: false)
    switch decision {
    case .ready(let state):
      try Adoption.setMode(volume.dataDirectory, workspace.console)
      guard case .cluster(_, let control?, _) = survey.data else { break }
      return (state, control)
    case .refuse(let failure):
      throw failure
    default:
      break
    }
    throw Failure(
      .configuration, "cannot start a server on \(volume.dataDirectory): there is no complete cluster",
      remedy: "run hive-postgres init first")
  }

  /// The server's arguments: only what this build understands.
  func arguments(_ volume: Volume, _ files: ServerFiles, _ role: Role) -> [String] {
    var values: [(String, String)] = [
      ("config_file", files.configuration), ("hba_file", files.hba), ("ident_file", files.ident),
      ("port", String(settings.port)), ("unix_socket_directories", ServerFiles.listItem(settings.runDirectory)),
      ("cluster_name", "hive-\(role.rawValue)"),
    ]
    // 16 knows connections that only members of pg_use_reserved_connections may take: the monitor sees a full server from inside.
    if installation.majorVersion >= 16 { values.append(("reserved_connections", "2")) }
    if installation.features.lz4 { values.append(("wal_compression", "lz4")) }
    if let type = sharedMemoryType() { values.append(("dynamic_shared_memory_type", type)) }
    values += settings.overrides.map { ($0.name, $0.value) }
    return ["-D", volume.dataDirectory] + values.flatMap { ["-c", "\($0)=\($1)"] }
  }

  /// Parallel queries share memory through /dev/shm; without it they can through files.
  private func sharedMemoryType() -> String? {
    guard access("/dev/shm", W_OK | X_OK) == 0, let space = try? FileSystem.freeBytes("/dev/shm") else {
      workspace.console.warning("/dev/shm cannot be written: parallel queries will use files in the data directory")
      return "mmap"
    }
    if space.total < 64 << 20 {
      workspace.console.warning(
        "/dev/shm has only \(space.total >> 20) MB: parallel queries may run out of it (docker: --shm-size=128m)")
    }
    return nil
  }

  private func environment() -> [String: String] {
    var environment = workspace.environment
    let inherited = ProcessEnvironment.current
    if let socket = Launcher.notifySocket(
      inherited, features: installation.features, hasSupervisor: settings.controlSocket != nil)
    {
      environment["NOTIFY_SOCKET"] = socket
    }
    // Under memory pressure a backend shall die, not the postmaster: raising one's own value is allowed to everyone (proc(5)).
    let file = "/proc/self/oom_score_adj"
    let current = ((try? FileSystem.readText(file)) ?? nil).flatMap { Int($0.trimmingTrailingNewlines) } ?? 0
    // As everywhere, an empty variable counts as unset.
    func given(_ name: String) -> String? { inherited[name].flatMap { $0.isEmpty ? nil : $0 } }
    environment["PG_OOM_ADJUST_FILE"] = given("PG_OOM_ADJUST_FILE") ?? file
    environment["PG_OOM_ADJUST_VALUE"] = given("PG_OOM_ADJUST_VALUE") ?? String(max(300, current))
    return environment
  }

  /// A server that was built with sd_notify says READY to whoever started it. hivesupd names its own socket, an abstract one, to
  /// programs with `ready=postgres` or `ready=notify`; a path that comes through it is the container engine's, and not the server's to talk to.
  static func notifySocket(
    _ inherited: [String: String], features: PostgresInstallation.Features, hasSupervisor: Bool
  ) -> String? {
    guard features.systemd, let socket = inherited["NOTIFY_SOCKET"] else { return nil }
    return socket.hasPrefix("@") || !hasSupervisor ? socket : nil
  }

  private func become(_ arguments: [String], _ environment: [String: String], _ lock: VolumeLock) -> Failure {
    let path = installation.program("postgres")
    let argv = CStrings([path] + arguments)
    let envp = CStrings(environment.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" })
    defer {
      argv.free()
      envp.free()
    }
    var none = sigset_t()
    sigemptyset(&none)
    for number in Interruption.stopSignals + [SIGCHLD, SIGPIPE] { signal(number, SIG_DFL) }
    sigprocmask(SIG_SETMASK, &none, nil)
    execve(path, argv.pointer, envp.pointer)
    let code = errno
    lock.release()
    return .system("run \(path)", code)
  }
}

extension Array where Element: Hashable {
  /// Each element once, in order.
  var uniqued: [Element] {
    var seen: Set<Element> = []
    return filter { seen.insert($0).inserted }
  }
}
