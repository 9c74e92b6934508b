// `[listener:NAME]`: a socket that is bound before anything starts and kept for the supervisor's life. The program that inherits it
// accepts on it; while none does, the supervisor may (`Acceptor`). Nothing is lost in between: connections wait in the kernel's
// queue.

import CHiveSys
import Glibc
import SupervisorCore

/// A listening socket that the supervisor owns.
///
/// The descriptor is non-blocking, and so is what a program inherits, because both share one open file description: PID 1 must never
/// wait in accept(2) for a connection that the program has just taken.
public final class Listener {
  /// What the configuration says.
  public let spec: ListenerSpec
  /// The listening descriptor (close-on-exec).
  public let descriptor: Int32
  /// The TCP port, which the kernel has chosen when the configuration says 0; 0 for unix sockets.
  public let port: UInt16
  private let file: UnixSocketFile?

  /// Binds and listens. For a unix path see `ListenError`: a stale socket file is replaced, a living one is an error.
  public init(_ spec: ListenerSpec) throws(ListenError) {
    self.spec = spec
    switch spec.address {
    case .unix(let path):
      let file = try UnixSocketFile(path: path, mode: spec.mode, backlog: spec.backlog)
      self.file = file
      descriptor = file.descriptor
      port = 0
    case .tcp(let host, _):
      let candidates = KernelAddress.toListen(spec.address)
      guard !candidates.isEmpty else {
        throw ListenError(
          spec.address.text, because: "\(host) is no IP address (write an address, localhost, or * for all interfaces)")
      }
      file = nil
      descriptor = try Listener.bindFirst(of: candidates, spec)
      port = boundPort(descriptor)
    }
  }

  deinit { if file == nil { close(descriptor) } }

  /// How many connections wait to be accepted, and how many may; nil for unix sockets.
  public var acceptQueue: AcceptQueue? { AcceptQueue(of: descriptor) }

  /// At exit: removes the socket file of a unix listener. The descriptor is closed with the object.
  public func removeFile() { file?.removeFile() }

  private static func bindFirst(of candidates: [KernelAddress], _ spec: ListenerSpec) throws(ListenError) -> Int32 {
    var failure = ListenError(spec.address.text, errno: EADDRNOTAVAIL)
    for address in candidates {
      do {
        return try bindOne(address, spec)
      } catch {
        failure = error
        // Only a missing IPv6 makes `*` fall back to IPv4; a port in use is in use.
        if error.errno != EAFNOSUPPORT && error.errno != EADDRNOTAVAIL { break }
      }
    }
    throw failure
  }

  private static func bindOne(_ address: KernelAddress, _ spec: ListenerSpec) throws(ListenError) -> Int32 {
    let descriptor = socket(
      address.family, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
    if descriptor < 0 { throw ListenError(spec.address.text, errno: Glibc.errno) }
    setOption(descriptor, SOL_SOCKET, SO_REUSEADDR, 1)
    // Dual stack whatever net.ipv6.bindv6only says.
    if address.family == AF_INET6 { setOption(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, 0) }
    let isBound = address.withPointer { bind(descriptor, $0, $1) } == 0
    if isBound && listen(descriptor, spec.backlog) == 0 { return descriptor }
    let reason = Glibc.errno
    close(descriptor)
    throw ListenError(spec.address.text, errno: reason, remedy: remedy(for: reason, spec))
  }

  private static func setOption(_ descriptor: Int32, _ level: Int32, _ option: Int32, _ value: Int32) {
    var value = value
    _ = setsockopt(descriptor, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
  }

  private static func remedy(for reason: Int32, _ spec: ListenerSpec) -> String? {
    switch reason {
    case EADDRINUSE:
      "another process listens there: stop it, or change the address of [listener:\(spec.name)]"
    case EADDRNOTAVAIL: "no interface of this machine has this address"
    case EACCES: "ports below net.ipv4.ip_unprivileged_port_start need CAP_NET_BIND_SERVICE"
    case EAFNOSUPPORT: "this kernel or container has no IPv6: use an IPv4 address"
    default: nil
    }
  }
}

/// A TCP listener's accept queue at one moment.
public struct AcceptQueue: Equatable, Sendable {
  /// Connections that are established and wait for accept(2).
  public var length: Int
  /// The most that may wait: listen(2)'s backlog, at most net.core.somaxconn.
  public var limit: Int

  /// A queue.
  public init(length: Int, limit: Int) {
    self.length = length
    self.limit = limit
  }

  /// Asks the kernel: TCP_INFO of a socket in state LISTEN carries sk_ack_backlog in tcpi_unacked and sk_max_ack_backlog in
  /// tcpi_sacked (Linux net/ipv4/tcp.c, tcp_get_info). nil for sockets that are not TCP or do not listen.
  public init?(of listener: Int32) {
    var (length, limit): (UInt32, UInt32) = (0, 0)
    guard hive_accept_queue(listener, &length, &limit) == 0 else { return nil }
    self.length = Int(length)
    self.limit = Int(limit)
  }
}
