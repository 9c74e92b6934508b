import Testing

@testable import SupervisorCore

/// supervisord's life of a program: startsecs, startretries, autorestart, exitcodes, and the races that supervisord has.
struct LifecycleTests {
  @Test func aProgramIsRunningAfterStartsecs() {
    let world = World(configuration([program("x") { $0.startsecs = 2 }]))
    world.send(.boot)
    world.run(.milliseconds(1999))
    #expect(world.state("x") == .starting)
    world.run(.milliseconds(1))
    #expect(world.state("x") == .running)
    #expect(world.states("x") == [.starting, .running])
    #expect(world.has("spawned: 'x' with pid 101"))
    #expect(world.has("success: x entered RUNNING state, process has stayed up for > than 2 seconds (startsecs)"))
    #expect(world.core.nextDeadline == nil, "nothing to wait for: no wakeup")
  }

  @Test func startsecsZeroIsRunningAtOnce() {
    let world = World(configuration([program("x") { $0.startsecs = 0 }]))
    world.send(.boot)
    world.run(.zero)
    #expect(world.state("x") == .running)
  }

  @Test func attemptsComeAfterZeroOneTwoThreeSecondsThenFatal() {
    let world = World(configuration([program("x")])) { _, _ in
      Behaviour(life: .milliseconds(10), status: .exited(3))
    }
    let start = world.instant
    world.send(.boot)
    world.run(.seconds(60))
    #expect(world.state("x") == .fatal)
    #expect(world.spawns("x").map { ($0 - start).inMilliseconds } == [0, 1010, 3020, 6030])
    #expect(world.states("x").filter { $0 == .backoff }.count == 3)
    #expect(world.has("exited: x (exit status 3; not expected)"))
    #expect(world.has("gave up: x entered FATAL state, too many start retries too quickly"))
    #expect(world.core.nextDeadline == nil)
  }

  @Test func negativeStartretriesNeverGiveUp() {
    let world = World(
      configuration([
        program("x") {
          $0.startretries = -1
          $0.backoff = Backoff(initial: .seconds(1), factor: 1, maximum: .seconds(1), jitter: 0)
        }
      ])
    ) { _, _ in Behaviour(spawn: .refused(notFound)) }
    world.send(.boot)
    world.run(.seconds(100))
    #expect(world.spawns("x").count == 101)
    #expect(world.state("x") == .backoff)
  }

  @Test(arguments: [0, 1, 5]) func startretriesBoundTheAttempts(retries: Int) {
    let world = World(configuration([program("x") { $0.startretries = retries }])) { _, _ in
      Behaviour(spawn: .execFails(notFound))
    }
    world.send(.boot)
    world.run(.seconds(60))
    #expect(world.spawns("x").count == retries + 1)
    #expect(world.state("x") == .fatal)
    #expect(world.snapshot("x")?.spawnError == notFound.text)
    #expect(world.has("spawnerr: \(notFound.text)"))
  }

  @Test func aShortageIsRepeatedAndNeverCounts() {
    let world = World(configuration([program("x") { $0.startretries = 0 }])) { _, run in
      run <= 20 ? Behaviour(spawn: .refused(shortage)) : Behaviour()
    }
    let start = world.instant
    world.send(.boot)
    world.run(.seconds(120))
    #expect(world.state("x") == .running)
    let gaps = zip(world.spawns("x").dropFirst(), world.spawns("x")).map { ($0 - $1).inMilliseconds }
    #expect(gaps.prefix(8) == [100, 200, 400, 800, 1600, 3200, 5000, 5000])
    #expect(world.spawns("x").first == start)
  }

  @Test func everyExitStatusIsClassifiedByExitcodesAndAutorestart() {
    for autorestart in [AutoRestart.never, .unexpected, .always] {
      for status in Int32(0)...255 {
        let world = World(
          configuration([
            program("x") {
              $0.autorestart = autorestart
              $0.exitcodes = [0, 2]
            }
          ])
        ) { _, run in run == 1 ? Behaviour(life: .seconds(5), status: .exited(status)) : Behaviour() }
        world.send(.boot)
        world.run(.seconds(20))
        let expected = status == 0 || status == 2
        let again = autorestart == .always || (autorestart == .unexpected && !expected)
        #expect(world.state("x") == (again ? .running : .exited), "\(autorestart) \(status)")
        #expect(world.has("exited: x (exit status \(status); \(expected ? "expected" : "not expected"))"))
        #expect(world.snapshot("x")?.lastExit?.expected == expected)
        #expect(world.snapshot("x")?.restarts == (again ? 1 : 0))
      }
    }
  }

  @Test func everyFatalSignalIsAnUnexpectedExit() {
    for signal in Int32(1)...64 where signal != 17 && signal != 18 {
      let world = World(configuration([program("x")])) { _, run in
        run == 1 ? Behaviour(life: .seconds(5), status: .signaled(signal, core: signal == 11)) : Behaviour()
      }
      world.send(.boot)
      world.run(.seconds(20))
      #expect(world.state("x") == .running)
      let core = signal == 11 ? " (core dumped)" : ""
      #expect(world.has("exited: x (terminated by \(signalName(signal))\(core); not expected)"))
    }
  }

  @Test func restartAfterAnExitFromRunningIsImmediate() {
    let world = World(configuration([program("x")])) { _, run in
      run == 1 ? Behaviour(life: .seconds(10), status: .exited(1)) : Behaviour()
    }
    world.send(.boot)
    world.run(.seconds(30))
    let spawns = world.spawns("x")
    #expect(spawns.count == 2)
    #expect((spawns[1] - spawns[0]).inMilliseconds == 10_000)
    #expect(world.states("x") == [.starting, .running, .exited, .starting, .running])
  }

  @Test func startsecsZeroDoesNotSpin() {
    let world = World(configuration([program("x") { $0.startsecs = 0 }])) { _, _ in
      Behaviour(life: .milliseconds(1), status: .exited(1))
    }
    world.send(.boot)
    world.run(.seconds(10))
    // The delays are 0, 1, 2, 3, 4 seconds.
    #expect(world.spawns("x").count == 5)
    #expect(world.state("x") == .backoff)
  }

  /// supervisord never backs off there (research 2.3): its loop starts it again the next time around, a second later.
  @Test func anExpectedExitIsNoCrashHoweverOften() {
    for life in [0, 1, 200, 999, 1000, 1001, 2500] {
      for backoff in [nil, Backoff(initial: .seconds(5), factor: 2, maximum: .seconds(60), jitter: 0)] {
        let world = World(
          configuration([
            program("x") {
              $0.startsecs = 0
              $0.autorestart = .always
              $0.exitcodes = [0, 3]
              $0.backoff = backoff
            }
          ])
        ) { _, run in Behaviour(life: .milliseconds(Int64(life)), status: .exited(run % 2 == 0 ? 0 : 3)) }
        world.send(.boot)
        var reasons: Set<String> = []
        for _ in 0..<240 {
          world.run(.milliseconds(250))
          reasons.formUnion(world.core.health(at: world.now).reasons)
        }
        let gaps = Set(zip(world.spawns("x").dropFirst(), world.spawns("x")).map { ($0 - $1).inMilliseconds })
        #expect(gaps == [Double(max(1000, life))], "\(life) ms")
        #expect(world.spawns("x").count > 23)
        #expect(Set(world.states("x")) == [.starting, .running, .exited], "\(life) ms")
        let known = ["x has exited (exit status 0)", "x has exited (exit status 3)"].map {
          $0 + " and is about to be started again"
        }
        #expect(reasons.isSubset(of: known), "\(life) ms: \(reasons)")
        #expect(life == 0 || life >= 999 || reasons == Set(known), "\(life) ms: \(reasons)")
      }
    }
  }

  @Test func anExpectedExitNeitherCountsAsACrashNorExcusesOne() {
    let world = World(
      configuration([
        program("x") {
          $0.startsecs = 0
          $0.autorestart = .always
        }
      ])
    ) { _, run in
      // Two of three runs crash; the seventh holds.
      run == 7
        ? Behaviour(life: .seconds(5), status: .exited(0))
        : Behaviour(life: .zero, status: .exited(run % 3 == 0 ? 0 : 1))
    }
    world.send(.boot)
    world.run(.seconds(16.5))
    let gaps = zip(world.spawns("x").dropFirst(), world.spawns("x")).map { ($0 - $1).inMilliseconds }
    #expect(gaps == [0, 1000, 1000, 2000, 3000, 1000, 5000, 0, 1000, 1000], "crash, crash, expected")
  }

  /// The delay that a run must outlive to have held is that of the crashes before it, also when expected exits are between.
  @Test func anExpectedExitDoesNotShortenABackoff() {
    let world = World(
      configuration([
        program("x") {
          $0.startsecs = 0
          $0.autorestart = .always
          $0.backoff = Backoff(initial: .seconds(10), factor: 1, maximum: .seconds(10), jitter: 0)
        }
      ])
    ) { _, run in
      Behaviour(life: .seconds(run <= 3 ? 0.5 : 2), status: .exited(run <= 3 || run % 2 == 1 ? 1 : 0))
    }
    world.send(.boot)
    world.run(.seconds(60))
    let gaps = zip(world.spawns("x").dropFirst(), world.spawns("x")).map { ($0 - $1).inMilliseconds }
    #expect(
      gaps == [500, 10_500, 10_500, 2_000, 12_000, 2_000, 12_000, 2_000],
      "three quick crashes, then expected and crash in turn")
  }

  @Test func everyRestartAfterACrashCountsTheCrashes() {
    let world = World(configuration([program("x") { $0.startsecs = 0 }])) { _, run in
      run <= 4 ? Behaviour(life: .zero, status: .exited(1)) : Behaviour(spawn: .refused(notFound))
    }
    world.send(.boot)
    world.run(.milliseconds(500))
    #expect(
      world.core.health(at: world.now).reasons
        == ["x has crashed 2 times in a row and is about to be started again: it ended with exit status 1"])
    #expect(world.snapshot("x")?.spawnError == "it ended with exit status 1")
    world.run(.seconds(30))
    let starts = world.records.filter { $0.to == .starting }
    #expect(
      starts.map(\.cause.text) == [
        "asked by the configuration", "exit status 1; not expected", "restart after 2 crashes in a row",
        "restart after 3 crashes in a row", "restart after 4 crashes in a row", "attempt 2", "attempt 3", "attempt 4",
      ])
    #expect(starts.map(\.from) == [.stopped, .exited] + Array(repeating: .backoff, count: 6))
  }

  @Test func aRestartAfterFailedLivenessChecksCountsThem() {
    let world = World(
      configuration([
        program("x") {
          $0.startsecs = 0
          $0.liveness = probed
          $0.liveness?.interval = .milliseconds(10)
          $0.liveness?.failures = 1
        }
      ])
    ) { _, _ in Behaviour(hangsAfter: .zero) }
    world.send(.boot)
    world.run(.seconds(5))
    let causes = world.records.filter { $0.to == .starting }.map(\.cause.text)
    #expect(
      causes.dropFirst(2).prefix(2) == ["restart after 2 crashes in a row", "restart after 3 crashes in a row"],
      "\(causes)")
  }

  @Test func anExitAfterTheStartsecsDeadlineHasRunWhicheverEventComesFirst() {
    let world = World(configuration([program("x")])) { _, _ in Behaviour(execDelay: .milliseconds(1)) }
    world.send(.boot)
    world.run(.milliseconds(500))
    let run = RunID(program: world.id("x"), run: 1)
    // The exit is delivered at a moment at which startsecs are over, and before .timeReached.
    var core = world.core
    let late = Moment(instant: world.instant + .seconds(2), wall: world.now.wall)
    let actions = core.handle(.exited(run, .exited(0), oomKilled: false), at: late)
    let states: [ProcessState] = actions.compactMap { if case .publish(let record) = $0 { record.to } else { nil } }
    #expect(states == [.running, .exited])
  }

  @Test func theExitMayComeBeforeTheExecStatus() {
    for fails in [false, true] {
      let world = World(configuration([program("x") { $0.startretries = 0 }])) { _, _ in
        Behaviour(
          spawn: fails ? .execFails(notFound) : .ok, exitIsReportedFirst: true, life: .zero, status: .exited(127))
      }
      world.send(.boot)
      world.run(.seconds(3))
      #expect(world.state("x") == .fatal)
      let snapshot = world.snapshot("x")
      #expect(snapshot?.spawnError == (fails ? notFound.text : "Exited too quickly (process log may have details)"))
      #expect((snapshot?.lastExit == nil) == fails)
    }
  }

  @Test func anExecStatusThatNeverComesDoesNotHoldTheExit() {
    var core = Supervisor(spec: configuration([program("x") { $0.startsecs = 0 }]), at: moment(0), seed: 1)
    _ = core.handle(.boot, at: moment(0))
    let run = RunID(program: core.programs[0], run: 1)
    _ = core.handle(.spawned(run, pid: 5), at: moment(0))
    _ = core.handle(.exited(run, .exited(0), oomKilled: false), at: moment(1))
    #expect(core.snapshot(of: run.program, at: moment(1))?.state == .starting)
    #expect(core.nextDeadline == moment(1001).instant)
    _ = core.handle(.timeReached, at: moment(1001))
    #expect(core.snapshot(of: run.program, at: moment(1001))?.state == .exited)
  }

  @Test func backoffIsExponentialWithACap() {
    let world = World(
      configuration([
        program("x") {
          $0.startretries = 7
          $0.backoff = Backoff(initial: .milliseconds(100), factor: 2, maximum: .seconds(2), jitter: 0)
        }
      ])
    ) { _, _ in Behaviour(spawn: .refused(notFound)) }
    world.send(.boot)
    world.run(.seconds(60))
    let gaps = zip(world.spawns("x").dropFirst(), world.spawns("x")).map { ($0 - $1).inMilliseconds }
    #expect(gaps == [100, 200, 400, 800, 1600, 2000, 2000])
  }

  @Test func jitterLengthensADelayByItsPartAtMost() {
    var random = RandomNumbers(seed: 3)
    let backoff = Backoff(initial: .seconds(1), factor: 2, maximum: .seconds(8), jitter: 0.5)
    var seen: Set<Int64> = []
    for _ in 0..<200 {
      let delay = RestartPolicy.delayAfterFailedStart(failedStarts: 10, crashes: 0, backoff: backoff, random: &random)
      #expect(delay >= .seconds(8) && delay <= .seconds(12))
      seen.insert(delay.nanoseconds)
    }
    #expect(seen.count > 100)
  }

  @Test func aCrashLoopAfterReadinessBacksOffAndAHeldRunResetsIt() {
    let world = World(
      configuration([
        program("x") {
          $0.readiness = notifying
          $0.backoff = Backoff(initial: .seconds(1), factor: 2, maximum: .seconds(30), jitter: 0)
        }
      ])
    ) { _, run in
      // Ready after 5 ms and dead 100 ms later, five times; then it holds for a minute; then it dies at once again.
      Behaviour(life: run == 6 ? .seconds(60) : .milliseconds(105), status: .exited(1))
    }
    world.send(.boot)
    world.run(.seconds(80))
    let gaps = zip(world.spawns("x").dropFirst(), world.spawns("x")).map { ($0 - $1).inMilliseconds }
    #expect(gaps.prefix(8) == [105, 1105, 2105, 4105, 8105, 60_000, 1105, 2105].prefix(gaps.count))
    #expect(gaps.count >= 7)
  }

  @Test func theTreeIsEndedBeforeTheNextStart() {
    let world = World(configuration([program("x")])) { _, run in
      run == 1
        ? Behaviour(life: .seconds(5), status: .exited(1), leavesBehind: true, leftStopDelay: .milliseconds(300))
        : Behaviour()
    }
    world.send(.boot)
    world.run(.milliseconds(5100))
    #expect(world.state("x") == .exited)
    world.run(.seconds(10))
    #expect(world.state("x") == .running)
    #expect((world.spawns("x")[1] - world.spawns("x")[0]).inMilliseconds == 5300)
  }

  @Test func aTreeThatIgnoresItsPlanIsKilled() {
    let world = World(
      configuration([
        program("x") {
          $0.treePlan = [StopStep(signal: 3, wait: .seconds(5)), StopStep(signal: 15, wait: .seconds(1))]
        }
      ])
    ) { _, run in
      run == 1 ? Behaviour(life: .seconds(5), status: .exited(1), leavesBehind: true, leftStopDelay: nil) : Behaviour()
    }
    world.send(.boot)
    world.run(.seconds(30))
    #expect((world.spawns("x")[1] - world.spawns("x")[0]).inMilliseconds == 11_001)
    #expect(world.has("killing what 'x' left behind with SIGKILL"))
  }

  @Test func aProgramThatIsNotRestartedKeepsItsChildrenUntilItIsStartedAgain() {
    let world = World(configuration([program("x")])) { _, run in
      Behaviour(life: run == 1 ? .seconds(5) : nil, leavesBehind: run == 1)
    }
    world.send(.boot)
    world.run(.seconds(30))
    #expect(world.state("x") == .exited)
    #expect(world.run(of: "x")?.leavesAlive == true)
    world.request(.start(target: "x", wait: true))
    world.run(.seconds(5))
    #expect(world.state("x") == .running)
    #expect(world.runs[RunID(program: world.id("x"), run: 1)]?.leavesAlive == false)
  }

  @Test func eventsOfAnEarlierRunAreDropped() {
    let world = World(configuration([program("x")])) { _, run in
      run == 1 ? Behaviour(life: .seconds(5), status: .exited(1)) : Behaviour()
    }
    world.send(.boot)
    world.run(.seconds(10))
    let before = world.records.count
    let old = RunID(program: world.id("x"), run: 1)
    for event in [
      Event.spawned(old, pid: 9), .execSucceeded(old), .exited(old, .exited(0), oomKilled: false), .treeEnded(old),
      .spawnFailed(old, notFound), .notification(old, .ready), .signalFailed(old, signal: 15, text: "no"),
      .probeFinished(old, .ready, ProbeResult(passed: false, latency: .zero)),
    ] { world.send(event) }
    #expect(world.records.count == before)
    #expect(world.state("x") == .running)
  }
}

func moment(_ milliseconds: Int64) -> Moment {
  Moment(
    instant: Instant(nanoseconds: 0) + .milliseconds(milliseconds),
    wall: WallTime(nanoseconds: 1_790_000_000_000_000_000 + milliseconds * 1_000_000))
}
