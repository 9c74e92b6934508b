// What clients ask for, and when they are answered. A request that waits keeps one entry per process that it waits for; a process that
// nobody waits for costs nothing.

/// A request that is not answered yet.
struct PendingRequest: Sendable {
  /// The results so far, in the order of the processes; nil: still to come.
  var results: [ProcessResult?]
  /// How many are still to come.
  var outstanding: Int
}

/// Somebody waits for a process.
struct Waiter: Sendable {
  var request: RequestID
  /// Which of its results.
  var position: Int
  var goal: Goal

  enum Goal: Sendable {
    /// Up (a oneshot or scheduled one: completed).
    case started
    /// Down.
    case stopped
  }
}

/// What a request comes to for one process.
private enum Outcome {
  case done(RequestFault?, String)
  case wait(Waiter.Goal)
  /// Of a group: it is already where it is asked to be.
  case skip

  static let success = Outcome.done(nil, "")
}

extension Supervisor {
  mutating func takeRequest(_ id: RequestID, _ command: Command, by who: Requester) {
    switch command {
    case .shutdown:
      answer(id, .accepted)
      log(.warn, "received a shutdown request from \(who.text)")
      askShutdown(by: who)
    case .reload(let spec):
      if shutdown != nil {
        refuse(id)
      } else {
        answer(id, .reload(reload(spec, by: who)))
      }
    case .start(let target, let wait): act(id, target) { $0.start($1, wait: wait, isGroup: $2, by: who) }
    case .stop(let target, let wait, let now):
      act(id, target) { $0.stop($1, wait: wait, now: now, isGroup: $2, by: who) }
    case .restart(let target, let wait): act(id, target) { core, i, _ in core.restart(i, wait: wait, by: who) }
    case .signal(let target, let signal):
      guard (1...64).contains(signal) else {
        answer(id, .fault(.badSignal, text: "there is no signal \(signal); signals are 1…64"))
        return
      }
      act(id, target) { $0.send($1, signal, isGroup: $2) }
    case .pin(let target, let pin):
      act(id, target) { core, i, _ in
        core.pin(i, pin, by: who)
        return .success
      }
    }
  }

  private mutating func answer(_ id: RequestID, _ result: CommandResult) { actions.append(.answer(id, result)) }

  private mutating func refuse(_ id: RequestID) {
    answer(id, .fault(.shutdownState, text: "the supervisor is shutting down"))
  }

  /// Does it to every process of the target and answers when the last result is there.
  private mutating func act(_ id: RequestID, _ target: String, _ body: (inout Supervisor, Int, Bool) -> Outcome) {
    guard shutdown == nil else {
      refuse(id)
      return
    }
    guard let targets = names.target(target, count: records.count) else {
      answer(id, .fault(.badName, text: "there is no process or group '\(target)'"))
      return
    }
    let isGroup = ProgramNames.isGroup(target)
    let present = targets.filter { !records[$0].isRemoving }
    if present.isEmpty, !isGroup {
      answer(id, .fault(.badName, text: "'\(target)' is being removed from the configuration"))
      return
    }
    // One more than there are, so that nothing is answered before the last process was acted upon.
    requests[id] = PendingRequest(results: [], outstanding: 1)
    for i in present {
      let position = requests[id]?.results.count ?? 0
      switch body(&self, i, isGroup) {
      case .skip: continue
      case .done(let fault, let text):
        let result = result(i, fault, text)
        requests[id]?.results.append(result)
      case .wait(let goal):
        requests[id]?.results.append(nil)
        requests[id]?.outstanding += 1
        waiters[records[i].id, default: []].append(Waiter(request: id, position: position, goal: goal))
        records[i].hasWaiters = true
      }
    }
    requests[id]?.outstanding -= 1
    answerIfComplete(id)
  }

  private func result(_ i: Int, _ fault: RequestFault?, _ text: String) -> ProcessResult {
    ProcessResult(name: records[i].spec.name, group: records[i].spec.group, fault: fault, text: text)
  }

  private mutating func answerIfComplete(_ id: RequestID) {
    guard let request = requests[id], request.outstanding == 0 else { return }
    requests[id] = nil
    answer(id, .processes(request.results.compactMap { $0 }))
  }

  // MARK: The four verbs, for one process

  private mutating func start(_ i: Int, wait: Bool, isGroup: Bool, by who: Requester) -> Outcome {
    let outcome: Outcome = wait ? .wait(.started) : .success
    switch records[i].state {
    case .starting, .running, .backoff:
      return isGroup ? .skip : .done(.alreadyStarted, "it is \(records[i].state.name)")
    case .unknown where records[i].main != .none:
      return .done(.failed, "its process \(records[i].pid) is still there and does not take signals")
    case .stopping:
      records[i].afterStop = .start(.requested(who))
    case .stopped, .exited, .fatal, .unknown:
      forgetFailures(i)
      records[i].pending = PendingStart(cause: .requested(who))
      disarm(.delay, i)
      markChanged(i)
    }
    return outcome
  }

  /// A person's start is a new beginning for the restart policy.
  private mutating func forgetFailures(_ i: Int) {
    records[i].failedStarts = 0
    records[i].crashes = 0
    records[i].shortages = 0
    records[i].delay = .zero
    records[i].delayBefore = .zero
    records[i].stoppedBy = nil
  }

  private mutating func stop(_ i: Int, wait: Bool, now isNow: Bool, isGroup: Bool, by who: Requester) -> Outcome {
    if records[i].isSettledDown, !records[i].isLive {
      return isGroup ? .skip : .done(.notRunning, "it is \(records[i].state.name)")
    }
    let wasStopping = records[i].state == .stopping
    records[i].stoppedBy = who
    records[i].afterStop = .down
    leaveBoot(i)
    if wasStopping, isNow {
      note(i, .requested(who))
      hurry(i)
    }
    fire(.stopAsked, i, .requested(who))
    if records[i].state != .stopping { answerWaiters(i, .requested(who)) }
    return wait && records[i].state == .stopping ? .wait(.stopped) : .success
  }

  private mutating func restart(_ i: Int, wait: Bool, by who: Requester) -> Outcome {
    if case .unknown = records[i].state, records[i].main != .none {
      return .done(.failed, "its process \(records[i].pid) is still there and does not take signals")
    }
    forgetFailures(i)
    fire(.stopAsked, i, .requested(who))
    if records[i].state == .stopping {
      records[i].afterStop = .start(.requested(who))
    } else {
      records[i].pending = PendingStart(cause: .requested(who))
      markChanged(i)
    }
    return wait ? .wait(.started) : .success
  }

  private mutating func send(_ i: Int, _ signal: Int32, isGroup: Bool) -> Outcome {
    guard records[i].state.isSignallable, records[i].isSignalTaker else {
      return isGroup ? .skip : .done(.notRunning, "it is \(records[i].state.name)")
    }
    actions.append(.signal(records[i].runID, signal, .process))
    return .success
  }

  // MARK: Answers

  /// A state was entered: who waited for this, or for what cannot come any more, is answered.
  mutating func answerWaiters(_ i: Int, _ cause: Cause) {
    answerWaiters(i, started: startOutcome(i, cause), stopped: stopOutcome(i))
  }

  /// Everything that waits for a start is told that the supervisor shuts down.
  mutating func answerAllStarts() {
    for i in records.indices where records[i].hasWaiters {
      answerWaiters(i, started: (.shutdownState, "the supervisor is shutting down"), stopped: nil)
    }
  }

  /// The supervisor ends: nobody is left without an answer.
  mutating func answerAll() {
    for id in requests.keys.sorted(by: { $0.number < $1.number }) { refuse(id) }
    requests = [:]
    waiters = [:]
  }

  /// What it waits for is not going to come by itself.
  mutating func answerHopeless(_ i: Int) {
    let text = "it waits for \(waitingTexts(i).joined(separator: ", ")); it starts when that has come"
    answerWaiters(i, started: (.failed, text), stopped: nil)
  }

  /// It is taken out of the configuration.
  mutating func answerRemoved(_ i: Int) {
    answerWaiters(i, started: (.badName, "it was removed from the configuration"), stopped: nil)
  }

  /// Answers those who wait for the one or the other goal; nil: they wait on.
  private mutating func answerWaiters(_ i: Int, started: (RequestFault?, String)?, stopped: (RequestFault?, String)?) {
    let id = records[i].id
    guard let waiting = waiters[id] else { return }
    var left: [Waiter] = []
    for waiter in waiting where requests[waiter.request] != nil {
      guard let (fault, text) = waiter.goal == .started ? started : stopped else {
        left.append(waiter)
        continue
      }
      let result = result(i, fault, text)
      requests[waiter.request]?.results[waiter.position] = result
      requests[waiter.request]?.outstanding -= 1
      answerIfComplete(waiter.request)
    }
    waiters[id] = left.isEmpty ? nil : left
    records[i].hasWaiters = !left.isEmpty
  }

  private func stopOutcome(_ i: Int) -> (RequestFault?, String)? {
    switch records[i].state {
    case .stopping: nil
    case .unknown: (.failed, "it does not take signals")
    case .stopped, .exited, .fatal, .backoff, .starting, .running: (nil, "")
    }
  }

  private func startOutcome(_ i: Int, _ cause: Cause) -> (RequestFault?, String)? {
    switch records[i].state {
    case .starting, .stopping: return nil
    case .running: return records[i].runsToCompletion ? nil : (nil, "")
    case .exited:
      return records[i].runsToCompletion && records[i].isCompleted ? (nil, "") : (.abnormalTermination, cause.text)
    case .backoff, .fatal:
      if let failure = records[i].spawnFailure {
        if failure.isShortage, records[i].state == .backoff { return nil }
        return (fault(of: failure), failure.text)
      }
      return (.abnormalTermination, cause.text)
    case .stopped:
      return records[i].pending != nil || isStartingAgain(i) ? nil : (.abnormalTermination, "it was stopped")
    case .unknown: return (.failed, "it does not take signals")
    }
  }

  /// It has been stopped only to be started again; the start is still to be written down.
  private func isStartingAgain(_ i: Int) -> Bool {
    switch records[i].afterStop {
    case .start, .crash: true
    case .down, .failedAttempt: false
    }
  }

  private func fault(of failure: SpawnFailure) -> RequestFault {
    switch failure.errno {
    case 2 where failure.stage == .command || failure.stage == .exec: .noFile
    case 13 where failure.stage == .command || failure.stage == .exec: .notExecutable
    default: .spawnError
    }
  }
}
