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
