import Foundation
import Glibc
import NIOPosix
import PostgresTestSupport
import Testing

@testable import HiveServiceCore

@Suite(.serialized, .enabled(if: Requirements.areMet, Requirements.reason))
struct HealthRelayTests {
  @Test func relaysTheVerdictOfPID1() async throws {
    let server = try await PostgresServer.withSchema("genie")
    let control = try ControlSocketDouble()
    defer { control.close() }
    let service = try ServiceProcess(conninfo: server.conninfo(), environment: ["HIVESUP_SOCKET": control.path])
    for (status, body) in [(200, #"{"status":"healthy","container":"genie"}"#), (503, #"{"status":"starting"}"#)] {
      for path in ["/health", "/api/v1/health"] {
        control.answer = "HTTP/1.1 \(status) X\r\ncontent-length: \(body.utf8.count)\r\n\r\n\(body)"
        let response = try HTTPConnection.request(service.port, "GET", path)
        #expect(response.status == status && response.text == body)
        #expect(response.headers["cache-control"] == "no-store")
        let head = try HTTPConnection.request(service.port, "HEAD", path)
        #expect(head.status == status && head.body.isEmpty)
      }
    }
    #expect(control.lastRequest.hasPrefix("GET /v1/health HTTP/1.1\r\n"))
  }

  @Test func relaysProbesAndMetrics() async throws {
    let server = try await PostgresServer.withSchema("genie")
    let control = try ControlSocketDouble()
    defer { control.close() }
    let service = try ServiceProcess(conninfo: server.conninfo(), environment: ["HIVESUP_SOCKET": control.path])
    for path in ["/livez", "/readyz", "/startupz", "/metrics"] {
      for (status, body) in [(200, "ok\n"), (503, "postgresql is STARTING\n")] {
        control.answer = "HTTP/1.1 \(status) X\r\ncontent-length: \(body.utf8.count)\r\n\r\n\(body)"
        let response = try HTTPConnection.request(service.port, "GET", path)
        #expect(response.status == status && response.text == body, "\(path)")
        #expect(response.headers["content-type"]?.hasPrefix("text/plain") == true)
        #expect(control.lastRequest.hasPrefix("GET \(path) HTTP/1.1\r\n"))
        #expect(try HTTPConnection.request(service.port, "POST", path).status == 405)
      }
      control.answer = "garbage\r\n\r\n"
      let silent = try HTTPConnection.request(service.port, "GET", path)
      #expect(silent.status == 503 && silent.text.contains("cannot get the verdict of PID 1"))
    }
  }

  @Test func withoutPID1TheProbesTellOfTheServiceItself() async throws {
    let server = try await PostgresServer.withSchema("genie")
    let service = try ServiceProcess(conninfo: server.conninfo())
    for path in ["/livez", "/readyz", "/startupz"] {
      let response = try HTTPConnection.request(service.port, "GET", path)
      #expect(response.status == 200 && response.text == "ok\n", "\(path)")
    }
    #expect(try HTTPConnection.request(service.port, "GET", "/metrics").status == 503)
    let lonely = try ServiceProcess(conninfo: "host=/nonexistent")
    #expect(try HTTPConnection.request(lonely.port, "GET", "/livez").status == 200)
    let unready = try HTTPConnection.request(lonely.port, "GET", "/readyz")
    #expect(unready.status == 503 && unready.text.hasPrefix("postgresql: "))
  }

  @Test func saysWithinASecondThatPID1DoesNotAnswer() async throws {
    let server = try await PostgresServer.withSchema("genie")
    let control = try ControlSocketDouble()
    defer { control.close() }
    let service = try ServiceProcess(conninfo: server.conninfo(), environment: ["HIVESUP_SOCKET": control.path])
    for answer in [
      "", "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf", "garbage\r\n\r\n",
      "HTTP/1.1 404 X\r\ncontent-length: 0\r\n\r\n",
    ] {
      control.answer = answer
      let begin = ContinuousClock.now
      let response = try HTTPConnection.request(service.port, "GET", "/api/v1/health")
      #expect(response.status == 503)
      #expect(ContinuousClock.now - begin < .seconds(5))
      #expect(try response.json["status"] == "unhealthy" && response.json["database"] == "unknown")
      #expect(response.text.contains("cannot get the verdict of PID 1 from \(control.path)"))
    }
    control.close()
    let absent = try HTTPConnection.request(service.port, "GET", "/api/v1/health")
    #expect(absent.status == 503)
  }
}

/// Answers every connection to a unix socket with the same bytes. An empty answer means silence.
final class ControlSocketDouble: @unchecked Sendable {  // Unchecked: guarded by the lock.
  let path: String
  private let descriptor: Int32
  private let lock = NSLock()
  private var storedAnswer = ""
  private var storedRequest = ""
  private var storedReports: [String] = []
  private var storedReportAnswer = "HTTP/1.1 204 No Content\r\n\r\n"

  var answer: String {
    get { lock.withLock { storedAnswer } }
    set { lock.withLock { storedAnswer = newValue } }
  }
  var lastRequest: String { lock.withLock { storedRequest } }
  /// Reports of checks, which come by themselves: they are kept apart, and answered with `reportAnswer`.
  var reports: [String] { lock.withLock { storedReports } }
  var reportAnswer: String {
    get { lock.withLock { storedReportAnswer } }
    set { lock.withLock { storedReportAnswer = newValue } }
  }

  init() throws {
    path = "/tmp/hive-control-\(getpid())-\(UInt32.random(in: 0 ... .max)).sock"
    descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    let descriptor = descriptor
    guard UnixAddress.with(path, { bind(descriptor, $0, $1) }) == 0, listen(descriptor, 16) == 0 else {
      throw TestFailure("cannot listen on \(path)")
    }
    Thread.detachNewThread { self.serve() }
  }

  func close() {
    shutdown(descriptor, Int32(SHUT_RDWR))
    unlink(path)
  }

  private func serve() {
    var silent: [Int32] = []
    while true {
      let client = accept(descriptor, nil, nil)
      guard client >= 0 else { break }
      var buffer = [UInt8](repeating: 0, count: 4096)
      let count = recv(client, &buffer, buffer.count, 0)
      let request = String(decoding: buffer.prefix(max(0, count)), as: UTF8.self)
      let bytes = lock.withLock {
        if request.hasPrefix("POST /v1/checks/") {
          storedReports.append(request)
          return Array(storedReportAnswer.utf8)
        }
        storedRequest = request
        return Array(storedAnswer.utf8)
      }
      if bytes.isEmpty {
        silent.append(client)
      } else {
        _ = send(client, bytes, bytes.count, Int32(MSG_NOSIGNAL))
        Glibc.close(client)
      }
    }
    silent.forEach { Glibc.close($0) }
    Glibc.close(descriptor)
  }
}
