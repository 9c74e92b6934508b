// Files and directories: each call wrapped once, errors with the path in them, and the durable ways of writing and renaming.

import CHivePostgres
import Glibc

/// System calls on paths.
enum FileSystem {
  /// What lstat(2) or stat(2) says.
  struct Status {
    var mode: mode_t
    var owner: uid_t
    var group: gid_t
    var device: dev_t
    var size: Int64

    var isDirectory: Bool { mode & S_IFMT == S_IFDIR }
    var isRegular: Bool { mode & S_IFMT == S_IFREG }
    var isSymbolicLink: Bool { mode & S_IFMT == S_IFLNK }
    var permissions: mode_t { mode & 0o7777 }
  }

  /// The status, or nil where there is nothing. `follow`: of what a symbolic link points to.
  static func status(_ path: String, follow: Bool = true) throws(Failure) -> Status? {
    var info = stat()
    let result = follow ? stat(path, &info) : lstat(path, &info)
    guard result == 0 else {
      if errno == ENOENT || errno == ENOTDIR { return nil }
      throw .system("look at \(path)", errno)
    }
    return Status(
      mode: info.st_mode, owner: info.st_uid, group: info.st_gid, device: info.st_dev, size: Int64(info.st_size))
  }

  /// True when there is something, even a dangling link.
  static func exists(_ path: String) throws(Failure) -> Bool { try status(path, follow: false) != nil }

  /// The names in a directory, sorted by bytes. Empty where there is no directory.
  static func list(_ path: String) throws(Failure) -> [String] {
    guard let directory = opendir(path) else {
      if errno == ENOENT { return [] }
      throw .system("list \(path)", errno)
    }
    defer { closedir(directory) }
    var names: [String] = []
    while true {
      errno = 0
      guard let entry = readdir(directory) else {
        if errno != 0 { throw .system("list \(path)", errno) }
        break
      }
      let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
  }

  /// Makes a directory and those above it. Those that exist stay as they are.
  static func makeDirectories(_ path: String, mode: mode_t) throws(Failure) {
    if let status = try status(path) {
      guard status.isDirectory else {
        throw Failure(.unusable, "cannot make the directory \(path): there is a file of that name")
      }
      return
    }
    let parent = Path.parent(path)
    if parent != path { try makeDirectories(parent, mode: 0o755) }
    guard mkdir(path, mode) == 0 || errno == EEXIST else { throw .system("make the directory \(path)", errno) }
  }

  /// Reads a whole file, or nil where there is none. Refuses more than `limit` bytes.
  static func read(_ path: String, limit: Int = 16 << 20) throws(Failure) -> [UInt8]? {
    let fd = open(path, O_RDONLY | O_CLOEXEC)
    guard fd >= 0 else {
      if errno == ENOENT || errno == ENOTDIR { return nil }
      throw .system("read \(path)", errno)
    }
    defer { close(fd) }
    return try read(descriptor: fd, name: path, limit: limit)
  }

  /// Reads from a descriptor to its end.
  static func read(descriptor fd: Int32, name: String, limit: Int = 16 << 20) throws(Failure) -> [UInt8] {
    var content: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = Glibc.read(fd, &chunk, chunk.count)
      if count < 0 && errno == EINTR { continue }
      guard count >= 0 else { throw .system("read \(name)", errno) }
      if count == 0 { return content }
      content += chunk[..<count]
      guard content.count <= limit else {
        throw Failure(.inputOutput, "cannot read \(name): it has more than \(limit) bytes")
      }
    }
  }

  /// Reads a file as text, or nil where there is none.
  static func readText(_ path: String) throws(Failure) -> String? {
    try read(path).map { String(decoding: $0, as: UTF8.self) }
  }

  /// Writes a file so that after a crash the old or the new content is there, whole: temporary file, fsync, rename, fsync of
  /// the directory.
  static func writeAtomically(_ path: String, _ content: some Collection<UInt8>, mode: mode_t) throws(Failure) {
    let temporary = "\(path).new"
    guard unlink(temporary) == 0 || errno == ENOENT else { throw .system("write \(temporary)", errno) }
    let fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode)
    guard fd >= 0 else { throw .system("write \(temporary)", errno) }
    do throws(Failure) {
      defer { close(fd) }
      // The creation mode is narrowed by the umask; what was asked for is what shall be.
      guard fchmod(fd, mode) == 0 else { throw .system("write \(temporary)", errno) }
      try write(descriptor: fd, Array(content), name: temporary)
      guard fsync(fd) == 0 else { throw .system("write \(temporary)", errno) }
    } catch {
      unlink(temporary)
      throw error
    }
    guard rename(temporary, path) == 0 else {
      let code = errno
      unlink(temporary)
      throw .system("write \(path)", code)
    }
    try syncDirectory(Path.parent(path))
  }

  /// Writes all bytes.
  static func write(descriptor fd: Int32, _ content: [UInt8], name: String) throws(Failure) {
    var rest = content[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Glibc.write(fd, $0.baseAddress, $0.count) }
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { throw .system("write \(name)", count == 0 ? ENOSPC : errno) }
      rest = rest.dropFirst(count)
    }
  }

  /// Makes the entries of a directory durable.
  static func syncDirectory(_ path: String) throws(Failure) {
    let fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard fd >= 0 else { throw .system("sync \(path)", errno) }
    defer { close(fd) }
    // Filesystems that cannot sync a directory say EINVAL (fsync(2)); PostgreSQL ignores that too.
    guard fsync(fd) == 0 || errno == EINVAL || errno == EBADF else { throw .system("sync \(path)", errno) }
  }

  /// Removes a file, or a directory with all that is in it, without following links. Nothing there is fine.
  static func remove(_ path: String) throws(Failure) {
    guard let status = try status(path, follow: false) else { return }
    guard status.isDirectory else {
      guard unlink(path) == 0 || errno == ENOENT else { throw .system("remove \(path)", errno) }
      return
    }
    try removeContents(path)
    guard rmdir(path) == 0 || errno == ENOENT else { throw .system("remove \(path)", errno) }
  }

  /// Empties a directory.
  static func removeContents(_ path: String) throws(Failure) {
    for name in try list(path) { try remove(Path.join(path, name)) }
  }

  /// Gives a tree to a user, itself last: when this is interrupted, the next attempt sees the old owner and does it again.
  static func changeOwner(tree path: String, to owner: uid_t, group: gid_t) throws(Failure) {
    guard let status = try status(path, follow: false) else { return }
    if status.isDirectory {
      for name in try list(path) { try changeOwner(tree: Path.join(path, name), to: owner, group: group) }
    }
    try changeOwner(path, to: owner, group: group)
  }

  /// Gives one file to a user.
  static func changeOwner(_ path: String, to owner: uid_t, group: gid_t) throws(Failure) {
    guard lchown(path, owner, group) == 0 else {
      throw .system(
        "give \(path) to user \(owner)", errno,
        remedy: "a container that drops capabilities needs CHOWN, FOWNER and DAC_OVERRIDE to start as root")
    }
  }

  /// The target of a symbolic link, or nil where it is none.
  static func linkTarget(_ path: String) -> String? {
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = readlink(path, &buffer, buffer.count)
    guard count > 0 else { return nil }
    return String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// True where the filesystem of `path` is mounted read-only.
  static func isReadOnly(_ path: String) -> Bool {
    var info = statvfs()
    return statvfs(path, &info) == 0 && info.f_flag & UInt(ST_RDONLY) != 0
  }

  /// Bytes that an ordinary user can still write to the filesystem of `path`.
  static func freeBytes(_ path: String) throws(Failure) -> (free: UInt64, total: UInt64) {
    var info = statvfs()
    guard statvfs(path, &info) == 0 else { throw .system("look at the filesystem of \(path)", errno) }
    let unit = UInt64(info.f_frsize)
    return (
      UInt64(info.f_bavail).multipliedReportingOverflow(by: unit).partialValue,
      UInt64(info.f_blocks).multipliedReportingOverflow(by: unit).partialValue
    )
  }

  /// True where another filesystem is mounted at `path`, which cannot be renamed then (rename(2), EBUSY). Bind mounts of one
  /// filesystem have its device number, so the mount table is what tells.
  static func isMountPoint(_ path: String) throws(Failure) -> Bool {
    guard let table = try readText("/proc/self/mountinfo") else { return false }
    return MountTable.mountPoints(table).contains(path)
  }
}

/// Paths as strings.
enum Path {
  static func join(_ directory: String, _ name: String) -> String {
    directory.hasSuffix("/") ? directory + name : "\(directory)/\(name)"
  }

  /// The directory above; "/" and "." are their own.
  static func parent(_ path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    let parent = path[..<slash]
    return parent.isEmpty ? "/" : String(parent)
  }

  static func name(_ path: String) -> String {
    path.split(separator: "/").last.map(String.init) ?? path
  }

  /// Absolute, without empty, "." and ".." parts (as text: links are not looked at).
  static func absolute(_ path: String, from directory: String) -> String {
    var parts: [Substring] = []
    let whole = path.hasPrefix("/") ? path : "\(directory)/\(path)"
    for part in whole.split(separator: "/") where part != "." {
      if part == ".." { _ = parts.popLast() } else { parts.append(part) }
    }
    return "/" + parts.joined(separator: "/")
  }

  /// True when `path` is `directory` or inside it; both absolute.
  static func isInside(_ path: String, _ directory: String) -> Bool {
    path == directory || path.hasPrefix(directory == "/" ? "/" : directory + "/")
  }
}
