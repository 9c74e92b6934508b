// `hive-postgres init`: the data directory is there and complete afterwards, or untouched. A new cluster is made in a staging
// directory, synced once, and moved into place by one rename; state.json says "installing" before the move and "initialised"
// after it, so that a kill at any moment leaves either a staging directory that may be deleted or a move that can be finished.

import CHivePostgres
import Glibc

/// Makes, adopts or refuses a data directory.
public struct Initialiser {
  let workspace: Workspace
  let volume: Volume
  private var console: Console { workspace.console }
  private var interruption: Interruption { workspace.interruption }
  private var installation: PostgresInstallation { workspace.installation }

  /// For the volume of the settings. Call after `Workspace.enter`.
  public init(_ workspace: Workspace) throws(Failure) {
    self.workspace = workspace
    let own = Path.join(Path.join(workspace.settings.volume, Volume.privateName), "state.json")
    volume = try Volume(settings: workspace.settings, state: InstallationState.read(own))
  }

  /// Does what the volume needs.
  public func run() throws(Failure) {
    let survivors = Survivors(workspace: workspace, volume: volume)
    let lock = try survivors.takeLock { () throws(Failure) in
      // Someone serves it: that is all that init is for.
      if case .ready = try decide().decision { return true }
      return false
    }
    defer { lock?.release() }
    guard lock != nil else {
      console.info("\(volume.dataDirectory) is in use: nothing to do")
      return
    }
    let (survey, decision) = try decide()
    switch decision {
    case .refuse(let failure):
      throw failure
    case .ready(let state):
      try FileSystem.remove(volume.staging)
      try Adoption.setMode(volume.dataDirectory, console)
      console.info("\(volume.dataDirectory) has the cluster \(state.systemIdentifier) of \(state.since)")
    case .finish(let state, let placement):
      try install(state, placement)
    case .quarantine:
      try quarantine()
      try initialise(.rename)
    case .initialise(let placement):
      if survey.staging || survey.inPlaceStaging { console.info("removing what an interrupted init left") }
      try initialise(placement)
    case .adopt:
      try survivors.endServers()
      try survivors.clearLockFiles()
      try workspace.writeUserDatabase()
      try Adoption(workspace: workspace, volume: volume).run()
    }
  }

  private func decide() throws(Failure) -> (survey: Survey, decision: Survey.Decision) {
    let state = try InstallationState.read(volume.state)
    let survey = try Survey.take(volume, state: state) { (path) throws(Failure) in try workspace.controlData(path) }
    return (
      survey,
      survey.decide(
        volume: volume, installation: installation, surroundings: workspace.surroundings,
        quarantine: workspace.settings.quarantine)
    )
  }

  private func quarantine() throws(Failure) {
    let stamp = Workspace.timestamp().filter { $0 != ":" && $0 != "-" && $0 != "." }
    let target = "\(volume.dataDirectory).broken-\(stamp)"
    console.warning("moving the broken \(volume.dataDirectory) to \(target)")
    guard rename(volume.dataDirectory, target) == 0 else { throw .system("rename \(volume.dataDirectory)", errno) }
    if try FileSystem.exists(volume.state) {
      guard rename(volume.state, "\(volume.state).broken-\(stamp)") == 0 else {
        throw .system("rename \(volume.state)", errno)
      }
    }
    try FileSystem.syncDirectory(Path.parent(volume.dataDirectory))
    try FileSystem.syncDirectory(volume.privateDirectory)
  }

  // MARK: A new cluster

  /// An empty cluster has 38 MB, and its first checkpoint and WAL need room too.
  private static let initialBytes: UInt64 = 100 << 20

  private func initialise(_ placement: Survey.Placement) throws(Failure) {
    let staging = placement == .rename ? volume.staging : volume.inPlaceStaging
    if let password = workspace.settings.image.password {
      try Password.check(password, role: workspace.settings.image.superuser, name: "POSTGRES_PASSWORD")
    }
    try discard(volume.staging)
    try discard(volume.inPlaceStaging)
    let (free, _) = try FileSystem.freeBytes(volume.root)
    guard free >= Initialiser.initialBytes else {
      throw Failure(
        .noSpace,
        "cannot make a cluster in \(volume.root): only \(free >> 20) MB are free, and it takes \(Initialiser.initialBytes >> 20)",
        remedy: "free some space or give a larger volume")
    }
    let state: InstallationState
    do throws(Failure) {
      state = try build(staging)
    } catch {
      throw abandon(staging, error)
    }
    // The old word of a cluster that is gone must not survive the new one.
    try state.write(volume.state)
    try install(state, placement)
  }

  private func build(_ staging: String) throws(Failure) -> InstallationState {
    let settings = workspace.settings
    try workspace.writeUserDatabase()
    try FileSystem.makeDirectories(Path.parent(staging), mode: 0o700)
    try runInitdb(staging)
    try interruption.check()
    let bootstrap = Bootstrap(workspace: workspace, staging: staging)
    let scripts = try bootstrap.runIfNeeded()
    try Durability(workspace: workspace).sync(cluster: staging)
    guard let control = try workspace.controlData(staging), control.isShutDown else {
      throw Failure(.software, "cannot use the new cluster: pg_controldata does not say that it is shut down")
    }
    return InstallationState(
      phase: .installing, dataDirectory: volume.dataDirectory, systemIdentifier: control.systemIdentifier,
      majorVersion: installation.majorVersion, superuser: settings.image.superuser, since: Workspace.timestamp(),
      scripts: scripts)
  }

  private func runInitdb(_ staging: String) throws(Failure) {
    let image = workspace.settings.image
    var arguments = [
      "-D", staging, "--no-sync", "--no-instructions", "--data-checksums", "--encoding=UTF8",
      "--locale=\(Initialiser.locale)",
      "--username=\(image.superuser)", "--auth-local=peer", "--auth-host=scram-sha-256",
    ]
    if let directory = image.walDirectory { arguments.append("--waldir=\(directory)") }
    arguments += image.initdbArguments
    var environment = workspace.environment
    environment["PGDATA"] = staging
    var pipeEnd: Int32?
    if let password = image.password {
      // A pipe: what is neither in arguments nor in the environment cannot be seen by others in /proc, nor stay on a disk.
      let descriptor = try Initialiser.pipe(holding: password + "\n")
      pipeEnd = descriptor
      arguments.append("--pwfile=/dev/stdin")
    }
    defer { if let pipeEnd { close(pipeEnd) } }
    try Child.run(
      installation.program("initdb"), arguments, environment: environment, interruption: interruption,
      action: "make a cluster in \(staging)", input: pipeEnd)
  }

  /// UTF-8 with byte order: the same on every image. glibc before 2.35 and musl may not have it under this name.
  static var locale: String { hpg_has_locale("C.UTF-8") == 1 ? "C.UTF-8" : "C" }

  /// The reading end of a pipe that has this text in it, and no writer any more.
  static func pipe(holding text: String) throws(Failure) -> Int32 {
    var ends: [Int32] = [-1, -1]
    guard hpg_pipe(&ends) == 0 else { throw .system("make a pipe", errno) }
    defer { close(ends[1]) }
    do throws(Failure) {
      // At most 512 bytes (Password.check): below PIPE_BUF, never blocks.
      try FileSystem.write(descriptor: ends[1], Array(text.utf8), name: "a pipe")
    } catch {
      close(ends[0])
      throw error
    }
    return ends[0]
  }

  /// Cleans up after `build`; returns the failure to report.
  private func abandon(_ staging: String, _ failure: Failure) -> Failure {
    do throws(Failure) {
      if workspace.settings.keepFailed, try FileSystem.exists(staging) {
        let stamp = Workspace.timestamp().filter { $0 != ":" && $0 != "-" && $0 != "." }
        let kept = Path.join(Path.parent(staging), "init.failed-\(stamp)")
        if rename(staging, kept) == 0 { console.info("kept the unfinished cluster as \(kept)") }
      } else {
        try discard(staging)
      }
    } catch {
      console.warning("\(error.message); the next start will try again")
    }
    return failure
  }

  /// Deletes a staging directory, and what initdb put into a WAL directory outside of it.
  private func discard(_ staging: String) throws(Failure) {
    if let target = FileSystem.linkTarget(Path.join(staging, "pg_wal")), target == workspace.settings.image.walDirectory
    {
      try FileSystem.removeContents(target)
    }
    try FileSystem.remove(staging)
  }

  // MARK: Into place

  private func install(_ state: InstallationState, _ placement: Survey.Placement) throws(Failure) {
    let directory = volume.dataDirectory
    switch placement {
    case .rename:
      if try FileSystem.exists(volume.staging) {
        try FileSystem.makeDirectories(Path.parent(directory), mode: 0o700)
        guard rename(volume.staging, directory) == 0 else {
          throw .system("rename \(volume.staging) to \(directory)", errno)
        }
      }
    case .inPlace:
      try moveEntries()
    }
    try FileSystem.syncDirectory(directory)
    try FileSystem.syncDirectory(Path.parent(directory))
    try FileSystem.syncDirectory(volume.privateDirectory)
    try Adoption.setMode(directory, console)
    var state = state
    state.phase = .initialised
    try state.write(volume.state)
    console.info("made the cluster \(state.systemIdentifier) in \(directory) (\(installation.version))")
  }

  /// PG_VERSION is last: without it the directory is no cluster yet, for us and for everybody else.
  private func moveEntries() throws(Failure) {
    let staging = volume.inPlaceStaging
    guard try FileSystem.exists(staging) else { return }
    var names = try FileSystem.list(staging)
    if let index = names.firstIndex(of: "PG_VERSION") { names.append(names.remove(at: index)) }
    for name in names {
      if name == "PG_VERSION" { try FileSystem.syncDirectory(volume.dataDirectory) }
      guard rename(Path.join(staging, name), Path.join(volume.dataDirectory, name)) == 0 else {
        throw .system("move \(name) to \(volume.dataDirectory)", errno)
      }
    }
    try FileSystem.remove(staging)
  }
}
