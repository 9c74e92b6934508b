// The combined health: one verdict over all programs, with reasons that a person can act on. Nothing here is kept: it is worked out from
// the state of the moment whenever somebody asks, so it costs nothing while nobody does and can never be out of date.
//
// A service counts when it is meant to be up: started at boot, or up at present. One that counts is
// - healthy when it is RUNNING, ready, its liveness has not failed and no check of it is failing; a probe fails after `failures` misses in a
//   row, but a program that owes its WATCHDOG=1 is unhealthy from the first one on: nothing was lost on the way, it did not speak,
// - starting while it has never been up and nothing has failed yet,
// - unhealthy otherwise.
// A oneshot is healthy when it has completed. A scheduled program is healthy whatever its last run did; a run that failed is named in the
// reasons and does no harm to the verdict.
// The whole is stopped from the first moment of a shutdown (before anything drains), else unhealthy if any that counts is, else starting if any is,
// else healthy.
// A result of a check that is older than three of its intervals counts as failing.

extension Supervisor {
  /// How it is.
  public func health(at moment: Moment) -> HealthReport {
    var reasons: [String] = []
    var services: [ServiceHealth] = []
    services.reserveCapacity(records.count)
    var worst = HealthStatus.healthy
    for i in records.indices {
      let service = serviceHealth(i, at: moment)
      if !service.reason.isEmpty, counts(i) { reasons.append("\(service.name) \(service.reason)") }
      if counts(i) {
        switch service.status {
        case .unhealthy, .stopped: worst = .unhealthy
        case .starting: if worst == .healthy { worst = .starting }
        case .healthy: break
        }
      }
      services.append(service)
    }
    if let under = shutdown {
      worst = .stopped
      reasons.insert("the supervisor is shutting down: \(under.text)", at: 0)
    } else if !hasBooted {
      worst = .starting
      reasons.insert("the supervisor has not started its programs yet", at: 0)
    }
    return HealthReport(
      status: worst, container: spec.container, at: moment, uptime: moment.instant - startedAt.instant,
      database: databaseStatus(at: moment), reasons: reasons, services: services, live: liveVerdict,
      ready: ProbeVerdict(passed: worst == .healthy, reasons: worst == .healthy ? [] : reasons), started: startedVerdict
    )
  }

  private var liveVerdict: ProbeVerdict {
    if let under = shutdown, case .failure(let text, _) = under.reason {
      return ProbeVerdict(passed: false, reasons: [text])
    }
    return ProbeVerdict(passed: true, reasons: [])
  }

  private var startedVerdict: ProbeVerdict {
    if boot.isComplete { return ProbeVerdict(passed: true, reasons: []) }
    var reasons = records.indices.filter { records[$0].isBootMember }
      .map { "\(records[$0].spec.namespec) has not been up yet: it is \(stateText($0))" }
    if !hasBooted { reasons.insert("the supervisor has not started its programs yet", at: 0) }
    return ProbeVerdict(passed: false, reasons: reasons)
  }

  /// Whether its health counts for the whole.
  private func counts(_ i: Int) -> Bool {
    if records[i].isRemoving { return false }
    return records[i].spec.autostart || !records[i].isSettledDown
  }

  // MARK: One process

  private func serviceHealth(_ i: Int, at moment: Moment) -> ServiceHealth {
    let checks = checkReports(i, at: moment)
    let (status, reason) = verdict(i, checks, at: moment)
    return ServiceHealth(
      name: records[i].spec.namespec, status: status, state: records[i].state, pid: records[i].pid,
      uptime: uptime(i, at: moment),
      restarts: records[i].restarts, lastExit: records[i].lastExit, checks: checks, reason: reason)
  }

  /// How long the present process is up. nil: there is none.
  func uptime(_ i: Int, at moment: Moment) -> Interval? {
    guard records[i].pid != 0, let started = records[i].startedAt else { return nil }
    return max(.zero, moment.instant - started.instant)
  }

  private func verdict(_ i: Int, _ checks: [CheckReport], at moment: Moment) -> (HealthStatus, String) {
    let isFirst =
      records[i].failedStarts == 0 && records[i].crashes == 0 && records[i].restarts == 0 && !records[i].hasBeenUp
    switch records[i].state {
    case .running:
      if records[i].runsToCompletion {
        let isNews = !records[i].isScheduled && !records[i].hasBeenUp
        return isNews ? (.starting, "is running and has not completed yet") : (.healthy, "")
      }
      let failing = checks.first { $0.status == .failing }
      if !records[i].isReady {
        let detail = failing.map { ": \($0.detail.isEmpty ? $0.name : $0.detail)" } ?? ""
        return (.unhealthy, "is RUNNING but not ready\(detail)")
      }
      if let failing { return (.unhealthy, "fails its check \(failing.name): \(failing.detail)") }
      if let stall = stallText(i) { return (.unhealthy, stall) }
      return (.healthy, "")
    case .starting:
      let detail = records[i].ready.detail
      let text =
        "is STARTING\(records[i].spec.readiness != nil ? ", not ready yet" : "")\(detail.isEmpty ? "" : ": \(detail)")"
      return (
        isFirst ? .starting : .unhealthy, "\(text)\(isFirst ? "" : afterLastExit(i))\(reportedText(i, at: moment))"
      )
    case .backoff:
      let waiting = waitingTexts(i)
      if !waiting.isEmpty, records[i].timers[.delay] == nil {
        return (.unhealthy, "waits for \(waiting.joined(separator: ", ")); before, \(failureText(i))")
      }
      if let crashes = crashesBeforeRestart(i) {
        let times = crashes > 1 ? "\(crashes) times in a row" : "once"
        return (
          .unhealthy,
          "has crashed \(times) and is about to be started again: \(failureText(i))\(reportedText(i, at: moment))"
        )
      }
      return (.unhealthy, "could not be started and is tried again: \(failureText(i))\(reportedText(i, at: moment))")
    case .stopping:
      return (.unhealthy, "is STOPPING")
    case .fatal:
      return (
        records[i].isScheduled ? .healthy : .unhealthy, "is FATAL, \(failureText(i)); see its log, then start it again"
      )
    case .unknown:
      return (.unhealthy, "is UNKNOWN: it does not take signals from the supervisor")
    case .exited:
      return exitedVerdict(i)
    case .stopped:
      return stoppedVerdict(i, isFirst)
    }
  }

  private func exitedVerdict(_ i: Int) -> (HealthStatus, String) {
    let how = records[i].lastExit.map { $0.status.text(oomKilled: $0.oomKilled) } ?? "unknown"
    if records[i].pending != nil { return (.unhealthy, "has exited (\(how)) and is about to be started again") }
    switch records[i].spec.kind {
    case .scheduled:
      return records[i].isCompleted
        ? (.healthy, "") : (.healthy, "failed in its last scheduled run (\(how)); see its log")
    case .oneshot:
      return records[i].isCompleted ? (.healthy, "") : (.unhealthy, "did not complete (\(how)); see its log")
    case .service:
      return (
        records[i].isCompleted ? .stopped : .unhealthy,
        "has exited (\(how)) and is not started again by itself (autorestart)"
      )
    }
  }

  private func stoppedVerdict(_ i: Int, _ isFirst: Bool) -> (HealthStatus, String) {
    let waiting = waitingTexts(i)
    if !waiting.isEmpty { return (isFirst ? .starting : .unhealthy, "waits for \(waiting.joined(separator: ", "))") }
    if records[i].pending != nil { return (isFirst ? .starting : .unhealthy, "waits for its turn") }
    if records[i].isScheduled { return (.healthy, "") }
    if let who = records[i].stoppedBy { return (.stopped, "was stopped by \(who.text)") }
    return (.stopped, "is not started")
  }

  private func afterLastExit(_ i: Int) -> String {
    guard let last = records[i].lastExit else { return "" }
    return " (it ended with \(last.status.text(oomKilled: last.oomKilled)) before)"
  }

  /// What a fresh failing report says of a program that is not up: why it is not. Empty: there is none.
  private func reportedText(_ i: Int, at moment: Moment) -> String {
    let failing = records[i].reported.first { state in
      !state.check.result.passed && !state.check.result.detail.isEmpty
        && stale(state.observedAt, state.check.interval, at: moment) == nil
    }
    return failing.map { "; \($0.check.name): \($0.check.result.detail)" } ?? ""
  }

  /// After how many crashes in a row it waits to be started again. nil: it waits for something else.
  func crashesBeforeRestart(_ i: Int) -> Int? {
    if case .restart(let crashes)? = records[i].pending?.cause { crashes } else { nil }
  }

  /// What its last start failed of.
  func failureText(_ i: Int) -> String {
    if let failure = records[i].spawnFailure { return failure.text }
    if let last = records[i].lastExit { return "it ended with \(last.status.text(oomKilled: last.oomKilled))" }
    return "it did not come up"
  }

  // MARK: Checks

  private func checkReports(_ i: Int, at moment: Moment) -> [CheckReport] {
    var reports: [CheckReport] = []
    if let check = records[i].spec.readiness, !records[i].runsToCompletion {
      reports.append(report("ready", check, records[i].ready, isPolled: !check.probe.isNotified, at: moment))
    }
    if let check = records[i].spec.liveness, !records[i].runsToCompletion {
      reports.append(report("liveness", check, records[i].liveness, isPolled: !check.probe.isNotified, at: moment))
    }
    for state in records[i].reported { reports.append(report(state, at: moment)) }
    return reports
  }

  private func report(_ name: String, _ check: CheckSpec, _ state: CheckState, isPolled: Bool, at moment: Moment)
    -> CheckReport
  {
    var report = CheckReport(
      name: name, type: check.probe.type, status: state.status, latency: isPolled ? state.latency : nil,
      observedAt: state.observedAt?.wall, detail: state.detail)
    // A probe may take its whole timeout: results come at least this often.
    let period = max(check.interval, check.timeout)
    if isPolled, state.status == .passing, let observed = state.observedAt,
      let text = stale(observed, period, at: moment)
    {
      report.status = .failing
      report.detail = text
    }
    if !isPolled, state.failures > 0 { report.status = .failing }
    return report
  }

  private func report(_ state: ReportedState, at moment: Moment) -> CheckReport {
    var report = CheckReport(
      name: state.check.name, type: state.check.type, status: state.check.result.passed ? .passing : .failing,
      latency: state.check.result.latency, observedAt: state.observedAt.wall, detail: state.check.result.detail)
    if let text = stale(state.observedAt, state.check.interval, at: moment) {
      report.status = .failing
      report.detail = text
    }
    return report
  }

  /// Says that a result is older than three intervals; nil: it is not.
  private func stale(_ observed: Moment, _ interval: Interval, at moment: Moment) -> String? {
    let age = moment.instant - observed.instant
    let limit = max(Interval.milliseconds(100), interval + interval + interval)
    return age > limit ? "the last result is \(age.text) old, more than three intervals of \(interval.text)" : nil
  }

  // MARK: The database

  /// The reported checks named `database` while they are fresh: one that fails is enough, because who reports it may use another
  /// database than the container's own. Without any, the readiness of the program that is asked by the `postgres` probe.
  private func databaseStatus(at moment: Moment) -> DatabaseStatus? {
    var hasReport = false
    var reported: DatabaseStatus?
    for record in records {
      guard let state = record.reported.first(where: { $0.check.name == "database" }) else { continue }
      hasReport = true
      guard stale(state.observedAt, state.check.interval, at: moment) == nil else { continue }
      // Of who is not up only the database itself says something by that.
      var isDatabase = false
      if let readiness = record.spec.readiness, case .postgres = readiness.probe { isDatabase = true }
      guard isUp(record) || isDatabase else { continue }
      if !(state.check.result.passed && isUp(record)) {
        reported = .disconnected
      } else if reported == nil {
        reported = .connected
      }
    }
    if let reported { return reported }
    for record in records {
      guard let check = record.spec.readiness, case .postgres = check.probe else { continue }
      if record.state == .running, record.isReady {
        let isStale =
          record.ready.observedAt.map { stale($0, max(check.interval, check.timeout), at: moment) != nil } ?? true
        return isStale ? .disconnected : .connected
      }
      return record.hasBeenUp || record.ready.observedAt != nil || record.state == .fatal ? .disconnected : .unknown
    }
    return hasReport ? .disconnected : nil
  }

  private func isUp(_ record: ProgramRecord) -> Bool { record.runsToCompletion || record.state == .running }
}
