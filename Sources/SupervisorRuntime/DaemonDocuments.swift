// The core's values as the control API's documents.

import ControlProtocol
import Glibc
import SupervisorCore

extension Timestamp {
  init(_ wall: WallTime) { self.init(nanoseconds: wall.nanoseconds) }
}

extension ExitDocument {
  init(_ exit: LastExit) {
    switch exit.status {
    case .exited(let status):
      self.init(
        exitStatus: Int(status), signal: nil, oomKilled: exit.oomKilled, expected: exit.expected,
        at: Timestamp(exit.at.wall))
    case .signaled(let signal, let core):
      self.init(
        exitStatus: nil, signal: signalName(signal), coreDumped: core, oomKilled: exit.oomKilled,
        expected: exit.expected,
        at: Timestamp(exit.at.wall))
    }
  }
}

extension ProgramDocument {
  init(_ program: ProgramSnapshot, at now: Moment) {
    self.init(
      name: program.name, group: program.group, program: program.program, type: program.kind, state: program.state.name,
      stateCode: program.state.rawValue, since: Timestamp(program.since.wall))
    if program.pid > 0 {
      pid = Int(program.pid)
      uptimeSeconds = program.uptime.inSeconds
    }
    startedAt = program.startedAt.map { Timestamp($0.wall) }
    stoppedAt = program.stoppedAt.map { Timestamp($0.wall) }
    ready = program.isReady
    completed = program.isCompleted
    restarts = program.restarts
    failedStarts = program.failedStarts
    lastExit = program.lastExit.map { ExitDocument($0) }
    spawnError = program.spawnError
    waitingFor = program.waitingFor
    if let retryAt = program.retryAt {
      nextStartAt = Timestamp(nanoseconds: now.wall.nanoseconds &+ (retryAt - now.instant).nanoseconds)
    } else {
      nextStartAt = program.nextRun.map { Timestamp($0) }
    }
    statusText = program.statusText
  }
}

extension EventDocument {
  init(_ record: EventRecord) {
    self.init(
      seq: record.seq, timestamp: Timestamp(record.moment.wall), program: record.namespec, from: record.from?.name,
      to: record.to?.name, pid: record.pid > 0 ? Int(record.pid) : nil, tries: record.tries, cause: record.cause.text)
  }
}

extension HealthDocument {
  init(_ report: HealthReport, version: String) {
    self.init(
      status: report.status.rawValue, container: report.container, version: version,
      timestamp: Timestamp(report.at.wall),
      uptimeSeconds: report.uptime.inSeconds, database: report.database?.rawValue, reasons: report.reasons,
      services: report.services.map { ServiceDocument($0) })
  }
}

extension ServiceDocument {
  init(_ service: ServiceHealth) {
    self.init(
      name: service.name, status: service.status.rawValue, state: service.state.name,
      pid: service.pid > 0 ? Int(service.pid) : nil, uptimeSeconds: service.uptime?.inSeconds,
      restarts: service.restarts,
      lastExit: service.lastExit.map { ExitDocument($0) },
      checks: service.checks.map {
        CheckDocument(
          name: $0.name, type: $0.type, status: $0.status.rawValue, latencyMilliseconds: $0.latency?.inMilliseconds,
          observedAt: $0.observedAt.map { Timestamp($0) }, detail: $0.detail)
      })
  }
}

extension ResultDocument {
  init(_ result: ProcessResult) {
    self.init(
      name: result.name, group: result.group, code: result.fault.map { ControlFault.Code($0) } ?? .success,
      message: result.text)
  }
}

extension ReloadDocument {
  init(_ summary: ReloadSummary) {
    self.init(added: summary.added, changed: summary.changed, adjusted: summary.adjusted, removed: summary.removed)
  }
}

extension ControlFault.Code {
  init(_ fault: RequestFault) { self = ControlFault.Code(rawValue: fault.name) ?? .failed }
}

extension Daemon {
  /// `GET /v1/health`, and the port's own answer.
  func healthDocument() -> HealthDocument {
    var document = HealthDocument(core.health(at: Clock.now()), version: options.version)
    document.thermal = thermalDocument()
    // Where the server runs has its own request: this one is asked for all the time.
    document.thermal?.pinning = nil
    return document
  }

  /// `GET /v1/status`.
  func statusDocument() -> StatusDocument {
    lookAtCPUs()
    memory.look()
    let now = Clock.now()
    let report = core.health(at: now)
    return StatusDocument(
      container: core.spec.container, identifier: core.spec.identifier, version: options.version, pid: Int(getpid()),
      state: core.isShuttingDown ? "SHUTDOWN" : "RUNNING", health: report.status.rawValue, reasons: report.reasons,
      timestamp: Timestamp(now.wall), uptimeSeconds: report.uptime.inSeconds, configuration: core.spec.path,
      pinning: ownPinningDocument(),
      programs: core.snapshots(at: now).map { document($0, at: now) })
  }
}
