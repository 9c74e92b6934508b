// V/.hivesup/lock: flock(2) is the only guard that works between two containers on one volume, which have neither process ids nor
// shared memory in common. The descriptor is inherited by every process that may write, so the lock lives as long as any of them.

import Glibc

/// The exclusive lock of a volume, held by whoever has the descriptor.
struct VolumeLock {
  /// The open descriptor; close-on-exec until `keepAcrossExec`.
  let descriptor: Int32

  /// Who took the lock: the file's content, for those who find it taken.
  struct Holder: Equatable {
    var identity: ProcessIdentity
    var namespace: String

    var text: String { "\(identity.pid) \(identity.start) \(namespace)\n" }

    init(identity: ProcessIdentity, namespace: String) {
      self.identity = identity
      self.namespace = namespace
    }

    init?(parsing text: String) {
      let fields = text.split(whereSeparator: { $0 == " " || $0 == "\n" })
      guard fields.count == 3, let pid = pid_t(fields[0]), pid > 0, let start = UInt64(fields[1]) else { return nil }
      identity = ProcessIdentity(pid: pid, start: start)
      namespace = String(fields[2])
    }

    /// Alive, as far as can be seen from here.
    var isAlive: Bool { namespace == ProcessTable.namespace && ProcessTable.isAlive(identity) }
  }

  /// What an attempt found.
  enum Attempt {
    case taken(VolumeLock)
    /// By whom, where the file tells.
    case held(Holder?)
  }

  /// Takes the lock if it is free.
  static func attempt(_ path: String) throws(Failure) -> Attempt {
    let fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard fd >= 0 else { throw .system("open \(path)", errno) }
    guard flock(fd, LOCK_EX | LOCK_NB) == 0 else {
      let code = errno
      defer { close(fd) }
      guard code == EWOULDBLOCK else { throw .system("lock \(path)", code) }
      let content = try FileSystem.read(descriptor: fd, name: path, limit: 4096)
      return .held(Holder(parsing: String(decoding: content, as: UTF8.self)))
    }
    // Inheritable at once: a child that we start must hold the lock even when we are killed.
    _ = fcntl(fd, F_SETFD, 0)
    if let own = ProcessTable.info(getpid()) {
      let holder = Holder(identity: own.identity, namespace: ProcessTable.namespace)
      // Always the same length over the same block: this works on a full disk too, and where it does not, the lock still holds.
      var content = Array(holder.text.utf8)
      content += [UInt8](repeating: UInt8(ascii: "\n"), count: max(0, 128 - content.count))
      _ = pwrite(fd, content, content.count, 0)
    }
    return .taken(VolumeLock(descriptor: fd))
  }

  /// Gives the lock back, unless a child has it.
  func release() { close(descriptor) }
}
