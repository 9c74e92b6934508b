// CPUs, policies and priorities as the kernel has them, of children and of what runs; and what happens when it refuses.

import CHiveSys
import CPUTopology
import Glibc
import SupervisorCore
import Testing

@testable import SupervisorRuntime

/// The CPUs of this process, of which the tests need at least one.
private let own = Affinity.current() ?? []

@Suite("Pinning")
struct PinningTests {
  private func request(_ script: String, _ change: (inout SpawnRequest) -> Void) -> SpawnRequest {
    var request = SpawnRequest(shell(script))
    change(&request)
    return request
  }

  @Test("A child and what it starts run on exactly the CPUs that were asked for")
  func masks() throws {
    let spawner = try Spawner()
    for cpu in own.prefix(4) {
      let report = try run(
        request("cat /proc/self/status; grep Cpus_allowed_list /proc/$$/status") { $0.cpus = [cpu] }, with: spawner)
      #expect(report.field("Cpus_allowed_list") == "\(cpu)" && report.lines.last == "Cpus_allowed_list:\t\(cpu)")
    }
    #expect(try run(request("cat /proc/self/status") { _ in }, with: spawner).field("Cpus_allowed_list") == own.list)
    #expect(Affinity.current() == own, "the parent stays where it is")
  }

  @Test("Every policy that an ordinary user may set arrives, with nice and the NUMA policy")
  func policies() throws {
    let spawner = try Spawner()
    for (policy, number) in [(SchedulingPolicy.other, 0), (.batch, 3), (.idle, 5)] {
      // Field 41 of stat is the policy (proc_pid_stat(5)).
      let report = try run(
        request("cut -d' ' -f41 /proc/self/stat; nice") {
          $0.policy = policy
          $0.execution.nice = 4
        }, with: spawner)
      #expect(report.lines == ["\(number)", "4"])
    }
  }

  @Test("What the kernel refuses is told, one by one, and the program runs without it", arguments: [false, true])
  func refusals(emulated: Bool) throws {
    let spawner = try Spawner()
    if emulated { spawner.without = .sharedMemory }
    let all = RefusedSetting.Setting.allCases
    // Every subset of the settings.
    for bits in 0..<(1 << all.count) {
      let refused = all.enumerated().filter { bits >> $0.offset & 1 == 1 }.map(\.element)
      spawner.refusing = Dictionary(uniqueKeysWithValues: refused.map { ($0, EPERM) })
      let start = request("exit 7") {
        $0.cpus = own
        $0.policy = .batch
        $0.execution.nice = 3
        $0.execution.ionice = .idle
        $0.execution.memoryPolicy = .standard
      }
      let child = try spawned(spawner.start(start))
      defer { if let pidfd = child.pidfd { close(pidfd) } }
      var told = child.refused
      if let pending = child.pending { told = try conclude(pending, spawner).get() }
      #expect(Set(told.map(\.setting)).isSuperset(of: refused), "\(refused)")
      #expect(told.filter { refused.contains($0.setting) }.allSatisfy { $0.error == EPERM && !$0.requested.isEmpty })
      #expect(awaitExit(of: child.pid) == .exited(7))
    }
  }

  @Test("An empty intersection with the CPUs that there are is refused by the kernel itself")
  func emptyIntersection() throws {
    let absent = (0..<CPUSet.capacity).last { !own.contains($0) } ?? 0
    let child = try spawned(Spawner().start(request("true") { $0.cpus = [absent] }))
    defer { if let pidfd = child.pidfd { close(pidfd) } }
    #expect(child.refused == [RefusedSetting(.cpus, "\(absent)", error: EINVAL)])
    #expect(child.refused.first?.remedy?.contains("cpuset") == true)
    #expect(awaitExit(of: child.pid) == .exited(0))
  }

  @Test("A failure after a refusal is a failure", arguments: [false, true])
  func failureAfterRefusal(emulated: Bool) throws {
    let spawner = try Spawner()
    if emulated { spawner.without = .sharedMemory }
    spawner.refusing = [.nice: EPERM, .policy: EPERM]
    let start = request("true") {
      $0.execution.nice = 3
      $0.policy = .batch
      $0.execution.directory = "/no/such/directory"
    }
    #expect(try failure(start, with: spawner).stage == .directory)
  }

  @Test("Every refusal names what would allow it")
  func remedies() {
    for setting in RefusedSetting.Setting.allCases {
      for whileRunning in [false, true] {
        let refused = RefusedSetting(setting, "fifo:1", error: EPERM, whileRunning: whileRunning)
        #expect(refused.remedy?.isEmpty == false && refused.text.hasSuffix(": \(errorText(EPERM))"))
      }
      #expect(RefusedSetting.Setting(setting.flag.rawValue) == setting)
    }
    #expect(RefusedSetting.Setting(HIVE_SET_UMASK.rawValue) == nil)
  }

  @Test("Every thread of every process is set, and only those that do not keep theirs")
  func threads() throws {
    let spawner = try Spawner()
    var ends: [Int32] = [-1, -1]
    #expect(pipe(&ends) == 0)
    var start = request("sleep 1000 & sleep 1000 & echo up; wait") { _ in }
    start.descriptors = [ChildDescriptor(ends[1], as: 1)]
    let child = try spawned(spawner.start(start))
    var byte: UInt8 = 0
    #expect(read(ends[0], &byte, 1) == 1)
    let table = ProcessTable()
    func members() -> [ProcessEntry] {
      ([child.pid] + (table.children(of: child.pid) ?? [])).compactMap { table.entry($0) }.filter(\.isAlive)
    }
    defer {
      for process in members().reversed() { kill(process.pid, SIGKILL) }
      _ = awaitExit(of: child.pid)
      if let pidfd = child.pidfd { close(pidfd) }
      for end in ends { close(end) }
    }
    let first = try #require(own.first)
    var settings = ThreadSettings(cpus: [first], nice: 5, policy: .batch, ioPriority: IOPriority.idle.kernelValue)
    let outcome = settings.apply { members() }
    #expect(outcome.processes == 3 && outcome.threads == 3 && outcome.refused == [:])
    for process in members() {
      #expect(Affinity.current(of: process.pid) == [first])
      var (policy, priority, nice): (Int32, Int32, Int32) = (-1, -1, -1)
      #expect(hive_get_policy(process.pid, &policy, &priority) == 0 && policy == 3 && priority == 0)
      #expect(hive_get_nice(process.pid, &nice) == 0 && nice == 5)
    }
    settings = ThreadSettings(cpus: own, keeps: { $0 == [first] })
    _ = settings.apply { members() }
    #expect(members().allSatisfy { Affinity.current(of: $0.pid) == [first] })
    let absent = (0..<CPUSet.capacity).last { !own.contains($0) } ?? 0
    #expect(ThreadSettings(cpus: [absent]).apply { members() }.refused == [.cpus: EINVAL])
    // Who has gone meanwhile is nobody's trouble.
    let gone = ProcessEntry(
      pid: Int32.max, parent: 1, group: 1, session: 1, state: 0x52, startTime: 0, threads: 1, name: "gone")
    let nobody = ThreadSettings(nice: 1).apply { [gone] }
    #expect(nobody.threads == 0 && nobody.refused == [:])
  }
}

@Suite("The supervisor's own place")
struct OwnPlaceTests {
  /// Affinity is the thread's: nothing here waits in between.
  @Test("It moves, knows all the while what it may use, and comes home")
  func moves() throws {
    defer { _ = Affinity.set(own) }
    let first = try #require(own.first)
    let place = OwnPlace()
    #expect(place.allowed() == own && place.moved == nil && place.move(to: nil) == 0)
    #expect(place.move(to: [first]) == 0 && Affinity.current() == [first])
    #expect(place.allowed() == own && Affinity.current() == [first])
    let home = try #require(place.moved)
    #expect(HomeCPUs(text: home.text) == home)
    #expect(home.text == "all" || home.text == own.list)
    // What there is not is refused, and it is at home then.
    let absent = (0..<CPUSet.capacity).last { !own.contains($0) } ?? 0
    #expect(place.move(to: [absent]) == EINVAL && Affinity.current() == own && place.moved == nil)
    #expect(place.move(to: [first]) == 0 && place.move(to: nil) == 0 && Affinity.current() == own)
  }

  @Test("Who was started with fewer CPUs than there are has these for its home", .enabled(if: own.count > 1))
  func narrow() throws {
    defer { _ = Affinity.set(own) }
    let last = try #require(own.last)
    let narrow = own.subtracting([last])
    #expect(Affinity.set(narrow) == 0)
    let place = OwnPlace()
    let first = try #require(own.first)
    #expect(place.move(to: [first]) == 0 && place.moved?.cpus == narrow && place.allowed() == narrow)
    #expect(place.moved?.text == narrow.list)
    #expect(place.moved?.forChild() == narrow)
    // As after a cpuset that has nothing of it any more: a child gets what there is instead of being refused.
    let absent = (0..<CPUSet.capacity).last { !own.contains($0) } ?? 0
    let gone = try #require(HomeCPUs(text: "\(absent)")).forChild()
    #expect(Affinity.set(gone) == 0 && own.isSubset(of: gone))
  }

  @Test("The variable's texts")
  func texts() {
    #expect(HomeCPUs(text: "all")?.text == "all" && HomeCPUs(text: "0-1,4")?.cpus == [0, 1, 4])
    for text in ["", "none", "x", "1-", "-1"] { #expect(HomeCPUs(text: text) == nil, "'\(text)'") }
  }
}

@Suite("The machine as PID 1 sees it")
struct MachineViewTests {
  /// A machine of four CPUs that is changed under way.
  private final class Lab: @unchecked Sendable {
    var files: [String: String] = [
      "sys/devices/system/cpu/online": "0-3\n", "sys/devices/system/cpu/possible": "0-3\n",
      "sys/devices/system/cpu/present": "0-3\n", "sys/devices/cpu_core/cpus": "0-1\n",
      "sys/devices/cpu_atom/cpus": "2-3\n",
    ]
    var affinity: CPUSet = [0, 1, 2, 3]
    var reads = 0

    init() {
      for cpu in 0...3 {
        files["sys/devices/system/cpu/cpu\(cpu)/topology/thread_siblings_list"] = cpu < 2 ? "0-1\n" : "\(cpu)\n"
      }
    }

    var machine: Machine {
      Machine(
        files: MachineFiles { name, most in
          self.reads += 1
          return self.files[name].map { Array(Array($0.utf8).prefix(most)) }
        }, affinity: { self.affinity })
    }
  }

  private func pinning(_ cpus: CPUDemand, _ threads: ThreadUse = .all) -> PinningSpec {
    var spec = PinningSpec()
    spec.cpus = cpus
    spec.threads = threads
    return spec
  }

  @Test("Classes, lists and single threads come to the CPUs of this machine")
  func placements() {
    let view = MachineView(machine: Lab().machine) { _ in nil }
    for (wish, cpus) in [
      (pinning(.classes([.performance])), "0-1"), (pinning(.classes([.efficiency])), "2-3"),
      (pinning(.classes([.lowPower])), "2-3"), (pinning(.classes([.performance]), .onePerCore), "0"),
      (pinning(.any, .onePerCore), "0,2-3"), (pinning(.list(NumberSet([1...2, 7...9]))), "1-2"),
      (pinning(.list(NumberSet([7...9]))), "0-3"),
    ] as [(PinningSpec, String)] {
      #expect(view.placement(wish).cpus.list == cpus, "\(wish)")
    }
    #expect(view.isHybrid)
  }

  @Test("A list of CPUs reads no core's files, and before somebody asks nothing is read at all")
  func lazy() {
    let lab = Lab()
    let view = MachineView(machine: lab.machine) { _ in nil }
    #expect(view.look() == [] && lab.reads == 0)
    _ = view.placement(pinning(.list(NumberSet([1...1]))))
    #expect(lab.reads < 20)
    let few = lab.reads
    _ = view.placement(pinning(.classes([.performance])))
    #expect(lab.reads > few + 30)
    let many = lab.reads
    _ = view.placement(pinning(.classes([.efficiency])))
    #expect(lab.reads == many, "it is known now")
  }

  @Test("CPUs that go, and come back, are told once, and placements follow them")
  func changes() {
    let lab = Lab()
    let view = MachineView(machine: lab.machine) { _ in nil }
    let wish = pinning(.classes([.efficiency]))
    #expect(view.placement(wish).cpus == [2, 3])
    lab.files["sys/devices/system/cpu/online"] = "0-2\n"
    #expect(view.look() == ["CPU 3 went offline"] && view.look() == [])
    #expect(view.placement(wish).cpus == [2])
    lab.affinity = [0, 1]
    #expect(view.look() == ["CPUs allowed by affinity: 0-1"])
    #expect(view.placement(wish).cpus == [0, 1] && view.placement(wish).coreClass == .performance)
    lab.affinity = [0, 1, 2, 3]
    lab.files["sys/devices/system/cpu/online"] = "0-3\n"
    #expect(view.look().count == 2)
    #expect(view.placement(wish).cpus == [2, 3] && view.changes == 3)
  }

  @Test("Overrides count; those that cannot be used are told and left out")
  func overrides() {
    let view = MachineView(machine: Lab().machine) { $0 == "HIVE_CPU_PERFORMANCE" ? "3" : nil }
    #expect(view.placement(pinning(.classes([.performance]))).cpus == [3] && view.overrideProblems == [])
    let wrong = MachineView(machine: Lab().machine) { $0 == "HIVE_CPU_PERFORMANCE" ? "9" : nil }
    #expect(wrong.placement(pinning(.classes([.performance]))).cpus == [0, 1] && wrong.overrideProblems.count == 1)
  }
}

@Suite("What tells that CPUs changed")
struct CPUChangeWatchTests {
  @Test("A write to the cpuset's file is noticed, twice, and the wait is over then")
  func cpusetFile() throws {
    let scratch = try ScratchDirectory()
    let path = try scratch.file("cpuset.cpus", "0-1\n")
    let loop = try EventLoop()
    var place = CgroupPlace(version: .none, unified: nil, memory: nil)
    place.cpusetFiles = ["/no/such/file", path]
    let watch = CPUChangeWatch(loop: loop, place: place)
    #expect(watch.sources.contains("cpuset"))
    var notices = 0
    watch.changed = { notices += 1 }
    loop.settle()
    #expect(notices == 0)
    let file = open(path, O_WRONLY | O_CLOEXEC)
    writeAll(file, "1\n")
    close(file)
    #expect(loop.turns { notices >= 2 })
    loop.settle()
    #expect(notices == 2)
  }

  @Test("The files of the cgroup and of those above it are found, in both versions")
  func files() throws {
    let scratch = try ScratchDirectory()
    let root = scratch.file("cgroup")
    for directory in ["", "/cpuset", "/cpuset/a", "/cpuset/a/b"] { mkdir(root + directory, 0o755) }
    let files = ["\(root)/cpuset/a/b/cpuset.cpus", "\(root)/cpuset/a/cpuset.cpus", "\(root)/cpuset/cpuset.cpus"]
    for file in files + ["\(root)/cpuset/a/b/cgroup.procs"] { close(open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0o644)) }
    let own = try scratch.file("self", "5:cpuset:/a/b\n")
    #expect(CgroupPlace.detect(root: root, selfCgroup: own).cpusetFiles == files)

    let unified = scratch.file("unified")
    for directory in ["", "/a", "/a/b"] { mkdir(unified + directory, 0o755) }
    let wanted = ["\(unified)/a/b/cpuset.cpus", "\(unified)/a/cpuset.cpus"]
    for file in wanted + ["\(unified)/cgroup.procs", "\(unified)/a/b/cgroup.procs"] {
      close(open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0o644))
    }
    let other = try scratch.file("other", "0::/a/b\n")
    #expect(CgroupPlace.detect(root: unified, selfCgroup: other).cpusetFiles == wanted)
  }
}
