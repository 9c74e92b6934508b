// One libpq connection, used by one caller at a time: every wait has a deadline and notices a stop signal. No pool and no event
// loop: `migrate` needs one session (advisory locks belong to sessions), and `monitor` should cost little memory.

import CLibPQ
import Glibc

/// What went wrong with the database.
struct SQLFailure: Error, Equatable {
  /// What kind.
  enum Kind: Equatable {
    /// No connection, or it was lost.
    case connection
    /// The server refused a statement.
    case statement
    /// The deadline passed.
    case timeout
    /// A stop signal.
    case interrupted(Int32)
  }

  var kind: Kind
  /// Five characters (PostgreSQL manual, Appendix A), where the server sent them.
  var state: String?
  var message: String
  /// What to report instead, where our own check found it.
  var cause: Failure?

  init(kind: Kind, state: String? = nil, message: String) {
    self.kind = kind
    self.state = state
    self.message = message
  }

  /// A finding of ours inside a transaction.
  init(_ cause: Failure) {
    kind = .statement
    message = cause.message
    self.cause = cause
  }

  /// The server is starting, recovering or stopping.
  var isRejecting: Bool { state == "57P03" }
  /// Too many connections.
  var isFull: Bool { state == "53300" }
}

/// A connection.
final class SQLConnection {
  private let handle: OpaquePointer
  private let interruption: Interruption
  private let meanwhile: Meanwhile?

  /// What else has to be done while this waits; returns after how long it wants to be called again.
  typealias Meanwhile = () -> Duration

  /// Connects. Parameters are libpq's keywords; none of them may make libpq block: hosts are socket directories.
  init(
    _ parameters: [(String, String)], within timeout: Duration, _ interruption: Interruption,
    meanwhile: Meanwhile? = nil
  ) throws(SQLFailure) {
    // Fixed names only: nothing of PGSERVICE and the like comes in, the environment was cleaned before.
    let keywords = CStrings(parameters.map(\.0))
    let values = CStrings(parameters.map(\.1))
    defer {
      keywords.free()
      values.free()
    }
    let started = keywords.pointer.withMemoryRebound(to: UnsafePointer<CChar>?.self, capacity: parameters.count + 1) {
      keys in
      values.pointer.withMemoryRebound(to: UnsafePointer<CChar>?.self, capacity: parameters.count + 1) { values in
        PQconnectStartParams(keys, values, 0)
      }
    }
    guard let handle = started else {
      throw SQLFailure(kind: .connection, message: "out of memory")
    }
    self.handle = handle
    self.interruption = interruption
    self.meanwhile = meanwhile
    // VERBOSE puts the SQLSTATE into the message of a refused connection; there is no other way to get at it.
    PQsetErrorVerbosity(handle, PQERRORS_VERBOSE)
    PQsetNoticeReceiver(handle, { _, _ in }, nil)
    // When this throws, every property has its value: deinit runs, and finishes the handle.
    try finishConnecting(ContinuousClock.now + timeout)
    PQsetErrorVerbosity(handle, PQERRORS_DEFAULT)
    PQsetnonblocking(handle, 1)
  }

  deinit { PQfinish(handle) }

  private func finishConnecting(_ deadline: ContinuousClock.Instant) throws(SQLFailure) {
    guard PQstatus(handle) != CONNECTION_BAD else { throw connectionFailure() }
    var wanted = PGRES_POLLING_WRITING
    while true {
      try wait(for: wanted == PGRES_POLLING_READING ? POLLIN : POLLOUT, until: deadline)
      wanted = PQconnectPoll(handle)
      if wanted == PGRES_POLLING_OK { return }
      if wanted == PGRES_POLLING_FAILED { throw connectionFailure() }
    }
  }

  private func connectionFailure() -> SQLFailure {
    SQLConnection.parse(connectionMessage: String(cString: PQerrorMessage(handle)))
  }

  /// "connection to server on socket … failed: FATAL:  57P03: the database system is starting up\nLOCATION:  …".
  static func parse(connectionMessage text: String) -> SQLFailure {
    let lines = text.split(separator: "\n")
    let first = lines.first.map(String.init) ?? "no connection"
    guard let mark = first.firstRange(of: ":  ") else {
      return SQLFailure(kind: .connection, message: lines.filter { !$0.hasPrefix("LOCATION:") }.joined(separator: " "))
    }
    let rest = first[mark.upperBound...]
    let code = rest.prefix(5)
    guard code.utf8.count == 5, rest.dropFirst(5).hasPrefix(": "),
      code.utf8.allSatisfy({ (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) })
    else { return SQLFailure(kind: .connection, message: first) }
    return SQLFailure(kind: .connection, state: String(code), message: String(rest.dropFirst(7)))
  }

  /// True when the connection is known to be lost.
  var isLost: Bool { PQstatus(handle) == CONNECTION_BAD }

  /// 160004 for 16.4.
  var serverVersion: Int { Int(PQserverVersion(handle)) }

  /// Runs one statement with text parameters; the rows as text.
  @discardableResult
  func query(_ statement: String, _ parameters: [String?] = [], within timeout: Duration = .seconds(3600))
    throws(SQLFailure)
    -> [[String?]]
  {
    let deadline = ContinuousClock.now + timeout
    let values = UnsafeMutableBufferPointer<UnsafePointer<CChar>?>.allocate(capacity: parameters.count)
    for (index, parameter) in parameters.enumerated() {
      values.initializeElement(at: index, to: parameter.map { UnsafePointer(strdup($0)) })
    }
    defer {
      for value in values { free(UnsafeMutablePointer(mutating: value)) }
      values.deallocate()
    }
    let sent = PQsendQueryParams(handle, statement, Int32(parameters.count), nil, values.baseAddress, nil, nil, 0)
    guard sent == 1 else { throw lost() }
    return try collect(deadline)
  }

  /// Runs a script of any number of statements, as psql would send it in one piece.
  func execute(script: String, within timeout: Duration = .seconds(3600)) throws(SQLFailure) {
    guard PQsendQuery(handle, script) == 1 else { throw lost() }
    _ = try collect(ContinuousClock.now + timeout)
  }

  /// True inside an open transaction that has not failed.
  var isInTransaction: Bool { PQtransactionStatus(handle) == PQTRANS_INTRANS }

  /// The SCRAM verifier of a password, made here by libpq.
  func verifier(password: String, role: String) throws(SQLFailure) -> String {
    guard let text = PQencryptPasswordConn(handle, password, role, "scram-sha-256") else { throw lost() }
    defer { PQfreemem(text) }
    return String(cString: text)
  }

  private func lost() -> SQLFailure {
    SQLFailure(kind: .connection, message: String(cString: PQerrorMessage(handle)).trimmingTrailingNewlines)
  }

  private func collect(_ deadline: ContinuousClock.Instant) throws(SQLFailure) -> [[String?]] {
    while true {
      let flushed = PQflush(handle)
      guard flushed >= 0 else { throw lost() }
      if flushed == 0 { break }
      try wait(for: POLLOUT, until: deadline)
    }
    var rows: [[String?]] = []
    var failure: SQLFailure?
    while true {
      while PQisBusy(handle) == 1 {
        try wait(for: POLLIN, until: deadline)
        guard PQconsumeInput(handle) == 1 else { throw lost() }
      }
      guard let result = PQgetResult(handle) else { break }
      defer { PQclear(result) }
      switch PQresultStatus(result) {
      case PGRES_TUPLES_OK:
        rows = SQLConnection.rows(result)
      case PGRES_COMMAND_OK, PGRES_EMPTY_QUERY:
        break
      case PGRES_COPY_IN, PGRES_COPY_OUT, PGRES_COPY_BOTH:
        throw SQLFailure(kind: .statement, message: "COPY with standard input or output is not possible here")
      default:
        if failure == nil { failure = SQLConnection.failure(result) }
      }
    }
    if let failure { throw failure }
    return rows
  }

  private static func rows(_ result: OpaquePointer) -> [[String?]] {
    (0..<PQntuples(result)).map { row in
      (0..<PQnfields(result)).map { column in
        PQgetisnull(result, row, column) == 1 ? nil : String(cString: PQgetvalue(result, row, column))
      }
    }
  }

  private static func failure(_ result: OpaquePointer) -> SQLFailure {
    func field(_ code: Character) -> String? {
      guard let ascii = code.asciiValue, let text = PQresultErrorField(result, Int32(ascii)) else { return nil }
      return String(cString: text)
    }
    let state = field("C")
    var message = field("M") ?? String(cString: PQresultErrorMessage(result)).trimmingTrailingNewlines
    if let position = field("P") { message += " (at character \(position))" }
    if let detail = field("D") { message += ": \(detail)" }
    if let hint = field("H") { message += " (\(hint))" }
    // Without a SQLSTATE it is libpq that speaks: the server closed the connection.
    return SQLFailure(kind: state == nil ? .connection : .statement, state: state, message: message)
  }

  private func wait(for events: Int32, until deadline: ContinuousClock.Instant) throws(SQLFailure) {
    let socket = PQsocket(handle)
    guard socket >= 0 else { throw lost() }
    while true {
      let left = deadline - ContinuousClock.now
      guard left > .zero else { throw SQLFailure(kind: .timeout, message: "no answer in time") }
      var fds = [
        pollfd(fd: socket, events: Int16(events), revents: 0),
        pollfd(fd: interruption.descriptor, events: Int16(POLLIN), revents: 0),
      ]
      let count = poll(&fds, 2, min(left, meanwhile?() ?? left).milliseconds)
      if count < 0 && errno != EINTR { throw SQLFailure(kind: .connection, message: Failure.describe(errno)) }
      guard count > 0 else { continue }
      do throws(Failure) {
        try interruption.check()
      } catch {
        if case .interrupted(let number) = error.status {
          throw SQLFailure(kind: .interrupted(number), message: error.message)
        }
      }
      if fds[0].revents != 0 { return }
    }
  }

  /// An identifier, quoted.
  static func identifier(_ name: String) -> String {
    var quoted = "\""
    for scalar in name.unicodeScalars {
      if scalar == "\"" { quoted += "\"\"" } else { quoted.unicodeScalars.append(scalar) }
    }
    return quoted + "\""
  }

  /// A string constant, quoted; for statements that take no parameters.
  static func literal(_ text: String) -> String {
    var quoted = text.contains("\\") ? " E'" : "'"
    for scalar in text.unicodeScalars {
      switch scalar {
      case "'": quoted += "''"
      case "\\": quoted += "\\\\"
      default: quoted.unicodeScalars.append(scalar)
      }
    }
    return quoted + "'"
  }
}

extension Duration {
  /// For poll(2): at least 1, at most what fits.
  var milliseconds: Int32 {
    let (seconds, attoseconds) = components
    guard seconds < 2_000_000 else { return 2_000_000_000 }
    return max(1, Int32(seconds * 1000 + attoseconds / 1_000_000_000_000_000))
  }
}
