// A new configuration, applied to what runs. Processes are the same when their namespec is.
//
// - Unchanged: untouched.
// - Changed in what the process was started with (ProgramSpec.needsRestart): stopped by its old plan, replaced while it is down, and
//   started again if it was up or wanted up, or had failed (a new configuration is the likely remedy). What a person stopped stays down.
// - Changed in where and how it is scheduled (pinning, nice, ionice): set anew for every thread of the run; a person's `ctl pin` gives way
//   where the configuration's own word has changed.
// - Changed otherwise (priorities, restart policy, stop plan, dependencies, checks, …): the new settings hold from now on; checks begin anew.
// - Removed: stopped, what it left behind is ended, removed.
// - New: added; started if it is to be started at boot.
//
// All of this is legal in every state. A process that is on its way out and comes back with the next reload is replaced instead.

extension ProgramSpec {
  /// Whether a process that was started with this spec has to be started again to be what `new` says: its kind, what is executed, where its
  /// output goes, and whether it is told to notify.
  public func needsRestart(for new: ProgramSpec) -> Bool {
    if !execution.isSameButForPriority(as: new.execution) || stdout != new.stdout || stderr != new.stderr {
      return true
    }
    if redirectStderr != new.redirectStderr { return true }
    switch (kind, new.kind) {
    case (.service, .service), (.oneshot, .oneshot), (.scheduled, .scheduled): break
    default: return true
    }
    return notifications != new.notifications
  }

  /// What the process is given to notify with.
  private var notifications: [CheckSpec] {
    [readiness, liveness].compactMap { $0 }.filter(\.probe.isNotified)
  }
}

extension Supervisor {
  /// Applies a configuration and tells what that changes.
  mutating func reload(_ new: SupervisorSpec, by who: Requester) -> ReloadSummary {
    var summary = ReloadSummary()
    guard shutdown == nil else {
      log(.warn, "ignored a new configuration (shutdown in progress)")
      return summary
    }
    let old = spec
    spec = new
    if spec.cpus != old.cpus {
      // What children are told of it (HIVESUP_CPUS) cannot be changed in those that run.
      spec.cpus = old.cpus
      log(
        .warn,
        "cpu_class and cpu_affinity of [supervisord] have changed: hivesupd itself moves when it is started again")
    }
    events.resize(to: new.eventCapacity)

    var next: [ProgramRecord] = []
    next.reserveCapacity(new.programs.count)
    var isKept = Array(repeating: false, count: records.count)
    var toReplace: [ProgramID] = []
    var toAdjust: [ProgramID] = []
    var toPin: [(ProgramID, ProgramSpec)] = []
    var returning: [ProgramID] = []
    var added: [ProgramID] = []
    for program in new.programs {
      guard let i = names.exact(group: program.group, name: program.name), !isKept[i] else {
        lastID &+= 1
        let id = ProgramID(lastID)
        next.append(ProgramRecord(id: id, spec: program, at: now))
        added.append(id)
        summary.added.append(program.namespec)
        continue
      }
      isKept[i] = true
      var record = records[i]
      let present = replacements[record.id] ?? record.spec
      let isListenerNew = sockets(of: program, in: old) != sockets(of: program, in: new)
      if record.isRemoving || record.spec.needsRestart(for: program) || isListenerNew {
        // One that waits for its replacement already gets this one instead.
        if record.isRemoving || isListenerNew || present != program { summary.changed.append(program.namespec) }
        if record.isRemoving {
          record.stoppedBy = nil
          returning.append(record.id)
        }
        record.isRemoving = false
        replacements[record.id] = program
        toReplace.append(record.id)
      } else {
        replacements[record.id] = nil
        if record.spec != program {
          if record.spec.isSame(as: program) == false { summary.adjusted.append(program.namespec) }
          let isStartupNew =
            record.spec.startsecs != program.startsecs || record.spec.readyDeadline != program.readyDeadline
          if record.spec.readiness != program.readiness || record.spec.liveness != program.liveness
            || record.spec.kind != program.kind || record.spec.autostart != program.autostart
            || record.state == .starting && isStartupNew
          {
            toAdjust.append(record.id)
          }
          toPin.append((record.id, record.spec))
          record.spec = program
        }
      }
      next.append(record)
    }
    // What goes stays in the list until it is gone, behind everything else.
    var removed: [ProgramID] = []
    for i in records.indices where !isKept[i] {
      var record = records[i]
      if !record.isRemoving { summary.removed.append(record.spec.namespec) }
      record.isRemoving = true
      replacements[record.id] = nil
      removed.append(record.id)
      next.append(record)
    }
    records = next
    removing = removed.count
    changed = []
    for i in records.indices { records[i].isChanged = false }
    index()
    replaceListeners(new.listeners)
    note(nil, .text("configuration applied: \(summary.text); asked by \(who.text)"))
    log(.info, "configuration applied: \(summary.text)")

    for id in removed { if let i = indexOf[id] { beginRemoval(i, who) } }
    for id in toReplace { if let i = indexOf[id] { beginReplacement(i, who) } }
    // What is down is new before anything is started: nobody starts on what another program was.
    for id in toReplace { if let i = indexOf[id] { applyReplacement(i) } }
    for id in returning { if let i = indexOf[id] { comeBack(i, who) } }
    for (id, old) in toPin { if let i = indexOf[id] { pinningReloaded(i, from: old) } }
    for id in toAdjust { if let i = indexOf[id] { adjustChecks(i) } }
    for id in added {
      actions.append(.programAdded(id))
      if let i = indexOf[id], hasBooted { startIfWanted(i) }
    }
    gateBoot()
    // Dependencies may have changed for everything that waits.
    for i in records.indices where records[i].pending != nil { markChanged(i) }
    return summary
  }

  mutating func reloadFailed(_ text: String, by who: Requester) {
    note(nil, .text("the configuration stays as it is: \(text)"))
    log(.error, "cannot apply the new configuration, the running one stays: \(text)")
  }

  /// The listeners that a program inherits.
  private func sockets(of program: ProgramSpec, in spec: SupervisorSpec) -> [ListenerSpec] {
    spec.listeners.filter {
      $0.program == program.program || $0.program == program.name || $0.program == program.namespec
    }.map {
      var listener = $0
      listener.origin = Origin()
      return listener
    }
  }

  // MARK: What follows

  private mutating func startIfWanted(_ i: Int) {
    if records[i].isScheduled {
      schedule(i)
    } else if records[i].spec.autostart {
      records[i].pending = PendingStart(cause: .requested(.configuration))
      markChanged(i)
    }
  }

  private mutating func beginRemoval(_ i: Int, _ who: Requester) {
    disarm(.schedule, i)
    leaveBoot(i)
    records[i].afterStop = .down
    records[i].stoppedBy = who
    fire(.stopAsked, i, .requested(who))
    answerRemoved(i)
    markChanged(i)
  }

  private mutating func beginReplacement(_ i: Int, _ who: Requester) {
    switch records[i].state {
    case .stopping:
      // A stop that was only a part of starting it again stays one.
      if case .failedAttempt = records[i].afterStop { records[i].afterStop = .start(.requested(who)) }
      if case .crash = records[i].afterStop { records[i].afterStop = .start(.requested(who)) }
    case .starting, .running:
      fire(.stopAsked, i, .requested(who))
      records[i].afterStop = .start(.requested(who))
    case .unknown where records[i].main != .none:
      break
    case .backoff:
      fire(.stopAsked, i, .requested(who))
      records[i].pending = PendingStart(cause: .requested(who))
    case .stopped, .exited, .fatal, .unknown:
      break
    }
    markChanged(i)
  }

  /// It was on its way out and is wanted again, as if it were new.
  private mutating func comeBack(_ i: Int, _ who: Requester) {
    // What was down has its new spec already.
    guard (replacements[records[i].id] ?? records[i].spec).autostart, !records[i].isScheduled else { return }
    if records[i].state == .stopping {
      records[i].afterStop = .start(.requested(who))
    } else if records[i].main == .none {
      records[i].pending = PendingStart(cause: .requested(who))
    }
  }

  /// Puts the new spec in place when the process is down and before it is started.
  mutating func applyReplacement(_ i: Int) {
    guard let new = replacements[records[i].id], records[i].main == .none, records[i].state != .stopping else { return }
    let id = records[i].id
    replacements[id] = nil
    let hadFailed = records[i].state == .fatal || (records[i].state == .exited && !records[i].isCompleted)
    let wasNeverAsked = records[i].run == 0 && records[i].stoppedBy == nil
    let old = records[i].spec
    records[i].spec = new
    pinningReloaded(i, from: old)
    records[i].failedStarts = 0
    records[i].crashes = 0
    records[i].shortages = 0
    records[i].delay = .zero
    records[i].delayBefore = .zero
    records[i].reported = []
    actions.append(.programChanged(id))
    // Its name and group are what they were; only this would change who is who.
    if old.dependencies != new.dependencies || old.program != new.program || old.priority != new.priority
      || old.groupPriority != new.groupPriority
    {
      index()
    }
    if records[i].isScheduled {
      schedule(i)
    } else {
      disarm(.schedule, i)
      records[i].nextRun = nil
      if records[i].pending == nil, new.autostart, hasBooted,
        hadFailed || wasNeverAsked || new.kind == .oneshot && records[i].stoppedBy == nil
      {
        startIfWanted(i)
      }
    }
    markChanged(i)
  }

  /// Checks of a running process begin anew with their new settings.
  private mutating func adjustChecks(_ i: Int) {
    if records[i].isScheduled { schedule(i) }
    guard records[i].main == .alive, records[i].isExecKnown else { return }
    switch records[i].state {
    case .running:
      let wasReady = records[i].isReady
      endChecks(i)
      records[i].isReady = wasReady || records[i].spec.readiness == nil
      let isNotified = records[i].spec.readiness?.probe.isNotified ?? false
      if !isNotified { records[i].ready = CheckState() }
      records[i].liveness = CheckState()
      if !records[i].runsToCompletion { beginReadiness(i) }
      beginLiveness(i)
    case .starting:
      endChecks(i)
      restartStartup(i)
    case .stopped, .backoff, .stopping, .exited, .fatal, .unknown: break
    }
    markChanged(i)
  }

  // MARK: Removal

  /// Takes out what is on its way out and down; true when something was.
  mutating func removeGone() -> Bool {
    guard removing > 0, shutdown == nil else { return false }
    var gone: [ProgramID] = []
    for i in records.indices where records[i].isRemoving {
      guard records[i].main == .none, records[i].state != .stopping else { continue }
      switch records[i].tree {
      case .none: gone.append(records[i].id)
      case .left: beginTree(i)
      case .ending: break
      }
    }
    guard !gone.isEmpty else { return false }
    let goneIDs = Set(gone)
    for id in gone {
      if let i = indexOf[id] { note(i, .text("removed from the configuration")) }
      actions.append(.programRemoved(id))
      waiters[id] = nil
    }
    removing -= gone.count
    records.removeAll { goneIDs.contains($0.id) }
    index()
    return true
  }
}

extension ProgramSpec {
  /// Whether nothing but the place in the file differs.
  func isSame(as other: ProgramSpec) -> Bool {
    var a = self
    var b = other
    a.origin = Origin()
    b.origin = Origin()
    return a == b
  }
}

extension ReloadSummary {
  /// For people: `1 added (x), 2 removed (y, z)`; `nothing changed`.
  public var text: String {
    let parts = [("added", added), ("changed", changed), ("adjusted", adjusted), ("removed", removed)]
      .filter { !$0.1.isEmpty }.map { "\($0.1.count) \($0.0) (\($0.1.joined(separator: ", ")))" }
    return parts.isEmpty ? "nothing changed" : parts.joined(separator: ", ")
  }
}
