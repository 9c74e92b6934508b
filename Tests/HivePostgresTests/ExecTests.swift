import Glibc
import Testing

@testable import HivePostgresCore

/// `hive-postgres exec` with the real server: what is in the way of a start, and what comes of it.
@Suite(.enabled(if: Harness.hasPostgres, Harness.needsPostgres), .serialized)
struct ExecTests {
  @Test func theServerTakesOverTheProcess() throws {
    let sandbox = try Sandbox()
    sandbox.environment["HIVE_DB_PASSWORD"] = "never to be seen"
    sandbox.environment["POSTGRES_PASSWORD"] = "neither is this one"
    sandbox.environment["POSTGRES_WORK_MEM"] = "8MB"
    let server = try sandbox.serve()
    #expect(FileSystem.linkTarget("/proc/\(server.pid)/exe").map(Path.name) == "postgres")
    let arguments = try FileSystem.readText("/proc/\(server.pid)/cmdline") ?? ""
    let environment = try FileSystem.readText("/proc/\(server.pid)/environ") ?? ""
    for secret in ["never to be seen", "neither is this one"] {
      #expect(!arguments.contains(secret))
      #expect(!environment.contains(secret))
      #expect(!server.output().contains(secret))
    }
    #expect(environment.contains("PG_OOM_ADJUST_VALUE=300"))
    #expect(try sandbox.sql("SELECT current_setting('work_mem')") == "8MB")
    #expect(
      try sandbox.sql("SELECT current_setting('shared_buffers') || ' ' || current_setting('max_connections')")
        == "128MB 100")
    #expect(
      try sandbox.sql(
        "SELECT string_agg(auth_method || coalesce(' ' || address, ''), ',' ORDER BY line_number) FROM pg_hba_file_rules"
      )
        == "scram-sha-256,peer,scram-sha-256 127.0.0.1,scram-sha-256 ::1")
    #expect(try sandbox.sql("SELECT count(*) FROM pg_hba_file_rules WHERE error IS NOT NULL") == "0")
    #expect(try sandbox.sql("SELECT count(*) FROM pg_ident_file_mappings WHERE error IS NOT NULL") == "0")
    // Backends are the ones to go when memory is short.
    let backend = try sandbox.sql("SELECT pg_backend_pid(), pg_sleep(0)").split(separator: "|").first ?? ""
    #expect(!backend.isEmpty)
    #expect(sandbox.stop(server) == .exited(0))
    #expect(try sandbox.controlState()?.state == "shut down")
  }

  @Test func anAdjustmentForTheMemoryKillerThatIsGivenIsKept() throws {
    let sandbox = try Sandbox()
    #expect(try sandbox.hive("init").ending == .exited(0))
    let given = [
      "PG_OOM_ADJUST_FILE": "/proc/self/oom_score_adj", "PG_OOM_ADJUST_VALUE": "471", "PGSERVICE": "nowhere",
    ]
    let server = try sandbox.startServer(given)
    let environment = (try FileSystem.readText("/proc/\(server.pid)/environ") ?? "").split(separator: "\0")
    #expect(environment.contains("PG_OOM_ADJUST_VALUE=471"))
    #expect(environment.contains("PG_OOM_ADJUST_FILE=/proc/self/oom_score_adj"))
    #expect(!environment.contains { $0.hasPrefix("PGSERVICE=") })
    #expect(sandbox.stop(server) == .exited(0))
    let other = try sandbox.startServer(["PG_OOM_ADJUST_FILE": "", "PG_OOM_ADJUST_VALUE": ""])
    let usual = (try FileSystem.readText("/proc/\(other.pid)/environ") ?? "").split(separator: "\0")
    #expect(usual.contains("PG_OOM_ADJUST_FILE=/proc/self/oom_score_adj"))
    #expect(!usual.contains("PG_OOM_ADJUST_VALUE="))
  }

  @Test func tcpWantsThePassword() throws {
    let sandbox = try Sandbox()
    try sandbox.serve()
    let result = try Harness.run(
      (Harness.bindir ?? "") + "/psql",
      ["-h", "127.0.0.1", "-p", String(sandbox.port), "-U", "postgres", "-w", "-c", "SELECT 1", "postgres"])
    #expect(result.ending == .exited(2))
    #expect(result.output.contains("no password supplied"), "\(result.output)")
  }

  @Test func withoutAClusterItSaysWhatToRun() throws {
    let sandbox = try Sandbox()
    let result = try sandbox.hive("exec")
    #expect(result.ending == .exited(78), "\(result.output)")
    #expect(result.output.contains("run hive-postgres init first"))
  }

  @Test func aSecondServerIsRefused() throws {
    let sandbox = try Sandbox()
    let server = try sandbox.serve()
    let result = try sandbox.hive("exec", ["HIVE_LOCK_TIMEOUT": "1"])
    #expect(result.ending == .exited(75), "\(result.output)")
    #expect(result.output.contains("(process \(server.pid))"), "\(result.output)")
    #expect(try sandbox.hive("init").ending == .exited(0))
    #expect(try sandbox.sql("SELECT 1") == "1")
  }

  /// Lock files that stop PostgreSQL, and must not.
  @Test(arguments: ["empty", "garbage", "negative", "sleep", "zombie", "free", "negative-sleep", "socket"])
  func staleLockFilesAreNoObstacle(_ kind: String) throws {
    let sandbox = try Sandbox()
    #expect(try sandbox.hive("init").ending == .exited(0))
    let owner = try #require(try FileSystem.status(sandbox.pgdata)?.owner)
    // A process of the server's own user, which PostgreSQL takes for a postmaster.
    let setpriv = ["--reuid=\(owner)", "--clear-groups", "/bin/sleep", "60"]
    let sleeper = try Child(
      Harness.isRoot ? "/usr/bin/setpriv" : "/bin/sleep", Harness.isRoot ? setpriv : ["60"], environment: [:],
      deathSignal: 0)
    defer { if kind != "zombie" { sleeper.kill() } }
    usleep(20000)
    let rest = "\n\(sandbox.pgdata)\n1700000000\n5432\n/tmp\nlocalhost\n  1 1\nready   \n"
    let content: String
    switch kind {
    case "empty": content = ""
    case "garbage": content = "postgres\n"
    case "negative": content = "-4194303" + rest
    case "sleep": content = "\(sleeper.pid)" + rest
    case "negative-sleep": content = "-\(sleeper.pid)" + rest
    case "zombie":
      kill(sleeper.pid, SIGKILL)
      #expect(Harness.eventually { ProcessTable.info(sleeper.pid)?.isDead == true })
      content = "\(sleeper.pid)" + rest
    default: content = "4194303" + rest
    }
    let path = kind == "socket" ? "\(sandbox.run)/.s.PGSQL.\(sandbox.port).lock" : sandbox.pgdata + "/postmaster.pid"
    try sandbox.write(path, kind == "socket" ? "\(sleeper.pid)" + rest : content, mode: 0o600)
    chown(path, owner, gid_t.max)
    let server = try sandbox.startServer()
    #expect(try sandbox.sql("SELECT 1") == "1")
    if kind == "sleep" || kind == "socket" { #expect(server.output().contains("is sleep"), "\(server.output())") }
    if kind == "zombie" { _ = sleeper.poll() }
  }

  /// A CPU-bound backend survives its postmaster and holds shared memory and lock.
  @Test func survivorsOfAKilledServerAreEnded() throws {
    let sandbox = try Sandbox()
    let server = try sandbox.serve()
    _ = try sandbox.sql("CREATE TABLE t AS SELECT 1 AS x")
    let client = try Child(
      (Harness.bindir ?? "") + "/psql",
      [
        "-h", sandbox.run, "-p", String(sandbox.port), "-U", "postgres", "-c", "DO $$ BEGIN LOOP END LOOP; END $$",
        "postgres",
      ],
      environment: [:], deathSignal: 0)
    defer { client.kill() }
    #expect(
      try Harness.eventually {
        try sandbox.sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DO%' AND state = 'active'") == "1"
      })
    kill(server.pid, SIGKILL)
    _ = Harness.finish(server, seconds: 5)
    usleep(100_000)
    #expect(try !sandbox.servers().isEmpty)
    let next = try sandbox.startServer()
    #expect(try sandbox.sql("SELECT x FROM t") == "1")
    #expect(next.output().contains("ending what an earlier run left"), "\(next.output())")
    #expect(try sandbox.servers().filter { $0 == next.pid }.count == 1)
  }

  @Test func noRoomForWALMeansStatus77AndTheBallastBuysOneStart() throws {
    guard Harness.isRoot else { return }
    let sandbox = try Sandbox()
    try FileSystem.makeDirectories(sandbox.volume, mode: 0o755)
    let mounted = try Harness.run("/bin/mount", ["-t", "tmpfs", "-o", "size=400m", "tmpfs", sandbox.volume])
    guard mounted.ending == .exited(0) else { return }
    defer { _ = try? Harness.run("/bin/umount", ["-l", sandbox.volume]) }
    sandbox.environment["HIVE_BALLAST_MB"] = "60"
    let server = try sandbox.serve()
    #expect(try FileSystem.status(sandbox.volume + "/.hivesup/ballast")?.size == 60 << 20)
    #expect(sandbox.stop(server) == .exited(0))
    // Fill the disk to the last block.
    let filler = sandbox.volume + "/filler"
    _ = try Harness.run("/bin/sh", ["-c", "head -c 1000M /dev/zero > \(filler)"])
    let second = try sandbox.startServer()
    #expect(second.output().contains("giving up 60 MB of ballast"), "\(second.output())")
    #expect(sandbox.stop(second) == .exited(0))
    _ = try Harness.run("/bin/sh", ["-c", "head -c 1000M /dev/zero > \(filler)2"])
    let refused = try sandbox.hive("exec")
    #expect(refused.ending == .exited(77), "\(refused.output)")
    #expect(try sandbox.controlState()?.state == "shut down")
    try FileSystem.remove(filler)
    try FileSystem.remove(filler + "2")
    let third = try sandbox.startServer()
    #expect(try FileSystem.exists(sandbox.volume + "/.hivesup/ballast"))
    #expect(sandbox.stop(third) == .exited(0))
  }

  /// As below PID 1, which would give up after some attempts that all end in the same way.
  @Test func aStartWithoutRoomWaitsForIt() throws {
    guard Harness.isRoot else { return }
    let sandbox = try Sandbox()
    try FileSystem.makeDirectories(sandbox.volume, mode: 0o755)
    let mounted = try Harness.run("/bin/mount", ["-t", "tmpfs", "-o", "size=300m", "tmpfs", sandbox.volume])
    guard mounted.ending == .exited(0) else { return }
    defer { _ = try? Harness.run("/bin/umount", ["-l", sandbox.volume]) }
    #expect(sandbox.stop(try sandbox.serve()) == .exited(0))
    let filler = sandbox.volume + "/filler"
    _ = try Harness.run("/bin/sh", ["-c", "head -c 1000M /dev/zero > \(filler)"])
    // For a while: the status is that of a start that does not wait.
    let refused = try sandbox.hive("exec", ["HIVE_SPACE_TIMEOUT": "1"])
    #expect(refused.ending == .exited(77), "\(refused.output)")
    #expect(refused.output.contains("It starts by itself when there is room"), "\(refused.output)")
    // A stop signal ends it, at once.
    let stopped = try sandbox.start("exec", ["HIVE_SPACE_TIMEOUT": "600"])
    #expect(Harness.eventually { stopped.output().contains("when there is room") })
    #expect(sandbox.stop(stopped) == .exited(130), "\(stopped.output())")
    // For ever, where PID 1 has a socket, though nobody answers there.
    let waiting = try sandbox.start("exec", ["HIVESUP_SOCKET": sandbox.root + "/none.sock"])
    #expect(Harness.eventually { waiting.output().contains("when there is room") })
    usleep(1_200_000)
    #expect(waiting.poll() == nil)
    #expect(try sandbox.servers().isEmpty)
    try FileSystem.remove(filler)
    #expect(Harness.eventually { (try? sandbox.sql("SELECT 1")) == "1" }, "\(waiting.output())")
    #expect(waiting.output().contains("there is room again after"), "\(waiting.output())")
    #expect(sandbox.stop(waiting) == .exited(0))
  }

  @Test func anotherServersSocketIsLeftAlone() throws {
    let first = try Sandbox()
    try first.serve()
    let second = try Sandbox()
    second.environment["HIVE_RUN_DIR"] = first.run
    second.environment["HIVE_PG_PORT"] = String(first.port)
    #expect(try second.hive("init").ending == .exited(0))
    let refused = try second.hive("exec")
    #expect(refused.ending == .exited(75), "\(refused.output)")
    #expect(try first.sql("SELECT 1") == "1")
  }

  @Test func bindirSaysWhatItTried() throws {
    let sandbox = try Sandbox()
    sandbox.environment["HIVE_PG_BINDIR"] = nil
    sandbox.environment["HIVE_PG_WHEEL"] = sandbox.root + "/nothing"
    let found = try sandbox.hive("bindir")
    if found.ending == .exited(0) {
      // This machine has a packaged one.
      #expect(found.output.hasPrefix("/usr/lib/postgresql/"))
    } else {
      #expect(found.ending == .exited(73))
      #expect(found.output.contains(sandbox.root + "/nothing: no such directory"), "\(found.output)")
      #expect(found.output.contains("/usr/lib/postgresql/"), "\(found.output)")
      sandbox.environment["HIVE_PG_WHEEL"] = Harness.bindir
      #expect(try sandbox.hive("bindir").output == (Harness.bindir ?? "") + "\n")
    }
    #expect(try sandbox.hive("init", ["HIVE_PG_BINDIR": "/bin"]).output.contains("/bin: postgres: No such file"))
  }

  @Test func theCommandLineIsOneWord() throws {
    for arguments in [[], ["start"], ["init", "now"], ["--version"]] {
      let result = try Harness.run(Harness.hivePostgres, arguments)
      #expect(result.ending == .exited(64))
      #expect(result.output.contains("init, exec, migrate, monitor, bindir"), "\(result.output)")
    }
    #expect(try Harness.run(Harness.hivePostgres, ["--help"]).output.contains("usage: hive-postgres COMMAND"))
  }

  @Test func anEditedHbaThatTrustsIsRefused() throws {
    let sandbox = try Sandbox()
    let etc = sandbox.root + "/etc"
    for name in ["postgresql.conf", "pg_hba.conf", "pg_ident.conf"] {
      try sandbox.write(etc + "/" + name, try FileSystem.readText(Sandbox.etc("genie") + "/" + name) ?? "")
    }
    #expect(try sandbox.hive("init").ending == .exited(0))
    try sandbox.write(etc + "/pg_hba.conf", "local all all trust\n")
    let result = try sandbox.hive("exec", ["HIVE_ETC": etc])
    #expect(result.ending == .exited(78), "\(result.output)")
    #expect(result.output.contains("line 1 lets clients in by 'trust'"))
  }
}

/// Clusters that others made.
@Suite(.enabled(if: Harness.hasPostgres, Harness.needsPostgres), .serialized)
struct AdoptionTests {
  func owner(_ sandbox: Sandbox) -> (uid: uid_t, gid: gid_t) {
    guard Harness.isRoot, let entry = getpwnam("postgres") else { return (getuid(), getgid()) }
    return (entry.pointee.pw_uid, entry.pointee.pw_gid)
  }

  /// initdb as the server's user would run it.
  func makeCluster(_ directory: String, _ sandbox: Sandbox, _ arguments: [String] = []) throws {
    try FileSystem.makeDirectories(directory, mode: 0o700)
    let (uid, gid) = owner(sandbox)
    chown(directory, uid, gid)
    let initdb =
      [(Harness.bindir ?? "") + "/initdb", "-D", directory, "--no-sync", "--locale=C.UTF-8", "-E", "UTF8"] + arguments
    let result =
      Harness.isRoot
      ? try Harness.run("/usr/bin/setpriv", ["--reuid=\(uid)", "--regid=\(gid)", "--clear-groups"] + initdb)
      : try Harness.run(initdb[0], Array(initdb.dropFirst()))
    guard result.ending == .exited(0) else { throw Failure(.software, result.output) }
  }

  @Test(arguments: ["pgdata", ""]) func aForeignClusterIsTakenOverAsItIs(_ place: String) throws {
    let sandbox = try Sandbox()
    let directory = place.isEmpty ? sandbox.volume : sandbox.pgdata
    try FileSystem.makeDirectories(sandbox.volume, mode: 0o755)
    chown(sandbox.volume, owner(sandbox).uid, owner(sandbox).gid)
    try makeCluster(directory, sandbox, ["-U", "claude user", "--auth=trust"])
    chmod(directory, 0o755)
    try sandbox.write(sandbox.root + "/initdb.d/1.sql", "CREATE TABLE never (x int)")
    let result = try sandbox.hive("init")
    #expect(result.ending == .exited(0), "\(result.output)")
    #expect(result.output.contains("superuser claude user"), "\(result.output)")
    #expect(try InstallationState.read(sandbox.volume + "/.hivesup/state.json")?.phase == .adopted)
    #expect(try FileSystem.status(directory)?.permissions == 0o700)
    let server = try sandbox.start("exec")
    let migrated = try sandbox.hive("migrate")
    #expect(migrated.ending == .exited(0), "\(migrated.output) \(server.output())")
    #expect(try sandbox.sql("SELECT count(*) FROM pg_class WHERE relname = 'never'", user: "claude user") == "0")
    #expect(
      try sandbox.sql("SELECT count(*) FROM pg_hba_file_rules WHERE auth_method = 'trust'", user: "claude user") == "0")
    #expect(try sandbox.sql("SELECT count(*) FROM genie_sessions", user: "hive", database: "hive_genie") == "0")
  }

  @Test func rootGivesTheClusterOfAnotherUserToTheServersUser() throws {
    guard Harness.isRoot else { return }
    let sandbox = try Sandbox()
    try makeCluster(sandbox.pgdata, sandbox)
    try FileSystem.changeOwner(tree: sandbox.pgdata, to: 0, group: 0)
    let result = try sandbox.hive("init")
    #expect(result.ending == .exited(0), "\(result.output)")
    #expect(try FileSystem.status(sandbox.pgdata + "/base/1/PG_VERSION")?.owner == owner(sandbox).uid)
  }

  @Test func anOrdinaryUserIsToldTheChownLine() throws {
    guard Harness.isRoot else { return }
    let sandbox = try Sandbox()
    try FileSystem.makeDirectories(sandbox.volume, mode: 0o755)
    let (uid, gid) = owner(sandbox)
    let result = try Harness.run(
      "/usr/bin/setpriv", ["--reuid=\(uid)", "--regid=\(gid)", "--clear-groups", Harness.hivePostgres, "init"],
      sandbox.environment)
    #expect(result.ending == .exited(73), "\(result.output)")
    #expect(result.output.contains("chown -R \(uid):\(gid) \(sandbox.volume)"), "\(result.output)")
  }

  @Test func aVolumeOutOfReachIsNamedWithItsClosedDirectory() throws {
    guard Harness.isRoot else { return }
    let sandbox = try Sandbox()
    try FileSystem.makeDirectories(sandbox.root + "/closed", mode: 0o700)
    let result = try sandbox.hive("init", ["HIVE_DATA": sandbox.root + "/closed/v"])
    #expect(result.ending == .exited(73), "\(result.output)")
    #expect(result.output.contains("may not enter \(sandbox.root)/closed"), "\(result.output)")
  }

  @Test func anotherMajorVersionIsRefusedWithTheRemedy() throws {
    let sandbox = try Sandbox()
    try makeCluster(sandbox.pgdata, sandbox)
    let (uid, gid) = owner(sandbox)
    try sandbox.write(sandbox.pgdata + "/PG_VERSION", "14\n")
    chown(sandbox.pgdata + "/PG_VERSION", uid, gid)
    let result = try sandbox.hive("init")
    #expect(result.ending == .exited(78), "\(result.output)")
    #expect(result.output.contains("HIVE_PG_BINDIR") && result.output.contains("pg_dumpall"), "\(result.output)")
  }

  @Test func aBrokenClusterIsMovedAsideOnRequestOnly() throws {
    let sandbox = try Sandbox()
    try makeCluster(sandbox.pgdata, sandbox)
    try FileSystem.remove(sandbox.pgdata + "/global/pg_control")
    chown(sandbox.volume, owner(sandbox).uid, owner(sandbox).gid)
    #expect(try sandbox.hive("init").ending == .exited(78))
    #expect(try FileSystem.exists(sandbox.pgdata + "/base/1/PG_VERSION"))
    let result = try sandbox.hive("init", ["HIVESUP_QUARANTINE": "1"])
    #expect(result.ending == .exited(0), "\(result.output)")
    #expect(try FileSystem.list(sandbox.volume).contains { $0.hasPrefix("pgdata.broken-") })
    #expect(try sandbox.controlState()?.isShutDown == true)
  }

  @Test func aCrashedClusterWithAStaleLockFileIsRecovered() throws {
    let sandbox = try Sandbox()
    let server = try sandbox.serve()
    _ = try sandbox.sql("CREATE TABLE t AS SELECT 7 AS x")
    kill(server.pid, SIGKILL)
    _ = Harness.finish(server, seconds: 5)
    #expect(Harness.eventually { (try? sandbox.servers().isEmpty) ?? false })
    try FileSystem.remove(sandbox.volume + "/.hivesup/state.json")
    let result = try sandbox.hive("init")
    #expect(result.ending == .exited(0), "\(result.output)")
    #expect(result.output.contains("was not shut down"))
    _ = try sandbox.startServer()
    #expect(try sandbox.sql("SELECT x FROM t") == "7")
  }
}
