import Glibc
import HTTPTypes
import Hummingbird
import NIOCore
import PostgresClient
import Synchronization

import struct ControlProtocol.PrometheusWriter
import enum ControlProtocol.PublicPage

/// What the port says about the whole container: the verdict is PID 1's, fetched from its control socket. Without PID 1 (or while it
/// does not answer) the health document has the same shape and tells what this process knows.
final class HealthRoutes: Sendable {
  /// The whole answer must be there within a second.
  static let relayTimeout = Duration.milliseconds(800)

  struct Verdict: Sendable {
    /// 200 or 503.
    var status: Int
    var contentType: String
    var document: ByteBuffer
  }

  private let container: String
  private let control: ControlSocketClient?
  /// A connection of its own, so that a full pool or a long statement does not look like a sick database.
  private let probe: PostgresPool
  private let started = ContinuousClock.now
  /// Requests that come while an answer is being made share it: however often the world asks, PID 1 is asked by one.
  private let inFlight = Mutex<[PublicPage: Task<Verdict, Never>]>([:])

  init(container: String, conninfo: String, control: ControlSocketClient?) {
    self.container = container
    self.control = control
    probe = PostgresPool(
      conninfo,
      options: PostgresPool.Options(
        size: 1, overflow: 0, acquireTimeout: .milliseconds(700), patience: .zero,
        connect: PostgresConnectOptions(
          connectTimeout: .milliseconds(600), queryTimeout: .milliseconds(600), applicationName: "hive-service health"))
    )
  }

  func add(to routes: inout RouteTable) {
    for page in PublicPage.allCases {
      for path in page.paths {
        routes.on(.get, path) { _, _ in await self.answer(page) }
      }
    }
  }

  func close() async { await probe.close(timeout: .milliseconds(100)) }

  private func answer(_ page: PublicPage) async -> Response {
    let shared = inFlight.withLock { current -> Task<Verdict, Never> in
      if let task = current[page] { return task }
      let fresh = Task { [self] in
        defer { inFlight.withLock { $0[page] = nil } }
        return await makeVerdict(page)
      }
      current[page] = fresh
      return fresh
    }
    let verdict = await shared.value
    var headers: HTTPFields = [.contentType: verdict.contentType, .cacheControl: "no-store"]
    if verdict.status == 503 { headers[.retryAfter] = "1" }
    return Response(
      status: verdict.status == 200 ? .ok : .serviceUnavailable, headers: headers,
      body: ResponseBody(byteBuffer: verdict.document))
  }

  private func makeVerdict(_ page: PublicPage) async -> Verdict {
    guard let control else { return await ownVerdict(page, reason: nil) }
    do {
      let answer = try await control.get(page.controlPath, timeout: Self.relayTimeout)
      guard answer.status == 200 || answer.status == 503 else {
        throw ControlSocketClient.Failure(description: "it answered \(answer.status)")
      }
      return Verdict(status: answer.status, contentType: Self.contentType(page), document: answer.body)
    } catch {
      return await ownVerdict(page, reason: "cannot get the verdict of PID 1 from \(control.path): \(error)")
    }
  }

  private static func contentType(_ page: PublicPage) -> String {
    switch page {
    case .health: "application/json"
    case .livez, .readyz, .startupz: "text/plain; charset=utf-8"
    case .metrics: PrometheusWriter.contentType
    }
  }

  // MARK: - Without PID 1

  private func ownVerdict(_ page: PublicPage, reason: String?) async -> Verdict {
    switch page {
    case .health: return await ownDocument(reason: reason)
    case .livez: return text(reason ?? "ok", isGood: reason == nil)
    case .metrics: return text(reason ?? "the metrics are PID 1's: there is no HIVESUP_SOCKET", isGood: false)
    case .readyz, .startupz:
      if let reason { return text(reason, isGood: false) }
      let failure = await databaseFailure()
      return text(failure.map { "postgresql: \($0)" } ?? "ok", isGood: failure == nil)
    }
  }

  private func text(_ line: String, isGood: Bool) -> Verdict {
    Verdict(
      status: isGood ? 200 : 503, contentType: "text/plain; charset=utf-8", document: ByteBuffer(string: "\(line)\n"))
  }

  /// Why `SELECT 1` is not answered; nil: it is.
  private func databaseFailure() async -> String? {
    do {
      try await probe.query("SELECT 1")
      return nil
    } catch {
      return "\(error)"
    }
  }

  private func ownDocument(reason: String?) async -> Verdict {
    let begin = ContinuousClock.now
    // With PID 1 silent the time is spent; what the database does is then not the question.
    let failure = reason == nil ? await databaseFailure() : nil
    let latency = ContinuousClock.now - begin
    let isHealthy = reason == nil && failure == nil
    var reasons: [JSONValue] = []
    if let reason { reasons.append(.string(reason)) }
    if let failure { reasons.append(.string("postgresql: \(failure)")) }
    var services: [(String, JSONValue)] = []
    if reason == nil {
      services.append(
        (
          "postgresql",
          [
            "status": failure == nil ? "healthy" : "unhealthy", "state": "UNKNOWN", "pid": .null,
            "uptime_seconds": .null,
            "restarts": .null, "last_exit": .null,
            "checks": [
              [
                "name": "ready", "type": "postgres", "status": failure == nil ? "passing" : "failing",
                "latency_ms": Self.decimal(latency / .milliseconds(1)), "observed_at": .string(UTCTime.rfc3339()),
                "detail": .string(failure ?? ""),
              ]
            ],
          ]
        ))
    }
    services.append(
      (
        "hive-service",
        [
          "status": "healthy", "state": "RUNNING", "pid": .integer(getpid()), "uptime_seconds": uptime, "restarts": 0,
          "last_exit": .null, "checks": [],
        ]
      ))
    let document: JSONValue = [
      "status": isHealthy ? "healthy" : "unhealthy", "container": .string(container),
      "version": .string(ServiceVersion.current), "timestamp": .string(UTCTime.rfc3339()), "uptime_seconds": uptime,
      "database": reason != nil ? "unknown" : failure == nil ? "connected" : "disconnected",
      "reasons": .array(reasons), "services": .object(JSONObject(services)),
    ]
    return Verdict(
      status: isHealthy ? 200 : 503, contentType: "application/json", document: ByteBuffer(bytes: document.serialized))
  }

  private var uptime: JSONValue { Self.decimal((ContinuousClock.now - started) / .seconds(1)) }

  /// Three decimals.
  private static func decimal(_ value: Double) -> JSONValue {
    let thousandths = Int64((value * 1000).rounded())
    let fraction = String(thousandths % 1000)
    return .number("\(thousandths / 1000).\(String(repeating: "0", count: 3 - fraction.count))\(fraction)")
  }
}
