// pgbouncer's settings file, which cannot read the environment by itself: `hive-postgres migrate` writes it where pgbouncer is switched on.
//
// No secret is in it. Towards its clients the pool is a unix socket with mode 0700, so that only the service's own user (and root) reaches
// it, as with `peer`, which pgbouncer 1.18 has without a user map only. Towards the server it is that user, by `peer`.

/// What the environment says about pgbouncer; only where `HIVE_PGBOUNCER` switches it on.
public struct PoolerSettings: Equatable, Sendable {
  /// The number in its socket's name. etc/conf.d/pgbouncer.conf and hive-service have it too.
  public static let port = 6432
  /// Connections to the server at most.
  public var size: Int

  /// `HIVE_PGBOUNCER_POOL_SIZE`. nil: it is off.
  init?(_ reader: EnvironmentReader, serverPort: Int, runDirectory: String) throws(Failure) {
    guard try reader.flag("HIVE_PGBOUNCER") else { return nil }
    size = try reader.integer("HIVE_PGBOUNCER_POOL_SIZE", 1...1000) ?? 10
    guard serverPort != PoolerSettings.port else {
      throw Failure(
        .usage, "cannot use HIVE_PG_PORT=\(serverPort): pgbouncer's socket has that number, in the same directory",
        remedy: "give another, or set HIVE_PGBOUNCER=false")
    }
    guard !runDirectory.unicodeScalars.contains(where: { $0.value < 0x20 }) else {
      throw Failure(
        .usage, "cannot write HIVE_RUN_DIR into pgbouncer's settings: it has a control character",
        remedy: "give another")
    }
  }
}

/// Writes the file.
public struct Pooler {
  /// In the run directory.
  static let fileName = "pgbouncer.ini"

  /// Does nothing where pgbouncer is off. As the service user, in the run directory that belongs to it.
  public static func writeConfiguration(_ workspace: Workspace) throws(Failure) {
    let settings = workspace.settings
    guard let pooler = settings.pooler else { return }
    let path = Path.join(settings.runDirectory, fileName)
    try FileSystem.writeAtomically(
      path, configuration(pooler, settings: settings, role: try settings.requiredRole()).utf8, mode: 0o600)
    workspace.console.info("pgbouncer's settings are in \(path)")
  }

  /// The names are pgbouncer 1.18's (pgbouncer.org/config.html).
  static func configuration(_ pooler: PoolerSettings, settings: Settings, role: Role) -> String {
    let connection = [
      ("host", settings.runDirectory), ("port", String(settings.port)), ("dbname", role.database), ("user", role.owner),
    ]
    return """
      ; Written by hive-postgres at each start of the container.
      [databases]
      \(role.database) = \(connection.map { "\($0.0)=\(quoted($0.1))" }.joined(separator: " "))

      [pgbouncer]
      ; A unix socket and nothing else; who may open it may use it, as the role above.
      listen_addr =
      listen_port = \(PoolerSettings.port)
      unix_socket_dir = \(settings.runDirectory)
      unix_socket_mode = 0700
      auth_type = any
      ; Lets the liveness check ask the pool itself, without a server.
      stats_users = hivesup_probe
      pool_mode = transaction
      default_pool_size = \(pooler.size)
      max_client_conn = 200
      ; A server that is away: asked again twice a second. Who waits longer than this for a connection gets an error.
      server_login_retry = 0.5
      server_connect_timeout = 3
      query_wait_timeout = 3
      idle_transaction_timeout = 60
      ; JDBC sends it with each connection; nothing here depends on it.
      ignore_startup_parameters = extra_float_digits
      log_connections = 0
      log_disconnections = 0
      log_stats = 0

      """
  }

  /// A value of a connection string: in single quotes, which are doubled inside.
  static func quoted(_ value: String) -> String {
    "'" + value.map { $0 == "'" ? "''" : String($0) }.joined() + "'"
  }
}
