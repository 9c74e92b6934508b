import Testing

@testable import SupervisorCore

/// Stopping everything.
struct ShutdownTests {
  /// The house itself: an API on a database, with a monitor.
  private func house(_ timeout: Interval?) -> SupervisorSpec {
    configuration([
      program("postgresql") {
        $0.priority = 100
        $0.readiness = notifying
        $0.stopPlan = [StopStep(signal: 2, wait: .seconds(6)), StopStep(signal: 3, wait: .seconds(2))]
      },
      program("migrate") {
        $0.priority = 150
        $0.kind = .oneshot
        $0.dependencies = [Dependency(program: "postgresql", condition: .ready)]
      },
      program("api") {
        $0.priority = 200
        $0.dependencies = [
          Dependency(program: "postgresql", condition: .ready), Dependency(program: "migrate", condition: .completed),
        ]
      },
      program("monitor") { $0.priority = 300 },
    ]) { $0.shutdownTimeout = timeout }
  }

  private func up(_ spec: SupervisorSpec, _ behave: @escaping (String, UInt32) -> Behaviour) -> World {
    let world = World(spec) { name, run in
      var behaviour = behave(name, run)
      if name == "migrate" { behaviour.life = .milliseconds(50) }
      return behaviour
    }
    world.send(.boot)
    world.run(.seconds(10))
    #expect(world.core.health(at: world.now).status == .healthy)
    return world
  }

  private func stops(_ world: World) -> [String] { world.records.filter { $0.to == .stopping }.map(\.namespec) }

  @Test(arguments: [Int32(15), 2, 3]) func termIntAndQuitStopInReverseOrder(signal: Int32) {
    let world = up(house(.seconds(9))) { _, _ in Behaviour(stopDelay: .milliseconds(20)) }
    let start = world.instant
    world.signal(signal)
    world.run(.seconds(60))
    #expect(stops(world) == ["monitor", "api", "postgresql"])
    #expect(world.exitStatus == 0)
    #expect(world.exitedAt.map { ($0 - start).inMilliseconds } == 60)
    #expect(world.has("received \(signalName(signal)) indicating exit request"))
    #expect(
      world.lines.filter { $0.1.hasPrefix("waiting for") }.map(\.1) == ["waiting for postgresql, api, monitor to die"])
  }

  @Test func programsThatAreDownCostNothing() {
    var spec = configuration(
      (0..<200).map { number in
        program("p\(number)") {
          $0.priority = number; $0.autostart = false
        }
      })
    spec.shutdownTimeout = nil
    let world = World(spec)
    world.send(.boot)
    world.run(.seconds(1))
    world.signal(15)
    world.run(.zero)
    #expect(world.exitStatus == 0)
  }

  @Test func aTierIsStoppedInParallel() {
    let world = World(configuration((0..<50).map { program("p\($0)") })) { _, _ in Behaviour(stopDelay: .seconds(1)) }
    world.send(.boot)
    world.run(.seconds(5))
    let start = world.instant
    world.signal(15)
    world.run(.seconds(60))
    #expect(world.exitedAt.map { ($0 - start).inSeconds } == 1)
  }

  @Test func dependenciesBeatPriorities() {
    // The dependent has the lower priority number: supervisord would stop it last.
    let world = World(
      configuration([
        program("late") {
          $0.priority = 1
          $0.dependencies = [Dependency(program: "early", condition: .started)]
        },
        program("early") { $0.priority = 900 },
      ]))
    world.send(.boot)
    world.run(.seconds(5))
    world.signal(15)
    world.run(.seconds(5))
    #expect(stops(world) == ["late", "early"])
  }

  @Test func nobodyIsKilledLateAndTheDeadlineHolds() {
    for limit in [0.02, 0.1, 1, 2.5, 9, 30] {
      let world = up(house(.seconds(limit))) { _, _ in Behaviour(stopDelay: nil, leavesBehind: true, leftStopDelay: nil)
      }
      let start = world.instant
      world.signal(15)
      world.run(.seconds(3600))
      #expect(world.exitStatus == SupervisorExit.killed)
      #expect(world.exitedAt.map { $0 - start <= .seconds(limit) } == true, "limit \(limit)")
      let killed = world.actions.filter { if case .signal(_, 9, _) = $0.action { true } else { false } }
      #expect(killed.count >= 3)
      for kill in killed { #expect(kill.at - start < .seconds(limit), "limit \(limit)") }
    }
  }

  @Test func plansThatDoNotFitShrinkInProportion() {
    // 10 + 10 + 8 seconds of plans in 9 - 0.9: the first tier has 10/28 of that.
    let world = up(house(.seconds(9))) { _, _ in Behaviour(stopDelay: nil) }
    let start = world.instant
    world.signal(15)
    world.run(.seconds(3600))
    let monitorKill = world.actions.first {
      if case .signal(let run, 9, _) = $0.action { run.program == world.id("monitor") } else { false }
    }
    let expected = 10_000 * 8.1 / 28
    let actual = monitorKill.map { ($0.at - start).inMilliseconds } ?? 0
    #expect(abs(actual - expected) < 5, "\(actual) against \(expected)")
    #expect(world.signals("postgresql") == [2, 3, 9], "the last tier still has both of its steps")
    let steps = world.actions.compactMap { entry in
      if case .signal(let run, let signal, _) = entry.action, run.program == world.id("postgresql"), signal != 18 {
        entry.at
      } else {
        nil
      }
    }
    let share = (steps[1] - steps[0]).inSeconds / (steps[2] - steps[0]).inSeconds
    #expect(abs(share - 0.75) < 0.01, "and each in its proportion, 6 : 2")
  }

  @Test func timeThatATierDoesNotNeedBelongsToTheNextOnes() {
    let world = up(house(.seconds(9))) { name, _ in
      Behaviour(stopDelay: name == "postgresql" ? .seconds(5.9) : .milliseconds(1), ignores: [])
    }
    world.signal(15)
    world.run(.seconds(60))
    #expect(world.signals("postgresql") == [2], "5.9 s of its 6 were left for it")
    #expect(world.exitStatus == 0)
  }

  @Test func withoutADeadlineEveryProgramHasItsOwnPlan() {
    let world = up(house(nil)) { name, _ in Behaviour(stopDelay: name == "postgresql" ? nil : .seconds(9)) }
    let start = world.instant
    world.signal(15)
    world.run(.seconds(60))
    #expect(
      world.exitedAt.map { ($0 - start).inMilliseconds } == 26_001,
      "9 s, 9 s, and the 8 s of a plan that ended in SIGKILL")
    #expect(world.exitStatus == 70)
  }

  @Test func aSecondSignalMovesEverythingThatIsStoppingOn() {
    let world = up(house(nil)) { name, _ in Behaviour(stopDelay: name == "postgresql" ? nil : .milliseconds(1)) }
    world.signal(15)
    world.run(.milliseconds(100))
    #expect(world.signals("postgresql") == [2])
    world.signal(15)
    #expect(world.signals("postgresql") == [2, 3])
    world.signal(2)
    #expect(world.signals("postgresql") == [2, 3, 9])
    world.run(.milliseconds(10))
    #expect(world.exitStatus == 70)
  }

  @Test func healthIsStoppedBeforeAnythingDrains() {
    let world = up(house(.seconds(9))) { _, _ in Behaviour(stopDelay: .seconds(1)) }
    world.signal(15)
    let health = world.core.health(at: world.now)
    #expect(health.status == .stopped)
    #expect(!health.ready.passed && health.live.passed)
    #expect(health.reasons.first == "the supervisor is shutting down: SIGTERM")
    #expect(world.state("api") == .running, "its turn has not come")
  }

  @Test func aShutdownIsLegalInEveryPhaseOfTheBoot() {
    for milliseconds in stride(from: 0, through: 1500, by: 10) {
      let world = World(house(.seconds(9))) { name, _ in
        var behaviour = Behaviour(execDelay: .milliseconds(35), stopDelay: .milliseconds(10))
        behaviour.readyAfter = .milliseconds(300)
        if name == "migrate" { behaviour.life = .milliseconds(100) }
        return behaviour
      }
      world.send(.boot)
      world.run(.milliseconds(Int64(milliseconds)))
      world.signal(15)
      world.run(.seconds(60))
      #expect(world.exitStatus == 0, "TERM after \(milliseconds) ms")
      #expect(!world.runs.values.contains { !$0.isReportedGone })
    }
  }

  @Test func whatIsLeftOfAnyOriginIsEndedLast() {
    let world = World(configuration([program("x")]) { $0.shutdownTimeout = .seconds(9) }) { _, _ in
      Behaviour(life: .seconds(2), leavesBehind: true, leftStopDelay: .milliseconds(700))
    }
    world.send(.boot)
    world.run(.seconds(5))
    #expect(world.state("x") == .exited)
    let start = world.instant
    world.signal(15)
    world.run(.seconds(60))
    #expect(world.actions.map(\.action).contains(.endRemaining(signal: 15)))
    #expect(world.exitedAt.map { ($0 - start).inMilliseconds } == 700)
    #expect(world.exitStatus == 0)
  }

  @Test func whatDoesNotGoIsKilledAndSoIsTheExitStatus() {
    for limit in [nil, Interval.seconds(9)] {
      let world = World(configuration([program("x")]) { $0.shutdownTimeout = limit }) { _, _ in
        Behaviour(life: .seconds(2), leavesBehind: true, leftStopDelay: nil)
      }
      world.send(.boot)
      world.run(.seconds(5))
      world.signal(15)
      world.run(.seconds(60))
      #expect(world.actions.map(\.action).contains(.killRemaining))
      #expect(world.exitStatus == 70)
    }
  }

  @Test func itEndsEvenIfNothingAnswersAnyMore() {
    for limit in [nil, Interval.seconds(9)] {
      var core = Supervisor(spec: configuration([]) { $0.shutdownTimeout = limit }, at: moment(0), seed: 1)
      _ = core.handle(.boot, at: moment(0))
      _ = core.handle(.signalReceived(15, pid: 0, uid: 0), at: moment(0))
      var exit: Int32?
      var turns = 0
      while let next = core.nextDeadline, turns < 1000 {
        turns += 1
        for case .exit(let status) in core.handle(.timeReached, at: Moment(instant: next, wall: moment(0).wall)) {
          exit = status
        }
      }
      #expect(exit == 70)
    }
  }

  @Test func everySignalIsTakenAndOnlyThreeShutDown() {
    for signal in Int32(1)...64 {
      let world = World(configuration([program("x")]))
      world.send(.boot)
      world.run(.seconds(3))
      world.signal(signal)
      world.run(.seconds(1))
      #expect((world.exitStatus != nil) == [15, 2, 3].contains(signal), "\(signalName(signal))")
      #expect(world.actions.map(\.action).contains(.reopenLogs) == (signal == 12))
    }
  }

  // MARK: Critical programs

  @Test func everyStatusAndSignalOfACriticalProgramIsTheExitStatus() {
    let ends =
      (1...255).map { SupervisorCore.ExitStatus.exited(Int32($0)) } + (1...64).map { .signaled(Int32($0), core: false) }
    for end in ends {
      let world = World(
        configuration([
          program("x") {
            $0.critical = true
            $0.autorestart = .never
          }, program("y"),
        ])
      ) { name, _ in name == "x" ? Behaviour(life: .seconds(3), status: end) : Behaviour() }
      world.send(.boot)
      world.run(.seconds(60))
      #expect(world.exitStatus == end.shellStatus)
    }
  }

  @Test func aCriticalProgramThatIsRestartedEndsNothing() {
    let world = World(configuration([program("x") { $0.critical = true }])) { _, run in
      Behaviour(life: run == 1 ? .seconds(3) : nil, status: .exited(9))
    }
    world.send(.boot)
    world.run(.seconds(60))
    #expect(world.exitStatus == nil)
    #expect(world.state("x") == .running)
  }

  @Test func anExpectedExitOfACriticalProgramEndsNothing() {
    let world = World(configuration([program("x") { $0.critical = true }])) { _, _ in Behaviour(life: .seconds(3)) }
    world.send(.boot)
    world.run(.seconds(60))
    #expect(world.exitStatus == nil)
    #expect(world.state("x") == .exited)
  }

  @Test func aCriticalProgramThatCannotBeStartedEndsWithTheShellsStatus() {
    for (errno, expected) in [(Int32(2), Int32(127)), (13, 126), (8, 127)] {
      var failure = notFound
      failure.errno = errno
      let world = World(
        configuration([
          program("x") {
            $0.critical = true
            $0.startretries = 0
          }
        ])
      ) { [failure] _, _ in Behaviour(spawn: .refused(failure)) }
      world.send(.boot)
      world.run(.seconds(60))
      #expect(world.exitStatus == expected)
    }
  }

  @Test func aCriticalOneshotThatFailsFinallyEndsWithItsStatus() {
    let world = World(
      configuration([
        program("x") {
          $0.critical = true
          $0.kind = .oneshot
          $0.startretries = 1
        }, program("y"),
      ])
    ) { name, _ in
      name == "x" ? Behaviour(life: .seconds(1), status: .exited(44)) : Behaviour(stopDelay: .milliseconds(100))
    }
    world.send(.boot)
    world.run(.seconds(60))
    #expect(world.spawns("x").count == 2)
    #expect(world.exitStatus == 44)
    #expect(world.states("y").last == .stopped, "everything else is stopped in order")
  }

  // MARK: start_timeout

  @Test func aMissedStartTimeoutStopsEverything() {
    let world = World(
      configuration([program("x") { $0.readiness = notifying }, program("y")]) { $0.startTimeout = .seconds(10) }
    ) { name, _ in name == "x" ? Behaviour(readyAfter: nil) : Behaviour() }
    world.send(.boot)
    world.run(.seconds(60))
    #expect(world.exitStatus == SupervisorExit.startTimedOut)
    #expect(world.has("start_timeout: not everything was up within 10 s: x is STARTING"))
  }

  @Test func aStartTimeoutThatIsMetLeavesNoTimer() {
    let world = World(configuration([program("x") { $0.readiness = notifying }]) { $0.startTimeout = .seconds(10) })
    world.send(.boot)
    #expect(world.core.nextDeadline != nil)
    world.run(.seconds(1))
    #expect(world.core.nextDeadline == nil)
    #expect(world.core.health(at: world.now).started.passed)
  }
}
