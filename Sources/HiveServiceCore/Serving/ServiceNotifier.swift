import Glibc

/// The sd_notify(3) protocol: one datagram to the socket that `NOTIFY_SOCKET` names, a path or (`@…`) an abstract name.
struct ServiceNotifier: Sendable {
  private let path: String

  /// nil when nobody asked to be notified.
  init?(environment: [String: String]) {
    guard let path = environment["NOTIFY_SOCKET"], path.hasPrefix("/") || path.hasPrefix("@"),
      path.utf8.count < Self.pathCapacity
    else { return nil }
    self.path = path
  }

  private static let pathCapacity = MemoryLayout.size(ofValue: sockaddr_un().sun_path)

  /// Sends `message`, e.g. `READY=1`. False when it could not be sent; a service goes on without.
  @discardableResult
  func send(_ message: String) -> Bool {
    let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    var bytes = Array(path.utf8)
    // An abstract name begins with a zero byte and is as long as the address says, without a terminator.
    let isAbstract = bytes.first == UInt8(ascii: "@")
    if isAbstract { bytes[0] = 0 }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    let offset = MemoryLayout.offset(of: \sockaddr_un.sun_path) ?? 2
    let length = socklen_t(offset + bytes.count + (isAbstract ? 0 : 1))
    let payload = Array(message.utf8)
    let sent = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        sendto(descriptor, payload, payload.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT), $0, length)
      }
    }
    return sent == payload.count
  }

  /// How often `WATCHDOG=1` is expected: `WATCHDOG_USEC` microseconds, if it is meant for this process (`WATCHDOG_PID`).
  static func watchdogInterval(environment: [String: String], processID: Int32 = getpid()) -> Duration? {
    guard let microseconds = environment["WATCHDOG_USEC"].flatMap({ Int64($0) }), microseconds > 0 else { return nil }
    if let owner = environment["WATCHDOG_PID"], Int32(owner) != processID { return nil }
    return .microseconds(microseconds)
  }
}
