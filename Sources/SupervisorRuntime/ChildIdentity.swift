import Glibc
import SupervisorCore

/// As whom a program runs: the answer to `user`, `user_if_root` and `groups`.
struct ChildIdentity: Equatable {
  /// For messages: the name, or the number as written.
  var name: String
  /// setuid(2)'s argument; nil leaves the supervisor's own.
  var uid: UInt32?
  /// setgid(2)'s argument; nil leaves the supervisor's own.
  var gid: UInt32?
  /// setgroups(2)'s list; nil leaves the supervisor's own.
  var groups: [UInt32]?
  /// `HOME`, where the configuration names a user.
  var home: String?

  /// Nobody else.
  static let own = ChildIdentity(name: "", uid: nil, gid: nil, groups: nil, home: nil)

  /// Resolves a spec.
  ///
  /// - A number without an entry in the database is allowed, as container images use it: the group id is then the same number,
  ///   there are no supplementary groups, and `HOME` is `/`. (Docker would give group 0, which is root's.)
  /// - Without root's rights, `user` must be the supervisor's own user; nothing is then changed but the environment.
  static func resolve(
    _ spec: ExecutionSpec, users: UserDatabase, effectiveUser: UInt32
  ) throws(SpawnFailure) -> ChildIdentity {
    let isRoot = effectiveUser == 0
    var identity = ChildIdentity.own
    if let wanted = spec.user ?? (isRoot ? spec.userIfRoot : nil) {
      identity = try self.identity(of: wanted, users: users, withGroups: isRoot && spec.groups == nil)
      if !isRoot {
        if identity.uid != effectiveUser {
          throw SpawnFailure(
            stage: .uid, errno: EPERM,
            text:
              "cannot become user \(wanted): the supervisor runs as uid \(effectiveUser), and only root can change users; "
              + "start it as root, or write user_if_root= instead of user=",
            isShortage: false)
        }
        identity.uid = nil
        identity.gid = nil
        identity.groups = nil
      }
    }
    if let names = spec.groups {
      // Someone who is not root keeps the groups that he has; setgroups(2) would refuse.
      if isRoot { identity.groups = try groups(names, users: users) }
    }
    return identity
  }

  private static func identity(
    of wanted: String, users: UserDatabase, withGroups: Bool
  ) throws(SpawnFailure) -> ChildIdentity {
    do {
      var entry = try users.user(named: wanted)
      let number = decimalNumber(wanted.utf8).flatMap { $0 < UInt64(UInt32.max) ? UInt32($0) : nil }
      if entry == nil, let number { entry = try users.user(uid: number) }
      if let entry {
        return ChildIdentity(
          name: entry.name, uid: entry.uid, gid: entry.gid,
          groups: withGroups ? try users.groups(of: entry.name, primary: entry.gid) : nil,
          home: entry.home.isEmpty ? "/" : entry.home)
      }
      if let number {
        return ChildIdentity(name: wanted, uid: number, gid: number, groups: withGroups ? [] : nil, home: "/")
      }
    } catch {
      throw SpawnFailure(
        stage: .prepare, errno: error.errno, text: "cannot look up user \(wanted): \(error)",
        isShortage: error.isShortage)
    }
    throw SpawnFailure(
      stage: .prepare, errno: 0,
      text: "cannot find user \(wanted) in \(users.passwdPath): create it in the image, or give a numeric id",
      isShortage: false)
  }

  private static func groups(_ names: [String], users: UserDatabase) throws(SpawnFailure) -> [UInt32] {
    var result: [UInt32] = []
    for name in names {
      var gid: UInt32?
      do {
        gid = try users.group(named: name)
      } catch {
        throw SpawnFailure(
          stage: .prepare, errno: error.errno, text: "cannot look up group \(name): \(error)",
          isShortage: error.isShortage)
      }
      if gid == nil, let number = decimalNumber(name.utf8), number < UInt64(UInt32.max) { gid = UInt32(number) }
      guard let gid else {
        throw SpawnFailure(
          stage: .prepare, errno: 0,
          text: "cannot find group \(name) in \(users.groupPath): create it in the image, or give a numeric id",
          isShortage: false)
      }
      if !result.contains(gid) { result.append(gid) }
    }
    return result
  }
}
