// A small HTTP/1.1 responder for what PID 1 must answer itself: the port while no program accepts, and the control socket. Everything
// about it is bounded: connections, bytes in either direction, seconds.

import ControlProtocol
import Glibc
import SupervisorCore

/// The bounds of a server.
public struct HTTPServerLimits: Sendable {
  /// Connections at a time. One more takes the place of the one that has been idle, or stuck, for the longest.
  public var connections: Int
  /// How long a connection may stay open between requests, and until its first one begins.
  public var idle: Interval
  /// How long a request may take from its first byte to its last.
  public var request: Interval
  /// How long an answer may take to be written, and how long a stream may stand still.
  public var write: Interval
  /// How many bytes of a stream wait for a slow reader before it is dropped.
  public var streamBytes: Int
  /// Whether a connection may carry more than one request.
  public var keepAlive: Bool
  /// How large a request may be.
  public var message: HTTPLimits

  /// Bounds.
  public init(
    connections: Int, idle: Interval, request: Interval, write: Interval, streamBytes: Int, keepAlive: Bool,
    message: HTTPLimits
  ) {
    self.connections = connections
    self.idle = idle
    self.request = request
    self.write = write
    self.streamBytes = streamBytes
    self.keepAlive = keepAlive
    self.message = message
  }

  /// For the container's port: one answer a connection, so that the next request finds the program that accepts again.
  public static let port = HTTPServerLimits(
    connections: 64, idle: .seconds(5), request: .seconds(5), write: .seconds(5), streamBytes: 64 * 1024,
    keepAlive: false,
    message: .publicPort)

  /// For the control socket.
  public static let control = HTTPServerLimits(
    connections: 32, idle: .seconds(60), request: .seconds(5), write: .seconds(5), streamBytes: 256 * 1024,
    keepAlive: true,
    message: HTTPLimits())
}

/// Who is at the other end of a unix socket, as the kernel says (SO_PEERCRED).
public struct PeerCredentials: Equatable, Sendable {
  /// The process that connected; 0 when it is outside of our namespace.
  public var pid: Int32
  /// Its effective user.
  public var uid: UInt32
  /// Its effective group.
  public var gid: UInt32

  /// Credentials.
  public init(pid: Int32, uid: UInt32, gid: UInt32) {
    self.pid = pid
    self.uid = uid
    self.gid = gid
  }
}

/// Serves HTTP/1.1 on connections that somebody else accepts.
public final class HTTPServer {
  /// Answers a request through the responder, now or later.
  public typealias Handler = (HTTPRequest, HTTPResponder) -> Void

  /// Connections served so far.
  public private(set) var served: UInt64 = 0
  /// Connections that were closed to make room for newer ones.
  public private(set) var evicted: UInt64 = 0

  /// What a client reads whose request cannot be taken (malformed, too long, too late, too many connections): by default the message as
  /// text.
  public var refuse: (HTTPRefusal) -> HTTPResponse = { .text("\($0.message)\n", status: $0.status) }

  let loop: EventLoop
  let buffer: ReadBuffer
  let limits: HTTPServerLimits
  let handler: Handler
  private var connections: [UInt64: HTTPConnection] = [:]
  private var nextNumber: UInt64 = 1

  /// A server without connections; `buffer` is what connections are read into.
  public init(loop: EventLoop, buffer: ReadBuffer, limits: HTTPServerLimits, handler: @escaping Handler) {
    self.loop = loop
    self.buffer = buffer
    self.limits = limits
    self.handler = handler
  }

  deinit { for connection in connections.values { connection.close() } }

  /// How many connections are open.
  public var connectionCount: Int { connections.count }

  /// Takes over a connection (non-blocking, close-on-exec).
  public func adopt(_ descriptor: Int32, peer: PeerCredentials? = nil) {
    if connections.count >= limits.connections { makeRoom() }
    let number = nextNumber
    nextNumber &+= 1
    served &+= 1
    let connection = HTTPConnection(server: self, number: number, descriptor: descriptor, peer: peer)
    connections[number] = connection
    // All others wait for an answer that is being worked on: this one is told so at once.
    let isRefused = connections.count > limits.connections
    connection.begin(refusing: isRefused ? HTTPRefusal(status: 503, message: "too many connections") : nil)
  }

  /// Closes every connection. Answers that are being written are cut off.
  public func closeAll() {
    for connection in connections.values { connection.close() }
  }

  func forget(_ number: UInt64) { connections[number] = nil }

  /// Closes the connection that matters least: the oldest that is idle, else that is being written to, else that streams.
  private func makeRoom() {
    let victim = connections.values
      .filter { $0.importance < HTTPConnection.Importance.answering }
      .min { ($0.importance.rawValue, $0.number) < ($1.importance.rawValue, $1.number) }
    guard let victim else { return }
    evicted &+= 1
    victim.close()
  }
}

/// The answer to one request: given now, later, or as a stream.
///
/// Keep it until the answer has ended. One that is dropped before that answers 500, or ends its stream, so that no client and no place
/// among the connections is lost. When the client goes away first, `onDisconnect` is called and everything else does nothing.
public final class HTTPResponder {
  /// Who asks, on a unix socket.
  public let peer: PeerCredentials?
  /// Called once when the client goes away, is dropped as too slow, or makes room for others, before the answer has ended.
  public var onDisconnect: (() -> Void)?

  private weak var connection: HTTPConnection?
  private var isStreaming = false

  init(connection: HTTPConnection, peer: PeerCredentials?) {
    self.connection = connection
    self.peer = peer
  }

  deinit {
    guard let connection else { return }
    if isStreaming {
      connection.endStream()
    } else {
      connection.respond(.text("the request was not answered\n", status: 500))
    }
  }

  /// Whether the client still waits for (more of) the answer.
  public var isOpen: Bool { connection != nil }

  /// Answers.
  public func respond(_ response: HTTPResponse) {
    guard let connection, !isStreaming else { return }
    self.connection = nil
    onDisconnect = nil
    connection.respond(response)
  }

  /// Begins an answer whose body comes piece by piece (`write`), without a known length. `response.body` is its first piece.
  /// `overflow` is the last piece that a reader gets who is too slow for what it follows.
  public func stream(_ response: HTTPResponse, overflow: [UInt8] = []) {
    guard let connection, !isStreaming else { return }
    isStreaming = true
    connection.beginStream(response, overflow: overflow)
  }

  /// Another piece of a stream.
  public func write(_ bytes: some Collection<UInt8>) {
    guard let connection, isStreaming, !bytes.isEmpty else { return }
    connection.writeStream(bytes)
  }

  /// Ends a stream.
  public func end() {
    guard let connection, isStreaming else { return }
    self.connection = nil
    onDisconnect = nil
    connection.endStream()
  }

  func disconnected() {
    guard connection != nil else { return }
    connection = nil
    let handler = onDisconnect
    onDisconnect = nil
    handler?()
  }
}
