import Glibc
import Testing

@testable import SupervisorCore

/// The order of starting: priorities, readiness, dependencies.
struct BootTests {
  private func order(_ world: World) -> [String] {
    world.actions.compactMap {
      if case .spawn(let run) = $0.action { world.core.spec(of: run.program)?.name } else { nil }
    }
  }

  @Test func withoutReadinessEverythingIsStartedInOneGoByPriority() {
    let world = World(
      configuration([
        program("a") { $0.priority = 999 }, program("b") { $0.priority = 1 },
        program("c") {
          $0.priority = 1
          $0.groupPriority = 1
        },
        program("d") { $0.priority = 500 },
      ]))
    let actions = world.core.handle(.boot, at: world.now)
    let spawned = actions.compactMap {
      if case .spawn(let run) = $0 { world.core.spec(of: run.program)?.name } else { nil }
    }
    #expect(spawned == ["c", "b", "d", "a"])
  }

  @Test func aTierWaitsForTheReadinessOfTheOnesBelow() {
    let world = World(
      configuration([
        program("db") {
          $0.priority = 100
          $0.readiness = notifying
        },
        program("plain") { $0.priority = 100 },
        program("api") { $0.priority = 200 },
        program("last") { $0.priority = 300 },
      ])
    ) { name, _ in Behaviour(readyAfter: .seconds(3)) }
    world.send(.boot)
    world.run(.milliseconds(2999))
    #expect(order(world) == ["db", "plain"])
    #expect(world.service("api")?.status == .starting)
    #expect(world.service("api")?.reason == "waits for its turn")
    world.run(.milliseconds(1))
    #expect(order(world) == ["db", "plain", "api", "last"], "api declares nothing, so last does not wait for it")
  }

  @Test func aTierWaitsForTheCompletionOfAOneshot() {
    let world = World(
      configuration([
        program("init") {
          $0.priority = 1
          $0.kind = .oneshot
        }, program("x"),
      ])
    ) { name, _ in name == "init" ? Behaviour(life: .seconds(30)) : Behaviour() }
    world.send(.boot)
    world.run(.seconds(29))
    #expect(world.state("init") == .running)
    #expect(order(world) == ["init"])
    world.run(.seconds(2))
    #expect(world.state("init") == .exited)
    #expect(world.snapshot("init")?.isCompleted == true)
    #expect(order(world) == ["init", "x"])
    #expect(world.core.health(at: world.now).status == .starting || world.state("x") == .running)
  }

  @Test func aGateThatCannotOpenDoesNotHoldTheOthersBack() {
    let world = World(
      configuration([
        program("broken") {
          $0.priority = 1
          $0.readiness = notifying
          $0.startretries = 1
        },
        program("x") { $0.priority = 2 },
        program("needs") {
          $0.priority = 2
          $0.dependencies = [Dependency(program: "broken", condition: .ready)]
        },
      ])
    ) { name, _ in name == "broken" ? Behaviour(spawn: .refused(notFound)) : Behaviour() }
    world.send(.boot)
    world.run(.milliseconds(900))
    #expect(order(world) == ["broken"])
    world.run(.seconds(10))
    #expect(world.state("broken") == .fatal)
    #expect(world.state("x") == .running)
    #expect(world.state("needs") == .stopped, "what is needed is never overruled")
    let health = world.core.health(at: world.now)
    #expect(health.status == .unhealthy)
    #expect(health.reasons.contains("needs waits for broken:ready (broken is FATAL)"))
  }

  @Test func aGateBehindAHopelessDependencyDoesNotHoldTheOthersBack() {
    let world = World(
      configuration([
        program("manual") { $0.autostart = false },
        program("gate") {
          $0.priority = 1
          $0.readiness = notifying
          $0.dependencies = [Dependency(program: "manual", condition: .started)]
        },
        program("x") { $0.priority = 2000 },
      ]))
    world.send(.boot)
    world.run(.seconds(5))
    #expect(world.state("x") == .running)
    world.request(.start(target: "manual", wait: true))
    world.run(.seconds(5))
    #expect(world.state("gate") == .running)
  }

  @Test func everyConditionIsWaitedFor() {
    for condition in Dependency.Condition.allCases {
      let world = World(
        configuration([
          program("db") {
            $0.startsecs = 2
            $0.liveness = probed
            $0.liveness?.interval = .seconds(4)
            if condition == .completed { $0.kind = .oneshot }
          },
          program("x") { $0.dependencies = [Dependency(program: "db", condition: condition)] },
        ])
      ) { name, _ in
        name == "db"
          ? Behaviour(execDelay: .milliseconds(100), life: condition == .completed ? .seconds(9) : nil) : Behaviour()
      }
      let start = world.instant
      world.send(.boot)
      #expect(world.snapshot("x")?.waitingFor == ["waiting for db:\(condition.rawValue) (db is STARTING)"])
      world.run(.seconds(20))
      let expected: Double =
        switch condition {
        case .started: 100
        case .ready: 2000 + 100
        case .completed: 9100
        case .healthy: 2000 + 4000 + 1 + 100
        }
      #expect(world.spawns("x").map { ($0 - start).inMilliseconds } == [expected], "\(condition)")
      let record = world.records.first { $0.namespec == "x" && $0.to == .starting }
      #expect(record?.cause == .dependenciesSatisfied)
    }
  }

  @Test func aOneshotThatHasCompletedWasStarted() {
    let world = World(
      configuration([
        program("init") { $0.kind = .oneshot },
        program("db") { $0.readiness = notifying },
        program("x") {
          $0.dependencies = [
            Dependency(program: "init", condition: .started), Dependency(program: "db", condition: .ready),
          ]
        },
      ])
    ) { name, _ in name == "init" ? Behaviour(life: .milliseconds(1)) : Behaviour(readyAfter: .seconds(5)) }
    world.send(.boot)
    world.run(.seconds(10))
    #expect(world.state("x") == .running)
  }

  @Test func aDependencyOnASectionMeansAllItsProcesses() {
    let world = World(
      configuration([
        program("w_0") {
          $0.program = "w"; $0.group = "w"; $0.readiness = notifying
        },
        program("w_1") {
          $0.program = "w"; $0.group = "w"; $0.readiness = notifying
        },
        program("x") { $0.dependencies = [Dependency(program: "w", condition: .ready)] },
      ])
    ) { name, _ in Behaviour(readyAfter: name == "w_1" ? .seconds(5) : .seconds(1)) }
    let start = world.instant
    world.send(.boot)
    world.run(.seconds(10))
    #expect(world.spawns("x").map { ($0 - start).inMilliseconds } == [5000])
  }

  @Test func aDependentSurvivesTheRestartOfWhatItDependsOn() {
    let world = World(
      configuration([
        program("db") { $0.readiness = notifying },
        program("x") { $0.dependencies = [Dependency(program: "db", condition: .ready)] },
      ])
    ) { name, run in name == "db" && run == 1 ? Behaviour(life: .seconds(20), status: .exited(1)) : Behaviour() }
    world.send(.boot)
    world.run(.seconds(60))
    #expect(world.spawns("db").count == 2)
    #expect(world.spawns("x").count == 1)
  }

  @Test func failuresWhileADependencyIsDownDoNotCount() {
    // The database is away from second 10 to 100; the program dies with it and cannot come up without it.
    let world = World(
      configuration([
        program("db") { $0.readiness = notifying },
        program("x") {
          $0.startretries = 1
          $0.dependencies = [Dependency(program: "db", condition: .ready)]
        },
      ])
    ) { name, run in
      if name == "db" {
        return run == 1 ? Behaviour(life: .seconds(10), status: .exited(1)) : Behaviour(readyAfter: .seconds(90))
      }
      return run == 1 ? Behaviour(life: .milliseconds(10_100), status: .exited(1)) : Behaviour()
    }
    world.send(.boot)
    world.run(.seconds(50))
    #expect(world.spawns("x").count == 1)
    #expect(world.snapshot("x")?.waitingFor == ["waiting for db:ready (db is STARTING)"])
    world.run(.seconds(70))
    #expect(world.state("x") == .running)
    #expect(world.spawns("x").count == 2)
  }

  @Test func anAttemptThatFailsWithoutItsDependencyIsNotCounted() {
    let world = World(
      configuration([
        program("db") { $0.readiness = notifying },
        program("x") {
          $0.startretries = 0
          $0.dependencies = [Dependency(program: "db", condition: .ready)]
        },
      ])
    ) { name, run in
      if name == "db" {
        return run == 1 ? Behaviour(life: .milliseconds(100), status: .exited(1)) : Behaviour(readyAfter: .seconds(5))
      }
      return run == 1 ? Behaviour(life: .milliseconds(200), status: .exited(1)) : Behaviour()
    }
    world.send(.boot)
    world.run(.seconds(30))
    #expect(world.state("x") == .running)
    #expect(world.states("x") == [.starting, .backoff, .starting, .running])
  }

  @Test func aFailedOneshotIsTriedAgainThenFATAL() {
    for (autorestart, attempts) in [(AutoRestart.never, 1), (.unexpected, 3), (.always, 3)] {
      let world = World(
        configuration([
          program("x") {
            $0.kind = .oneshot
            $0.startretries = 2
            $0.autorestart = autorestart
          }
        ])
      ) { _, _ in Behaviour(life: .seconds(20), status: .exited(1)) }
      world.send(.boot)
      world.run(.seconds(200))
      #expect(world.spawns("x").count == attempts)
      #expect(world.state("x") == .fatal)
      #expect(world.core.health(at: world.now).status == .unhealthy)
    }
  }

  @Test func aCompletedOneshotStaysDownAndIsHealthy() {
    for autorestart in [AutoRestart.never, .unexpected, .always] {
      let world = World(
        configuration([
          program("x") {
            $0.kind = .oneshot
            $0.startsecs = 10
            $0.autorestart = autorestart
          }
        ])
      ) { _, _ in Behaviour(life: .milliseconds(3)) }
      world.send(.boot)
      world.run(.seconds(60))
      #expect(world.states("x") == [.starting, .running, .exited])
      #expect(world.core.health(at: world.now).status == .healthy)
      #expect(world.core.health(at: world.now).started.passed)
    }
  }

  /// What this thread has had of the processors: what else the machine does is not in it.
  private func processorTime() -> Duration {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
  }

  /// Everything up, then everything down, without a simulated world around it.
  private func bootAndStop(_ count: Int) -> Duration {
    let spec = configuration(
      (0..<count).map { number in
        program("p\(number)") {
          $0.priority = number
          if number > 0 { $0.dependencies = [Dependency(program: "p\(number - 1)", condition: .started)] }
        }
      }
    ) { $0.shutdownTimeout = .seconds(9) }
    let begun = processorTime()
    do {
      var core = Supervisor(spec: spec, at: moment(0), seed: 1)
      var events: [Event] = [.boot]
      var time: Int64 = 0
      var exit: Int32?
      var pid: Int32 = 1
      while exit == nil {
        while let event = events.popLast() {
          for action in core.handle(event, at: moment(time)) {
            switch action {
            case .spawn(let run):
              pid += 1
              events.append(.execSucceeded(run))
              events.append(.spawned(run, pid: pid))
            case .signal(let run, 15, _): events.append(.exited(run, .exited(0), oomKilled: false))
            case .endTree(let run, _): events.append(.treeEnded(run))
            case .endRemaining: events.append(.remainingEnded)
            case .exit(let status): exit = status
            default: break
            }
          }
        }
        if time == 0 {
          time = 1000
          events = [.timeReached]
        } else if time == 1000 {
          #expect(core.health(at: moment(time)).status == .healthy)
          time = 1001
          events = [.signalReceived(15, pid: 0, uid: 0)]
        } else {
          break
        }
      }
      #expect(exit == 0)
    }
    return processorTime() - begun
  }

  @Test func programsCostInProportionToTheirNumber() {
    let small = (0..<3).map { _ in bootAndStop(250) }.min() ?? .zero
    let large = (0..<3).map { _ in bootAndStop(2000) }.min() ?? .zero
    // Linear is 8, quadratic 64.
    #expect(large < small * 24, "8 times the programs took \(large) against \(small)")
  }
}

/// The plan by itself.
struct StartPlanTests {
  @Test func tiersFollowPrioritiesAndDependencies() {
    let plan = StartPlan(
      configuration([
        program("api") {
          $0.priority = 1
          $0.dependencies = [Dependency(program: "db", condition: .ready)]
        },
        program("db") { $0.priority = 100 }, program("x") { $0.priority = 100 }, program("y") { $0.priority = 5 },
      ]))
    #expect(plan.tiers == [[3], [1, 2], [0]])
    #expect(plan.ranks[0] == plan.ranks[1])
    #expect(plan.cycles.isEmpty && plan.unknown.isEmpty)
  }

  @Test func cyclesAndUnknownNamesAreNamed() {
    let plan = StartPlan(
      configuration([
        program("a") { $0.dependencies = [Dependency(program: "b", condition: .ready)] },
        program("b") { $0.dependencies = [Dependency(program: "c", condition: .ready)] },
        program("c") {
          $0.dependencies = [
            Dependency(program: "a", condition: .ready), Dependency(program: "nobody", condition: .ready),
          ]
        },
        program("self") { $0.dependencies = [Dependency(program: "self", condition: .ready)] },
      ]))
    #expect(plan.cycles == [["a", "b", "c", "a"], ["self", "self"]])
    #expect(plan.unknown == [StartPlan.UnknownDependency(program: 2, name: "nobody")])
    #expect(plan.tiers.joined().sorted() == [0, 1, 2, 3])
  }

  @Test func aLongChainNeedsNoStack() {
    let count = 5000
    let plan = StartPlan(
      configuration(
        (0..<count).map { number in
          program("p\(number)") {
            if number + 1 < count { $0.dependencies = [Dependency(program: "p\(number + 1)", condition: .started)] }
          }
        }))
    #expect(plan.tiers.count == count)
    #expect(plan.tiers.first == [count - 1])
  }
}
