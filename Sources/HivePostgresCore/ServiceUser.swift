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
  /// False for a bare number: the system's databases do not have it, and `name` is ours (`UserDatabase`).
  public var isListed = true

  /// The user that PostgreSQL's programs will run as: the caller, or, when that is root, `preferred`.
  public static func resolve(preferred: String) throws(Failure) -> ServiceUser {
    guard geteuid() == 0 else { return current() }
    guard let user = lookUp(name: preferred) else {
      throw Failure(
        .unusable, "cannot become the user \(preferred): it has no line in /etc/passwd",
        remedy: "make it (useradd --system \(ShellWords.quote(preferred))), or name another in HIVE_POSTGRES_USER")
    }
    guard user.id != 0 else { throw refusesRoot(preferred) }
    return user
  }

  /// The caller.
  static func current() -> ServiceUser {
    let id = geteuid()
    if var user = lookUp(id: id) {
      // `--user 1000:0`: the group that we have, not the one of /etc/passwd.
      user.group = getegid()
      return user
    }
    // A name that nobody has: whoever had it would be let in as this user by `peer`.
    var name = "uid\(id)"
    while getpwnam(name) != nil { name += "_" }
    let home = getenv("HOME").map { String(cString: $0) } ?? "/"
    return ServiceUser(name: name, id: id, group: getegid(), home: home, isListed: false)
  }

  /// `UID`, `UID:GID` or a name: a user who need not exist. Without a group its primary one, 0 for a bare number.
  static func named(_ text: String) throws(Failure) -> ServiceUser {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count <= 2, let first = parts.first, !first.isEmpty else { throw unknown(text) }
    var user: ServiceUser
    if let id = uid_t(first) {
      user = lookUp(id: id) ?? ServiceUser(name: "uid\(id)", id: id, group: 0, home: "/", isListed: false)
    } else {
      guard let found = lookUp(name: String(first)) else { throw unknown(text) }
      user = found
    }
    if parts.count == 2 {
      guard let group = gid_t(parts[1]) else { throw unknown(text) }
      user.group = group
    }
    guard user.id != 0 else { throw refusesRoot(text) }
    return user
  }

  private static func unknown(_ text: String) -> Failure {
    Failure(
      .usage, "cannot find the user '\(text)': it is neither UID, UID:GID nor a name of /etc/passwd",
      remedy: "give for example 1000:0")
  }

  private static func refusesRoot(_ name: String) -> Failure {
    Failure(
      .usage, "cannot run PostgreSQL as \(name): it is root, and PostgreSQL refuses root",
      remedy: "name another user in HIVE_POSTGRES_USER")
  }

  private static func lookUp(name: String) -> ServiceUser? {
    guard let entry = getpwnam(name) else { return nil }
    return ServiceUser(entry.pointee)
  }

  private static func lookUp(id: uid_t) -> ServiceUser? {
    guard let entry = getpwuid(id) else { return nil }
    return ServiceUser(entry.pointee)
  }

  private init(name: String, id: uid_t, group: gid_t, home: String, isListed: Bool) {
    self.name = name
    self.id = id
    self.group = group
    self.home = home
    self.isListed = isListed
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
