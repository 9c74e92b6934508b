// Everything that is known about the machine's CPUs, as one value.

/// One core type's design, where a processor tells it for each CPU.
public enum CoreKind: Equatable, Sendable {
  /// CPUID.1AH:EAX[31:24] = 40H, or AMD's performance core.
  case core
  /// CPUID.1AH:EAX[31:24] = 20H, or AMD's efficiency core.
  case atom
}

/// A logical CPU that is online.
public struct LogicalCPU: Equatable, Sendable {
  /// The kernel's number.
  public var id: Int
  /// The CPUs of the same core that are online, with itself.
  public var siblings: CPUSet
  /// physical_package_id; nil where the firmware does not tell.
  public var package: Int?
  /// The first NUMA node that has it; nil without NUMA.
  public var node: Int?
  /// cpu_capacity: 1024 is the largest of the machine. nil on kernels without it.
  public var capacity: Int?
  /// cpuinfo_max_freq in kHz: the highest turbo. nil without frequency scaling (most virtual machines).
  public var maximumKilohertz: Int?
  /// The guaranteed frequency in kHz (base_frequency, or nominal_freq of ACPI CPPC).
  public var baseKilohertz: Int?
  /// highest_perf of ACPI CPPC, without a unit.
  public var highestPerformance: Int?
  /// The core's name on ARM, e.g. `Cortex-A55`, from MIDR_EL1.
  public var coreName: String?

  /// A CPU of which nothing else is known.
  public init(id: Int) {
    self.id = id
    siblings = [id]
  }
}

/// A cache from level 2 on.
public struct CPUCache: Equatable, Hashable, Sendable {
  /// 2, 3, …
  public var level: Int
  /// `Unified`, `Data` or `Instruction`.
  public var type: String
  /// Its size.
  public var bytes: Int
  /// The CPUs online that share it.
  public var cpus: CPUSet

  /// A cache.
  public init(level: Int, type: String, bytes: Int, cpus: CPUSet) {
    self.level = level
    self.type = type
    self.bytes = bytes
    self.cpus = cpus
  }
}

/// A NUMA node.
public struct NUMANode: Equatable, Sendable {
  /// The kernel's number.
  public var id: Int
  /// Its CPUs that are online; empty for a node of memory alone.
  public var cpus: CPUSet
  /// Its memory; nil when it cannot be read.
  public var memoryBytes: Int?

  /// A node.
  public init(id: Int, cpus: CPUSet, memoryBytes: Int? = nil) {
    self.id = id
    self.cpus = cpus
    self.memoryBytes = memoryBytes
  }
}

/// How much CPU time the control group may have.
public struct CPUQuota: Equatable, Sendable {
  /// µs of CPU time in a period.
  public var quota: Int
  /// µs.
  public var period: Int

  /// A quota.
  public init(quota: Int, period: Int) {
    self.quota = quota
    self.period = period
  }

  /// As a number of CPUs.
  public var cpus: Double { period > 0 ? Double(quota) / Double(period) : 0 }
}

/// What this process may use of the machine.
public struct Allowance: Equatable, Sendable {
  /// sched_getaffinity(2); nil when unknown.
  public var affinity: CPUSet?
  /// The control group's cpuset; nil when it cannot be seen from here.
  public var cpuset: CPUSet?
  /// 1 or 2: the cgroup version of the cpuset. nil without one.
  public var cpusetVersion: Int?
  /// The narrowest CPU quota of the control group and those above it that can be seen; nil: none.
  public var quota: CPUQuota?

  /// An allowance.
  public init(affinity: CPUSet? = nil, cpuset: CPUSet? = nil, cpusetVersion: Int? = nil, quota: CPUQuota? = nil) {
    self.affinity = affinity
    self.cpuset = cpuset
    self.cpusetVersion = cpusetVersion
    self.quota = quota
  }
}

/// Something about the machine that is worth a line.
public enum TopologyNote: Equatable, Sendable {
  /// The event sources of two classes name the same CPUs: none of them is believed.
  case eventSourcesOverlap(CPUSet)
  /// Nothing says of which class these are.
  case unclassified(CPUSet)
  /// CPUs that an override names and that are offline.
  case overriddenOffline(CPUSet)
  /// `online` cannot be read; the CPUs are taken from elsewhere.
  case onlineUnknown
  /// The cpuset and the affinity have no CPU in common: the cpuset that can be seen is not this process's own.
  case cpusetElsewhere(CPUSet)

  /// A sentence for people.
  public var text: String {
    switch self {
    case .eventSourcesOverlap(let cpus):
      "the kernel's event sources for core classes both name CPU \(cpus): they are not used"
    case .unclassified(let cpus):
      "the class of CPU \(cpus) is not known: only programs that ask for no class run there"
    case .overriddenOffline(let cpus): "CPU \(cpus) has a class by HIVE_CPU_… and is offline"
    case .onlineUnknown: "the kernel does not tell which CPUs are online: those that are allowed are taken for them"
    case .cpusetElsewhere(let cpus):
      "the cpuset that can be seen (\(cpus)) is not this process's own: only its CPU affinity counts"
    }
  }
}

/// A machine's CPUs, and what this process may use of them.
public struct Topology: Equatable, Sendable {
  /// The processor's name, or the board's; nil when nothing tells.
  public var model: String?
  /// The CPUs that are online, by number.
  public var cpus: [LogicalCPU]
  /// The numbers of the CPUs that are online.
  public var online: CPUSet
  /// The CPUs that could come online (`possible`).
  public var possible: CPUSet
  /// The CPUs that are there and not online (`present` without `online`).
  public var offline: CPUSet
  /// The CPUs that the scheduler leaves alone (`isolcpus=`).
  public var isolated: CPUSet
  /// A partition of `online`.
  public var classes: CoreClasses
  /// What said so.
  public var basis: ClassBasis
  /// What told the low-power CPUs; nil when there are none, or another basis told all classes.
  public var lowPowerBasis: LowPowerBasis?
  /// The caches from level 2 on, by level and lowest CPU.
  public var caches: [CPUCache]
  /// The NUMA nodes; empty without NUMA.
  public var nodes: [NUMANode]
  /// What this process may use.
  public var allowance: Allowance
  /// What is worth a line.
  public var notes: [TopologyNote]

  /// A machine of which only the CPUs are known: alike, and all allowed.
  public init(online: CPUSet) {
    self.online = online
    cpus = online.map(LogicalCPU.init(id:))
    possible = online
    offline = []
    isolated = []
    classes = CoreClasses(performance: online)
    basis = .homogeneous
    caches = []
    nodes = []
    allowance = Allowance()
    notes = []
  }

  /// The CPUs on which this process and its children may run: never empty while a CPU is online.
  public var allowed: CPUSet {
    var allowed = online
    if let affinity = allowance.affinity, !allowed.isDisjoint(with: affinity) {
      allowed = allowed.intersection(affinity)
    }
    if let cpuset = allowance.cpuset, !allowed.isDisjoint(with: cpuset) { allowed = allowed.intersection(cpuset) }
    return allowed
  }

  /// The cores: each the CPUs online that share one, by lowest CPU. A partition of `online`, whatever the firmware
  /// says.
  public var cores: [CPUSet] {
    var left = online
    var cores: [CPUSet] = []
    for cpu in cpus where left.contains(cpu.id) {
      let core = cpu.siblings.intersection(left).union([cpu.id])
      cores.append(core)
      left.subtract(core)
    }
    return cores
  }

  /// The lowest CPU of each core among these CPUs.
  public func onePerCore(_ cpus: CPUSet) -> CPUSet { CPUSet(cores.compactMap { $0.intersection(cpus).first }) }

  /// How many packages there are; at least 1.
  public var packages: Int { max(Set(cpus.compactMap(\.package)).count, 1) }
}
