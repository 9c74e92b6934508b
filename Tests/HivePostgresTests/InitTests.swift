import Glibc
import Testing

@testable import HivePostgresCore

/// `hive-postgres init` with the real initdb.
@Suite(.enabled(if: Harness.hasPostgres, Harness.needsPostgres), .serialized)
struct InitTests {
  /// What a volume holds besides the lock.
  func entries(_ sandbox: Sandbox) throws -> [String] {
    try FileSystem.list(sandbox.volume + "/.hivesup").filter { $0 != "lock" }
  }

  func state(_ sandbox: Sandbox) throws -> InstallationState? {
    try InstallationState.read(sandbox.volume + "/.hivesup/state.json")
  }

  @Test func makesAClusterAndLeavesNothingElse() throws {
    let sandbox = try Sandbox()
    let result = try sandbox.hive("init")
    #expect(result.ending == .exited(0), "\(result.output)")
    #expect(try entries(sandbox) == ["state.json"])
    let state = try #require(try state(sandbox))
    let control = try #require(try sandbox.controlState())
    #expect(state.phase == .initialised)
    #expect(state.systemIdentifier == control.systemIdentifier)
    #expect(control.state == "shut down")
    #expect(try FileSystem.status(sandbox.pgdata)?.permissions == 0o700)
    #expect(
      try FileSystem.readText(sandbox.pgdata + "/pg_hba.conf")?.split(separator: "\n").contains {
        !$0.hasPrefix("#") && $0.contains("trust")
      } == false)
    // Again: nothing happens.
    let before = try FileSystem.readText(sandbox.volume + "/.hivesup/state.json")
    #expect(try sandbox.hive("init").ending == .exited(0))
    #expect(try FileSystem.readText(sandbox.volume + "/.hivesup/state.json") == before)
  }

  @Test func theImagesVariablesAreHonoured() throws {
    let sandbox = try Sandbox()
    sandbox.environment.merge([
      "POSTGRES_USER": "claude user", "POSTGRES_DB": "my \"db\"",
      "POSTGRES_INITDB_ARGS": "--wal-segsize=32 '--locale=C'",
      "POSTGRES_INITDB_WALDIR": sandbox.root + "/wal",
    ]) { $1 }
    let secret = sandbox.root + "/secret"
    try sandbox.write(secret, "a really good one\n")
    sandbox.environment["POSTGRES_PASSWORD_FILE"] = secret
    if !Harness.isRoot { try FileSystem.makeDirectories(sandbox.root + "/wal", mode: 0o700) }
    try sandbox.serve()
    #expect(try FileSystem.list(sandbox.root + "/wal").contains { $0.utf8.count == 24 })
    #expect(try sandbox.sql("SELECT current_user", user: "claude user", database: "my \"db\"") == "claude user")
    #expect(try sandbox.sql("SHOW wal_segment_size", user: "claude user") == "32MB")
    #expect(try sandbox.sql("SHOW data_checksums", user: "claude user") == "on")
    let stored = try sandbox.sql("SELECT rolpassword FROM pg_authid WHERE rolname = 'claude user'", user: "claude user")
    #expect(ScramVerifier(stored)?.matches("a really good one") == true)
  }

  @Test func scriptsRunOnceInByteOrder() throws {
    let sandbox = try Sandbox()
    let scripts = sandbox.root + "/initdb.d"
    sandbox.environment["POSTGRES_DB"] = "shop"
    sandbox.environment["POSTGRES_PASSWORD"] = "a really good one"
    try sandbox.write(
      scripts + "/10.sql", "CREATE TABLE log (n serial, what text); INSERT INTO log (what) VALUES ('10')")
    try sandbox.write(
      scripts + "/2.sh",
      "psql -v ON_ERROR_STOP=1 -U \"$POSTGRES_USER\" -d \"$POSTGRES_DB\" -c \"INSERT INTO log (what) VALUES ('2')\"\nexit 0\n"
    )
    try sandbox.write(
      scripts + "/3.sh",
      "#!/bin/sh\n[ \"$POSTGRES_PASSWORD\" = 'a really good one' ] && psql -c \"INSERT INTO log (what) VALUES ('3')\"\n",
      mode: 0o755)
    try sandbox.write(scripts + "/Z.sql", "INSERT INTO log (what) VALUES ('Z')")
    try sandbox.write(scripts + "/a.txt", "ignored")
    try sandbox.write(scripts + "/b.sql", "INSERT INTO log (what) VALUES ('b')")
    for (name, tool) in [("c.sql.gz", "gzip"), ("d.sql.xz", "xz"), ("e.sql.zst", "zstd")] {
      guard access("/usr/bin/\(tool)", X_OK) == 0 else { continue }
      let plain = sandbox.root + "/plain"
      try sandbox.write(plain, "INSERT INTO log (what) VALUES ('\(tool)')")
      #expect(try Harness.run("/bin/sh", ["-c", "\(tool) -c < \(plain) > \(scripts)/\(name)"]).ending == .exited(0))
      chmod("\(scripts)/\(name)", 0o644)
    }
    let result = try sandbox.hive("init")
    #expect(result.ending == .exited(0), "\(result.output)")
    #expect(result.output.contains("ignoring \(scripts)/a.txt"))
    #expect(!result.output.contains("a really good one"))
    #expect(try state(sandbox)?.scripts.map(\.name).prefix(5) == ["10.sql", "2.sh", "3.sh", "Z.sql", "b.sql"])
    #expect(try sandbox.hive("init").ending == .exited(0))
    _ = try sandbox.startServer()
    let log = try sandbox.sql("SELECT string_agg(what, ',' ORDER BY n) FROM log", database: "shop")
    #expect(log.hasPrefix("10,2,3,Z,b"), "\(log)")
    #expect(log.split(separator: ",").count == (try state(sandbox)?.scripts.count))
  }

  @Test(arguments: ["1.sql", "1.sh", "1.sql.gz"])
  func aFailingScriptLeavesNothing(_ name: String) throws {
    let sandbox = try Sandbox()
    try sandbox.write(sandbox.root + "/initdb.d/\(name)", name.hasSuffix(".sh") ? "exit 3\n" : "SELECT 1/0;\n")
    let result = try sandbox.hive("init")
    #expect(result.ending == .exited(70), "\(result.output)")
    #expect(result.output.contains("mend the script"))
    #expect(try entries(sandbox).isEmpty)
    #expect(try !FileSystem.exists(sandbox.pgdata))
    #expect(try FileSystem.list(sandbox.run).isEmpty)
    // Mended, the next start begins anew.
    try FileSystem.remove(sandbox.root + "/initdb.d/\(name)")
    #expect(try sandbox.hive("init").ending == .exited(0))
  }

  @Test func whatFailedIsKeptOnRequest() throws {
    let sandbox = try Sandbox()
    sandbox.environment["POSTGRES_INITDB_ARGS"] = "--no-such-option"
    #expect(try sandbox.hive("init").ending == .exited(70))
    #expect(try entries(sandbox).isEmpty)
    sandbox.environment["POSTGRES_INITDB_ARGS"] = nil
    try sandbox.write(sandbox.root + "/initdb.d/1.sh", "exit 3\n")
    #expect(try sandbox.hive("init", ["HIVESUP_KEEP_FAILED": "1"]).ending == .exited(70))
    #expect(try entries(sandbox).contains { $0.hasPrefix("init.failed-") })
  }

  /// Killed at any moment, the next run ends in the same schema, and never in an adoption of something half-made.
  @Test(arguments: [1, 5, 20, 50, 100, 150, 200, 250, 300, 350, 400, 450, 500, 600, 800])
  func sigkillAtAnyMomentIsRecoveredFrom(_ milliseconds: UInt32) throws {
    let sandbox = try Sandbox()
    sandbox.environment["POSTGRES_DB"] = "shop"
    try sandbox.write(sandbox.root + "/initdb.d/1.sql", "CREATE TABLE a (x int); CREATE ROLE r;")
    try sandbox.write(sandbox.root + "/initdb.d/2.sh", "sleep 0.05; psql -qc 'CREATE TABLE b (x int)'\n")
    let child = try sandbox.start("init")
    usleep(milliseconds * 1000)
    kill(child.pid, SIGKILL)
    _ = Harness.finish(child, seconds: 5)
    let again = try sandbox.hive("init")
    #expect(again.ending == .exited(0), "\(again.output)")
    #expect(!again.output.contains("adopted"), "\(again.output)")
    #expect(try state(sandbox)?.phase == .initialised)
    #expect(try entries(sandbox) == ["state.json"])
    #expect(
      try FileSystem.list(sandbox.run).isEmpty || FileSystem.list(sandbox.run).allSatisfy { $0.hasPrefix(".init-") })
    _ = try sandbox.startServer()
    #expect(
      try sandbox.sql(
        "SELECT string_agg(relname, ',' ORDER BY relname) FROM pg_class WHERE relnamespace = 'public'::regnamespace",
        database: "shop") == "a,b")
    #expect(try sandbox.sql("SELECT count(*) FROM pg_roles WHERE rolname = 'r'") == "1")
  }

  @Test(arguments: [SIGTERM, SIGINT], [10, 100, 250, 400] as [UInt32])
  func aStopSignalLeavesNothingAndIsQuick(_ signal: Int32, _ milliseconds: UInt32) throws {
    let sandbox = try Sandbox()
    try sandbox.write(sandbox.root + "/initdb.d/1.sh", "trap '' TERM INT; sleep 30\n")
    let child = try sandbox.start("init")
    usleep(milliseconds * 1000)
    let asked = ContinuousClock.now
    kill(child.pid, signal)
    let ending = Harness.finish(child, seconds: 10)
    // The script would take thirty.
    #expect(ContinuousClock.now - asked < .seconds(8))
    // On a busy machine the earliest one arrives before the program could block it: the same to a shell, and as harmless.
    #expect(ending == .exited(128 + signal) || ending == .signaled(signal), "\(child.output())")
    #expect(try entries(sandbox).isEmpty)
    #expect(try !FileSystem.exists(sandbox.pgdata))
    #expect(try sandbox.servers(of: sandbox.volume + "/.hivesup/init").isEmpty)
  }

  @Test func aPlaceholderIsRefusedAtTheFirstStartOnly() throws {
    let sandbox = try Sandbox()
    let refused = try sandbox.hive("init", ["POSTGRES_PASSWORD": "postgres"])
    #expect(refused.ending == .exited(64), "\(refused.output)")
    #expect(refused.output.contains("known placeholder"))
    #expect(try sandbox.hive("init").ending == .exited(0))
    #expect(try sandbox.hive("init", ["POSTGRES_PASSWORD": "postgres"]).ending == .exited(0))
  }

  @Test(arguments: [
    "HIVE_DB_PASSWORD", "POSTGRES_PASSWORD", "POSTGRES_USER", "POSTGRES_DB", "POSTGRES_INITDB_ARGS",
  ])
  func aSecretThatIsNotThereIsMissedBeforeAnythingIsMade(_ name: String) throws {
    let sandbox = try Sandbox()
    let file = sandbox.root + "/secret"
    let variable = ["\(name)_FILE": file]
    let missing = try sandbox.hive("init", variable)
    #expect(missing.ending == .exited(64), "\(missing.output)")
    #expect(
      missing.output.contains("cannot read \(name)_FILE=\(file): there is no such file; mount the secret, or unset"))
    try FileSystem.makeDirectories(file, mode: 0o755)
    let directory = try sandbox.hive("init", variable)
    #expect(directory.ending == .exited(64), "\(directory.output)")
    #expect(directory.output.contains("cannot read \(name)_FILE=\(file): it is a directory"))
    #expect(try entries(sandbox).isEmpty)
    #expect(try !FileSystem.exists(sandbox.pgdata))
  }

  @Test func concurrentRunsMakeOneCluster() throws {
    let sandbox = try Sandbox()
    let children = try (0..<4).map { _ in try sandbox.start("init") }
    for child in children { #expect(Harness.finish(child, seconds: 30) == .exited(0), "\(child.output())") }
    #expect(children.filter { $0.output().contains("made the cluster") }.count == 1)
  }

  @Test func noSpaceIsSaidBeforeAnythingIsMade() throws {
    guard Harness.isRoot, let sandbox = try? Sandbox() else { return }
    try FileSystem.makeDirectories(sandbox.volume, mode: 0o755)
    let mounted = try Harness.run("/bin/mount", ["-t", "tmpfs", "-o", "size=40m", "tmpfs", sandbox.volume])
    guard mounted.ending == .exited(0) else { return }
    defer { _ = try? Harness.run("/bin/umount", ["-l", sandbox.volume]) }
    let result = try sandbox.hive("init")
    #expect(result.ending == .exited(77), "\(result.output)")
    #expect(try entries(sandbox).isEmpty)
  }

  @Test(arguments: [true, false]) func aDirectoryThatCannotBeRenamedIsFilled(_ isVolume: Bool) throws {
    let sandbox = try Sandbox()
    if isVolume {
      sandbox.environment["PGDATA"] = sandbox.volume
    } else {
      try FileSystem.makeDirectories(sandbox.root + "/elsewhere", mode: 0o755)
      try FileSystem.makeDirectories(sandbox.volume, mode: 0o755)
      #expect(symlink(sandbox.root + "/elsewhere", sandbox.pgdata) == 0)
    }
    let result = try sandbox.hive("init")
    #expect(result.ending == .exited(0), "\(result.output)")
    let directory = isVolume ? sandbox.volume : sandbox.root + "/elsewhere"
    #expect(try FileSystem.exists(directory + "/PG_VERSION"))
    #expect(try !FileSystem.exists(directory + "/.hivesup-init"))
    #expect(try FileSystem.status(directory)?.permissions == 0o700)
    #expect(try sandbox.hive("init").output.contains("has the cluster"))
  }

  @Test func aMoveThatWasCutShortIsFinished() throws {
    let sandbox = try Sandbox()
    sandbox.environment["PGDATA"] = sandbox.volume
    #expect(try sandbox.hive("init").ending == .exited(0))
    let made = try #require(try state(sandbox))
    // As after a kill in the middle: some entries are still in the staging directory, PG_VERSION among them.
    let staging = sandbox.volume + "/.hivesup-init"
    let owner = try #require(try FileSystem.status(sandbox.volume)?.owner)
    try FileSystem.makeDirectories(staging, mode: 0o700)
    for name in ["PG_VERSION", "base", "pg_wal"] { rename(sandbox.volume + "/" + name, staging + "/" + name) }
    chown(staging, owner, gid_t.max)
    var cut = made
    cut.phase = .installing
    try cut.write(sandbox.volume + "/.hivesup/state.json")
    chown(sandbox.volume + "/.hivesup/state.json", owner, gid_t.max)
    let result = try sandbox.hive("init")
    #expect(result.ending == .exited(0), "\(result.output)")
    #expect(try state(sandbox) == made)
    #expect(try !FileSystem.exists(staging))
  }
}
