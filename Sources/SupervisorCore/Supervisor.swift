// The supervisor as a value: how events come in, where state changes, how deadlines are kept. What an event means is in the files of
// its subject: Boot, RunEvents, Effects, Checks, StopPlan, Shutdown, Requests, Reload, Schedules, Listeners, Health.
//
// One `handle` is one step: the event is taken in, which may move programs through the table; then `settle` follows up what that means
// for others (a pending start whose dependency has come, the next tier of a boot or of a shutdown, who accepts on a listener) until
// nothing follows any more. Nothing recurses from one program into another, and everything costs in proportion to what changed.

/// The whole supervisor: every program, every deadline, every pending request, in one value. It reads no clock and calls nothing: events
/// go in through `handle`, actions come out.
public struct Supervisor: Sendable {
  /// The configuration in force.
  public internal(set) var spec: SupervisorSpec
  /// When it was made: the start of the container's uptime.
  public let startedAt: Moment
  /// What happened.
  public internal(set) var events: EventRing
  /// How often an event led where the table says that none can: a defect, 0 in every test.
  public internal(set) var impossibleSituations = 0

  var records: [ProgramRecord] = []
  var indexOf: [ProgramID: Int] = [:]
  var names = ProgramNames()
  /// Tiers of `records` by index.
  var tiers: [[Int]] = []
  var lastID: UInt32 = 0
  var random: RandomNumbers

  /// The moment of the event in hand.
  var now: Moment
  var actions: [Action] = []
  var heap = TimerHeap()
  /// How many entries, stale ones included, make it worth sweeping.
  var sweepAbove = 64
  /// Programs that changed in this step.
  var changed: [Int] = []
  var hasBooted = false
  var hasExited = false

  var boot = Boot()
  var shutdown: Shutdown?
  /// Specs that wait for their program to be down.
  var replacements: [ProgramID: ProgramSpec] = [:]
  var requests: [RequestID: PendingRequest] = [:]
  var waiters: [ProgramID: [Waiter]] = [:]
  var listeners: [ListenerState] = []
  /// How many records are on their way out.
  var removing = 0

  /// A supervisor that waits for `.boot`. `seed` feeds the jitter of `backoff=`.
  public init(spec: SupervisorSpec, at moment: Moment, seed: UInt64) {
    self.spec = spec
    startedAt = moment
    now = moment
    events = EventRing(capacity: spec.eventCapacity)
    random = RandomNumbers(seed: seed)
    for program in spec.programs {
      lastID &+= 1
      records.append(ProgramRecord(id: ProgramID(lastID), spec: program, at: moment))
    }
    listeners = spec.listeners.map { ListenerState($0) }
    index()
  }

  // MARK: Events in, actions out

  /// Takes in an event that happened at this moment and appends what has to be done about it. Instants must not run backwards (one that
  /// does counts as the latest seen); the wall clock may jump.
  public mutating func handle(_ event: Event, at moment: Moment, into actions: inout [Action]) {
    if hasExited { return }
    let jumped = noteClock(moment)
    swap(&self.actions, &actions)
    if jumped { rescheduleAll() }
    take(event)
    settle()
    swap(&self.actions, &actions)
  }

  /// The same, with the actions as its result.
  public mutating func handle(_ event: Event, at moment: Moment) -> [Action] {
    var actions: [Action] = []
    handle(event, at: moment, into: &actions)
    return actions
  }

  private mutating func take(_ event: Event) {
    switch event {
    case .boot: bootAll()
    case .request(let id, let command, let who): takeRequest(id, command, by: who)
    case .requestAbandoned(let id): requests[id] = nil
    case .spawned(let run, let pid): if let i = present(run) { spawned(i, pid: pid) }
    case .execSucceeded(let run): if let i = present(run) { execSucceeded(i) }
    case .spawnFailed(let run, let failure): if let i = present(run) { spawnFailed(i, failure) }
    case .exited(let run, let status, let oom): if let i = present(run) { exited(i, status, oomKilled: oom) }
    case .treeEnded(let run): if let i = present(run) { treeEnded(i) }
    case .signalFailed(let run, let signal, let text): if let i = present(run) { signalFailed(i, signal, text) }
    case .notification(let run, let notification): if let i = present(run) { notified(i, notification) }
    case .probeFinished(let run, let role, let result): if let i = present(run) { probeFinished(i, role, result) }
    case .checkReported(let program, let check): checkReported(program, check)
    case .signalReceived(let signal, let pid, let uid): signalReceived(signal, pid: pid, uid: uid)
    case .listenerStalled(let name, let text): listenerStalled(name, text)
    case .listenerRecovered(let name): listenerRecovered(name)
    case .reloaded(let spec, let who): _ = reload(spec, by: who)
    case .reloadFailed(let text, let who): reloadFailed(text, by: who)
    case .remark(let text, let isWarning):
      note(nil, .text(text))
      log(isWarning ? .warn : .info, text)
    case .remainingEnded: remainingEnded()
    case .timeReached: timeReached()
    }
  }

  /// The record of a run that is the present one of its program.
  private func present(_ run: RunID) -> Int? {
    guard let i = indexOf[run.program], records[i].run == run.run else { return nil }
    return i
  }

  /// Follows up until nothing follows.
  private mutating func settle() {
    while !hasExited {
      var position = 0
      while position < changed.count {
        let i = changed[position]
        position += 1
        records[i].isChanged = false
        applyReplacement(i)
        tryStart(i)
        for dependent in records[i].dependents where records[dependent].pending != nil { tryStart(dependent) }
      }
      let any = position > 0
      changed.removeAll(keepingCapacity: true)
      if any { updateListeners() }
      advanceBoot()
      advanceShutdown()
      if changed.isEmpty {
        if removeGone() { continue }
        break
      }
    }
    dropStaleTimers()
  }

  /// Keeps the latest instant; tells whether the wall clock was set (by more than a second against the monotonic one).
  private mutating func noteClock(_ moment: Moment) -> Bool {
    let before = now
    now = Moment(instant: max(moment.instant, before.instant), wall: moment.wall)
    let elapsed = now.instant - before.instant
    let (expected, overflow) = before.wall.nanoseconds.addingReportingOverflow(elapsed.nanoseconds)
    if overflow { return true }
    let (drift, tooFar) = now.wall.nanoseconds.subtractingReportingOverflow(expected)
    return tooFar || drift.magnitude > 1_000_000_000
  }

  // MARK: The choke points

  /// Takes a program through the table.
  mutating func fire(_ situation: Situation, _ i: Int, _ cause: Cause) {
    switch TransitionTable.cell(records[i].state, situation) {
    case .go(let next, let effects):
      transition(i, to: next, cause)
      for effect in effects { perform(effect, i, cause) }
    case .stay(let effects):
      for effect in effects { perform(effect, i, cause) }
    case .ignored:
      break
    case .impossible(let why):
      impossibleSituations &+= 1
      log(
        .error,
        "cannot handle '\(situation)' of \(records[i].spec.namespec) in state \(records[i].state.name) (\(why)): please report this"
      )
    }
  }

  /// The only place where a state changes: stamps the time and the cause, and publishes.
  private mutating func transition(_ i: Int, to next: ProcessState, _ cause: Cause) {
    let from = records[i].state
    records[i].state = next
    records[i].since = now
    if next != .running { records[i].runningSince = next == .stopping ? records[i].runningSince : nil }
    record(i, from: from, to: next, cause)
    markChanged(i)
    if records[i].hasWaiters { answerWaiters(i, cause) }
  }

  /// Writes down what is no change of state. `i` nil: of the supervisor itself.
  mutating func note(_ i: Int?, _ cause: Cause) { record(i, from: nil, to: nil, cause) }

  private mutating func record(_ i: Int?, from: ProcessState?, to: ProcessState?, _ cause: Cause) {
    var entry = EventRecord(
      seq: 0, moment: now, program: nil, namespec: "", from: from, to: to, pid: 0, tries: 0, cause: cause)
    if let i {
      entry.program = records[i].id
      entry.namespec = records[i].spec.namespec
      entry.pid = records[i].pid
      entry.tries = records[i].failedStarts
    }
    actions.append(.publish(events.append(entry)))
  }

  /// Something about the program changed that others may wait for.
  mutating func markChanged(_ i: Int) {
    if records[i].isChanged { return }
    records[i].isChanged = true
    changed.append(i)
  }

  /// Writes to the supervisor's log.
  mutating func log(_ level: LogLevel, _ text: String) {
    if level >= spec.log.level { actions.append(.log(level, text)) }
  }

  // MARK: Time

  /// When `.timeReached` is wanted next. nil: nothing waits for time (no wakeup is needed).
  public var nextDeadline: Instant? {
    if hasExited { return nil }
    var earliest = heap.first?.instant
    for candidate in [boot.deadline, shutdown?.nextDeadline] {
      if let candidate, earliest.map({ candidate < $0 }) ?? true { earliest = candidate }
    }
    return earliest
  }

  /// Sets a timer of a program, in place of the one it had.
  mutating func arm(_ kind: TimerKind, _ i: Int, at instant: Instant) {
    records[i].timers[kind] = instant
    heap.push(TimerEntry(instant: instant, program: records[i].id, kind: kind))
    if heap.count > sweepAbove { sweepTimers() }
  }

  /// Sets a timer of a program, this long from now.
  mutating func arm(_ kind: TimerKind, _ i: Int, after interval: Interval) {
    arm(kind, i, at: now.instant + max(.zero, interval))
  }

  /// Takes a timer back.
  mutating func disarm(_ kind: TimerKind, _ i: Int) { records[i].timers[kind] = nil }

  private func isLive(_ entry: TimerEntry) -> Bool {
    guard let i = indexOf[entry.program] else { return false }
    return records[i].timers[entry.kind] == entry.instant
  }

  private mutating func sweepTimers() {
    var swept = TimerHeap()
    swap(&swept, &heap)
    swept.sweep { isLive($0) }
    swap(&swept, &heap)
    sweepAbove = max(64, 2 * heap.count)
  }

  private mutating func dropStaleTimers() {
    while let first = heap.first, !isLive(first) { _ = heap.popFirst() }
  }

  private mutating func timeReached() {
    // Only what is due now: a timer that a timer sets waits for the next call, so one step always ends.
    var due: [TimerEntry] = []
    while let first = heap.first, first.instant <= now.instant {
      _ = heap.popFirst()
      if isLive(first) { due.append(first) }
    }
    for entry in due {
      guard let i = indexOf[entry.program], records[i].timers[entry.kind] == entry.instant else { continue }
      records[i].timers[entry.kind] = nil
      timerDue(i, entry.kind)
    }
    bootTimerDue()
    shutdownTimerDue()
  }

  private mutating func timerDue(_ i: Int, _ kind: TimerKind) {
    switch kind {
    case .startup: startupDue(i)
    case .delay: markChanged(i)
    case .stop: stopTimerDue(i)
    case .tree: treeTimerDue(i)
    case .ready: checkTimerDue(i, .ready)
    case .liveness: checkTimerDue(i, .liveness)
    case .schedule: scheduleDue(i)
    case .execStatus: execStatusMissed(i)
    }
  }

  // MARK: Names

  /// Rebuilds what is derived from the list of records.
  mutating func index() {
    indexOf = [:]
    indexOf.reserveCapacity(records.count)
    for i in records.indices { indexOf[records[i].id] = i }
    let specs = records.map(\.spec)
    names = ProgramNames(specs)
    // What is on its way out of the configuration satisfies nobody any more.
    let resolved = specs.map { program in
      program.dependencies.map { names.dependency($0.program).filter { !records[$0].isRemoving } }
    }
    for i in records.indices { records[i].dependents = [] }
    for i in records.indices {
      records[i].dependencies = zip(resolved[i], specs[i].dependencies).map {
        ResolvedDependency(programs: $0, dependency: $1)
      }
      for others in resolved[i] { for other in others where other != i { records[other].dependents.append(i) } }
    }
    let plan = StartPlan(programs: specs, dependencies: resolved)
    tiers = plan.tiers
    for i in records.indices { records[i].rank = plan.ranks[i] }
  }

  /// All processes in the order of the configuration.
  public var programs: [ProgramID] { records.map(\.id) }

  /// What the target names: `all`, `group:*` (or `group:`), `group:name`, `name`. nil: nothing of that name.
  public func resolve(_ target: String) -> [ProgramID]? {
    names.target(target, count: records.count)?.map { records[$0].id }
  }

  /// The spec that the process has (while it is stopped for a changed one: still the old one). nil: no such process.
  public func spec(of id: ProgramID) -> ProgramSpec? { indexOf[id].map { records[$0].spec } }

  /// Its run that is under way: a process, or processes that it may have left behind. nil: none.
  public func run(of id: ProgramID) -> RunID? {
    guard let i = indexOf[id], records[i].main != .none || records[i].tree != .none else { return nil }
    return records[i].runID
  }

  /// Whether it is on its way down.
  public var isShuttingDown: Bool { shutdown != nil }

  /// The order of starting and stopping of the present configuration.
  public var plan: StartPlan { StartPlan(spec) }
}
