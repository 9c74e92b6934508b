// What a cell of the table brings with it.

extension Supervisor {
  mutating func perform(_ effect: Effect, _ i: Int, _ cause: Cause) {
    switch effect {
    case .spawn: spawn(i)
    case .enterRunning: enterRunning(i, cause)
    case .endChecks: endChecks(i)
    case .takeListeners: updateListeners()
    case .beginStop: beginStopPlan(i)
    case .sendStep: sendStopStep(i)
    case .sendKill: sendKill(i)
    case .endTree:
      switch records[i].tree {
      case .left: beginTree(i)
      case .ending: break
      case .none: if records[i].state == .stopping { finishStop(i) }
      }
    case .sendTreeStep: sendTreeStep(i)
    case .killTree: killTree(i)
    case .forgetTree: forgetTree(i)
    case .finishStop: finishStop(i)
    case .startAgain: startAgain(i, cause)
    case .armDelay: armDelay(i, cause)
    case .cancelStart: cancelStart(i)
    case .final: failedFinally(i, cause)
    case .complete: completed(i)
    case .abandonStop: abandonStop(i)
    case .retryStart: markChanged(i)
    }
  }

  /// A new run: nothing of the last one counts any more.
  private mutating func spawn(_ i: Int) {
    if records[i].pending?.isRestart == true { records[i].restarts &+= 1 }
    records[i].pending = nil
    records[i].run &+= 1
    records[i].main = .spawning
    records[i].pid = 0
    records[i].isExecKnown = false
    records[i].spawnFailure = nil
    records[i].heldExit = nil
    records[i].startedAt = now
    records[i].isReady = false
    records[i].isDraining = false
    records[i].isCompleted = false
    records[i].statusText = ""
    records[i].ready = CheckState()
    records[i].liveness = CheckState()
    records[i].afterStop = .down
    records[i].isKilled = false
    records[i].stoppedBy = nil
    disarm(.delay, i)
    actions.append(.spawn(records[i].runID))
  }

  private mutating func enterRunning(_ i: Int, _ cause: Cause) {
    disarm(.startup, i)
    records[i].runningSince = now.instant
    records[i].isReady = true
    records[i].shortages = 0
    if !records[i].runsToCompletion {
      records[i].failedStarts = 0
      hasComeUp(i)
    }
    let name = records[i].spec.name
    if case .ready(let detail) = cause {
      log(.info, "success: \(name) entered RUNNING state, process is ready\(detail.isEmpty ? "" : " (\(detail))")")
    } else {
      let seconds = records[i].runsToCompletion ? 0 : max(0, records[i].spec.startsecs)
      log(
        .info,
        "success: \(name) entered RUNNING state, process has stayed up for > than \(seconds) seconds (startsecs)")
    }
    beginLiveness(i)
  }

  private mutating func startAgain(_ i: Int, _ cause: Cause) {
    if case .start(let why) = records[i].afterStop, records[i].state == .stopped {
      records[i].pending = PendingStart(cause: why)
    } else {
      records[i].pending = PendingStart(cause: cause, isRestart: true)
      if records[i].delay > .zero, records[i].state == .exited {
        if records[i].lastExit?.expected == true {
          arm(.delay, i, after: records[i].delay)  // no failure: it is EXITED, not BACKOFF, for this moment
        } else {
          fire(.restartLater, i, cause)
        }
      }
    }
    markChanged(i)
  }

  private mutating func armDelay(_ i: Int, _ cause: Cause) {
    if shutdown != nil { return }
    let isCrash =
      switch cause {
      case .exited, .livenessFailed: !records[i].runsToCompletion
      default: false
      }
    let why: Cause =
      isCrash ? .restart(crashes: records[i].crashes) : .retry(attempt: records[i].failedStarts &+ 1)
    records[i].pending = PendingStart(cause: why, isRestart: true)
    arm(.delay, i, after: records[i].delay)
  }

  /// Drops the pending start; a boot does not wait for the program any more.
  mutating func cancelStart(_ i: Int) {
    records[i].pending = nil
    disarm(.delay, i)
    markChanged(i)
  }

  private mutating func completed(_ i: Int) {
    records[i].failedStarts = 0
    records[i].crashes = 0
    hasComeUp(i)
  }

  /// It stays down although nobody asked for it. An expected end is none of the failures that end the supervisor.
  private mutating func failedFinally(_ i: Int, _ cause: Cause) {
    if records[i].state == .fatal {
      log(
        .info, "gave up: \(records[i].spec.name) entered FATAL state, too many start retries too quickly")
    } else if records[i].lastExit?.expected ?? true {
      return
    }
    guard records[i].spec.critical, shutdown == nil else { return }
    let status = criticalStatus(i)
    let text = "\(records[i].spec.namespec) is critical and has failed: \(cause.text)"
    log(.critical, "\(text); ending with status \(status)")
    beginShutdown(.failure(text, status: status), by: .supervisor(text))
  }

  /// The exit status that a critical program's failure ends the supervisor with: its own, or 128 + signal; 126 or 127 where it could not be
  /// executed, 1 where it ended with 0 and yet failed (it exited too quickly, or was never ready).
  private func criticalStatus(_ i: Int) -> Int32 {
    if let failure = records[i].spawnFailure {
      return failure.errno == 13 ? SupervisorExit.notExecutable : SupervisorExit.notStarted
    }
    let status = records[i].lastExit?.status.shellStatus ?? 1
    return status == 0 ? 1 : status
  }

  private mutating func abandonStop(_ i: Int) {
    disarm(.stop, i)
    log(
      .error, "cannot stop \(records[i].spec.name) (\(records[i].pid)): it does not take signals from this supervisor")
  }
}
