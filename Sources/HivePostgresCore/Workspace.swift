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
  /// Container or host.
  let surroundings: Surroundings
  /// A name for a user who has none.
  let userDatabase: UserDatabase?

  /// Finds user and PostgreSQL. Changes nothing.
  public init(settings: Settings, executable: String, console: Console, interruption: Interruption) throws(Failure) {
    self.settings = settings
    self.executable = executable
    self.console = console
    self.interruption = interruption
    surroundings = .detect(settings, environment: ProcessEnvironment.current)
    user = try ServiceUser.resolve(preferred: settings.serviceUser)
    let own = Path.join(settings.volume, Volume.privateName)
    userDatabase =
      user.isListed
      ? nil
      : try UserDatabase(library: settings.nssWrapper, directory: Path.join(own, "server"), user: user)
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

  /// Refuses what cannot be used, with nothing changed. Else makes the volume's and the socket's directory fit for the user, as root
  /// where we are that, then becomes the user. `check` comes in between: the volume can be used, and nothing is changed yet.
  public func enter(check: () throws(Failure) -> Void = {}) throws(Failure) {
    let root = geteuid() == 0
    if !root { try checkWay(to: settings.volume, "HIVE_DATA") }
    try Inspection(
      settings: settings, user: user, installation: installation, surroundings: surroundings,
      interruption: interruption,
      console: console
    )
    .run()
    try check()
    umask(0o022)
    if root {
      try Ownership(
        settings: settings, user: user, surroundings: surroundings, console: console, interruption: interruption
      )
      .prepare()
      try prepareRunDirectoryAsRoot()
    }
    umask(0o077)
    try user.become()
    if root { try installation.checkReachable(by: user) }
    try prepareAsUser()
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
    try makePrivateDirectory(Path.join(volume, Volume.privateName))
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

  /// Passwords and the lock are in it. A filesystem that does not keep its mode would not keep the data directory's either, and the
  /// server refuses that: better said before initdb has written 38 MB.
  private func makePrivateDirectory(_ path: String) throws(Failure) {
    try FileSystem.makeDirectories(path, mode: 0o700)
    guard let status = try FileSystem.status(path), status.permissions & 0o777 != 0o700 else { return }
    let code = chmod(path, 0o700) == 0 ? 0 : errno
    if code == 0, let status = try FileSystem.status(path), status.permissions & 0o777 == 0o700 { return }
    throw Failure(
      .unusable,
      "cannot keep others out of \(path): the filesystem of \(settings.volume) does not keep modes"
        + (code == 0 ? "" : " (chmod: \(Failure.describe(code)))"),
      remedy:
        "PostgreSQL needs a filesystem with owners and modes: use a volume of the container engine, or a directory on ext4, "
        + "XFS or Btrfs, instead of this mount")
  }

  /// The environment of PostgreSQL's programs.
  var environment: [String: String] {
    var environment = settings.childEnvironment
    environment["HOME"] = user.home
    environment["USER"] = user.name
    environment["LOGNAME"] = user.name
    userDatabase?.apply(to: &environment)
    return environment
  }

  /// Gives a user without one a name. Only with the volume's lock in hand.
  func writeUserDatabase() throws(Failure) {
    try userDatabase?.write(user)
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
