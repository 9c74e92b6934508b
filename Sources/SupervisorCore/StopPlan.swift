// Stopping one program: its stop plan, then SIGKILL, then what it left behind.
//
// Every step of the plan is a signal and a time; SIGCONT follows each signal, so that a program that is stopped (SIGSTOP) can act on it.
// When the last step's time is over comes SIGKILL, and again each time as long. A signal is never sent between fork and exec, where it
// would meet the wrong handler: it is remembered and sent as soon as the exec status is known. The clock of the plan runs all the same,
// so the stop takes no longer for it.
// When the main process is gone, what it left behind is ended by the tree plan in the same way. In the common case nothing is left, the
// runtime says so at once, and the stop is complete in the same turn of the loop.
//
// Under a shutdown deadline, all these times are scaled (Shutdown.swift).

extension Supervisor {
  mutating func beginStopPlan(_ i: Int) {
    disarm(.startup, i)
    records[i].stopStep = -1
    records[i].isKilled = false
    sendStopStep(i)
  }

  /// Goes on to the next step of the plan.
  mutating func sendStopStep(_ i: Int) {
    records[i].stopStep += 1
    guard let step = stopStep(i) else {
      sendKill(i)
      return
    }
    note(i, .stopSignal(step.signal))
    log(.debug, "killing \(records[i].spec.name) (pid \(records[i].pid)) with signal \(signalName(step.signal))")
    if records[i].isSignalTaker, records[i].isExecKnown { sendStopSignal(i, step.signal) }
    arm(.stop, i, after: scaled(step.wait))
  }

  private func stopStep(_ i: Int) -> StopStep? {
    let plan = records[i].spec.stopPlan
    let step = records[i].stopStep
    return step >= 0 && step < plan.count ? plan[step] : nil
  }

  private mutating func sendStopSignal(_ i: Int, _ signal: Int32) {
    let scope: SignalScope = records[i].spec.stopasgroup ? .group : .process
    actions.append(.signal(records[i].runID, signal, scope))
    if signal != Signal.kill { actions.append(.signal(records[i].runID, Signal.cont, scope)) }
  }

  /// The exec status has come while it was being stopped: now the signal meets the program.
  mutating func resendStopSignal(_ i: Int) {
    guard !records[i].isKilled, records[i].isSignalTaker, let step = stopStep(i) else { return }
    sendStopSignal(i, step.signal)
  }

  func killScope(_ i: Int) -> SignalScope {
    records[i].spec.killasgroup || records[i].spec.stopasgroup ? .group : .process
  }

  mutating func sendKill(_ i: Int) {
    if !records[i].isKilled {
      note(i, .killed)
      shutdown?.hasKilled = true
    }
    records[i].isKilled = true
    if records[i].isSignalTaker {
      log(.warn, "killing '\(records[i].spec.name)' (\(records[i].pid)) with SIGKILL")
      actions.append(.signal(records[i].runID, Signal.kill, killScope(i)))
    }
    arm(.stop, i, after: max(.seconds(1), records[i].spec.stopPlan.last?.wait ?? .zero))
  }

  mutating func stopTimerDue(_ i: Int) {
    guard records[i].state == .stopping, records[i].main != .none else { return }
    let isLast = records[i].isKilled || records[i].stopStep + 1 >= records[i].spec.stopPlan.count
    fire(isLast ? .killDue : .stepDue, i, isLast ? .killed : .text("the next step of its stop plan"))
  }

  /// Goes on to the next step at once, of whichever plan is under way.
  mutating func hurry(_ i: Int) {
    if records[i].state == .stopping, records[i].main != .none {
      stopTimerDue(i)
    } else if case .ending = records[i].tree {
      treeTimerDue(i)
    }
  }

  // MARK: What it left behind

  mutating func beginTree(_ i: Int) {
    records[i].tree = .ending(step: -1)
    sendTreeStep(i)
  }

  mutating func sendTreeStep(_ i: Int) {
    guard case .ending(let before) = records[i].tree else { return }
    let step = before + 1
    let plan = records[i].spec.treePlan
    guard step < plan.count else {
      killTree(i)
      return
    }
    records[i].tree = .ending(step: step)
    actions.append(.endTree(records[i].runID, signal: plan[step].signal))
    arm(.tree, i, after: scaled(plan[step].wait))
  }

  mutating func killTree(_ i: Int) {
    let plan = records[i].spec.treePlan
    if case .ending(let step) = records[i].tree, step < plan.count, !plan.isEmpty {
      log(.warn, "killing what '\(records[i].spec.name)' left behind with SIGKILL")
      shutdown?.hasKilled = true
    }
    records[i].tree = .ending(step: plan.count)
    actions.append(.killTree(records[i].runID))
    arm(.tree, i, after: .seconds(5))
  }

  mutating func treeTimerDue(_ i: Int) {
    guard case .ending(let step) = records[i].tree else { return }
    let isLast = step + 1 >= records[i].spec.treePlan.count
    fire(isLast ? .treeKillDue : .treeStepDue, i, .text("what it left behind is still there"))
  }

  mutating func forgetTree(_ i: Int) {
    records[i].tree = .none
    disarm(.tree, i)
    actions.append(.releaseRun(records[i].runID))
    markChanged(i)
  }

  // MARK: The end of a stop

  mutating func finishStop(_ i: Int) {
    disarm(.stop, i)
    let after = shutdown == nil ? records[i].afterStop : .down
    switch after {
    case .down:
      fire(.stoppedDown, i, records[i].stoppedBy.map { .requested($0) } ?? .text("stopped"))
    case .start(let cause):
      records[i].delay = .zero
      fire(.stoppedToRestart, i, cause)
    case .crash(let text):
      countCrash(i, at: now)
      fire(records[i].delay > .zero ? .stoppedToBackoff : .stoppedToRestart, i, .livenessFailed(text))
    case .failedAttempt(let cause):
      if countFailedAttempt(i) {
        fire(.stoppedToBackoff, i, cause)
      } else {
        fire(.stoppedForGood, i, .gaveUp(attempts: records[i].failedStarts, cause.text))
      }
    }
  }
}
