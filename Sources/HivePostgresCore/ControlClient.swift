// One request to PID 1's control socket: HTTP/1.1 over a unix socket, a connection for each, everything within one deadline.

import ControlProtocol
import Glibc

/// Posts to the control socket.
struct ControlClient {
  let socketPath: String
  let interruption: Interruption
  /// What else has to be done while this waits; returns after how long it wants to be called again.
  var meanwhile: (() -> Duration)?

  /// Why PID 1 did not take a report.
  enum Problem: Error, Equatable {
    case interrupted(Int32)
    /// In words.
    case unreachable(String)
    /// It answered with another status than 2xx.
    case refused(Int, String)
  }

  /// Sends JSON. Throws unless the answer is 2xx.
  func post(_ path: String, _ body: [UInt8], within timeout: Duration) throws(Problem) {
    let deadline = ContinuousClock.now + timeout
    guard var address = UnixSocket.address(socketPath) else { throw .unreachable("the socket's path is too long") }
    let fd = socket(
      AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
    guard fd >= 0 else { throw .unreachable(Failure.describe(errno)) }
    defer { close(fd) }
    let length = UnixSocket.length(socketPath)
    let connected = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(fd, $0, length) }
    }
    guard connected == 0 else { throw .unreachable(Failure.describe(errno)) }
    let request =
      "POST \(path) HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: \(body.count)\r\n"
      + "Connection: close\r\n\r\n"
    var rest = (Array(request.utf8) + body)[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Glibc.send(fd, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
      if count > 0 {
        rest = rest.dropFirst(count)
      } else if errno == EAGAIN {
        try wait(fd, POLLOUT, deadline)
      } else if errno != EINTR {
        throw .unreachable(Failure.describe(errno))
      }
    }
    try readAnswer(fd, deadline)
  }

  private func readAnswer(_ fd: Int32, _ deadline: ContinuousClock.Instant) throws(Problem) {
    var reader = HTTPResponseReader()
    var status = 0
    var body: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    while true {
      switch reader.next() {
      case .head(let head): status = head.status
      case .body(let bytes): body += bytes
      case .failed(let error): throw .unreachable(error.message)
      case .end:
        guard (200..<300).contains(status) else {
          throw .refused(status, String(decoding: body.prefix(300), as: UTF8.self))
        }
        return
      case .incomplete:
        let count = recv(fd, &chunk, chunk.count, 0)
        if count > 0 {
          reader.append(chunk[..<count])
        } else if count == 0 {
          reader.finish()
        } else if errno == EAGAIN {
          try wait(fd, POLLIN, deadline)
        } else if errno != EINTR {
          throw .unreachable(Failure.describe(errno))
        }
      }
    }
  }

  private func wait(_ fd: Int32, _ events: Int32, _ deadline: ContinuousClock.Instant) throws(Problem) {
    while true {
      let left = deadline - ContinuousClock.now
      guard left > .zero else { throw .unreachable("no answer in time") }
      var fds = [
        pollfd(fd: fd, events: Int16(events), revents: 0),
        pollfd(fd: interruption.descriptor, events: Int16(POLLIN), revents: 0),
      ]
      guard poll(&fds, 2, min(left, meanwhile?() ?? left).milliseconds) > 0 else { continue }
      do throws(Failure) {
        try interruption.check()
      } catch {
        if case .interrupted(let signal) = error.status { throw .interrupted(signal) }
      }
      if fds[0].revents != 0 { return }
    }
  }
}
