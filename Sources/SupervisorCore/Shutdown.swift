// Stopping everything, in order, inside one deadline.
//
// The plan's tiers stop backwards: what depends on others before what it depends on, higher priorities before lower ones, everything in a
// tier at once. A tier begins when the one before it is down; tiers with nothing alive cost nothing. When all are down, every process
// that is left (of whatever origin: daemonised, double-forked, orphaned) is ended with SIGTERM, then SIGKILL. Then the supervisor exits.
//
// Without `shutdown_timeout` every program has its own stop plan, as long as it is, and what is left has five seconds.
//
// With `shutdown_timeout` = D there is one deadline for everything, counted from the request:
// - A reserve of D/10, at most 1 s, is kept for what is left at the end. R is what remains of D without the reserve when a tier begins.
// - The length L of a tier is the longest stop plan of what is alive in it (of a later one: was alive in it when the shutdown began). When the lengths of this and all later tiers do not fit into
//   R, all of them shrink in proportion: each step of each plan, and of what is left behind by a program, takes wait × R / ΣL.
// - When L × scale is over, what is alive in the tier is killed; a quarter of the reserve later the next tier begins even if the kernel has
//   not let go of the killed yet.
// - Half the reserve before the deadline everything that is alive is killed, and at the deadline the supervisor exits, whatever there is.
// A tier that is faster than its plan leaves its time to the later ones.
//
// A second request to shut down moves everything that is stopping to the next step of its plan.

/// Why everything is stopped.
enum ShutdownReason: Equatable, Sendable {
  /// Somebody asked.
  case requested
  /// Because of a failure, which gives the exit status.
  case failure(String, status: Int32)
}

/// The part of `shutdown_timeout` that is kept for what is left at the end: a tenth, at most 1 s. The stop plans share the rest.
public func shutdownReserve(of timeout: Interval) -> Interval {
  Interval(nanoseconds: min(1_000_000_000, timeout.nanoseconds / 10))
}

/// A shutdown under way.
struct Shutdown: Sendable {
  var reason: ShutdownReason
  /// Who or what began it, in words.
  var text: String
  /// All of it. nil: none.
  var deadline: Instant?
  /// What is kept for the end.
  var reserve: Interval = .zero
  /// Tiers still to come, the next one last.
  var waiting: [[ProgramID]] = []
  /// How long each of them may take, as of the beginning, and all of them together.
  var lengths: [Interval] = []
  var length = Interval.zero
  /// What the present tier waits for.
  var tier: [ProgramID] = []
  /// The factor for every wait of a plan.
  var scale = 1.0
  /// When the present tier is killed; then when it is left alone.
  var tierEnd: Instant?
  var tierIsKilled = false
  /// When everything is killed.
  var killAll: Instant?
  /// All tiers are down; what is left is being ended.
  var isEndingRemaining = false
  /// SIGKILL had to be used.
  var hasKilled = false
  /// After SIGKILL for what is left, without a deadline: when to leave it alone.
  var giveUp: Instant?

  var nextDeadline: Instant? {
    [deadline, tierEnd, killAll, giveUp].compactMap { $0 }.min()
  }
}

extension Supervisor {
  mutating func beginShutdown(_ reason: ShutdownReason, by who: Requester) {
    guard shutdown == nil else { return }
    var new = Shutdown(reason: reason, text: who.text)
    if let limit = spec.shutdownTimeout {
      let length = max(.zero, limit)
      new.deadline = now.instant + length
      new.reserve = shutdownReserve(of: length)
      new.killAll = now.instant + (length - Interval(nanoseconds: new.reserve.nanoseconds / 2))
    }
    // What is on its way out of the configuration is in the tiers like everything else.
    new.waiting = tiers.map { $0.map { records[$0].id } }
    new.lengths = new.waiting.map(planLength)
    new.length = new.lengths.reduce(.zero, +)
    shutdown = new
    boot.deadline = nil
    boot.isGated = false
    replacements = [:]
    note(nil, .requested(who))
    for i in records.indices {
      disarm(.schedule, i)
      records[i].nextRun = nil
      if records[i].pending != nil { fire(.stopAsked, i, .requested(who)) }
    }
    answerAllStarts()
    let alive = records.filter(\.isLive).map(\.spec.name)
    if !alive.isEmpty { log(.info, "waiting for \(alive.joined(separator: ", ")) to die") }
  }

  /// Goes on to the next tier when the present one is down, and to the end when all are.
  mutating func advanceShutdown() {
    guard shutdown?.isEndingRemaining == false else { return }
    while shutdown != nil {
      // From the back, so that each of the tier is looked at about once.
      while let id = shutdown?.tier.last {
        if let i = indexOf[id], records[i].isLive, records[i].state != .unknown { return }
        shutdown?.tier.removeLast()
      }
      guard let next = shutdown?.waiting.popLast(), let length = shutdown?.lengths.popLast() else { break }
      let later = (shutdown?.length ?? .zero) - length
      shutdown?.length = later
      beginTier(next)
    }
    endRemaining()
  }

  private mutating func beginTier(_ tier: [ProgramID]) {
    shutdown?.tierEnd = nil
    shutdown?.tierIsKilled = false
    let members = tier.compactMap { indexOf[$0] }
    guard members.contains(where: { records[$0].isLive || records[$0].state == .backoff }) else { return }
    if let under = shutdown, let deadline = under.deadline {
      let left = max(.zero, (deadline - now.instant) - under.reserve)
      let own = planLength(tier)
      let all = own + under.length
      let scale = all > left ? left.inSeconds / max(1e-9, all.inSeconds) : 1
      shutdown?.scale = scale
      shutdown?.tierEnd = now.instant + .seconds(own.inSeconds * scale)
    }
    let cause = Cause.text("shutting down: \(shutdown?.text ?? "")")
    // Later in the configuration first, as supervisord stops inside a group.
    for i in members.reversed() {
      records[i].afterStop = .down
      if records[i].state == .stopping {
        rescale(i)
      } else if records[i].isLive || records[i].state == .backoff {
        fire(.stopAsked, i, cause)
      }
    }
    shutdown?.tier = members.filter { records[$0].isLive }.map { records[$0].id }
  }

  /// The longest stop plan of what is alive among these.
  private func planLength(_ tier: [ProgramID]) -> Interval {
    var longest = Interval.zero
    for id in tier {
      guard let i = indexOf[id], records[i].main != .none else { continue }
      longest = max(longest, records[i].spec.stopPlan.reduce(.zero) { $0 + max(.zero, $1.wait) })
    }
    return longest
  }

  /// What was being stopped already has no more time than it had, and no more than its tier.
  private mutating func rescale(_ i: Int) {
    guard let end = shutdown?.tierEnd else { return }
    for kind in [TimerKind.stop, .tree] {
      if let due = records[i].timers[kind], due > end { arm(kind, i, at: end) }
    }
  }

  /// A wait of a stop plan or tree plan, as long as it may be now.
  func scaled(_ wait: Interval) -> Interval {
    guard let under = shutdown, under.deadline != nil else { return max(.zero, wait) }
    let scaled = Interval.seconds(max(0, wait.inSeconds) * under.scale)
    guard let end = under.tierEnd else { return scaled }
    return min(scaled, max(.zero, end - now.instant))
  }

  // MARK: Time is over

  mutating func shutdownTimerDue() {
    guard let under = shutdown else { return }
    if let deadline = under.deadline, deadline <= now.instant {
      let alive = records.filter(\.isLive).map(\.spec.name)
      if !alive.isEmpty {
        log(.error, "the shutdown deadline has come; leaving \(alive.joined(separator: ", ")) to the kernel")
      }
      shutdown?.hasKilled = true
      exitNow()
      return
    }
    if let killAll = under.killAll, killAll <= now.instant {
      shutdown?.killAll = nil
      killEverything()
      return
    }
    if let giveUp = under.giveUp, giveUp <= now.instant {
      log(.error, "processes are left that SIGKILL does not end; leaving them to the kernel")
      exitNow()
      return
    }
    if let end = under.tierEnd, end <= now.instant { tierTimeIsOver(under) }
  }

  private mutating func tierTimeIsOver(_ under: Shutdown) {
    if under.tierIsKilled {
      shutdown?.tierEnd = nil
      shutdown?.tier = []
      return
    }
    shutdown?.tierIsKilled = true
    shutdown?.tierEnd = now.instant + Interval(nanoseconds: under.reserve.nanoseconds / 4)
    for id in under.tier { if let i = indexOf[id] { killNow(i) } }
  }

  /// SIGKILL, for whatever there is of it. What the plan has killed is not killed twice in the same moment.
  private mutating func killNow(_ i: Int) {
    if records[i].state == .stopping, records[i].main != .none {
      if !records[i].isKilled { fire(.killDue, i, .killed) }
    } else if case .ending(let step) = records[i].tree, step < records[i].spec.treePlan.count {
      fire(.treeKillDue, i, .killed)
    }
  }

  /// The reserve begins to run out: nothing is asked politely any more.
  private mutating func killEverything() {
    shutdown?.tierEnd = nil
    shutdown?.waiting = []
    shutdown?.tier = []
    shutdown?.scale = 0
    for i in records.indices where records[i].isLive {
      records[i].afterStop = .down
      if records[i].state != .stopping { fire(.stopAsked, i, .text("the shutdown deadline is near")) }
      killNow(i)
    }
    shutdown?.isEndingRemaining = true
    shutdown?.hasKilled = true
    actions.append(.killRemaining)
  }

  // MARK: What is left

  private mutating func endRemaining() {
    shutdown?.isEndingRemaining = true
    shutdown?.tierEnd = nil
    actions.append(.endRemaining(signal: Signal.term))
    guard let under = shutdown else { return }
    let grace = now.instant + .seconds(under.deadline == nil ? 5 : 2)
    shutdown?.killAll = under.killAll.map { min($0, grace) } ?? grace
    if under.deadline == nil { shutdown?.giveUp = grace + .seconds(5) }
  }

  mutating func remainingEnded() {
    guard shutdown?.isEndingRemaining == true else { return }
    exitNow()
  }

  private mutating func exitNow() {
    guard let under = shutdown, !hasExited else { return }
    let status: Int32 =
      switch under.reason {
      case .failure(_, let status): status
      case .requested: under.hasKilled ? SupervisorExit.killed : SupervisorExit.success
      }
    answerAll()
    note(nil, .text("ends with status \(status)"))
    actions.append(.exit(status))
    hasExited = true
  }

  // MARK: Signals to the supervisor

  /// TERM, INT and QUIT shut down; a second one hurries. HUP re-reads the configuration, USR2 reopens the logs. Everything else has no
  /// meaning here and is only written down: a supervisor that is PID 1 must not die of a stray SIGUSR1.
  mutating func signalReceived(_ signal: Int32, pid: Int32, uid: UInt32) {
    let who = Requester.signal(signal, pid: pid, uid: uid)
    let name = signalName(signal)
    switch signal {
    case Signal.term, Signal.int, Signal.quit:
      log(.warn, "received \(name) indicating exit request")
      askShutdown(by: who)
    case Signal.hup:
      if shutdown != nil {
        log(.warn, "ignored \(name) indicating restart request (shutdown in progress)")
      } else {
        log(.warn, "received \(name) indicating restart request")
        note(nil, .requested(who))
        actions.append(.rereadConfiguration(by: who))
      }
    case Signal.usr2:
      log(.info, "received \(name) indicating log reopen request")
      actions.append(.reopenLogs)
    default:
      log(.debug, "received \(name), ignoring it")
    }
  }

  /// The first time: shut down. After that: the next step for everything that is stopping.
  mutating func askShutdown(by who: Requester) {
    guard let under = shutdown else {
      beginShutdown(.requested, by: who)
      return
    }
    note(nil, .requested(who))
    if under.isEndingRemaining {
      shutdown?.hasKilled = true
      shutdown?.killAll = nil
      actions.append(.killRemaining)
    }
    for i in records.indices { hurry(i) }
  }
}
