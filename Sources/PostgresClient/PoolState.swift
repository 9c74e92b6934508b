/// The decisions of a `PostgresPool`, without connections, clocks or tasks: events in, actions out.
///
/// Up to `size + overflow` connections are opened while callers wait for one; at most `size` idle ones are kept, the rest
/// is closed as it comes back (as SQLAlchemy's QueuePool does). Callers are served in the order of arrival.
///
/// When connecting fails there is an outage, and one attempt at a time is made with a growing delay until one works,
/// whether or not anybody asks. Callers ride through the first `patience` of it, so that a restart of the server is a
/// slow request; after that they get the last error at once, so that they can say "unavailable" and not hang.
struct PoolState {
  typealias ConnectionID = UInt64
  typealias WaiterID = UInt64
  typealias Instant = ContinuousClock.Instant

  struct Limits: Sendable {
    var size: Int
    var overflow: Int
    var patience: Duration
    var firstRetryDelay: Duration
    var maximumRetryDelay: Duration

    var total: Int { size + overflow }
  }

  enum Action: Equatable {
    case hand(ConnectionID, to: WaiterID)
    case fail(WaiterID, PostgresError)
    case connect(after: Duration)
    case close(ConnectionID)
  }

  enum Acquisition: Equatable {
    case lease(ConnectionID)
    case wait
    case fail(PostgresError)
  }

  struct Outage: Equatable {
    var since: Instant
    var failures: Int
    var lastError: PostgresError
  }

  let limits: Limits
  private(set) var idle: [ConnectionID] = []
  private(set) var leased: Set<ConnectionID> = []
  private(set) var waiters: [WaiterID] = []
  private(set) var connecting = 0
  private(set) var outage: Outage?
  private(set) var isClosed = false
  private var failuresInARow = 0

  init(limits: Limits) { self.limits = limits }

  /// Open connections and attempts to open one.
  var total: Int { idle.count + leased.count + connecting }

  static let closedError = PostgresError(.poolClosed, "the pool has been closed")

  /// A caller wants a connection. On `.wait` it has been queued as `waiter`.
  mutating func acquire(_ waiter: WaiterID, at now: Instant) -> (Acquisition, [Action]) {
    if isClosed { return (.fail(Self.closedError), []) }
    if let connection = idle.popLast() {
      leased.insert(connection)
      return (.lease(connection), [])
    }
    if let outage, now - outage.since > limits.patience { return (.fail(outage.lastError), []) }
    waiters.append(waiter)
    return (.wait, connectForWaiters())
  }

  /// A queued caller gave up. False when it had been served already.
  mutating func abandon(_ waiter: WaiterID) -> Bool {
    guard let index = waiters.firstIndex(of: waiter) else { return false }
    waiters.remove(at: index)
    return true
  }

  /// An attempt to connect succeeded.
  mutating func connected(_ connection: ConnectionID) -> [Action] {
    connecting -= 1
    outage = nil
    failuresInARow = 0
    if isClosed { return [.close(connection)] }
    return place(connection) + connectForWaiters()
  }

  /// An attempt to connect failed.
  mutating func connectFailed(_ error: PostgresError, at now: Instant) -> [Action] {
    connecting -= 1
    if isClosed { return [] }
    failuresInARow += 1
    // A server that is merely full serves the connections that are there: their return ends the wait.
    let hasOwn = !idle.isEmpty || !leased.isEmpty
    var actions: [Action] = []
    if !(error.isTooManyConnections && hasOwn) {
      let since = outage?.since ?? now
      outage = Outage(since: since, failures: failuresInARow, lastError: error)
      // What time does not heal (a wrong password, no such database) is not waited for.
      if !(error.isConnectionLoss || error.isTooManyConnections) || now - since >= limits.patience {
        actions = waiters.map { .fail($0, error) }
        waiters.removeAll()
      }
    }
    if connecting == 0, outage != nil || !waiters.isEmpty {
      connecting = 1
      actions.append(.connect(after: retryDelay))
    }
    return actions
  }

  /// A leased connection comes back.
  mutating func release(_ connection: ConnectionID, reusable: Bool) -> [Action] {
    guard leased.remove(connection) != nil else { return [] }
    if isClosed { return [.close(connection)] }
    return (reusable ? place(connection) : [.close(connection)]) + connectForWaiters()
  }

  /// No more leases: callers in the queue and idle connections go now, leased connections when they come back.
  mutating func close() -> [Action] {
    guard !isClosed else { return [] }
    isClosed = true
    let actions: [Action] = waiters.map { .fail($0, Self.closedError) } + idle.map { .close($0) }
    waiters.removeAll()
    idle.removeAll()
    outage = nil
    return actions
  }

  private mutating func place(_ connection: ConnectionID) -> [Action] {
    if !waiters.isEmpty {
      leased.insert(connection)
      return [.hand(connection, to: waiters.removeFirst())]
    }
    if idle.count >= limits.size { return [.close(connection)] }
    idle.append(connection)
    return []
  }

  private mutating func connectForWaiters() -> [Action] {
    // During an outage its one attempt stands for all.
    if outage != nil, connecting > 0 { return [] }
    var actions: [Action] = []
    while connecting < waiters.count, total < limits.total {
      connecting += 1
      actions.append(.connect(after: .zero))
    }
    return actions
  }

  private var retryDelay: Duration {
    var delay = limits.firstRetryDelay
    for _ in 1..<max(1, min(failuresInARow, 32)) where delay < limits.maximumRetryDelay { delay *= 2 }
    return min(delay, limits.maximumRetryDelay)
  }
}
