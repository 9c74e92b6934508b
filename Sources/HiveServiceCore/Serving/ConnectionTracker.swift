import NIOCore
import Synchronization

/// The open client connections, so that a drain can end them: idle ones at once, busy ones after their answer, and those
/// that never sent a request after a moment in which their first one may still arrive. When the time of the drain is over, what is
/// still being worked on is cancelled, which is answered too.
final class ConnectionTracker: Sendable {
  private struct Connection {
    var channel: any Channel
    var requests = 0
    /// Cancels the request that is being worked on; HTTP/1.1 has one at a time.
    var request: (@Sendable () -> Void)?
    /// An answer is being written, which nothing cancels.
    var isAnswering = false
  }

  private struct State {
    var connections: [ObjectIdentifier: Connection] = [:]
    var isDraining = false
    var isOver = false
  }

  private let drainTimeout: Duration
  /// A client that has just connected is about to send; closing on it would look like a refused request.
  private var firstRequestGrace: Duration { drainTimeout / 6 }
  private let state = Mutex(State())

  init(drainTimeout: Duration) { self.drainTimeout = drainTimeout }

  var isDraining: Bool { state.withLock { $0.isDraining } }
  /// The time of the drain is over.
  var isOver: Bool { state.withLock { $0.isOver } }
  var count: Int { state.withLock { $0.connections.count } }

  func add(_ channel: any Channel) {
    let id = ObjectIdentifier(channel)
    state.withLock { $0.connections[id] = Connection(channel: channel) }
    channel.closeFuture.whenComplete { _ in
      self.state.withLock { $0.connections[id] = nil }
    }
  }

  /// `cancel` is called when the drain ends before the request has.
  func requestBegan(on channel: any Channel, cancel: @escaping @Sendable () -> Void) {
    let isOver = state.withLock { state in
      state.connections[ObjectIdentifier(channel)]?.requests += 1
      state.connections[ObjectIdentifier(channel)]?.request = cancel
      return state.isOver
    }
    if isOver { cancel() }
  }

  /// The work is done: a client that is slow to read its answer is none whose request is given up.
  func answerBegins(on channel: any Channel) {
    state.withLock { state in
      state.connections[ObjectIdentifier(channel)]?.request = nil
      state.connections[ObjectIdentifier(channel)]?.isAnswering = true
    }
  }

  func requestEnded(on channel: any Channel) {
    state.withLock { state in
      state.connections[ObjectIdentifier(channel)]?.request = nil
      state.connections[ObjectIdentifier(channel)]?.isAnswering = false
    }
  }

  /// Ends connections as described above. Busy connections are closed after their answer by whoever writes it. Returns at the end of
  /// the drain how many requests had to be cancelled.
  func drain() async -> Int {
    let end = ContinuousClock.now + drainTimeout
    await endIdle()
    try? await Task.sleep(until: end, clock: .continuous)
    let requests = state.withLock { state in
      state.isOver = true
      return state.connections.values.compactMap(\.request)
    }
    requests.forEach { $0() }
    return requests.count
  }

  private func endIdle() async {
    let fresh = state.withLock { state in
      state.isDraining = true
      var fresh: [any Channel] = []
      for connection in state.connections.values {
        if connection.requests == 0 {
          fresh.append(connection.channel)
        } else if connection.request == nil, !connection.isAnswering {
          Self.quiesce(connection.channel)
        }
      }
      return fresh
    }
    guard !fresh.isEmpty else { return }
    try? await Task.sleep(for: firstRequestGrace)
    fresh.forEach(Self.quiesce)
  }

  /// Closes what is left.
  func closeAll() {
    let channels = state.withLock { $0.connections.values.map(\.channel) }
    channels.forEach { $0.close(promise: nil) }
  }

  /// Hummingbird's connection handler closes an idle connection on this event; on one whose request has arrived this
  /// very moment it waits for the answer.
  private static func quiesce(_ channel: any Channel) {
    channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
  }
}

/// Accepts no more than a number of connections at a time; the others wait in the kernel's queue, where PID 1 sees them.
final class ConnectionLimitHandler: ChannelDuplexHandler {
  typealias InboundIn = any Channel
  typealias InboundOut = any Channel
  typealias OutboundIn = Never
  typealias OutboundOut = Never

  private let maximum: Int
  private var count = 0
  private var isReadPending = false

  init(maximum: Int) { self.maximum = maximum }

  func read(context: ChannelHandlerContext) {
    if count < maximum {
      context.read()
    } else {
      isReadPending = true
    }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    count += 1
    let loopBound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
    unwrapInboundIn(data).closeFuture.hop(to: context.eventLoop).whenComplete { _ in
      let (handler, context) = loopBound.value
      handler.connectionClosed(context)
    }
    context.fireChannelRead(data)
  }

  private func connectionClosed(_ context: ChannelHandlerContext) {
    count -= 1
    if isReadPending, count < maximum {
      isReadPending = false
      context.read()
    }
  }
}
