import ControlProtocol
import Glibc
import Testing

@testable import HivePostgresCore

/// PID 1's control socket, as much of it as the monitor speaks to. One that is never asked for the next request takes connections and
/// does not answer.
final class ControlSocket {
  let path: String
  private var listener: Int32 = -1

  init(path: String) { self.path = path }

  func open() throws {
    unlink(path)
    listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    var address = try #require(UnixSocket.address(path))
    let length = UnixSocket.length(path)
    let bound = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(listener, $0, length) }
    }
    try #require(bound == 0 && listen(listener, 128) == 0)
    chmod(path, 0o777)
  }

  func close() {
    if listener >= 0 { Glibc.close(listener) }
    listener = -1
  }

  deinit { close() }

  /// The next request's body, answered with 204; nil when none came in time.
  func next(seconds: Double = 5) -> (path: String, body: JSONValue)? {
    var waiting = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
    guard poll(&waiting, 1, Int32(seconds * 1000)) == 1 else { return nil }
    let client = accept(listener, nil, nil)
    guard client >= 0 else { return nil }
    defer { Glibc.close(client) }
    var request: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    while true {
      let count = recv(client, &chunk, chunk.count, 0)
      guard count > 0 else { return nil }
      request += chunk[..<count]
      let text = String(decoding: request, as: UTF8.self)
      guard let end = text.firstRange(of: "\r\n\r\n"), let field = text.firstRange(of: "Content-Length: "),
        let length = Int(text[field.upperBound...].prefix { $0.isNumber })
      else { continue }
      let body = Array(text[end.upperBound...].utf8)
      guard body.count >= length, let json = try? JSONValue(parsing: body) else { continue }
      let answer = Array("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n".utf8)
      _ = send(client, answer, answer.count, Int32(MSG_NOSIGNAL))
      return (text.split(separator: " ").dropFirst().first.map(String.init) ?? "", json)
    }
  }

  /// Reports until one has this verdict.
  func report(passed: Bool, seconds: Double = 15) -> JSONValue? {
    let deadline = ContinuousClock.now + .seconds(seconds)
    while ContinuousClock.now < deadline {
      if let report = next(), report.body["passed"] == .bool(passed) { return report.body }
    }
    return nil
  }
}

@Suite(.enabled(if: Harness.hasPostgres, Harness.needsPostgres), .serialized)
struct MonitorTests {
  @Test func reportsHealthLossAndRecovery() throws {
    let sandbox = try Sandbox()
    sandbox.environment["HIVESUP_SOCKET"] = sandbox.root + "/control.sock"
    sandbox.environment["HIVE_MONITOR_INTERVAL"] = "1"
    let control = ControlSocket(path: sandbox.root + "/control.sock")
    try control.open()
    // It is there before the database is.
    let monitor = try sandbox.start("monitor")
    #expect(control.report(passed: false) != nil)
    let server = try sandbox.serve()
    #expect(try sandbox.hive("migrate").ending == .exited(0))
    let report = try #require(control.report(passed: true))
    #expect(throws: Never.self) { try ReportDocument(json: report) }
    #expect(report["name"]?.string == "database")
    #expect(report["type"]?.string == "sql")
    #expect(report["interval_seconds"] != nil && report["latency_ms"] != nil)
    #expect(report["detail"]?.string?.contains("of 100 connections") == true)
    // Stopped by a signal that cannot be caught, all of it answers nothing.
    let stopped = try sandbox.servers()
    for pid in stopped { kill(pid, SIGSTOP) }
    let asked = ContinuousClock.now
    let failing = control.report(passed: false)
    #expect(failing?["detail"]?.string?.contains("no answer") == true, "\(String(describing: failing))")
    #expect(ContinuousClock.now - asked < .seconds(5))
    #expect(failing?["detail"]?.string?.contains("the postmaster") == true, "\(String(describing: failing))")
    for pid in stopped { kill(pid, SIGCONT) }
    #expect(control.report(passed: true) != nil)
    // All but the postmaster: whoever holds locks is among them. Nobody has to come and continue them.
    let frozen = try sandbox.servers().filter { $0 != server.pid }
    #expect(frozen.count >= 4)
    for pid in frozen { kill(pid, SIGSTOP) }
    let named = control.report(passed: false)
    #expect(named?["detail"]?.string?.contains("stopped by a signal") == true, "\(String(describing: named))")
    #expect(control.report(passed: true) != nil)
    #expect(frozen.allSatisfy { ProcessTable.info($0)?.state != "T" })
    // The postmaster alone: the kept connection works, new ones do not.
    kill(server.pid, SIGSTOP)
    #expect(control.report(passed: false) != nil)
    kill(server.pid, SIGCONT)
    #expect(control.report(passed: true) != nil)
    // Gone, and back.
    kill(server.pid, SIGKILL)
    _ = Harness.finish(server, seconds: 5)
    #expect(control.report(passed: false) != nil)
    // PID 1 away for a while.
    control.close()
    _ = try sandbox.startServer()
    usleep(1_200_000)
    try control.open()
    #expect(control.report(passed: true) != nil)
    #expect(monitor.poll() == nil)
    kill(monitor.pid, SIGTERM)
    #expect(Harness.finish(monitor, seconds: 2) == .exited(0))
  }

  /// Checks may be an hour apart: hysteresis counts samples, and the API believes a flag for half a minute.
  @Test func readsTheTemperatureHoweverRareChecksAre() throws {
    let sandbox = try Sandbox()
    let sysfs = FakeSysfs()
    chmod(sysfs.root, 0o755)
    try sysfs.write("class/thermal/thermal_zone0/type", "cpu-thermal\n")
    try sysfs.write("class/thermal/thermal_zone0/temp", "50000\n")
    sandbox.environment["HIVESUP_SYSFS_ROOT"] = sysfs.root
    sandbox.environment["HIVESUP_SOCKET"] = sandbox.root + "/control.sock"
    sandbox.environment["HIVE_MONITOR_INTERVAL"] = "3600"
    sandbox.environment["HIVE_PG_PIN"] = "off"
    try FileSystem.makeDirectories(sandbox.run, mode: 0o755)
    let control = ControlSocket(path: sandbox.root + "/control.sock")
    try control.open()
    let monitor = try sandbox.start("monitor")
    func reaches(_ state: String) throws -> Bool {
      for _ in 0..<40 {
        guard let report = control.next() else { continue }
        if report.path == "/v1/thermal" {
          let document = try ThermalDocument(json: report.body)
          #expect(document.intervalSeconds == 2)
          if document.state == state { return true }
        } else {
          #expect(report.body["interval_seconds"]?.double == 3600)
        }
      }
      return false
    }
    #expect(try reaches("normal"))
    try sysfs.write("class/thermal/thermal_zone0/temp", "95000\n")
    #expect(try reaches("critical"), "\(monitor.output())")
    let flag = Path.join(sandbox.run, "thermal")
    #expect(try FileSystem.readText(flag) == "critical\n")
    // Written anew, not once.
    unlink(flag)
    #expect(Harness.eventually { (try? FileSystem.exists(flag)) ?? false })
    try sysfs.write("class/thermal/thermal_zone0/temp", "60000\n")
    #expect(try reaches("warning"))
    kill(monitor.pid, SIGTERM)
    #expect(Harness.finish(monitor, seconds: 5) == .exited(0))
  }

  /// ALTER SYSTEM stands above the brakes' file: that is said, with the way out, and makes nobody ill.
  @Test func aSettingThatDoesNotFollowTheHeatIsNamed() throws {
    let sandbox = try Sandbox()
    let sysfs = FakeSysfs()
    chmod(sysfs.root, 0o755)
    try sysfs.write("class/thermal/thermal_zone0/type", "cpu-thermal\n")
    try sysfs.write("class/thermal/thermal_zone0/temp", "95000\n")
    sandbox.environment["HIVESUP_SYSFS_ROOT"] = sysfs.root
    sandbox.environment["HIVESUP_SOCKET"] = sandbox.root + "/control.sock"
    sandbox.environment["HIVE_MONITOR_INTERVAL"] = "1"
    sandbox.environment["HIVE_PG_PIN"] = "off"
    _ = try sandbox.serve()
    #expect(try sandbox.hive("migrate").ending == .exited(0))
    _ = try sandbox.sql("ALTER SYSTEM SET max_parallel_workers = 6")
    _ = try sandbox.sql("ALTER SYSTEM SET autovacuum_vacuum_cost_delay = '60ms'")
    _ = try sandbox.sql("SELECT pg_reload_conf()")
    let control = ControlSocket(path: sandbox.root + "/control.sock")
    try control.open()
    let monitor = try sandbox.start("monitor")
    func reports(_ accepts: (String) -> Bool) -> Bool {
      for _ in 0..<60 {
        guard let report = control.next() else { continue }
        guard let passed = report.body["passed"], let detail = report.body["detail"]?.string else { continue }
        if passed == .bool(true), accepts(detail) { return true }
      }
      return false
    }
    #expect(reports { $0.contains("degraded") && $0.contains("max_parallel_workers is 6, not 0: set by ALTER SYSTEM") })
    #expect(try sandbox.sql("SHOW max_parallel_workers_per_gather") == "0")
    // Its pace is learned in the heat, and stays what it is: slower than the brakes'.
    #expect(try Harness.eventually { try sandbox.sql("SHOW autovacuum_vacuum_cost_limit") == "50" })
    #expect(try sandbox.sql("SHOW autovacuum_vacuum_cost_delay") == "60ms")
    _ = try sandbox.sql("ALTER SYSTEM RESET max_parallel_workers")
    _ = try sandbox.sql("SELECT pg_reload_conf()")
    #expect(reports { !$0.contains("degraded") })
    #expect(try sandbox.sql("SHOW max_parallel_workers") == "0")
    kill(monitor.pid, SIGTERM)
    #expect(Harness.finish(monitor, seconds: 5) == .exited(0))
    let said = monitor.output().split(separator: "\n").filter { $0.contains("does not brake") }
    #expect(said.count == 1 && said.first?.contains("ALTER SYSTEM RESET max_parallel_workers") == true, "\(said)")
  }

  @Test func tellsTheSupervisorHowItIs() throws {
    let sandbox = try Sandbox()
    let path = sandbox.root + "/notify"
    let fd = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    defer { close(fd) }
    var address = try #require(UnixSocket.address(path))
    let length = UnixSocket.length(path)
    let bound = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(fd, $0, length) }
    }
    try #require(bound == 0)
    chmod(path, 0o777)
    let monitor = try sandbox.start(
      "monitor", ["NOTIFY_SOCKET": path, "WATCHDOG_USEC": "400000", "HIVE_MONITOR_INTERVAL": "2"])
    func next() -> String {
      var waiting = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
      guard poll(&waiting, 1, 3000) == 1 else { return "" }
      var buffer = [UInt8](repeating: 0, count: 4096)
      let count = recv(fd, &buffer, buffer.count, 0)
      return String(decoding: buffer[..<max(0, count)], as: UTF8.self)
    }
    let first = next()
    #expect(first.contains("READY=1") && first.contains("STATUS=failing"), "\(first)")
    let started = ContinuousClock.now
    for _ in 0..<4 { #expect(next().contains("WATCHDOG=1")) }
    // At the pace of the checks it were eight seconds.
    #expect(ContinuousClock.now - started < .seconds(6))
    kill(monitor.pid, SIGTERM)
    var last = ""
    while case let message = next(), !message.isEmpty { last = message }
    #expect(last == "STOPPING=1")
    #expect(Harness.finish(monitor, seconds: 2) == .exited(0))
  }
}
