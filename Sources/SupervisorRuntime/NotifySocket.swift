// sd_notify(3): programs tell their state in datagrams of NAME=value lines on the socket that NOTIFY_SOCKET names.
//
// One socket for all programs, at an abstract address of the kernel's choosing: it needs no directory that every user could write
// to, and who may say what is decided by the kernel-checked SCM_CREDENTIALS of each datagram, not by a file mode.

import CHiveSys
import Glibc
import SupervisorCore

/// One sd_notify(3) datagram.
public struct Notification: Equatable, Sendable {
  /// `READY=1`.
  public var isReady = false
  /// `STOPPING=1`.
  public var isStopping = false
  /// `RELOADING=1`.
  public var isReloading = false
  /// `WATCHDOG=1`: alive.
  public var isAlive = false
  /// `WATCHDOG=trigger`: the program itself wants to be treated as hung.
  public var wantsRestart = false
  /// `STATUS=`: one line for people; control characters are replaced by spaces.
  public var status: String?
  /// `ERRNO=`, when it is a number.
  public var errno: Int32?

  /// Nothing said.
  public init() {}

  /// How long a datagram may be; systemd's own limit (NOTIFY_BUFFER_MAX is the page size in src/core/manager.c).
  public static let longest = 4096
  /// How long a status may be, in bytes.
  public static let longestStatus = 1024

  /// Parses a datagram. Unknown names, `MAINPID=`, `FDSTORE=1`, `BARRIER=1` and malformed lines are passed over; of repeated names the
  /// last one counts. nil when nothing in it is for us.
  public init?(_ datagram: UnsafeRawBufferPointer) {
    var saidSomething = false
    for line in datagram.split(separator: 0x0a) {
      guard let equals = line.firstIndex(of: UInt8(ascii: "=")) else { continue }
      let name = String(decoding: line[..<equals], as: UTF8.self)
      let value = line[(equals + 1)...]
      let isOne = value.elementsEqual("1".utf8)
      switch name {
      case "READY" where isOne: isReady = true
      case "STOPPING" where isOne: isStopping = true
      case "RELOADING" where isOne: isReloading = true
      case "WATCHDOG" where isOne: isAlive = true
      case "WATCHDOG" where value.elementsEqual("trigger".utf8): wantsRestart = true
      case "STATUS":
        let bytes = value.prefix(Notification.longestStatus).map { $0 < 0x20 || $0 == 0x7f ? 0x20 : $0 }
        status = String(decoding: bytes, as: UTF8.self)
      case "ERRNO":
        guard let number = Int32(String(decoding: value.prefix(16), as: UTF8.self)) else { continue }
        errno = number
      default: continue
      }
      saidSomething = true
    }
    if !saidSomething { return nil }
  }
}

/// The kernel's word on who sent a datagram.
public struct NotifySender: Equatable, Sendable {
  /// The process, as seen in our namespace; 0 when it is outside of it.
  public var pid: Int32
  /// Its user.
  public var uid: UInt32

  /// A sender.
  public init(pid: Int32, uid: UInt32) {
    self.pid = pid
    self.uid = uid
  }
}

/// The socket that NOTIFY_SOCKET names.
public final class NotifySocket {
  /// The value of NOTIFY_SOCKET: `@` and the abstract name (sd_notify(3)).
  public let address: String
  /// Datagrams that were dropped: too long, without credentials, or of nobody's.
  public private(set) var rejected: UInt64 = 0

  /// How many datagrams one wake-up takes.
  private static let batch = 64

  private let loop: EventLoop
  private let descriptor: Int32
  private var registration: Registration?
  private let onNotification: (NotifySender, Notification) -> Bool
  private var buffer = [UInt8](repeating: 0, count: Notification.longest + 1)

  /// Binds the socket and watches it. `onNotification` finds the run that the sender belongs to (its main process or a child of it)
  /// and returns whether there is one.
  public init(
    loop: EventLoop, onNotification: @escaping (NotifySender, Notification) -> Bool
  ) throws(SystemError) {
    self.loop = loop
    self.onNotification = onNotification
    let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
    if descriptor < 0 { throw SystemError("create the notification socket", errno: errno) }
    self.descriptor = descriptor
    var name = [CChar](repeating: 0, count: 108)
    guard hive_pass_credentials(descriptor) == 0, hive_autobind(descriptor, &name, name.count) == 0 else {
      let reason = errno
      close(descriptor)
      throw SystemError("bind the notification socket", errno: reason)
    }
    address = "@" + String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    // From here on `deinit` closes the descriptor, also when this throws.
    registration = try loop.add(descriptor, .readable) { [weak self] _ in self?.receive(atMost: NotifySocket.batch) }
  }

  deinit {
    if let registration { loop.remove(registration) }
    close(descriptor)
  }

  /// Takes what has arrived. Call it before exits are handled, so that "READY=1, then exit" is seen in this order.
  public func drain() { receive(atMost: 1024) }

  private func receive(atMost limit: Int) {
    for _ in 0..<limit {
      var about = hive_datagram()
      let count = buffer.withUnsafeMutableBytes { hive_receive_datagram(descriptor, $0.baseAddress, $0.count, &about) }
      if count < 0 {
        if errno == EINTR { continue }
        return
      }
      // A BARRIER=1 datagram carries a descriptor whose closing the sender waits for: it is closed by now, after everything before
      // it has been handled.
      guard about.truncated == 0, count <= Notification.longest, about.pid > 0 else {
        rejected &+= 1
        continue
      }
      let parsed = buffer.withUnsafeBytes { Notification(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
      guard let parsed else { continue }
      if !onNotification(NotifySender(pid: about.pid, uid: about.uid), parsed) { rejected &+= 1 }
    }
  }
}
