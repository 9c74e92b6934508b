// What the runtime reports of a run, and which situation that is: the guards in front of the table.

extension Supervisor {
  // MARK: Start

  mutating func spawned(_ i: Int, pid: Int32) {
    guard records[i].main == .spawning else { return }
    records[i].main = .alive
    records[i].pid = pid
    records[i].startedAt = now
    records[i].tree = .none
    note(i, .spawned(pid: pid))
    log(.info, "spawned: '\(records[i].spec.name)' with pid \(pid)")
    markChanged(i)
    if records[i].isKilled { actions.append(.signal(records[i].runID, Signal.kill, killScope(i))) }
  }

  mutating func execSucceeded(_ i: Int) {
    guard records[i].main == .alive, !records[i].isExecKnown else { return }
    records[i].isExecKnown = true
    switch records[i].state {
    case .starting: beginStartup(i)
    case .stopping: resendStopSignal(i)
    case .stopped, .running, .backoff, .exited, .fatal, .unknown: break
    }
    releaseHeldExit(i)
  }

  mutating func spawnFailed(_ i: Int, _ failure: SpawnFailure) {
    guard records[i].main != .none, records[i].spawnFailure == nil, !records[i].isExecKnown else { return }
    records[i].spawnFailure = failure
    records[i].isExecKnown = true
    log(.info, "spawnerr: \(failure.text)")
    if records[i].main == .alive {
      releaseHeldExit(i)  // else its exit comes
      return
    }
    records[i].main = .none
    records[i].stoppedAt = now
    actions.append(.releaseRun(records[i].runID))
    switch records[i].state {
    case .starting: attemptFailed(i, .spawnFailure(failure))
    case .stopping, .unknown: fire(.mainGone, i, .spawnFailure(failure))
    case .stopped, .running, .backoff, .exited, .fatal: break
    }
  }

  /// It executes its program: what has to happen for it to count as up?
  private mutating func beginStartup(_ i: Int) {
    if records[i].runsToCompletion {
      fire(.startupDone, i, .spawned(pid: records[i].pid))
    } else if records[i].spec.readiness != nil {
      if records[i].isReady {  // it has told so before its exec status was read
        fire(.startupDone, i, .ready(""))
        return
      }
      if let limit = records[i].spec.readyDeadline { arm(.startup, i, at: started(i) + limit) }
      if records[i].heldExit == nil { beginReadiness(i) }
    } else if records[i].spec.startsecs <= 0 {
      fire(.startupDone, i, .stayedUp(seconds: 0))
    } else {
      arm(.startup, i, at: started(i) + .seconds(Double(records[i].spec.startsecs)))
    }
  }

  /// The settings of a start that is under way have changed: what it waits for is found anew.
  mutating func restartStartup(_ i: Int) { beginStartup(i) }

  private func started(_ i: Int) -> Instant { records[i].startedAt?.instant ?? now.instant }

  /// `startsecs` are over, or `ready_deadline` is.
  mutating func startupDue(_ i: Int) {
    guard records[i].state == .starting else { return }
    if records[i].declaresReadiness {
      let limit = records[i].spec.readyDeadline ?? .zero
      let detail = records[i].ready.detail
      log(
        .warn,
        "\(records[i].spec.name) was not ready within \(limit.text)\(detail.isEmpty ? "" : ": \(detail)"); stopping this attempt"
      )
      records[i].afterStop = .failedAttempt(.readyDeadlineMissed(limit))
      fire(.stopAsked, i, .readyDeadlineMissed(limit))
    } else {
      fire(.startupDone, i, .stayedUp(seconds: records[i].spec.startsecs))
    }
  }

  // MARK: End

  mutating func exited(_ i: Int, _ status: ExitStatus, oomKilled: Bool) {
    guard records[i].main == .alive, records[i].heldExit == nil else { return }
    if records[i].isExecKnown {
      mainExited(i, status, oomKilled: oomKilled, at: now)
    } else {
      // Was it the program that exited, or the child that could not become it? The exec status is on its way.
      records[i].heldExit = HeldExit(status: status, oomKilled: oomKilled, at: now)
      arm(.execStatus, i, after: .seconds(1))
    }
  }

  /// Without an exec status the exit is the program's own.
  mutating func execStatusMissed(_ i: Int) {
    guard records[i].heldExit != nil else { return }
    log(
      .debug,
      "no exec status of \(records[i].spec.name) (\(records[i].pid)) has come; taking its exit as the program's own")
    records[i].isExecKnown = true
    if records[i].state == .starting { beginStartup(i) }
    releaseHeldExit(i)
  }

  private mutating func releaseHeldExit(_ i: Int) {
    guard let exit = records[i].heldExit else { return }
    records[i].heldExit = nil
    disarm(.execStatus, i)
    mainExited(i, exit.status, oomKilled: exit.oomKilled, at: exit.at)
  }

  private mutating func mainExited(_ i: Int, _ status: ExitStatus, oomKilled: Bool, at moment: Moment) {
    // A deadline that had passed when it exited has come first, whichever of the two events was delivered first.
    if records[i].state == .starting, let due = records[i].timers[.startup], due <= moment.instant,
      !records[i].declaresReadiness
    {
      fire(.startupDone, i, .stayedUp(seconds: records[i].spec.startsecs))
    }
    let isExpected = isExpected(i, status)
    records[i].main = .none
    records[i].stoppedAt = moment
    let failure = records[i].spawnFailure
    if failure == nil {
      records[i].lastExit = LastExit(
        status: status, oomKilled: oomKilled, expected: records[i].state == .stopping ? true : isExpected, at: moment)
      records[i].tree = .left
    } else {
      actions.append(.releaseRun(records[i].runID))  // it executed nothing and left nothing
    }
    switch records[i].state {
    case .starting:
      if let failure {
        attemptFailed(i, .spawnFailure(failure))
      } else {
        log(.warn, "exited: \(records[i].spec.name) (\(status.text(oomKilled: oomKilled)); not expected)")
        records[i].lastExit?.expected = false
        attemptFailed(i, .exitedTooQuickly(status, oomKilled: oomKilled))
      }
    case .running:
      runExited(
        i, .exited(status, expected: isExpected, oomKilled: oomKilled), status, oomKilled, isExpected, at: moment)
    case .stopping, .unknown:
      disarm(.stop, i)
      log(isExpected ? .info : .warn, "stopped: \(records[i].spec.name) (\(status.text(oomKilled: oomKilled)))")
      fire(.mainGone, i, .exited(status, expected: true, oomKilled: oomKilled))
    case .stopped, .backoff, .exited, .fatal:
      break
    }
    records[i].pid = 0
    markChanged(i)
  }

  private func isExpected(_ i: Int, _ status: ExitStatus) -> Bool {
    if case .exited(let code) = status { records[i].spec.exitcodes.contains(code) } else { false }
  }

  /// It ended by itself from RUNNING.
  private mutating func runExited(
    _ i: Int, _ cause: Cause, _ status: ExitStatus, _ oomKilled: Bool, _ isExpected: Bool, at moment: Moment
  ) {
    log(
      isExpected ? .info : .warn,
      "exited: \(records[i].spec.name) (\(status.text(oomKilled: oomKilled)); \(isExpected ? "expected" : "not expected"))"
    )
    if isExpected { records[i].isCompleted = true }
    switch records[i].spec.kind {
    case .oneshot:
      if isExpected {
        fire(.completed, i, cause)
      } else if records[i].spec.autorestart == .never {
        records[i].failedStarts &+= 1
        fire(.attemptFailedForGood, i, cause)
      } else {
        attemptFailed(i, cause)
      }
    case .scheduled:
      fire(isExpected ? .completed : .exitedForGood, i, cause)
    case .service:
      let again =
        switch records[i].spec.autorestart {
        case .never: false
        case .unexpected: !isExpected
        case .always: true
        }
      if again, shutdown == nil {
        if isExpected { countExpectedExit(i, at: moment) } else { countCrash(i, at: moment) }
        fire(.exitedToRestart, i, cause)
      } else {
        fire(.exitedForGood, i, cause)
      }
    }
  }

  /// Whether the run that ended at this moment held.
  private func hasHeld(_ i: Int, until moment: Moment) -> Bool {
    RestartPolicy.held(
      sinceRunning: records[i].runningSince.map { moment.instant - $0 } ?? .zero,
      sinceSpawn: moment.instant - started(i), startsecs: records[i].spec.startsecs,
      delayBefore: max(records[i].delay, records[i].delayBefore), backoff: records[i].spec.backoff)
  }

  /// Finds the delay before the next start after an expected exit from RUNNING. It is no crash, and does not excuse those before it
  /// unless the run held.
  private mutating func countExpectedExit(_ i: Int, at moment: Moment) {
    if hasHeld(i, until: moment) {
      records[i].crashes = 0
      records[i].delayBefore = .zero
    } else {
      records[i].delayBefore = max(records[i].delay, records[i].delayBefore)
    }
    records[i].delay = RestartPolicy.delayAfterExpectedExit(sinceSpawn: now.instant - started(i))
  }

  /// Counts an unexpected exit from RUNNING and finds the delay before the next start.
  mutating func countCrash(_ i: Int, at moment: Moment) {
    records[i].crashes = hasHeld(i, until: moment) ? 1 : records[i].crashes &+ 1
    records[i].delay = RestartPolicy.delayAfterCrash(
      crashes: records[i].crashes, backoff: records[i].spec.backoff, random: &random)
    records[i].delayBefore = .zero
  }

  /// An attempt to start failed, or a oneshot's run.
  private mutating func attemptFailed(_ i: Int, _ cause: Cause) {
    if case .spawnFailure(let failure) = cause, failure.isShortage {
      records[i].shortages &+= 1
      records[i].delay = RestartPolicy.delayAfterShortage(records[i].shortages)
      fire(.attemptShort, i, cause)
    } else if countFailedAttempt(i) {
      fire(.attemptFailed, i, cause)
    } else {
      fire(.attemptFailedForGood, i, .gaveUp(attempts: records[i].failedStarts, cause.text))
    }
  }

  /// Counts a failed attempt and finds the delay before the next one; false: that was the last one. What failed while something it depends
  /// on was down is not counted: it waits for its dependency again.
  mutating func countFailedAttempt(_ i: Int) -> Bool {
    records[i].shortages = 0
    if !records[i].dependencies.isEmpty, firstUnmet(i) != nil {
      records[i].delay = .seconds(1)
      return true
    }
    records[i].failedStarts &+= 1
    guard
      RestartPolicy.attemptsLeft(failedStarts: records[i].failedStarts, startretries: records[i].spec.startretries)
    else { return false }
    records[i].delay = RestartPolicy.delayAfterFailedStart(
      failedStarts: records[i].failedStarts, crashes: records[i].crashes, backoff: records[i].spec.backoff,
      random: &random)
    return true
  }

  // MARK: Tree and signals

  mutating func treeEnded(_ i: Int) {
    guard case .ending = records[i].tree else { return }
    fire(.treeGone, i, .text("nothing is left of it"))
  }

  mutating func signalFailed(_ i: Int, _ signal: Int32, _ text: String) {
    guard records[i].main == .alive else { return }
    note(i, .signalFailed(signal, text))
    log(.error, "cannot send \(signalName(signal)) to \(records[i].spec.name) (\(records[i].pid)): \(text)")
    fire(.signalRefused, i, .signalFailed(signal, text))
  }
}
