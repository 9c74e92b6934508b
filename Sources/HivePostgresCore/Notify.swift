// sd_notify(3): datagrams to the socket in NOTIFY_SOCKET.

import Glibc

/// Tells the supervisor how it is.
public struct Notify: Sendable {
  private let path: String?
  /// Time between two WATCHDOG messages, nil where none is wanted.
  public let watchdogInterval: Duration?

  /// From NOTIFY_SOCKET and WATCHDOG_USEC.
  public init(environment: [String: String]) {
    path = environment["NOTIFY_SOCKET"].flatMap { $0.hasPrefix("/") || $0.hasPrefix("@") ? $0 : nil }
    let isForUs = environment["WATCHDOG_PID"].flatMap { pid_t($0) }.map { $0 == getpid() } ?? true
    watchdogInterval =
      isForUs
      ? environment["WATCHDOG_USEC"].flatMap { Int64($0) }.flatMap { $0 > 0 ? .microseconds($0 / 2) : nil } : nil
  }

  /// Sends `KEY=value` lines; a supervisor that is away misses them.
  public func send(_ message: String) {
    guard let path, var address = UnixSocket.address(path) else { return }
    let fd = socket(
      AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
    guard fd >= 0 else { return }
    defer { close(fd) }
    let bytes = Array(message.utf8)
    let length = UnixSocket.length(path)
    withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        _ = sendto(fd, bytes, bytes.count, Int32(MSG_NOSIGNAL), $0, length)
      }
    }
  }
}

/// Addresses of unix sockets (unix(7)).
enum UnixSocket {
  /// "@name" is an abstract address. nil when the path is too long.
  static func address(_ path: String) -> sockaddr_un? {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    var bytes = Array(path.utf8)
    guard !bytes.isEmpty, bytes.count <= 107 else { return nil }
    if bytes[0] == UInt8(ascii: "@") { bytes[0] = 0 }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    return address
  }

  static func length(_ path: String) -> socklen_t {
    let isAbstract = path.hasPrefix("@")
    return socklen_t(MemoryLayout<sa_family_t>.size + path.utf8.count + (isAbstract ? 0 : 1))
  }
}
