// Where on the machine a program shall run, and how it is scheduled there: what the configuration, or a person at `ctl pin`, asks for. Which
// CPUs that comes to is for the runtime, which knows the machine.
//
// A process inherits all of it from its parent, so it is set once between clone and exec and holds for every descendant. What may change
// while the program runs (`PinningSpec`, and nice and ionice of `ExecutionSpec`) is changed for every thread of every process of the run.

/// A class of cores, by the name that the configuration has for it.
public enum CPUClass: String, CaseIterable, Equatable, Sendable {
  /// P-cores, big cores; all cores of a machine whose cores are alike.
  case performance
  /// E-cores, the middle or small ones.
  case efficiency
  /// Low-power E-cores, which most machines do not have.
  case lowPower = "low-power"
}

/// On which CPUs a program shall run.
public enum CPUDemand: Equatable, Sendable {
  /// Wherever the supervisor itself may.
  case any
  /// On the first of these classes that has a CPU which may be used.
  case classes([CPUClass])
  /// On these, whatever they are.
  case list(NumberSet)

  /// One more than the highest CPU number of any kernel (CONFIG_NR_CPUS).
  public static let cpuLimit = 8192

  /// Reads the value of `cpu_class`: `any`, or classes with commas, the preferred one first.
  public init(classes text: String) throws(PinningProblem) {
    let words = text.split(separator: ",", omittingEmptySubsequences: false).map { trimmed($0).lowercased() }
    if words == ["any"] {
      self = .any
      return
    }
    var classes: [CPUClass] = []
    let candidates = CPUClass.allCases.map(\.rawValue)
    for word in words {
      guard word != "any" else {
        throw PinningProblem(
          "any cannot stand in a list of classes",
          remedy: "leave any out: what no class of the list has falls to the other ones")
      }
      guard let found = CPUClass(rawValue: word) else {
        throw PinningProblem(
          "not a class of cores: '\(word)'",
          remedy: "write any, or one or more of \(candidates.joined(separator: ", ")), the preferred one first",
          word: word, candidates: candidates + ["any"])
      }
      guard !classes.contains(found) else {
        throw PinningProblem("\(word) stands there twice", remedy: "write each class once")
      }
      classes.append(found)
    }
    self = .classes(classes)
  }

  /// Reads the value of `cpu_affinity`: `0,2,4-6`.
  public init(cpus text: String) throws(PinningProblem) {
    self = .list(try NumberSet(list: text, of: "CPU", below: Self.cpuLimit))
  }

  /// As the configuration has it: `any`, `low-power,efficiency`, `0,2,4-6`.
  public var text: String {
    switch self {
    case .any: "any"
    case .classes(let classes): classes.map(\.rawValue).joined(separator: ",")
    case .list(let cpus): cpus.text
    }
  }
}

/// How many of a core's threads a program uses.
public enum ThreadUse: String, CaseIterable, Equatable, Sendable {
  /// All.
  case all
  /// One of each core, so that no two of the program's threads share one.
  case onePerCore = "one-per-core"

  /// Reads the value of `cpu_smt`.
  public init(_ text: String) throws(PinningProblem) {
    let word = trimmed(text).lowercased()
    guard let found = ThreadUse(rawValue: word) else {
      throw PinningProblem(
        "not a use of a core's threads: '\(word)'", remedy: "write all or one-per-core", word: word,
        candidates: Self.allCases.map(\.rawValue))
    }
    self = found
  }
}

/// How the kernel schedules a program (sched(7)).
public enum SchedulingPolicy: Equatable, Sendable {
  /// SCHED_OTHER: everybody's share.
  case other
  /// SCHED_BATCH: as `other`, but taken for one that computes: it does not preempt others when it wakes up.
  case batch
  /// SCHED_IDLE: when nobody else wants the CPU.
  case idle
  /// SCHED_FIFO with a priority of 1 to 99: before everybody else, for as long as it likes.
  case fifo(Int)
  /// SCHED_RR with a priority of 1 to 99: as `fifo`, in turns with those of its own priority.
  case roundRobin(Int)

  /// Reads the value of `sched_policy`: `other`, `batch`, `idle`, `fifo:N`, `rr:N`.
  public init(_ text: String) throws(PinningProblem) {
    let remedy = "write other, batch, idle, fifo:N or rr:N with N from 1 to 99"
    let parts = trimmed(text).lowercased().split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    let word = parts.first.map { trimmed($0) } ?? ""
    switch (word, parts.count) {
    case ("other", 1): self = .other
    case ("batch", 1): self = .batch
    case ("idle", 1): self = .idle
    case ("fifo", _), ("rr", _):
      let digits = parts.count == 2 ? trimmed(parts[1]) : ""
      guard digits.utf8.count <= 2, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let priority = Int(digits),
        priority > 0
      else {
        throw PinningProblem("'\(trimmed(text))' has no priority from 1 to 99", remedy: remedy)
      }
      self = word == "fifo" ? .fifo(priority) : .roundRobin(priority)
    case ("other", _), ("batch", _), ("idle", _):
      throw PinningProblem("\(word) has no priority", remedy: "write \(word), and nice= for its share")
    default:
      throw PinningProblem(
        "not a scheduling policy: '\(word)'", remedy: remedy, word: word,
        candidates: ["other", "batch", "idle", "fifo", "rr"])
    }
  }

  /// As the configuration has it.
  public var text: String {
    switch self {
    case .other: "other"
    case .batch: "batch"
    case .idle: "idle"
    case .fifo(let priority): "fifo:\(priority)"
    case .roundRobin(let priority): "rr:\(priority)"
    }
  }

  /// Whether it goes before everybody else; nice means nothing then.
  public var isRealtime: Bool {
    switch self {
    case .other, .batch, .idle: false
    case .fifo, .roundRobin: true
    }
  }
}

extension IOPriority {
  /// Reads the value of `ionice`: `idle`, `best-effort:N`, `realtime:N` with N from 0 (first) to 7, 4 when it is not there.
  public init(_ text: String) throws(PinningProblem) {
    let parts = trimmed(text).lowercased().split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    let word = parts.first.map { trimmed($0) } ?? ""
    let digit = parts.count == 2 ? trimmed(parts[1]) : "4"
    let level = digit.utf8.count == 1 ? Int(digit).flatMap { (0...7).contains($0) ? $0 : nil } : nil
    switch (word, level) {
    case ("idle", _) where parts.count == 1: self = .idle
    case ("best-effort", .some(let level)): self = .bestEffort(level)
    case ("realtime", .some(let level)): self = .realtime(level)
    default:
      throw PinningProblem(
        "not an I/O priority: '\(trimmed(text))'", remedy: "write idle, best-effort:N or realtime:N with N from 0 to 7",
        word: word, candidates: ["idle", "best-effort", "realtime"])
    }
  }

  /// As the configuration has it.
  public var text: String {
    switch self {
    case .realtime(let level): "realtime:\(level)"
    case .bestEffort(let level): "best-effort:\(level)"
    case .idle: "idle"
    }
  }
}

/// From which NUMA nodes a program gets its memory (set_mempolicy(2)).
public enum MemoryPolicy: Equatable, Sendable {
  /// MPOL_DEFAULT: from the node of the CPU that first touches a page.
  case standard
  /// MPOL_LOCAL: the same, also where the supervisor's own policy is another one.
  case local
  /// MPOL_BIND: from these nodes and no others.
  case bind(NumberSet)
  /// MPOL_INTERLEAVE: from these nodes in turns.
  case interleave(NumberSet)
  /// MPOL_PREFERRED: from this node as long as it has any.
  case preferred(Int)

  /// One more than the highest node number of any kernel (CONFIG_NODES_SHIFT is at most 10).
  public static let nodeLimit = 1024

  /// Reads the value of `numa_policy`: `default`, `local`, `bind:0`, `interleave:0-1`, `preferred:1`.
  public init(_ text: String) throws(PinningProblem) {
    let parts = trimmed(text).split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    let word = parts.first.map { trimmed($0).lowercased() } ?? ""
    switch (word, parts.count) {
    case ("default", 1): self = .standard
    case ("local", 1): self = .local
    case ("bind", 2): self = .bind(try Self.nodes(parts[1]))
    case ("interleave", 2): self = .interleave(try Self.nodes(parts[1]))
    case ("preferred", 2):
      let nodes = try Self.nodes(parts[1])
      guard let node = nodes.ranges.first, nodes.ranges.count == 1, node.count == 1 else {
        throw PinningProblem(
          "preferred takes one NUMA node", remedy: "write preferred:N, or interleave: or bind: for several")
      }
      self = .preferred(node.lowerBound)
    case ("bind", _), ("interleave", _), ("preferred", _):
      throw PinningProblem("\(word) does not say which NUMA nodes", remedy: "write \(word):0")
    case ("default", _), ("local", _):
      throw PinningProblem("\(word) takes no NUMA nodes", remedy: "write \(word), or bind:N for certain ones")
    default:
      throw PinningProblem(
        "not a NUMA policy: '\(word)'", remedy: "write default, local, bind:NODES, interleave:NODES or preferred:NODE",
        word: word, candidates: ["default", "local", "bind", "interleave", "preferred"])
    }
  }

  private static func nodes(_ text: Substring) throws(PinningProblem) -> NumberSet {
    try NumberSet(list: String(text), of: "NUMA node", below: nodeLimit)
  }

  /// As the configuration has it.
  public var text: String {
    switch self {
    case .standard: "default"
    case .local: "local"
    case .bind(let nodes): "bind:\(nodes.text)"
    case .interleave(let nodes): "interleave:\(nodes.text)"
    case .preferred(let node): "preferred:\(node)"
    }
  }
}

/// Where a program runs and how it is scheduled: what may be changed while it runs.
public struct PinningSpec: Equatable, Sendable {
  /// `cpu_class` or `cpu_affinity`.
  public var cpus: CPUDemand = .any
  /// `cpu_smt`.
  public var threads: ThreadUse = .all
  /// `sched_policy`. nil: the supervisor's own.
  public var policy: SchedulingPolicy?

  /// Nothing is asked for.
  public init() {}

  /// Whether certain CPUs are asked for.
  public var choosesCPUs: Bool { cpus != .any || threads != .all }

  /// The CPUs for people: `any`, `low-power,efficiency`, `0-3, one per core`.
  public var cpusText: String { threads == .all ? cpus.text : "\(cpus.text), one per core" }
}

/// How eagerly a program runs, beside its scheduling policy; nil: as the supervisor.
public struct Priorities: Equatable, Sendable {
  /// `nice`, -20 (first) to 19.
  public var nice: Int?
  /// `ionice`.
  public var ionice: IOPriority?

  /// Priorities.
  public init(nice: Int? = nil, ionice: IOPriority? = nil) {
    self.nice = nice
    self.ionice = ionice
  }
}

/// What a person asks for while the program runs; what is nil stays as it is.
public struct LivePin: Equatable, Sendable {
  /// Instead of `cpu_class` or `cpu_affinity`.
  public var cpus: CPUDemand?
  /// Instead of `cpu_smt`.
  public var threads: ThreadUse?
  /// Instead of `sched_policy`.
  public var policy: SchedulingPolicy?
  /// Instead of `nice`.
  public var nice: Int?
  /// Instead of `ionice`.
  public var ionice: IOPriority?

  /// A pin.
  public init(
    cpus: CPUDemand? = nil, threads: ThreadUse? = nil, policy: SchedulingPolicy? = nil, nice: Int? = nil,
    ionice: IOPriority? = nil
  ) {
    self.cpus = cpus
    self.threads = threads
    self.policy = policy
    self.nice = nice
    self.ionice = ionice
  }

  /// Whether it says nothing.
  public var isEmpty: Bool { self == LivePin() }

  /// What the configuration says, with this instead where it says something.
  public func applied(to spec: PinningSpec) -> PinningSpec {
    var result = spec
    if let cpus { result.cpus = cpus }
    if let threads { result.threads = threads }
    if let policy { result.policy = policy }
    return result
  }

  /// The configuration's priorities, with this instead where it says something.
  public func applied(to priorities: Priorities) -> Priorities {
    Priorities(nice: nice ?? priorities.nice, ionice: ionice ?? priorities.ionice)
  }

  /// This one where it says something, else the earlier one.
  func over(_ earlier: LivePin?) -> LivePin {
    LivePin(
      cpus: cpus ?? earlier?.cpus, threads: threads ?? earlier?.threads, policy: policy ?? earlier?.policy,
      nice: nice ?? earlier?.nice, ionice: ionice ?? earlier?.ionice)
  }

  /// What is left of it when the configuration says something new; nil: nothing.
  func outliving(_ old: ProgramSpec, _ new: ProgramSpec) -> LivePin? {
    var left = self
    if new.pinning != old.pinning {
      left.cpus = nil
      left.threads = nil
      left.policy = nil
    }
    if new.execution.nice != old.execution.nice { left.nice = nil }
    if new.execution.ionice != old.execution.ionice { left.ionice = nil }
    return left.isEmpty ? nil : left
  }

  /// For people: `efficiency, one per core, policy batch, nice 5, I/O idle`.
  public var text: String {
    var parts: [String] = []
    if let cpus { parts.append(cpus.text) }
    if let threads { parts.append(threads == .all ? "all threads" : "one per core") }
    if let policy { parts.append("policy \(policy.text)") }
    if let nice { parts.append("nice \(nice)") }
    if let ionice { parts.append("I/O \(ionice.text)") }
    return parts.joined(separator: ", ")
  }
}

extension ProgramSpec {
  /// Whether what may be changed while it runs is different: its pinning, nice and ionice.
  func isScheduledLike(_ other: ProgramSpec) -> Bool {
    pinning == other.pinning && execution.nice == other.execution.nice && execution.ionice == other.execution.ionice
  }
}

extension ExecutionSpec {
  /// Whether the same is executed in the same way, but for what may be changed while it runs.
  func isSameButForPriority(as other: ExecutionSpec) -> Bool {
    var a = self
    a.nice = other.nice
    a.ionice = other.ionice
    return a == other
  }
}

extension Supervisor {
  /// Where the process is to run and how it is scheduled: what the configuration says, with what a person asked for instead. nil: no such
  /// process.
  public func pinning(of id: ProgramID) -> PinningSpec? {
    guard let i = indexOf[id] else { return nil }
    let spec = records[i].spec.pinning
    return records[i].livePin?.applied(to: spec) ?? spec
  }

  /// With which priorities the process is to run: what the configuration says, with what a person asked for instead. nil: no such process.
  public func priorities(of id: ProgramID) -> Priorities? {
    guard let i = indexOf[id] else { return nil }
    let execution = records[i].spec.execution
    let priorities = Priorities(nice: execution.nice, ionice: execution.ionice)
    return records[i].livePin?.applied(to: priorities) ?? priorities
  }

  /// What a person asked for. nil: nobody did, or the process is unknown.
  public func livePin(of id: ProgramID) -> LivePin? { indexOf[id].flatMap { records[$0].livePin } }

  /// A person pins it; nil takes back what was asked for before. Holds until the next such request, a reload that changes what the
  /// configuration says about the same, or the end of the supervisor.
  mutating func pin(_ i: Int, _ pin: LivePin?, by who: Requester) {
    let before = records[i].livePin
    let next = pin.map { $0.over(before) }
    records[i].livePin = next
    note(
      i,
      .text(next.map { "pinned to \($0.text); asked by \(who.text)" } ?? "pinned as configured; asked by \(who.text)"))
    if let run = run(of: records[i].id) { actions.append(.pin(run)) }
  }

  /// A reload has given it this spec instead of that one: what changed may be applied without a restart, and the new configuration is the
  /// last word.
  mutating func pinningReloaded(_ i: Int, from old: ProgramSpec) {
    guard !records[i].spec.isScheduledLike(old) else { return }
    records[i].livePin = records[i].livePin?.outliving(old, records[i].spec)
    if let run = run(of: records[i].id) { actions.append(.pin(run)) }
  }
}
