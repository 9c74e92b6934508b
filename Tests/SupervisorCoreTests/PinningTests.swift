import Testing

@testable import SupervisorCore

/// `ctl pin` and reload: what holds for a program's CPUs, from when, and until when.
struct PinningTests {
  private func up(_ programs: [ProgramSpec]) -> World {
    let world = World(configuration(programs)) { _, _ in Behaviour() }
    world.send(.boot)
    world.run(.seconds(5))
    return world
  }

  private func pins(_ world: World) -> [RunID] {
    world.actions.compactMap { if case .pin(let run) = $0.action { run } else { nil } }
  }

  private func reload(_ world: World, _ change: (inout ProgramSpec) -> Void) {
    var new = world.core.spec
    change(&new.programs[0])
    world.request(.reload(new))
  }

  @Test func aPinHoldsUntilItIsTakenBack() throws {
    let world = up([program("x") { $0.pinning.cpus = .classes([.efficiency]) }, program("y")])
    let x = world.id("x")
    let run = try #require(world.core.run(of: x))
    let answer = world.ask(.pin(target: "x", LivePin(cpus: .list(NumberSet([3...4])))))
    #expect(answer == .processes([ProcessResult(name: "x", group: "x")]))
    #expect(pins(world) == [run])
    // The pin is done before it is answered.
    let done = world.actions.suffix(2).map(\.action)
    #expect(done.first == .pin(run), "\(done)")
    #expect(world.core.pinning(of: x)?.cpus == .list(NumberSet([3...4])))
    #expect(world.core.pinning(of: world.id("y")) == PinningSpec())

    world.request(.pin(target: "x", LivePin(threads: .onePerCore, policy: .idle)))
    #expect(world.core.pinning(of: x)?.cpus == .list(NumberSet([3...4])), "what was not named stays")
    #expect(world.core.pinning(of: x)?.threads == .onePerCore && world.core.pinning(of: x)?.policy == .idle)

    world.request(.restart(target: "x", wait: false))
    world.run(.seconds(5))
    #expect(world.state("x") == .running && world.core.pinning(of: x)?.cpus == .list(NumberSet([3...4])))

    world.request(.pin(target: "x", nil))
    #expect(world.core.pinning(of: x) == world.core.spec(of: x)?.pinning && world.core.livePin(of: x) == nil)
    #expect(pins(world).last == world.core.run(of: x))
  }

  @Test func whereTheSupervisorItselfRunsIsSettledAtItsStart() {
    let world = up([program("x")])
    var new = world.core.spec
    new.cpus = .classes([.lowPower])
    world.request(.reload(new))
    #expect(world.core.spec.cpus == .any)
    func warnings() -> Int {
      world.lines.count { $0.0 == .warn && $0.1.contains("hivesupd itself moves when it is started again") }
    }
    #expect(warnings() == 1)
    world.request(.reload(world.core.spec))
    #expect(warnings() == 1)
  }

  @Test func prioritiesArePinnedAsTheRestIs() throws {
    let world = up([
      program("x") {
        $0.execution.nice = 2
        $0.pinning.policy = .batch
      }
    ])
    let x = world.id("x")
    #expect(world.core.priorities(of: x) == Priorities(nice: 2))
    world.request(.pin(target: "x", LivePin(nice: 7)))
    world.request(.pin(target: "x", LivePin(cpus: .classes([.efficiency]), ionice: .idle)))
    #expect(world.core.priorities(of: x) == Priorities(nice: 7, ionice: .idle) && pins(world).count == 2)
    #expect(world.core.livePin(of: x)?.text == "efficiency, nice 7, I/O idle")
    #expect(world.core.pinning(of: x)?.policy == .batch)
    world.request(.restart(target: "x", wait: false))
    world.run(.seconds(5))
    #expect(world.core.priorities(of: x) == Priorities(nice: 7, ionice: .idle))
    #expect(world.core.spec(of: x)?.execution.nice == 2, "the configuration stays what it is")

    // A reload takes back what it says something new about, and nothing else.
    reload(world) { $0.execution.nice = 3 }
    #expect(world.core.priorities(of: x) == Priorities(nice: 3, ionice: .idle))
    #expect(world.core.livePin(of: x) == LivePin(cpus: .classes([.efficiency]), ionice: .idle))
    reload(world) { $0.pinning.policy = .idle }
    #expect(world.core.livePin(of: x) == LivePin(ionice: .idle))
    reload(world) { $0.execution.ionice = .bestEffort(3) }
    #expect(
      world.core.livePin(of: x) == nil && world.core.priorities(of: x) == Priorities(nice: 3, ionice: .bestEffort(3)))
    world.request(.pin(target: "x", LivePin(nice: -1)))
    world.request(.pin(target: "x", nil))
    #expect(world.core.priorities(of: x) == Priorities(nice: 3, ionice: .bestEffort(3)))
  }

  @Test func aPinOfWhatIsDownCountsAtItsStart() {
    let world = up([program("x") { $0.autostart = false }])
    world.request(.pin(target: "x", LivePin(cpus: .classes([.lowPower]))))
    #expect(pins(world) == [])
    #expect(world.core.pinning(of: world.id("x"))?.cpus == .classes([.lowPower]))
  }

  @Test func aReloadIsTheLastWordWhereItSaysSomethingNew() {
    for (name, change, keeps) in [
      ("another policy", { $0.pinning.policy = .batch }, false), ("other CPUs", { $0.pinning.cpus = .any }, false),
      ("nice", { $0.execution.nice = 3 }, true), ("nothing", { _ in }, true), ("priority", { $0.priority = 5 }, true),
      ("command", { $0.execution.arguments = ["/bin/y"] }, true),
      (
        "command and CPUs",
        {
          $0.execution.arguments = ["/bin/y"]
          $0.pinning.cpus = .any
        }, false
      ),
    ] as [(String, (inout ProgramSpec) -> Void, Bool)] {
      let world = up([program("x") { $0.pinning.cpus = .classes([.efficiency]) }])
      world.request(.pin(target: "x", LivePin(cpus: .classes([.performance]))))
      reload(world, change)
      world.run(.seconds(5))
      #expect((world.core.livePin(of: world.id("x")) != nil) == keeps, "\(name)")
      #expect(world.state("x") == .running)
    }
  }

  @Test func onlyAChangeOfHowItIsScheduledIsAppliedToWhatRuns() {
    for (name, change, count) in [
      ("CPUs", { $0.pinning.cpus = .classes([.efficiency]) }, 1), ("threads", { $0.pinning.threads = .onePerCore }, 1),
      ("policy", { $0.pinning.policy = .idle }, 1), ("nice", { $0.execution.nice = 1 }, 1),
      ("ionice", { $0.execution.ionice = .idle }, 1), ("priority", { $0.priority = 3 }, 0), ("nothing", { _ in }, 0),
    ] as [(String, (inout ProgramSpec) -> Void, Int)] {
      let world = up([program("x")])
      reload(world, change)
      world.run(.seconds(1))
      #expect(pins(world).count == count, "\(name)")
      #expect(world.spawns("x").count == 1, "\(name)")
    }
  }

  @Test func aGroupIsPinnedAsOneAndAnUnknownNameIsNot() {
    let world = up([program("x"), program("y")])
    guard case .processes(let results)? = world.ask(.pin(target: "all", LivePin(policy: .batch))) else {
      Issue.record("no results")
      return
    }
    #expect(results.map(\.name) == ["x", "y"] && pins(world).count == 2)
    guard case .fault(let fault, _)? = world.ask(.pin(target: "z", LivePin(policy: .batch))) else {
      Issue.record("no fault")
      return
    }
    #expect(fault == .badName)
  }

  @Test func textsAreReadAsTheyAreWritten() throws {
    for text in ["any", "performance", "low-power,efficiency", "efficiency,performance,low-power"] {
      #expect(try CPUDemand(classes: text).text == text)
    }
    for text in ["0", "0,2,4-6", "8191", "0-8191"] { #expect(try CPUDemand(cpus: text).text == text) }
    for text in ["other", "batch", "idle", "fifo:1", "fifo:99", "rr:50"] {
      #expect(try SchedulingPolicy(text).text == text)
    }
    for text in ["idle", "best-effort:0", "best-effort:7", "realtime:3"] { #expect(try IOPriority(text).text == text) }
    #expect(try IOPriority(" Best-Effort ") == .bestEffort(4) && IOPriority("realtime: 0") == .realtime(0))
    for text in ["default", "local", "bind:0", "interleave:0-3,8", "preferred:7"] {
      #expect(try MemoryPolicy(text).text == text)
    }
  }

  @Test func everyOtherTextIsRefusedWithARemedy() {
    let texts = [
      "", " ", ",", "-", "1-", "-1", "+1", "1,,2", "1..2", "0x1", "99999999999999999999", "8192", "2-1", "any,any",
      "a:b", ":",
      "fifo:", "fifo:100", "fifo:-1", "rr:1:2", "bind:", "bind:x", "preferred:0,1", "é", "0\u{0}", "1 2", "low power",
      "best-effort:", "best-effort:8", "realtime:-1", "realtime:07", "idle:1",
    ]
    for text in texts {
      for read in [
        { _ = try CPUDemand(classes: text) }, { _ = try CPUDemand(cpus: text) }, { _ = try SchedulingPolicy(text) },
        { _ = try MemoryPolicy(text) }, { _ = try ThreadUse(text) }, { _ = try IOPriority(text) },
      ] as [() throws -> Void] {
        let problem = #expect(throws: PinningProblem.self, "'\(text)'") { try read() }
        #expect(problem?.remedy.isEmpty == false && problem?.message.isEmpty == false)
      }
    }
  }

  @Test func rangesAreMergedWhateverTheirOrder() {
    #expect(NumberSet([4...6, 0...0, 5...9, 1...2, 11...11]).ranges == [0...2, 4...9, 11...11])
    #expect(NumberSet([Int.min...Int.min, Int.max...Int.max, 0...Int.max]).ranges == [Int.min...Int.min, 0...Int.max])
    #expect(NumberSet([]).text == "")
  }
}
