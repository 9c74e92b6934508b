import Glibc
import Testing

@testable import HivePostgresCore

@Suite struct SettingsTests {
  func settings(_ environment: [String: String]) throws -> Settings {
    try Settings(environment: environment, workingDirectory: "/w", firstStart: true)
  }

  @Test func defaultsAreThoseOfTheDocumentation() throws {
    let settings = try settings([:])
    #expect(settings.volume == "/var/lib/postgresql/data")
    #expect(settings.runDirectory == "/run/hivesup")
    #expect(settings.port == 5432)
    #expect(settings.serviceUser == "postgres")
    #expect(settings.image.superuser == "postgres")
    #expect(settings.image.database == "postgres")
    #expect(settings.socketPath == "/run/hivesup/.s.PGSQL.5432")
    #expect(throws: Failure.self) { try settings.requiredRole() }
  }

  @Test(arguments: [
    ["HIVE_ROLE": "genius"], ["HIVE_PG_PORT": "0"], ["HIVE_PG_PORT": "65536"], ["HIVE_PG_PORT": "x"],
    ["PGDATA": "/elsewhere"], ["HIVE_DB_PASSWORD": "a", "HIVE_DB_PASSWORD_FILE": "/b"],
    ["POSTGRES_PASSWORD": "a-good-one", "POSTGRES_PASSWORD_FILE": "/b"],
    ["POSTGRES_USER": "a", "POSTGRES_USER_FILE": "/b"],
    ["POSTGRES_DB": "a", "POSTGRES_DB_FILE": "/b"], ["POSTGRES_INITDB_ARGS": "a", "POSTGRES_INITDB_ARGS_FILE": "/b"],
    ["POSTGRES_PASSWORD_FILE": "/nowhere/at/all"], ["POSTGRES_USER": "pg_x"],
    ["POSTGRES_USER": "a\nb"], ["POSTGRES_INITDB_ARGS": "--x=$(id)"], ["POSTGRES_SHARED_BUFFERS": "lots"],
    ["POSTGRES_WORK_MEM": "4 mb"], ["POSTGRES_WORK_MEM": "4MB -c fsync=off"], ["POSTGRES_MAX_CONNECTIONS": "3"],
    ["HIVESUP_QUARANTINE": "maybe"], ["HIVE_RUN_DIR": "/" + String(repeating: "r", count: 100)],
    ["POSTGRES_DB": String(repeating: "d", count: 64)],
  ])
  func whatCannotBeMeantIsRefusedWithARemedy(_ environment: [String: String]) throws {
    let failure = #expect(throws: Failure.self) { try settings(environment) }
    #expect(failure?.status == .usage)
    #expect(failure?.remedy != nil)
    #expect(failure?.message.hasPrefix("cannot ") == true)
  }

  @Test func pathsAreAbsoluteAndNormal() throws {
    let settings = try settings(["HIVE_DATA": "d/./x/../v/", "HIVE_RUN_DIR": "/run//h/", "PGDATA": "/w/d/v/18/docker"])
    #expect(settings.volume == "/w/d/v")
    #expect(settings.runDirectory == "/run/h")
    #expect(settings.dataDirectory == "/w/d/v/18/docker")
  }

  @Test func filesGiveSecretsWithoutTheirNewline() throws {
    var template = Array("/tmp/hpg-XXXXXX".utf8CString)
    let fd = mkstemp(&template)
    defer { close(fd) }
    let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    defer { unlink(path) }
    try FileSystem.write(descriptor: fd, Array("a good secret\n\n".utf8), name: path)
    #expect(try settings(["POSTGRES_PASSWORD_FILE": path]).image.password == "a good secret")
  }

  @Test func laterStartsDoNotLookAtTheFirstOnesVariables() throws {
    let settings = try Settings(
      environment: ["POSTGRES_PASSWORD_FILE": "/nowhere/at/all", "POSTGRES_INITDB_ARGS": "$(id)", "HIVE_PG_PORT": "7"],
      workingDirectory: "/w", firstStart: false)
    #expect(settings.image.password == nil)
    #expect(settings.port == 7)
  }

  @Test func initdbArgumentsAreWords() throws {
    #expect(
      try settings(["POSTGRES_INITDB_ARGS": "-E UTF8 --locale='C' \"--wal-segsize=32\""]).image.initdbArguments
        == ["-E", "UTF8", "--locale=C", "--wal-segsize=32"])
  }

  @Test func memoryAndConnectionsOverride() throws {
    let overrides = try settings([
      "POSTGRES_SHARED_BUFFERS": "256MB", "POSTGRES_WORK_MEM": "1.5GB", "POSTGRES_MAX_CONNECTIONS": "200",
      "POSTGRES_EFFECTIVE_CACHE_SIZE": "", "POSTGRES_MAINTENANCE_WORK_MEM": "65536",
    ]).overrides
    #expect(
      overrides.map { "\($0.name)=\($0.value)" } == [
        "shared_buffers=256MB", "work_mem=1.5GB", "maintenance_work_mem=65536", "max_connections=200",
      ])
  }

  @Test func childrenGetNoSecretsAndNoLibpqVariables() throws {
    let given = [
      "HIVE_DB_PASSWORD": "s3cret-s3cret", "POSTGRES_PASSWORD": "s3cret-s3cret", "PGPASSWORD": "s3cret-s3cret",
      "PGOPTIONS": "-c x",
      "NOTIFY_SOCKET": "/n", "LISTEN_FDS": "1", "WATCHDOG_USEC": "1", "LC_MESSAGES": "de_DE", "KEEP": "this",
    ]
    let children = try settings(given).childEnvironment
    #expect(!children.values.contains { $0.contains("s3cret") })
    #expect(children.keys.sorted() == ["KEEP", "LC_ALL", "PATH", "TZ"])
  }
}

@Suite struct ServerFilesTests {
  @Test(arguments: Role.allCases) func theShippedFilesTrustNobody(_ role: Role) throws {
    let sources = try ServerFiles.Sources(Sandbox.etc(role.rawValue))
    let text = String(decoding: sources.hba, as: UTF8.self)
    let methods = text.split(separator: "\n").filter { !$0.hasPrefix("#") }
    #expect(methods.count == 4)
    #expect(methods.allSatisfy { $0.hasSuffix("peer map=hive") || $0.hasSuffix("scram-sha-256") })
    #expect(!text.contains("%"))
  }

  @Test(arguments: ["include more.conf", "host all all 0.0.0.0/0 \\\ntrust"]) func aLineMoreAndTheyAreNotUsed(
    _ line: String
  ) throws {
    let sandbox = try Sandbox()
    for name in ["postgresql.conf", "pg_hba.conf", "pg_ident.conf"] {
      let text = try FileSystem.readText(Path.join(Sandbox.etc("genie"), name)) ?? ""
      try sandbox.write(sandbox.root + "/etc/" + name, text)
    }
    _ = try ServerFiles.Sources(sandbox.root + "/etc")
    let hba = try FileSystem.readText(sandbox.root + "/etc/pg_hba.conf") ?? ""
    try sandbox.write(sandbox.root + "/etc/pg_hba.conf", hba + line + "\n")
    #expect(throws: Failure.self) { try ServerFiles.Sources(sandbox.root + "/etc") }
  }

  @Test func mapLinesAreQuoted() {
    #expect(
      ServerFiles.identMap(users: ["postgres", "/re"], roles: ["hive", "a \"b\""]) == """
        hive "postgres" "hive"
        hive "postgres" "a ""b"\""
        hive "/re" "hive"
        hive "/re" "a ""b"\""

        """)
  }
}

@Suite struct MigrationTests {
  func migration(_ name: String, _ sql: String = "SELECT 1") throws -> Migration {
    try Migration(fileName: name, content: Array(sql.utf8))
  }

  @Test(arguments: [
    "1_a.sql", "0001.sql", "0001_.sql", "0000_a.sql", "00001_a.sql", "a_0001.sql", "0001-a.sql", "٠٠٠١_a.sql",
  ])
  func namesMustBeNumbered(_ name: String) {
    #expect(throws: Failure.self) { try migration(name) }
  }

  @Test func orderIsByNumberAndContradictionsStopEverything() throws {
    let files = [try migration("0001_a.sql"), try migration("0002_b.sql", "SELECT 2"), try migration("0010_c.sql")]
    func applied(_ file: Migration) -> Migration.Applied {
      .init(version: file.version, name: file.name, checksum: file.checksum)
    }
    #expect(try Migration.pending(files: files, applied: []) == files)
    #expect(try Migration.pending(files: files, applied: [applied(files[0])]) == Array(files[1...]))
    #expect(try Migration.pending(files: files, applied: files.map(applied)).isEmpty)
    // Changed, unknown, and late.
    var changed = applied(files[1])
    changed.checksum = "00"
    #expect(throws: Failure.self) { try Migration.pending(files: files, applied: [applied(files[0]), changed]) }
    #expect(throws: Failure.self) { try Migration.pending(files: Array(files[..<1]), applied: files.map(applied)) }
    #expect(throws: Failure.self) {
      try Migration.pending(files: files, applied: [applied(files[0]), applied(files[2])])
    }
  }

  @Test(arguments: [
    ("0.8.5", "0.8.4", true), ("0.10.0", "0.8.5", true), ("0.8.5", "0.8.5", false), ("0.8", "0.8.0", false),
    ("0.8.1", "0.8", true),
    ("0.7.4", "0.8.0", false), ("1", "0.9.9", true),
  ])
  func versionsAreNumbers(_ left: String, _ right: String, _ isNewer: Bool) {
    #expect(Migrator.isNewer(left, than: right) == isNewer)
  }
}

@Suite struct JudgementTests {
  @Test(
    arguments: [
      (["f", "3", "100"], UInt64(50) << 30, true, "3 of 100 connections"),
      (["t", "3", "100"], 50 << 30, false, "read-only"),
      (["f", "95", "100"], 50 << 30, true, "degraded"),
      (["f", "3", "100"], 20 << 20, false, "disk full"),
      (["f", "3", "100"], 5 << 30, true, "90 %"),
      (["f", nil, "100"], 50 << 30, false, "form"),
      ([], 50 << 30, false, "form"),
    ] as [([String?], UInt64, Bool, String)])
  func answersAreJudged(_ row: [String?], _ free: UInt64, _ passed: Bool, _ remark: String) {
    let verdict = Monitor.judge(row, free: free, total: 100 << 30)
    #expect(verdict.passed == passed)
    #expect(verdict.detail.contains(remark), "\(verdict.detail)")
  }
}
