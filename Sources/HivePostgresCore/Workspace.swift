// What every command needs: settings, user, PostgreSQL, console; and the directories, made and given to the user while we may
// still be root.

import ControlProtocol
import Glibc

/// The surroundings of one command.
public struct Workspace: Sendable {
  /// The environment.
  public let settings: Settings
  /// Who PostgreSQL runs as.
  public let user: ServiceUser
  /// Its programs.
  public let installation: PostgresInstallation
  /// Where messages go.
  public let console: Console
  /// Stop signals.
  public let interruption: Interruption
  /// The absolute path of this program.
  public let executable: String

  /// Finds user and PostgreSQL. Changes nothing.
  public init(settings: Settings, executable: String, console: Console, interruption: Interruption) throws(Failure) {
    self.settings = settings
    self.executable = executable
    self.console = console
    self.interruption = interruption
    user = try ServiceUser.resolve(preferred: settings.serviceUser)
    installation = try PostgresInstallation.find(settings, executable: executable, interruption: interruption)
  }

  /// The directory of postgresql.conf and its like.
  public func configurationDirectory() throws(Failure) -> String {
    let role = try settings.requiredRole()
    var tried: [String] = []
    for candidate in settings.configuration.map({ [$0] }) ?? Workspace.configurationCandidates(executable, role) {
      if try FileSystem.exists(Path.join(candidate, "postgresql.conf")) { return candidate }
      tried.append(candidate)
    }
    throw Failure(
      .configuration, "cannot find postgresql.conf in \(tried.joined(separator: ", "))",
      remedy: "set HIVE_ETC to the directory that has it")
  }

  static func configurationCandidates(_ executable: String, _ role: Role) -> [String] {
    var candidates: [String] = []
    var directory = Path.parent(executable)
    while directory != "/" {
      candidates.append(Path.join(directory, "etc/\(role.rawValue)"))
      directory = Path.parent(directory)
    }
    return candidates.filter { access(Path.join($0, "postgresql.conf"), F_OK) == 0 } + ["/etc/hivesup/\(role.rawValue)"]
  }

  /// Makes the volume's and the socket's directory fit for the user, as root where we are that, then becomes the user.
  public func enter() throws(Failure) {
    let root = geteuid() == 0
    umask(0o022)
    if root { try prepareAsRoot() }
    umask(0o077)
    try user.become()
    if root { try installation.checkReachable(by: user) }
    try prepareAsUser()
  }

  /// Never given away, whatever the environment says.
  private static let sharedDirectories: Set<String> = [
    "/", "/tmp", "/var/tmp", "/dev/shm", "/run", "/var", "/var/lib", "/home", "/root", "/etc", "/usr", "/opt", "/srv",
    "/mnt",
  ]

  private func prepareAsRoot() throws(Failure) {
    let volume = settings.volume
    guard !Workspace.sharedDirectories.contains(volume) else {
      throw Failure(
        .usage, "cannot use HIVE_DATA=\(volume): it belongs to the whole system", remedy: "give a directory of its own")
    }
    if try !FileSystem.exists(volume) { try FileSystem.makeDirectories(volume, mode: 0o755) }
    try give(volume)
    let own = Path.join(volume, Volume.privateName)
    try FileSystem.makeDirectories(own, mode: 0o700)
    if try FileSystem.status(own, follow: false)?.owner != user.id {
      try FileSystem.changeOwner(tree: own, to: user.id, group: user.group)
    }
    let located = try Volume(settings: settings, state: InstallationState.read(Path.join(own, "state.json")))
    // Behind a symbolic link, too: links themselves are never followed when a tree is given away.
    if let data = ProcessTable.realPath(located.dataDirectory) {
      let inside = try FileSystem.status(Path.join(data, "PG_VERSION"))?.owner ?? user.id
      if try FileSystem.status(data)?.owner != user.id || inside != user.id {
        console.info("giving \(data) to \(user.name)")
        try FileSystem.changeOwner(tree: data, to: user.id, group: user.group)
      }
    }
    if let directory = settings.image.walDirectory {
      try FileSystem.makeDirectories(directory, mode: 0o700)
      if try FileSystem.status(directory)?.owner != user.id {
        try FileSystem.changeOwner(tree: directory, to: user.id, group: user.group)
      }
    }
    try prepareRunDirectoryAsRoot()
  }

  private func give(_ directory: String) throws(Failure) {
    guard try FileSystem.status(directory)?.owner != user.id else { return }
    try FileSystem.changeOwner(directory, to: user.id, group: user.group)
  }

  /// The socket directory may be PID 1's too. Its own sockets must stay out of the server's reach, so it is not given away then:
  /// the server's group may make files in it, and the sticky bit keeps everyone from removing what is not theirs.
  private func prepareRunDirectoryAsRoot() throws(Failure) {
    let directory = settings.runDirectory
    try FileSystem.makeDirectories(directory, mode: 0o755)
    guard let status = try FileSystem.status(directory), status.owner != user.id else { return }
    if status.permissions & mode_t(S_ISVTX) != 0 && status.permissions & 0o002 != 0 { return }
    let isOurs = try FileSystem.list(directory).allSatisfy { $0.hasPrefix(".s.PGSQL.") }
    if isOurs {
      try FileSystem.changeOwner(directory, to: user.id, group: user.group)
      guard chmod(directory, 0o750) == 0 else { throw .system("set the mode of \(directory)", errno) }
    } else {
      try FileSystem.changeOwner(directory, to: status.owner, group: user.group)
      guard chmod(directory, status.permissions | mode_t(S_ISVTX) | 0o070) == 0 else {
        throw .system("set the mode of \(directory)", errno)
      }
    }
  }

  /// A directory above that the user may not enter: nothing below it can be given to him.
  private func checkWay(to path: String, _ variable: String) throws(Failure) {
    var directory = "/"
    for part in path.split(separator: "/").dropLast() {
      directory = Path.join(directory, String(part))
      guard access(directory, F_OK) == 0 else { return }
      guard access(directory, X_OK) == 0 else {
        throw Failure(
          .unusable, "cannot reach \(path): \(user.name) may not enter \(directory)",
          remedy: "give a \(variable) elsewhere, or run chmod o+x \(ShellWords.quote(directory))")
      }
    }
  }

  private func prepareAsUser() throws(Failure) {
    let volume = settings.volume
    try checkWay(to: volume, "HIVE_DATA")
    try checkWay(to: settings.runDirectory, "HIVE_RUN_DIR")
    do throws(Failure) {
      try FileSystem.makeDirectories(volume, mode: 0o700)
    } catch  where error.status == .unusable {
      throw Failure(
        .unusable, error.message,
        remedy: "run, as root: install -d -o \(user.id) -g \(user.group) \(ShellWords.quote(volume))")
    }
    guard access(volume, R_OK | W_OK | X_OK) == 0 else {
      let owner = try FileSystem.status(volume)?.owner ?? 0
      throw Failure(
        .unusable, "cannot write to the volume \(volume): it belongs to user \(owner), and this is user \(user.id)",
        remedy: "run, as root and on the host when this is a bind mount: chown -R \(user.id):\(user.group) "
          + "\(ShellWords.quote(volume))")
    }
    try FileSystem.makeDirectories(Path.join(volume, Volume.privateName), mode: 0o700)
    do throws(Failure) {
      try FileSystem.makeDirectories(settings.runDirectory, mode: 0o750)
    } catch {
      throw Failure(
        error.status, error.message, remedy: "set HIVE_RUN_DIR to a directory that \(user.name) can make or write")
    }
    guard access(settings.runDirectory, W_OK | X_OK) == 0 else {
      throw Failure(
        .unusable, "cannot make sockets in \(settings.runDirectory): \(Failure.describe(errno))",
        remedy: "set HIVE_RUN_DIR to a directory that \(user.name) can write")
    }
  }

  /// The environment of PostgreSQL's programs.
  var environment: [String: String] {
    var environment = settings.childEnvironment
    environment["HOME"] = user.home
    environment["USER"] = user.name
    environment["LOGNAME"] = user.name
    return environment
  }

  /// pg_control's content, or nil when it cannot be read.
  func controlData(_ directory: String) throws(Failure) -> ControlData? {
    let child = try Child(installation.program("pg_controldata"), ["-D", directory], environment: environment)
    defer { child.release() }
    guard try child.wait(interruption) == .exited(0) else { return nil }
    return ControlData(parsing: child.output())
  }

  /// The present time as RFC 3339.
  static func timestamp() -> String {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    return Timestamp(nanoseconds: Int64(now.tv_sec) &* 1_000_000_000 &+ Int64(now.tv_nsec)).rfc3339
  }
}
