// A listening unix socket at a path: made under another name and linked into place when it already listens with its final mode, so
// that nobody ever sees a socket that refuses connections or has the wrong mode (supervisor/http.py does the same).

import Glibc
import SupervisorCore

/// Why a socket cannot listen, with the remedy.
public struct ListenError: Error, Equatable, CustomStringConvertible {
  /// "cannot listen on 0.0.0.0:48886: Address already in use (another process listens there …)".
  public var description: String
  /// The kernel's errno; 0 when it was not asked.
  public var errno: Int32

  init(_ address: String, errno: Int32, remedy: String? = nil) {
    self.errno = errno
    description = "cannot listen on \(address): \(errorText(errno))" + (remedy.map { " (\($0))" } ?? "")
  }

  init(_ address: String, because reason: String) {
    errno = 0
    description = "cannot listen on \(address): \(reason)"
  }
}

/// A listening unix stream socket and the file that leads to it.
final class UnixSocketFile {
  /// The listening descriptor: close-on-exec, non-blocking.
  let descriptor: Int32
  let path: String
  private var device: dev_t = 0
  private var inode: ino_t = 0

  /// Who besides the owner may connect.
  enum GuestGroup: Equatable {
    /// As the mode says.
    case none
    /// This group gets the owner's bits; everyone does where the file cannot be given to it.
    case group(UInt32)
    /// Everyone gets the owner's bits.
    case everyone
  }

  /// Binds and listens. A socket file that nobody answers on is replaced; anything else at `path` is left alone and is an error.
  init(path: String, mode: UInt32, backlog: Int32, guestGroup: GuestGroup = .none) throws(ListenError) {
    self.path = path
    let name = "unix:\(path)"
    guard path.utf8.count <= KernelAddress.longestPath else {
      throw ListenError(name, because: "the path is longer than \(KernelAddress.longestPath) bytes (use a shorter one)")
    }
    let temporary = UnixSocketFile.temporaryName(for: path)
    guard let address = KernelAddress.toConnect(.unix(path: temporary)).first else {
      throw ListenError(name, because: "this is no path for a socket")
    }
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
    if descriptor < 0 { throw ListenError(name, errno: Glibc.errno) }
    do {
      try UnixSocketFile.establish(
        descriptor, address, temporary: temporary, path: path, mode: mode, backlog: backlog, guestGroup: guestGroup)
    } catch {
      unlink(temporary)
      close(descriptor)
      throw error
    }
    unlink(temporary)
    self.descriptor = descriptor
    var status = stat()
    if lstat(path, &status) == 0 {
      device = status.st_dev
      inode = status.st_ino
    }
  }

  deinit { close(descriptor) }

  /// Whether `path` still leads to this socket.
  var isInPlace: Bool {
    var status = stat()
    return lstat(path, &status) == 0 && status.st_dev == device && status.st_ino == inode
  }

  /// Removes the file, unless it is somebody else's by now.
  func removeFile() {
    if isInPlace { unlink(path) }
  }

  /// Whether somebody listens on the socket file at `path`; nil when there is no socket file.
  static func answers(_ path: String) -> Bool? {
    var status = stat()
    guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK else { return nil }
    guard let address = KernelAddress.toConnect(.unix(path: path)).first else { return nil }
    let probe = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
    guard probe >= 0 else { return true }
    defer { close(probe) }
    if address.withPointer({ connect(probe, $0, $1) }) == 0 { return true }
    // EAGAIN: it listens, and its queue is full. EACCES, EPERM: it is not ours to judge. Only a refusal proves that nobody is there.
    return Glibc.errno != ECONNREFUSED && Glibc.errno != ENOENT
  }

  private static func establish(
    _ descriptor: Int32, _ address: KernelAddress, temporary: String, path: String, mode: UInt32, backlog: Int32,
    guestGroup: GuestGroup
  ) throws(ListenError) {
    // On Linux the file takes the socket's own mode, less the umask: it is never more open than it will be.
    _ = fchmod(descriptor, mode)
    unlink(temporary)
    if address.withPointer({ bind(descriptor, $0, $1) }) != 0 {
      let reason = Glibc.errno
      throw ListenError("unix:\(path)", errno: reason, remedy: remedy(for: reason, path: path))
    }
    var mode = mode
    switch guestGroup {
    case .none: break
    case .group(let group) where chown(temporary, uid_t.max, group) == 0: mode |= mode >> 3 & 0o070
    case .group, .everyone: mode |= mode >> 3 & 0o070 | mode >> 6 & 0o007
    }
    if chmod(temporary, mode) != 0 || listen(descriptor, backlog) != 0 {
      throw ListenError("unix:\(path)", errno: Glibc.errno)
    }
    try place(temporary, at: path)
  }

  private static func place(_ temporary: String, at path: String) throws(ListenError) {
    let name = "unix:\(path)"
    for _ in 0..<3 {
      if link(temporary, path) == 0 { return }
      let reason = Glibc.errno
      if reason != EEXIST {
        // A file system without hard links: rename(2) is as atomic, it only cannot tell whether something was there.
        if answers(path) != true && rename(temporary, path) == 0 { return }
        throw ListenError(name, errno: reason, remedy: remedy(for: reason, path: path))
      }
      switch answers(path) {
      case .some(true):
        throw ListenError(
          name, errno: EADDRINUSE, remedy: "another process already listens there: stop it, or use another path")
      case .some(false):
        unlink(path)
      case nil:
        var status = stat()
        if lstat(path, &status) == 0 {
          throw ListenError(
            name, errno: EEXIST, remedy: "there is a file that is no socket: remove it, or use another path")
        }
      }
    }
    throw ListenError(name, errno: EADDRINUSE, remedy: "something keeps creating this file")
  }

  private static func temporaryName(for path: String) -> String {
    let long = "\(path).\(getpid())"
    return long.utf8.count <= KernelAddress.longestPath ? long : "\(parentDirectory(of: path))/.\(getpid())"
  }

  private static func remedy(for reason: Int32, path: String) -> String? {
    switch reason {
    case ENOENT: "the directory \(parentDirectory(of: path)) does not exist: create it"
    case EACCES, EPERM: "the directory \(parentDirectory(of: path)) is not writable for this user"
    case EROFS: "its file system is read-only: mount a tmpfs there (--tmpfs /run), or use another path"
    default: nil
    }
  }
}
