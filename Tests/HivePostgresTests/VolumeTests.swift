import Glibc
import Testing

@testable import HivePostgresCore

/// Volumes that others made, in every state: adopted, or refused with the command that mends it and with nothing changed.
@Suite(.enabled(if: Harness.hasPostgres, Harness.needsPostgres), .serialized)
struct VolumeTests {
  /// Numbers that no user of this machine needs to have: the container's and the official image's.
  static let ours: (uid: uid_t, gid: gid_t) = (45001, 0)
  static let theirs: (uid: uid_t, gid: gid_t) = (45999, 45999)
  static let hasWrapper = UserDatabase.candidates("/").contains { access($0, R_OK) == 0 }

  /// Directories with another major version's initdb: Debian's packages and the wheel's second server.
  static let otherServers: [String] = {
    var found = ((try? FileSystem.list("/usr/lib/postgresql")) ?? []).map { "/usr/lib/postgresql/\($0)/bin" }
    found.append(Path.absolute("../../pginstall18/bin", from: Harness.bindir ?? "/"))
    let own = version(Harness.bindir ?? "")
    return found.filter { access("\($0)/initdb", X_OK) == 0 && version($0) != own }
  }()

  static func version(_ directory: String) -> Int? {
    guard let result = try? Harness.run("\(directory)/postgres", ["--version"]) else { return nil }
    return Int(result.output.drop { !$0.isNumber }.prefix { $0.isNumber })
  }

  /// A volume of another image: a directory of `owner`'s in which `place` is a cluster with a database, a role and another superuser.
  func foreignVolume(
    _ place: String, owner: (uid: uid_t, gid: gid_t), bindir: String? = nil, content: Bool = true
  ) throws -> Sandbox {
    let sandbox = try Sandbox()
    let bindir = bindir ?? Harness.bindir ?? ""
    try FileSystem.makeDirectories(sandbox.volume, mode: 0o755)
    chown(sandbox.volume, owner.uid, owner.gid)
    let directory = place.isEmpty ? sandbox.volume : "\(sandbox.volume)/\(place)"
    sandbox.user = owner
    let made = try sandbox.run(["/bin/mkdir", "-p", directory])
    #expect(made.ending == .exited(0), "\(made.output)")
    guard VolumeTests.hasWrapper else { throw Failure(.software, "libnss-wrapper is not installed") }
    let database = try UserDatabase(
      library: nil, directory: sandbox.root, user: ServiceUser.named("\(owner.uid):\(owner.gid)"))
    try database.write(ServiceUser.named("\(owner.uid):\(owner.gid)"))
    var environment = ["LC_ALL": "C"]
    database.apply(to: &environment)
    let variables = ["/usr/bin/env"] + environment.map { "\($0)=\($1)" }
    let result = try sandbox.run(
      variables + [
        "\(bindir)/initdb", "-D", directory, "-N", "-U", "claude", "--auth-host=scram-sha-256", "--auth-local=trust",
        "-E",
        "UTF8", "--locale=C",
      ])
    guard result.ending == .exited(0) else { throw Failure(.software, result.output) }
    if content {
      let sql = "CREATE ROLE shopkeeper LOGIN; CREATE DATABASE shop OWNER shopkeeper;"
      let input = sandbox.root + "/sql"
      try sandbox.write(input, sql.split(separator: ";").map { "\($0);" }.joined(separator: "\n") + "\n")
      let filled = try sandbox.run(
        variables + ["/bin/sh", "-c", "\(bindir)/postgres --single -D \(directory) -F postgres < \(input)"])
      guard filled.ending == .exited(0) else { throw Failure(.software, filled.output) }
    }
    sandbox.user = nil
    return sandbox
  }

  static let needsRoot: Comment = "only root can be two users, and libnss-wrapper gives them names"
  static let canBeOthers = Harness.isRoot && hasWrapper

  // MARK: Owners

  @Test(.enabled(if: Harness.isRoot, needsRoot)) func aVolumeOfRootIsRefusedAndOwnMendsIt() throws {
    let sandbox = try Sandbox()
    try FileSystem.makeDirectories(sandbox.volume, mode: 0o755)
    let before = try sandbox.fingerprint()
    sandbox.user = VolumeTests.ours
    guard VolumeTests.hasWrapper else { return }
    let refused = try sandbox.hive("init")
    #expect(refused.ending == .exited(73), "\(refused.output)")
    #expect(refused.output.contains("it belongs to user 0, and this is user 45001"), "\(refused.output)")
    #expect(
      refused.output.contains("chown -R 45001:0 \(sandbox.volume)")
        || refused.output.contains("hive-postgres own 45001:0"))
    #expect(try sandbox.fingerprint() == before)
    // Who is not root cannot mend it either, and is told so.
    let powerless = try sandbox.hive("own 45001:0")
    #expect(powerless.ending == .exited(73), "\(powerless.output)")
    sandbox.user = nil
    let owned = try sandbox.hive("own 45001:0")
    #expect(owned.ending == .exited(0), "\(owned.output)")
    sandbox.user = VolumeTests.ours
    try FileSystem.makeDirectories(sandbox.run, mode: 0o755)
    chown(sandbox.run, VolumeTests.ours.uid, 0)
    let made = try sandbox.hive("init")
    #expect(made.ending == .exited(0), "\(made.output)")
  }

  @Test(
    .enabled(if: canBeOthers, needsRoot),
    arguments: [("", "root"), ("", "owner"), ("", "own"), ("MAJOR/docker", "own"), ("pgdata", "own"), ("data", "root")])
  func theOfficialImagesClusterIsAdoptedByRootOrByItsOwner(_ layout: String, _ starter: String) throws {
    let place = layout.replacingMajor(VolumeTests.version(Harness.bindir ?? "") ?? 0)
    let sandbox = try foreignVolume(place, owner: VolumeTests.theirs)
    try FileSystem.makeDirectories(sandbox.run, mode: 0o777)
    chmod(sandbox.run, 0o777)
    switch starter {
    case "root": break
    case "owner": sandbox.user = VolumeTests.theirs
    default:
      // Another user: refused with nothing changed, and well after `own`.
      sandbox.user = VolumeTests.ours
      let before = try sandbox.fingerprint()
      let refused = try sandbox.hive("init")
      #expect(refused.ending == .exited(73), "\(refused.output)")
      #expect(refused.output.contains("belongs to user 45999, and this is user 45001"), "\(refused.output)")
      #expect(try sandbox.fingerprint() == before)
      sandbox.user = nil
      #expect(try sandbox.hive("own 45001:0").ending == .exited(0))
      sandbox.user = VolumeTests.ours
    }
    let adopted = try sandbox.hive("init")
    #expect(adopted.ending == .exited(0), "\(starter): \(adopted.output)")
    #expect(adopted.output.contains("superuser claude"), "\(adopted.output)")
    let directory = place.isEmpty ? sandbox.volume : "\(sandbox.volume)/\(place)"
    let server = try sandbox.start("exec")
    let migrated = try sandbox.hive("migrate")
    #expect(migrated.ending == .exited(0), "\(migrated.output) \(server.output())")
    #expect(
      try sandbox.sql(
        "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'shop'", user: "claude") == "shopkeeper")
    #expect(try sandbox.sql("SELECT rolsuper FROM pg_roles WHERE rolname = 'claude'", user: "claude") == "t")
    #expect(try sandbox.sql("SELECT count(*) FROM genie_sessions", user: "hive", database: "hive_genie") == "0")
    #expect(
      try sandbox.sql("SELECT setting FROM pg_settings WHERE name = 'data_directory'", user: "claude") == directory)
    #expect(sandbox.stop(server) == .exited(0), "\(server.output())")
    // Their own files are where they were; ours are read instead.
    #expect(try FileSystem.readText(directory + "/pg_hba.conf")?.contains("trust") == true)
    let again = try sandbox.hive("init")
    #expect(again.ending == .exited(0) && again.output.contains("has the cluster"), "\(again.output)")
  }

  /// Whose volume it is comes before what cannot be read in it.
  @Test(.enabled(if: canBeOthers, needsRoot)) func aPasswordFileInAnothersVolumeDoesNotHideTheRemedy() throws {
    let sandbox = try Sandbox()
    try sandbox.write(sandbox.volume + "/secret", "horse-battery")
    chown(sandbox.volume, VolumeTests.theirs.uid, VolumeTests.theirs.gid)
    chmod(sandbox.volume, 0o700)
    sandbox.user = VolumeTests.ours
    let refused = try sandbox.hive("init", ["HIVE_DB_PASSWORD_FILE": sandbox.volume + "/secret"])
    #expect(refused.ending == .exited(73), "\(refused.output)")
    #expect(refused.output.contains("belongs to user 45999, and this is user 45001"), "\(refused.output)")
    #expect(refused.output.contains("45001:0"), "\(refused.output)")
  }

  @Test(.enabled(if: canBeOthers, needsRoot)) func aDirectoryThatCannotBeLookedIntoIsForeign() throws {
    let sandbox = try Sandbox()
    try FileSystem.makeDirectories(sandbox.volume + "/data", mode: 0o755)
    chown(sandbox.volume, VolumeTests.ours.uid, VolumeTests.ours.gid)
    chown(sandbox.volume + "/data", VolumeTests.theirs.uid, VolumeTests.theirs.gid)
    chmod(sandbox.volume + "/data", 0o711)
    sandbox.user = VolumeTests.ours
    let refused = try sandbox.hive("init")
    #expect(refused.ending == .exited(78), "\(refused.output)")
    #expect(refused.output.contains("it is not empty (data) and has no cluster"), "\(refused.output)")
  }

  @Test(.enabled(if: canBeOthers, needsRoot)) func ownLeavesForeignFilesAlone() throws {
    let sandbox = try foreignVolume("pgdata", owner: VolumeTests.theirs, content: false)
    try sandbox.write(sandbox.volume + "/documents/letter", "dear")
    #expect(symlink("/etc/hostname", sandbox.pgdata + "/link") == 0)
    let result = try sandbox.hive("own 45001:0")
    #expect(result.ending == .exited(0), "\(result.output)")
    for (path, owner) in [
      ("", 45001), ("/pgdata", 45001), ("/pgdata/base/1/PG_VERSION", 45001), ("/documents", 0),
      ("/documents/letter", 0),
    ] as [(String, uid_t)] {
      #expect(try FileSystem.status(sandbox.volume + path)?.owner == owner, "\(path)")
    }
    #expect(try FileSystem.status("/etc/hostname")?.owner == 0)
    for (directory, status) in [("/tmp", 64), ("/no/such/volume", 73)] as [(String, Int32)] {
      let refused = try sandbox.hive("own 45001:0", ["HIVE_DATA": directory])
      #expect(refused.ending == .exited(status), "\(refused.output)")
    }
  }

  @Test(.enabled(if: canBeOthers, needsRoot)) func anotherUsersPrivateDirectoryIsNamed() throws {
    let sandbox = try Sandbox()
    try FileSystem.makeDirectories(sandbox.volume, mode: 0o755)
    chmod(sandbox.volume, 0o2775)
    try FileSystem.makeDirectories(sandbox.run, mode: 0o777)
    chmod(sandbox.run, 0o777)
    sandbox.user = VolumeTests.ours
    let made = try sandbox.hive("init")
    #expect(made.ending == .exited(0), "\(made.output)")
    // The same image with another --user of the same group: it may write V, and still cannot be this cluster's server.
    sandbox.user = (45002, 0)
    let refused = try sandbox.hive("init")
    #expect(refused.ending == .exited(73), "\(refused.output)")
    #expect(refused.output.contains("belongs to user 45001, and this is user 45002"), "\(refused.output)")
    sandbox.user = nil
    #expect(try sandbox.hive("own 45002:0").ending == .exited(0))
    sandbox.user = (45002, 0)
    #expect(try sandbox.hive("init").ending == .exited(0))
  }

  // MARK: Versions

  @Test(.enabled(if: canBeOthers && !otherServers.isEmpty, needsRoot), arguments: ["", "MAJOR/docker", "pgdata"])
  func anotherMajorVersionIsRefusedAndUntouched(_ layout: String) throws {
    for bindir in VolumeTests.otherServers {
      let version = try #require(VolumeTests.version(bindir))
      let sandbox = try foreignVolume(
        layout.replacingMajor(version), owner: VolumeTests.theirs, bindir: bindir, content: false)
      let before = try sandbox.fingerprint()
      for user in [nil, VolumeTests.theirs] {
        sandbox.user = user
        for command in ["init", "exec"] {
          let result = try sandbox.hive(command)
          #expect(result.ending == .exited(78), "\(result.output)")
          #expect(result.output.contains("PostgreSQL \(version) made it"), "\(result.output)")
          #expect(result.output.contains("pg_dumpall with version \(version)"), "\(result.output)")
          #expect(try sandbox.fingerprint() == before)
        }
      }
    }
  }

  // MARK: In use

  /// Another container's server: another PID and IPC namespace, no lock of ours, the same directory. As the official image, started
  /// on a volume that we are about to adopt.
  @Test(.enabled(if: canBeOthers, needsRoot)) func aServerOfAnotherNamespaceIsNoticed() throws {
    let sandbox = try foreignVolume("", owner: VolumeTests.theirs)
    let bindir = Harness.bindir ?? ""
    let socket = sandbox.root + "/theirs"
    try FileSystem.makeDirectories(socket, mode: 0o700)
    chown(socket, VolumeTests.theirs.uid, VolumeTests.theirs.gid)
    let ns = ["/usr/bin/unshare", "--pid", "--ipc", "--mount-proc", "--fork", "--kill-child"]
    let asThem = ["/usr/bin/setpriv", "--reuid=45999", "--regid=45999", "--clear-groups"]
    let postgres = ["\(bindir)/postgres", "-D", sandbox.volume, "-c", "listen_addresses=", "-k", socket]
    let server = try Child(
      ns[0], Array((ns + asThem + postgres).dropFirst()), environment: ["LC_ALL": "C"], deathSignal: 0)
    defer { server.kill() }
    #expect(
      Harness.eventually {
        (try? FileSystem.readText(sandbox.volume + "/postmaster.pid"))??.contains("ready") == true
      }, "\(server.output())")
    usleep(300_000)
    let before = try sandbox.fingerprint()
    try FileSystem.makeDirectories(sandbox.run, mode: 0o777)
    chmod(sandbox.run, 0o777)
    // Container by container: neither sees the other's processes.
    for (identity, command) in [([], "init"), (asThem, "init"), ([], "own 45001:0")] {
      let words = ns + identity + [Harness.hivePostgres] + command.split(separator: " ").map(String.init)
      let asked = ContinuousClock.now
      let result = try Harness.run(
        words[0], Array(words.dropFirst()), sandbox.environment.merging(["HIVE_LOCK_TIMEOUT": "1"]) { $1 })
      #expect(result.ending == .exited(75), "\(command): \(result.output)")
      #expect(result.output.contains("a server in another container has it open"), "\(command): \(result.output)")
      #expect((.seconds(1)...(.seconds(5))).contains(ContinuousClock.now - asked))
      #expect(try sandbox.fingerprint() == before, "\(command)")
    }
    // From where its processes can be seen: named, and left alone.
    let seen = try sandbox.hive("init")
    #expect(seen.ending == .exited(75) && seen.output.contains("serves it"), "\(seen.output)")
    #expect(try sandbox.fingerprint() == before)
    // Killed, it leaves postmaster.pid behind: nobody is there, and the cluster is taken over and recovers.
    server.kill()
    // The kernel ends the namespace's other processes a moment after its first.
    #expect(
      Harness.eventually {
        (try? ProcessTable.servers(of: sandbox.volume, owner: VolumeTests.theirs.uid))?.isEmpty == true
      })
    #expect(try FileSystem.exists(sandbox.volume + "/postmaster.pid"))
    let adopted = try sandbox.hive("init")
    #expect(adopted.ending == .exited(0), "\(adopted.output)")
    #expect(adopted.output.contains("was not shut down"), "\(adopted.output)")
    let next = try sandbox.start("exec")
    #expect(Harness.eventually { (try? sandbox.sql("SELECT 1", user: "claude")) == "1" }, "\(next.output())")
    #expect(sandbox.stop(next) == .exited(0))
  }

  /// An engine's root has no CAP_SYS_PTRACE: other users' processes hide from it where they work.
  @Test(.enabled(if: Harness.isRoot, needsRoot)) func aContainersRootKnowsItsOwnServer() throws {
    let sandbox = try Sandbox()
    let server = try sandbox.serve()
    let before = try sandbox.fingerprint()
    let result = try Harness.run(
      "/usr/bin/setpriv", ["--bounding-set=-sys_ptrace", "--", Harness.hivePostgres, "init"],
      sandbox.environment.merging(["HIVE_LOCK_TIMEOUT": "1"]) { $1 })
    #expect(result.ending == .exited(0), "\(result.output)")
    #expect(result.output.contains("is in use: nothing to do"), "\(result.output)")
    #expect(try sandbox.fingerprint() == before)
    #expect(sandbox.stop(server) == .exited(0))
  }

  @Test func aHeldLockIsWaitedForAndThenRefused() throws {
    let sandbox = try Sandbox()
    #expect(try sandbox.hive("init").ending == .exited(0))
    let lock = sandbox.volume + "/.hivesup/lock"
    // As another container has it: the content names a process of a namespace that is not ours.
    let holder = try Child("/usr/bin/flock", [lock, "/bin/sleep", "60"], environment: [:], deathSignal: 0)
    defer { holder.kill() }
    usleep(100_000)
    let fd = open(lock, O_WRONLY | O_TRUNC)
    try FileSystem.write(descriptor: fd, Array("17 4242 pid:[4026530000]\n".utf8), name: lock)
    close(fd)
    for command in ["init", "exec"] {
      let asked = ContinuousClock.now
      let result = try sandbox.hive(command, ["HIVE_LOCK_TIMEOUT": "1"])
      #expect(result.ending == .exited(75), "\(result.output)")
      #expect(result.output.contains("another container has it"), "\(result.output)")
      #expect(ContinuousClock.now - asked > .seconds(1))
    }
    let waiting = try sandbox.start("init")
    usleep(200_000)
    holder.kill()
    #expect(Harness.finish(waiting, seconds: 5) == .exited(0), "\(waiting.output())")
  }

  // MARK: Other states

  @Test func aDirectoryOfOtherFilesIsRefusedAndUntouched() throws {
    let sandbox = try Sandbox()
    try sandbox.write(sandbox.volume + "/base/1/16384", "rows")
    chown(sandbox.volume, VolumeTests.owner.uid, VolumeTests.owner.gid)
    let before = try sandbox.fingerprint()
    let refused = try sandbox.hive("init")
    #expect(refused.ending == .exited(78), "\(refused.output)")
    #expect(refused.output.contains("it is not empty (base)"), "\(refused.output)")
    #expect(try sandbox.fingerprint() == before)
    // The remedy works.
    let made = try sandbox.hive("init", ["PGDATA": sandbox.pgdata])
    #expect(made.ending == .exited(0), "\(made.output)")
    #expect(try FileSystem.readText(sandbox.volume + "/base/1/16384") == "rows")
  }

  /// Whom hive-postgres serves when it is started as root.
  static var owner: (uid: uid_t, gid: gid_t) {
    guard Harness.isRoot, let entry = getpwnam("postgres") else { return (getuid(), getgid()) }
    return (entry.pointee.pw_uid, entry.pointee.pw_gid)
  }

  @Test(.enabled(if: Harness.isRoot, needsRoot), arguments: [true, false])
  func aReadOnlyVolumeIsSaidToBeOne(_ hasCluster: Bool) throws {
    let sandbox = try Sandbox()
    try FileSystem.makeDirectories(sandbox.volume, mode: 0o755)
    if hasCluster { #expect(try sandbox.hive("init").ending == .exited(0)) }
    try #require(try Harness.run("/bin/mount", ["--bind", sandbox.volume, sandbox.volume]).ending == .exited(0))
    defer { _ = try? Harness.run("/bin/umount", ["-l", sandbox.volume]) }
    try #require(
      try Harness.run("/bin/mount", ["-o", "remount,bind,ro", sandbox.volume]).ending == .exited(0))
    for user in [nil, VolumeTests.owner] {
      sandbox.user = user
      for command in ["init", "exec"] + (user == nil ? ["own 45001:0"] : []) {
        let result = try sandbox.hive(command)
        #expect(result.ending == .exited(73), "\(command): \(result.output)")
        #expect(result.output.contains("it is mounted read-only"), "\(command): \(result.output)")
      }
    }
  }

  @Test(.enabled(if: canBeOthers, needsRoot)) func aFullVolumeWithAForeignClusterIsNotHalfAdopted() throws {
    let sandbox = try foreignVolume("", owner: VolumeTests.theirs)
    let full = try Sandbox()
    try FileSystem.makeDirectories(full.volume, mode: 0o755)
    let mounted = try Harness.run("/bin/mount", ["-t", "tmpfs", "-o", "size=120m", "tmpfs", full.volume])
    try #require(mounted.ending == .exited(0))
    defer { _ = try? Harness.run("/bin/umount", ["-l", full.volume]) }
    let copied = try Harness.run("/bin/sh", ["-c", "cp -a \(sandbox.volume)/. \(full.volume)/"])
    #expect(copied.ending == .exited(0), "\(copied.output)")
    let filler = full.volume + "/filler"
    _ = try Harness.run("/bin/sh", ["-c", "head -c 1000M /dev/zero > \(filler)"])
    try FileSystem.makeDirectories(full.run, mode: 0o777)
    chmod(full.run, 0o777)
    full.user = VolumeTests.theirs
    let refused = try full.hive("init")
    #expect(refused.ending == .exited(77), "\(refused.output)")
    #expect(refused.output.contains("free some space"), "\(refused.output)")
    try FileSystem.remove(filler)
    let adopted = try full.hive("init")
    #expect(adopted.ending == .exited(0), "\(adopted.output)")
  }

  /// A mount of a desktop's folder, a FAT disk: every mode is 0777 and chmod is refused or ignored.
  @Test(.enabled(if: access("/usr/bin/cc", X_OK) == 0), arguments: ["EPERM", "nothing"])
  func aFilesystemWithoutModesIsRefusedBeforeInitdb(_ answer: String) throws {
    let sandbox = try Sandbox()
    let source = sandbox.root + "/modes.c"
    try sandbox.write(
      source,
      """
      #define _GNU_SOURCE
      #include <errno.h>
      #include <fcntl.h>
      #include <sys/stat.h>
      #include <sys/syscall.h>
      #include <unistd.h>
      static int refuse(void) { errno = EPERM; return \(answer == "EPERM" ? -1 : 0); }
      int chmod(const char *path, mode_t mode) { return refuse(); }
      int fchmod(int fd, mode_t mode) { return refuse(); }
      int mkdir(const char *path, mode_t mode) {
        int result = syscall(SYS_mkdirat, AT_FDCWD, path, 0777);
        if (result == 0) syscall(SYS_fchmodat, AT_FDCWD, path, 0777);
        return result;
      }
      """)
    let library = sandbox.root + "/modes.so"
    let built = try Harness.run("/usr/bin/cc", ["-w", "-shared", "-fPIC", "-o", library, source])
    try #require(built.ending == .exited(0), "\(built.output)")
    if !Harness.isRoot { try FileSystem.makeDirectories(sandbox.volume, mode: 0o755) }
    try FileSystem.makeDirectories(sandbox.run, mode: 0o777)
    chown(sandbox.run, VolumeTests.owner.uid, VolumeTests.owner.gid)
    let result = try sandbox.hive("init", ["LD_PRELOAD": library])
    #expect(result.ending == .exited(73), "\(result.output)")
    #expect(result.output.contains("does not keep modes"), "\(result.output)")
    #expect(try !FileSystem.exists(sandbox.pgdata))
  }

  /// A kubelet gives a volume to an fsGroup: group and setgid bits on everything, each time it is mounted.
  @Test func aWidenedModeIsNarrowedAtEachStart() throws {
    let sandbox = try Sandbox()
    #expect(try sandbox.hive("init").ending == .exited(0))
    for path in [sandbox.pgdata, sandbox.volume + "/.hivesup"] { chmod(path, 0o2770) }
    let server = try sandbox.startServer()
    #expect(try FileSystem.status(sandbox.pgdata)?.permissions == 0o700)
    #expect(try FileSystem.status(sandbox.volume + "/.hivesup")?.permissions == 0o700)
    #expect(sandbox.stop(server) == .exited(0))
  }
}

extension String {
  /// "16/docker" of "MAJOR/docker".
  func replacingMajor(_ version: Int) -> String {
    split(separator: "/").map { $0 == "MAJOR" ? String(version) : String($0) }.joined(separator: "/")
  }
}
