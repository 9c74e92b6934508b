// The boot: what `autostart` says is started in the order of the plan's ranks.
//
// A rank has its turn when every *gate* of the lower ranks has opened: a gate is a program that is started at boot and declares readiness
// (or is a oneshot), and it opens when the program has been ready (has completed) once. A gate that cannot open by itself any more
// does not hold the others back: a program that is FATAL, was stopped by a person, or waits for a dependency that nothing is going to bring
// up. What needs it says so with `depends_on`; that is never overruled.

/// Where the boot is.
struct Boot: Sendable {
  /// The rank whose turn it is: all ranks up to this one may start.
  var openRank = 0
  var lastRank = 0
  /// Programs that hold back the ranks above theirs, by rank, and how many of them have opened.
  var gates: [ProgramID] = []
  var opened = 0
  /// What is started at boot, by rank, and how far that has got.
  var order: [ProgramID] = []
  var next = 0
  /// Whether ranks still wait.
  var isGated = false
  /// How many programs that are started at boot have not been up yet.
  var outstanding = 0
  /// Everything that is started at boot has been up once.
  var isComplete = false
  /// `start_timeout`.
  var deadline: Instant?
}

extension Supervisor {
  mutating func bootAll() {
    guard !hasBooted, shutdown == nil else { return }
    hasBooted = true
    note(nil, .text("started with \(records.count) \(records.count == 1 ? "program" : "programs")"))
    for i in records.indices {
      if records[i].isScheduled {
        schedule(i)
      } else if records[i].spec.autostart {
        records[i].isBootMember = true
        records[i].pending = PendingStart(cause: .requested(.configuration), rank: records[i].rank)
        boot.outstanding += 1
      }
    }
    boot.isGated = true
    gateBoot()
    if boot.outstanding == 0 {
      boot.isComplete = true
    } else if let limit = spec.startTimeout, limit > .zero {
      boot.deadline = now.instant + limit
    }
    for i in listeners.indices where listeners[i].isManaged {
      actions.append(.listener(listeners[i].name, .acceptBySupervisor))
    }
  }

  /// Finds the gates; again after a reload.
  mutating func gateBoot() {
    guard boot.isGated else { return }
    let members = records.indices.filter { records[$0].isBootMember }
    boot.lastRank = members.map { records[$0].rank }.max() ?? 0
    boot.gates = members.filter { records[$0].declaresReadiness || records[$0].spec.kind == .oneshot }
      .sorted { records[$0].rank != records[$1].rank ? records[$0].rank < records[$1].rank : $0 < $1 }
      .map { records[$0].id }
    boot.opened = 0
    boot.order = members.sorted {
      records[$0].rank != records[$1].rank ? records[$0].rank < records[$1].rank : $0 < $1
    }.map { records[$0].id }
    boot.next = 0
  }

  /// Opens ranks as far as the gates allow, and starts what is in them.
  mutating func advanceBoot() {
    guard boot.isGated, shutdown == nil else { return }
    while boot.openRank < boot.lastRank {
      if let gate = closedGate(upTo: boot.openRank), records[gate].rank <= boot.openRank { break }
      boot.openRank += 1
    }
    if boot.openRank >= boot.lastRank { boot.isGated = false }
    while boot.next < boot.order.count {
      if let i = indexOf[boot.order[boot.next]] {
        if records[i].rank > boot.openRank { break }
        markChanged(i)
      }
      boot.next += 1
    }
  }

  /// The first gate at or below this rank that holds.
  private mutating func closedGate(upTo rank: Int) -> Int? {
    while boot.opened < boot.gates.count {
      guard let i = indexOf[boot.gates[boot.opened]] else {
        boot.opened += 1
        continue
      }
      if records[i].rank > rank { return nil }
      if holdsGate(i) { return i }
      boot.opened += 1
    }
    return nil
  }

  private func holdsGate(_ i: Int) -> Bool {
    !records[i].hasBeenUp && records[i].isBootMember && !isHopeless(i, depth: 0)
  }

  /// Whether nothing that is under way will bring it up. Looks through chains of dependencies, up to 32 long.
  func isHopeless(_ i: Int, depth: Int) -> Bool {
    if records[i].isSettledDown { return !records[i].isScheduled }
    guard records[i].main == .none, records[i].pending != nil, depth < 32 else { return false }
    for resolved in records[i].dependencies {
      if resolved.programs.isEmpty { return true }
      for other in resolved.programs where !satisfies(other, resolved.dependency.condition) {
        if isHopeless(other, depth: depth + 1) { return true }
      }
    }
    return false
  }

  /// It has been up: the boot waits for one fewer.
  mutating func hasComeUp(_ i: Int) {
    records[i].hasBeenUp = true
    leaveBoot(i)
  }

  /// The boot is complete without it.
  mutating func leaveBoot(_ i: Int) {
    guard records[i].isBootMember else { return }
    records[i].isBootMember = false
    boot.outstanding -= 1
    guard boot.outstanding == 0, !boot.isComplete else { return }
    boot.isComplete = true
    boot.deadline = nil
    note(nil, .text("everything that is started at boot is up after \((now.instant - startedAt.instant).text)"))
  }

  mutating func bootTimerDue() {
    guard let deadline = boot.deadline, deadline <= now.instant else { return }
    boot.deadline = nil
    guard shutdown == nil, !boot.isComplete else { return }
    let late = records.indices.filter { records[$0].isBootMember }
      .map { "\(records[$0].spec.namespec) is \(records[$0].state.name)" }
    let limit = spec.startTimeout ?? .zero
    let text = "start_timeout: not everything was up within \(limit.text): \(late.joined(separator: ", "))"
    log(.critical, text)
    beginShutdown(.failure(text, status: SupervisorExit.startTimedOut), by: .supervisor(text))
  }

  // MARK: Starting one program

  /// Whether the condition holds of this program.
  func satisfies(_ i: Int, _ condition: Dependency.Condition) -> Bool {
    let state = records[i].state
    switch condition {
    case .started:
      if records[i].runsToCompletion, records[i].isCompleted { return true }
      return (state == .starting || state == .running) && records[i].isSignalTaker
    case .ready: return records[i].runsToCompletion ? records[i].isCompleted : state == .running && records[i].isReady
    case .completed: return records[i].isCompleted
    case .healthy:
      if records[i].runsToCompletion { return records[i].isCompleted }
      guard state == .running, records[i].isReady, !records[i].isDraining else { return false }
      return records[i].spec.liveness == nil || records[i].liveness.status == .passing
    }
  }

  /// The first dependency that is not met, with the program that does not meet it (nil: there is no such program).
  func firstUnmet(_ i: Int) -> (dependency: Dependency, program: Int?)? {
    for resolved in records[i].dependencies {
      if resolved.programs.isEmpty { return (resolved.dependency, nil) }
      for other in resolved.programs where !satisfies(other, resolved.dependency.condition) {
        return (resolved.dependency, other)
      }
    }
    return nil
  }

  /// Starts it if it is wanted up and nothing is in the way.
  mutating func tryStart(_ i: Int) {
    guard let pending = records[i].pending, shutdown == nil, !records[i].isRemoving else { return }
    guard records[i].main == .none, records[i].state != .stopping, records[i].timers[.delay] == nil else { return }
    if !replacements.isEmpty { applyReplacement(i) }
    if pending.rank > boot.openRank, boot.isGated { return }
    if let unmet = firstUnmet(i) {
      waitsFor(i, unmet)
      return
    }
    switch records[i].tree {
    case .ending: return
    case .left: beginTree(i)
    case .none: fire(.startDue, i, pending.hasWaited ? .dependenciesSatisfied : pending.cause)
    }
  }

  /// Says once that it waits, and tells those who wait for it when that is in vain.
  private mutating func waitsFor(_ i: Int, _ unmet: (dependency: Dependency, program: Int?)) {
    if records[i].pending?.hasWaited == false {
      records[i].pending?.hasWaited = true
      note(i, .text("waiting for \(unmet.dependency.program):\(unmet.dependency.condition.rawValue)"))
    }
    let isInVain = unmet.program.map { isHopeless($0, depth: 0) } ?? true
    if records[i].pending?.isHopeless != isInVain {
      records[i].pending?.isHopeless = isInVain
      markChanged(i)  // what waits for this one may now wait in vain, too
    }
    if isInVain, records[i].hasWaiters { answerHopeless(i) }
  }

  /// `postgresql:ready (postgresql is FATAL)`, for each unmet dependency.
  func waitingTexts(_ i: Int) -> [String] {
    guard records[i].pending != nil else { return [] }
    var texts: [String] = []
    for resolved in records[i].dependencies {
      let what = "\(resolved.dependency.program):\(resolved.dependency.condition.rawValue)"
      if resolved.programs.isEmpty { texts.append("\(what) (there is no such program)") }
      for other in resolved.programs where !satisfies(other, resolved.dependency.condition) {
        texts.append("\(what) (\(records[other].spec.namespec) is \(stateText(other)))")
      }
    }
    return texts
  }

  /// The state, and whether a running one is not ready.
  func stateText(_ i: Int) -> String {
    records[i].state == .running && !records[i].isReady ? "RUNNING, not ready" : records[i].state.name
  }
}
