// The environment, read once: docs/postgres.md, "Environment". Everything else gets values, not variables.

import Glibc

/// Which container this is.
public enum Role: String, CaseIterable, Sendable {
  /// Sessions; port 48886.
  case genie
  /// Deployments; port 38886.
  case agent

  /// The application's database.
  public var database: String { "hive_\(rawValue)" }

  /// The application's role, owner of the database.
  public var owner: String {
    switch self {
    case .genie: "hive"
    case .agent: "agent"
    }
  }
}

/// What the environment says.
public struct Settings: Sendable {
  /// `HIVE_ROLE`; nil only where it is not needed.
  public var role: Role?
  /// The volume, absolute.
  public var volume: String
  /// `PGDATA`, absolute, where it is given.
  public var dataDirectory: String?
  /// The server's socket directory, absolute.
  public var runDirectory: String
  /// Configuration files and migrations, where `HIVE_ETC` is given.
  public var configuration: String?
  /// `HIVE_PG_BINDIR`.
  public var binaryDirectory: String?
  /// `HIVE_PG_WHEEL`.
  public var wheelDirectory: String?
  /// TCP port, and the number in the socket's name.
  public var port: Int
  /// `HIVE_NSS_WRAPPER`: libnss_wrapper.so, where it is not found by itself.
  public var nssWrapper: String?
  /// Whom to become when started as root.
  public var serviceUser: String
  /// The application's role's password, where `HIVE_DB_PASSWORD` gives it.
  public var password: String?
  /// `HIVE_DB_PASSWORD_FILE`, absolute.
  public var passwordFile: String?
  /// How long to wait for another holder of the volume.
  public var lockTimeout: Duration
  /// How long a server may show no progress.
  public var readyTimeout: Duration
  /// Time between two checks of the monitor.
  public var monitorInterval: Duration
  /// `HIVESUP_SYSFS_ROOT`: where the sensors are, `/sys`.
  public var sysfsRoot: String
  /// `THERMAL_THRESHOLD_WARNING` and its kind.
  public var thermal: ThermalThresholds
  /// `HIVE_PG_PIN` and its kind.
  public var pinning: PinSettings
  /// `HIVE_BALLAST_MB`.
  public var ballastMegabytes: Int?
  /// `HIVE_SPACE_TIMEOUT`: how long a start waits for disk space.
  public var spaceTimeout: Duration?
  /// PID 1's control socket.
  public var controlSocket: String?
  /// pgbouncer, where it is switched on.
  public var pooler: PoolerSettings?
  /// Move a broken data directory aside.
  public var quarantine: Bool
  /// Keep what a failed init leaves.
  public var keepFailed: Bool
  /// Run initdb.d's shell scripts with `.` in a shell of their own instead of as programs.
  public var sourceScripts: Bool
  /// The official image's variables.
  public var image: ImageSettings
  /// `-c NAME=VALUE` overrides from `POSTGRES_*`.
  public var overrides: [(name: String, value: String)]
  /// The environment for programs that we start: without secrets, and without what would change what PostgreSQL's programs do.
  public var childEnvironment: [String: String]

  /// The official image's variables for the first start.
  public struct ImageSettings: Sendable {
    /// `POSTGRES_PASSWORD`: the superuser's.
    public var password: String?
    /// `POSTGRES_USER`: the superuser.
    public var superuser: String
    /// `POSTGRES_DB`.
    public var database: String
    /// `POSTGRES_INITDB_ARGS`, split.
    public var initdbArguments: [String]
    /// `POSTGRES_INITDB_WALDIR`, absolute.
    public var walDirectory: String?
    /// Where the scripts are.
    public var scriptDirectory: String

    fileprivate init(_ reader: EnvironmentReader) throws(Failure) {
      superuser = try reader.secret("POSTGRES_USER") ?? "postgres"
      database = try reader.secret("POSTGRES_DB") ?? superuser
      password = try reader.secret("POSTGRES_PASSWORD")
      initdbArguments = try ShellWords.split(try reader.secret("POSTGRES_INITDB_ARGS") ?? "")
      walDirectory = reader.path("POSTGRES_INITDB_WALDIR")
      scriptDirectory = reader.path("HIVE_INITDB_SCRIPTS") ?? "/docker-entrypoint-initdb.d"
    }
  }

  private static let secrets: Set<String> = [
    "HIVE_DB_PASSWORD", "HIVE_DB_PASSWORD_FILE", "POSTGRES_PASSWORD", "POSTGRES_PASSWORD_FILE", "PGPASSWORD",
    "PGPASSFILE",
    "HIVE_DATABASE_URL",
  ]

  /// Reads the environment. Throws for what cannot be meant.
  ///
  /// The official image's variables count at the first start only: without `firstStart` they are not looked at, nor are the files
  /// that some of them name, which only root may be able to read.
  public init(environment: [String: String], workingDirectory: String, firstStart: Bool) throws(Failure) {
    let reader = EnvironmentReader(environment: environment, directory: workingDirectory)
    if let name = reader.text("HIVE_ROLE") {
      guard let role = Role(rawValue: name) else {
        throw Failure(.usage, "cannot use HIVE_ROLE=\(name): there is no such role", remedy: "give genie or agent")
      }
      self.role = role
    }
    volume = reader.path("HIVE_DATA") ?? "/var/lib/postgresql/data"
    dataDirectory = reader.path("PGDATA")
    runDirectory = reader.path("HIVE_RUN_DIR") ?? "/run/hivesup"
    sysfsRoot = reader.path("HIVESUP_SYSFS_ROOT") ?? "/sys"
    thermal = try ThermalThresholds(environment: environment)
    pinning = try PinSettings(environment: environment)
    configuration = reader.path("HIVE_ETC")
    binaryDirectory = reader.path("HIVE_PG_BINDIR")
    wheelDirectory = reader.path("HIVE_PG_WHEEL")
    port = try reader.integer("HIVE_PG_PORT", 1...65535) ?? 5432
    serviceUser = reader.text("HIVE_POSTGRES_USER") ?? "postgres"
    nssWrapper = reader.path("HIVE_NSS_WRAPPER")
    password = reader.text("HIVE_DB_PASSWORD")
    passwordFile = reader.path("HIVE_DB_PASSWORD_FILE")
    if password != nil && passwordFile != nil { throw EnvironmentReader.both("HIVE_DB_PASSWORD") }
    lockTimeout = .seconds(try reader.integer("HIVE_LOCK_TIMEOUT", 0...3600) ?? 10)
    readyTimeout = .seconds(try reader.integer("HIVE_READY_TIMEOUT", 1...86400) ?? 60)
    monitorInterval = .seconds(try reader.integer("HIVE_MONITOR_INTERVAL", 1...3600) ?? 2)
    ballastMegabytes = try reader.integer("HIVE_BALLAST_MB", 0...65536)
    spaceTimeout = try reader.integer("HIVE_SPACE_TIMEOUT", 0...86400).map { .seconds($0) }
    controlSocket = reader.path("HIVESUP_SOCKET")
    pooler = try PoolerSettings(reader, serverPort: port, runDirectory: runDirectory)
    quarantine = try reader.flag("HIVESUP_QUARANTINE")
    keepFailed = try reader.flag("HIVESUP_KEEP_FAILED")
    sourceScripts = try reader.flag("HIVESUP_INITDB_SOURCE")
    image = try ImageSettings(firstStart ? reader : EnvironmentReader(environment: [:], directory: workingDirectory))
    overrides = try Settings.overrides(reader)

    var children = environment.filter { name, _ in
      !Settings.secrets.contains(name) && !name.hasPrefix("PG") && name != "NOTIFY_SOCKET" && !name.hasPrefix("LISTEN_")
        && !name.hasPrefix("WATCHDOG_") && !name.hasPrefix("LC_") && name != "LANGUAGE"
    }
    // Messages that we read, and the server's log, in one language; the time zone given, so that initdb need not guess it.
    children["LC_ALL"] = "C"
    children["TZ"] = "UTC"
    if children["PATH"] == nil { children["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" }
    childEnvironment = children
    try validate()
  }

  private func validate() throws(Failure) {
    if let directory = dataDirectory, !Path.isInside(directory, volume) {
      throw Failure(
        .usage, "cannot use PGDATA=\(directory): it is not inside the volume \(volume)",
        remedy: "set HIVE_DATA to the volume that holds it, or unset PGDATA")
    }
    guard socketPath.utf8.count <= 107 else {
      throw Failure(
        .usage,
        "cannot use HIVE_RUN_DIR=\(runDirectory): \(socketPath) has more than the 107 bytes that a socket's path may have",
        remedy: "give a shorter directory")
    }
    for (name, value) in [("POSTGRES_USER", image.superuser), ("POSTGRES_DB", image.database)] {
      guard !value.isEmpty, value.utf8.count <= 63, !value.unicodeScalars.contains(where: { $0.value < 0x20 }) else {
        throw Failure(
          .usage, "cannot use \(name): PostgreSQL's names have 1 to 63 bytes and no control characters",
          remedy: "give another name")
      }
    }
    guard !image.superuser.hasPrefix("pg_") else {
      throw Failure(
        .usage, "cannot use POSTGRES_USER=\(image.superuser): names that start with pg_ are PostgreSQL's own",
        remedy: "give another name")
    }
  }

  /// The server's socket.
  public var socketPath: String { Path.join(runDirectory, ".s.PGSQL.\(port)") }

  /// The role, which every command but `bindir` needs.
  public func requiredRole() throws(Failure) -> Role {
    guard let role else {
      throw Failure(
        .usage, "cannot tell which container this is: HIVE_ROLE is not set", remedy: "set it to genie or agent")
    }
    return role
  }

  private static func overrides(_ reader: EnvironmentReader) throws(Failure) -> [(name: String, value: String)] {
    var found: [(name: String, value: String)] = []
    let memory = [
      ("POSTGRES_SHARED_BUFFERS", "shared_buffers"), ("POSTGRES_EFFECTIVE_CACHE_SIZE", "effective_cache_size"),
      ("POSTGRES_WORK_MEM", "work_mem"), ("POSTGRES_MAINTENANCE_WORK_MEM", "maintenance_work_mem"),
    ]
    for (variable, name) in memory {
      guard let value = reader.text(variable) else { continue }
      // PostgreSQL manual, 20.1.1: an integer or fraction with an optional, case-sensitive unit.
      let digits = value.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
      let unit = String(value.dropFirst(digits.count).drop { $0 == " " })
      guard let number = Double(digits), number > 0, ["", "B", "kB", "MB", "GB", "TB"].contains(unit) else {
        throw Failure(
          .usage, "cannot use \(variable)=\(value): it is no amount of memory", remedy: "give for example 128MB or 1GB")
      }
      found.append((name, value))
    }
    if let connections = try reader.integer("POSTGRES_MAX_CONNECTIONS", 10...10000) {
      found.append(("max_connections", String(connections)))
    }
    return found
  }
}

extension String {
  /// Without the newlines at the end, as `$(<file)` has it.
  var trimmingTrailingNewlines: String {
    var bytes = Array(utf8)
    while let last = bytes.last, last == 0x0A || last == 0x0D { bytes.removeLast() }
    return String(decoding: bytes, as: UTF8.self)
  }
}

/// Variables, each kind read in one way.
struct EnvironmentReader {
  let environment: [String: String]
  let directory: String

  /// An empty variable counts as unset, as compose files pass them.
  func text(_ name: String) -> String? {
    guard let value = environment[name], !value.isEmpty else { return nil }
    return value
  }

  func path(_ name: String) -> String? { text(name).map { Path.absolute($0, from: directory) } }

  func integer(_ name: String, _ range: ClosedRange<Int>) throws(Failure) -> Int? {
    guard let value = text(name) else { return nil }
    guard let number = Int(value), range.contains(number) else {
      throw Failure(
        .usage, "cannot use \(name)=\(value): it is no whole number from \(range.lowerBound) to \(range.upperBound)",
        remedy: "give one, or unset it")
    }
    return number
  }

  func flag(_ name: String) throws(Failure) -> Bool {
    switch text(name)?.lowercased() {
    case nil, "0", "false", "no", "off": return false
    case "1", "true", "yes", "on": return true
    case let value:
      throw Failure(.usage, "cannot use \(name)=\(value ?? ""): it is neither 1 nor 0", remedy: "give 1 or unset it")
    }
  }

  /// A variable, or the content of the file that `NAME_FILE` names, without its trailing newlines.
  func secret(_ name: String) throws(Failure) -> String? {
    let direct = text(name)
    guard let file = path("\(name)_FILE") else { return direct }
    guard direct == nil else { throw EnvironmentReader.both(name) }
    return try SecretFile(variable: "\(name)_FILE", path: file, alternative: "unset the variable").require()
  }

  static func both(_ name: String) -> Failure {
    Failure(.usage, "cannot choose between \(name) and \(name)_FILE: both are set", remedy: "unset one of them")
  }
}
