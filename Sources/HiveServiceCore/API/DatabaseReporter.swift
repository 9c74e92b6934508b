import Logging
import NIOCore
import PostgresClient

import struct ControlProtocol.ReportDocument

/// Tells PID 1 whether the API's own connections reach the database, as the check `database` of the program `hive-service`: what the
/// monitor says is true of the container's own server, and the API may have been sent to another one. Nothing is restarted for it.
///
/// A look is a `SELECT 1` on a connection of the pool, every ten seconds while all is well.
actor DatabaseReporter {
  private let pool: PostgresPool
  private let control: ControlSocketClient
  private let target: PostgresTarget
  private let remedy: String?
  private let logger: Logger
  private var reach = DatabaseReach()
  private var isHeard = true

  /// How long one look may take.
  static let lookTimeout = Duration.seconds(3)
  private static let reportTimeout = Duration.seconds(1)

  /// - Parameters:
  ///   - target: where the pool connects to, for the reason.
  ///   - remedy: what a person can do about a database that is not there, if anything is known.
  init(
    pool: PostgresPool, control: ControlSocketClient, target: PostgresTarget, remedy: String?, logger: Logger
  ) {
    self.pool = pool
    self.control = control
    self.target = target
    self.remedy = remedy
    self.logger = logger
  }

  /// Looks, and tells PID 1 what is due. It ends within four seconds, whatever the database and PID 1 do.
  func look() async {
    let look = await outcome()
    guard !Task.isCancelled, let report = reach.report(after: look, at: .now) else { return }
    await tell(report)
  }

  /// Goes on looking until the task is cancelled.
  func run() async {
    while true {
      do { try await Task.sleep(for: reach.pause) } catch { return }
      await look()
    }
  }

  private func outcome() async -> DatabaseReach.Look {
    let pool = pool
    do {
      return try await withThrowingTaskGroup(of: Bool.self) { group in
        group.addTask {
          try await pool.query("SELECT 1", timeout: .seconds(2))
          return true
        }
        group.addTask {
          try await Task.sleep(for: Self.lookTimeout)
          return false
        }
        defer { group.cancelAll() }
        if try await group.next() == true { return .reached }
        // Whoever waits behind requests learns nothing: they have connections.
        return pool.statistics.checkedOut > 0 ? .busy : .failed(sentence("no connection within \(Self.lookTimeout)"))
      }
    } catch let error as PostgresError {
      return error.code == .poolExhausted || error.code == .poolClosed ? .busy : .failed(sentence(Self.reason(error)))
    } catch {
      return .busy
    }
  }

  private func sentence(_ reason: String) -> String {
    "cannot reach the database at \(target): \(reason)" + (remedy.map { "; \($0)" } ?? "")
  }

  private static func reason(_ error: PostgresError) -> String {
    error.code == .queryTimeout ? "it does not answer" : error.message
  }

  private func tell(_ report: DatabaseReach.Report) async {
    var detail = report.detail
    // PID 1 refuses more.
    while detail.utf8.count > 1024 { detail.removeLast() }
    let body = ReportDocument(
      name: "database", type: "sql", passed: report.passed, latencyMilliseconds: 0, detail: detail,
      intervalSeconds: DatabaseReach.interval / .seconds(1)
    ).json
    do {
      let answer = try await control.send(
        .POST, "/v1/checks/hive-service", body: body, timeout: Self.reportTimeout)
      guard (200..<300).contains(answer.status) else {
        throw ControlSocketClient.Failure(description: "it answered \(answer.status)")
      }
      isHeard = true
    } catch {
      reach.wasNotTaken()
      if isHeard, !Task.isCancelled {
        logger.warning("cannot report to PID 1 at \(control.path): \(error); trying again")
      }
      isHeard = false
    }
  }
}
