// Who the server runs as. Started as root, a command becomes the service user for good, before any program of PostgreSQL runs.

import Glibc

/// A user of this system.
public struct ServiceUser: Equatable, Sendable {
  /// Its login name: what `peer` compares.
  public var name: String
  /// Its number.
  public var id: uid_t
  /// Its primary group.
  public var group: gid_t
  /// Its home directory.
  public var home: String

  /// The user that PostgreSQL's programs will run as: the caller, or, when that is root, `preferred`.
  public static func resolve(preferred: String) throws(Failure) -> ServiceUser {
    guard geteuid() == 0 else { return try current() }
    guard let user = lookUp(name: preferred) else {
      throw Failure(
        .unusable, "cannot become the user \(preferred): it has no line in /etc/passwd",
        remedy: "make it (useradd --system \(ShellWords.quote(preferred))), or name another in HIVE_POSTGRES_USER")
    }
    guard user.id != 0 else {
      throw Failure(
        .usage, "cannot run PostgreSQL as \(preferred): it is root, and PostgreSQL refuses root",
        remedy: "name another user in HIVE_POSTGRES_USER")
    }
    return user
  }

  /// The caller. initdb and `peer` need its name, so a number without one is refused here, where it can be explained.
  static func current() throws(Failure) -> ServiceUser {
    let id = geteuid()
    guard let user = lookUp(id: id) else {
      throw Failure(
        .unusable, "cannot run PostgreSQL as user \(id): it has no line in /etc/passwd, and initdb wants its name",
        remedy:
          "add one to the image (echo 'hive:x:\(id):\(getegid())::/:/usr/sbin/nologin' >> /etc/passwd), or start the "
          + "container as a user that has one")
    }
    return user
  }

  private static func lookUp(name: String) -> ServiceUser? {
    guard let entry = getpwnam(name) else { return nil }
    return ServiceUser(entry.pointee)
  }

  private static func lookUp(id: uid_t) -> ServiceUser? {
    guard let entry = getpwuid(id) else { return nil }
    return ServiceUser(entry.pointee)
  }

  private init?(_ entry: passwd) {
    guard let name = entry.pw_name else { return nil }
    self.name = String(cString: name)
    id = entry.pw_uid
    group = entry.pw_gid
    home = entry.pw_dir.map { String(cString: $0) } ?? "/"
  }

  /// Becomes this user, for good. Does nothing when the caller is it already.
  public func become() throws(Failure) {
    guard geteuid() == 0 else { return }
    let remedy = "a container that drops capabilities needs SETUID and SETGID to start as root"
    guard initgroups(name, group) == 0 else { throw .system("take the groups of \(name)", errno, remedy: remedy) }
    guard setgid(group) == 0 else { throw .system("take the group of \(name)", errno, remedy: remedy) }
    guard setuid(id) == 0 else { throw .system("become \(name)", errno, remedy: remedy) }
    guard setuid(0) != 0 else {
      throw Failure(.unusable, "cannot become \(name) for good: root could be regained", remedy: "report this kernel")
    }
  }
}
