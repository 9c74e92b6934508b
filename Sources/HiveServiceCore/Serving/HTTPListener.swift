import Glibc
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle

/// Serves HTTP/1.1 on listening sockets: inherited ones, or one that it binds itself. Hummingbird's own server can only
/// bind; its router, its HTTP channel and its request and response types are used as they are.
struct HTTPListener: Service {
  /// Where connections come from.
  enum Source: Sendable {
    case sockets([ListeningSocket])
    case bind(host: String, port: Int)
  }

  /// What one client may take.
  struct Limits: Sendable {
    var maximumConnections = 1000
    /// How long a connection may be silent between requests, or inside of one.
    var idleTimeout = Duration.seconds(75)
  }

  private typealias ServerChannel = NIOAsyncChannel<HTTP1Channel.Value, Never>

  let source: Source
  let limits: Limits
  let responder: any HTTPResponder<APIRequestContext>
  let tracker: ConnectionTracker
  let eventLoopGroup: any EventLoopGroup
  let logger: Logger
  /// Called first, and cancelled by a graceful shutdown. Until it has ended, whoever else has the sockets accepts alone.
  let beforeAccepting: @Sendable () async -> Void
  /// Called with the local addresses once connections are accepted.
  let onAccepting: @Sendable ([SocketAddress]) -> Void
  /// Called when the drain begins.
  let onDraining: @Sendable () -> Void
  /// Called when the drain's time is over, with the number of requests that are cancelled.
  let onOver: @Sendable (Int) -> Void

  /// Runs until a graceful shutdown has ended every connection, or until cancelled.
  func run() async throws {
    await cancelWhenGracefulShutdown { await beforeAccepting() }
    let dates = HTTPDateCache()
    let http = HTTP1Channel(
      responder: { request, writer, channel in
        try await respond(to: request, writer, channel, dates)
      },
      configuration: HTTP1Channel.Configuration(
        idleTimeout: TimeAmount(limits.idleTimeout),
        httpDecoderConfiguration: .init(
          maxHeaderFieldSize: 16 << 10, maxHeaderListSize: 32 << 10, maxHeaderFieldCount: 100)))
    let servers = try await open(http)
    onAccepting(servers.compactMap { $0.channel.localAddress })
    try await withGracefulShutdownHandler {
      try await withTaskCancellationHandler {
        try await withThrowingDiscardingTaskGroup { group in
          for server in servers { group.addTask { try await accept(on: server, http) } }
        }
      } onCancel: {
        servers.forEach { $0.channel.close(promise: nil) }
        tracker.closeAll()
      }
    } onGracefulShutdown: {
      onDraining()
      // Only our copies are closed: PID 1 keeps the sockets, and answers whoever comes now.
      servers.forEach { $0.channel.close(promise: nil) }
      Task { onOver(await tracker.drain()) }
    }
  }

  // MARK: - Accepting

  private func open(_ http: HTTP1Channel) async throws -> [ServerChannel] {
    let maximum = limits.maximumConnections
    let bootstrap = ServerBootstrap(group: eventLoopGroup)
      .serverChannelOption(.backlog, value: 4096)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelOption(.allowRemoteHalfClosure, value: true)
      .serverChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(ConnectionLimitHandler(maximum: maximum))
        }
      }
    let setUp: @Sendable (any Channel) -> EventLoopFuture<HTTP1Channel.Value> = { channel in
      tracker.add(channel)
      return http.setup(channel: channel, logger: logger)
    }
    switch source {
    case .bind(let host, let port):
      do {
        return [try await bootstrap.bind(host: host, port: port, childChannelInitializer: setUp)]
      } catch let error as IOError {
        let reason = String(cString: strerror(error.errnoCode))
        throw ConfigurationError(
          "cannot listen on \(host):\(port): \(reason)",
          remedy: error.errnoCode == EADDRINUSE ? "another process has the port; set HIVE_PORT to use another" : nil)
      }
    case .sockets(let sockets):
      var servers: [ServerChannel] = []
      for socket in sockets {
        servers.append(try await bootstrap.bind(socket.descriptor, childChannelInitializer: setUp))
      }
      return servers
    }
  }

  /// Until the socket is closed. Throws when it breaks, which ends the service: PID 1 then starts another.
  private func accept(on server: ServerChannel, _ http: HTTP1Channel) async throws {
    try await withThrowingDiscardingTaskGroup { connections in
      try await server.executeThenClose { inbound in
        for try await connection in inbound {
          connections.addTask { await http.handle(value: connection, logger: logger) }
        }
      }
    }
  }

  // MARK: - Responding

  private func respond(
    to request: Request, _ writer: consuming ResponseWriter, _ channel: any Channel, _ dates: HTTPDateCache
  ) async throws {
    let begin = ContinuousClock.now
    // A task of its own, so that the end of a drain cancels the work and not the writing of its answer.
    let work = Task { [responder, logger] in
      let context = APIRequestContext(source: ApplicationRequestContextSource(channel: channel, logger: logger))
      return try await responder.respond(to: request, context: context)
    }
    tracker.requestBegan(on: channel) { work.cancel() }
    defer { tracker.requestEnded(on: channel) }
    var response = try await withTaskCancellationHandler {
      try await work.value
    } onCancel: {
      work.cancel()
    }
    tracker.answerBegins(on: channel)
    response.headers[.server] = "hive-service"
    response.headers[.date] = dates.current()
    if tracker.isDraining { response.headers[.connection] = "close" }
    logger.debug(
      "\(request.method) \(request.uri.path) \(response.status.code)",
      metadata: ["duration": "\(ContinuousClock.now - begin)"])
    let mustClose = response.headers[.connection] == "close"
    try await writer.write(response: response.head, body: response.body)
    if mustClose || tracker.isDraining {
      Self.closeAfterFlush(channel, linger: tracker.isOver ? .milliseconds(100) : .milliseconds(500))
    }
  }

  /// Closing the output waits for what is still to be written; closing the channel would drop it. Then the client has a
  /// moment to close its side, so that bytes it has just sent do not reset the connection under the answer.
  private static func closeAfterFlush(_ channel: any Channel, linger: TimeAmount) {
    let flushed = channel.eventLoop.makePromise(of: Void.self)
    flushed.futureResult.whenComplete { _ in
      channel.eventLoop.scheduleTask(in: linger) { channel.close(promise: nil) }
    }
    channel.close(mode: .output, promise: flushed)
  }
}
