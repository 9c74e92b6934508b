// The state machine of one process, as one table.
//
// A process has one of supervisord's eight states. What happens to it reaches the table as one of twenty-one situations, which are
// made of events by guards: "it exited" is not a situation, "it exited before it was up, and attempts are left" is one. So no cell
// has to ask anything, and a cell is all there is to know about its pair.
//
//               startDue                  startupDone
//   STOPPED ─────────────────▶ STARTING ─────────────▶ RUNNING ──┐ exited…, completed
//      ▲                        │    ▲                  │        ▼
//      │          attemptFailed ▼    │ startDue         │      EXITED ──▶ (startDue: STARTING)
//      │ stopAsked            BACKOFF┘◀─ restartLater ──┼────────┘
//      │◀───────────────────────┘ attemptFailedForGood ─┼──▶ FATAL
//      │                                      stopAsked ▼
//      └──────────────────────────────────────────── STOPPING ──▶ (BACKOFF, FATAL: it was stopped because its start had failed)
//
// Beside the state, a process has (ProgramRecord):
// - its *main process*: none, asked for, or there. STARTING, RUNNING and STOPPING have one (STOPPING may have lost it already).
// - its *tree*: the processes that an ended main process left behind. They are ended before the next start and at the end of a
//   stop; STOPPING lasts until that is done. In all other states the tree's end happens beside the state.
// - a *pending start*: somebody wants it up. It is started as soon as nothing is in the way: its delay (BACKOFF, EXITED), its tree, its tier at
//   boot, its dependencies. A process that waits for dependencies is STOPPED (or EXITED, BACKOFF) with a pending start.
//
// Cells that say `.impossible` name why no event can lead there. If one does, it is logged as an error of the supervisor, counted, and
// nothing is changed; the simulation test holds the count at zero.

/// What can happen to a process, after the guards.
enum Situation: CaseIterable, Sendable {
  /// A start is wanted and nothing is in its way.
  case startDue
  /// It counts as started: up for `startsecs`, ready, or (oneshot, scheduled) executing.
  case startupDone
  /// The attempt failed for lack of a resource: it does not count.
  case attemptShort
  /// The attempt (of a oneshot: the run) failed; attempts are left.
  case attemptFailed
  /// The attempt (of a oneshot: the run) failed; it was the last one.
  case attemptFailedForGood
  /// It exited by itself and is to be started again.
  case exitedToRestart
  /// It exited by itself and stays down.
  case exitedForGood
  /// A oneshot or scheduled one ended with an expected status.
  case completed
  /// A restart after a crash has to wait for its delay.
  case restartLater
  /// Somebody wants it down.
  case stopAsked
  /// The stop plan's step did not work in time and there is another one.
  case stepDue
  /// The stop plan ran out, or the last SIGKILL is a while ago.
  case killDue
  /// The main process is gone (or never came to be) although it did not end by itself.
  case mainGone
  /// Nothing is left of what it left behind.
  case treeGone
  /// The tree plan's step did not work in time and there is another one.
  case treeStepDue
  /// The tree plan ran out, or the last SIGKILL is a while ago.
  case treeKillDue
  /// The stop is complete and it stays down.
  case stoppedDown
  /// The stop is complete and it is started again at once.
  case stoppedToRestart
  /// The stop is complete and it is started again after a delay.
  case stoppedToBackoff
  /// The stop is complete; it had failed to start for the last time.
  case stoppedForGood
  /// A signal could not be delivered.
  case signalRefused
}

/// What a transition brings with it, in order.
enum Effect: CaseIterable, Sendable {
  /// Ask for a new run.
  case spawn
  /// Begin what happens while it is up: liveness.
  case enterRunning
  /// Stop what was waited for or probed in the run.
  case endChecks
  /// Hand the listeners to the supervisor.
  case takeListeners
  /// Send the first signal of the stop plan.
  case beginStop
  /// Send the next signal of the stop plan.
  case sendStep
  /// Send SIGKILL.
  case sendKill
  /// End what the run left behind; with nothing left, that is all.
  case endTree
  /// Send the next signal of the tree plan.
  case sendTreeStep
  /// SIGKILL what the run left behind.
  case killTree
  /// The tree is gone.
  case forgetTree
  /// The stop is complete: find out which of the stopped… situations follows.
  case finishStop
  /// A start is wanted again: at once, or after the delay that the restart policy found (a crash: restartLater).
  case startAgain
  /// Wait for the delay that the restart policy found before the next attempt.
  case armDelay
  /// No start is wanted any more.
  case cancelStart
  /// It failed finally: that ends the supervisor if it is critical.
  case final
  /// It completed.
  case complete
  /// It cannot be stopped: give up waiting for it.
  case abandonStop
  /// Try the pending start, if any.
  case retryStart
}

/// What happens in one state in one situation.
enum Cell: Equatable, Sendable {
  /// To another state, with these effects.
  case go(ProcessState, [Effect])
  /// The state stays; these effects.
  case stay([Effect])
  /// Nothing, because.
  case ignored(String)
  /// It cannot happen, because.
  case impossible(String)
}

/// The table. A column per situation, a row per state; the compiler sees to it that every cell is there.
enum TransitionTable {
  /// The cell of this pair.
  static func cell(_ state: ProcessState, _ situation: Situation) -> Cell {
    switch situation {
    case .startDue: startDue(state)
    case .startupDone: startupDone(state)
    case .attemptShort: attempt(state, then: .backoff, [.endChecks, .armDelay])
    case .attemptFailed: attempt(state, then: .backoff, [.endChecks, .armDelay, .endTree])
    case .attemptFailedForGood: attempt(state, then: .fatal, [.endChecks, .endTree, .final])
    case .exitedToRestart: ranAndExited(state, [.endChecks, .endTree, .startAgain])
    case .exitedForGood: ranAndExited(state, [.endChecks, .final])
    case .completed: ranAndExited(state, [.endChecks, .complete])
    case .restartLater: restartLater(state)
    case .stopAsked: stopAsked(state)
    case .stepDue: stopStep(state, .sendStep)
    case .killDue: stopStep(state, .sendKill)
    case .mainGone: mainGone(state)
    case .treeGone: treeGone(state)
    case .treeStepDue: treeStep(state, .sendTreeStep)
    case .treeKillDue: treeStep(state, .killTree)
    case .stoppedDown: stopComplete(state, then: .stopped, [])
    case .stoppedToRestart: stopComplete(state, then: .stopped, [.startAgain])
    case .stoppedToBackoff: stopComplete(state, then: .backoff, [.armDelay])
    case .stoppedForGood: stopComplete(state, then: .fatal, [.final])
    case .signalRefused: signalRefused(state)
    }
  }

  private static func startDue(_ state: ProcessState) -> Cell {
    switch state {
    case .stopped, .backoff, .exited, .fatal: .go(.starting, [.spawn])
    case .starting, .running: .impossible("a pending start is dropped by the run that it becomes")
    case .stopping: .impossible("a start waits for the end of the stop")
    case .unknown: .impossible("a start waits for the end of the process that cannot be signalled")
    }
  }

  private static func startupDone(_ state: ProcessState) -> Cell {
    switch state {
    case .starting: .go(.running, [.enterRunning])
    case .stopping: .ignored("it is being stopped: being up does not matter any more")
    case .running: .impossible("the wait for being up ends with RUNNING")
    case .stopped, .backoff, .exited, .fatal: .impossible("there is no process that could be up")
    case .unknown: .ignored("it was to be stopped and could not be: being up does not matter any more")
    }
  }

  private static func attempt(_ state: ProcessState, then next: ProcessState, _ effects: [Effect]) -> Cell {
    switch state {
    case .starting: .go(next, effects)
    case .running: .go(next, effects)  // a oneshot's run is its attempt
    case .stopping: .impossible("a failure while being stopped is the end of the stop (mainGone)")
    case .stopped, .backoff, .exited, .fatal: .impossible("there is no attempt under way")
    case .unknown: .impossible("its end is the end of the failed stop (mainGone)")
    }
  }

  private static func ranAndExited(_ state: ProcessState, _ effects: [Effect]) -> Cell {
    switch state {
    case .running: .go(.exited, effects)
    case .starting: .impossible("an exit before being up is a failed attempt; one after it passes through RUNNING")
    case .stopping: .impossible("an exit while being stopped is the end of the stop (mainGone)")
    case .stopped, .backoff, .exited, .fatal: .impossible("there is no process that could exit")
    case .unknown: .impossible("its end is the end of the failed stop (mainGone)")
    }
  }

  private static func restartLater(_ state: ProcessState) -> Cell {
    switch state {
    case .exited: .go(.backoff, [.armDelay])
    case .stopped, .starting, .running, .backoff, .stopping, .fatal, .unknown:
      .impossible("it follows an exit at once")
    }
  }

  private static func stopAsked(_ state: ProcessState) -> Cell {
    switch state {
    case .starting, .running: .go(.stopping, [.takeListeners, .endChecks, .beginStop])
    case .unknown: .go(.stopping, [.beginStop])
    case .backoff: .go(.stopped, [.cancelStart])
    case .stopped, .exited, .fatal: .stay([.cancelStart])
    case .stopping: .stay([.cancelStart])
    }
  }

  private static func stopStep(_ state: ProcessState, _ effect: Effect) -> Cell {
    switch state {
    case .stopping: .stay([effect])
    case .stopped, .starting, .running, .backoff, .exited, .fatal, .unknown:
      .impossible("the stop plan's timer is set only while STOPPING")
    }
  }

  private static func mainGone(_ state: ProcessState) -> Cell {
    switch state {
    case .stopping: .stay([.endChecks, .endTree])
    case .unknown: .go(.stopped, [.endChecks])
    case .starting, .running: .impossible("an end that nobody asked for is a failed attempt or an exit")
    case .stopped, .backoff, .exited, .fatal: .impossible("there is no process that could go")
    }
  }

  private static func treeGone(_ state: ProcessState) -> Cell {
    switch state {
    case .stopping: .stay([.forgetTree, .finishStop])
    case .stopped, .backoff, .exited, .fatal: .stay([.forgetTree, .retryStart])
    case .starting, .running: .impossible("a run begins only when the tree of the one before is gone")
    case .unknown: .impossible("the tree is not ended while the main process lives")
    }
  }

  private static func treeStep(_ state: ProcessState, _ effect: Effect) -> Cell {
    switch state {
    case .stopping, .stopped, .backoff, .exited, .fatal: .stay([effect])
    case .starting, .running: .impossible("a run begins only when the tree of the one before is gone")
    case .unknown: .impossible("the tree is not ended while the main process lives")
    }
  }

  private static func stopComplete(_ state: ProcessState, then next: ProcessState, _ effects: [Effect]) -> Cell {
    switch state {
    case .stopping: .go(next, effects)
    case .stopped, .starting, .running, .backoff, .exited, .fatal, .unknown:
      .impossible("only what is STOPPING can be stopped completely")
    }
  }

  private static func signalRefused(_ state: ProcessState) -> Cell {
    switch state {
    case .stopping: .go(.unknown, [.abandonStop])
    case .starting, .running: .ignored("nothing depended on that signal: the process is as it was")
    case .unknown: .ignored("it is known not to take signals")
    case .stopped, .backoff, .exited, .fatal: .ignored("the process is gone, which is what matters")
    }
  }
}
