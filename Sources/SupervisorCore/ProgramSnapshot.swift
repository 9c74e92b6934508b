// What can be seen of one process from outside.

/// How the last run of a process ended.
public struct LastExit: Equatable, Sendable {
  /// How.
  public var status: ExitStatus
  /// Whether the kernel's out-of-memory killer did it.
  public var oomKilled: Bool
  /// Whether it was expected: stopped on request, or a status in `exitcodes`.
  public var expected: Bool
  /// When.
  public var at: Moment
}

/// One process as it is now.
public struct ProgramSnapshot: Equatable, Sendable {
  /// Its id.
  public var id: ProgramID
  /// Its name.
  public var name: String
  /// Its group.
  public var group: String
  /// `name` or `group:name`.
  public var namespec: String
  /// The section it comes from.
  public var program: String
  /// `service`, `oneshot` or `scheduled`.
  public var kind: String
  /// Its state.
  public var state: ProcessState
  /// Since when it is in this state.
  public var since: Moment
  /// The main process; 0: none.
  public var pid: Int32
  /// When the present or last run was spawned. nil: never.
  public var startedAt: Moment?
  /// When the last run ended. nil: never.
  public var stoppedAt: Moment?
  /// How long the present run is up; zero when there is none.
  public var uptime: Interval
  /// How often it was started again by the supervisor itself (after an exit, a failed start or a failed liveness check).
  public var restarts: Int
  /// Failed starts in a row.
  public var failedStarts: Int
  /// How the last run ended. nil: none has.
  public var lastExit: LastExit?
  /// What the last start failed of; empty when it did not.
  public var spawnError: String
  /// Whether it is ready: RUNNING and, where it declares `ready=`, found so.
  public var isReady: Bool
  /// A oneshot or scheduled one whose last run ended with an expected status.
  public var isCompleted: Bool
  /// What it waits for before it is started, e.g. `waiting for postgresql:ready`; empty when it does not wait.
  public var waitingFor: [String]
  /// When the next attempt is due (BACKOFF), or the start after an expected exit (EXITED). nil: none is.
  public var retryAt: Instant?
  /// When the schedule starts it next. nil: no schedule.
  public var nextRun: WallTime?
  /// The last `STATUS=` it told; empty: none.
  public var statusText: String
}

extension Supervisor {
  /// The process as it is now. nil: there is none of this id.
  public func snapshot(of id: ProgramID, at moment: Moment) -> ProgramSnapshot? {
    indexOf[id].map { snapshot($0, at: moment) }
  }

  /// All processes as they are now, in the order of the configuration.
  public func snapshots(at moment: Moment) -> [ProgramSnapshot] {
    records.indices.map { snapshot($0, at: moment) }
  }

  private func snapshot(_ i: Int, at moment: Moment) -> ProgramSnapshot {
    let record = records[i]
    let hasFailed = record.state == .backoff || record.state == .fatal
    return ProgramSnapshot(
      id: record.id, name: record.spec.name, group: record.spec.group, namespec: record.spec.namespec,
      program: record.spec.program, kind: record.spec.kind.name, state: record.state, since: record.since,
      pid: record.pid,
      startedAt: record.startedAt, stoppedAt: record.stoppedAt, uptime: uptime(i, at: moment) ?? .zero,
      restarts: record.restarts, failedStarts: record.failedStarts, lastExit: record.lastExit,
      spawnError: hasFailed ? spawnErrorText(i) : "", isReady: record.state == .running && record.isReady,
      isCompleted: record.isCompleted, waitingFor: waitingTexts(i).map { "waiting for \($0)" },
      retryAt: record.timers[.delay], nextRun: record.nextRun, statusText: record.statusText)
  }

  /// supervisord's `spawnerr`.
  private func spawnErrorText(_ i: Int) -> String {
    if let failure = records[i].spawnFailure { return failure.text }
    if !records[i].runsToCompletion, records[i].spec.readiness == nil, crashesBeforeRestart(i) == nil {
      return "Exited too quickly (process log may have details)"
    }
    return failureText(i)
  }
}

extension ProgramSpec.Kind {
  /// `service`, `oneshot` or `scheduled`, as in the configuration.
  public var name: String {
    switch self {
    case .service: "service"
    case .oneshot: "oneshot"
    case .scheduled: "scheduled"
    }
  }
}
