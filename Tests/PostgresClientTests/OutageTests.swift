import Foundation
import PostgresTestSupport
import Testing

@testable import PostgresClient

/// Each with a server of its own, which it stops, kills and starts.
@Suite(.serialized, .enabled(if: PostgresServer.isAvailable, Comment(rawValue: PostgresServer.skipReason)))
struct OutageTests {
  private static let options = PostgresPool.Options(
    size: 2, overflow: 1, acquireTimeout: .seconds(10), patience: .milliseconds(200),
    connect: PostgresConnectOptions(connectTimeout: .seconds(2), queryTimeout: .seconds(20)))

  @Test func aPoolLendsAtMostSizeAndOverflowAndKeepsSize() async throws {
    let server = try PostgresServer()
    var options = Self.options
    options.acquireTimeout = .seconds(2)
    let pool = PostgresPool(server.conninfo(), options: options)
    let gate = AsyncStream.makeStream(of: Void.self)
    try await withThrowingTaskGroup { group in
      for _ in 0..<3 {
        group.addTask {
          try await pool.withConnection { connection in
            try await connection.query("SELECT 1")
            for await _ in gate.stream {}
          }
        }
      }
      try await eventually { pool.statistics.checkedOut == 3 }
      let error = try await #require(throws: PostgresError.self) { try await pool.query("SELECT 1") }
      #expect(error.code == .poolExhausted && error.isTransient)
      #expect(pool.statistics.waiting == 0)
      gate.continuation.finish()
      try await group.waitForAll()
    }
    let statistics = pool.statistics
    #expect(statistics.checkedOut == 0 && statistics.available == 2)
    await pool.close()
    await #expect(throws: PoolState.closedError) { try await pool.query("SELECT 1") }
  }

  @Test func aConnectionInsideATransactionIsNotReused() async throws {
    let server = try PostgresServer()
    let pool = PostgresPool(server.conninfo(), options: Self.options)
    let first = try await pool.withConnection { connection in
      try await connection.query("BEGIN")
      return connection.backendProcessID
    }
    let second = try await pool.withConnection { $0.backendProcessID }
    #expect(first != second)
    let third = try await pool.withConnection { connection in
      _ = try? await connection.query("SELECT 1/0")
      return connection.backendProcessID
    }
    #expect(second == third)
    await pool.close()
  }

  @Test func aCancelledCallerLeavesTheQueue() async throws {
    let server = try PostgresServer()
    var options = Self.options
    options.size = 1
    options.overflow = 0
    let pool = PostgresPool(server.conninfo(), options: options)
    try await pool.withConnection { _ in
      let waiting = Task { try await pool.query("SELECT 1") }
      try await eventually { pool.statistics.waiting == 1 }
      waiting.cancel()
      await #expect(throws: CancellationError.self) { _ = try await waiting.value }
      #expect(pool.statistics.waiting == 0)
    }
    #expect(try await pool.query("SELECT 1").count == 1)
    await pool.close()
  }

  @Test func killedMidStatementThenRecoversByItself() async throws {
    let server = try PostgresServer()
    let pool = PostgresPool(server.conninfo(), options: Self.options)
    let task = Task { try await pool.query("SELECT pg_sleep(60)") }
    try await eventually {
      try await pool.query("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'").count == 1
    }
    server.crash()
    let lost = try await #require(throws: PostgresError.self) { _ = try await task.value }
    #expect(lost.isConnectionLoss)
    // Idle sessions may die a moment after their postmaster; whatever the reason, the caller can tell it is a loss.
    try await eventually {
      let away = try await #require(throws: PostgresError.self) { try await pool.query("SELECT 1") }
      #expect(away.isConnectionLoss)
      return pool.statistics.outage != nil
    }
    // After the patience the answer comes at once, not after the acquire timeout.
    let begin = ContinuousClock.now
    await #expect(throws: PostgresError.self) { try await pool.query("SELECT 1") }
    #expect(ContinuousClock.now - begin < .seconds(2))
    try server.start()
    try await eventually { (try? await pool.query("SELECT 1")) != nil }
    #expect(pool.statistics.outage == nil)
    await pool.close()
  }

  @Test func aRestartBetweenStatementsIsNotSeenByCallers() async throws {
    let server = try PostgresServer()
    let pool = PostgresPool(server.conninfo(), options: Self.options)
    try await pool.query("SELECT 1")
    server.stop()
    try server.start()
    #expect(try await pool.query("SELECT 1").count == 1)
    await pool.close()
  }

  @Test func aKilledBackendCostsOnlyTheSessionsThatTheServerDrops() async throws {
    let server = try PostgresServer()
    let pool = PostgresPool(server.conninfo(), options: Self.options)
    let pid = try await pool.withConnection { $0.backendProcessID }
    kill(pid, SIGKILL)
    // The server re-initialises (57P03 meanwhile); the caller waits for it and gets its answer.
    try await eventually { (try? await pool.query("SELECT 1")) != nil }
    await pool.close()
  }

  @Test func aServerThatIsShuttingDownRejectsWith57P03() async throws {
    let server = try PostgresServer()
    let holder = try await PostgresConnection.connect(server.conninfo())
    server.signal(SIGTERM)  // Smart shutdown: waits for the holder, lets nobody else in.
    try await eventually { await PostgresConnection.ping(server.conninfo()) == .rejecting }
    let error = try await #require(throws: PostgresError.self) {
      _ = try await PostgresConnection.connect(server.conninfo())
    }
    #expect(error.sqlState == "57P03" && error.isStartingUp && error.isConnectionLoss)
    await holder.close()
  }

  @Test func aFullServerIsToldApart() async throws {
    let server = try PostgresServer(settings: ["max_connections=4", "superuser_reserved_connections=0"])
    var holders: [PostgresConnection] = []
    let error = try await #require(throws: PostgresError.self) {
      for _ in 0..<5 { holders.append(try await PostgresConnection.connect(server.conninfo())) }
    }
    #expect(error.isTooManyConnections && error.isTransient)
    #expect(await PostgresConnection.ping(server.conninfo()) == .accepting)
    for holder in holders { await holder.close() }
  }

  @Test func aStoppedServerMeansTimeoutsNotHangs() async throws {
    let server = try PostgresServer()
    var options = Self.options
    options.connect.connectTimeout = .milliseconds(300)
    options.connect.queryTimeout = .milliseconds(300)
    let pool = PostgresPool(server.conninfo(), options: options)
    let pid = try await pool.withConnection { $0.backendProcessID }
    server.signal(SIGSTOP)
    kill(pid, SIGSTOP)
    let begin = ContinuousClock.now
    let first = try await #require(throws: PostgresError.self) { try await pool.query("SELECT 1") }
    #expect(first.code == .queryTimeout)
    let second = try await #require(throws: PostgresError.self) { try await pool.query("SELECT 1") }
    #expect(second.code == .connectTimeout)
    #expect(await PostgresConnection.ping(server.conninfo(), timeout: .milliseconds(200)) == .noResponse)
    #expect(ContinuousClock.now - begin < .seconds(8))
    kill(pid, SIGCONT)
    server.signal(SIGCONT)
    try await eventually { (try? await pool.query("SELECT 1")) != nil }
    await pool.close()
  }

  @Test func connectionsAndThreadsDoNotLeak() async throws {
    let server = try PostgresServer()
    func count(_ directory: String) throws -> Int {
      try FileManager.default.contentsOfDirectory(atPath: directory).count
    }
    for _ in 0..<3 { await (try PostgresConnection.connect(server.conninfo())).close() }
    let descriptors = try count("/proc/self/fd")
    for round in 0..<30 {
      let connection = try await PostgresConnection.connect(server.conninfo())
      if round % 3 == 0 {
        await #expect(throws: PostgresError.self) {
          try await connection.query("SELECT pg_sleep(9)", timeout: .milliseconds(5))
        }
      }
      if round % 3 == 1 { await connection.close() }
    }
    // Other suites run beside this one, so the bound is loose: 30 leaks would be 60 descriptors (socket and eventfd).
    try await eventually { try count("/proc/self/fd") < descriptors + 25 }
  }
}
