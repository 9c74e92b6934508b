// One request to the daemon over its unix socket. Nothing waits longer than its deadline, whatever the daemon does.

import ControlProtocol
@preconcurrency import Glibc

/// Seconds of the monotonic clock.
func monotonicSeconds() -> Double {
  var now = timespec()
  clock_gettime(CLOCK_MONOTONIC, &now)
  return Double(now.tv_sec) + Double(now.tv_nsec) / 1e9
}

/// Why there is no answer.
struct ControlError: Error, Equatable {
  enum Kind: Equatable {
    /// Nobody answers at this path: there is no daemon, or it may not be asked.
    case unreachable
    /// The daemon is there and does not answer in time.
    case stuck
    /// The daemon's answer makes no sense, or stops in the middle.
    case broken
  }

  var kind: Kind
  /// What happened, without the path.
  var reason: String
}

/// A complete answer.
struct ControlReply: Equatable {
  var status: Int
  var body: [UInt8]
}

/// A connection to the daemon, for one request.
struct ControlConnection: ~Copyable {
  private let descriptor: Int32
  /// Monotonic seconds by which the answer must be complete (for a stream: its head be there).
  private let deadline: Double
  private let timeout: Double

  /// Connects.
  /// - Parameter timeout: seconds for everything, from now on.
  init(path: String, timeout: Double) throws(ControlError) {
    let deadline = monotonicSeconds() + timeout
    let descriptor = try Self.connect(to: path, until: deadline)
    self.timeout = timeout
    self.deadline = deadline
    self.descriptor = descriptor
  }

  /// A connected socket, non-blocking.
  private static func connect(to path: String, until deadline: Double) throws(ControlError) -> Int32 {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    let room = MemoryLayout.size(ofValue: address.sun_path)
    guard !bytes.isEmpty, bytes.count < room, !bytes.contains(0) else {
      throw ControlError(
        kind: .unreachable, reason: "a socket's path has 1 to \(room - 1) bytes (unix(7)), this one has \(bytes.count)")
    }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
    let descriptor = socket(AF_UNIX, kind, 0)
    guard descriptor >= 0 else { throw ControlError(kind: .unreachable, reason: errorText(errno)) }
    while true {
      let result = withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
        }
      }
      let reason = errno
      if result == 0 { return descriptor }
      if reason == EINTR { continue }
      // The accept queue is full (unix(7)): nothing to wait for but time.
      if reason == EAGAIN, deadline - monotonicSeconds() > 0.01 {
        poll(nil, 0, 10)
        continue
      }
      close(descriptor)
      if reason == EAGAIN { throw ControlError(kind: .stuck, reason: "its accept queue is full") }
      throw ControlError(kind: .unreachable, reason: errorText(reason))
    }
  }

  deinit { close(descriptor) }

  /// Sends the request and reads the whole answer.
  /// - Parameter whileWaiting: called about every five seconds; throws to give up.
  consuming func ask(
    _ route: Route, whileWaiting: (() throws(ControlError) -> Void)? = nil
  ) throws(ControlError) -> ControlReply {
    try send(route.request())
    var reader = HTTPResponseReader(limits: HTTPLimits(body: 64 << 20))
    var reply = ControlReply(status: 0, body: [])
    var nextCheck = monotonicSeconds() + 5
    while true {
      switch reader.next() {
      case .head(let head): reply.status = head.status
      case .body(let piece): reply.body += piece
      case .end: return reply
      case .failed(let error): throw ControlError(kind: .broken, reason: error.message)
      case .incomplete:
        guard let whileWaiting else {
          try receive(into: &reader, until: deadline)
          continue
        }
        if try receive(into: &reader, until: deadline, wakingAt: nextCheck) { continue }
        try whileWaiting()
        nextCheck = monotonicSeconds() + 5
      }
    }
  }

  /// Sends the request and hands on the answer's content as it comes, without end. An answer other than 200 is returned whole.
  /// - Parameter piece: returns false to stop.
  consuming func follow(_ route: Route, _ piece: ([UInt8]) -> Bool) throws(ControlError) -> ControlReply {
    try send(route.request())
    var reader = HTTPResponseReader(limits: HTTPLimits(body: .max))
    var reply = ControlReply(status: 0, body: [])
    while true {
      switch reader.next() {
      case .head(let head): reply.status = head.status
      case .body(let bytes):
        if reply.status != 200 {
          reply.body += bytes
          guard reply.body.count < 1 << 20 else { throw ControlError(kind: .broken, reason: "its answer is too large") }
        } else if !piece(bytes) {
          return reply
        }
      case .end: return reply
      case .failed(let error): throw ControlError(kind: .broken, reason: error.message)
      case .incomplete: try receive(into: &reader, until: reply.status == 200 ? .infinity : deadline)
      }
    }
  }

  private func send(_ bytes: [UInt8]) throws(ControlError) {
    var sent = 0
    while sent < bytes.count {
      let count = bytes.withUnsafeBytes {
        Glibc.send(descriptor, $0.baseAddress.map { $0 + sent }, $0.count - sent, Int32(MSG_NOSIGNAL))
      }
      if count > 0 {
        sent += count
      } else if errno == EAGAIN {
        try wait(for: Int16(POLLOUT), until: deadline)
      } else if errno != EINTR {
        // The daemon may have answered before it read everything: its answer tells more than the error.
        return
      }
    }
  }

  private func receive(into reader: inout HTTPResponseReader, until limit: Double) throws(ControlError) {
    _ = try receive(into: &reader, until: limit, wakingAt: .infinity)
  }

  /// Waits for bytes; false when `wakingAt` came first.
  private func receive(
    into reader: inout HTTPResponseReader, until limit: Double, wakingAt: Double
  ) throws(ControlError) -> Bool {
    while true {
      let count = withUnsafeTemporaryAllocation(byteCount: 64 * 1024, alignment: 1) { buffer -> Int in
        let count = recv(descriptor, buffer.baseAddress, buffer.count, 0)
        if count > 0 { reader.append(UnsafeRawBufferPointer(rebasing: buffer[..<count])) }
        return count
      }
      if count > 0 { return true }
      if count == 0 {
        reader.finish()
        return true
      }
      if errno == EAGAIN {
        if try !wait(for: Int16(POLLIN), until: limit, wakingAt: wakingAt) { return false }
      } else if errno != EINTR {
        throw ControlError(kind: .broken, reason: errorText(errno))
      }
    }
  }

  /// Waits until the socket is ready; false when `wakingAt` came first.
  /// - Throws: `stuck` when the limit came first.
  @discardableResult
  private func wait(for events: Int16, until limit: Double, wakingAt: Double = .infinity) throws(ControlError) -> Bool {
    while true {
      let now = monotonicSeconds()
      guard now < limit else {
        throw ControlError(kind: .stuck, reason: "it did not answer within \(describe(seconds: timeout)) s")
      }
      guard now < wakingAt else { return false }
      let milliseconds = min((min(limit, wakingAt) - now) * 1000, 60_000).rounded(.up)
      var waiting = pollfd(fd: descriptor, events: events, revents: 0)
      let ready = poll(&waiting, 1, Int32(milliseconds))
      if ready > 0 { return true }
      if ready < 0 && errno != EINTR { throw ControlError(kind: .broken, reason: errorText(errno)) }
    }
  }
}

/// `5` or `0.9`.
func describe(seconds: Double) -> String {
  seconds == seconds.rounded() && seconds.magnitude < 1e9 ? String(Int(seconds)) : seconds.description
}
