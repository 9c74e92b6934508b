import Foundation
import PostgresTestSupport
import Testing

@testable import PostgresClient

/// One server for the tests that leave it as it is.
private let shared = Result { try PostgresServer(settings: ["max_connections=60"]) }

@Suite(.enabled(if: PostgresServer.isAvailable, Comment(rawValue: PostgresServer.skipReason)))
struct ConnectionTests {
  private func connect(_ options: PostgresConnectOptions = .init()) async throws -> PostgresConnection {
    try await PostgresConnection.connect(shared.get().conninfo(), options: options)
  }

  @Test func decodesTypedRows() async throws {
    let connection = try await connect()
    let rows = try await connection.query(
      "SELECT $1::int AS a, $2::text AS b, NULL::text AS c, $3::bool AS d, $4::float8 AS e, $5::jsonb AS f",
      [42, "ä'\"\\", true, 0.1, .utf8(Array(#"{"b":1, "a":[1.50]}"#.utf8))])
    let row = try #require(rows.first)
    let (a, b, c, d, e, f) = try row.decode((Int.self, String.self, String?.self, Bool.self, Double.self, [UInt8].self))
    #expect(a == 42 && b == "ä'\"\\" && c == nil && d && e == 0.1)
    #expect(String(decoding: f, as: UTF8.self) == #"{"a": [1.50], "b": 1}"#)
    #expect(rows.columnNames == ["a", "b", "c", "d", "e", "f"])
    #expect(throws: PostgresError.self) { try row.decode(Int.self, "b") }
    #expect(throws: PostgresError.self) { try row.decode(String.self, "c") }
    #expect(throws: PostgresError.self) { try row.decode(String.self, "nope") }
    #expect(throws: PostgresError.self) { try row.decode(Int.self, at: 6) }
    #expect(throws: PostgresError.self) { try row.decode((Int.self, String.self)) }
    #expect(connection.serverVersion >= 150_000)
    #expect(await connection.parameterStatus("client_encoding") == "UTF8")
    await connection.close()
    await #expect(throws: LibPQSession.closed) { try await connection.query("SELECT 1") }
  }

  @Test func aServerErrorLeavesTheSessionUsable() async throws {
    let connection = try await connect()
    try await connection.query("CREATE TEMP TABLE t (id int CONSTRAINT only_once PRIMARY KEY)")
    #expect(try await connection.query("INSERT INTO t VALUES (1), (2)").affectedRows == 2)
    let error = try await #require(throws: PostgresError.self) {
      try await connection.query("INSERT INTO t VALUES (1)")
    }
    #expect(error.code == .server && error.sqlState == "23505" && error.severity == "ERROR")
    #expect(error.constraint == "only_once" && error.table == "t" && error.detail == "Key (id)=(1) already exists.")
    #expect(try await connection.query("SELECT count(*) FROM t").first?.decode(Int.self, at: 0) == 2)
  }

  @Test func executesManyStatementsAndStopsAtTheFirstError() async throws {
    let connection = try await connect()
    let results = try await connection.execute("SELECT 1; SELECT 2, 3; CREATE TEMP TABLE many (a int)")
    #expect(results.map(\.commandTag) == ["SELECT 1", "SELECT 1", "CREATE TABLE"])
    await #expect(throws: PostgresError.self) {
      try await connection.execute("INSERT INTO many VALUES (1); SELECT 1/0; INSERT INTO many VALUES (2)")
    }
    #expect(try await connection.query("SELECT count(*) FROM many").first?.decode(Int.self, at: 0) == 0)
    #expect(try await connection.execute("").count == 1)
  }

  @Test func megabytesInBothDirections() async throws {
    let connection = try await connect()
    let text = String(repeating: "0123456789abcdef", count: 500_000)
    let row = try #require(try await connection.query("SELECT $1::text || $1::text", [.text(text)]).first)
    #expect(try row.decode(String.self, at: 0).utf8.count == 16_000_000)
  }

  @Test func transactionsCommitRollBackAndReportSwallowedErrors() async throws {
    let connection = try await connect()
    try await connection.query("CREATE TEMP TABLE tx (a int)")
    let sum = try await connection.transaction { connection in
      try await connection.query("INSERT INTO tx VALUES (1)")
      #expect(connection.isInTransaction)
      return 1 + 1
    }
    #expect(sum == 2)
    struct Mine: Error {}
    await #expect(throws: Mine.self) {
      try await connection.transaction { connection in
        try await connection.query("INSERT INTO tx VALUES (2)")
        throw Mine()
      }
    }
    let swallowed = try await #require(throws: PostgresError.self) {
      try await connection.transaction { connection in _ = try? await connection.query("SELECT 1/0") }
    }
    #expect(swallowed.code == .transactionRolledBack)
    #expect(!connection.isInTransaction)
    #expect(try await connection.query("SELECT count(*) FROM tx").first?.decode(Int.self, at: 0) == 1)
  }

  @Test func aStatementThatTakesTooLongIsCancelledOnTheServer() async throws {
    let connection = try await connect()
    let watcher = try await connect()
    let begin = ContinuousClock.now
    let error = try await #require(throws: PostgresError.self) {
      try await connection.query("SELECT pg_sleep(60)", timeout: .milliseconds(100))
    }
    #expect(error.code == .queryTimeout && error.isTransient)
    #expect(ContinuousClock.now - begin < .seconds(5))
    #expect(!connection.isUsable)
    try await expectGone(connection.backendProcessID, watcher)
  }

  @Test func cancellingTheTaskCancelsTheStatement() async throws {
    let connection = try await connect()
    let watcher = try await connect()
    let task = Task { try await connection.query("SELECT pg_sleep(60)") }
    try await eventually {
      try await watcher.query(
        "SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'",
        [.integer(connection.backendProcessID)]
      ).count == 1
    }
    task.cancel()
    await #expect(throws: CancellationError.self) { _ = try await task.value }
    try await expectGone(connection.backendProcessID, watcher)
  }

  @Test func cancellationBeforeTheStartSendsNothing() async throws {
    let connection = try await connect()
    let task = Task {
      withUnsafeCurrentTask { $0?.cancel() }
      return try await connection.query("SELECT 1")
    }
    await #expect(throws: CancellationError.self) { _ = try await task.value }
    #expect(try await connection.query("SELECT 7").first?.decode(Int.self, at: 0) == 7)
  }

  @Test func droppingTheLastReferenceEndsTheSession() async throws {
    let watcher = try await connect()
    let pid = try await connect().backendProcessID
    try await expectGone(pid, watcher)
  }

  @Test func aTerminatedBackendIsAConnectionLoss() async throws {
    let connection = try await connect()
    let other = try await connect()
    try await other.query("SELECT pg_terminate_backend($1)", [.integer(connection.backendProcessID)])
    try await eventually { await !connection.checkIdle() }
    #expect(!connection.isUsable)

    let busy = try await connect()
    let outcome = Task { try await busy.query("SELECT pg_sleep(60)") }
    try await eventually {
      try await other.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'",
        [.integer(busy.backendProcessID)]
      ).count == 1
    }
    let error = try await #require(throws: PostgresError.self) { _ = try await outcome.value }
    #expect(error.code == .connectionLost && error.sqlState == "57P01" && error.isConnectionLoss)
  }

  @Test func copyIsRefusedAndNeverHangs() async throws {
    let connection = try await connect()
    let error = try await #require(throws: PostgresError.self) {
      try await connection.execute("COPY (SELECT 1) TO STDOUT")
    }
    #expect(error.code == .unsupported)
    #expect(!connection.isUsable)
  }

  @Test func refusesNULInTextBeforeSendingIt() async throws {
    let connection = try await connect()
    let error = try await #require(throws: PostgresError.self) {
      try await connection.query("SELECT $1::text", ["a\0b"])
    }
    #expect(error.code == .invalidParameter)
    #expect(try await connection.query("SELECT 1").count == 1)
  }

  @Test func reportsNoticesAndAppliesSessionSettings() async throws {
    let (stream, continuation) = AsyncStream.makeStream(of: PostgresNotice.self)
    let connection = try await connect(
      PostgresConnectOptions(
        applicationName: "tester", sessionSettings: ["statement_timeout": "1234ms"],
        onNotice: { continuation.yield($0) }))
    try await connection.execute("DO $$ BEGIN RAISE WARNING 'mind the gap'; END $$")
    var iterator = stream.makeAsyncIterator()
    let notice = await iterator.next()
    #expect(notice == PostgresNotice(severity: "WARNING", message: "mind the gap", sqlState: "01000"))
    let row = try #require(
      try await connection.query("SELECT current_setting('statement_timeout'), current_setting('application_name')")
        .first)
    #expect(try row.decode((String.self, String.self)) == ("1234ms", "tester"))
  }

  @Test func passwordsAreMadeIntoVerifiersHere() async throws {
    let connection = try await connect()
    let verifier = try await connection.encryptPassword("s3cret", user: "someone")
    #expect(verifier.hasPrefix("SCRAM-SHA-256$4096:"))
    try await connection.execute(
      "CREATE ROLE someone LOGIN PASSWORD \(PostgresConnection.escapeLiteral(verifier)); DROP ROLE someone")
  }

  @Test func namesWhatIsWrongWithAConnection() async throws {
    let server = try shared.get()
    let unknown = try await #require(throws: PostgresError.self) {
      _ = try await PostgresConnection.connect(server.conninfo(database: "nope"))
    }
    #expect(unknown.code == .connectionFailed && unknown.sqlState == "3D000" && !unknown.isConnectionLoss)
    let absent = try await #require(throws: PostgresError.self) {
      _ = try await PostgresConnection.connect("host=/nonexistent")
    }
    #expect(absent.code == .connectionFailed && absent.sqlState == nil && absent.isConnectionLoss)
    await #expect(throws: PostgresError.self) { _ = try await PostgresConnection.connect("nonsense here") }
    #expect(await PostgresConnection.ping(server.conninfo(user: "nobody", database: "nope")) == .accepting)
    #expect(await PostgresConnection.ping("host=/nonexistent") == .noResponse)
    #expect(await PostgresConnection.ping("nonsense here") == .notAttempted)
  }

  private func expectGone(_ pid: Int32, _ watcher: PostgresConnection) async throws {
    try await eventually {
      try await watcher.query("SELECT 1 FROM pg_stat_activity WHERE pid = $1", [.integer(pid)]).isEmpty
    }
  }
}

/// Polls until `condition` holds; a condition that never does fails the test after 20 s.
func eventually(
  sourceLocation: SourceLocation = #_sourceLocation, _ condition: () async throws -> Bool
) async throws {
  let deadline = ContinuousClock.now + .seconds(20)
  while try await !condition() {
    guard ContinuousClock.now < deadline else {
      Issue.record("the condition did not come true within 20 s", sourceLocation: sourceLocation)
      return
    }
    try await Task.sleep(for: .milliseconds(5))
  }
}
