import Glibc
import Testing

@testable import HivePostgresCore

/// `docker run --user 45001:0`: a number that no database of this system has.
@Suite(.enabled(if: Harness.hasPostgres, Harness.needsPostgres), .serialized)
struct ArbitraryUserTests {
  /// The volume and the socket directory as the image has them: of group 0, which may write.
  func sandbox() throws -> Sandbox {
    let sandbox = try Sandbox()
    for directory in [sandbox.volume, sandbox.run] {
      try FileSystem.makeDirectories(directory, mode: 0o775)
      chown(directory, 1000, 0)
      chmod(directory, 0o2775)
    }
    sandbox.user = VolumeTests.ours
    return sandbox
  }

  @Test(.enabled(if: VolumeTests.canBeOthers, VolumeTests.needsRoot)) func everyCommandWorksWithoutAName() throws {
    let sandbox = try sandbox()
    // Scripts and the server of the first start need names too.
    sandbox.environment["POSTGRES_DB"] = "shop"
    try sandbox.write(sandbox.root + "/initdb.d/1.sh", "psql -qc \"CREATE TABLE who AS SELECT '$(id -un)' AS name\"\n")
    let made = try sandbox.hive("init")
    #expect(made.ending == .exited(0), "\(made.output)")
    for start in 1...2 {
      let server = try sandbox.startServer()
      let migrated = try sandbox.hive("migrate")
      #expect(migrated.ending == .exited(0), "\(start): \(migrated.output)")
      let monitor = try sandbox.start("monitor")
      #expect(
        Harness.eventually { monitor.output().contains("the database is well") }, "\(start): \(monitor.output())")
      kill(monitor.pid, SIGTERM)
      #expect(Harness.finish(monitor, seconds: 5) == .exited(0))
      // As the same number, and as root, who has a name; another number has none, and gets nowhere.
      for (user, succeeds) in [(VolumeTests.ours, true), ((0, 0), true), ((45002, 0), false)]
        as [((uid_t, gid_t), Bool)]
      {
        sandbox.user = (user.0, user.1)
        let words = ["\(Harness.bindir ?? "")/psql", "-XAtq", "-h", sandbox.run, "-p", "\(sandbox.port)", "-U", "hive"]
        let result = try sandbox.run(words + ["-c", "SELECT current_user", "hive_genie"])
        #expect((result.output == "hive\n") == succeeds, "\(user): \(result.output)")
      }
      sandbox.user = VolumeTests.ours
      #expect(try sandbox.sql("SELECT name FROM who", database: "shop") == "uid45001")
      #expect(sandbox.stop(server) == .exited(0), "\(server.output())")
      #expect(try sandbox.controlState()?.state == "shut down")
    }
    let files = sandbox.volume + "/.hivesup/server"
    let ident = try FileSystem.readText(files + "/pg_ident.conf") ?? ""
    #expect(ident.contains("hive \"uid45001\" \"postgres\"\n"), "\(ident)")
    let passwd = try FileSystem.readText(files + "/passwd") ?? ""
    #expect(passwd.hasPrefix(try FileSystem.readText("/etc/passwd") ?? "?"))
    #expect(passwd.contains("\nuid45001:x:45001:0:"), "\(passwd)")
    #expect(try FileSystem.status(files + "/passwd")?.permissions == 0o644)
  }

  @Test(.enabled(if: Harness.isRoot, VolumeTests.needsRoot)) func withoutTheLibraryTheRemedyIsNamed() throws {
    let sandbox = try sandbox()
    let before = try sandbox.fingerprint()
    let result = try sandbox.hive("init", ["HIVE_NSS_WRAPPER": sandbox.root + "/nothing.so"])
    #expect(result.ending == .exited(73), "\(result.output)")
    for word in ["45001", "/etc/passwd", "libnss-wrapper", "--user hive", sandbox.root + "/nothing.so"] {
      #expect(result.output.contains(word), "\(word): \(result.output)")
    }
    #expect(try sandbox.fingerprint() == before)
  }

  @Test func theFilesAreTheSystemsAndOneLine() throws {
    let sandbox = try Sandbox()
    try sandbox.write(sandbox.root + "/system/etc/passwd", "root:x:0:0::/root:/bin/sh")
    try sandbox.write(sandbox.root + "/system/etc/group", "root:x:0:\n")
    try sandbox.write(sandbox.root + "/system/lib/mips-linux-gnu/libnss_wrapper.so", "")
    var user = try ServiceUser.named("12345:77")
    user.home = "/a:b"
    let database = try UserDatabase(
      library: nil, directory: sandbox.root + "/server", user: user, systemRoot: sandbox.root + "/system")
    #expect(database.library == sandbox.root + "/system/lib/mips-linux-gnu/libnss_wrapper.so")
    try database.write(user, systemRoot: sandbox.root + "/system")
    #expect(
      try FileSystem.readText(database.passwd)
        == "root:x:0:0::/root:/bin/sh\nuid12345:x:12345:77:hivesup:/ab:/bin/sh\n")
    #expect(try FileSystem.readText(database.group) == "root:x:0:\nuid12345:x:77:\n")
    user.group = 0
    try database.write(user, systemRoot: sandbox.root + "/system")
    #expect(try FileSystem.readText(database.group) == "root:x:0:\n")
    var environment = ["LD_PRELOAD": "/lib/libjemalloc.so"]
    database.apply(to: &environment)
    #expect(environment["LD_PRELOAD"] == "\(database.library):/lib/libjemalloc.so")
    #expect(environment["NSS_WRAPPER_PASSWD"] == database.passwd)
    #expect(environment["NSS_WRAPPER_GROUP"] == database.group)
  }
}
