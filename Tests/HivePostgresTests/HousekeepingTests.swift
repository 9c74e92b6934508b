// What the monitor does besides its checks goes on while they hang: the server's socket and PID 1's take connections here and never answer.

import CPUTopology
import ControlProtocol
import Glibc
import Testing

@testable import HivePostgresCore

@Suite(.serialized) struct HousekeepingTests {
  private func directory() throws -> String {
    var template = Array("/tmp/hk-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw Failure.system("make a directory", errno) }
    return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  @Test func aSessionThatDoesNotComeAboutLeavesTimeForOthers() throws {
    let directory = try directory()
    defer { try? FileSystem.remove(directory) }
    let server = ControlSocket(path: directory + "/.s.PGSQL.5432")
    try server.open()
    let interruption = Interruption(descriptor: -1)
    var turns = 0
    do throws(SQLFailure) {
      _ = try SQLConnection(
        [("host", directory), ("port", "5432"), ("user", "x"), ("dbname", "x")], within: .seconds(1), interruption,
        meanwhile: {
          turns += 1
          return .milliseconds(50)
        })
      Issue.record("there is nobody who answers")
    } catch {
      #expect(error.kind == .timeout)
    }
    // Twenty on a machine that does nothing else.
    #expect(turns >= 4, "\(turns)")
  }

  @Test func aReportThatIsNotTakenLeavesTimeForOthers() throws {
    let directory = try directory()
    defer { try? FileSystem.remove(directory) }
    let control = ControlSocket(path: directory + "/control.sock")
    try control.open()
    var turns = 0
    let client = ControlClient(
      socketPath: control.path, interruption: Interruption(descriptor: -1),
      meanwhile: {
        turns += 1
        return .milliseconds(50)
      })
    #expect(throws: ControlClient.Problem.unreachable("no answer in time")) {
      try client.post("/v1/thermal", [], within: .seconds(1))
    }
    #expect(turns >= 4, "\(turns)")
  }

  /// The stop signal is taken from the kernel by whoever notices it, here the question where a setting comes from.
  @Test func aStopSignalDuringAQuestionIsPassedOnAndAFailureIsAskedAgain() throws {
    let sysfs = FakeSysfs()
    try sysfs.write("sys/class/thermal/thermal_zone0/type", "cpu-thermal")
    try sysfs.write("sys/class/thermal/thermal_zone0/temp", "90000")
    let said = Said()
    let console = Console { said.lines.append($0) }
    var thermal = ThermalControl(
      root: Path.join(sysfs.root, "sys"), thresholds: ThermalThresholds(), serverFiles: sysfs.root,
      runDirectory: sysfs.root)
    _ = thermal.look(at: .now - .seconds(10), postmaster: nil, console: console)
    let house = Housekeeping(
      thermal: thermal,
      pinner: Pinner.live(
        settings: PinSettings(), environment: [:], dataDirectory: sysfs.root, runDirectory: sysfs.root, console: console
      ),
      dataDirectory: sysfs.root, checkInterval: .seconds(2), notify: Notify(environment: [:]), console: console,
      at: .now
    )
    for kind in [SQLFailure.Kind.timeout, .interrupted(SIGTERM)] {
      do throws(SQLFailure) {
        try house.learn(["max_parallel_workers": "6"]) { (_) throws(SQLFailure) in
          throw SQLFailure(kind: kind, message: "")
        }
        Issue.record("nothing was thrown")
      } catch {
        #expect(error.kind == kind)
      }
    }
    #expect(!said.lines.contains { $0.contains("does not brake") })
    try house.learn(["max_parallel_workers": "6"]) { _ in
      ["max_parallel_workers": SettingOrigin(source: "command line", file: nil)]
    }
    #expect(said.lines.contains { $0.contains("does not brake") && $0.contains("command line") })
  }

  /// Every check and every report takes its full second: what the postmaster starts meanwhile is moved as fast as ever.
  @Test(
    .enabled(if: Harness.hasPostgres, Harness.needsPostgres),
    .enabled(if: CPUSet([0, 1]).isSubset(of: Affinity.current() ?? []), "needs CPU 0 and CPU 1"))
  func processesAreMovedWhileEverythingElseHangs() throws {
    let sandbox = try Sandbox()
    sandbox.environment.merge([
      "HIVE_CPU_PERFORMANCE": "0", "HIVE_CPU_EFFICIENCY": "1", "HIVE_MONITOR_INTERVAL": "1",
      "HIVESUP_SOCKET": sandbox.root + "/control.sock", "HIVESUP_SYSFS_ROOT": "/nonexistent",
    ]) { $1 }
    try FileSystem.makeDirectories(sandbox.run, mode: 0o755)
    try FileSystem.makeDirectories(sandbox.pgdata, mode: 0o700)
    let control = ControlSocket(path: sandbox.root + "/control.sock")
    try control.open()
    let database = ControlSocket(path: sandbox.run + "/.s.PGSQL.\(sandbox.port)")
    try database.open()
    let count = 12
    // In the cluster's directory, as a postmaster is; its children come when none of the monitor's rhythms expects them.
    let postmaster = try Child(
      "/bin/bash",
      [
        "-c",
        """
        cd "$0" && sleep 4
        for i in {1..\(count)}; do (exec -a 'postgres: autovacuum worker hive' sleep 1000) & sleep 0.37; done
        wait
        """, sandbox.pgdata,
      ], environment: ["PATH": "/usr/bin:/bin"], deathSignal: 0)
    defer {
      for child in ProcessTable.children(postmaster.pid) { kill(child.identity.pid, SIGKILL) }
      postmaster.kill()
      postmaster.release()
    }
    try sandbox.write(sandbox.pgdata + "/postmaster.pid", "\(postmaster.pid)\n\(sandbox.pgdata)\n")
    let monitor = try sandbox.start("monitor")
    var seen: [pid_t: ContinuousClock.Instant] = [:]
    var waits: [pid_t: Duration] = [:]
    let end = ContinuousClock.now + .seconds(30)
    while waits.count < count, ContinuousClock.now < end {
      for child in ProcessTable.children(postmaster.pid) {
        let pid = child.identity.pid
        guard waits[pid] == nil, ServerRole(title: ProcessTable.title(pid)) == .autovacuumWorker else { continue }
        let since = seen[pid] ?? .now
        seen[pid] = since
        if Affinity.current(of: pid) == [1] { waits[pid] = .now - since }
      }
      usleep(3000)
    }
    #expect(waits.count == count, "\(waits) \(monitor.output())")
    // A quarter of a second, and what a busy machine adds: one check and two reports would be three seconds.
    #expect(waits.values.allSatisfy { $0 < .seconds(1) }, "\(waits.values)")
    kill(monitor.pid, SIGTERM)
    #expect(Harness.finish(monitor, seconds: 5) == .exited(0))
    #expect(monitor.output().contains("no answer within"), "\(monitor.output())")
  }

  /// The same on a real server, where a session has locked pg_database: nobody gets in any more, and what needs no session starts as ever.
  @Test(
    .enabled(if: Harness.hasPostgres, Harness.needsPostgres),
    .enabled(if: CPUSet([0, 1]).isSubset(of: Affinity.current() ?? []), "needs CPU 0 and CPU 1"))
  func processesAreMovedWhilePgDatabaseIsLocked() throws {
    let sandbox = try Sandbox()
    sandbox.environment.merge([
      "HIVE_CPU_PERFORMANCE": "0", "HIVE_CPU_EFFICIENCY": "1", "HIVE_MONITOR_INTERVAL": "1",
      "HIVE_PG_PIN_BACKGROUND_WRITER": "efficiency", "HIVESUP_SOCKET": sandbox.root + "/control.sock",
      "HIVESUP_SYSFS_ROOT": "/nonexistent",
    ]) { $1 }
    let control = ControlSocket(path: sandbox.root + "/control.sock")
    try control.open()
    let server = try sandbox.serve()
    #expect(try sandbox.hive("migrate").ending == .exited(0))
    let lock = try Child(
      (Harness.bindir ?? "") + "/psql",
      [
        "-h", sandbox.run, "-p", String(sandbox.port), "-U", "postgres", "-wXAtq", "postgres",
        "-c", "BEGIN", "-c", "LOCK pg_database", "-c", "SELECT pg_sleep(60)",
      ], environment: ["PATH": "/usr/bin:/bin"], deathSignal: 0)
    defer {
      lock.kill()
      lock.release()
    }
    func isLocked() -> Bool {
      ProcessTable.children(server.pid).contains { ProcessTable.title($0.identity.pid).hasSuffix("[local] SELECT") }
    }
    #expect(Harness.eventually(isLocked), "\(lock.output())")
    let monitor = try sandbox.start("monitor")
    func writer() -> pid_t? {
      ProcessTable.children(server.pid).map(\.identity.pid).first {
        ServerRole(title: ProcessTable.title($0)) == .backgroundWriter
      }
    }
    func isMoved(_ pid: pid_t) -> Bool { Affinity.current(of: pid) == [1] }
    #expect(Harness.eventually { writer().map(isMoved) ?? false }, "\(monitor.output())")
    var waits: [Duration] = []
    for round in 0..<8 {
      let old = try #require(writer())
      kill(old, SIGTERM)
      #expect(Harness.eventually { writer().map { $0 != old } ?? false })
      let since = ContinuousClock.now
      let new = try #require(writer())
      #expect(Harness.eventually { isMoved(new) })
      waits.append(.now - since)
      // At another point of the monitor's rhythm each time.
      usleep(useconds_t(370_000 + 20_000 * round))
    }
    #expect(waits.allSatisfy { $0 < .seconds(1) }, "\(waits)")
    #expect(isLocked())
    kill(monitor.pid, SIGTERM)
    #expect(Harness.finish(monitor, seconds: 5) == .exited(0))
    #expect(monitor.output().contains("no answer within"), "\(monitor.output())")
    lock.kill()
    #expect(sandbox.stop(server) == .exited(0))
  }
}
