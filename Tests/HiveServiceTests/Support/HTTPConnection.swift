import Glibc

@testable import HiveServiceCore

/// One HTTP/1.1 connection over a blocking socket, so that tests see exactly what is on the wire.
final class HTTPConnection {
  struct Response {
    var status: Int
    var headers: [String: String]
    var body: [UInt8]

    var text: String { String(decoding: body, as: UTF8.self) }
    var json: JSONValue { get throws { try JSONReader.read(body) } }
    /// The `detail` of an error.
    var detail: JSONValue? {
      guard case .object(let object)? = try? json else { return nil }
      return object["detail"]
    }
  }

  private let descriptor: Int32
  private var buffer: [UInt8] = []

  init(port: UInt16, timeout: Int = 30) throws {
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    var limit = timeval(tv_sec: timeout, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    address.sin_port = port.bigEndian
    let descriptor = descriptor
    let result = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard result == 0 else { throw TestFailure("cannot connect: \(String(cString: strerror(errno)))") }
  }

  deinit { close(descriptor) }

  static func request(
    _ port: UInt16, _ method: String, _ target: String, headers: [String: String] = [:], body: [UInt8]? = nil
  ) throws -> Response {
    let connection = try HTTPConnection(port: port)
    return try connection.request(method, target, headers: headers, body: body)
  }

  /// Sends JSON.
  static func json(_ port: UInt16, _ method: String, _ target: String, _ body: String) throws -> Response {
    try request(port, method, target, headers: ["content-type": "application/json"], body: Array(body.utf8))
  }

  func request(
    _ method: String, _ target: String, headers: [String: String] = [:], body: [UInt8]? = nil
  ) throws -> Response {
    try send(method, target, headers: headers, body: body)
    return try receive(hasBody: method != "HEAD")
  }

  func send(_ method: String, _ target: String, headers: [String: String] = [:], body: [UInt8]? = nil) throws {
    var head = "\(method) \(target) HTTP/1.1\r\nhost: test\r\n"
    for (name, value) in headers { head += "\(name): \(value)\r\n" }
    if let body, headers["content-length"] == nil, headers["transfer-encoding"] == nil {
      head += "content-length: \(body.count)\r\n"
    }
    try send(Array((head + "\r\n").utf8) + (body ?? []))
  }

  func send(_ bytes: [UInt8]) throws {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
      guard count > 0 else { throw TestFailure("cannot send: \(String(cString: strerror(errno)))") }
      rest = rest.dropFirst(count)
    }
  }

  /// True when the server has closed the connection.
  func isAtEnd() throws -> Bool { buffer.isEmpty ? try !fill() : false }

  func receive(hasBody: Bool = true) throws -> Response {
    let separator = Array("\r\n\r\n".utf8)
    var end: Int?
    while true {
      end = buffer.indices.first { buffer[$0...].starts(with: separator) }
      if end != nil { break }
      guard try fill() else { throw TestFailure("the connection was closed before an answer") }
    }
    let head = String(decoding: buffer[..<(end ?? 0)], as: UTF8.self)
    buffer.removeFirst((end ?? 0) + separator.count)
    let lines = head.split(separator: "\r\n")
    var headers: [String: String] = [:]
    for line in lines.dropFirst() {
      let parts = line.split(separator: ":", maxSplits: 1)
      headers[parts[0].lowercased()] = parts.count > 1 ? String(parts[1].drop { $0 == " " }) : ""
    }
    let status = Int(lines.first?.split(separator: " ").dropFirst().first ?? "") ?? 0
    let length = hasBody ? Int(headers["content-length"] ?? "0") ?? 0 : 0
    while buffer.count < length {
      guard try fill() else { throw TestFailure("the connection was closed inside a body") }
    }
    let body = Array(buffer.prefix(length))
    buffer.removeFirst(length)
    return Response(status: status, headers: headers, body: body)
  }

  private func fill() throws -> Bool {
    var chunk = [UInt8](repeating: 0, count: 65536)
    let count = recv(descriptor, &chunk, chunk.count, 0)
    if count < 0, errno == EAGAIN { throw TestFailure("no answer in time") }
    if count <= 0 { return false }
    buffer.append(contentsOf: chunk.prefix(count))
    return true
  }
}

extension JSONValue {
  subscript(_ key: String) -> JSONValue? {
    guard case .object(let object) = self else { return nil }
    return object[key]
  }

  /// Equal as JSON documents: numbers by value, members in any order.
  func isSame(as other: JSONValue) -> Bool {
    switch (self, other) {
    case (.number(let left), .number(let right)): left == right || Double(left) == Double(right)
    case (.array(let left), .array(let right)):
      left.count == right.count && zip(left, right).allSatisfy { $0.isSame(as: $1) }
    case (.object(let left), .object(let right)):
      left.members.count == right.members.count
        && left.members.allSatisfy { right[$0.key]?.isSame(as: $0.value) == true }
    default: self == other
    }
  }
}
