import Logging
import NIOCore
import PostgresClient
import Synchronization

import enum ControlProtocol.PercentEncoding
import struct ControlProtocol.ReportDocument

/// Tells PID 1 whether the API's own connections reach the database, as the check `database` of this program: what the
/// monitor says is true of the container's own server, and the API may have been sent to another one. Nothing is restarted for it.
///
/// A look is a `SELECT 1` on a connection of the pool, every ten seconds while all is well.
actor DatabaseReporter {
  private let pool: PostgresPool
  private let control: ControlSocketClient
  private let program: String
  private let target: PostgresTarget
  private let remedy: String?
  private let logger: Logger
  private var reach = DatabaseReach()
  private var isHeard = true

  /// How long one look may take.
  static let lookTimeout = Duration.seconds(3)
  private static let reportTimeout = Duration.seconds(1)

  /// - Parameters:
  ///   - program: what PID 1 calls this process.
  ///   - target: where the pool connects to, for the reason.
  ///   - remedy: what a person can do about a database that is not there, if anything is known.
  init(
    pool: PostgresPool, control: ControlSocketClient, program: String, target: PostgresTarget, remedy: String?,
    logger: Logger
  ) {
    self.pool = pool
    self.control = control
    self.program = program
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

  /// Until the next look.
  var pause: Duration { reach.pause }

  /// Goes on looking until the task is cancelled.
  func run() async {
    while true {
      do { try await Task.sleep(for: pause) } catch { return }
      await look()
    }
  }

  private func outcome() async -> DatabaseReach.Look {
    let pool = pool
    let lease = Lease()
    do {
      return try await withThrowingTaskGroup(of: Bool.self) { group in
        group.addTask {
          try await pool.withConnection { connection in
            lease.isThere.store(true, ordering: .relaxed)
            _ = try await connection.query("SELECT 1", timeout: .seconds(2))
          }
          return true
        }
        group.addTask {
          try await Task.sleep(for: Self.lookTimeout)
          return false
        }
        defer { group.cancelAll() }
        if try await group.next() == true { return .reached }
        // Whoever waits behind requests learns nothing: they have connections.
        if lease.isThere.load(ordering: .relaxed) { return .failed(sentence("it does not answer")) }
        return pool.statistics.checkedOut > 0 ? .busy : .failed(sentence("no connection within \(Self.lookTimeout)"))
      }
    } catch let error as PostgresError {
      return error.code == .poolExhausted || error.code == .poolClosed ? .busy : .failed(sentence(Self.reason(error)))
    } catch {
      return .busy
    }
  }

  /// Whether a look has a connection of its own.
  private final class Lease: Sendable {
    let isThere = Atomic(false)
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
        .POST, "/v1/checks/\(ControlProtocol.PercentEncoding.encode(program))", body: body, timeout: Self.reportTimeout)
      // It knows no such program, or wants none of this: the next one may be due when it is, and not before.
      if (400..<500).contains(answer.status) {
        if isHeard {
          let unknown = "it answered \(answer.status) for the program \(program)"
          logger.warning(
            "cannot report to PID 1 at \(control.path): \(unknown): health is without what the API sees of the database"
          )
        }
        isHeard = false
        return
      }
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
