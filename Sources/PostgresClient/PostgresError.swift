/// Why PostgreSQL could not do what it was asked, as the server or libpq said it.
///
/// A server error carries its SQLSTATE and the fields of the protocol's ErrorResponse message (PostgreSQL
/// documentation, "Error and Notice Message Fields"). What goes wrong before there is a server to ask has none.
public struct PostgresError: Error, Sendable, Hashable, CustomStringConvertible {
  /// What could not be done. Extensible: compare with the constants, do not switch over all of them.
  public struct Code: RawRepresentable, Sendable, Hashable, CustomStringConvertible {
    /// The name, as logged.
    public let rawValue: String

    /// A code with this name.
    public init(rawValue: String) { self.rawValue = rawValue }

    /// No connection could be made: refused, no such socket, authentication, unknown database, too many clients.
    public static let connectionFailed = Code(rawValue: "connection_failed")
    /// The server did not finish the start of a connection within the connect timeout.
    public static let connectTimeout = Code(rawValue: "connect_timeout")
    /// An open connection broke, or the server ended it. What was in flight may or may not have been committed.
    public static let connectionLost = Code(rawValue: "connection_lost")
    /// The connection had been closed by its owner, or given up after a timeout.
    public static let connectionClosed = Code(rawValue: "connection_closed")
    /// No answer within the query timeout. The connection is closed and the server asked to cancel.
    public static let queryTimeout = Code(rawValue: "query_timeout")
    /// The server refused the statement; `sqlState` says why.
    public static let server = Code(rawValue: "server")
    /// `COMMIT` answered `ROLLBACK`: a statement had failed inside the transaction and its error was swallowed.
    public static let transactionRolledBack = Code(rawValue: "transaction_rolled_back")
    /// No connection became free within the pool's acquire timeout.
    public static let poolExhausted = Code(rawValue: "pool_exhausted")
    /// The pool had been closed.
    public static let poolClosed = Code(rawValue: "pool_closed")
    /// A value that cannot be sent, e.g. text with a NUL character.
    public static let invalidParameter = Code(rawValue: "invalid_parameter")
    /// A column is missing, null, or not of the type that was asked for.
    public static let decoding = Code(rawValue: "decoding")
    /// A statement that this client does not speak (`COPY`).
    public static let unsupported = Code(rawValue: "unsupported")

    /// The name.
    public var description: String { rawValue }
  }

  /// What could not be done.
  public var code: Code
  /// The primary message, one line, without severity; in the server's `lc_messages` language.
  public var message: String
  /// Five characters, e.g. `57P03`; nil when no server was involved.
  public var sqlState: String?
  /// `ERROR`, `FATAL` or `PANIC`, not localised where the server tells (9.6 and newer).
  public var severity: String?
  /// The server's DETAIL line.
  public var detail: String?
  /// What the server suggests, or what this client suggests.
  public var hint: String?
  /// The schema of the object that the error is about.
  public var schema: String?
  /// The table that the error is about.
  public var table: String?
  /// The column that the error is about.
  public var column: String?
  /// The constraint that was violated.
  public var constraint: String?
  /// Where in the statement, in characters, counted from one.
  public var position: Int?

  /// An error with the fields that are known.
  public init(
    _ code: Code, _ message: String, sqlState: String? = nil, severity: String? = nil, detail: String? = nil,
    hint: String? = nil
  ) {
    self.code = code
    self.message = message
    self.sqlState = sqlState
    self.severity = severity
    self.detail = detail
    self.hint = hint
  }

  /// One line: what could not be done, why, and the remedy where one is known.
  public var description: String {
    var text = "\(action): \(message)"
    if let sqlState { text += " (SQLSTATE \(sqlState))" }
    if let detail { text += "; \(detail)" }
    if let hint { text += "; hint: \(hint)" }
    return text
  }

  private var action: String {
    switch code {
    case .connectionFailed, .connectTimeout: "cannot connect to PostgreSQL"
    case .connectionLost, .connectionClosed: "cannot use the PostgreSQL connection"
    case .queryTimeout: "cannot finish the statement in time"
    case .server, .unsupported: "cannot execute the statement"
    case .transactionRolledBack: "cannot commit the transaction"
    case .poolExhausted, .poolClosed: "cannot get a PostgreSQL connection from the pool"
    case .invalidParameter: "cannot send the parameter"
    case .decoding: "cannot read the result"
    default: "cannot use PostgreSQL"
    }
  }
}

// SQLSTATEs: PostgreSQL documentation, appendix A.
extension PostgresError {
  /// There is no working connection (any more): refused, reset, timed out, or ended by the server
  /// (class 08, 57P01 admin_shutdown, 57P02 crash_shutdown, 57P03 cannot_connect_now, 57P04 database_dropped,
  /// 57P05 idle_session_timeout, 25P03 idle_in_transaction_session_timeout). Trying again later may work.
  public var isConnectionLoss: Bool {
    if let sqlState {
      return sqlState.hasPrefix("08")
        || ["57P01", "57P02", "57P03", "57P04", "57P05", "25P03"].contains(sqlState)
        || code == .connectionLost
    }
    return [.connectionFailed, .connectTimeout, .connectionLost, .connectionClosed].contains(code)
  }

  /// The server is there but does not accept yet, or does not any more: starting, recovering, stopping (57P03).
  public var isStartingUp: Bool { sqlState == "57P03" }

  /// The server is healthy but has no slot left (53300).
  public var isTooManyConnections: Bool { sqlState == "53300" }

  /// A wait ended: for a connection, for an answer, for a pool slot, or the server's own statement timeout (57014).
  public var isTimeout: Bool {
    [.connectTimeout, .queryTimeout, .poolExhausted].contains(code) || sqlState == "57014"
  }

  /// Nothing is wrong with the statement: the same one may succeed later. A caller answers "unavailable" and
  /// suggests a retry. Covers lost connections, timeouts, exhausted pools, resources (class 53), a read-only
  /// standby (25006), serialisation failures and deadlocks (class 40).
  public var isTransient: Bool {
    if isConnectionLoss || isTimeout { return true }
    if [.connectionFailed, .poolClosed].contains(code) { return true }
    guard let sqlState else { return false }
    return sqlState.hasPrefix("53") || sqlState.hasPrefix("40") || sqlState == "25006"
  }
}
