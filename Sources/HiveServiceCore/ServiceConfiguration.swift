import Logging
import PostgresClient

/// Everything that the environment decides (docs/api.md has the table).
public struct ServiceConfiguration: Sendable {
  /// Which container this is, and thereby which resource it serves.
  public enum Role: String, Sendable, CaseIterable {
    /// Sessions, on port 48886.
    case genie
    /// Deployments, on port 38886.
    case agent

    var resource: ResourceDefinition { self == .genie ? .sessions : .deployments }
    var port: Int { self == .genie ? 48886 : 38886 }
    var database: String { self == .genie ? "hive_genie" : "hive_agent" }
    var user: String { self == .genie ? "hive" : "agent" }
  }

  var role: Role
  var conninfo: String
  /// Where `conninfo` leads, for people.
  var target: PostgresTarget
  /// What names the database when it is not the container's own.
  var databaseVariable: String?
  /// Whether `conninfo` leads to pgbouncer, where statements of one session may come to several of the server's.
  var isPooled: Bool
  var host: String
  var port: Int
  var controlSocket: String?
  /// What PID 1 calls this process.
  var program: String
  var poolSize: Int
  var poolOverflow: Int
  var poolTimeout: Duration
  var connectTimeout: Duration
  var queryTimeout: Duration
  var requestTimeout: Duration
  var idleTimeout: Duration
  var drainTimeout: Duration
  var maximumBodyBytes: Int
  var maximumConnections: Int
  /// Where the monitor says that it is hot.
  var thermalPath: String
  /// Requests at once while the machine is critically hot.
  var hotRequests: Int
  var logLevel: Logger.Level
  var logFormat: LineLogHandler.Format

  /// Reads `environment`. Throws all that is wrong with it at once.
  public init(environment: [String: String]) throws(InvalidEnvironment) {
    var reader = EnvironmentReader(environment)
    let role = reader.choice("HIVE_ROLE", Role.self)
    self.role = role ?? .genie
    host = reader.text("HIVE_BIND") ?? "0.0.0.0"
    port = reader.integer("HIVE_PORT", 0...65535, default: self.role.port)
    controlSocket = reader.text("HIVESUP_SOCKET")
    program = reader.text("SUPERVISOR_PROCESS_NAME") ?? "hive-service"
    poolSize = reader.integer("HIVE_POOL_SIZE", 1...1000, default: 5)
    poolOverflow = reader.integer("HIVE_POOL_OVERFLOW", 0...1000, default: 10)
    poolTimeout = reader.seconds("HIVE_POOL_TIMEOUT", default: 5)
    connectTimeout = reader.seconds("HIVE_CONNECT_TIMEOUT", default: 3)
    queryTimeout = reader.seconds("HIVE_QUERY_TIMEOUT", default: 10)
    requestTimeout = reader.seconds("HIVE_REQUEST_TIMEOUT", default: 10)
    idleTimeout = reader.seconds("HIVE_IDLE_TIMEOUT", default: 75)
    drainTimeout = reader.seconds("HIVE_DRAIN_SECONDS", default: 1.2)
    maximumBodyBytes = reader.integer("HIVE_MAX_BODY_BYTES", 1...(64 << 20), default: 1 << 20)
    maximumConnections = reader.integer("HIVE_MAX_CONNECTIONS", 1...1_000_000, default: 1000)
    hotRequests = reader.integer("HIVE_HOT_REQUESTS", 1...1_000_000, default: 4)
    thermalPath = (reader.text("HIVE_RUN_DIR") ?? "/run/hivesup") + "/thermal"
    logLevel = reader.choice("HIVE_LOG_LEVEL", Logger.Level.self, default: .info)
    logFormat = reader.choice("HIVE_LOG_FORMAT", LineLogHandler.Format.self, default: .text)
    databaseVariable = Self.databaseVariable(reader)
    let isPooled = reader.flag("HIVE_PGBOUNCER") && databaseVariable == nil
    self.isPooled = isPooled
    let isOwn = databaseVariable == nil
    let ownPort = isOwn && !isPooled ? reader.integer("HIVE_PG_PORT", 1...65535, default: 5432) : Self.poolerPort
    conninfo = Self.conninfo(reader, self.role, port: ownPort)
    let target = PostgresTarget(conninfo: conninfo, environment: environment)
    if target == nil, PostgresTarget(conninfo: conninfo, environment: environment.filter { $0.key != "PGPORT" }) != nil
    {
      reader.problems.append(
        "PGPORT=\(environment["PGPORT"] ?? "") is not a number from 1 to 65535, nor several with commas")
    } else if target == nil {
      reader.problems.append(
        "\(databaseVariable ?? "HIVE_RUN_DIR") is not as libpq wants it: write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, "
          + "with %XX for each character of the password that is neither letter nor digit")
    }
    guard reader.problems.isEmpty, let target else { throw InvalidEnvironment(problems: reader.problems) }
    self.target = target
  }

  /// The variable that names the database, ours or one of libpq's; nil when it is the container's own.
  private static func databaseVariable(_ reader: EnvironmentReader) -> String? {
    ["HIVE_DATABASE_URL", "PGHOST", "PGHOSTADDR", "PGSERVICE", "PGDATABASE"].first { reader.text($0) != nil }
  }

  /// In the name of pgbouncer's socket (etc/conf.d/pgbouncer.conf).
  private static let poolerPort = 6432

  /// `HIVE_DATABASE_URL`, or libpq's own variables, or the container's socket directory (docs/postgres.md), in which pgbouncer
  /// stands beside the server.
  private static func conninfo(_ reader: EnvironmentReader, _ role: Role, port: Int) -> String {
    if let url = reader.text("HIVE_DATABASE_URL") { return withoutDriver(url) }
    // An empty conninfo leaves everything to PGHOST, PGPORT, PGUSER, PGDATABASE, PGPASSWORD, PGSERVICE, ….
    if databaseVariable(reader) != nil { return "" }
    let directory = reader.text("HIVE_RUN_DIR") ?? "/run/hivesup"
    return [("host", directory), ("port", "\(port)"), ("user", role.user), ("dbname", role.database)]
      .map { "\($0)=\(quoted($1))" }.joined(separator: " ")
  }

  /// SQLAlchemy's URLs name a driver (`postgresql+psycopg://`), which libpq does not know.
  private static func withoutDriver(_ url: String) -> String {
    guard let separator = url.firstRange(of: "://") else { return url }
    let scheme = url[..<separator.lowerBound]
    guard let plus = scheme.firstIndex(of: "+") else { return url }
    return String(scheme[..<plus]) + url[separator.lowerBound...]
  }

  /// A value of a `key=value` conninfo (libpq, "Keyword/Value Connection Strings").
  private static func quoted(_ value: String) -> String {
    "'" + value.map { $0 == "'" || $0 == "\\" ? "\\\($0)" : String($0) }.joined() + "'"
  }

  /// The stop plan of this program as etc/ has it (`stopwaitsecs`), and what of it the drain has to leave: for answers that are given up,
  /// for connections that are cut off, and for the machine.
  static let shippedStopTime = Duration.seconds(2)
  static let timeAfterDrain = Duration.milliseconds(700)

  /// A drain that is longer than the stop plan as shipped: PID 1 does not tell how long it waits, so whether somebody has raised both is
  /// not known here. nil: it fits, or nobody ends this process but a person.
  var drainWarning: String? {
    // 1.3 is no sum of powers of two.
    let needed = Duration.milliseconds(((drainTimeout + Self.timeAfterDrain) / .milliseconds(1)).rounded())
    guard controlSocket != nil, needed > Self.shippedStopTime else { return nil }
    func seconds(_ duration: Duration) -> String {
      let tenths = Int((duration / .milliseconds(100) - 0.001).rounded(.up))
      return tenths % 10 == 0 ? "\(tenths / 10)" : "\(tenths / 10).\(tenths % 10)"
    }
    return
      "HIVE_DRAIN_SECONDS=\(seconds(drainTimeout)) needs stopwaitsecs=\(seconds(needed)) for \(program) (as shipped it is "
      + "\(seconds(Self.shippedStopTime))), and shutdown_timeout and the engine's own limit raised by as much: with less it is killed "
      + "in the middle of its drain"
  }

  var poolOptions: PostgresPool.Options {
    PostgresPool.Options(
      size: poolSize, overflow: poolOverflow, acquireTimeout: poolTimeout,
      connect: PostgresConnectOptions(
        connectTimeout: connectTimeout, queryTimeout: queryTimeout, applicationName: "hive-service",
        // Times in documents are UTC, and a transaction that we lost track of must not keep its locks. Through pgbouncer the settings
        // would stay with whichever server session came first: there both are pgbouncer's and the server's own (docs/postgres.md).
        sessionSettings: isPooled ? [:] : ["TimeZone": "UTC", "idle_in_transaction_session_timeout": "60s"]))
  }
}

/// The environment has values that cannot be used.
public struct InvalidEnvironment: Error, CustomStringConvertible {
  /// One line each.
  public let problems: [String]

  /// All lines.
  public var description: String { problems.joined(separator: "\n") }
}

private struct EnvironmentReader {
  private let environment: [String: String]
  var problems: [String] = []

  init(_ environment: [String: String]) { self.environment = environment }

  /// An empty variable counts as unset, as compose files pass them.
  func text(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }

  mutating func integer(_ name: String, _ range: ClosedRange<Int>, default fallback: Int) -> Int {
    guard let text = text(name) else { return fallback }
    if let value = Int(text), range.contains(value) { return value }
    problems.append("\(name)=\(text) is not a number from \(range.lowerBound) to \(range.upperBound)")
    return fallback
  }

  /// Seconds, with a fraction if need be; more than zero, at most a day.
  mutating func seconds(_ name: String, default fallback: Double) -> Duration {
    guard let text = environment[name], !text.isEmpty else { return .seconds(fallback) }
    if let value = Double(text), value > 0, value <= 86_400 { return .seconds(value) }
    problems.append("\(name)=\(text) is not a number of seconds above 0, at most 86400")
    return .seconds(fallback)
  }

  mutating func flag(_ name: String) -> Bool {
    switch text(name)?.lowercased() {
    case nil, "0", "false", "no", "off": return false
    case "1", "true", "yes", "on": return true
    case let text?:
      problems.append("\(name)=\(text) is neither true nor false")
      return false
    }
  }

  mutating func choice<Choice: RawRepresentable & CaseIterable>(
    _ name: String, _ type: Choice.Type, default fallback: Choice
  ) -> Choice where Choice.RawValue == String {
    guard let text = text(name) else { return fallback }
    if let value = Choice(rawValue: text) { return value }
    problems.append("\(name)=\(text) is not one of \(Self.list(type))")
    return fallback
  }

  mutating func choice<Choice: RawRepresentable & CaseIterable>(_ name: String, _ type: Choice.Type) -> Choice?
  where Choice.RawValue == String {
    if let text = text(name), let value = Choice(rawValue: text) { return value }
    let found = text(name).map { "\(name)=\($0) is not one of" } ?? "\(name) is not set: it must be one of"
    problems.append("\(found) \(Self.list(type))")
    return nil
  }

  private static func list<Choice: RawRepresentable & CaseIterable>(_ type: Choice.Type) -> String
  where Choice.RawValue == String {
    Choice.allCases.map(\.rawValue).joined(separator: ", ")
  }
}
