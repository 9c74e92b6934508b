// The first look at a volume, before an owner, a mode or a file in it is changed: what will be refused is refused here, so that
// whoever mounted the wrong volume has lost nothing, not even a timestamp.

import Glibc

/// Looks at a volume as a command finds it.
struct Inspection {
  let settings: Settings
  /// Who the volume must serve.
  let user: ServiceUser
  let installation: PostgresInstallation
  let surroundings: Surroundings
  let interruption: Interruption
  let console: Console

  private var isRoot: Bool { geteuid() == 0 }

  /// Throws with the remedy when the volume cannot be used as it is, nor be made fit by root where we are that.
  func run() throws(Failure) {
    let root = settings.volume
    guard let status = try FileSystem.status(root) else { return }
    guard status.isDirectory else {
      throw Failure(
        .unusable, "cannot use the volume \(root): it is not a directory", remedy: "set HIVE_DATA to a directory")
    }
    try checkWritable(status)
    let own = Path.join(root, Volume.privateName)
    if !isRoot, let status = try FileSystem.status(own, follow: false), status.owner != user.id {
      throw refusal("cannot use \(own)", status.owner)
    }
    let state = try InstallationState.read(Path.join(own, "state.json"))
    let volume: Volume
    do throws(Failure) {
      volume = try Volume(settings: settings, state: state)
    } catch  where error.status == .unusable && !isRoot {
      throw Failure(.unusable, error.message, remedy: surroundings.own(user))
    }
    if !isRoot { try checkOwner(volume) }
    let survey = try Survey.take(volume, state: state) { (_) throws(Failure) in nil }
    if let failure = survey.refusal(volume, installation, surroundings) { throw failure }
    guard case .cluster = survey.data else { return }
    try ServerElsewhere(dataDirectory: volume.dataDirectory)
      .waitUntilGone(
        user, atMost: settings.lockTimeout, interruption, surroundings: surroundings, console: console)
  }

  private func checkWritable(_ status: FileSystem.Status) throws(Failure) {
    let root = settings.volume
    guard !FileSystem.isReadOnly(root) else {
      throw Failure(
        .unusable, "cannot write to the volume \(root): it is mounted read-only",
        remedy: surroundings.engine == nil
          ? "mount it writable: mount -o remount,rw" : "mount it without :ro (readOnly: true, read_only)")
    }
    guard !isRoot, access(root, R_OK | W_OK | X_OK) != 0 else { return }
    throw refusal("cannot write to the volume \(root)", status.owner)
  }

  private func refusal(_ what: String, _ owner: uid_t) -> Failure {
    guard owner != user.id else {
      return Failure(
        .unusable, "\(what): its mode keeps its owner out",
        remedy: "run, as user \(owner): chmod u+rwx \(ShellWords.quote(settings.volume))")
    }
    return Failure(
      .unusable, "\(what): it belongs to user \(owner), and this is user \(user.id)", remedy: surroundings.own(user))
  }

  /// The server demands to own its data directory, and whoever cannot enter a directory above it cannot even look.
  private func checkOwner(_ volume: Volume) throws(Failure) {
    var directory = volume.root
    for part in volume.dataDirectory.dropFirst(volume.root.utf8.count).split(separator: "/") {
      directory = Path.join(directory, String(part))
      guard let status = try FileSystem.status(directory), status.isDirectory else { return }
      guard access(directory, R_OK | X_OK) == 0 else { throw refusal("cannot use \(directory)", status.owner) }
    }
    guard let status = try FileSystem.status(volume.dataDirectory), status.owner != user.id else { return }
    throw refusal("cannot use \(volume.dataDirectory)", status.owner)
  }
}
