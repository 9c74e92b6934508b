import Glibc
import PostgresClient
import PostgresTestSupport
import Testing

@testable import HiveServiceCore

@Suite(.serialized, .enabled(if: Requirements.areMet, Requirements.reason))
struct OutageTests {
  @Test func comesUpWithoutADatabaseAndRecoversWhenItIsThere() async throws {
    let server = try await PostgresServer.withSchema("genie")
    server.stop()
    let service = try ServiceProcess(conninfo: server.conninfo())
    let away = try HTTPConnection.request(service.port, "GET", "/api/v1/sessions")
    #expect(away.status == 503 && away.headers["retry-after"] == "1")
    #expect(away.detail == "The database is not available")
    let health = try HTTPConnection.request(service.port, "GET", "/api/v1/health")
    #expect(health.status == 503 && health.headers["cache-control"] == "no-store")
    #expect(try health.json["database"] == "disconnected" && health.json["status"] == "unhealthy")
    try server.start()
    try await eventually { try HTTPConnection.request(service.port, "GET", "/api/v1/sessions").status == 200 }
    #expect(try HTTPConnection.request(service.port, "GET", "/api/v1/health").status == 200)
  }

  @Test func aServerKilledInTheMiddleOfARequestMeans503ThenRecovery() async throws {
    let server = try await PostgresServer.withSchema("genie")
    let service = try ServiceProcess(conninfo: server.conninfo())
    let created = try HTTPConnection.json(service.port, "POST", "/api/v1/sessions", #"{"user_id":"a"}"#)
    let location = try #require(created.headers["location"])
    let locker = try await Locker(server, location)
    let waiting = try HTTPConnection(port: service.port)
    try waiting.send(
      "PATCH", location, headers: ["content-type": "application/json"], body: Array(#"{"user_id":"b"}"#.utf8))
    try await locker.waitForVictim()
    server.crash()
    let lost = try waiting.receive()
    #expect(lost.status == 503 && lost.headers["retry-after"] == "1", "\(lost.text)")
    #expect(try HTTPConnection.request(service.port, "GET", location).status == 503)
    try server.start()
    // The same process recovers, on the same client connection; the row has its last committed value.
    try await eventually { try waiting.request("GET", location).status == 200 }
    #expect(try waiting.request("GET", location).json["user_id"] == "a")
    #expect(service.output.contains("requests get 503 until the database answers"))
    #expect(service.output.contains("the database answers again"))
  }

  @Test func aStoppedServerMeans503NotAHang() async throws {
    let server = try await PostgresServer.withSchema("genie")
    let service = try ServiceProcess(
      conninfo: server.conninfo(),
      environment: ["HIVE_QUERY_TIMEOUT": "0.5", "HIVE_CONNECT_TIMEOUT": "0.5", "HIVE_POOL_TIMEOUT": "1"])
    #expect(try HTTPConnection.request(service.port, "GET", "/api/v1/sessions").status == 200)
    let stopped = [server.processID] + server.children()
    stopped.forEach { kill($0, SIGSTOP) }
    let begin = ContinuousClock.now
    for _ in 0..<3 {
      let response = try HTTPConnection.request(service.port, "GET", "/api/v1/sessions")
      #expect(response.status == 503 && response.headers["retry-after"] == "1")
    }
    #expect(try HTTPConnection.request(service.port, "GET", "/health").status == 503)
    #expect(ContinuousClock.now - begin < .seconds(10))
    stopped.forEach { kill($0, SIGCONT) }
    try await eventually { try HTTPConnection.request(service.port, "GET", "/api/v1/sessions").status == 200 }
  }

  @Test func aFullPoolMeans503WithRetryAfter() async throws {
    let server = try await PostgresServer.withSchema("genie")
    let service = try ServiceProcess(
      conninfo: server.conninfo(),
      environment: ["HIVE_POOL_SIZE": "1", "HIVE_POOL_OVERFLOW": "1", "HIVE_POOL_TIMEOUT": "0.3"])
    let created = try HTTPConnection.json(service.port, "POST", "/api/v1/sessions", #"{"user_id":"a"}"#)
    let location = try #require(created.headers["location"])
    let locker = try await Locker(server, location)
    let busy = try (0..<2).map { _ in
      let connection = try HTTPConnection(port: service.port)
      try connection.send(
        "PATCH", location, headers: ["content-type": "application/json"], body: Array(#"{"user_id":"b"}"#.utf8))
      return connection
    }
    try await locker.waitForVictim(count: 2)
    let refused = try HTTPConnection.request(service.port, "GET", location)
    #expect(refused.status == 503 && refused.headers["retry-after"] == "1")
    #expect(refused.detail == "Too many requests are waiting for the database")
    // Health has a connection of its own.
    #expect(try HTTPConnection.request(service.port, "GET", "/health").status == 200)
    try await locker.release()
    for connection in busy { #expect(try connection.receive().status == 200) }
    #expect(try HTTPConnection.request(service.port, "GET", location).status == 200)
  }

  @Test func aMissingSchemaMeans503UntilItIsThere() async throws {
    let server = try PostgresServer()
    let service = try ServiceProcess(conninfo: server.conninfo())
    let missing = try HTTPConnection.request(service.port, "GET", "/api/v1/sessions")
    #expect(missing.status == 503 && missing.detail == "The database schema is not in place yet")
    try await server.installSchema("genie")
    #expect(try HTTPConnection.request(service.port, "GET", "/api/v1/sessions").status == 200)
  }

  @Test func aServerThatLetsNobodyInMeans503() async throws {
    let server = try await PostgresServer.withSchema("genie")
    let service = try ServiceProcess(conninfo: server.conninfo())
    let holder = try await PostgresConnection.connect(server.conninfo())
    server.signal(SIGTERM)  // Smart shutdown: waits for the holder and answers everybody else with 57P03.
    try await eventually { await PostgresConnection.ping(server.conninfo()) == .rejecting }
    let refused = try HTTPConnection.request(service.port, "GET", "/api/v1/sessions")
    #expect(refused.status == 503 && refused.headers["retry-after"] == "1")
    #expect(refused.detail == "The database is starting up or shutting down")
    await holder.close()
  }
}

/// Holds a row's lock, so that a request for it waits inside the server.
final class Locker: Sendable {
  private let connection: PostgresConnection
  private let watcher: PostgresConnection

  init(_ server: PostgresServer, _ location: String) async throws {
    connection = try await PostgresConnection.connect(server.conninfo())
    watcher = try await PostgresConnection.connect(server.conninfo())
    try await connection.query("BEGIN")
    let id = location.split(separator: "/").last.map(String.init) ?? ""
    try await connection.query("SELECT 1 FROM genie_sessions WHERE id = $1::uuid FOR UPDATE", [.text(id)])
  }

  func waitForVictim(count: Int = 1) async throws {
    try await eventually {
      try await watcher.query(
        "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'hive-service'"
      ).count == count
    }
  }

  func release() async throws { try await connection.query("COMMIT") }
}
