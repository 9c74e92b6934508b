// `hive-postgres migrate`: roles, database, extension and schema, each only where it is not yet as it shall be. Every run takes one
// advisory lock first, so that two of them do one after the other.

import Glibc

/// Brings a database up to date.
public struct Migrator {
  /// The monitor's role: it may look at everything, ask for checkpoints, and change nothing.
  public static let monitorRole = "hive_monitor"
  /// "hive-pg" as a number: pg_advisory_lock takes a bigint. Every run of every version uses this one.
  private static let lockKey: Int64 = 0x68_6976_652d_7067

  let workspace: Workspace
  private let role: Role
  private let volume: Volume
  private let superuser: String
  /// nil: made and kept by `run`.
  private let givenPassword: String?
  private let migrations: [Migration]
  private var console: Console { workspace.console }

  /// Reads what only root may be able to read, becomes the user, and reads the state of the volume.
  public init(_ workspace: Workspace) throws(Failure) {
    self.workspace = workspace
    role = try workspace.settings.requiredRole()
    let settings = workspace.settings
    migrations = try Migration.read(Path.join(workspace.configurationDirectory(), "sql"))
    givenPassword = try PasswordSource(settings: settings, role: role).read()
    try workspace.user.become()
    umask(0o077)
    let own = Path.join(settings.volume, Volume.privateName)
    guard let state = try InstallationState.read(Path.join(own, "state.json")), state.phase != .installing else {
      throw Failure(
        .configuration, "cannot migrate: \(settings.volume) has no cluster yet", remedy: "run hive-postgres init first")
    }
    volume = try Volume(settings: settings, state: state)
    superuser = state.superuser
  }

  /// Does what is missing.
  public func run() throws(Failure) {
    do throws(SQLFailure) {
      let server = try waitForServer()
      try server.query("SELECT pg_catalog.pg_advisory_lock($1)", [String(Migrator.lockKey)])
      try makeRoles(server)
      try setPassword(server)
      try makeDatabase(server)
      let database = try connect(role.database, within: .seconds(10))
      try makeExtension(database)
      try checkCollation(database)
      let count = try migrate(database)
      console.info(
        "database \(role.database) of \(role.owner) is up to date (\(migrations.count) migrations, \(count) of them new)"
      )
    } catch {
      throw Migrator.failure(error)
    }
  }

  private static func failure(_ error: SQLFailure) -> Failure {
    switch error.kind {
    case .interrupted(let signal): .interrupted(signal)
    case .connection, .timeout:
      Failure(
        .unavailable, "cannot reach the database: \(error.message)",
        remedy: "look at the log of postgresql, then start it again")
    case .statement:
      if let failure = error.cause { failure } else { Failure(.software, "cannot migrate: \(error.message)") }
    }
  }

  // MARK: The server

  private func connect(_ database: String, within timeout: Duration) throws(SQLFailure) -> SQLConnection {
    try SQLConnection(
      [
        ("host", workspace.settings.runDirectory), ("port", String(workspace.settings.port)), ("user", superuser),
        ("dbname", database), ("application_name", "hive-postgres migrate"), ("client_encoding", "UTF8"),
      ], within: timeout, workspace.interruption)
  }

  /// Waits until the server accepts. A server that says that it is starting makes progress: recovery may take its time.
  private func waitForServer() throws(SQLFailure) -> SQLConnection {
    var deadline = ContinuousClock.now + workspace.settings.readyTimeout
    var pause = Duration.milliseconds(10)
    while true {
      do throws(SQLFailure) {
        return try connect("postgres", within: .seconds(5))
      } catch  where error.kind == .connection || error.kind == .timeout {
        // Its absence is the owner's right; everything that answers so is a server in service.
        if error.state == "3D000" { return try connect("template1", within: .seconds(5)) }
        if error.isRejecting { deadline = ContinuousClock.now + workspace.settings.readyTimeout }
        let isPermanent = error.state.map { $0.hasPrefix("28") } ?? false
        guard !isPermanent, ContinuousClock.now < deadline else { throw error }
      }
      if case .stop(let signal) = workspace.interruption.wait(atMost: pause) {
        throw SQLFailure(kind: .interrupted(signal), message: "")
      }
      pause = min(pause * 2, .milliseconds(250))
    }
  }

  // MARK: Roles

  private func makeRoles(_ server: SQLConnection) throws(SQLFailure) {
    let existing = Set(try server.query("SELECT rolname FROM pg_catalog.pg_roles").compactMap { $0.first ?? nil })
    for name in [role.owner, Migrator.monitorRole] where !existing.contains(name) {
      try server.query(
        "CREATE ROLE \(SQLConnection.identifier(name)) LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"
      )
      console.info("made the role \(name)")
    }
    var memberships = ["pg_monitor", "pg_checkpoint"]
    if server.serverVersion >= 160000 { memberships.append("pg_use_reserved_connections") }
    for group in memberships {
      let isMember = try server.query(
        """
        SELECT 1 FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles r ON r.oid = m.roleid
        JOIN pg_catalog.pg_roles u ON u.oid = m.member WHERE r.rolname = $1 AND u.rolname = $2
        """, [group, Migrator.monitorRole])
      if isMember.isEmpty {
        try server.query("GRANT \(group) TO \(SQLConnection.identifier(Migrator.monitorRole))")
      }
    }
  }

  /// The server gets a verifier made here: the password itself is in no statement, log or memory of the server.
  private func setPassword(_ server: SQLConnection) throws(SQLFailure) {
    let password = try self.password()
    let stored = try server.query("SELECT rolpassword FROM pg_catalog.pg_authid WHERE rolname = $1", [role.owner])
    if let text = stored.first?.first ?? nil, let verifier = ScramVerifier(text), verifier.matches(password) { return }
    let verifier = try server.verifier(password: password, role: role.owner)
    try server.query(
      "ALTER ROLE \(SQLConnection.identifier(role.owner)) PASSWORD \(SQLConnection.literal(verifier))")
    console.info("set the password of \(role.owner)")
  }

  /// Made under the advisory lock: of two runs only one makes it.
  private func password() throws(SQLFailure) -> String {
    if let givenPassword { return givenPassword }
    do throws(Failure) {
      let path = workspace.settings.passwordFile ?? volume.password
      return try PasswordSource.generated(at: path, role: role, console)
    } catch {
      throw SQLFailure(error)
    }
  }

  // MARK: Database

  private func makeDatabase(_ server: SQLConnection) throws(SQLFailure) {
    let name = SQLConnection.identifier(role.database)
    let owner = SQLConnection.identifier(role.owner)
    let found = try server.query(
      "SELECT pg_catalog.pg_get_userbyid(datdba), datallowconn, pg_catalog.pg_encoding_to_char(encoding) "
        + "FROM pg_catalog.pg_database WHERE datname = $1", [role.database])
    if let row = found.first {
      if row[0] != role.owner {
        try server.query("ALTER DATABASE \(name) OWNER TO \(owner)")
        console.warning("gave the database \(role.database) to \(role.owner); what is in it keeps its owners")
      }
      if row[2] != "UTF8" { console.warning("the database \(role.database) is in \(row[2] ?? "?"), not in UTF8") }
    } else {
      // An adopted cluster may have been made with another default.
      let encoding = try server.query(
        "SELECT pg_catalog.pg_encoding_to_char(encoding) FROM pg_catalog.pg_database WHERE datname = 'template1'")
      let isUTF8 = encoding.first?.first == "UTF8"
      try server.query(
        "CREATE DATABASE \(name) OWNER \(owner)"
          + (isUTF8 ? "" : " TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"))
      console.info("made the database \(role.database)")
    }
    // By default everyone may connect and make temporary tables: here only those who are named.
    try server.query("REVOKE ALL ON DATABASE \(name) FROM PUBLIC")
    try server.query("GRANT CONNECT ON DATABASE \(name) TO \(SQLConnection.identifier(Migrator.monitorRole))")
  }

  private func makeExtension(_ database: SQLConnection) throws(SQLFailure) {
    let found = try database.query(
      "SELECT default_version, installed_version FROM pg_catalog.pg_available_extensions WHERE name = 'vector'")
    guard let available = found.first?.first ?? nil else {
      throw SQLFailure(
        kind: .statement, state: nil,
        message:
          "the server has no extension vector: install pgvector for it, or name another PostgreSQL in HIVE_PG_BINDIR")
    }
    guard let installed = found.first?[1] else {
      try database.query("CREATE EXTENSION IF NOT EXISTS vector")
      console.info("made the extension vector \(available)")
      return
    }
    if Migrator.isNewer(available, than: installed) {
      try database.query("ALTER EXTENSION vector UPDATE")
      console.info("updated the extension vector from \(installed) to \(available)")
    }
  }

  /// 0.10.0 is newer than 0.8.5: numbers, not text.
  static func isNewer(_ left: String, than right: String) -> Bool {
    func parts(_ text: String) -> [Int] {
      text.split(separator: ".").map { Int($0.prefix { $0.isASCII && $0.isNumber }) ?? 0 }
    }
    var (first, second) = (parts(left), parts(right))
    while first.count < second.count { first.append(0) }
    while second.count < first.count { second.append(0) }
    return second.lexicographicallyPrecedes(first)
  }

  /// Another C library sorts differently, and indexes made with the old order miss rows.
  private func checkCollation(_ database: SQLConnection) throws(SQLFailure) {
    let rows = try database.query(
      """
      SELECT datcollversion, pg_catalog.pg_database_collation_actual_version(oid)
      FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()
      """)
    guard let row = rows.first, let recorded = row[0], let actual = row[1], recorded != actual else { return }
    console.warning(
      "the indexes of \(role.database) were made with collation version \(recorded), and this system has \(actual): run "
        + "REINDEX DATABASE \(role.database), then ALTER DATABASE \(role.database) REFRESH COLLATION VERSION")
  }

  // MARK: Schema

  private func migrate(_ database: SQLConnection) throws(SQLFailure) -> Int {
    // It belongs to the superuser: the application cannot rewrite its own history.
    try database.query(
      """
      CREATE TABLE IF NOT EXISTS public.schema_migrations (
        version integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT now(), duration_ms double precision NOT NULL)
      """)
    try database.query(
      "GRANT SELECT ON public.schema_migrations TO \(SQLConnection.identifier(role.owner)), "
        + SQLConnection.identifier(Migrator.monitorRole))
    let rows = try database.query("SELECT version, name, checksum FROM public.schema_migrations ORDER BY version")
    let applied = rows.compactMap { row -> Migration.Applied? in
      guard let version = row[0].flatMap({ Int($0) }), let name = row[1], let checksum = row[2] else { return nil }
      return Migration.Applied(version: version, name: name, checksum: checksum)
    }
    let pending: [Migration]
    do throws(Failure) {
      pending = try Migration.pending(files: migrations, applied: applied)
    } catch {
      throw SQLFailure(error)
    }
    for migration in pending { try apply(migration, database) }
    return pending.count
  }

  private func apply(_ migration: Migration, _ database: SQLConnection) throws(SQLFailure) {
    let start = ContinuousClock.now
    try database.query("BEGIN")
    do throws(SQLFailure) {
      let before = try database.query("SELECT pg_catalog.pg_current_xact_id()")
      try database.query("SET LOCAL search_path TO public")
      try database.query("SET LOCAL ROLE \(SQLConnection.identifier(role.owner))")
      try database.execute(script: migration.sql)
      guard database.isInTransaction, try database.query("SELECT pg_catalog.pg_current_xact_id()") == before else {
        throw SQLFailure(
          Failure(
            .configuration, "cannot apply \(migration.title).sql: it ends or begins transactions itself",
            remedy:
              "remove BEGIN, COMMIT and ROLLBACK from it: each file is one transaction. Look at what it has committed"))
      }
      try database.query("RESET ROLE")
      let milliseconds = (ContinuousClock.now - start) / .milliseconds(1)
      try database.query(
        "INSERT INTO public.schema_migrations (version, name, checksum, duration_ms) VALUES ($1, $2, $3, $4)",
        [String(migration.version), migration.name, migration.checksum, String(milliseconds)])
      try database.query("COMMIT")
    } catch {
      guard error.kind == .statement else { throw error }
      _ = try? database.query("ROLLBACK", within: .seconds(5))
      guard error.cause == nil else { throw error }
      throw SQLFailure(
        Failure(
          .configuration, "cannot apply \(migration.title).sql: \(error.message)",
          remedy: "mend the file; nothing of it was kept"))
    }
    console.info("applied \(migration.title)")
  }
}
