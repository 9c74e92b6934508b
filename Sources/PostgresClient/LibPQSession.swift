import CLibPQ
import Glibc
import Synchronization

/// Whether the caller of an operation still wants it. Set from any thread, read by the worker.
final class CancellationFlag: Sendable {
  private let flag = Atomic<Bool>(false)
  var isSet: Bool { flag.load(ordering: .acquiring) }
  func set() { flag.store(true, ordering: .releasing) }
}

/// What ends a wait early: the operation's deadline and its caller's cancellation.
struct WaitLimits {
  var deadline: ContinuousClock.Instant?
  var cancellation: CancellationFlag?

  init(timeout: Duration?, cancellation: CancellationFlag?) {
    deadline = timeout.map { ContinuousClock.now + $0 }
    self.cancellation = cancellation
  }

  /// Milliseconds for `poll`, rounded up so that a wait does not spin before its deadline; -1 is no limit.
  var pollMilliseconds: Int32 {
    guard let deadline else { return -1 }
    let (seconds, attoseconds) = (deadline - ContinuousClock.now).components
    if seconds < 0 || attoseconds < 0 { return 0 }
    if seconds > 86_400 { return 86_400_000 }
    return Int32(seconds * 1000 + (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000)
  }
}

/// One `PGconn` in non-blocking mode, with every wait bounded. All of it runs on the connection's `WorkerThread`.
///
/// Unchecked: the pointer is only ever used by the jobs of one worker thread, one after the other.
final class LibPQSession: @unchecked Sendable {
  private var connection: OpaquePointer?
  private let wake: WakeDescriptor
  private let notices: NoticeReceiver

  /// Connects. Throws `PostgresError` (`connectionFailed`, `connectTimeout`) or `CancellationError`.
  init(conninfo: String, options: PostgresConnectOptions, wake: WakeDescriptor, limits: WaitLimits) throws {
    self.wake = wake
    notices = NoticeReceiver(options.onNotice)
    // Keywords after dbname override what the conninfo says, keywords before it are defaults.
    var keywords: [(String, String)] = []
    if let name = options.applicationName { keywords.append(("fallback_application_name", name)) }
    keywords.append(("dbname", conninfo))
    keywords.append(("client_encoding", "UTF8"))
    let connection = Self.start(keywords)
    guard let connection else {
      throw PostgresError(.connectionFailed, "libpq has no memory for a connection")
    }
    self.connection = connection
    do {
      try finishConnecting(connection, limits: limits)
      for (name, value) in options.sessionSettings.sorted(by: { $0.key < $1.key }) {
        _ = try run(
          "SELECT pg_catalog.set_config($1, $2, false)", parameters: [.text(name), .text(value)], limits: limits)
      }
    } catch var error as PostgresError {
      finish()
      // The settings are part of the start of the session, and share its time.
      if error.code == .queryTimeout { error.code = .connectTimeout }
      throw error
    } catch {
      finish()
      throw error
    }
  }

  deinit { finish() }

  /// Ends the session and closes the socket. Never blocks: the farewell is sent only if the socket takes it.
  func finish() {
    guard let connection else { return }
    self.connection = nil
    PQfinish(connection)
  }

  /// The socket, for a readiness check while the connection is idle; -1 when there is none.
  var socket: Int32 { connection.map { PQsocket($0) } ?? -1 }

  /// The server process, for logs.
  var backendProcessID: Int32 { connection.map { PQbackendPID($0) } ?? 0 }

  /// e.g. 160014; 0 when there is no connection.
  var serverVersion: Int { connection.map { Int(PQserverVersion($0)) } ?? 0 }

  /// Whether libpq still has a session.
  var isConnected: Bool { connection.map { PQstatus($0) == CONNECTION_OK } ?? false }

  /// Whether no transaction is open.
  var isIdle: Bool { connection.map { PQtransactionStatus($0) == PQTRANS_IDLE } ?? false }

  /// A parameter that the server reports by itself, e.g. `server_version`.
  func parameterStatus(_ name: String) -> String? {
    guard let connection, let value = PQparameterStatus(connection, name) else { return nil }
    return String(cString: value)
  }

  /// Takes in what arrived while the connection was idle. False when the server has ended the session.
  func absorbPendingInput() -> Bool {
    guard let connection else { return false }
    var descriptor = pollfd(fd: PQsocket(connection), events: Int16(POLLIN), revents: 0)
    // The farewell (57P01, 57P05) is read first and the end of the stream after it.
    while PQstatus(connection) == CONNECTION_OK, Glibc.poll(&descriptor, 1, 0) > 0 {
      guard PQconsumeInput(connection) == 1 else { return false }
      _ = PQisBusy(connection)
      while let notification = PQnotifies(connection) { PQfreemem(notification) }
    }
    return PQstatus(connection) == CONNECTION_OK && !notices.sawFatal
  }

  /// A SCRAM-SHA-256 verifier for `ALTER ROLE … PASSWORD`, so that the password itself reaches no log.
  func encryptPassword(_ password: String, user: String) throws -> String {
    guard let connection else { throw Self.closed }
    guard let verifier = PQencryptPasswordConn(connection, password, user, "scram-sha-256") else {
      throw PostgresError(.invalidParameter, Self.errorMessage(connection))
    }
    defer { PQfreemem(verifier) }
    return String(cString: verifier)
  }

  /// What is needed to ask the server to cancel, which outlives `finish`.
  func makeCancelRequest() -> CancelRequest? {
    connection.flatMap { PQgetCancel($0) }.map(CancelRequest.init)
  }

  // MARK: - Statements

  /// Sends one statement with parameters, or (`parameters` nil) any number of statements in one string, and collects
  /// the answers. Throws the server's first error after everything has been read, so that the session stays usable.
  func run(_ sql: String, parameters: [PostgresParameter]?, limits: WaitLimits) throws -> [PostgresResult] {
    guard let connection else { throw Self.closed }
    guard !sql.utf8.contains(0) else {
      throw PostgresError(.invalidParameter, "the statement contains a NUL character", sqlState: "22021")
    }
    let sent =
      if let parameters {
        try ParameterArray.withPointers(parameters) { values, count in
          PQsendQueryParams(connection, sql, count, nil, values, nil, nil, 0)
        }
      } else {
        PQsendQuery(connection, sql)
      }
    // When sending fails, the server may have said why before it hung up: that is read below.
    if sent == 0, PQstatus(connection) == CONNECTION_OK {
      throw PostgresError(.server, Self.errorMessage(connection))
    }
    if sent == 1 { try flush(connection, limits) }
    return try collect(connection, limits)
  }

  private func flush(_ connection: OpaquePointer, _ limits: WaitLimits) throws {
    while PQflush(connection) == 1 {
      // The server may be blocked on sending to us, so its output is read while ours is written (libpq, PQflush).
      let ready = try wait(connection, for: Int16(POLLIN | POLLOUT), limits)
      if ready & Int16(POLLIN) != 0, PQconsumeInput(connection) == 0 { return }
    }
  }

  private func collect(_ connection: OpaquePointer, _ limits: WaitLimits) throws -> [PostgresResult] {
    var results: [PostgresResult] = []
    var failure: PostgresError?
    while true {
      while PQisBusy(connection) == 1 {
        _ = try wait(connection, for: Int16(POLLIN), limits)
        if PQconsumeInput(connection) == 0 { break }
      }
      guard let result = PQgetResult(connection) else { break }
      switch PQresultStatus(result) {
      case PGRES_COMMAND_OK, PGRES_TUPLES_OK, PGRES_EMPTY_QUERY:
        results.append(PostgresResult(owning: result))
      case PGRES_COPY_IN, PGRES_COPY_OUT, PGRES_COPY_BOTH:
        PQclear(result)
        finish()
        throw PostgresError(
          .unsupported, "COPY is not supported; the connection was closed", hint: "use INSERT or SELECT")
      default:
        let error = ResultError.read(result, connection)
        PQclear(result)
        // The server's own words win over libpq's "server closed the connection" that follows them.
        if failure == nil || (failure?.sqlState == nil && error.sqlState != nil) { failure = error }
      }
    }
    if PQstatus(connection) != CONNECTION_OK {
      var lost = failure ?? PostgresError(.connectionLost, Self.errorMessage(connection))
      lost.code = .connectionLost
      throw lost
    }
    if let failure { throw failure }
    return results
  }

  // MARK: - Waiting

  private func wait(_ connection: OpaquePointer, for events: Int16, _ limits: WaitLimits) throws -> Int16 {
    let ready = try poll(PQsocket(connection), events, limits)
    guard let ready else {
      throw PostgresError(
        .queryTimeout, "the server did not answer in time; the connection was closed and a cancellation was sent")
    }
    return ready
  }

  /// The events that arrived, or nil at the deadline. Throws `CancellationError`.
  private func poll(_ socket: Int32, _ events: Int16, _ limits: WaitLimits) throws -> Int16? {
    while true {
      if limits.cancellation?.isSet == true { throw CancellationError() }
      guard socket >= 0 else { return events }  // libpq has dropped the socket: its next call says why.
      var descriptors = [
        pollfd(fd: socket, events: events, revents: 0),
        pollfd(fd: wake.descriptor, events: Int16(POLLIN), revents: 0),
      ]
      let timeout = limits.pollMilliseconds
      let count = Glibc.poll(&descriptors, 2, timeout)
      if count < 0 {
        guard errno == EINTR || errno == EAGAIN else {
          throw PostgresError(.connectionLost, "cannot wait for the socket: \(String(cString: strerror(errno)))")
        }
        continue
      }
      if descriptors[1].revents != 0 { wake.drain() }
      if descriptors[0].revents != 0 { return descriptors[0].revents }
      if count == 0, timeout >= 0, limits.pollMilliseconds == 0 { return nil }
    }
  }

  // MARK: - Connecting

  private static func start(_ keywords: [(String, String)]) -> OpaquePointer? {
    let names = keywords.map { strdup($0.0) }
    let values = keywords.map { strdup($0.1) }
    defer { (names + values).forEach { free($0) } }
    let namePointers = names.map { UnsafePointer($0) } + [nil]
    let valuePointers = values.map { UnsafePointer($0) } + [nil]
    return PQconnectStartParams(namePointers, valuePointers, 1)
  }

  private func finishConnecting(_ connection: OpaquePointer, limits: WaitLimits) throws {
    PQsetNoticeReceiver(connection, NoticeReceiver.receive, Unmanaged.passUnretained(notices).toOpaque())
    // libpq 15 has no accessor for the SQLSTATE of a refused connection; the verbose message carries it.
    PQsetErrorVerbosity(connection, PQERRORS_VERBOSE)
    guard PQstatus(connection) != CONNECTION_BAD else {
      throw ConnectError.read(Self.errorMessage(connection))
    }
    var events = Int16(POLLOUT)
    connecting: while true {
      // `poll` looks at the socket anew each time: libpq changes it while it tries addresses.
      guard try poll(PQsocket(connection), events, limits) != nil else {
        throw PostgresError(
          .connectTimeout, "the server did not complete the start of a session in time",
          hint: "the server may be stopped, overloaded, or not a PostgreSQL server")
      }
      switch PQconnectPoll(connection) {
      case PGRES_POLLING_READING: events = Int16(POLLIN)
      case PGRES_POLLING_WRITING: events = Int16(POLLOUT)
      case PGRES_POLLING_OK: break connecting
      default: throw ConnectError.read(Self.errorMessage(connection))
      }
    }
    PQsetErrorVerbosity(connection, PQERRORS_DEFAULT)
    // Without this, sends block while the server does not read.
    guard PQsetnonblocking(connection, 1) == 0 else {
      throw PostgresError(.connectionFailed, Self.errorMessage(connection))
    }
  }

  static let closed = PostgresError(.connectionClosed, "it has been closed")

  private static func errorMessage(_ connection: OpaquePointer) -> String {
    let text = PQerrorMessage(connection).map { String(cString: $0) } ?? ""
    return ConnectError.oneLine(text)
  }
}

/// A cancel key. Sending it opens a connection of its own and waits for the server to close it, which a stopped server
/// does not do: call `send` where that does no harm.
final class CancelRequest: @unchecked Sendable {  // Unchecked: the object is used by one thread, once.
  private let cancel: OpaquePointer

  init(_ cancel: OpaquePointer) { self.cancel = cancel }

  deinit { PQfreeCancel(cancel) }

  func send() {
    var message = [CChar](repeating: 0, count: 256)
    _ = PQcancel(cancel, &message, Int32(message.count))
  }
}

/// libpq's notice callback, as an object.
private final class NoticeReceiver: Sendable {
  private let handler: (@Sendable (PostgresNotice) -> Void)?
  private let fatal = Atomic<Bool>(false)

  /// An error that arrives between statements belongs to none, so libpq hands it out as a notice; a fatal one is the
  /// server's farewell.
  var sawFatal: Bool { fatal.load(ordering: .relaxed) }

  init(_ handler: (@Sendable (PostgresNotice) -> Void)?) { self.handler = handler }

  static let receive: PQnoticeReceiver = { context, result in
    guard let context, let result else { return }
    let receiver = Unmanaged<NoticeReceiver>.fromOpaque(context).takeUnretainedValue()
    let severity = ResultError.field(result, "V") ?? ResultError.field(result, "S") ?? "NOTICE"
    if severity == "FATAL" || severity == "PANIC" { receiver.fatal.store(true, ordering: .relaxed) }
    receiver.handler?(
      PostgresNotice(
        severity: severity,
        message: ResultError.field(result, "M") ?? "", sqlState: ResultError.field(result, "C")))
  }
}
