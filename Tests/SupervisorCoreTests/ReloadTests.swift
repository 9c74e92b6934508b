import Testing

@testable import SupervisorCore

struct ReloadTests {
  private func summary(_ result: CommandResult?) -> ReloadSummary? {
    if case .reload(let summary)? = result { summary } else { nil }
  }

  private func changed(_ spec: SupervisorSpec, _ change: (inout SupervisorSpec) -> Void) -> SupervisorSpec {
    var new = spec
    change(&new)
    return new
  }

  private func up(
    _ programs: [ProgramSpec], _ behave: @escaping (String, UInt32) -> Behaviour = { _, _ in Behaviour() }
  ) -> World {
    let world = World(configuration(programs), behave)
    world.send(.boot)
    world.run(.seconds(5))
    return world
  }

  @Test func whatIsUnchangedIsUntouched() {
    let world = up([program("a"), program("b")])
    let before = world.actions.count
    var new = world.core.spec
    new.programs[0].origin = Origin(file: "elsewhere", line: 7)
    let result = summary(world.ask(.reload(new)))
    #expect(result?.isEmpty == true)
    world.run(.seconds(5))
    #expect(world.actions.count == before + 1, "only the answer")
  }

  @Test func addedChangedAndRemoved() {
    let world = up([program("keep"), program("change"), program("go")])
    let ids = ["keep", "change", "go"].map { world.id($0) }
    let new = changed(world.core.spec) {
      $0.programs[1].execution.arguments = ["/bin/other"]
      $0.programs[2] = program("new")
    }
    let result = summary(world.ask(.reload(new)))
    #expect(result?.added == ["new"] && result?.changed == ["change"] && result?.removed == ["go"])
    #expect(result?.text == "1 added (new), 1 changed (change), 1 removed (go)")
    world.run(.seconds(5))
    #expect(["keep", "change", "new"].map { world.state($0) } == [.running, .running, .running])
    #expect(world.spawns("keep").count == 1 && world.spawns("change").count == 2)
    #expect(world.core.spec(of: ids[1])?.execution.arguments == ["/bin/other"])
    #expect(world.core.snapshot(of: ids[2], at: world.now) == nil)
    #expect(world.core.resolve("go") == nil)
    let actions = world.actions.map(\.action)
    #expect(actions.contains(.programRemoved(ids[2])) && actions.contains(.programChanged(ids[1])))
    #expect(actions.contains(.programAdded(world.id("new"))))
    #expect(world.id("new") > ids[2], "an id is never used again")
  }

  /// Each of these differs from the plain spec in one respect.
  static let restarting: [(String, @Sendable (inout ProgramSpec) -> Void)] = [
    ("command", { $0.execution.arguments = ["/bin/y"] }),
    ("environment", { $0.execution.environment = [EnvironmentEntry("A", "b")] }),
    ("directory", { $0.execution.directory = "/" }), ("stdout", { $0.stdout.maxBytes = 1 }),
    ("stderr", { $0.stderr.backups = 1 }),
    ("redirect", { $0.redirectStderr = true }), ("kind", { $0.kind = .oneshot }),
    ("notify", { $0.readiness = notifying }),
    ("watchdog", { $0.liveness = notifying }), ("memoryPolicy", { $0.execution.memoryPolicy = .local }),
  ]
  static let adjusting: [(String, @Sendable (inout ProgramSpec) -> Void)] = [
    ("priority", { $0.priority = 1 }), ("groupPriority", { $0.groupPriority = 1 }),
    ("autostart", { $0.autostart = false }),
    ("autorestart", { $0.autorestart = .never }), ("startsecs", { $0.startsecs = 9 }),
    ("startretries", { $0.startretries = 9 }),
    ("exitcodes", { $0.exitcodes = [3] }), ("stopPlan", { $0.stopPlan = [StopStep(signal: 3, wait: .seconds(1))] }),
    ("stopasgroup", { $0.stopasgroup = true }), ("killasgroup", { $0.killasgroup = true }),
    ("treePlan", { $0.treePlan = [] }),
    ("dependencies", { $0.dependencies = [Dependency(program: "other", condition: .ready)] }),
    ("ready", { $0.readiness = probed }),
    ("readyDeadline", { $0.readyDeadline = .seconds(9) }), ("liveness", { $0.liveness = probed }),
    ("backoff", { $0.backoff = Backoff(initial: .zero, factor: 1, maximum: .zero, jitter: 0) }),
    ("critical", { $0.critical = true }), ("cpus", { $0.pinning.cpus = .classes([.efficiency]) }),
    ("threads", { $0.pinning.threads = .onePerCore }), ("policy", { $0.pinning.policy = .batch }),
    ("nice", { $0.execution.nice = 5 }), ("ionice", { $0.execution.ionice = .idle }),
  ]

  @Test func whatNeedsARestartAndWhatDoesNot() {
    for (name, change) in Self.restarting + Self.adjusting {
      let restarts = Self.restarting.contains { $0.0 == name }
      let world = up([program("x"), program("other")])
      let result = summary(world.ask(.reload(changed(world.core.spec) { change(&$0.programs[0]) })))
      #expect(result?.changed == (restarts ? ["x"] : []), "\(name)")
      #expect(result?.adjusted == (restarts ? [] : ["x"]), "\(name)")
      world.run(.seconds(5))
      #expect(world.spawns("x").count == (restarts ? 2 : 1), "\(name)")
      var expected = program("x")
      change(&expected)
      #expect(world.core.spec(of: world.id("x")) == expected, "\(name)")
    }
  }

  @Test func aChangedListenerRestartsItsProgram() {
    let world = up([program("x")])
    var listener = ListenerSpec(name: "http", address: .tcp(host: "*", port: 1))
    listener.program = "x"
    listener.fallback = .health
    let result = summary(world.ask(.reload(changed(world.core.spec) { $0.listeners = [listener] })))
    #expect(result?.changed == ["x"])
    world.run(.seconds(5))
    #expect(world.spawns("x").count == 2)
    #expect(world.listenerModes["http"] == .leaveToProgram)
  }

  @Test func aNewStopPlanHoldsAtOnce() {
    let world = up([program("x")]) { _, _ in Behaviour(stopDelay: nil) }
    world.request(
      .reload(changed(world.core.spec) { $0.programs[0].stopPlan = [StopStep(signal: 3, wait: .seconds(1))] }))
    world.request(.stop(target: "x", wait: true, now: false))
    world.run(.seconds(2))
    #expect(world.signals("x") == [3, 9])
  }

  @Test func newChecksHoldAtOnce() {
    let world = up([program("x")]) { _, _ in Behaviour(hangsAfter: .zero) }
    var check = probed
    check.interval = .seconds(1)
    check.failures = 1
    world.request(.reload(changed(world.core.spec) { [check] in $0.programs[0].liveness = check }))
    world.run(.seconds(3))
    #expect(world.spawns("x").count == 2)
  }

  @Test func whatAStartWaitsForIsNewAtOnce() {
    /// The state a second before and right at 10 s after the boot, when the change is made after 4 s.
    func states(_ old: @escaping (inout ProgramSpec) -> Void, _ new: (inout ProgramSpec) -> Void) -> [ProcessState?] {
      let world = World(configuration([program("x", old)])) { _, _ in Behaviour(readyAfter: nil) }
      world.send(.boot)
      world.run(.seconds(4))
      world.request(.reload(changed(world.core.spec) { new(&$0.programs[0]) }))
      world.run(.milliseconds(5999))
      let before = world.state("x")
      world.run(.milliseconds(1))
      return [before, world.state("x")]
    }
    #expect(states({ $0.startsecs = 100 }, { $0.startsecs = 10 }) == [.starting, .running])
    #expect(states({ $0.startsecs = 5 }, { $0.startsecs = 100 }) == [.starting, .starting])
    for probe in [notifying, probed] {
      let ready = { (spec: inout ProgramSpec) in spec.readiness = probe }
      let until = { (seconds: Double) in { (spec: inout ProgramSpec) in spec.readyDeadline = .seconds(seconds) } }
      #expect(states(ready, until(10)) == [.starting, .stopping])
      #expect(
        states(
          {
            ready(&$0); until(100)(&$0)
          }, until(10)) == [.starting, .stopping])
      #expect(
        states(
          {
            ready(&$0); until(5)(&$0)
          }, { $0.readyDeadline = nil }) == [.starting, .starting])
    }
  }

  @Test func nothingStartsOnWhatAnotherProgramWasBefore() {
    // x waits for c only; then it waits for b alone, which had completed and is now a service that is not ready.
    let world = up([
      program("x") {
        $0.dependencies = [Dependency(program: "b", condition: .ready), Dependency(program: "c", condition: .ready)]
      },
      program("b") { $0.kind = .oneshot }, program("c") { $0.autostart = false },
    ]) { name, run in
      name == "b" && run == 1 ? Behaviour(life: .seconds(1), status: .exited(0)) : Behaviour(readyAfter: nil)
    }
    #expect(world.snapshot("b")?.isCompleted == true && world.spawns("x").isEmpty)
    world.request(
      .reload(
        changed(world.core.spec) {
          $0.programs[0].execution.arguments.append("y")
          $0.programs[0].dependencies.removeLast()
          $0.programs[1].kind = .service
          $0.programs[1].readiness = notifying
        }))
    world.run(.seconds(5))
    #expect(world.spawns("x").isEmpty)
    #expect(world.snapshot("x")?.waitingFor.count == 1)
    #expect(world.core.spec(of: world.id("b"))?.kind == .service)
  }

  @Test func whatAPersonStoppedStaysDown() {
    let world = up([program("x")])
    world.request(.stop(target: "x", wait: true, now: false))
    world.run(.seconds(1))
    world.request(.reload(changed(world.core.spec) { $0.programs[0].execution.arguments = ["/bin/y"] }))
    world.run(.seconds(5))
    #expect(world.state("x") == .stopped)
    #expect(world.core.spec(of: world.id("x"))?.execution.arguments == ["/bin/y"])
  }

  @Test func whatHadFailedIsStartedWithItsNewConfiguration() {
    let world = up([program("x") { $0.startretries = 0 }]) { _, run in
      run == 1 ? Behaviour(spawn: .refused(notFound)) : Behaviour()
    }
    #expect(world.state("x") == .fatal)
    world.request(.reload(changed(world.core.spec) { $0.programs[0].execution.arguments = ["/bin/y"] }))
    world.run(.seconds(5))
    #expect(world.state("x") == .running)
  }

  @Test func aReloadIsLegalInEveryState() {
    let states: [(String, (World) -> Void)] = [
      (
        "STARTING",
        {
          $0.request(.restart(target: "x", wait: false)); $0.run(.milliseconds(1200))
        }
      ),
      ("RUNNING", { _ in }), ("STOPPING", { $0.request(.stop(target: "x", wait: false, now: false)) }),
      ("restarting", { $0.request(.restart(target: "x", wait: false)) }),
      (
        "STOPPED",
        {
          $0.request(.stop(target: "x", wait: false, now: false)); $0.run(.seconds(3))
        }
      ),
      (
        "EXITED",
        {
          $0.kill("x", .exited(0)); $0.run(.zero)
        }
      ),
      (
        "crashed",
        {
          $0.kill("x", .exited(1)); $0.run(.zero)
        }
      ),
    ]
    for (name, reach) in states {
      for isRemoved in [false, true] {
        let world = up([program("x"), program("y")]) { _, _ in Behaviour(stopDelay: .seconds(1)) }
        reach(world)
        let before = world.core.spec
        world.request(
          .reload(
            changed(before) {
              if isRemoved { $0.programs.remove(at: 0) } else { $0.programs[0].execution.arguments = ["/bin/z"] }
            }))
        world.run(.seconds(10))
        if isRemoved {
          #expect(world.core.resolve("x") == nil, "\(name)")
        } else {
          #expect(world.core.spec(of: world.id("x"))?.execution.arguments == ["/bin/z"], "\(name)")
          #expect(
            world.state("x") == (["STOPPING", "STOPPED", "EXITED"].contains(name) ? world.state("x") : .running),
            "\(name)")
        }
        #expect(world.state("y") == .running)
      }
    }
  }

  @Test func whatGoesAndComesBackIsReplaced() {
    let world = up([program("x")]) { _, _ in Behaviour(stopDelay: .seconds(2)) }
    let id = world.id("x")
    let old = world.core.spec
    world.request(.reload(changed(old) { $0.programs = [] }))
    world.run(.seconds(1))
    #expect(world.core.snapshot(of: id, at: world.now)?.state == .stopping)
    let result = summary(world.ask(.reload(old)))
    #expect(result?.changed == ["x"])
    world.run(.seconds(5))
    #expect(world.id("x") == id)
    #expect(world.state("x") == .running)
  }

  @Test func aRemovedProgramsChildrenAreEndedFirst() {
    let world = up([program("x")]) { _, _ in
      Behaviour(life: .seconds(2), leavesBehind: true, leftStopDelay: .seconds(1))
    }
    #expect(world.state("x") == .exited)
    let id = world.id("x")
    world.request(.reload(changed(world.core.spec) { $0.programs = [] }))
    #expect(world.core.snapshot(of: id, at: world.now) != nil)
    world.run(.seconds(2))
    #expect(world.core.snapshot(of: id, at: world.now) == nil)
  }

  /// Gone and back before its children are: as if it were new, whatever it was when it went.
  @Test func whatComesBackWhileItsChildrenAreEndedIsStarted() {
    for (status, state) in [(Int32(0), ProcessState.exited), (1, .backoff)] {
      let world = up([
        program("x") {
          $0.startsecs = 0
          $0.backoff = Backoff(initial: .seconds(60), factor: 1, maximum: .seconds(60), jitter: 0)
        }
      ]) { _, run in
        // The second run ends at 4.5 s, and what it leaves behind half a second after the reloads at 5 s.
        run <= (status == 0 ? 1 : 2)
          ? Behaviour(
            life: .seconds(run == 1 ? 2.9 : 0.6), status: .exited(status), leavesBehind: true,
            leftStopDelay: .seconds(1))
          : Behaviour(life: .seconds(1000))
      }
      #expect(world.state("x") == state, "\(status)")
      let old = world.core.spec
      world.request(.reload(changed(old) { $0.programs = [] }))
      world.request(.reload(old))
      world.run(.seconds(5))
      #expect(world.state("x") == .running, "\(status)")
    }
  }

  @Test func sighupAsksForTheConfigurationAndKeepsTheOldOneWhenItIsBroken() {
    let world = up([program("x")])
    world.signal(1)
    #expect(world.actions.last?.action == .rereadConfiguration(by: .signal(1, pid: 0, uid: 0)))
    world.run(.seconds(1))
    #expect(world.has("cannot apply the new configuration, the running one stays: cannot parse it"))
    #expect(world.state("x") == .running)
    world.newSpec = configuration([program("y")])
    world.signal(1)
    world.run(.seconds(5))
    #expect(world.state("y") == .running)
    #expect(world.core.resolve("x") == nil)
  }

  @Test func aReloadDuringTheBootKeepsTheOrder() {
    let world = World(
      configuration([
        program("db") {
          $0.priority = 1
          $0.readiness = notifying
        }, program("api") { $0.priority = 2 },
      ])
    ) { name, _ in Behaviour(readyAfter: .seconds(5)) }
    world.send(.boot)
    world.run(.seconds(1))
    world.request(.reload(changed(world.core.spec) { $0.programs[1].startsecs = 3 }))
    world.run(.seconds(2))
    #expect(world.spawns("api").isEmpty)
    world.run(.seconds(10))
    #expect(world.state("api") == .running)
    #expect(world.core.health(at: world.now).started.passed)
  }
}
