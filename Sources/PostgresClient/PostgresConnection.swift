import CLibPQ
import Glibc
import Synchronization

/// One session with a PostgreSQL server, over libpq.
///
/// Statements run one after the other in the order of the calls; calls from several tasks are safe, and between `BEGIN`
/// and `COMMIT` they end up in the same transaction. A statement whose task is cancelled or whose time is up closes the
/// connection: its answer may still be under way, and nobody would read it. Dropping the last reference closes it too.
public final class PostgresConnection: Sendable {
  private enum Phase: Equatable {
    case open
    /// The session ended by itself, or was given up in the middle of a statement.
    case broken
    case closed
  }

  private struct Status {
    var phase = Phase.open
    /// For readiness checks only; guarded by the mutex so that it is never used after its close.
    var socket: Int32
    var isIdle = true
  }

  private let session: LibPQSession
  private let worker: WorkerThread
  private let status: Mutex<Status>
  private let options: PostgresConnectOptions

  /// The server process that serves this session, as in `pg_stat_activity.pid`.
  public let backendProcessID: Int32
  /// e.g. 160014 for 16.14.
  public let serverVersion: Int

  private init(session: LibPQSession, worker: WorkerThread, options: PostgresConnectOptions) {
    self.session = session
    self.worker = worker
    self.options = options
    status = Mutex(Status(socket: session.socket))
    backendProcessID = session.backendProcessID
    serverVersion = session.serverVersion
  }

  deinit {
    let session = session
    worker.retire(after: { session.finish() })
  }

  /// Connects to what `conninfo` names: libpq's `key=value` form or a `postgresql://` URI; what it leaves out comes
  /// from the `PG…` environment variables, `~/.pgpass` and the service file, as for psql.
  ///
  /// Throws `PostgresError` (`connectionFailed`, `connectTimeout`) or `CancellationError`.
  public static func connect(
    _ conninfo: String, options: PostgresConnectOptions = PostgresConnectOptions()
  ) async throws -> PostgresConnection {
    let worker = try WorkerThread()
    do {
      let session = try await worker.perform(timeout: options.connectTimeout) { limits in
        try LibPQSession(conninfo: conninfo, options: options, wake: worker.wake, limits: limits)
      }
      return PostgresConnection(session: session, worker: worker, options: options)
    } catch {
      worker.retire(after: nil)
      throw error
    }
  }

  // MARK: - Statements

  /// Runs one statement. `$1`, `$2`, … in it stand for `parameters`, which are never part of the SQL text.
  ///
  /// `timeout` replaces the option's `queryTimeout`. Throws `PostgresError` or `CancellationError`; an error of the
  /// server (`code == .server`) leaves the connection usable.
  @discardableResult
  public func query(
    _ sql: String, _ parameters: [PostgresParameter] = [], timeout: Duration? = nil
  ) async throws -> PostgresResult {
    guard let result = try await run(sql, parameters, timeout: timeout).last else {
      throw PostgresError(.server, "the server sent no result")
    }
    return result
  }

  /// Runs any number of statements separated by semicolons, without parameters, and returns one result for each. The
  /// server makes them one transaction unless they contain `BEGIN` or `COMMIT` (simple query protocol); at the first
  /// error the rest is skipped. Throws as `query`.
  @discardableResult
  public func execute(_ sql: String, timeout: Duration? = nil) async throws -> [PostgresResult] {
    try await run(sql, nil, timeout: timeout)
  }

  /// Runs `body` between `BEGIN` and `COMMIT`, or `ROLLBACK` when it throws; its error is then rethrown.
  ///
  /// `mode` follows `BEGIN`, e.g. `ISOLATION LEVEL SERIALIZABLE READ ONLY`. A statement error that `body` swallows
  /// still ends the transaction: `transactionRolledBack` is thrown. Ends are not cancelled half-way; they are bounded
  /// by the query timeout, and a connection that cannot roll back is closed.
  public func transaction<Output>(
    mode: String = "", isolation: isolated (any Actor)? = #isolation,
    _ body: (PostgresConnection) async throws -> sending Output
  ) async throws -> sending Output {
    try await query(mode.isEmpty ? "BEGIN" : "BEGIN \(mode)")
    let output: Output
    do {
      output = try await body(self)
    } catch {
      if isUsable {
        do {
          _ = try await run("ROLLBACK", [], timeout: nil, cancellable: false)
        } catch {
          await close()
        }
      }
      throw error
    }
    let end = try await run("COMMIT", [], timeout: nil, cancellable: false).last
    guard end?.commandTag == "COMMIT" else {
      throw PostgresError(
        .transactionRolledBack, "a statement had failed in it, so the server rolled it back",
        hint: "rethrow the statement's error, or use a savepoint")
    }
    return output
  }

  // MARK: - Session

  /// The server's current value of a parameter that it reports by itself (`server_version`, `TimeZone`,
  /// `in_hot_standby`, `default_transaction_read_only`, …); nil for others and after the end of the session.
  public func parameterStatus(_ name: String) async -> String? {
    let session = session
    return try? await worker.perform(timeout: nil, cancellable: false) { _ in session.parameterStatus(name) }
  }

  /// A SCRAM-SHA-256 verifier for `ALTER ROLE … PASSWORD '…'`, computed here so that the password itself appears in no
  /// statement and no log. Takes about 5 ms of CPU on the connection's thread. Throws `PostgresError`.
  public func encryptPassword(_ password: String, user: String) async throws -> String {
    let session = session
    return try await worker.perform(timeout: nil) { _ in try session.encryptPassword(password, user: user) }
  }

  /// False once the session has ended or was given up. True is no promise: the server may be gone already.
  public var isUsable: Bool { status.withLock { $0.phase == .open } }

  /// Whether a transaction is open (or failed and not rolled back), as of the last statement.
  public var isInTransaction: Bool { status.withLock { $0.phase == .open && !$0.isIdle } }

  /// Looks, without a round trip, whether the server has ended the idle session: one `poll`, and only when something
  /// arrived a look at what it is. A server that is merely silent, or stopped, passes.
  public func checkIdle() async -> Bool {
    enum Finding { case silent, input, unusable }
    let finding: Finding = status.withLock { status in
      guard status.phase == .open, status.socket >= 0 else { return .unusable }
      var descriptor = pollfd(fd: status.socket, events: Int16(POLLIN), revents: 0)
      return poll(&descriptor, 1, 0) == 0 ? .silent : .input
    }
    switch finding {
    case .silent: return true
    case .unusable: return false
    case .input:
      let session = session
      let alive = try? await worker.perform(timeout: nil, cancellable: false) { _ in session.absorbPendingInput() }
      if alive == true { return true }
      abandon(sendingCancel: false)
      return false
    }
  }

  /// Ends the session after the statements that are under way. Idempotent; never fails, and does not wait for the
  /// server.
  public func close() async {
    let session = session
    let wasOpen = status.withLock { status in
      defer {
        status.phase = .closed
        status.socket = -1
      }
      return status.phase == .open
    }
    guard wasOpen else { return }
    await withCheckedContinuation { continuation in
      let accepted = worker.submit {
        session.finish()
        continuation.resume()
      }
      if !accepted { continuation.resume() }
    }
    worker.retire(after: nil)
  }

  /// Returns when nothing of a session that was closed or given up is left: its thread has ended, and if it was in the middle of a
  /// statement, the server has been told to cancel that. A server that is stopped keeps it waiting.
  func finished() async { await worker.ended() }

  // MARK: - Inside

  private func run(
    _ sql: String, _ parameters: [PostgresParameter]?, timeout: Duration?, cancellable: Bool = true
  ) async throws -> [PostgresResult] {
    guard isUsable else { throw LibPQSession.closed }
    let session = session
    do {
      let (results, isIdle) = try await worker.perform(
        timeout: timeout ?? options.queryTimeout, cancellable: cancellable
      ) { limits in
        let results = try session.run(sql, parameters: parameters, limits: limits)
        return (results, session.isIdle)
      }
      status.withLock { $0.isIdle = isIdle }
      return results
    } catch let error as PostgresError {
      switch error.code {
      case .queryTimeout: abandon(sendingCancel: true)
      case .connectionLost, .unsupported: abandon(sendingCancel: false)
      case .server: await refreshIdleness()
      default: break
      }
      throw error
    } catch is WorkerThread.NotStarted {
      throw CancellationError()
    } catch {
      abandon(sendingCancel: true)
      throw error
    }
  }

  private func refreshIdleness() async {
    let session = session
    let isIdle = try? await worker.perform(timeout: nil, cancellable: false) { _ in session.isIdle }
    status.withLock { $0.isIdle = isIdle ?? false }
  }

  /// Gives the session up at once. The cancellation is sent by the connection's own thread, which nobody waits for: a
  /// server that is stopped keeps it until it goes on or dies.
  private func abandon(sendingCancel: Bool) {
    let session = session
    status.withLock { status in
      if status.phase == .open { status.phase = .broken }
      status.socket = -1
    }
    worker.retire(after: {
      let cancel = sendingCancel ? session.makeCancelRequest() : nil
      session.finish()
      cancel?.send()
    })
  }
}

extension WorkerThread {
  /// The operation was cancelled, or its connection closed, before it began: nothing was sent.
  struct NotStarted: Error {}

  /// Runs `body` on the thread and hands its outcome to the calling task. Cancelling the task wakes a waiting `body`
  /// through its limits; `perform` still returns only when `body` has. The time counts from the start of `body`.
  func perform<Output: Sendable>(
    timeout: Duration?, cancellable: Bool = true, _ body: @escaping @Sendable (WaitLimits) throws -> Output
  ) async throws -> Output {
    let cancellation = cancellable ? CancellationFlag() : nil
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        let accepted = submit {
          if cancellation?.isSet == true { return continuation.resume(throwing: NotStarted()) }
          let limits = WaitLimits(timeout: timeout, cancellation: cancellation)
          continuation.resume(with: Result { try body(limits) })
        }
        if !accepted { continuation.resume(throwing: LibPQSession.closed) }
      }
    } onCancel: {
      if let cancellation {
        cancellation.set()
        interrupt()
      }
    }
  }
}
