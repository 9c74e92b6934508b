// Socket addresses as the kernel takes them. Names are not looked up: a resolver may block, and in a static executable there is
// none; `localhost` is what RFC 6761 says it is.

import Glibc
import SupervisorCore

/// A sockaddr.
struct KernelAddress: Equatable {
  /// AF_INET, AF_INET6 or AF_UNIX.
  var family: Int32
  /// The sockaddr's bytes.
  var bytes: [UInt8]

  /// How many bytes a unix socket's path may have: sun_path without its terminator (unix(7)).
  static let longestPath = 107

  /// Where to connect, in order: `localhost` is 127.0.0.1, then ::1; `*` is the same. Empty when `host` is no address.
  static func toConnect(_ address: SocketAddress) -> [KernelAddress] {
    switch address {
    case .unix(let path): return unix(path).map { [$0] } ?? []
    case .tcp(let host, let port):
      switch host {
      case "localhost", "*", "": return [ipv4("127.0.0.1", port), ipv6("::1", port)].compactMap { $0 }
      default: return literal(host, port).map { [$0] } ?? []
      }
    }
  }

  /// Where to listen, in order of preference: `*` is [::] (which takes IPv4 too), then 0.0.0.0 where there is no IPv6.
  static func toListen(_ address: SocketAddress) -> [KernelAddress] {
    switch address {
    case .unix(let path): return unix(path).map { [$0] } ?? []
    case .tcp(let host, let port):
      switch host {
      case "*", "": return [ipv6("::", port), ipv4("0.0.0.0", port)].compactMap { $0 }
      case "localhost": return [ipv4("127.0.0.1", port)].compactMap { $0 }
      default: return literal(host, port).map { [$0] } ?? []
      }
    }
  }

  /// Calls `body` with the address as bind(2) and connect(2) want it.
  func withPointer<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
    var storage = sockaddr_storage()
    return withUnsafeMutableBytes(of: &storage) { target in
      target.copyBytes(from: bytes.prefix(target.count))
      return target.withMemoryRebound(to: sockaddr.self) { pointer in
        // A sockaddr_storage is never empty, so its base address is there.
        guard let base = pointer.baseAddress else {
          var none = sockaddr()
          return body(&none, 0)
        }
        return body(base, socklen_t(min(bytes.count, MemoryLayout<sockaddr_storage>.size)))
      }
    }
  }

  private static func literal(_ host: String, _ port: UInt16) -> KernelAddress? {
    if host.hasPrefix("["), host.hasSuffix("]") { return ipv6(String(host.dropFirst().dropLast()), port) }
    return ipv4(host, port) ?? ipv6(host, port)
  }

  private static func ipv4(_ host: String, _ port: UInt16) -> KernelAddress? {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    guard inet_pton(AF_INET, host, &address.sin_addr) == 1 else { return nil }
    return KernelAddress(family: AF_INET, bytes: withUnsafeBytes(of: &address) { Array($0) })
  }

  private static func ipv6(_ host: String, _ port: UInt16) -> KernelAddress? {
    var address = sockaddr_in6()
    address.sin6_family = sa_family_t(AF_INET6)
    address.sin6_port = port.bigEndian
    guard inet_pton(AF_INET6, host, &address.sin6_addr) == 1 else { return nil }
    return KernelAddress(family: AF_INET6, bytes: withUnsafeBytes(of: &address) { Array($0) })
  }

  private static func unix(_ path: String) -> KernelAddress? {
    let name = Array(path.utf8)
    guard !name.isEmpty, name.count <= longestPath, !name.contains(0) else { return nil }
    let family = sa_family_t(AF_UNIX)
    return KernelAddress(family: AF_UNIX, bytes: withUnsafeBytes(of: family) { Array($0) } + name + [0])
  }
}

extension SocketAddress {
  /// As it is written in the configuration: `0.0.0.0:48886`, `[::1]:80`, `unix:/run/x.sock`.
  public var text: String {
    switch self {
    case .unix(let path): "unix:\(path)"
    case .tcp(let host, let port):
      host.utf8.contains(UInt8(ascii: ":")) && !host.hasPrefix("[")
        ? "[\(host)]:\(port)" : "\(host.isEmpty ? "*" : host):\(port)"
    }
  }
}

/// The port that a bound TCP socket has; 0 for others.
func boundPort(_ descriptor: Int32) -> UInt16 {
  var storage = sockaddr_storage()
  var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
  let result = withUnsafeMutablePointer(to: &storage) { pointer in
    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
  }
  guard result == 0 else { return 0 }
  // sin_port and sin6_port are at the same place: after the family, in network order.
  guard storage.ss_family == sa_family_t(AF_INET) || storage.ss_family == sa_family_t(AF_INET6) else { return 0 }
  return withUnsafeBytes(of: &storage) { UInt16($0[2]) << 8 | UInt16($0[3]) }
}

extension KernelAddress {
  /// Whether nobody listens at this address. Only for addresses of this machine: there the answer comes at once.
  var refusesConnections: Bool {
    let descriptor = socket(
      family, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    let isConnected = withPointer { connect(descriptor, $0, $1) } == 0
    var reason = isConnected ? 0 : errno
    if reason == EINPROGRESS {
      var request = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
      guard poll(&request, 1, 200) == 1 else { return false }
      var size = socklen_t(MemoryLayout<Int32>.size)
      guard getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &reason, &size) == 0 else { return false }
    }
    return [ECONNREFUSED, EADDRNOTAVAIL, EAFNOSUPPORT].contains(reason)
  }
}
