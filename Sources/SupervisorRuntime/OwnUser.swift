// `[supervisord] user=`: what the supervisor itself becomes (supervisor/options.py, drop_privileges).

import Glibc
import SupervisorCore

/// The supervisor's own user.
public enum OwnUser {
  /// Gives up root for this user, with the groups that the group database gives it. Nothing happens when it already is that user.
  public static func become(_ wanted: String, users: UserDatabase = UserDatabase()) throws(StartupError) {
    var entry: UserEntry?
    var groups: [UInt32] = []
    do throws(SystemError) {
      entry = try users.user(named: wanted)
      if entry == nil, let uid = UInt32(wanted) { entry = try users.user(uid: uid) }
      if let entry { groups = try users.groups(of: entry.name, primary: entry.gid) }
    } catch {
      throw StartupError("cannot become user \(wanted): \(error)")
    }
    guard let entry else {
      throw StartupError(
        "cannot become user \(wanted): \(users.passwdPath) has no such user; create it, or remove user= of [supervisord]"
      )
    }
    if geteuid() == entry.uid { return }
    guard geteuid() == 0 else {
      throw StartupError(
        "cannot become user \(wanted): only root can change users; start as root, or remove user= of [supervisord]")
    }
    guard setgroups(groups.count, groups) == 0, setgid(entry.gid) == 0, setuid(entry.uid) == 0 else {
      throw StartupError("cannot become user \(wanted): \(errorText(errno)) (CAP_SETUID and CAP_SETGID are needed)")
    }
  }
}
