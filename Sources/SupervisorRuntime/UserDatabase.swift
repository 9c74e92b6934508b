// /etc/passwd and /etc/group (passwd(5), group(5)), read by ourselves: a static executable cannot load glibc's name service
// modules, and PID 1 must not wait for a directory server. The files are read at each look-up - a start, not an idle wait - so
// an edit counts at the next start.

import Glibc
import SupervisorCore

/// One line of /etc/passwd.
public struct UserEntry: Equatable, Sendable {
  /// The login name.
  public var name: String
  /// The user id.
  public var uid: UInt32
  /// The primary group's id.
  public var gid: UInt32
  /// The home directory.
  public var home: String
  /// The login shell.
  public var shell: String
}

/// One line of /etc/group.
public struct GroupEntry: Equatable, Sendable {
  /// The group's name.
  public var name: String
  /// The group id.
  public var gid: UInt32
  /// The login names of its members; those whose primary group it is are not listed.
  public var members: [String]
}

/// The user database of the container.
public struct UserDatabase: Sendable {
  /// Where the users are.
  public var passwdPath: String
  /// Where the groups are.
  public var groupPath: String
  /// Larger files are refused (EFBIG).
  static let sizeLimit = 16 * 1024 * 1024

  /// The database in these files.
  public init(passwdPath: String = "/etc/passwd", groupPath: String = "/etc/group") {
    self.passwdPath = passwdPath
    self.groupPath = groupPath
  }

  /// The first user with this login name. Throws when the file cannot be read; a missing file is an empty database.
  public func user(named name: String) throws(SystemError) -> UserEntry? {
    let wanted = Array(name.utf8)
    return try first(in: passwdPath) { line in
      line.starts(with: wanted) ? Self.user(fromLine: line, where: { $0.name == name }) : nil
    }
  }

  /// The first user with this id.
  public func user(uid: UInt32) throws(SystemError) -> UserEntry? {
    try first(in: passwdPath) { Self.user(fromLine: $0, where: { $0.uid == uid }) }
  }

  /// The id of the first group with this name.
  public func group(named name: String) throws(SystemError) -> UInt32? {
    let wanted = Array(name.utf8)
    return try first(in: groupPath) { line in
      guard line.starts(with: wanted), let entry = Self.group(fromLine: line), entry.name == name else { return nil }
      return entry.gid
    }
  }

  /// What initgroups(3) would set: `primary`, then every group that lists `user`, each once, at most NGROUPS_MAX (65536).
  public func groups(of user: String, primary: UInt32) throws(SystemError) -> [UInt32] {
    var result = [primary]
    var seen: Set<UInt32> = [primary]
    let wanted = Array(user.utf8)
    for line in try bytes(of: groupPath).split(separator: 0x0A) {
      // Most lines do not mention the user at all: look before taking the line apart.
      guard Self.lastField(of: line, lists: wanted), let entry = Self.group(fromLine: line) else { continue }
      if seen.insert(entry.gid).inserted && result.count < 65536 { result.append(entry.gid) }
    }
    return result
  }

  /// All users in a passwd file's text; lines that passwd(5) does not allow are skipped, as glibc does.
  static func users(in text: [UInt8]) -> [UserEntry] {
    text.split(separator: 0x0A).compactMap { user(fromLine: $0, where: { _ in true }) }
  }

  /// All groups in a group file's text.
  static func groups(in text: [UInt8]) -> [GroupEntry] {
    text.split(separator: 0x0A).compactMap { group(fromLine: $0) }
  }

  private func bytes(of path: String) throws(SystemError) -> [UInt8] {
    do {
      return try FileBytes.read(path, limit: Self.sizeLimit)
    } catch {
      if error.errno == ENOENT { return [] }
      throw error
    }
  }

  private func first<Entry>(in path: String, _ match: (ArraySlice<UInt8>) -> Entry?) throws(SystemError) -> Entry? {
    for line in try bytes(of: path).split(separator: 0x0A) {
      if let entry = match(line) { return entry }
    }
    return nil
  }

  private static func fields(_ line: ArraySlice<UInt8>, atLeast count: Int) -> [ArraySlice<UInt8>]? {
    // `+` and `-` lines belong to NIS (nsswitch.conf(5), compat mode).
    guard let first = line.first, first != 0x23, first != 0x2B, first != 0x2D, !line.contains(0) else { return nil }
    let fields = line.split(separator: 0x3A, omittingEmptySubsequences: false)
    return fields.count >= count && !(fields.first?.isEmpty ?? true) ? fields : nil
  }

  /// An id. 4294967295 is (uid_t)-1, which setuid(2) refuses.
  private static func identifier(_ field: ArraySlice<UInt8>) -> UInt32? {
    guard let number = decimalNumber(field), number < UInt64(UInt32.max) else { return nil }
    return UInt32(number)
  }

  private static func user(fromLine line: ArraySlice<UInt8>, where isWanted: (UserEntry) -> Bool) -> UserEntry? {
    guard let fields = fields(line, atLeast: 6), let uid = identifier(fields[2]), let gid = identifier(fields[3])
    else { return nil }
    let entry = UserEntry(
      name: String(decoding: fields[0], as: UTF8.self), uid: uid, gid: gid,
      home: String(decoding: fields[5], as: UTF8.self),
      shell: fields.count > 6 ? String(decoding: fields[6], as: UTF8.self) : "")
    return isWanted(entry) ? entry : nil
  }

  private static func group(fromLine line: ArraySlice<UInt8>) -> GroupEntry? {
    guard let fields = fields(line, atLeast: 3), let gid = identifier(fields[2]) else { return nil }
    let members = fields.count > 3 ? fields[3].split(separator: 0x2C) : []
    return GroupEntry(
      name: String(decoding: fields[0], as: UTF8.self), gid: gid,
      members: members.map { String(decoding: $0, as: UTF8.self) })
  }

  private static func lastField(of line: ArraySlice<UInt8>, lists name: [UInt8]) -> Bool {
    guard let colon = line.lastIndex(of: 0x3A) else { return false }
    return line[line.index(after: colon)...].split(separator: 0x2C).contains { $0.elementsEqual(name) }
  }
}
