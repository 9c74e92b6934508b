import Synchronization

/// A bounded pool of connections to one server, shared by concurrent callers.
///
/// A connection that broke, timed out, or comes back inside a transaction is closed, not reused; an idle one whose
/// server has hung up is noticed before it is handed out. How it behaves while the server is away: `PoolOptions`.
public final class PostgresPool: Sendable {
  /// How many connections there may be, and how long anything may wait.
  public struct Options: Sendable {
    /// Connections that are kept open once they were needed. At least 1.
    public var size: Int
    /// Connections beyond `size` that are opened while callers wait, and closed when idle.
    public var overflow: Int
    /// The longest time that a caller waits for a connection; then `PostgresError.Code.poolExhausted`, or the reason
    /// why there is none.
    public var acquireTimeout: Duration
    /// How long callers wait for a server that is away before they get its error at once.
    public var patience: Duration
    /// The delay after the first failed attempt to connect; doubled after each further one.
    public var firstRetryDelay: Duration
    /// The longest delay between two attempts, hence about how long a return of the server goes unnoticed.
    public var maximumRetryDelay: Duration
    /// How each connection is made.
    public var connect: PostgresConnectOptions

    /// 5 connections, 10 more under load; callers wait at most 5 s, and 1 s for a server that is away.
    public init(
      size: Int = 5, overflow: Int = 10, acquireTimeout: Duration = .seconds(5), patience: Duration = .seconds(1),
      firstRetryDelay: Duration = .milliseconds(20), maximumRetryDelay: Duration = .milliseconds(500),
      connect: PostgresConnectOptions = PostgresConnectOptions()
    ) {
      self.size = size
      self.overflow = overflow
      self.acquireTimeout = acquireTimeout
      self.patience = patience
      self.firstRetryDelay = firstRetryDelay
      self.maximumRetryDelay = maximumRetryDelay
      self.connect = connect
    }
  }

  /// What the pool is doing at one moment.
  public struct Statistics: Sendable, Hashable {
    /// The configured size, without overflow.
    public var size: Int
    /// The configured overflow.
    public var overflow: Int
    /// Connections that callers hold.
    public var checkedOut: Int
    /// Idle connections.
    public var available: Int
    /// Callers in the queue.
    public var waiting: Int
    /// Attempts to connect that are under way or scheduled.
    public var connecting: Int
    /// Why the server cannot be reached; nil while it can, as far as the pool knows.
    public var outage: PostgresError?
  }

  private typealias Waiter = CheckedContinuation<PostgresConnection, any Error>

  private struct Inner {
    var state: PoolState
    var connections: [PoolState.ConnectionID: PostgresConnection] = [:]
    var waiters: [PoolState.WaiterID: Waiter] = [:]
    /// Callers that have an id but no place in the queue yet, and whether they were cancelled meanwhile.
    var arriving: [PoolState.WaiterID: Bool] = [:]
    var attempts: [UInt64: Task<Void, Never>] = [:]
    var closers: [CheckedContinuation<Void, Never>] = []
    /// Connections that are not the pool's any more, and of which something may be left.
    var leaving = 0
    var nextID: UInt64 = 0

    mutating func makeID() -> UInt64 {
      nextID += 1
      return nextID
    }

    func id(of connection: PostgresConnection) -> PoolState.ConnectionID? {
      connections.first { $0.value === connection }?.key
    }
  }

  /// Effects that must not happen under the lock.
  private enum Effect {
    case resume(Waiter, Result<PostgresConnection, any Error>)
    case close(PostgresConnection)
    case closed(CheckedContinuation<Void, Never>)
  }

  private let conninfo: String
  private let options: Options
  private let inner: Mutex<Inner>

  /// A pool for the server that `conninfo` names (see `PostgresConnection.connect`). Nothing is opened before the first
  /// caller comes.
  public init(_ conninfo: String, options: Options = Options()) {
    self.conninfo = conninfo
    self.options = options
    inner = Mutex(
      Inner(
        state: PoolState(
          limits: PoolState.Limits(
            size: max(1, options.size), overflow: max(0, options.overflow), patience: options.patience,
            firstRetryDelay: options.firstRetryDelay, maximumRetryDelay: options.maximumRetryDelay))))
  }

  deinit {
    // Connections close themselves when their last reference goes.
    inner.withLock { inner in inner.attempts.values.forEach { $0.cancel() } }
  }

  // MARK: - Use

  /// Lends a connection to `body` and takes it back when `body` ends. Throws what `body` throws, or why there is no
  /// connection (`PostgresError`, `CancellationError`).
  public func withConnection<Output>(
    isolation: isolated (any Actor)? = #isolation,
    _ body: (PostgresConnection) async throws -> sending Output
  ) async throws -> sending Output {
    let connection = try await acquire()
    defer { release(connection) }
    return try await body(connection)
  }

  /// Runs one statement on any connection; see `PostgresConnection.query`.
  @discardableResult
  public func query(
    _ sql: String, _ parameters: [PostgresParameter] = [], timeout: Duration? = nil
  ) async throws -> PostgresResult {
    try await withConnection { try await $0.query(sql, parameters, timeout: timeout) }
  }

  /// Runs `body` in a transaction on one connection; see `PostgresConnection.transaction`.
  public func transaction<Output>(
    mode: String = "", isolation: isolated (any Actor)? = #isolation,
    _ body: (PostgresConnection) async throws -> sending Output
  ) async throws -> sending Output {
    let connection = try await acquire()
    defer { release(connection) }
    return try await connection.transaction(mode: mode, body)
  }

  /// What the pool is doing now.
  public var statistics: Statistics {
    inner.withLock { inner in
      let state = inner.state
      return Statistics(
        size: state.limits.size, overflow: state.limits.overflow, checkedOut: state.leased.count,
        available: state.idle.count, waiting: state.waiters.count, connecting: state.connecting,
        outage: state.outage?.lastError)
    }
  }

  /// Stops lending: callers in the queue fail, idle connections close, and lent ones close as they come back. Returns
  /// when all are back and nothing of them is left (statements that were given up have been cancelled in the server), or after
  /// `timeout`; those that are still out then close on their return.
  public func close(timeout: Duration = .seconds(3)) async {
    perform { inner in
      let actions = inner.state.close()
      inner.attempts.values.forEach { $0.cancel() }
      return actions
    }
    let limit = Task {
      try await Task.sleep(for: timeout)
      self.wakeClosers(onlyWhenDone: false)
    }
    await withCheckedContinuation { continuation in
      inner.withLock { $0.closers.append(continuation) }
      wakeClosers(onlyWhenDone: true)
    }
    limit.cancel()
  }

  // MARK: - Lending

  private func acquire() async throws -> PostgresConnection {
    let deadline = ContinuousClock.now + options.acquireTimeout
    while true {
      try Task.checkCancellation()
      let connection = try await lease(until: deadline)
      // The look at an idle connection costs one poll(2); without it the first callers after a restart of the server
      // would each get an error from a connection that died while nobody watched.
      if await connection.checkIdle() { return connection }
      release(connection)
    }
  }

  private func lease(until deadline: ContinuousClock.Instant) async throws -> PostgresConnection {
    let waiter = inner.withLock { inner in
      let id = inner.makeID()
      inner.arriving[id] = false
      return id
    }
    let timer = Timer()
    defer { timer.cancel() }
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { (continuation: Waiter) in
        let mustWait = enter(waiter, continuation)
        if mustWait {
          timer.start(until: deadline) { [weak self] in self?.expire(waiter) }
        }
      }
    } onCancel: {
      cancel(waiter)
    }
  }

  /// Answers the caller at once or queues it; true when it was queued.
  private func enter(_ waiter: PoolState.WaiterID, _ continuation: Waiter) -> Bool {
    var mustWait = false
    perform { inner in
      if inner.arriving.removeValue(forKey: waiter) == true {
        continuation.resume(throwing: CancellationError())
        return []
      }
      let (acquisition, actions) = inner.state.acquire(waiter, at: .now)
      switch acquisition {
      case .lease(let id):
        continuation.resume(with: Result { try inner.connections[id].orThrow(PoolState.closedError) })
      case .fail(let error):
        continuation.resume(throwing: error)
      case .wait:
        inner.waiters[waiter] = continuation
        mustWait = true
      }
      return actions
    }
    return mustWait
  }

  private func expire(_ waiter: PoolState.WaiterID) {
    let (continuation, error) = inner.withLock { inner -> (Waiter?, PostgresError) in
      guard inner.state.abandon(waiter) else { return (nil, PoolState.closedError) }
      let state = inner.state
      let error =
        state.outage?.lastError
        ?? PostgresError(
          .poolExhausted,
          "none of \(state.limits.total) became free within \(options.acquireTimeout): \(state.leased.count) in use, "
            + "\(state.connecting) being opened, \(state.waiters.count) other callers waiting",
          hint: "retry later; if this lasts, look for slow statements or raise the pool size")
      return (inner.waiters.removeValue(forKey: waiter), error)
    }
    continuation?.resume(throwing: error)
  }

  private func cancel(_ waiter: PoolState.WaiterID) {
    let continuation = inner.withLock { inner -> Waiter? in
      if inner.state.abandon(waiter) { return inner.waiters.removeValue(forKey: waiter) }
      if inner.arriving[waiter] != nil { inner.arriving[waiter] = true }
      return nil
    }
    continuation?.resume(throwing: CancellationError())
  }

  private func release(_ connection: PostgresConnection) {
    let reusable = connection.isUsable && !connection.isInTransaction
    perform { inner in
      guard let id = inner.id(of: connection) else { return [] }
      return inner.state.release(id, reusable: reusable)
    }
  }

  // MARK: - Connecting and closing

  /// Changes the state and carries out what it decided.
  private func perform(_ change: (inout Inner) -> [PoolState.Action]) {
    let effects = inner.withLock { inner -> [Effect] in
      var effects: [Effect] = []
      for action in change(&inner) {
        switch action {
        case .hand(let id, let waiter):
          if let continuation = inner.waiters.removeValue(forKey: waiter), let connection = inner.connections[id] {
            effects.append(.resume(continuation, .success(connection)))
          }
        case .fail(let waiter, let error):
          if let continuation = inner.waiters.removeValue(forKey: waiter) {
            effects.append(.resume(continuation, .failure(error)))
          }
        case .close(let id):
          if let connection = inner.connections.removeValue(forKey: id) {
            inner.leaving += 1
            effects.append(.close(connection))
          }
        case .connect(let delay):
          startAttempt(after: delay, &inner)
        }
      }
      return effects + takeClosers(&inner, onlyWhenDone: true)
    }
    run(effects)
  }

  private func run(_ effects: [Effect]) {
    for effect in effects {
      switch effect {
      case .resume(let waiter, let result): waiter.resume(with: result)
      case .close(let connection):
        Task { [weak self] in
          await connection.close()
          await connection.finished()
          self?.connectionLeft()
        }
      case .closed(let closer): closer.resume()
      }
    }
  }

  private func startAttempt(after delay: Duration, _ inner: inout Inner) {
    let attempt = inner.makeID()
    let (conninfo, options) = (conninfo, options.connect)
    inner.attempts[attempt] = Task { [weak self] in
      do {
        if delay > .zero { try await Task.sleep(for: delay) }
        let connection = try await PostgresConnection.connect(conninfo, options: options)
        if let self { self.finishAttempt(attempt, connection) } else { await connection.close() }
      } catch {
        self?.failAttempt(attempt, error)
      }
    }
  }

  private func finishAttempt(_ attempt: UInt64, _ connection: PostgresConnection) {
    perform { inner in
      inner.attempts[attempt] = nil
      let id = inner.makeID()
      inner.connections[id] = connection
      return inner.state.connected(id)
    }
  }

  private func failAttempt(_ attempt: UInt64, _ error: any Error) {
    let error = error as? PostgresError ?? PostgresError(.connectionFailed, "the attempt was cancelled")
    perform { inner in
      inner.attempts[attempt] = nil
      return inner.state.connectFailed(error, at: .now)
    }
  }

  private func connectionLeft() {
    run(
      inner.withLock { inner in
        inner.leaving -= 1
        return takeClosers(&inner, onlyWhenDone: true)
      })
  }

  private func takeClosers(_ inner: inout Inner, onlyWhenDone: Bool) -> [Effect] {
    guard !inner.closers.isEmpty, !onlyWhenDone || inner.state.total + inner.leaving == 0 else { return [] }
    defer { inner.closers.removeAll() }
    return inner.closers.map { .closed($0) }
  }

  private func wakeClosers(onlyWhenDone: Bool) {
    run(inner.withLock { takeClosers(&$0, onlyWhenDone: onlyWhenDone) })
  }
}

extension Optional {
  fileprivate func orThrow(_ error: @autoclosure () -> any Error) throws -> Wrapped {
    guard let self else { throw error() }
    return self
  }
}

/// A timer that belongs to one call: started at most once, and cancelled at its end.
private final class Timer: Sendable {
  private enum State {
    case new
    case started(Task<Void, Never>)
    case cancelled
  }

  private let state = Mutex(State.new)

  func start(until deadline: ContinuousClock.Instant, _ action: @escaping @Sendable () -> Void) {
    state.withLock { state in
      guard case .new = state else { return }
      state = .started(
        Task {
          do {
            try await Task.sleep(until: deadline, clock: .continuous)
            action()
          } catch {
            // Cancelled: the call ended first.
          }
        })
    }
  }

  func cancel() {
    state.withLock { state in
      if case .started(let task) = state { task.cancel() }
      state = .cancelled
    }
  }
}
