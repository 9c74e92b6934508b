// The classes of cores, and which class stands in for one that is empty.

/// A class of cores, by what its designer made them for.
public enum CoreClass: String, CaseIterable, Sendable {
  /// Intel's P-cores, big cores of ARM; all cores where they are alike.
  case performance
  /// Intel's E-cores, the middle or small cores of ARM.
  case efficiency
  /// Intel's LP-E cores, which live outside of the ring and have no L3; the small cores of an ARM chip with three
  /// kinds.
  case lowPower = "low-power"

  /// Which classes stand in for this one, nearest first, when none of its CPUs may be used.
  public var standIns: [CoreClass] {
    switch self {
    case .performance: [.efficiency, .lowPower]
    case .efficiency: [.lowPower, .performance]
    case .lowPower: [.efficiency, .performance]
    }
  }
}

/// The CPUs of each class. The four sets have no CPU in common.
public struct CoreClasses: Equatable, Sendable {
  /// P-cores; all CPUs of a machine whose cores are alike.
  public var performance: CPUSet
  /// E-cores.
  public var efficiency: CPUSet
  /// LP-E cores.
  public var lowPower: CPUSet
  /// CPUs of which nothing says their class. Only programs that ask for no class run there.
  public var unclassified: CPUSet

  /// The classes.
  public init(
    performance: CPUSet = [], efficiency: CPUSet = [], lowPower: CPUSet = [], unclassified: CPUSet = []
  ) {
    self.performance = performance
    self.efficiency = efficiency
    self.lowPower = lowPower
    self.unclassified = unclassified
  }

  /// The CPUs of a class.
  public subscript(_ coreClass: CoreClass) -> CPUSet {
    get {
      switch coreClass {
      case .performance: performance
      case .efficiency: efficiency
      case .lowPower: lowPower
      }
    }
    set {
      switch coreClass {
      case .performance: performance = newValue
      case .efficiency: efficiency = newValue
      case .lowPower: lowPower = newValue
      }
    }
  }

  /// The class of a CPU; nil: unclassified, or no CPU of this machine.
  public func of(_ cpu: Int) -> CoreClass? { CoreClass.allCases.first { self[$0].contains(cpu) } }

  /// Whether there is more than one kind of core.
  public var isHybrid: Bool { CoreClass.allCases.count { !self[$0].isEmpty } > 1 }

  /// Without the CPUs that are not in this set.
  func restricted(to cpus: CPUSet) -> CoreClasses {
    CoreClasses(
      performance: performance.intersection(cpus), efficiency: efficiency.intersection(cpus),
      lowPower: lowPower.intersection(cpus), unclassified: unclassified.intersection(cpus))
  }
}

/// What said which CPU is of which class.
public enum ClassBasis: String, Sendable {
  /// HIVE_CPU_PERFORMANCE, HIVE_CPU_EFFICIENCY and HIVE_CPU_LOW_POWER, perhaps for a part of the CPUs.
  case overrides
  /// The PMUs of a hybrid Intel processor: /sys/devices/cpu_core, cpu_atom and cpu_lowpower
  /// (Documentation/admin-guide/perf/intel-hybrid.rst).
  case eventSources = "event-sources"
  /// /sys/devices/system/cpu/cpuN/cpu_capacity.
  case capacity = "cpu-capacity"
  /// CPUID leaf 0x1A of Intel, 0x80000026 of AMD, asked on each CPU.
  case cpuid
  /// Maximum frequencies more than 15 % apart.
  case frequency
  /// Nothing tells the cores apart.
  case homogeneous
}

/// What told the low-power CPUs from the other ones of cpu_atom.
public enum LowPowerBasis: String, Sendable {
  /// The kernel has an event source for them (Arrow Lake-H).
  case eventSource = "event-source"
  /// They have no L3 (Meteor Lake, Lunar Lake: they are not on the ring).
  case noL3 = "no-l3"
  /// Their maximum frequency is the lower one by far.
  case frequency
}
