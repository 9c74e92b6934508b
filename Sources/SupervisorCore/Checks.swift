// Readiness and liveness: what a program tells, what probes find, what others report.
//
// Readiness (`ready=`): a program that declares it is RUNNING when it is ready and not before; `startsecs` plays no part then (systemd's
// Type=notify). While it starts, probes follow each other quickly: after 10 ms, then twice as long each time up to 250 ms (a command: 100 ms
// up to 1 s), and never slower than the interval. From RUNNING on, the check goes on at its interval, so that health stays true: `failures` failures in a row make the
// program unready, one success makes it ready again. Being unready is not being restarted; that is what liveness is for. With `notify` there
// is nothing to ask: the program is ready from READY=1 until RELOADING=1 or STOPPING=1. A PostgreSQL that was built with sd_notify says
// when it has come up (after a crash of a backend, too) and when it goes down; it is asked at once then, and its answer counts as always.
//
// Liveness: from RUNNING on. `failures` failures in a row restart the program by its stop plan; it counts as a crash. The first probe comes
// at once where readiness is declared, else after one interval. `notify` is the watchdog: WATCHDOG=1 is due within each interval.
//
// The runtime ends a probe when its time is over. Should its answer not come at all, five seconds of patience later it counts as failed.

extension Supervisor {
  private static let patience = Interval.seconds(5)
  private static let least = Interval.milliseconds(10)

  // MARK: Beginning and end

  mutating func beginReadiness(_ i: Int) {
    guard let check = records[i].spec.readiness, !check.probe.isNotified else { return }
    if case .exec = check.probe {
      records[i].ready.pause = .milliseconds(100)
    } else {
      records[i].ready.pause = Self.least
    }
    sendProbe(i, .ready)
  }

  mutating func beginLiveness(_ i: Int) {
    guard !records[i].runsToCompletion, let check = records[i].spec.liveness, records[i].heldExit == nil else { return }
    switch check.probe {
    case .notify: arm(.liveness, i, after: max(Self.least, check.interval))
    case .notifyDescriptor: break
    default:
      if records[i].spec.readiness != nil {
        sendProbe(i, .liveness)
      } else {
        arm(.liveness, i, after: max(Self.least, check.interval))
      }
    }
  }

  /// The run is over or ends: nothing of it is asked any more.
  mutating func endChecks(_ i: Int) {
    disarm(.startup, i)
    disarm(.ready, i)
    disarm(.liveness, i)
    let isOutstanding = records[i].ready.isOutstanding || records[i].liveness.isOutstanding
    records[i].ready.isOutstanding = false
    records[i].ready.isPrompted = false
    records[i].liveness.isOutstanding = false
    records[i].isReady = false
    if isOutstanding { actions.append(.cancelProbes(records[i].runID)) }
  }

  private func check(_ i: Int, _ role: CheckRole) -> CheckSpec? {
    role == .ready ? records[i].spec.readiness : records[i].spec.liveness
  }

  private mutating func sendProbe(_ i: Int, _ role: CheckRole) {
    guard let check = check(i, role), records[i].main == .alive else { return }
    let timeout = max(.milliseconds(1), check.timeout)
    actions.append(.probe(records[i].runID, role, timeout: timeout))
    if role == .ready {
      records[i].ready.isOutstanding = true
      arm(.ready, i, after: timeout + Self.patience)
    } else {
      records[i].liveness.isOutstanding = true
      arm(.liveness, i, after: timeout + Self.patience)
    }
  }

  // MARK: Probes

  mutating func checkTimerDue(_ i: Int, _ role: CheckRole) {
    guard let check = check(i, role), records[i].main == .alive else { return }
    let isOutstanding = role == .ready ? records[i].ready.isOutstanding : records[i].liveness.isOutstanding
    if role == .liveness, case .notify = check.probe {
      let text = "no WATCHDOG=1 within \(check.interval.text)"
      arm(.liveness, i, after: max(Self.least, check.interval))
      takeLiveness(i, check, ProbeResult(passed: false, latency: .zero, detail: text))
    } else if isOutstanding {
      probeFinished(i, role, ProbeResult(passed: false, latency: check.timeout, detail: "the probe was never answered"))
    } else {
      sendProbe(i, role)
    }
  }

  mutating func probeFinished(_ i: Int, _ role: CheckRole, _ result: ProbeResult) {
    guard let check = check(i, role), records[i].main == .alive else { return }
    switch role {
    case .ready:
      guard records[i].ready.isOutstanding else { return }
      records[i].ready.isOutstanding = false
      disarm(.ready, i)
      guard records[i].state == .starting || records[i].state == .running else { return }
      // The next probe's time first: becoming ready may lead anywhere.
      var pause = max(Self.least, check.interval)
      if !result.passed, records[i].state == .starting {
        var cap = Interval.milliseconds(250)
        if case .exec = check.probe { cap = .seconds(1) }
        pause = min(pause, min(cap, max(Self.least, records[i].ready.pause)))
        records[i].ready.pause = pause + pause
      }
      if records[i].ready.isPrompted { pause = Self.least }
      records[i].ready.isPrompted = false
      arm(.ready, i, after: pause)
      takeReadiness(i, check, result)
    case .liveness:
      guard records[i].liveness.isOutstanding else { return }
      records[i].liveness.isOutstanding = false
      disarm(.liveness, i)
      guard records[i].state == .running else { return }
      arm(.liveness, i, after: max(Self.least, check.interval))
      takeLiveness(i, check, result)
    }
  }

  private func taken(_ before: CheckState, _ result: ProbeResult, failures: Int) -> CheckState {
    var state = before
    state.failures = result.passed ? 0 : state.failures &+ 1
    state.latency = result.latency
    state.observedAt = now
    state.detail = bounded(result.detail)
    if result.passed { state.status = .passing } else if state.failures >= max(1, failures) { state.status = .failing }
    return state
  }

  private mutating func takeReadiness(_ i: Int, _ check: CheckSpec, _ result: ProbeResult) {
    records[i].ready = taken(records[i].ready, result, failures: check.failures)
    if records[i].state == .starting {
      if result.passed { fire(.startupDone, i, .ready(records[i].ready.detail)) }
    } else if result.passed {
      becomeReady(i, records[i].ready.detail)
    } else if records[i].ready.status == .failing {
      becomeUnready(i, records[i].ready.detail)
    }
  }

  private mutating func takeLiveness(_ i: Int, _ check: CheckSpec, _ result: ProbeResult) {
    let before = records[i].liveness.status
    records[i].liveness = taken(records[i].liveness, result, failures: check.failures)
    let after = records[i].liveness.status
    if before != after {
      note(i, .check(name: "liveness", passed: after == .passing, detail: records[i].liveness.detail))
      markChanged(i)
    }
    if after == .failing, records[i].state == .running { livenessFailed(i) }
  }

  private mutating func livenessFailed(_ i: Int) {
    let text = records[i].liveness.detail
    log(.warn, "\(records[i].spec.name) (\(records[i].pid)) fails its liveness check, restarting it: \(text)")
    records[i].afterStop = .crash(text)
    fire(.stopAsked, i, .livenessFailed(text))
  }

  private mutating func becomeReady(_ i: Int, _ detail: String) {
    guard !records[i].isReady else { return }
    records[i].isReady = true
    note(i, .ready(detail))
    log(.info, "\(records[i].spec.name) (\(records[i].pid)) is ready again")
    markChanged(i)
  }

  private mutating func becomeUnready(_ i: Int, _ detail: String) {
    guard records[i].isReady else { return }
    records[i].isReady = false
    note(i, .notReady(detail))
    log(
      .warn, "\(records[i].spec.name) (\(records[i].pid)) is not ready any more\(detail.isEmpty ? "" : ": \(detail)")")
    markChanged(i)
  }

  // MARK: What the program tells

  mutating func notified(_ i: Int, _ notification: Notification) {
    guard records[i].main == .alive else { return }
    let tellsReadiness = records[i].spec.readiness?.probe.isNotified ?? false
    switch notification {
    case .status(let text): records[i].statusText = bounded(text)
    case .ready:
      records[i].isDraining = false
      guard tellsReadiness else { return promptReadiness(i) }
      records[i].ready.status = .passing
      records[i].ready.observedAt = now
      records[i].ready.detail = ""
      if records[i].state == .running {
        becomeReady(i, records[i].statusText)
      } else if records[i].state == .starting {
        if records[i].isExecKnown { fire(.startupDone, i, .ready("")) } else { records[i].isReady = true }
      }
    case .reloading:
      guard tellsReadiness, records[i].state == .running else { return }
      records[i].ready.status = .pending
      records[i].ready.detail = "it reloads"
      becomeUnready(i, "it reloads")
    case .stopping:
      records[i].isDraining = true
      markChanged(i)
      if tellsReadiness {
        records[i].ready.status = .failing
        records[i].ready.observedAt = now
        records[i].ready.detail = "it is stopping"
      }
      if records[i].state == .running { becomeUnready(i, "it is stopping") }
      promptReadiness(i)
    case .watchdog:
      guard records[i].state == .running, let check = records[i].spec.liveness, case .notify = check.probe else {
        return
      }
      arm(.liveness, i, after: max(Self.least, check.interval))
      takeLiveness(i, check, ProbeResult(passed: true, latency: .zero))
    case .watchdogTrigger:
      guard records[i].state == .running, let check = records[i].spec.liveness, case .notify = check.probe else {
        return
      }
      var last = check
      last.failures = 1
      takeLiveness(
        i, last, ProbeResult(passed: false, latency: .zero, detail: "it asked to be restarted (WATCHDOG=trigger)"))
    }
  }

  /// A server has told that it has come up or goes down: it is asked now, not at the next interval. The answer decides.
  private mutating func promptReadiness(_ i: Int) {
    guard case .postgres = records[i].spec.readiness?.probe, records[i].timers[.ready] != nil else { return }
    if records[i].ready.isOutstanding {
      records[i].ready.isPrompted = true
    } else {
      sendProbe(i, .ready)
    }
  }

  // MARK: What others report

  /// At most this many checks are kept of one program.
  private static let reportedLimit = 16

  mutating func checkReported(_ program: String, _ check: ReportedCheck) {
    let targets = names.dependency(program)
    if targets.isEmpty { log(.debug, "dropped a reported check of \(program): there is no such program") }
    var kept = check
    kept.name = bounded(check.name)
    kept.type = bounded(check.type)
    kept.result.detail = bounded(check.result.detail)
    for i in targets {
      let state = ReportedState(check: kept, observedAt: now)
      var isNews = !kept.result.passed
      if let position = records[i].reported.firstIndex(where: { $0.check.name == kept.name }) {
        isNews = records[i].reported[position].check.result.passed != kept.result.passed
        records[i].reported[position] = state
      } else if records[i].reported.count < Self.reportedLimit {
        records[i].reported.append(state)
        records[i].reported.sort { $0.check.name < $1.check.name }
      }
      if isNews { note(i, .check(name: kept.name, passed: kept.result.passed, detail: kept.result.detail)) }
    }
  }

  /// Texts from outside are kept to 512 bytes.
  private func bounded(_ text: String) -> String {
    text.utf8.count <= 512 ? text : String(decoding: text.utf8.prefix(509), as: UTF8.self) + "…"
  }
}

extension Probe {
  /// Whether the program tells by itself, so that there is nothing to ask.
  var isNotified: Bool {
    switch self {
    case .notify, .notifyDescriptor: true
    case .postgres, .http, .tcp, .unix, .exec: false
    }
  }
}
