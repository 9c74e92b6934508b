// The documents of a daemon with one program of each kind.

import ControlProtocol

enum Sample {
  /// 2026-11-20T10:00:00Z
  static let now = Timestamp(nanoseconds: 1_795_168_800_000_000_000)

  static func program(
    _ name: String, _ state: String, group: String? = nil, type: String = "service",
    _ change: (inout ProgramDocument) -> Void = { _ in }
  ) -> ProgramDocument {
    let codes = [
      "STOPPED": 0, "STARTING": 10, "RUNNING": 20, "BACKOFF": 30, "STOPPING": 40, "EXITED": 100, "FATAL": 200,
      "UNKNOWN": 1000,
    ]
    var program = ProgramDocument(
      name: name, group: group ?? name, program: name, type: type, state: state, stateCode: codes[state] ?? -1,
      since: now)
    change(&program)
    return program
  }

  static let programs = [
    program("postgres-init", "EXITED", type: "oneshot") {
      $0.completed = true
      $0.stoppedAt = now
      $0.lastExit = ExitDocument(exitStatus: 0, signal: nil, expected: true, at: now)
    },
    program("postgresql", "RUNNING") {
      $0.pid = 12
      $0.uptimeSeconds = 90_061.5
      $0.ready = true
    },
    program("a", "RUNNING", group: "workers") {
      $0.pid = 13
      $0.uptimeSeconds = 5
      $0.ready = true
    },
    program("b", "RUNNING", group: "workers") {
      $0.pid = 14
      $0.uptimeSeconds = 59.9
    },
  ]

  /// A program that runs without what it asked for.
  static let refused = program("eager", "RUNNING") {
    $0.pid = 15
    $0.uptimeSeconds = 7
    $0.ready = true
    var pinning = PinningDocument()
    pinning.requested = "performance"
    pinning.cpus = "1"
    pinning.isFallback = true
    pinning.explanation = "performance CPU 0 is not allowed here; falls to efficiency"
    pinning.refused = [
      RefusalDocument(
        setting: "nice", requested: "-5", message: "cannot set nice=-5: Permission denied", remedy: "CAP_SYS_NICE"),
      RefusalDocument(
        setting: "sched_policy", requested: "fifo:1",
        message: "cannot set sched_policy=fifo:1: Operation not permitted",
        remedy: nil),
    ]
    $0.pinning = pinning
  }

  static func status(_ programs: [ProgramDocument] = programs) -> StatusDocument {
    StatusDocument(
      container: "genie", identifier: "supervisor", version: "1.2.3", pid: 1, state: "RUNNING", health: "healthy",
      reasons: [], timestamp: now,
      uptimeSeconds: 100, configuration: "/etc/hivesup/hivesup.conf", programs: programs)
  }

  static func health(_ status: String = "healthy", reasons: [String] = []) -> HealthDocument {
    HealthDocument(
      status: status, container: "genie", version: "1.2.3", timestamp: now, uptimeSeconds: 3661, database: "connected",
      reasons: reasons,
      services: [
        ServiceDocument(
          name: "postgresql", status: status, state: "RUNNING", pid: 12, uptimeSeconds: 11, restarts: 0, lastExit: nil,
          checks: [
            CheckDocument(
              name: "ready", type: "postgres", status: "passing", latencyMilliseconds: 0.4, observedAt: now,
              detail: "accepts")
          ])
      ])
  }

  static let heat = ThermalDocument(
    state: "critical", knowledge: "known", celsius: 86.25, sensor: "coretemp Package id 0", warning: 80, critical: 85,
    transitions: 3, brakes: ["max_parallel_workers = 0"], remarks: ["a remark"], intervalSeconds: 2,
    pinning: ServerPinningDocument(
      profile: "by-class",
      roles: [
        .init(
          name: "backends", requested: "performance", cpus: "12-19", isMoved: true, explanation: "hot", processes: 7,
          elsewhere: 0),
        .init(
          name: "walwriter", requested: "performance", cpus: "0-11", isMoved: false, explanation: "", processes: 1,
          elsewhere: 1),
        .init(
          name: "autovacuum", requested: "efficiency", cpus: "12-19", isMoved: false, explanation: "", processes: 1,
          elsewhere: 0),
      ], refused: [.init(processes: 1, message: "refused", remedy: "CAP_SYS_NICE")]))

  static let events = [
    EventDocument(seq: 41, timestamp: now, program: "", cause: "started"),
    EventDocument(
      seq: 42, timestamp: now, program: "postgresql", from: "STARTING", to: "RUNNING", pid: 12, cause: "is ready"),
  ]

  /// Answers as the daemon would; programs that are not in the status are unknown.
  static func response(to request: HTTPRequest) -> HTTPResponse {
    let route: Route
    do throws(ControlFault) {
      route = try Route(request)
    } catch {
      return error.response
    }
    switch route {
    case .status: return .json(status().json)
    case .program(let target): return act("program", target)
    case .start(let target, _):
      let code: ControlFault.Code = target == "postgresql" ? .alreadyStarted : .success
      return act("start", target, code: code, message: code == .success ? "" : "it is RUNNING")
    case .stop(let target, _, _): return act("stop", target)
    case .restart(let target, _): return act("restart", target)
    case .signal(let target, let signal):
      if signal == "NOPE" {
        return ControlFault(.badSignal, "cannot signal \(target): there is no signal 'NOPE'").response
      }
      return act("signal", target, code: target == "postgres-init" ? .notRunning : .success)
    case .pin(let target, _): return act("pin", target)
    case .events(let since, let follow):
      let after = events.filter { $0.seq > since }
      return follow
        ? HTTPResponse(status: 200, body: after.flatMap(\.line))
        : .json(EventsDocument(events: after, newest: 42, missed: 40).json)
    case .logs(let target, _, let bytes, _):
      guard target == "postgresql" else {
        return ControlFault(.badName, "cannot read the log of \(target): no such process").response
      }
      return HTTPResponse(status: 200, body: Array("line one\nline two".utf8.suffix(bytes)))
    case .health: return health().response
    case .livez, .readyz, .startupz: return .text("ok\n")
    case .metrics: return .text("")
    case .version: return .json(VersionDocument(version: "1.2.3", pid: 1).json)
    case .reload: return .json(ReloadDocument(added: ["new"], changed: ["postgresql"]).json)
    case .shutdown: return HTTPResponse(status: 202)
    case .thermal: return .json(heat.json)
    case .check, .thermalReport: return HTTPResponse(status: 204)
    }
  }

  private static func act(_ action: String, _ target: String, code: ControlFault.Code = .success, message: String = "")
    -> HTTPResponse
  {
    let found =
      target == "workers:*"
      ? programs.filter { $0.group == "workers" }
      : target == "all" ? programs : programs.filter { $0.namespec == target }
    guard !found.isEmpty else { return ControlFault(.badName, "cannot \(action) \(target): no such process").response }
    return ResultsDocument(
      action: action,
      results: found.map { ResultDocument(name: $0.name, group: $0.group, code: code, message: message) }
    ).response
  }
}
