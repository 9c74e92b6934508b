import Testing

@testable import SupervisorCore

/// What clients are answered: supervisord's results and faults.
struct RequestTests {
  private func faults(_ result: CommandResult?) -> [RequestFault?] {
    if case .processes(let results)? = result { results.map(\.fault) } else { [] }
  }

  private func fault(_ result: CommandResult?) -> RequestFault? {
    if case .fault(let fault, _)? = result { fault } else { nil }
  }

  private func world(_ behave: @escaping (String, UInt32) -> Behaviour = { _, _ in Behaviour() }) -> World {
    let world = World(
      configuration([
        program("x") { $0.autostart = false },
        program("a") {
          $0.group = "g"
          $0.autostart = false
        },
        program("b") {
          $0.group = "g"
          $0.autostart = false
        },
      ]), behave)
    world.send(.boot)
    return world
  }

  @Test func startAnswersWhenItIsRunning() {
    let world = world()
    let request = world.request(.start(target: "x", wait: true))
    world.run(.milliseconds(999))
    #expect(world.answers[request] == nil)
    world.run(.milliseconds(1))
    #expect(world.answers[request] == .processes([ProcessResult(name: "x", group: "x")]))
    let quick = world.request(.start(target: "g:a", wait: false))
    #expect(faults(world.answers[quick]) == [nil])
  }

  @Test func startTellsOfTheFirstFailedAttempt() {
    let cases: [(Behaviour, RequestFault)] = [
      (Behaviour(life: .milliseconds(5), status: .exited(1)), .abnormalTermination),
      (Behaviour(spawn: .refused(notFound)), .noFile),
      (
        Behaviour(spawn: .execFails(SpawnFailure(stage: .exec, errno: 13, text: "no", isShortage: false))),
        .notExecutable
      ),
      (Behaviour(spawn: .execFails(SpawnFailure(stage: .uid, errno: 1, text: "no", isShortage: false))), .spawnError),
    ]
    for (behaviour, expected) in cases {
      let world = world { _, _ in behaviour }
      let request = world.request(.start(target: "x", wait: true))
      world.run(.milliseconds(500))
      #expect(faults(world.answers[request]) == [expected])
      #expect(world.state("x") == .backoff)
    }
  }

  @Test func startWaitsThroughAShortage() {
    let world = world { _, run in run < 3 ? Behaviour(spawn: .refused(shortage)) : Behaviour() }
    let request = world.request(.start(target: "x", wait: true))
    world.run(.seconds(1))
    #expect(world.answers[request] == nil)
    world.run(.seconds(1))
    #expect(faults(world.answers[request]) == [nil])
  }

  @Test func startOfAOneshotAnswersWhenItHasCompletedOrFailed() {
    for (status, expected) in [(Int32(0), nil), (1, RequestFault.abnormalTermination)] as [(Int32, RequestFault?)] {
      let world = World(
        configuration([
          program("x") {
            $0.kind = .oneshot
            $0.autostart = false
          }
        ])
      ) { _, _ in Behaviour(life: .seconds(30), status: .exited(status)) }
      world.send(.boot)
      let request = world.request(.start(target: "x", wait: true))
      world.run(.seconds(29))
      #expect(world.answers[request] == nil)
      world.run(.seconds(2))
      #expect(faults(world.answers[request]) == [expected])
    }
  }

  @Test func startInEveryState() {
    let world = world { _, run in
      run == 1
        ? Behaviour(life: .milliseconds(5), status: .exited(1), stopDelay: .seconds(1))
        : Behaviour(stopDelay: .seconds(1))
    }
    func start() -> [RequestFault?] { faults(world.ask(.start(target: "x", wait: false))) }
    #expect(start() == [nil])
    #expect(start() == [.alreadyStarted], "STARTING")
    world.run(.milliseconds(100))
    #expect(world.state("x") == .backoff)
    #expect(start() == [.alreadyStarted], "BACKOFF")
    world.run(.seconds(5))
    #expect(world.state("x") == .running)
    #expect(start() == [.alreadyStarted], "RUNNING")
    world.request(.stop(target: "x", wait: false, now: false))
    #expect(start() == [nil], "STOPPING: it is started again afterwards")
    world.run(.seconds(10))
    #expect(world.state("x") == .running)
  }

  @Test func startOfAFATALOneHasAllItsAttemptsAgain() {
    let world = world { _, _ in Behaviour(spawn: .refused(notFound)) }
    world.request(.start(target: "x", wait: false))
    world.run(.seconds(60))
    #expect(world.spawns("x").count == 4)
    #expect(world.state("x") == .fatal)
    world.request(.start(target: "x", wait: false))
    world.run(.seconds(60))
    #expect(world.spawns("x").count == 8)
  }

  @Test func startWaitsForDependenciesAndSaysWhenThatIsInVain() {
    let world = World(
      configuration([
        program("db") {
          $0.autostart = false
          $0.startretries = 0
        },
        program("mid") {
          $0.autostart = false
          $0.dependencies = [Dependency(program: "db", condition: .ready)]
        },
        program("x") {
          $0.autostart = false
          $0.dependencies = [Dependency(program: "mid", condition: .ready)]
        },
      ])
    ) { name, run in name == "db" && run == 1 ? Behaviour(life: .milliseconds(100), status: .exited(1)) : Behaviour() }
    world.send(.boot)
    world.request(.start(target: "db", wait: false))
    let mid = world.request(.start(target: "mid", wait: true))
    let request = world.request(.start(target: "x", wait: true))
    #expect(world.answers[request] == nil)
    world.run(.milliseconds(200))
    #expect(world.state("db") == .fatal)
    for id in [mid, request] { #expect(faults(world.answers[id]) == [.failed]) }
    // It is still wanted: when the database comes, both follow.
    world.request(.start(target: "db", wait: false))
    world.run(.seconds(10))
    #expect(world.state("x") == .running)
  }

  @Test func groupsLeaveOutWhatIsAlreadyThere() {
    let world = world()
    world.request(.start(target: "g:a", wait: true))
    world.run(.seconds(5))
    let start = world.request(.start(target: "g:*", wait: true))
    world.run(.seconds(5))
    #expect(world.answers[start] == .processes([ProcessResult(name: "b", group: "g")]))
    let stop = world.request(.stop(target: "all", wait: true, now: false))
    world.run(.seconds(5))
    #expect(
      world.answers[stop] == .processes([ProcessResult(name: "a", group: "g"), ProcessResult(name: "b", group: "g")]))
  }

  @Test func namesAreSupervisords() {
    let world = world()
    func ids(_ names: String...) -> [ProgramID] { names.compactMap { world.core.resolve($0)?.first } }
    #expect(world.core.resolve("all") == ids("x", "g:a", "g:b"))
    #expect(world.core.resolve("g:*") == ids("g:a", "g:b"))
    #expect(world.core.resolve("g:") == ids("g:a", "g:b"))
    #expect(world.core.resolve("x:x") == ids("x"))
    #expect(world.core.resolve("x:*") == ids("x"))
    #expect(world.core.resolve("a") == ids("g:a"), "unambiguous")
    for unknown in ["", ":", "g", "y", "g:c", "y:*", "g:a:b", "*"] {
      #expect(world.core.resolve(unknown) == nil, "\(unknown)")
    }
  }

  @Test func faultsOfStopAndSignal() {
    let world = world()
    #expect(faults(world.ask(.stop(target: "x", wait: true, now: false))) == [.notRunning])
    #expect(faults(world.ask(.signal(target: "x", signal: 10))) == [.notRunning])
    #expect(fault(world.ask(.stop(target: "nobody", wait: true, now: false))) == .badName)
    for signal in [Int32(0), -1, 65] {
      #expect(fault(world.ask(.signal(target: "x", signal: signal))) == .badSignal)
    }
    world.request(.start(target: "x", wait: false))
    world.run(.seconds(2))
    #expect(faults(world.ask(.signal(target: "x", signal: 10))) == [nil])
    #expect(world.signals("x") == [10])
  }

  @Test func restartAnswersWhenItIsRunningAgain() {
    let world = world { _, _ in Behaviour(stopDelay: .seconds(1)) }
    let first = world.request(.restart(target: "x", wait: true))
    world.run(.seconds(2))
    #expect(faults(world.answers[first]) == [nil], "also of one that is down")
    let second = world.request(.restart(target: "x", wait: true))
    world.run(.milliseconds(1500))
    #expect(world.answers[second] == nil)
    world.run(.seconds(1))
    #expect(faults(world.answers[second]) == [nil])
    #expect(world.spawns("x").count == 2)
    #expect(world.snapshot("x")?.restarts == 0, "that was a person, not the supervisor")
  }

  @Test func aStartThatIsStoppedIsAnswered() {
    let world = world()
    let start = world.request(.start(target: "x", wait: true))
    world.run(.milliseconds(100))
    world.request(.stop(target: "x", wait: true, now: false))
    world.run(.seconds(1))
    #expect(faults(world.answers[start]) == [.abnormalTermination])
  }

  @Test func everythingIsRefusedDuringAShutdown() {
    let world = world { _, _ in Behaviour(stopDelay: .seconds(5)) }
    world.request(.start(target: "x", wait: false))
    world.run(.seconds(2))
    let waiting = world.request(.start(target: "g:a", wait: true))
    let shutdown = world.request(.shutdown)
    #expect(world.answers[shutdown] == .accepted)
    #expect(faults(world.answers[waiting]) == [.shutdownState])
    for command in [
      Command.start(target: "x", wait: true), .stop(target: "x", wait: true, now: false),
      .restart(target: "x", wait: true),
      .signal(target: "x", signal: 1), .reload(SupervisorSpec()),
    ] {
      #expect(fault(world.ask(command)) == .shutdownState)
    }
    world.run(.seconds(10))
    #expect(world.exitStatus == 0)
  }

  @Test func anAbandonedRequestIsNotAnsweredAndStillDone() {
    let world = world()
    let request = world.request(.start(target: "x", wait: true))
    world.send(.requestAbandoned(request))
    world.run(.seconds(5))
    #expect(world.answers[request] == nil)
    #expect(world.state("x") == .running)
  }

  @Test func whatIsBeingRemovedIsNotThereAnyMore() {
    let world = world { _, _ in Behaviour(stopDelay: .seconds(1)) }
    world.request(.start(target: "x", wait: false))
    world.run(.seconds(2))
    var new = world.core.spec
    new.programs.removeFirst()
    world.request(.reload(new))
    #expect(fault(world.ask(.start(target: "x", wait: true))) == .badName)
    #expect(world.ask(.stop(target: "x:*", wait: true, now: false)) == .processes([]))
  }
}
