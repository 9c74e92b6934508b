// A real server on the two CPUs of the machine, which are made into two classes: CPU 0 is a performance core, CPU 1 an efficiency core.
// What counts are the kernel's masks.

import CPUTopology
import ControlProtocol
import Glibc
import Testing

@testable import HivePostgresCore

private let hasTwoCPUs = CPUSet([0, 1]).isSubset(of: Affinity.current() ?? [])

/// One look at every process of a server.
private struct Look {
  var pid: pid_t
  var role: ServerRole
  var mask: String
  /// Since this process was first seen, in seconds.
  var age: Double
}

/// Looks at a server's processes; remembers since when it has known each.
private struct Looker {
  let postmaster: pid_t
  private var known: [pid_t: (role: ServerRole, since: ContinuousClock.Instant)] = [:]

  init(postmaster: pid_t) { self.postmaster = postmaster }

  mutating func look() -> [Look] {
    var looks: [Look] = []
    let now = ContinuousClock.now
    for pid in [postmaster] + ProcessTable.children(postmaster).map(\.identity.pid) {
      let role = pid == postmaster ? .postmaster : ServerRole(title: ProcessTable.title(pid))
      guard let role, let mask = Affinity.current(of: pid) else { continue }
      if known[pid]?.role != role { known[pid] = (role, now) }
      looks.append(Look(pid: pid, role: role, mask: mask.list, age: (now - (known[pid]?.since ?? now)) / .seconds(1)))
    }
    return looks
  }
}

@Suite(
  .enabled(if: Harness.hasPostgres, Harness.needsPostgres), .enabled(if: hasTwoCPUs, "needs CPU 0 and CPU 1"),
  .serialized)
struct PinnedServerTests {
  private static let classes = [
    "HIVE_CPU_PERFORMANCE": "0", "HIVE_CPU_EFFICIENCY": "1", "HIVE_MONITOR_INTERVAL": "1", "HIVESUP_SOCKET": "",
    // Whatever the machine's own sensors say, this is about cores.
    "HIVESUP_SYSFS_ROOT": "/nonexistent",
  ]

  private func sandbox(_ extra: [String: String] = [:]) throws -> Sandbox {
    let sandbox = try Sandbox()
    sandbox.environment.merge(Self.classes) { $1 }
    sandbox.environment.merge(extra) { $1 }
    return sandbox
  }

  private static func expected(_ role: ServerRole) -> String {
    switch PinGroup(role) {
    case .autovacuum, .archiver, .logicalLauncher, .logger: "1"
    default: "0"
    }
  }

  /// Connections come and go, an autovacuum worker works slowly, and every process is on the CPUs of its role: backends from the first
  /// moment on, the others soon after.
  @Test func everyProcessIsOnTheCoresOfItsRole() throws {
    let sandbox = try sandbox()
    let server = try sandbox.serve()
    let monitor = try sandbox.start("monitor")
    #expect(try sandbox.hive("migrate").ending == .exited(0))
    var looker = Looker(postmaster: server.pid)
    func isSettled() -> Bool {
      let looks = looker.look()
      return looks.count >= 6 && looks.allSatisfy { $0.mask == Self.expected($0.role) }
    }
    #expect(Harness.eventually(isSettled), "\(looker.look())")

    _ = try sandbox.sql("CREATE TABLE churn AS SELECT generate_series(1, 60000) AS number, repeat('x', 100) AS text")
    _ = try sandbox.sql("ALTER SYSTEM SET autovacuum_naptime = '1s'")
    _ = try sandbox.sql("ALTER TABLE churn SET (autovacuum_vacuum_cost_delay = 50, autovacuum_vacuum_cost_limit = 50)")
    _ = try sandbox.sql("SELECT pg_reload_conf()")
    _ = try sandbox.sql("UPDATE churn SET number = number + 1")
    // pgbench -C, as far as it concerns the server.
    let psql = (Harness.bindir ?? "") + "/psql"
    let clients = try (0..<3).map { _ in
      try Child(
        "/bin/sh",
        [
          "-c",
          "while :; do \"$0\" -h \"$1\" -p \"$2\" -U postgres -wXAtqc 'SELECT count(*) FROM churn' postgres || exit 1; done",
          psql, sandbox.run, String(sandbox.port),
        ], environment: ["PATH": "/usr/bin:/bin"], deathSignal: 0)
    }
    defer {
      for client in clients {
        client.kill()
        client.release()
      }
    }
    var backends: Set<pid_t> = []
    var wrongBackends: [Look] = []
    var moved: [pid_t: Double] = [:]
    var late: [pid_t: Double] = [:]
    let end = ContinuousClock.now + .seconds(8)
    while ContinuousClock.now < end {
      for look in looker.look() {
        switch look.role {
        case .postmaster, .backend, .parallelWorker:
          backends.insert(look.pid)
          if look.mask != "0" { wrongBackends.append(look) }
        case .autovacuumWorker where look.mask == "1": if moved[look.pid] == nil { moved[look.pid] = look.age }
        default: if look.mask != Self.expected(look.role) { late[look.pid] = look.age }
        }
      }
      usleep(2000)
    }
    #expect(wrongBackends.isEmpty, "\(wrongBackends.prefix(3))")
    #expect(backends.count > 30, "\(backends.count)")
    #expect(!moved.isEmpty)
    // A quarter of a second, and what a busy machine adds.
    #expect(late.values.allSatisfy { $0 < 1 }, "\(late)")
    print("pinning: \(backends.count) backends born right; longest wait of another process \(late.values.max() ?? 0) s")
    #expect(clients.allSatisfy { $0.poll() == nil })

    // A new server under the same monitor.
    for client in clients { client.kill() }
    #expect(sandbox.stop(server) == .exited(0))
    let next = try sandbox.startServer()
    looker = Looker(postmaster: next.pid)
    #expect(Harness.eventually(isSettled), "\(looker.look())")
    #expect(monitor.poll() == nil)
    kill(monitor.pid, SIGTERM)
    #expect(Harness.finish(monitor, seconds: 5) == .exited(0))
    #expect(monitor.output().contains("cores by role (by-class): CPU 0: backends"), "\(monitor.output())")
  }

  @Test func offLeavesEveryProcessWhereItIs() throws {
    let sandbox = try sandbox(["HIVE_PG_PIN": "off"])
    let server = try sandbox.serve()
    let monitor = try sandbox.start("monitor")
    usleep(1_500_000)
    var looker = Looker(postmaster: server.pid)
    let looks = looker.look()
    #expect(looks.count >= 5 && looks.allSatisfy { $0.mask == Affinity.current()?.list })
    #expect(Affinity.current(of: monitor.pid) == Affinity.current())
  }

  /// The whole tree is given other CPUs, and the next check is minutes away.
  @Test func whatSomebodyMovedComesBackWithoutACheck() throws {
    let sandbox = try sandbox(["HIVE_MONITOR_INTERVAL": "600"])
    let server = try sandbox.serve()
    #expect(try sandbox.hive("migrate").ending == .exited(0))
    let monitor = try sandbox.start("monitor")
    var looker = Looker(postmaster: server.pid)
    func isSettled() -> Bool {
      let looks = looker.look()
      return looks.count >= 6 && looks.allSatisfy { $0.mask == Self.expected($0.role) }
    }
    #expect(Harness.eventually(isSettled), "\(looker.look())")
    for round in 0..<5 {
      for cpu in [CPUSet([round % 2]), [0, 1]] {
        for look in looker.look() { #expect(Affinity.set(cpu, of: look.pid) == 0) }
        let begun = ContinuousClock.now
        #expect(Harness.eventually(isSettled), "\(looker.look()) \(monitor.output())")
        #expect(ContinuousClock.now - begun < .seconds(3))
      }
    }
    kill(monitor.pid, SIGTERM)
    #expect(Harness.finish(monitor, seconds: 5) == .exited(0))
  }

  /// Masks and monitors as they are: one is killed, the next one is told to place nothing.
  @Test func offAfterAnotherMonitorPutsTheServerBack() throws {
    let sandbox = try sandbox()
    let server = try sandbox.serve()
    let monitor = try sandbox.start("monitor")
    var looker = Looker(postmaster: server.pid)
    #expect(Harness.eventually { looker.look().contains { $0.role == .autovacuumLauncher && $0.mask == "1" } })
    kill(monitor.pid, SIGKILL)
    _ = Harness.finish(monitor, seconds: 5)
    let next = try sandbox.start("monitor", ["HIVE_PG_PIN": "off"])
    #expect(Harness.eventually { looker.look().allSatisfy { $0.mask == Affinity.current()?.list } }, "\(looker.look())")
    kill(next.pid, SIGTERM)
    #expect(Harness.finish(next, seconds: 5) == .exited(0))
    #expect(next.output().contains("cores by role: off"), "\(next.output())")
  }

  /// Root without CAP_SYS_NICE may not move another user's processes: said once, and everything else goes on.
  @Test(.enabled(if: Harness.isRoot, "being another user takes root"))
  func withoutThePermissionTheServerRunsOn() throws {
    let sandbox = try sandbox()
    let server = try sandbox.serve()
    try #require(try FileSystem.status("/proc/\(server.pid)")?.owner != 0)
    let monitor = try Child(
      "/usr/bin/setpriv", ["--bounding-set=-sys_nice", "--inh-caps=-all", Harness.hivePostgres, "monitor"],
      environment: sandbox.environment, deathSignal: 0)
    defer { monitor.release() }
    usleep(3_500_000)
    kill(monitor.pid, SIGTERM)
    #expect(Harness.finish(monitor, seconds: 5) == .exited(0))
    let said = monitor.output().split(separator: "\n").filter { $0.contains("CAP_SYS_NICE") }
    #expect(said.count == 1, "\(monitor.output())")
    var looker = Looker(postmaster: server.pid)
    #expect(looker.look().allSatisfy { $0.mask == Affinity.current()?.list })
  }

  /// Not a benchmark's figures, but a bound that a mistake would break: a hundred processes, real /proc, real masks.
  @Test func aPollCostsLittle() throws {
    var children: [Child] = []
    defer {
      for child in children {
        child.kill()
        child.release()
      }
    }
    // Processes with a backend's title, as a postmaster has them.
    let shell = try Child(
      "/bin/bash",
      [
        "-c",
        "for i in {1..100}; do (exec -a 'postgres: hive hive_genie [local] idle' sleep 1000) & done; wait",
      ],
      environment: ["PATH": "/usr/bin:/bin"], deathSignal: 0)
    children.append(shell)
    #expect(
      Harness.eventually {
        ProcessTable.children(shell.pid).count { ProcessTable.title($0.identity.pid).hasPrefix("postgres: ") } == 100
      })
    let postmaster = try #require(ProcessTable.info(shell.pid))
    let processes = ProcessTable.children(shell.pid)
    defer { for process in processes { kill(process.identity.pid, SIGKILL) } }
    func pinner() throws -> Pinner {
      Pinner(
        settings: try PinSettings(environment: ["HIVE_PG_PIN": "by-class", "HIVE_PG_PIN_MONITOR": "any"]),
        environment: Self.classes,
        machine: .live, kernel: .live(), console: Console { _ in }, find: { (postmaster, []) })
    }
    let clock = ContinuousClock()
    /// The best of some attempts, in microseconds: others use this machine too.
    func best(_ attempts: Int, _ body: () -> Duration) -> Double {
      (0..<attempts).map { _ in body() / .microseconds(1) }.min() ?? .infinity
    }
    var kept = try pinner()
    kept.look((postmaster, processes), state: .normal)
    let unchanged = best(200) { clock.measure { kept.poll() } }
    // Each time a hundred children that it has never seen.
    var fresh = try pinner()
    fresh.look(nil, state: .normal)
    let all = best(20) {
      fresh.look(nil, state: .normal)
      return clock.measure {
        // The first poll meets the postmaster, the second one finds all its children new.
        fresh.poll()
        fresh.poll()
      }
    }
    let check = best(20) { clock.measure { kept.look((postmaster, processes), state: .normal) } }
    let report = best(20) { clock.measure { _ = kept.document() } }
    print(
      "pinning, 100 processes: unchanged \(unchanged) µs, all new \(all) µs, check \(check) µs, report \(report) µs")
    #expect(unchanged < 1000 && all < 5000 && check < 5000 && report < 5000)
  }
}
