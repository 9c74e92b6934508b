import Foundation
import Glibc
import Logging
import NIOPosix
import PostgresClient
import PostgresTestSupport
import Testing

@testable import HiveServiceCore

/// When what is told; the time is the test's.
struct DatabaseReachTests {
  private let start = ContinuousClock.now
  private let well = DatabaseReach.Report(passed: true, detail: "")
  private let bad = DatabaseReach.Report(passed: false, detail: "refused")

  /// What is told at each second at which `looks` has something.
  private func told(_ looks: [(second: Int, look: DatabaseReach.Look)]) -> [Int: DatabaseReach.Report] {
    var reach = DatabaseReach()
    var told: [Int: DatabaseReach.Report] = [:]
    for (second, look) in looks { told[second] = reach.report(after: look, at: start + .seconds(second)) }
    return told
  }

  @Test func aDatabaseThatWasNeverReachedIsToldAtOnce() {
    #expect(told([(0, .failed("refused"))]) == [0: bad])
    #expect(told([(0, .failed("refused")), (1, .failed("refused")), (2, .reached)]) == [0: bad, 2: well])
  }

  @Test func aRestartOfTheDatabaseIsNotToldAndALongAbsenceIs() {
    let short = (1..<5).map { (second: $0, look: DatabaseReach.Look.failed("refused")) }
    #expect(told([(0, .reached)] + short + [(5, .reached)]) == [0: well])
    let long = (1..<9).map { (second: $0, look: DatabaseReach.Look.failed("refused")) }
    #expect(told([(0, .reached)] + long + [(9, .reached)]) == [0: well, 6: bad, 9: well])
    // What was away for a moment twice was never away for long.
    #expect(told([(0, .reached), (3, .failed("x")), (6, .reached), (8, .failed("x")), (9, .reached)]) == [0: well])
  }

  @Test func whatIsToldIsToldAgainBeforeItIsStaleAndWhenTheReasonChanges() {
    let looks = stride(from: 0, through: 30, by: 10).map { (second: $0, look: DatabaseReach.Look.reached) }
    #expect(told(looks).keys.sorted() == [0, 10, 20, 30])
    let away = (0..<25).map { (second: $0, look: DatabaseReach.Look.failed($0 < 12 ? "refused" : "starting up")) }
    #expect(told(away).keys.sorted() == [0, 10, 12, 22])
    #expect(
      DatabaseReach.interval * 3 > DatabaseReach.interval + DatabaseReach.patience + DatabaseReporter.lookTimeout * 2)
  }

  @Test func connectionsThatAreAllInUseAreNoNews() {
    #expect(told([(0, .busy)]).isEmpty)
    #expect(told([(0, .reached), (5, .busy), (10, .busy), (11, .failed("x")), (13, .busy)]) == [0: well, 10: well])
    #expect(told([(0, .failed("refused")), (10, .busy)]) == [0: bad, 10: bad])
  }

  @Test func aReportThatWasNotTakenIsDueAgain() {
    var reach = DatabaseReach()
    #expect(reach.report(after: .reached, at: start) == well)
    #expect(reach.pause == DatabaseReach.interval)
    reach.wasNotTaken()
    #expect(reach.pause == DatabaseReach.retryInterval)
    #expect(reach.report(after: .reached, at: start + .seconds(1)) == well)
    #expect(reach.report(after: .failed("x"), at: start + .seconds(2)) == nil)
    #expect(reach.pause == DatabaseReach.retryInterval)
  }
}

@Suite(.serialized, .enabled(if: Requirements.areMet, Requirements.reason))
struct DatabaseReportTests {
  private struct Report: Decodable, Equatable {
    var name: String
    var passed: Bool
    var detail: String
    var interval_seconds: Double
  }

  private func reports(_ control: ControlSocketDouble) throws -> [Report] {
    try control.reports.map { request in
      #expect(request.hasPrefix("POST /v1/checks/hive-service HTTP/1.1\r\n"))
      let body = request.components(separatedBy: "\r\n\r\n").dropFirst().joined()
      return try JSONDecoder().decode(Report.self, from: Data(body.utf8))
    }
  }

  @Test func aDatabaseThatIsNotThereIsToldBeforeTheServiceIsReadyAndItsReturnAtOnce() async throws {
    let server = try await PostgresServer.withSchema("genie")
    server.stop()
    let control = try ControlSocketDouble()
    defer { control.close() }
    control.answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
    let service = try ServiceProcess(
      conninfo: server.conninfo() + " password=horse-battery", environment: ["HIVESUP_SOCKET": control.path])
    // It is ready now, and was not before this.
    let first = try #require(try reports(control).first)
    #expect(!first.passed && first.name == "database" && first.interval_seconds == 10)
    #expect(first.detail.hasPrefix("cannot reach the database at /"), "\(first.detail)")
    #expect(first.detail.hasSuffix("HIVE_DATABASE_URL names it: without it the API uses the container's own"))
    #expect(try HTTPConnection.request(service.port, "GET", "/api/v1/sessions").status == 503)
    try server.start()
    try await eventually { try self.reports(control).last?.passed == true }
    #expect(try HTTPConnection.request(service.port, "GET", "/api/v1/sessions").status == 200)
    #expect(!(control.reports.joined() + service.output).contains("horse-battery"))
    service.signal(SIGTERM)
    #expect(service.waitForExit() == 0)
  }

  @Test func aPID1ThatTakesNoReportsIsToldOfOnceAndKeepsNothingUp() async throws {
    let server = try await PostgresServer.withSchema("genie")
    let control = try ControlSocketDouble()
    defer { control.close() }
    control.reportAnswer = "HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n"
    let service = try ServiceProcess(conninfo: server.conninfo(), environment: ["HIVESUP_SOCKET": control.path])
    try await eventually { control.reports.count >= 3 }
    #expect(service.output.components(separatedBy: "cannot report to PID 1").count == 2, "\(service.output)")
    #expect(try HTTPConnection.request(service.port, "GET", "/api/v1/sessions").status == 200)
  }
}

/// The reporter itself, against a PID 1 of the test's; there is no database.
struct DatabaseReporterTests {
  private func reporter(_ control: ControlSocketDouble, program: String = "hive-service") throws -> DatabaseReporter {
    let conninfo = "host=/nonexistent dbname=x user=x"
    return DatabaseReporter(
      pool: PostgresPool(conninfo, options: PostgresPool.Options(size: 1, overflow: 0)),
      control: ControlSocketClient(path: control.path, eventLoopGroup: MultiThreadedEventLoopGroup.singleton),
      program: program, target: try #require(PostgresTarget(conninfo: conninfo, environment: [:])), remedy: nil,
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
  }

  @Test func itReportsForTheProgramThatItIs() async throws {
    let control = try ControlSocketDouble()
    defer { control.close() }
    try await reporter(control, program: "api_00 x/ü").look()
    #expect(
      control.reports.first?.hasPrefix("POST /v1/checks/api_00%20x%2F%C3%BC HTTP/1.1\r\n") == true, "\(control.reports)"
    )
  }

  /// What is refused is due with the rhythm only, as if it had been taken. (On a busy machine the second look may find another reason,
  /// which is news.)
  @Test(arguments: [("404 Not Found", false), ("409 X", false), ("500 X", true), ("204 No Content", false)])
  func aRefusalIsNoReasonToHurry(_ answer: String, _ isRepeated: Bool) async throws {
    let control = try ControlSocketDouble()
    defer { control.close() }
    control.reportAnswer = "HTTP/1.1 \(answer)\r\ncontent-length: 0\r\n\r\n"
    let reporter = try reporter(control)
    await reporter.look()
    await reporter.look()
    let reports = control.reports
    #expect(isRepeated ? reports.count == 2 : Set(reports).count == reports.count, "\(reports)")
  }
}

struct DatabaseVariableTests {
  @Test(arguments: [
    "postgresql://hive:pa/ss-horse@host:5432/db", "postgresql://hive:horse@battery@host/db", "nonsense horse",
    "postgresql+psycopg://hive:horse@[::1/db",
  ])
  func whatLibpqCannotReadIsRefusedWithoutAWordOfIt(_ url: String) {
    let error = #expect(throws: InvalidEnvironment.self) {
      try ServiceConfiguration(environment: ["HIVE_ROLE": "genie", "HIVE_DATABASE_URL": url])
    }
    #expect(error?.description.contains("HIVE_DATABASE_URL") == true)
    #expect(error?.description.contains("horse") == false)
  }

  @Test func emptyVariablesCountAsNotSet() throws {
    let usual = try ServiceConfiguration(environment: ["HIVE_ROLE": "agent"])
    var environment = ["HIVE_ROLE": "agent"]
    for name in [
      "HIVE_DATABASE_URL", "PGHOST", "PGHOSTADDR", "PGSERVICE", "PGDATABASE", "HIVE_BIND", "HIVE_PORT", "HIVE_PG_PORT",
      "HIVE_RUN_DIR", "HIVE_PGBOUNCER", "HIVESUP_SOCKET", "HIVE_LOG_LEVEL", "HIVE_LOG_FORMAT", "HIVE_POOL_SIZE",
    ] {
      environment[name] = ""
    }
    let empty = try ServiceConfiguration(environment: environment)
    #expect(empty.conninfo == usual.conninfo && empty.host == usual.host && empty.port == usual.port)
    #expect(empty.thermalPath == usual.thermalPath && empty.controlSocket == nil && empty.databaseVariable == nil)
    environment["PGHOST"] = "db.example"
    #expect(try ServiceConfiguration(environment: environment).databaseVariable == "PGHOST")
    #expect(try "\(ServiceConfiguration(environment: environment).target)" == "db.example:5432")
  }
}
