import Glibc
import Testing

@testable import HivePostgresCore

/// `hive-postgres migrate` and `monitor` with the real server.
@Suite(.enabled(if: Harness.hasPostgres, Harness.needsPostgres), .serialized)
struct MigrateTests {
  @Test(arguments: Role.allCases) func makesWhatTheRoleNeeds(_ role: Role) throws {
    let sandbox = try Sandbox(role: role.rawValue)
    try sandbox.serve()
    let result = try sandbox.hive("migrate")
    #expect(result.ending == .exited(0), "\(result.output)")
    let columns = try sandbox.sql(
      """
      SELECT string_agg(concat_ws(' ', column_name, data_type, character_maximum_length, is_nullable, column_default), ';'
        ORDER BY ordinal_position)
      FROM information_schema.columns WHERE table_name = '\(role == .genie ? "genie_sessions" : "agent_deployments")'
      """, user: role.owner, database: role.database)
    let tail = ";created_at timestamp with time zone NO now();updated_at timestamp with time zone NO now()"
    #expect(
      columns
        == (role == .genie
          ? "id uuid NO gen_random_uuid();user_id character varying 255 NO;session_data jsonb NO '{}'::jsonb"
          : "id uuid NO gen_random_uuid();agent_config jsonb NO '{}'::jsonb;deployment_status character varying 50 NO 'pending'::character varying")
        + tail)
    #expect(
      try sandbox.sql("SELECT extname FROM pg_extension WHERE extname = 'vector'", database: role.database) == "vector")
    #expect(
      try sandbox.sql("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = '\(role.database)'")
        == role.owner)
    // Least privilege.
    #expect(
      try sandbox.sql(
        "SELECT bool_or(rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls) FROM pg_roles "
          + "WHERE rolname IN ('\(role.owner)', 'hive_monitor')") == "f")
    #expect(throws: Failure.self) {
      try sandbox.sql("DELETE FROM schema_migrations", user: role.owner, database: role.database)
    }
    #expect(throws: Failure.self) {
      try sandbox.sql("CREATE TABLE x (y int)", user: Migrator.monitorRole, database: role.database)
    }
    _ = try sandbox.sql("CHECKPOINT", user: Migrator.monitorRole, database: role.database)
  }

  @Test func thePasswordIsMadeOnceAndWorksOverTCP() throws {
    let sandbox = try Sandbox()
    let server = try sandbox.serve()
    let first = try sandbox.hive("migrate")
    let file = sandbox.volume + "/.hivesup/password"
    let password = try #require(try FileSystem.readText(file)).trimmingTrailingNewlines
    #expect(password.utf8.count == 43)
    #expect(try FileSystem.status(file)?.permissions == 0o600)
    let stored = try sandbox.sql("SELECT rolpassword FROM pg_authid WHERE rolname = 'hive'")
    let second = try sandbox.hive("migrate")
    #expect(second.ending == .exited(0))
    #expect(try sandbox.sql("SELECT rolpassword FROM pg_authid WHERE rolname = 'hive'") == stored)
    #expect(try FileSystem.readText(file) == password + "\n")
    let result = try Harness.run(
      (Harness.bindir ?? "") + "/psql",
      [
        "-h", "127.0.0.1", "-p", String(sandbox.port), "-U", "hive", "-w", "-XAtqc", "SELECT current_user",
        "hive_genie",
      ],
      ["PGPASSWORD": password])
    #expect(result.output == "hive\n")
    for output in [first.output, second.output, server.output()] { #expect(!output.contains(password)) }
    // Another one is taken over at the next start.
    let third = try sandbox.hive("migrate", ["HIVE_DB_PASSWORD": "another good one"])
    #expect(third.output.contains("set the password"))
    let changed = try sandbox.sql("SELECT rolpassword FROM pg_authid WHERE rolname = 'hive'")
    #expect(ScramVerifier(changed)?.matches("another good one") == true)
    #expect(try sandbox.hive("migrate", ["HIVE_DB_PASSWORD": "postgres"]).ending == .exited(64))
  }

  @Test func aPasswordFileIsMadeInTheVolumeAndMissedElsewhere() throws {
    let sandbox = try Sandbox()
    try sandbox.serve()
    let inside = sandbox.volume + "/.hivesup/mine"
    let made = try sandbox.hive("migrate", ["HIVE_DB_PASSWORD_FILE": inside])
    #expect(
      made.ending == .exited(0) && made.output.contains("made a password for hive in \(inside)"), "\(made.output)")
    let password = try #require(try FileSystem.readText(inside))
    #expect(password.utf8.count == 44)
    let stored = try sandbox.sql("SELECT rolpassword FROM pg_authid WHERE rolname = 'hive'")
    // A file elsewhere is a mount that was forgotten, however writable the place is: nothing is made there.
    let outside = sandbox.root + "/secrets/db"
    try FileSystem.makeDirectories(sandbox.root + "/secrets", mode: 0o777)
    for command in ["init", "migrate"] {
      let missed = try sandbox.hive(command, ["HIVE_DB_PASSWORD_FILE": outside])
      #expect(missed.ending == .exited(64), "\(command): \(missed.output)")
      #expect(
        missed.output.contains(
          "cannot read HIVE_DB_PASSWORD_FILE=\(outside): there is no such file; mount the secret, or"))
      #expect(try !FileSystem.exists(outside))
    }
    // What Docker mounts for a file that the host does not have.
    try FileSystem.makeDirectories(outside, mode: 0o755)
    let directory = try sandbox.hive("migrate", ["HIVE_DB_PASSWORD_FILE": outside])
    #expect(directory.ending == .exited(64) && directory.output.contains("it is a directory; name a file"))
    #expect(try sandbox.sql("SELECT rolpassword FROM pg_authid WHERE rolname = 'hive'") == stored)
    // Given, it is the one that counts.
    try sandbox.write(sandbox.root + "/given", "another good one\n")
    #expect(try sandbox.hive("migrate", ["HIVE_DB_PASSWORD_FILE": sandbox.root + "/given"]).ending == .exited(0))
    let changed = try sandbox.sql("SELECT rolpassword FROM pg_authid WHERE rolname = 'hive'")
    #expect(ScramVerifier(changed)?.matches("another good one") == true)
  }

  /// They are the API's, or empty.
  @Test(arguments: ["", "nowhere"])
  func variablesOfLibpqLeadNowhereElse(_ value: String) throws {
    let sandbox = try Sandbox()
    try sandbox.serve()
    var variables: [String: String] = [:]
    for name in [
      "HOST", "HOSTADDR", "PORT", "USER", "DATABASE", "SERVICE", "SSLMODE", "OPTIONS", "PASSWORD", "TARGETSESSIONATTRS",
    ] {
      variables["PG" + name] = value
    }
    let done = try sandbox.hive("migrate", variables.merging(["HIVE_READY_TIMEOUT": "5"]) { $1 })
    #expect(done.ending == .exited(0), "\(done.output)")
  }

  @Test func concurrentRunsDoOneAfterTheOther() throws {
    let sandbox = try Sandbox()
    try sandbox.serve()
    let runs = try (0..<5).map { _ in try sandbox.start("migrate") }
    for run in runs { #expect(Harness.finish(run, seconds: 30) == .exited(0), "\(run.output())") }
    #expect(runs.filter { $0.output().contains("applied 0001") }.count == 1)
    #expect(runs.filter { $0.output().contains("made the database") }.count == 1)
  }

  @Test func itWaitsForTheServer() throws {
    let sandbox = try Sandbox()
    #expect(try sandbox.hive("init").ending == .exited(0))
    let migrate = try sandbox.start("migrate")
    usleep(200_000)
    #expect(migrate.poll() == nil)
    _ = try sandbox.startServer()
    #expect(Harness.finish(migrate, seconds: 20) == .exited(0), "\(migrate.output())")
  }

  @Test func withoutAServerItGivesUpInTimeAndAtOnceOnASignal() throws {
    let sandbox = try Sandbox()
    #expect(try sandbox.hive("init").ending == .exited(0))
    #expect(try sandbox.hive("migrate", ["HIVE_READY_TIMEOUT": "1"]).ending == .exited(69))
    let waiting = try sandbox.start("migrate")
    usleep(150_000)
    kill(waiting.pid, SIGTERM)
    #expect(Harness.finish(waiting, seconds: 1) == .exited(143))
  }

  func copyEtc(_ sandbox: Sandbox) throws -> String {
    let etc = sandbox.root + "/etc"
    for name in ["postgresql.conf", "pg_hba.conf", "pg_ident.conf", "sql/0001_genie_sessions.sql"] {
      try sandbox.write(etc + "/" + name, try FileSystem.readText(Sandbox.etc("genie") + "/" + name) ?? "")
    }
    sandbox.environment["HIVE_ETC"] = etc
    return etc + "/sql"
  }

  @Test func filesRunInTransactionsAndAreWatched() throws {
    let sandbox = try Sandbox()
    let sql = try copyEtc(sandbox)
    try sandbox.serve()
    #expect(try sandbox.hive("migrate").ending == .exited(0))
    func tables() throws -> String {
      try sandbox.sql(
        "SELECT string_agg(relname, ',' ORDER BY relname) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
        database: "hive_genie")
    }
    // The second statement fails: the first one is undone, and what comes later is not run.
    try sandbox.write(sql + "/0002_bad.sql", "CREATE TABLE half (x int); SELECT 1/0;")
    try sandbox.write(sql + "/0003_good.sql", "CREATE TABLE good (x int);")
    let failed = try sandbox.hive("migrate")
    #expect(failed.ending == .exited(78), "\(failed.output)")
    #expect(failed.output.contains("0002_bad.sql") && failed.output.contains("division by zero"), "\(failed.output)")
    #expect(try tables() == "genie_sessions,schema_migrations")
    // It must not end its own transaction.
    try sandbox.write(sql + "/0002_bad.sql", "CREATE TABLE half (x int); COMMIT; BEGIN;")
    let commits = try sandbox.hive("migrate")
    #expect(commits.ending == .exited(78), "\(commits.output)")
    #expect(commits.output.contains("BEGIN, COMMIT"), "\(commits.output)")
    // Mended.
    try sandbox.write(sql + "/0002_bad.sql", "DROP TABLE half;")
    #expect(try sandbox.hive("migrate").ending == .exited(0))
    #expect(try tables() == "genie_sessions,good,schema_migrations")
    #expect(
      try sandbox.sql("SELECT tableowner FROM pg_tables WHERE tablename = 'good'", database: "hive_genie") == "hive")
    // A changed file stops everything, naming itself.
    try sandbox.write(sql + "/0003_good.sql", "CREATE TABLE good (x bigint);")
    let changed = try sandbox.hive("migrate")
    #expect(changed.ending == .exited(78), "\(changed.output)")
    #expect(changed.output.contains("0003_good.sql was changed"), "\(changed.output)")
    try FileSystem.remove(sql + "/0003_good.sql")
    #expect(try sandbox.hive("migrate").output.contains("older release"))
  }

  @Test func anInterruptedMigrationIsUndone() throws {
    let sandbox = try Sandbox()
    let sql = try copyEtc(sandbox)
    try sandbox.serve()
    try sandbox.write(sql + "/0002_slow.sql", "CREATE TABLE slow (x int); SELECT pg_sleep(30);")
    let run = try sandbox.start("migrate")
    #expect(
      try Harness.eventually {
        try sandbox.sql(
          "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)%' AND wait_event = 'PgSleep'") == "1"
      })
    kill(run.pid, SIGTERM)
    #expect(Harness.finish(run, seconds: 2) == .exited(143))
    try sandbox.write(sql + "/0002_slow.sql", "CREATE TABLE slow (x int);")
    let again = try sandbox.hive("migrate", seconds: 40)
    #expect(again.ending == .exited(0), "\(again.output)")
    #expect(again.output.contains("applied 0002_slow"))
  }
}
