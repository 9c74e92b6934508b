import Testing

@testable import SupervisorCore

/// Stopping one program.
struct StopTests {
  private let plan = [StopStep(signal: 2, wait: .seconds(6)), StopStep(signal: 3, wait: .seconds(2))]

  @Test func aStopSendsTheSignalAndSIGCONTAndEndsWithTheExit() {
    let world = World(configuration([program("x")])) { _, _ in Behaviour(stopDelay: .milliseconds(40)) }
    world.send(.boot)
    world.run(.seconds(5))
    let request = world.request(.stop(target: "x", wait: true, now: false))
    #expect(world.state("x") == .stopping)
    #expect(world.answers[request] == nil)
    let run = RunID(program: world.id("x"), run: 1)
    #expect(
      world.actions.map(\.action).filter { if case .signal = $0 { true } else { false } } == [
        .signal(run, 15, .process), .signal(run, 18, .process),
      ])
    world.run(.milliseconds(40))
    #expect(world.state("x") == .stopped)
    #expect(world.answers[request] == .processes([ProcessResult(name: "x", group: "x")]))
    #expect(world.has("stopped: x (terminated by SIGTERM)"))
    #expect(world.core.nextDeadline == nil)
  }

  @Test func thePlanIsWalkedToSIGKILLWhichIsRepeated() {
    let world = World(configuration([program("x") { $0.stopPlan = plan }])) { _, _ in Behaviour(stopDelay: nil) }
    world.send(.boot)
    world.run(.seconds(5))
    let start = world.instant
    world.request(.stop(target: "x", wait: true, now: false))
    world.run(.seconds(8))
    let sent = world.actions.filter { if case .signal(_, let signal, _) = $0.action { signal != 18 } else { false } }
    #expect(sent.map { world.instant - $0.at }.map(\.inSeconds) == [8, 2, 0])
    #expect(world.signals("x") == [2, 3, 9])
    #expect(world.has("killing 'x' (101) with SIGKILL"))
    world.run(.milliseconds(1))
    #expect(world.state("x") == .stopped)
    #expect(world.since(start) == 8001)
  }

  @Test func aKillThatDoesNotWorkIsRepeated() {
    var core = Supervisor(spec: configuration([program("x") { $0.stopPlan = plan }]), at: moment(0), seed: 1)
    let id = core.programs[0]
    let run = RunID(program: id, run: 1)
    _ = core.handle(.boot, at: moment(0))
    _ = core.handle(.spawned(run, pid: 5), at: moment(0))
    _ = core.handle(.execSucceeded(run), at: moment(0))
    _ = core.handle(
      .request(RequestID(1), .stop(target: "x", wait: true, now: false), by: .configuration), at: moment(0))
    var kills: [Int64] = []
    for second in Int64(1)...20 {
      let actions = core.handle(.timeReached, at: moment(second * 1000))
      if actions.contains(.signal(run, 9, .process)) { kills.append(second) }
    }
    #expect(kills == [8, 10, 12, 14, 16, 18, 20], "every wait of the last step")
  }

  @Test(arguments: [(false, false), (true, false), (false, true), (true, true)])
  func stopasgroupAndKillasgroupChooseTheScope(asGroup: Bool, killAsGroup: Bool) {
    let world = World(
      configuration([
        program("x") {
          $0.stopasgroup = asGroup
          $0.killasgroup = killAsGroup
        }
      ])
    ) { _, _ in Behaviour(stopDelay: nil) }
    world.send(.boot)
    world.run(.seconds(5))
    world.request(.stop(target: "x", wait: true, now: false))
    world.run(.seconds(20))
    let run = RunID(program: world.id("x"), run: 1)
    let actions = world.actions.map(\.action)
    #expect(actions.contains(.signal(run, 15, asGroup ? .group : .process)))
    #expect(actions.contains(.signal(run, 18, asGroup ? .group : .process)))
    #expect(actions.contains(.signal(run, 9, asGroup || killAsGroup ? .group : .process)))
  }

  @Test func aStopBetweenForkAndExecIsNotLost() {
    // At each point of a start: before fork, between fork and exec, after exec.
    for point in [0, 150, 250] as [Int64] {
      var core = Supervisor(spec: configuration([program("x")]), at: moment(0), seed: 1)
      let run = RunID(program: core.programs[0], run: 1)
      var sent: [Int64] = []
      func take(_ actions: [Action], _ at: Int64) {
        if actions.contains(.signal(run, 15, .process)) { sent.append(at) }
      }
      take(core.handle(.boot, at: moment(0)), 0)
      for at in [Int64(0), 100, 150, 200, 250] {
        if at == 100 { take(core.handle(.spawned(run, pid: 5), at: moment(at)), at) }
        if at == 200 { take(core.handle(.execSucceeded(run), at: moment(at)), at) }
        if at == point {
          let stop = Command.stop(target: "x", wait: true, now: false)
          take(core.handle(.request(RequestID(1), stop, by: .configuration), at: moment(at)), at)
        }
      }
      #expect(sent == [max(200, point)])
      #expect(core.nextDeadline == moment(point + 10_000).instant, "the plan's time counts from the request")
      let actions = core.handle(.exited(run, .signaled(15, core: false), oomKilled: false), at: moment(300))
      #expect(actions.contains(.endTree(run, signal: 15)))
      _ = core.handle(.treeEnded(run), at: moment(300))
      #expect(core.snapshot(of: run.program, at: moment(300))?.state == .stopped)
    }
  }

  @Test func aKillThatIsDueBeforeTheForkIsSentAfterIt() {
    var core = Supervisor(
      spec: configuration([program("x") { $0.stopPlan = [StopStep(signal: 15, wait: .seconds(1))] }]), at: moment(0),
      seed: 1)
    let run = RunID(program: core.programs[0], run: 1)
    _ = core.handle(.boot, at: moment(0))
    _ = core.handle(
      .request(RequestID(1), .stop(target: "x", wait: true, now: false), by: .configuration), at: moment(0))
    let early = core.handle(.timeReached, at: moment(1000))
    #expect(!early.contains(.signal(run, 9, .process)))
    #expect(core.handle(.spawned(run, pid: 5), at: moment(1100)).contains(.signal(run, 9, .process)))
  }

  @Test func aStopOfAStartThatFailsIsComplete() {
    let world = World(configuration([program("x")])) { _, _ in
      Behaviour(spawn: .refused(notFound), execDelay: .milliseconds(100))
    }
    world.send(.boot)
    let request = world.request(.stop(target: "x", wait: true, now: false))
    world.run(.milliseconds(100))
    #expect(world.state("x") == .stopped)
    #expect(world.answers[request] == .processes([ProcessResult(name: "x", group: "x")]))
  }

  @Test func aStopInBackoffIsImmediate() {
    let world = World(configuration([program("x")])) { _, _ in Behaviour(spawn: .refused(notFound)) }
    world.send(.boot)
    world.run(.milliseconds(100))
    #expect(world.state("x") == .backoff)
    let request = world.request(.stop(target: "x", wait: true, now: false))
    #expect(world.state("x") == .stopped)
    #expect(world.answers[request] == .processes([ProcessResult(name: "x", group: "x")]))
    #expect(world.core.nextDeadline == nil)
    world.run(.seconds(60))
    #expect(world.spawns("x").count == 1)
  }

  @Test func onlyAStopThatIsInAHurryMovesToTheNextStep() {
    let world = World(configuration([program("x") { $0.stopPlan = plan }])) { _, _ in Behaviour(stopDelay: nil) }
    world.send(.boot)
    world.run(.seconds(5))
    let first = world.request(.stop(target: "x", wait: true, now: false))
    let second = world.request(.stop(target: "x", wait: true, now: false))
    #expect(world.signals("x") == [2])
    let third = world.request(.stop(target: "x", wait: true, now: true))
    #expect(world.signals("x") == [2, 3])
    world.request(.stop(target: "x", wait: false, now: true))
    #expect(world.signals("x") == [2, 3, 9])
    world.run(.milliseconds(1))
    for request in [first, second, third] {
      #expect(world.answers[request] == .processes([ProcessResult(name: "x", group: "x")]))
    }
  }

  @Test func whatAStoppedProgramLeavesBehindIsEndedBeforeItIsSTOPPED() {
    let world = World(configuration([program("x")])) { _, _ in
      Behaviour(leavesBehind: true, leftStopDelay: .milliseconds(500))
    }
    world.send(.boot)
    world.run(.seconds(5))
    world.request(.stop(target: "x", wait: true, now: false))
    world.run(.milliseconds(400))
    #expect(world.state("x") == .stopping)
    #expect(world.snapshot("x")?.pid == 0)
    world.run(.milliseconds(200))
    #expect(world.state("x") == .stopped)
  }

  @Test func aProgramThatCannotBeSignalledIsUNKNOWNUntilItGoes() {
    let world = World(configuration([program("x")])) { _, _ in Behaviour(stopDelay: nil) }
    world.send(.boot)
    world.run(.seconds(5))
    let run = RunID(program: world.id("x"), run: 1)
    world.send(.signalFailed(run, signal: 10, text: "Operation not permitted"))
    #expect(world.state("x") == .running, "nothing depended on that signal")
    let stop = world.request(.stop(target: "x", wait: true, now: false))
    world.send(.signalFailed(run, signal: 15, text: "Operation not permitted"))
    #expect(world.state("x") == .unknown)
    #expect(
      world.answers[stop]
        == .processes([ProcessResult(name: "x", group: "x", fault: .failed, text: "it does not take signals")]))
    let start = world.request(.start(target: "x", wait: true))
    if case .processes(let results)? = world.answers[start] {
      #expect(results.first?.fault == .failed)
    } else {
      Issue.record("no answer")
    }
    world.kill("x")
    world.run(.seconds(1))
    #expect(world.state("x") == .stopped)
    world.request(.start(target: "x", wait: true))
    world.run(.seconds(5))
    #expect(world.state("x") == .running)
  }
}
