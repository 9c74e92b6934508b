import Testing

@testable import SupervisorCore

/// A seeded random walk: random configurations, programs that behave in every way they can, and everything that can come from outside at any time.
/// The world checks at every action (World.swift): no signal, probe or tree end for a process that is not there, no second run of a program, no
/// start before its dependencies hold or while something of the run before is alive, every request answered at most once, no gap in the events; and
/// whenever time passes, that no deadline has been missed, whatever began it (Deadlines.swift). Here: it always ends, with every request answered
/// and nothing left alive.
struct SimulationTests {
  private struct Dice {
    var numbers: RandomNumbers
    init(seed: UInt64) { numbers = RandomNumbers(seed: seed) }
    mutating func below(_ bound: Int) -> Int { Int(numbers.next() % UInt64(max(1, bound))) }
    mutating func chance(_ percent: Int) -> Bool { below(100) < percent }
    mutating func interval(upTo milliseconds: Int) -> Interval { .milliseconds(Int64(below(milliseconds + 1))) }
    mutating func pick<T>(_ items: [T]) -> T { items[below(items.count)] }
  }

  private func randomSpec(_ dice: inout Dice) -> SupervisorSpec {
    var programs: [ProgramSpec] = []
    for number in 0..<(1 + dice.below(7)) { programs.append(randomProgram("p\(number)", number, &dice)) }
    return configuration(programs) {
      if dice.chance(70) { $0.shutdownTimeout = .milliseconds(Int64(20 + dice.below(9000))) }
      if dice.chance(15) { $0.startTimeout = .seconds(Double(1 + dice.below(60))) }
      $0.eventCapacity = 1 + dice.below(50)
      if dice.chance(40) {
        var listener = ListenerSpec(name: "api", address: .tcp(host: "*", port: 1))
        listener.program = "p\(dice.below(programs.count))"
        listener.fallback = .health
        $0.listeners = [listener]
      }
    }
  }

  private func randomProgram(_ name: String, _ number: Int, _ dice: inout Dice) -> ProgramSpec {
    program(name) {
      if dice.chance(20) { $0.group = "g" }
      $0.priority = 100 * dice.below(4)
      $0.groupPriority = dice.chance(80) ? 999 : dice.below(3)
      $0.autostart = dice.chance(85)
      $0.autorestart = dice.pick([.never, .unexpected, .always])
      $0.startsecs = dice.below(3)
      $0.startretries = dice.below(5) - 1
      if dice.chance(20) { $0.kind = .oneshot }
      if dice.chance(10), let cron = try? CronExpression(dice.pick(["* * * * *", "*/5 * * * *", "0 3 * * *"])) {
        $0.kind = .scheduled(Schedule(expression: "", zoneName: "UTC", cron: cron, zone: .utc))
      }
      $0.stopPlan = (0...dice.below(3)).map { _ in
        StopStep(signal: dice.pick([15, 2, 3]), wait: dice.interval(upTo: 3000))
      }
      $0.treePlan = (0..<dice.below(3)).map { _ in StopStep(signal: 15, wait: dice.interval(upTo: 1000)) }
      $0.stopasgroup = dice.chance(20)
      if dice.chance(40) {
        $0.readiness = dice.chance(50) ? notifying : probed
        if dice.chance(60) { $0.readyDeadline = .milliseconds(Int64(50 + dice.below(8000))) }
      }
      if dice.chance(30) {
        $0.liveness = dice.chance(25) ? notifying : probed
        $0.liveness?.interval = .milliseconds(Int64(50 + dice.below(3000)))
        $0.liveness?.failures = 1 + dice.below(3)
      }
      if dice.chance(40) {
        $0.backoff = Backoff(
          initial: .milliseconds(Int64(1 + dice.below(500))), factor: 2, maximum: .seconds(5), jitter: 0.2)
      }
      $0.critical = dice.chance(6)
      for _ in 0..<dice.below(3) where number > 0 {
        $0.dependencies.append(
          Dependency(program: "p\(dice.below(number))", condition: dice.pick(Dependency.Condition.allCases)))
      }
    }
  }

  private func randomBehaviour(_ dice: inout Dice) -> Behaviour {
    var behaviour = Behaviour()
    switch dice.below(12) {
    case 0: behaviour.spawn = .refused(notFound)
    case 1: behaviour.spawn = .refused(shortage)
    case 2: behaviour.spawn = .execFails(notFound)
    default: break
    }
    if dice.chance(30) { behaviour.execDelay = dice.interval(upTo: 200) }
    behaviour.exitIsReportedFirst = dice.chance(10)
    if dice.chance(50) { behaviour.life = dice.interval(upTo: dice.pick([0, 50, 1500, 20_000])) }
    behaviour.status = dice.chance(50) ? .exited(Int32(dice.below(3))) : .signaled(dice.pick([9, 11, 15]), core: false)
    behaviour.stopDelay = dice.chance(15) ? nil : dice.interval(upTo: dice.pick([0, 10, 5000]))
    if dice.chance(30) { behaviour.stopStatus = .exited(0) }
    if dice.chance(20) { behaviour.ignores = [dice.pick([15, 2, 3])] }
    behaviour.readyAfter = dice.chance(10) ? nil : dice.interval(upTo: dice.pick([0, 100, 10_000]))
    if dice.chance(15) { behaviour.unreadyAfter = dice.interval(upTo: 20_000) }
    if dice.chance(15) { behaviour.hangsAfter = dice.interval(upTo: 20_000) }
    behaviour.probeLatency = dice.interval(upTo: 1500)
    behaviour.probesAreLost = dice.chance(5)
    behaviour.leavesBehind = dice.chance(25)
    behaviour.leftStopDelay = dice.chance(25) ? nil : dice.interval(upTo: 3000)
    return behaviour
  }

  /// Something that comes from outside.
  private func disturb(_ world: World, _ dice: inout Dice) {
    let names = world.core.programs.compactMap { world.core.spec(of: $0)?.namespec }
    let target = names.isEmpty ? "p0" : dice.pick(names)
    let anyTarget = dice.pick([target, target, target, "all", "g:*", "nobody", "p1"])
    switch dice.below(20) {
    case 0, 1: world.request(.start(target: anyTarget, wait: dice.chance(70)))
    case 2, 3: world.request(.stop(target: anyTarget, wait: dice.chance(70), now: dice.chance(30)))
    case 4, 5: world.request(.restart(target: anyTarget, wait: dice.chance(70)))
    case 6: world.request(.signal(target: anyTarget, signal: Int32(dice.below(70))))
    case 7, 8:
      var spec = world.core.spec
      if dice.chance(40), !spec.programs.isEmpty { spec.programs.remove(at: dice.below(spec.programs.count)) }
      for number in 0..<8 where dice.chance(25) {
        let new = randomProgram("p\(number)", number, &dice)
        if let i = spec.programs.firstIndex(where: { $0.name == new.name && $0.group == new.group }) {
          spec.programs[i] = new
          if dice.chance(50) { spec.programs[i].execution.arguments.append("x") }
        } else if !spec.programs.contains(where: { $0.name == new.name }) {
          spec.programs.append(new)
        }
      }
      if dice.chance(50) {
        world.request(.reload(spec))
      } else {
        world.newSpec = dice.chance(80) ? spec : nil
        world.signal(1)
      }
    case 9: world.wallOffset += Int64(dice.below(2_000_000) - 1_000_000) * 10_000_000
    case 10: world.send(.timeReached)
    case 11: world.kill(target, .signaled(dice.pick([9, 11, 6]), core: false))
    case 12: world.signal(dice.pick([12, 10, 28, 17, 34]))
    case 13:
      world.send(dice.chance(50) ? .listenerStalled("api", text: "12 wait") : .listenerRecovered("api"))
    case 14:
      let result = ProbeResult(passed: dice.chance(50), latency: .zero, detail: "x")
      world.send(
        .checkReported(
          program: target, ReportedCheck(name: "database", type: "sql", result: result, interval: .seconds(5))))
    case 15, 16:
      if let run = world.core.run(of: world.id(target)) {
        world.send(
          .notification(run, dice.pick([.ready, .reloading, .stopping, .watchdog, .watchdogTrigger, .status("busy")])))
      }
    case 17:
      if let run = world.core.run(of: world.id(target)), dice.chance(30) {
        world.send(.signalFailed(run, signal: 15, text: "Operation not permitted"))
      }
    case 18:
      if dice.chance(50), let id = world.asked.first { world.send(.requestAbandoned(id)) }
    default:
      // Something of a run that is over, or not yet there.
      let run = RunID(program: world.id(target), run: UInt32(dice.below(4)))
      if world.runs[run]?.isReleased ?? true, world.core.run(of: run.program) != run {
        world.send(
          dice.pick([
            .treeEnded(run), .exited(run, .exited(0), oomKilled: false), .execSucceeded(run), .spawned(run, pid: 1),
          ]))
      }
    }
  }

  private func check(_ world: World, _ seed: UInt64) {
    let report = world.core.health(at: world.now)
    if report.status != .healthy, report.reasons.isEmpty { world.defect("\(report.status) without a reason") }
    if report.services.count != world.core.programs.count { world.defect("a program is missing in the health") }
    for snapshot in world.core.snapshots(at: world.now) {
      let hasProcess = world.current[snapshot.id].map { $0.isReportedSpawned && !$0.isReportedGone } ?? false
      let isHeld = world.core.records.contains { $0.id == snapshot.id && $0.heldExit != nil }
      if snapshot.pid != 0, !hasProcess, !isHeld { world.defect("\(snapshot.namespec) has a pid and no process") }
      if hasProcess, snapshot.pid == 0 { world.defect("\(snapshot.namespec) has a process and no pid") }
      if hasProcess, snapshot.state.isStopped, snapshot.state != .unknown {
        world.defect("\(snapshot.namespec) is \(snapshot.state.name) and has a process")
      }
      if snapshot.state == .running, !hasProcess { world.defect("\(snapshot.namespec) is RUNNING without a process") }
    }
    // Whoever serves is left alone, and nobody else.
    if let listener = world.core.spec.listeners.first, world.core.hasBooted {
      let serves = world.core.programs.contains { id in
        guard let snapshot = world.core.snapshot(of: id, at: world.now) else { return false }
        return (snapshot.program == listener.program) && snapshot.state == .running && snapshot.isReady
      }
      if world.listenerModes[listener.name] == .leaveToProgram, !serves {
        world.defect("nobody accepts on \(listener.name)")
      }
    }
  }

  /// One walk; the steps it took.
  func walk(seed: UInt64, trace: Bool = false) -> Int {
    var dice = Dice(seed: seed)
    var behaviours = Dice(seed: seed ^ 0xABCD)
    let spec = randomSpec(&dice)
    let world = World(spec, seed: seed) { _, _ in randomBehaviour(&behaviours) }
    world.isQuiet = true
    world.isTracing = trace
    world.send(.boot)
    for _ in 0..<dice.below(25) {
      world.run(dice.interval(upTo: dice.pick([0, 5, 100, 3000, 30_000])))
      if world.exitStatus != nil { break }
      disturb(world, &dice)
      check(world, seed)
    }
    world.run(dice.interval(upTo: dice.pick([0, 1, 2000])))
    if world.exitStatus == nil {
      world.signal(dice.pick([15, 2, 3]))
      if dice.chance(30) {
        world.run(dice.interval(upTo: 3000))
        world.signal(15)
      }
      if dice.chance(30) { disturb(world, &dice) }
      world.run(.seconds(3600))
      if world.exitedAt == nil {
        let states = world.core.snapshots(at: world.now).map { "\($0.namespec) \($0.state.name)" }
        world.defect("it did not end: \(states)")
      }
    }
    for id in world.asked where world.answers[id] == nil {
      // Only one that was abandoned may stay without an answer.
      if world.core.requests[id] != nil { world.defect("request \(id.number) was never answered") }
    }
    for text in Set(world.defects) { Issue.record("seed \(seed): \(text)") }
    return world.steps
  }

  /// Four parts, so that they can run side by side.
  @Test(arguments: 0..<4) func randomWalksKeepEveryInvariantAndEnd(part: Int) {
    var steps = 0
    for number in 0..<1200 {
      steps += walk(seed: UInt64(part * 100_000 + number))
    }
    #expect(steps > 40_000, "the walks are long enough to mean something: \(steps) events")
  }
}
