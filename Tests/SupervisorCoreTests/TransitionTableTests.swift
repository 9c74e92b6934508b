import Testing

@testable import SupervisorCore

/// Law 8: every cell of the table is decided, and tested. Here is the table a second time, as a picture.
struct TransitionTableTests {
  /// One row per situation, one letter per state in the order STOPPED STARTING RUNNING BACKOFF STOPPING EXITED FATAL UNKNOWN. A state's letter
  /// (O stopped, S starting, R running, B backoff, P stopping, E exited, F fatal, U unknown): goes there. `=`: stays, with effects. `.`:
  /// ignored. `!`: impossible.
  static let picture: [(Situation, String)] = [
    (.startDue, "S!!S!SS!"),
    (.startupDone, "!R!!.!!."),
    (.attemptShort, "!BB!!!!!"),
    (.attemptFailed, "!BB!!!!!"),
    (.attemptFailedForGood, "!FF!!!!!"),
    (.exitedToRestart, "!!E!!!!!"),
    (.exitedForGood, "!!E!!!!!"),
    (.completed, "!!E!!!!!"),
    (.restartLater, "!!!!!B!!"),
    (.stopAsked, "=PPO===P"),
    (.stepDue, "!!!!=!!!"),
    (.killDue, "!!!!=!!!"),
    (.mainGone, "!!!!=!!O"),
    (.treeGone, "=!!====!"),
    (.treeStepDue, "=!!====!"),
    (.treeKillDue, "=!!====!"),
    (.stoppedDown, "!!!!O!!!"),
    (.stoppedToRestart, "!!!!O!!!"),
    (.stoppedToBackoff, "!!!!B!!!"),
    (.stoppedForGood, "!!!!F!!!"),
    (.signalRefused, "....U..."),
  ]

  /// What every cell that does something brings with it, in order: state × situation (→ next state): effects.
  static let effects = """
    STOPPED × startDue → STARTING: spawn
    BACKOFF × startDue → STARTING: spawn
    EXITED × startDue → STARTING: spawn
    FATAL × startDue → STARTING: spawn
    STARTING × startupDone → RUNNING: enterRunning
    STARTING × attemptShort → BACKOFF: endChecks armDelay
    RUNNING × attemptShort → BACKOFF: endChecks armDelay
    STARTING × attemptFailed → BACKOFF: endChecks armDelay endTree
    RUNNING × attemptFailed → BACKOFF: endChecks armDelay endTree
    STARTING × attemptFailedForGood → FATAL: endChecks endTree final
    RUNNING × attemptFailedForGood → FATAL: endChecks endTree final
    RUNNING × exitedToRestart → EXITED: endChecks endTree startAgain
    RUNNING × exitedForGood → EXITED: endChecks final
    RUNNING × completed → EXITED: endChecks complete
    EXITED × restartLater → BACKOFF: armDelay
    STOPPED × stopAsked: cancelStart
    STARTING × stopAsked → STOPPING: takeListeners endChecks beginStop
    RUNNING × stopAsked → STOPPING: takeListeners endChecks beginStop
    BACKOFF × stopAsked → STOPPED: cancelStart
    STOPPING × stopAsked: cancelStart
    EXITED × stopAsked: cancelStart
    FATAL × stopAsked: cancelStart
    UNKNOWN × stopAsked → STOPPING: beginStop
    STOPPING × stepDue: sendStep
    STOPPING × killDue: sendKill
    STOPPING × mainGone: endChecks endTree
    UNKNOWN × mainGone → STOPPED: endChecks
    STOPPED × treeGone: forgetTree retryStart
    BACKOFF × treeGone: forgetTree retryStart
    STOPPING × treeGone: forgetTree finishStop
    EXITED × treeGone: forgetTree retryStart
    FATAL × treeGone: forgetTree retryStart
    STOPPED × treeStepDue: sendTreeStep
    BACKOFF × treeStepDue: sendTreeStep
    STOPPING × treeStepDue: sendTreeStep
    EXITED × treeStepDue: sendTreeStep
    FATAL × treeStepDue: sendTreeStep
    STOPPED × treeKillDue: killTree
    BACKOFF × treeKillDue: killTree
    STOPPING × treeKillDue: killTree
    EXITED × treeKillDue: killTree
    FATAL × treeKillDue: killTree
    STOPPING × stoppedDown → STOPPED: nothing
    STOPPING × stoppedToRestart → STOPPED: startAgain
    STOPPING × stoppedToBackoff → BACKOFF: armDelay
    STOPPING × stoppedForGood → FATAL: final
    STOPPING × signalRefused → UNKNOWN: abandonStop
    """

  static let states: [ProcessState] = [.stopped, .starting, .running, .backoff, .stopping, .exited, .fatal, .unknown]

  private func letter(_ state: ProcessState) -> Character {
    switch state {
    case .stopped: "O"
    case .starting: "S"
    case .running: "R"
    case .backoff: "B"
    case .stopping: "P"
    case .exited: "E"
    case .fatal: "F"
    case .unknown: "U"
    }
  }

  @Test func everyCellIsAsInThePicture() {
    #expect(Set(Self.picture.map(\.0)).count == Situation.allCases.count)
    #expect(Set(Self.states).count == ProcessState.allCases.count)
    for (situation, row) in Self.picture {
      for (state, expected) in zip(Self.states, row) {
        let actual: Character =
          switch TransitionTable.cell(state, situation) {
          case .go(let next, _): letter(next)
          case .stay: "="
          case .ignored: "."
          case .impossible: "!"
          }
        #expect(actual == expected, "\(state.name) × \(situation)")
      }
    }
  }

  @Test func everyCellHasTheEffectsThatAreWrittenDown() {
    var actual: [String] = []
    for (situation, _) in Self.picture {
      for state in Self.states {
        let words: (next: String, effects: [Effect])? =
          switch TransitionTable.cell(state, situation) {
          case .go(let next, let effects): (" → \(next.name)", effects)
          case .stay(let effects): ("", effects)
          case .ignored, .impossible: nil
          }
        guard let words else { continue }
        let list = words.effects.isEmpty ? "nothing" : words.effects.map { "\($0)" }.joined(separator: " ")
        actual.append("\(state.name) × \(situation)\(words.next): \(list)")
      }
    }
    let expected = Self.effects.split(separator: "\n").map(String.init)
    for (line, cell) in zip(expected, actual) { #expect(cell == line) }
    #expect(actual.count == expected.count)
    let used = Set(
      Situation.allCases.flatMap { situation in Self.states.map { TransitionTable.cell($0, situation) } }.flatMap(
        effects))
    #expect(used == Set(Effect.allCases), "every effect is brought about by some cell")
  }

  private func effects(of cell: Cell) -> [Effect] {
    switch cell {
    case .go(_, let effects), .stay(let effects): effects
    case .ignored, .impossible: []
    }
  }

  @Test func everyCellThatDoesNothingSaysWhy() {
    for situation in Situation.allCases {
      for state in ProcessState.allCases {
        switch TransitionTable.cell(state, situation) {
        case .ignored(let why), .impossible(let why): #expect(why.count > 10, "\(state.name) × \(situation)")
        case .stay(let effects): #expect(!effects.isEmpty, "\(state.name) × \(situation)")
        case .go(let next, _): #expect(next != state, "\(state.name) × \(situation)")
        }
      }
    }
  }

  @Test func everyWayOutOfARunEndsItsChecks() {
    for situation in Situation.allCases {
      for state in [ProcessState.starting, .running] {
        guard case .go(let next, let effects) = TransitionTable.cell(state, situation), next != .running else {
          continue
        }
        #expect(effects.contains(.endChecks), "\(state.name) × \(situation)")
      }
    }
  }

  @Test func everyStateCanBeLeft() {
    for state in ProcessState.allCases {
      let ways = Situation.allCases.filter { if case .go = TransitionTable.cell(state, $0) { true } else { false } }
      #expect(!ways.isEmpty, "\(state.name) is terminal")
    }
  }

  @Test func numbersAndSetsAreSupervisords() {
    #expect(Self.states.map(\.rawValue) == [0, 10, 20, 30, 40, 100, 200, 1000])
    #expect(Set(Self.states.filter(\.isStopped)) == [.stopped, .exited, .fatal, .unknown])
    #expect(Set(Self.states.filter(\.isRunning)) == [.running, .backoff, .starting])
    #expect(Set(Self.states.filter(\.isSignallable)) == [.running, .starting, .stopping])
  }
}
