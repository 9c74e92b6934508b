import Testing

@testable import HivePostgresCore

/// postmaster.pid, pg_controldata, state.json, /proc/PID/stat, mountinfo: what is read from files that others wrote.
@Suite struct FormatTests {
  static let postmaster = "4711\n/v/pgdata\n1792000000\n5432\n/run/hivesup\nlocalhost\n  5432001         7\nready   \n"

  @Test func postmasterFileOfARunningServer() {
    #expect(
      PostmasterFile(parsing: Array(FormatTests.postmaster.utf8))
        == .process(.init(pid: 4711, standalone: false, dataDirectory: "/v/pgdata", status: "ready")))
  }

  @Test(arguments: [
    ("", PostmasterFile.empty), ("\n", .garbage), ("x\n", .garbage), ("0\n", .garbage), ("99999999999\n", .garbage),
    ("-2147483648\n", .garbage), ("1 2\n", .garbage),
    ("-31\n/d\n", .process(.init(pid: 31, standalone: true, dataDirectory: "/d", status: nil))),
    ("31", .process(.init(pid: 31, standalone: false, dataDirectory: nil, status: nil))),
    (
      "31\n/d\n1\n2\n3\n4\n5\nstandby \n",
      .process(.init(pid: 31, standalone: false, dataDirectory: "/d", status: "standby"))
    ),
  ])
  func postmasterFileOddities(_ text: String, _ expected: PostmasterFile) {
    #expect(PostmasterFile(parsing: Array(text.utf8)) == expected)
  }

  static let control = """
    pg_control version number:            1300
    Database system identifier:           7439291234567890123
    Database cluster state:               shut down
    Database block size:                  8192
    Bytes per WAL segment:                16777216

    """

  @Test func controlDataIsRead() throws {
    let control = try #require(ControlData(parsing: FormatTests.control))
    #expect(control.systemIdentifier == "7439291234567890123")
    #expect(control.isShutDown)
    #expect(control.walSegmentBytes == 16 << 20)
    #expect(control.blockBytes == 8192)
    #expect(ControlData(parsing: "WARNING: Calculated CRC checksum does not match\n" + FormatTests.control) == nil)
    for line in FormatTests.control.split(separator: "\n").dropFirst() {
      #expect(ControlData(parsing: FormatTests.control.replacing(line, with: "")) == nil, "\(line)")
    }
  }

  static let state = InstallationState(
    phase: .adopted, dataDirectory: "/v/ü \"x\"\\\n", systemIdentifier: "7439291234567890123", majorVersion: 16,
    superuser: "claude_user", since: "2026-11-20T10:00:00Z", scripts: [.init(name: "1 a.sql", checksum: "ab")])

  @Test func stateComesBack() {
    #expect(InstallationState(parsing: FormatTests.state.json) == FormatTests.state)
  }

  @Test func stateOfAnotherFormatIsNotUnderstood() {
    let json = String(decoding: FormatTests.state.json, as: UTF8.self)
    #expect(InstallationState(parsing: Array(json.replacing("\"format\":1", with: "\"format\":2").utf8)) == nil)
    #expect(InstallationState(parsing: Array(json.replacing("adopted", with: "else").utf8)) == nil)
    #expect(InstallationState(parsing: []) == nil)
  }

  /// Damaged files give no value or another value, never a trap; what is read can be written and read again.
  @Test func damagedFilesNeverTrap() {
    var random = Seeded(seed: 42)
    let corpus = [
      String(decoding: FormatTests.state.json, as: UTF8.self), FormatTests.postmaster, FormatTests.control,
      "12 (a) b) S 1 2 3", "7 9 pid:[1]\n",
    ]
    for _ in 0..<20000 {
      let bytes = random.mutate(Array((corpus.randomElement(using: &random) ?? "").utf8))
      let text = String(decoding: bytes, as: UTF8.self)
      if let state = InstallationState(parsing: bytes) {
        #expect(InstallationState(parsing: state.json) == state)
      }
      if case .process(let content) = PostmasterFile(parsing: bytes) { #expect(content.pid > 0) }
      _ = ControlData(parsing: text)
      _ = ProcessInfo(stat: text)
      _ = VolumeLock.Holder(parsing: text)
      _ = ScramVerifier(text)
      _ = MountTable.mountPoints(text)
      _ = SQLConnection.parse(connectionMessage: text)
      _ = Adoption.superuser(in: text)
    }
  }

  @Test func processNamesMayHoldAnything() throws {
    let fields = (4...22).map(String.init).joined(separator: " ")
    let info = try #require(ProcessInfo(stat: "31 (a) (b c) Z \(fields) 23 24\n"))
    #expect(info.identity == ProcessIdentity(pid: 31, start: 22))
    #expect(info.parent == 4)
    #expect(info.isDead)
  }

  @Test func mountPointsAreUnescaped() {
    let table =
      "36 35 98:0 /mnt1 /a\\040b\\134c rw,noatime master:1 - ext3 /dev/root rw\n40 35 0:1 / /v rw - tmpfs t rw\nshort\n"
    #expect(MountTable.mountPoints(table) == ["/a b\\c", "/v"])
  }

  @Test func connectionMessagesGiveTheirState() {
    let failure = SQLConnection.parse(
      connectionMessage:
        "connection to server on socket \"/r/.s.PGSQL.1\" failed: FATAL:  57P03: the database system is starting up\nLOCATION:  x\n"
    )
    #expect(failure.isRejecting)
    #expect(failure.message == "the database system is starting up")
    let plain = SQLConnection.parse(
      connectionMessage:
        "connection to server on socket \"/r/.s.PGSQL.1\" failed: No such file or directory\n\tIs the server running?\n"
    )
    #expect(plain.state == nil)
    #expect(plain.message.contains("No such file"))
  }

  @Test func superuserOfSingleUserOutput() {
    let output = """
      PostgreSQL stand-alone backend 16.14
      backend> \t 1: rolname\t(typeid = 19, len = 64, typmod = -1, byval = f)
      \t----
      \t 1: rolname = "claude "x" user"\t(typeid = 19, len = 64, typmod = -1, byval = f)
      \t----
      """
    #expect(Adoption.superuser(in: output) == "claude \"x\" user")
    #expect(Adoption.superuser(in: "FATAL: no") == nil)
  }

  @Test(arguments: [
    ("PostgreSQL 16.14 (Debian 16.14-1)", 16), ("PostgreSQL 18beta1", 18), ("PostgreSQL 17devel", 17), ("pg 16", nil),
    ("", nil),
  ])
  func majorVersions(_ text: String, _ major: Int?) {
    #expect(PostgresInstallation.majorVersion(text) == major)
  }

  @Test(arguments: [
    ("6.1.0-18-amd64", true), ("5.8", true), ("5.10.0", true), ("5.4.0-150-generic", false), ("4.19", false),
    ("x", false), ("7", false),
  ])
  func kernelReleases(_ release: String, _ isNew: Bool) {
    #expect(Durability.isAtLeast58(release) == isNew)
  }

  /// hivesupd's socket is abstract, and named with ready=notify only; a path that comes through it is the container engine's.
  @Test func onlyHivesupdsSocketIsTheServersToTalkTo() {
    let (with, without) = (
      PostgresInstallation.Features(configure: "--with-systemd"), PostgresInstallation.Features(configure: "")
    )
    for (socket, supervised, expected) in [
      ("@hivesup", true, "@hivesup"), ("/run/notify.sock", true, nil), ("/run/notify.sock", false, "/run/notify.sock"),
      (nil, true, nil),
    ] as [(String?, Bool, String?)] {
      var environment: [String: String] = [:]
      environment["NOTIFY_SOCKET"] = socket
      #expect(Launcher.notifySocket(environment, features: with, hasSupervisor: supervised) == expected)
      #expect(Launcher.notifySocket(environment, features: without, hasSupervisor: supervised) == nil)
    }
  }

  @Test func featuresOfABuild() {
    let debian = PostgresInstallation.Features(
      configure:
        " '--with-systemd' '--with-openssl' '--with-lz4' '--with-llvm' 'CFLAGS=-g -O2' '--with-icu' '--with-zstd'")
    #expect(debian.ssl && debian.systemd && debian.lz4 && debian.llvm && debian.icu && debian.zstd)
    let bare = PostgresInstallation.Features(configure: " '--prefix=/x' '--without-icu'")
    #expect(bare == PostgresInstallation.Features(configure: ""))
    #expect(PostgresInstallation.Features(configure: "--with-blocksize=32").blockBytes == 32768)
  }
}
