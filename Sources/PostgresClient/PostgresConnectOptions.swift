/// How a connection is made and how long it may wait. Where to connect to is the conninfo's matter.
public struct PostgresConnectOptions: Sendable {
  /// The longest time from the first packet to a session that accepts statements. Resolving a host name is not
  /// interrupted by it (libpq resolves with `getaddrinfo`), so prefer a socket directory or `hostaddr`.
  public var connectTimeout: Duration
  /// The longest time that a statement may take unless its call says otherwise; nil waits for ever. At its end the
  /// server is asked to cancel and the connection is closed, because its answer may still be under way.
  public var queryTimeout: Duration?
  /// `application_name` unless the conninfo or `PGAPPNAME` names one.
  public var applicationName: String?
  /// Run-time parameters of the session, e.g. `idle_in_transaction_session_timeout`: set right after connecting.
  public var sessionSettings: [String: String]
  /// Receives notices and warnings, on the connection's own thread. nil drops them.
  public var onNotice: (@Sendable (PostgresNotice) -> Void)?

  /// Options with the defaults: connect within 5 s, statements within 30 s.
  public init(
    connectTimeout: Duration = .seconds(5), queryTimeout: Duration? = .seconds(30), applicationName: String? = nil,
    sessionSettings: [String: String] = [:], onNotice: (@Sendable (PostgresNotice) -> Void)? = nil
  ) {
    self.connectTimeout = connectTimeout
    self.queryTimeout = queryTimeout
    self.applicationName = applicationName
    self.sessionSettings = sessionSettings
    self.onNotice = onNotice
  }
}

/// What the server says beside its answers.
public struct PostgresNotice: Sendable, Hashable {
  /// `NOTICE`, `WARNING`, `INFO`, `LOG` or `DEBUG`.
  public var severity: String
  /// One line.
  public var message: String
  /// Five characters, `00000` for a plain notice.
  public var sqlState: String?
}
