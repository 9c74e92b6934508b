import Foundation
import Glibc
import Testing

@testable import HiveServiceCore

@Suite struct HeatAdmissionTests {
  private let directory = FileManager.default.temporaryDirectory.path + "/heat-\(UUID().uuidString)"
  private var path: String { directory + "/thermal" }

  init() throws { try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true) }

  private func write(_ text: String, ageSeconds: Int = 0) throws {
    try text.write(toFile: path, atomically: true, encoding: .utf8)
    var times = [
      timeval(tv_sec: time(nil) - ageSeconds, tv_usec: 0), timeval(tv_sec: time(nil) - ageSeconds, tv_usec: 0),
    ]
    utimes(path, &times)
  }

  /// Holds `count` requests open, and tells how many of them and of one more were refused.
  private func refused(_ count: Int, limit: Int) async -> Int {
    let admission = HeatAdmission(path: path, limit: limit)
    return await withTaskGroup(of: Bool.self) { group in
      for _ in 0..<count {
        group.addTask {
          do {
            try await admission.admit { try await Task.sleep(for: .milliseconds(200)) }
            return false
          } catch {
            return (error as? APIError)?.headers[.retryAfter] == "2"
          }
        }
      }
      return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
    }
  }

  @Test func onlyACriticalStateLimits() async throws {
    #expect(await refused(10, limit: 2) == 0)
    try write("warning\n")
    #expect(await refused(10, limit: 2) == 0)
    try write("critical\n")
    #expect(await refused(10, limit: 2) == 8)
    #expect(await refused(2, limit: 2) == 0)
  }

  @Test func aDeadMonitorsFileLimitsNothing() async throws {
    try write("critical\n", ageSeconds: HeatAdmission.freshSeconds + 5)
    #expect(await refused(10, limit: 1) == 0)
  }

  @Test(arguments: ["", "crit", "CRITICAL", "\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}", "warning"])
  func otherTextsAreNotCritical(_ text: String) throws {
    try write(text)
    #expect(!HeatAdmission.isCritical(path))
  }

  @Test func whatIsNoFileIsNotOpenedForEver() throws {
    #expect(!HeatAdmission.isCritical(directory))
    try #require(mkfifo(path, 0o600) == 0)
    #expect(!HeatAdmission.isCritical(path))
  }

  @Test func aPlaceIsGivenBackAfterAFailure() async throws {
    try write("critical\n")
    let admission = HeatAdmission(path: path, limit: 1)
    for _ in 0..<5 {
      await #expect(throws: CancellationError.self) { try await admission.admit { throw CancellationError() } }
    }
    #expect(try await admission.admit { 7 } == 7)
  }
}

@Suite(.serialized, .enabled(if: Requirements.areMet, Requirements.reason))
struct HotServiceTests {
  @Test func healthIsAnsweredWhateverTheHeat() async throws {
    let directory = FileManager.default.temporaryDirectory.path + "/hot-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    let service = try ServiceProcess(conninfo: "host=/nonexistent", environment: ["HIVE_RUN_DIR": directory])
    try "critical\n".write(toFile: directory + "/thermal", atomically: true, encoding: .utf8)
    // One at a time is below the limit: the heat is not what answers.
    let one = try HTTPConnection.request(service.port, "GET", "/api/v1/sessions")
    #expect(one.status == 503 && !one.text.contains("too hot"))
    #expect(try HTTPConnection.request(service.port, "GET", "/livez").status == 200)
  }
}
