// cpu_class, cpu_affinity, cpu_smt, sched_policy and numa_policy: values, suggestions, and the printed plan.

import SupervisorCore
import Testing

@testable import SupervisorConfig

@Suite("Where a program runs")
struct PinningKeyTests {
  private func program(_ lines: String) throws -> ProgramSpec {
    let result = VirtualWorld("[supervisord]\n[program:x]\ncommand=/bin/x\n" + lines).load()
    #expect(result.warnings == [])
    return try #require(result.spec?.programs.first, "\(result.diagnostics)")
  }

  @Test func everyFormOfEveryKey() throws {
    #expect(try program("").pinning == PinningSpec())
    let demands: [(String, CPUDemand)] = [
      ("cpu_class=any", .any), ("cpu_class= Performance ", .classes([.performance])),
      ("cpu_class=low-power,efficiency", .classes([.lowPower, .efficiency])),
      ("cpu_class=efficiency , performance, low-power", .classes([.efficiency, .performance, .lowPower])),
      ("cpu_affinity=0", .list(NumberSet([0...0]))),
      ("cpu_affinity=0,2, 4 - 6", .list(NumberSet([0...0, 2...2, 4...6]))),
      ("cpu_affinity=5,0-3,2-4", .list(NumberSet([0...5]))), ("cpu_affinity=8191", .list(NumberSet([8191...8191]))),
      ("cpu_class=any\ncpu_affinity=1", .list(NumberSet([1...1]))),
    ]
    for (line, demand) in demands { #expect(try program(line).pinning.cpus == demand, "\(line)") }
    #expect(try program("cpu_smt=one-per-core").pinning.threads == .onePerCore)
    #expect(try program("cpu_smt=ALL").pinning.threads == .all)
    let policies: [(String, SchedulingPolicy)] = [
      ("other", .other), ("Batch", .batch), ("idle", .idle), ("fifo:1", .fifo(1)), ("rr: 99", .roundRobin(99)),
    ]
    for (text, policy) in policies { #expect(try program("sched_policy=\(text)").pinning.policy == policy) }
    let memory: [(String, MemoryPolicy)] = [
      ("default", .standard), ("local", .local), ("bind:0,2-3", .bind(NumberSet([0...0, 2...3]))),
      ("interleave:0-1", .interleave(NumberSet([0...1]))), ("preferred:1023", .preferred(1023)),
    ]
    for (text, policy) in memory {
      let read = try program("numa_policy=\(text)").execution.memoryPolicy
      #expect(read == policy && read?.text == text)
    }
  }

  @Test(arguments: [
    ("cpu_class=eficiency", "efficiency"), ("cpu_class=lowpower", "low-power"),
    ("cpu_smt=one-pre-core", "one-per-core"),
    ("sched_policy=bach", "batch"), ("numa_policy=prefered:1", "preferred"),
  ])
  func aMisspeltValueIsGuessed(line: String, guess: String) throws {
    let result = VirtualWorld("[supervisord]\n[program:x]\ncommand=/bin/x\n\(line)\n").load()
    #expect(result.errors.map(\.suggestion) == [guess])
    #expect(result.errors.allSatisfy { $0.line == 4 && !$0.remedy.isEmpty })
  }

  @Test func aMisspeltKeyIsGuessed() {
    let result = VirtualWorld("[supervisord]\n[program:x]\ncommand=/bin/x\ncpu_clas=any\n").load()
    #expect(result.warnings.map(\.suggestion) == ["cpu_class"])
  }

  @Test func hivesupsOwnKeysAreForNobodyElse() throws {
    func load(_ lines: String) -> ConfigurationResult {
      VirtualWorld("[supervisord]\n\(lines)\n[program:x]\ncommand=/bin/x\n").load()
    }
    for (line, demand, words) in [
      (
        "cpu_class=low-power, efficiency", .classes([.lowPower, .efficiency]), "low-power cores, else efficiency cores"
      ),
      ("cpu_affinity=20-21", .list(NumberSet([20...21])), "CPU 20-21"),
    ] as [(String, CPUDemand, String)] {
      let result = load(line)
      let spec = try #require(result.spec, "\(result.diagnostics)")
      #expect(result.diagnostics == [] && spec.cpus == demand && spec.programs.first?.pinning == PinningSpec())
      #expect(describePlan(spec).contains("  runs on: \(words), its programs do not\n"))
    }
    let plain = try #require(load("").spec)
    #expect(plain.cpus == .any && !describePlan(plain).contains("runs on"))
    #expect(load("cpu_class=lowpower").errors.map(\.suggestion) == ["low-power"])
    #expect(load("cpu_class=efficiency\ncpu_affinity=1").errors.map(\.key) == ["cpu_affinity"])
  }

  @Test func thePlanSaysIt() throws {
    let lines =
      "cpu_class=low-power,efficiency\ncpu_smt=one-per-core\nsched_policy=batch\nnice=5\nionice=idle\nnuma_policy=bind:0\n"
    let result = VirtualWorld("[supervisord]\n[program:x]\ncommand=/bin/x\n" + lines).load()
    let plan = describePlan(try #require(result.spec))
    #expect(plan.contains("    runs on: low-power cores, else efficiency cores, one thread of each core\n"))
    #expect(plan.contains("    scheduled with: policy batch, nice 5, I/O idle, memory bind:0\n"))
    let plain = VirtualWorld("[supervisord]\n[program:x]\ncommand=/bin/x\n").load()
    let without = describePlan(try #require(plain.spec))
    #expect(!without.contains("runs on") && !without.contains("scheduled with"))
  }
}
