// What the supervisor knows of one process. Small: a thousand of these live in PID 1.

/// The main process of the present run.
enum MainProcess: Equatable, Sendable {
  /// There is none.
  case none
  /// `.spawn` was asked for and not answered yet.
  case spawning
  /// It is there.
  case alive
}

/// What an ended main process left behind.
enum Tree: Equatable, Sendable {
  /// Nothing, for certain.
  case none
  /// Perhaps something; nobody has looked.
  case left
  /// It is being ended; the step of the tree plan, or beyond the last one: killed.
  case ending(step: Int)
}

/// Somebody wants it up.
struct PendingStart: Equatable, Sendable {
  /// Why.
  var cause: Cause
  /// At boot: not before this tier's turn. 0: no tier is waited for.
  var rank: Int = 0
  /// Whether it has waited for a dependency (and said so).
  var hasWaited = false
  /// Whether it was last seen to wait in vain.
  var isHopeless = false
  /// Whether the supervisor starts it again by itself.
  var isRestart = false
}

/// What follows when it is stopped.
enum AfterStop: Equatable, Sendable {
  /// It stays down.
  case down
  /// It is started again.
  case start(Cause)
  /// It is started again as after a crash: its liveness check failed.
  case crash(String)
  /// Its start had failed: the next attempt, or FATAL.
  case failedAttempt(Cause)
}

/// An exit that waits for the exec status to be understood.
struct HeldExit: Equatable, Sendable {
  var status: ExitStatus
  var oomKilled: Bool
  var at: Moment
}

/// One check of the present run.
struct CheckState: Equatable, Sendable {
  var status: CheckStatus = .pending
  var isOutstanding = false
  var failures = 0
  /// The next pause while it is not ready yet.
  var pause: Interval = .zero
  /// The program has told of a change since the outstanding probe was sent: another one follows at once.
  var isPrompted = false
  var latency: Interval?
  var observedAt: Moment?
  var detail = ""
}

/// A check that another process reports.
struct ReportedState: Equatable, Sendable {
  var check: ReportedCheck
  var observedAt: Moment
}

/// A dependency, resolved: all of these programs must meet the condition.
struct ResolvedDependency: Sendable {
  /// Indexes into the records; empty: no such program.
  var programs: [Int]
  /// What the configuration says.
  var dependency: Dependency
}

/// A spec behind one reference: a spec is large, and records move.
private final class SharedSpec: Sendable {
  let spec: ProgramSpec
  init(_ spec: ProgramSpec) { self.spec = spec }
}

/// One process.
struct ProgramRecord: Sendable {
  let id: ProgramID
  private var shared: SharedSpec
  /// What the configuration says of it; read in place, never copied with the record.
  var spec: ProgramSpec {
    _read { yield shared.spec }
    set { shared = SharedSpec(newValue) }
  }

  // The machine.
  var state: ProcessState = .stopped
  var since: Moment
  var main: MainProcess = .none
  var tree: Tree = .none
  var pending: PendingStart?
  var timers = ProgramTimers()

  // The present or last run.
  var run: UInt32 = 0
  var pid: Int32 = 0
  var isExecKnown = false
  var spawnFailure: SpawnFailure?
  var heldExit: HeldExit?
  var startedAt: Moment?
  var runningSince: Instant?
  var stoppedAt: Moment?
  var lastExit: LastExit?
  var isReady = false
  var isDraining = false
  var isCompleted = false
  var statusText = ""
  var ready = CheckState()
  var liveness = CheckState()
  var reported: [ReportedState] = []

  // Stopping.
  var afterStop: AfterStop = .down
  var stopStep = 0
  var isKilled = false

  // The restart policy's counters.
  var failedStarts = 0
  var crashes = 0
  var shortages = 0
  var restarts = 0
  var delay: Interval = .zero
  /// What `delay` was before expected exits in a row, which are no crash: how long a run must live to have held.
  var delayBefore: Interval = .zero

  // Its place among the others.
  var rank = 0
  var dependencies: [ResolvedDependency] = []
  var dependents: [Int] = []
  /// Started at boot and not up yet: the boot is not complete without it.
  var isBootMember = false
  /// Has been ready (a oneshot: has completed) at least once.
  var hasBeenUp = false
  /// Where a person wants it to run.
  var livePin: LivePin?
  /// Why it is down, when a person asked for it.
  var stoppedBy: Requester?
  var isRemoving = false
  var isChanged = false
  var hasWaiters = false
  /// Its schedule's next time, and the last one that was taken.
  var nextRun: WallTime?
  var lastRun: WallTime?

  init(id: ProgramID, spec: ProgramSpec, at moment: Moment) {
    self.id = id
    shared = SharedSpec(spec)
    since = moment
  }

  /// The present run.
  var runID: RunID { RunID(program: id, run: run) }

  /// A process is there or on its way, or its tree is being ended.
  var isLive: Bool {
    if main != .none { return true }
    if case .ending = tree { return true }
    return false
  }

  /// There is a process that a signal can reach: not one whose exit is known already.
  var isSignalTaker: Bool { main == .alive && heldExit == nil }

  /// Whether it is meant to run to completion.
  var runsToCompletion: Bool { if case .service = spec.kind { false } else { true } }

  /// Whether a schedule starts it.
  var isScheduled: Bool { if case .scheduled = spec.kind { true } else { false } }

  /// Whether it tells when it is ready (a service with `ready=`).
  var declaresReadiness: Bool { !runsToCompletion && spec.readiness != nil }

  /// Nothing is under way and nothing is wanted: it stays as it is until somebody acts.
  var isSettledDown: Bool { main == .none && pending == nil && state.isStopped }
}
