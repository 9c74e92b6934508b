// The pinner against a kernel of the test's: who is moved, when, and with how many questions.

import CPUTopology
import Glibc
import Testing

@testable import HivePostgresCore

/// Processes with titles and masks, and how often each question was asked.
private final class FakeKernel: @unchecked Sendable {
  struct Process {
    var title: String
    var mask: CPUSet
    var start: UInt64 = 1
    var threads: [pid_t] = []
  }

  var processes: [pid_t: Process] = [:]
  /// In the order of their births.
  var children: [pid_t] = []
  var tellsChildren = true
  var own: CPUSet = [0, 1]
  var error: Int32 = 0
  /// What the kernel takes of a mask.
  var cpuset: CPUSet = [0, 1]
  var moves: [(pid: pid_t, cpus: String)] = []
  var questions = 0
  var titlesRead = 0
  var lines: [String] = []
  var record: PinRecord?
  static let postmaster: pid_t = 100

  init() { processes[Self.postmaster] = Process(title: "/bin/postgres -D /v", mask: [0, 1]) }

  var kernel: PinKernel {
    PinKernel(
      children: { [self] pid in
        questions += 1
        guard tellsChildren, processes[pid] != nil else { return nil }
        return Array(children.map { "\($0) " }.joined().utf8)
      },
      title: { [self] pid in
        questions += 1
        titlesRead += 1
        return processes[pid]?.title
      },
      mask: { [self] pid in
        questions += 1
        if pid == 0 { return own }
        return processes[pid]?.mask
      },
      isOn: { [self] cpus, pid in
        questions += 1
        if pid == 0 { return own == cpus }
        return processes[pid].map { $0.mask == cpus }
      },
      setMask: { [self] cpus, pid in
        questions += 1
        if error != 0 { return error }
        guard !cpuset.isDisjoint(with: cpus) else { return EINVAL }
        let cpus = cpus.intersection(cpuset)
        moves.append((pid, cpus.list))
        if pid == 0 { own = cpus }
        processes[pid]?.mask = cpus
        return 0
      },
      otherThreads: { [self] pid in processes[pid]?.threads ?? [] })
  }

  /// A child as the postmaster forks it: with its mask, and its title until it has one of its own.
  func fork(_ pid: pid_t, _ title: String? = nil) {
    guard let parent = processes[Self.postmaster] else { return }
    processes[pid] = Process(title: title ?? parent.title, mask: parent.mask)
    children.append(pid)
  }

  func exit(_ pid: pid_t) {
    processes[pid] = nil
    children.removeAll { $0 == pid }
  }

  private func info(_ pid: pid_t) -> ProcessInfo? {
    let start = processes[pid]?.start ?? 0
    let parent = pid == Self.postmaster ? 1 : Self.postmaster
    return ProcessInfo(
      stat: "\(pid) (postgres) S \(parent) " + Array(repeating: "0", count: 17).joined(separator: " ") + " \(start) 0")
  }

  var server: (postmaster: ProcessInfo, children: [ProcessInfo])? {
    guard processes[Self.postmaster] != nil, let postmaster = info(Self.postmaster) else { return nil }
    return (postmaster, children.compactMap(info))
  }

  func mask(_ pid: pid_t) -> String? { processes[pid]?.mask.list }

  func pinner(_ environment: [String: String] = ["HIVE_PG_PIN": "by-class"], machine: Machine? = nil) throws -> Pinner {
    var classes = environment
    classes["HIVE_CPU_PERFORMANCE"] = "0"
    classes["HIVE_CPU_EFFICIENCY"] = "1"
    return Pinner(
      settings: try PinSettings(environment: environment), environment: classes, machine: machine ?? Self.twoCPUs(),
      kernel: kernel, console: Console { self.lines.append($0) },
      record: PinRecord.Store(read: { self.record }, write: { self.record = $0 }), find: { self.server })
  }

  static func twoCPUs(_ allowed: @escaping @Sendable () -> CPUSet? = { [0, 1] }) -> Machine {
    Machine(
      files: MachineFiles { name, _ in
        name == "sys/devices/system/cpu/online" || name == "sys/devices/system/cpu/possible" ? Array("0-1\n".utf8) : nil
      }, affinity: allowed)
  }
}

@Suite struct PinnerTests {
  @Test func everyoneIsMovedOnceAndBackendsNever() throws {
    let fake = FakeKernel()
    for (pid, title) in [
      (101, "postgres: checkpointer "), (102, "postgres: background writer "), (103, "postgres: walwriter "),
      (104, "postgres: autovacuum launcher "), (105, "postgres: logical replication launcher "),
      (106, "postgres: hive hive_genie [local] idle"),
    ] { fake.fork(pid_t(pid), title) }
    var pinner = try fake.pinner()
    pinner.look(fake.server, state: .normal)
    for pid in [pid_t(100), 101, 102, 103, 106] { #expect(fake.mask(pid) == "0", "\(pid)") }
    for pid in [pid_t(104), 105] { #expect(fake.mask(pid) == "1", "\(pid)") }
    // The monitor itself, the postmaster, and six more.
    #expect(fake.moves.count == 8 && fake.moves.first?.pid == 0 && fake.moves.dropFirst().first?.pid == 100)
    fake.moves = []
    // A backend is right from birth; an autovacuum worker is moved.
    fake.fork(107, "postgres: hive hive_genie [local] SELECT")
    fake.fork(108, "postgres: autovacuum worker hive_genie")
    pinner.poll()
    #expect(fake.moves.map(\.pid) == [108] && fake.mask(107) == "0" && fake.mask(108) == "1")
    let report = try #require(pinner.document())
    #expect(report.roles.allSatisfy { $0.elsewhere == 0 } && report.refused.isEmpty)
    #expect(report.roles.first { $0.name == "backends" }?.processes == 3)
    #expect(report.roles.first { $0.name == "autovacuum" }?.processes == 2)
  }

  @Test func onlyMasksAreAskedForWhenNothingHasChanged() throws {
    let fake = FakeKernel()
    for pid in 0..<100 { fake.fork(pid_t(200 + pid), "postgres: hive hive_genie [local] idle") }
    var pinner = try fake.pinner()
    pinner.look(fake.server, state: .normal)
    fake.questions = 0
    fake.titlesRead = 0
    fake.moves = []
    for _ in 0..<50 { pinner.poll() }
    // The list of children, and one question each for them, the postmaster and the monitor.
    #expect(fake.questions == 50 * 103 && fake.titlesRead == 0 && fake.moves.isEmpty)
    // One that comes and one that goes cost their own questions only.
    fake.exit(200)
    fake.fork(300, "postgres: hive hive_genie [local] idle")
    fake.questions = 0
    pinner.poll()
    // Besides 102 that are there (the one that went is still asked for), its title and its mask.
    #expect(fake.titlesRead == 1 && fake.questions == 103 + 2)
  }

  @Test func aChildWithoutATitleIsAskedAgain() throws {
    let fake = FakeKernel()
    var pinner = try fake.pinner()
    pinner.look(fake.server, state: .normal)
    fake.fork(110)
    for _ in 0..<3 { pinner.poll() }
    #expect(fake.mask(110) == "0")
    // The list is the same as before, and yet it is looked at.
    fake.processes[110]?.title = "postgres: autovacuum worker hive_genie"
    pinner.poll()
    #expect(fake.mask(110) == "1")
    // A program that the postmaster runs is not the server's.
    fake.fork(111, "sh -c something")
    fake.processes[111]?.mask = [0, 1]
    pinner.poll()
    fake.questions = 0
    pinner.poll()
    #expect(fake.mask(111) == "0-1" && fake.questions == 4)
    // One that ends between the list and the read is nobody.
    fake.children.append(112)
    pinner.poll()
    fake.exit(112)
    pinner.poll()
    #expect(pinner.document()?.roles.map(\.processes).reduce(0, +) == 3)
  }

  @Test func whatSomebodyElseMovedComesBack() throws {
    let fake = FakeKernel()
    fake.fork(101, "postgres: walwriter ")
    fake.fork(102, "postgres: hive hive_genie [local] idle")
    fake.processes[101]?.threads = [1011]
    fake.processes[1011] = .init(title: "", mask: [0, 1])
    var pinner = try fake.pinner()
    pinner.look(fake.server, state: .normal)
    #expect(fake.mask(1011) == "0")
    for pid in [pid_t(100), 101, 102] { fake.processes[pid]?.mask = [0, 1] }
    #expect(pinner.document()?.roles.map(\.elsewhere).reduce(0, +) == 3)
    pinner.look(fake.server, state: .normal)
    #expect(pinner.document()?.roles.map(\.elsewhere).reduce(0, +) == 0)
  }

  /// The supervisor has given the whole tree new CPUs: no check has to come for the roles to have theirs again.
  @Test func whatSomebodyElseMovedComesBackBetweenTwoChecks() throws {
    let fake = FakeKernel()
    for (pid, title) in [
      (101, "postgres: walwriter "), (102, "postgres: autovacuum launcher "), (103, "sh -c archive"),
      (104, "postgres: hive hive_genie [local] idle"),
    ] { fake.fork(pid_t(pid), title) }
    var pinner = try fake.pinner()
    pinner.look(fake.server, state: .normal)
    for pid in [pid_t(100), 101, 102, 103, 104] { fake.processes[pid]?.mask = [0, 1] }
    fake.own = [0, 1]
    pinner.poll()
    #expect([100, 101, 102, 103, 104].map { fake.mask($0) } == ["0", "0", "1", "0-1", "0"] && fake.own == [1])
    // One of them alone.
    fake.processes[102]?.mask = [0]
    pinner.poll()
    #expect(fake.mask(102) == "1")
    fake.moves = []
    pinner.poll()
    #expect(fake.moves.isEmpty)
  }

  /// A kernel that says no, or that takes a part of the mask, is not asked four times a second.
  @Test func whatTheKernelDoesByHalfIsTriedWithTheNextCheck() throws {
    let fake = FakeKernel()
    fake.fork(101, "postgres: autovacuum launcher ")
    var pinner = try fake.pinner(["HIVE_PG_PIN": "by-class", "HIVE_PG_PIN_AUTOVACUUM": "0-1"])
    pinner.look(fake.server, state: .normal)
    #expect(fake.mask(101) == "0-1")
    fake.cpuset = [1]
    fake.processes[101]?.mask = [1]
    fake.moves = []
    for _ in 0..<10 { pinner.poll() }
    #expect(fake.moves.map(\.pid) == [101, 101, 101, 101] && fake.mask(101) == "1")
    pinner.look(fake.server, state: .normal)
    #expect(fake.moves.count == 5)
    fake.cpuset = [0, 1]
    pinner.look(fake.server, state: .normal)
    #expect(fake.mask(101) == "0-1")
    // Refused.
    fake.error = EPERM
    fake.processes[101]?.mask = [0]
    pinner.poll()
    fake.questions = 0
    pinner.poll()
    #expect(fake.questions == 3 && fake.lines.count { $0.hasPrefix("warning") } == 1)
  }

  /// The cpuset has changed and the kernel has moved everybody: that is a new plan, not a quarrel with the kernel.
  @Test func aChangedCpusetIsNoticedBetweenTwoChecks() throws {
    final class Allowed: @unchecked Sendable { var cpus: CPUSet = [0, 1] }
    let allowed = Allowed()
    let fake = FakeKernel()
    fake.fork(101, "postgres: walwriter ")
    var pinner = try fake.pinner(machine: FakeKernel.twoCPUs { allowed.cpus })
    pinner.look(fake.server, state: .normal)
    allowed.cpus = [1]
    fake.cpuset = [1]
    for pid in [pid_t(100), 101] { fake.processes[pid]?.mask = [1] }
    pinner.poll()
    #expect(fake.mask(100) == "1" && fake.mask(101) == "1" && pinner.plan?[.walWriter].placement.cpus == [1])
    #expect(!fake.lines.contains { $0.hasPrefix("warning") }, "\(fake.lines)")
  }

  @Test func masksAreComparedWhole() throws {
    let kernel = PinKernel.live()
    let own = try #require(Affinity.current())
    #expect(kernel.isOn(own, 0) == true && kernel.isOn(own, getpid()) != nil)
    for other in [CPUSet(), own.union([8191]), own.union([130]), own.subtracting(CPUSet([own.last ?? 0]))] {
      #expect(kernel.isOn(other, 0) == false, "\(other)")
    }
    // PID_MAX_LIMIT on 64-bit machines is 4 Mi.
    #expect(kernel.isOn(own, 1 << 30) == nil)
  }

  @Test func aNumberGivenToAnotherProcessIsLookedAtAnew() throws {
    let fake = FakeKernel()
    fake.fork(101, "postgres: autovacuum worker hive_genie")
    var pinner = try fake.pinner()
    pinner.look(fake.server, state: .normal)
    #expect(fake.mask(101) == "1")
    fake.processes[101] = .init(title: "postgres: hive hive_genie [local] idle", mask: [0], start: 2)
    pinner.look(fake.server, state: .normal)
    #expect(fake.mask(101) == "0")
    // So is the postmaster's own.
    fake.processes[100] = .init(title: "/bin/postgres -D /v", mask: [0, 1], start: 9)
    fake.children = []
    pinner.look(fake.server, state: .normal)
    #expect(fake.mask(100) == "0" && pinner.interval == Pinner.firstInterval)
  }

  @Test func aNewServerIsFoundBetweenTwoChecks() throws {
    let fake = FakeKernel()
    fake.processes = [:]
    var pinner = try fake.pinner()
    pinner.look(nil, state: .normal)
    #expect(pinner.interval == Pinner.interval)
    pinner.poll()
    fake.processes[100] = .init(title: "/bin/postgres -D /v", mask: [0, 1])
    pinner.poll()
    #expect(fake.mask(100) == "0" && pinner.interval == Pinner.firstInterval)
    fake.fork(101, "postgres: autovacuum launcher ")
    for _ in 0..<10 { pinner.poll() }
    #expect(fake.mask(101) == "1" && pinner.interval == Pinner.interval)
    // It goes, and comes back under another number of start.
    fake.processes = [:]
    fake.children = []
    pinner.poll()
    #expect(pinner.document()?.roles.map(\.name) == ["monitor"])
    fake.processes[100] = .init(title: "/bin/postgres -D /v", mask: [0, 1], start: 5)
    pinner.poll()
    #expect(fake.mask(100) == "0")
  }

  @Test func withoutAListOfChildrenTheChecksDoIt() throws {
    let fake = FakeKernel()
    fake.tellsChildren = false
    fake.fork(101, "postgres: autovacuum launcher ")
    var pinner = try fake.pinner()
    pinner.look(fake.server, state: .normal)
    #expect(fake.mask(101) == "1")
    fake.fork(102, "postgres: autovacuum worker x")
    pinner.poll()
    #expect(fake.mask(102) == "0")
    pinner.look(fake.server, state: .normal)
    #expect(fake.mask(102) == "1")
  }

  @Test(arguments: [(EPERM, "CAP_SYS_NICE"), (EINVAL, "--cpuset-cpus"), (ENOSYS, "HIVE_PG_PIN=off")])
  func whatTheKernelRefusesIsSaidOnceAndReported(_ error: Int32, remedy: String) throws {
    let fake = FakeKernel()
    for pid in 0..<20 { fake.fork(pid_t(200 + pid), "postgres: autovacuum worker hive_genie") }
    fake.error = error
    var pinner = try fake.pinner()
    for _ in 0..<5 { pinner.look(fake.server, state: .normal) }
    let warnings = fake.lines.filter { $0.hasPrefix("warning") }
    #expect(warnings.count == 1 && warnings.first?.contains(remedy) == true, "\(warnings)")
    let refused = try #require(pinner.document()?.refused)
    #expect(refused.count == 1 && refused.first?.processes == 22 && refused.first?.remedy.contains(remedy) == true)
    // Allowed again, all is well at the next look.
    fake.error = 0
    pinner.look(fake.server, state: .normal)
    #expect(pinner.document()?.refused == [] && fake.mask(200) == "1" && fake.mask(100) == "0")
  }

  @Test func heatMovesAndRecoveryBringsBack() throws {
    let fake = FakeKernel()
    for (pid, title) in [
      (101, "postgres: walwriter "), (102, "postgres: hive hive_genie [local] SELECT"),
      (103, "postgres: autovacuum launcher "),
    ] { fake.fork(pid_t(pid), title) }
    var pinner = try fake.pinner(["HIVE_PG_PIN": "by-class", "HIVE_PG_PIN_AUTOVACUUM": "0"])
    func masks() -> [String] { [100, 101, 102, 103].map { fake.mask($0) ?? "" } }
    for (state, expected) in [
      (ThermalState.normal, ["0", "0", "0", "0"]), (.warning, ["0", "0", "0", "1"]), (.critical, ["1", "0", "1", "1"]),
      (.warning, ["0", "0", "0", "1"]), (.normal, ["0", "0", "0", "0"]), (.critical, ["1", "0", "1", "1"]),
    ] {
      pinner.look(fake.server, state: state)
      #expect(masks() == expected, "\(state)")
      // What is born in the heat is born there.
      fake.fork(150, "postgres: hive hive_genie [local] idle")
      #expect(fake.mask(150) == expected[0])
      fake.exit(150)
    }
    #expect(pinner.document()?.roles.first { $0.name == "backends" }?.isMoved == true)
    pinner.release()
    #expect(masks() == ["0", "0", "0", "0"])
  }

  @Test func aChangedCpusetIsANewPlan() throws {
    final class Allowed: @unchecked Sendable { var cpus: CPUSet = [0, 1] }
    let allowed = Allowed()
    let fake = FakeKernel()
    fake.fork(101, "postgres: walwriter ")
    fake.fork(102, "postgres: autovacuum launcher ")
    var pinner = try fake.pinner(machine: FakeKernel.twoCPUs { allowed.cpus })
    pinner.look(fake.server, state: .normal)
    #expect(fake.mask(101) == "0" && fake.mask(102) == "1")
    allowed.cpus = [1]
    pinner.look(fake.server, state: .normal)
    #expect(fake.mask(101) == "1" && fake.mask(102) == "1")
    #expect(
      pinner.document()?.roles.first { $0.name == "walwriter" }?.explanation.contains("falls to efficiency") == true)
    #expect(fake.lines.contains { $0.contains("CPUs allowed by affinity: 1") })
    allowed.cpus = [0, 1]
    pinner.look(fake.server, state: .normal)
    #expect(fake.mask(101) == "0" && fake.mask(102) == "1")
  }

  /// A reload has switched it off: the server runs on, and the monitor is another one.
  @Test func offPutsBackWhatAMonitorBeforeHasDone() throws {
    let fake = FakeKernel()
    for (pid, title) in [(101, "postgres: walwriter "), (102, "postgres: autovacuum launcher ")] {
      fake.fork(pid_t(pid), title)
    }
    func masks() -> [String] { [100, 101, 102].map { fake.mask($0) ?? "" } }
    var first = try fake.pinner()
    first.look(fake.server, state: .normal)
    #expect(masks() == ["0", "0", "1"] && fake.record?.cpus == [0, 1])
    // It dies, and the next one does not take the masks for the server's own.
    var second = try fake.pinner()
    second.look(fake.server, state: .normal)
    #expect(fake.record?.cpus == [0, 1])
    // The kernel has to allow it.
    fake.error = EPERM
    var refused = try fake.pinner(["HIVE_PG_PIN": "off"])
    refused.look(fake.server, state: .normal)
    #expect(masks() == ["0", "0", "1"] && fake.record != nil)
    fake.error = 0
    var off = try fake.pinner(["HIVE_PG_PIN": "off"])
    off.look(nil, state: .normal)
    off.look(fake.server, state: .normal)
    #expect(masks() == ["0-1", "0-1", "0-1"] && fake.record == nil && off.document() == nil)
    #expect(fake.lines.last?.contains("CPU 0-1 again") == true)
    // Whatever anybody does from here on is not its business.
    fake.processes[101]?.mask = [0]
    off.look(fake.server, state: .normal)
    off.poll()
    #expect(fake.mask(101) == "0")
  }

  /// The walwriter's CPUs are the postmaster's, the autovacuum launcher's are others.
  private func placed() throws -> FakeKernel {
    let fake = FakeKernel()
    for (pid, title) in [
      (101, "postgres: walwriter "), (102, "postgres: autovacuum launcher "), (103, "postgres: hive hive_genie idle"),
    ] { fake.fork(pid_t(pid), title) }
    fake.cpuset = [0, 1, 2, 3]
    var pinner = try fake.pinner()
    pinner.look(fake.server, state: .normal)
    #expect(fake.record?.placed[.backends] == [0] && fake.record?.placed[.autovacuum] == [1])
    return fake
  }

  /// The reload that switches it off may change the class as well, or somebody gives the word to ctl just then: the supervisor places the
  /// whole tree, and the next monitor comes after that.
  @Test(arguments: [CPUSet([2, 3]), [1], [0]]) func offLeavesANewerPlacementOfTheTreeAlone(_ cpus: CPUSet) throws {
    let fake = try placed()
    for pid in fake.processes.keys { fake.processes[pid]?.mask = cpus }
    fake.moves = []
    var off = try fake.pinner(["HIVE_PG_PIN": "off"])
    off.look(fake.server, state: .normal)
    #expect(fake.moves.isEmpty && fake.record == nil, "\(fake.moves)")
    #expect(fake.lines.last?.contains("placed anew") == true)
  }

  @Test func offLeavesAProcessAloneThatSomebodyHasPlacedSince() throws {
    let fake = try placed()
    fake.processes[103]?.mask = [3]
    // Born after the last monitor's end: nobody has given it its own place.
    fake.fork(104, "postgres: autovacuum worker hive_genie")
    var off = try fake.pinner(["HIVE_PG_PIN": "off"])
    off.look(fake.server, state: .normal)
    #expect([100, 101, 102, 103, 104].map { fake.mask($0) } == ["0-1", "0-1", "0-1", "3", "0-1"])
    #expect(fake.record == nil && fake.lines.last?.contains("1 of them") == true)
  }

  @Test func offIsContentWithACpusetThatHasNoneOfTheFormerCPUs() throws {
    let fake = try placed()
    fake.cpuset = [5]
    fake.lines = []
    var off = try fake.pinner(["HIVE_PG_PIN": "off"])
    off.look(fake.server, state: .normal)
    #expect(fake.mask(100) == "0" && fake.record == nil)
    #expect(!fake.lines.contains { $0.contains("cannot run") }, "\(fake.lines)")
  }

  /// Heat moves groups, and a monitor that ends takes that back.
  @Test func theRecordFollowsThePlan() throws {
    let fake = FakeKernel()
    fake.fork(101, "postgres: hive hive_genie idle")
    var pinner = try fake.pinner()
    pinner.look(fake.server, state: .normal)
    pinner.look(fake.server, state: .critical)
    #expect(fake.mask(101) == "1" && fake.record?.placed[.backends] == [1])
    pinner.release()
    #expect(fake.mask(101) == "0" && fake.record?.placed[.backends] == [0])
  }

  @Test func offLeavesAnotherServerAlone() throws {
    let fake = FakeKernel()
    var first = try fake.pinner()
    first.look(fake.server, state: .normal)
    // Another server under the same number, which somebody has placed on purpose.
    fake.processes[100] = .init(title: "/bin/postgres -D /v", mask: [1], start: 2)
    var off = try fake.pinner(["HIVE_PG_PIN": "off"])
    off.look(fake.server, state: .normal)
    #expect(fake.mask(100) == "1")
  }

  @Test func theRecordIsReadAsItIsWritten() throws {
    let sysfs = FakeSysfs()
    let store = PinRecord.Store.file(in: sysfs.root)
    #expect(store.read() == nil)
    let record = PinRecord(
      postmaster: ProcessIdentity(pid: 17, start: 4_711_000_000), cpus: [0, 1, 2, 8],
      placed: [.backends: [0, 2], .others: [1]])
    store.write(record)
    #expect(store.read() == record)
    for text in [
      "", "17", "17 4711", "17 4711 x", "17 4711 \n", "-1 4711 0", "17 4711 0 0", "17 4711 0 x=1", "17 4711 0 others=",
      "0 1 0", "\u{0}",
    ] {
      try sysfs.write("pinned", text)
      #expect(store.read() == nil, "\(text.debugDescription)")
    }
    store.write(nil)
    #expect(try !FileSystem.exists(Path.join(sysfs.root, "pinned")))
  }

  @Test func offAsksNothingAtAll() throws {
    let fake = FakeKernel()
    fake.fork(101, "postgres: autovacuum launcher ")
    var pinner = try fake.pinner(["HIVE_PG_PIN": "off"])
    pinner.look(fake.server, state: .critical)
    pinner.poll()
    pinner.release()
    #expect(fake.questions == 0 && pinner.interval == nil && pinner.document() == nil)
  }

  @Test func wrongClassesAreSaidOnceAndTheMachineIsAsItIs() throws {
    let fake = FakeKernel()
    fake.fork(101, "postgres: walwriter ")
    var pinner = Pinner(
      settings: try PinSettings(environment: ["HIVE_PG_PIN": "by-class"]),
      environment: ["HIVE_CPU_PERFORMANCE": "0,77"], machine: FakeKernel.twoCPUs(), kernel: fake.kernel,
      console: Console { fake.lines.append($0) }, find: { fake.server })
    for _ in 0..<3 { pinner.look(fake.server, state: .normal) }
    #expect(fake.lines.count { $0.contains("this machine has no CPU 77") } == 1 && fake.mask(101) == "0-1")
  }
}
