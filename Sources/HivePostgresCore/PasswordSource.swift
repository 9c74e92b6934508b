// Where the application's password is: given, or made once and kept.

import Glibc

/// The application role's password.
struct PasswordSource {
  let settings: Settings
  let role: Role

  /// The password that was given, nil when one is to be made. Call it before root is given up: secrets are often root's.
  ///
  /// A file of the volume's may be one that we make: it is there from then on. Elsewhere a file that is missing is a mount that was
  /// forgotten; one made in its place would be gone with the container, and nobody would notice that the secret is not the one that was meant.
  func read() throws(Failure) -> String? {
    if let password = settings.password {
      try Password.check(password, role: role.owner, name: "HIVE_DB_PASSWORD")
      return password
    }
    guard let path = settings.passwordFile else { return nil }
    let file = SecretFile(
      variable: "HIVE_DB_PASSWORD_FILE", path: path,
      alternative: "unset the variable: a random password is then made in the volume")
    let given = Path.isInside(path, settings.volume) ? try file.read() : try file.require()
    guard let password = given else { return nil }
    try Password.check(password, role: role.owner, name: path)
    return password
  }

  /// Reads the file, or makes it with a random password. One at a time: the caller has a lock.
  static func generated(at path: String, role: Role, _ console: Console) throws(Failure) -> String {
    if let password = try FileSystem.readText(path)?.trimmingTrailingNewlines {
      try Password.check(password, role: role.owner, name: path)
      if let status = try FileSystem.status(path), status.permissions & 0o077 != 0, chmod(path, 0o600) != 0 {
        console.warning("others can read \(path): set its mode to 0600")
      }
      return password
    }
    let password = try Password.generate()
    try FileSystem.makeDirectories(Path.parent(path), mode: 0o700)
    do throws(Failure) {
      try FileSystem.writeAtomically(path, (password + "\n").utf8, mode: 0o600)
    } catch {
      throw Failure(
        error.status, error.message,
        remedy: "give a place below HIVE_DATA that can be written in HIVE_DB_PASSWORD_FILE, or the file itself")
    }
    console.info("made a password for \(role.owner) in \(path)")
    return password
  }
}

extension Workspace {
  /// Refuses a password that was given and cannot be used, before anything is made. Call it before root is given up, and after the
  /// look at the volume, which the file may be in.
  public func checkGivenPassword() throws(Failure) {
    _ = try PasswordSource(settings: settings, role: settings.requiredRole()).read()
  }
}
