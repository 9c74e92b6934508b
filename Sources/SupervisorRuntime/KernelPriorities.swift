// The configuration's words for priorities as the kernel's numbers, which are the same on every architecture.

import CHiveSys
import CPUTopology
import SupervisorCore

extension IOPriority {
  /// IOPRIO_PRIO_VALUE(class, level) of ioprio_set(2).
  var kernelValue: Int32 {
    switch self {
    case .realtime(let level): 1 << 13 | Int32(min(max(level, 0), 7))
    case .bestEffort(let level): 2 << 13 | Int32(min(max(level, 0), 7))
    case .idle: 3 << 13
    }
  }

  /// The priority with this number; nil for "none", where nice decides (ioprio_set(2)).
  init?(kernel value: Int32) {
    let level = Int(value & 7)
    switch value >> 13 {
    case 1: self = .realtime(level)
    case 2: self = .bestEffort(level)
    case 3: self = .idle
    default: return nil
    }
  }
}

extension SchedulingPolicy {
  /// SCHED_* and sched_priority (linux/sched.h).
  var kernelValue: (policy: Int32, priority: Int32) {
    switch self {
    case .other: (0, 0)
    case .fifo(let priority): (1, Int32(clamping: priority))
    case .roundRobin(let priority): (2, Int32(clamping: priority))
    case .batch: (3, 0)
    case .idle: (5, 0)
    }
  }

  /// The policy with this number and priority; nil for one that the configuration has no word for (SCHED_DEADLINE, SCHED_EXT).
  init?(kernel policy: Int32, priority: Int32) {
    switch policy {
    case 0: self = .other
    case 1: self = .fifo(Int(priority))
    case 2: self = .roundRobin(Int(priority))
    case 3: self = .batch
    case 5: self = .idle
    default: return nil
    }
  }
}

extension MemoryPolicy {
  /// MPOL_* (linux/mempolicy.h).
  var kernelValue: Int32 {
    switch self {
    case .standard: 0
    case .preferred: 1
    case .bind: 2
    case .interleave: 3
    case .local: 4
    }
  }

  /// The nodes, as the kernel's bits.
  var nodes: CPUSet {
    switch self {
    case .standard, .local: []
    case .bind(let nodes), .interleave(let nodes): CPUSet(nodes)
    case .preferred(let node): [node]
    }
  }
}

extension CPUSet {
  /// The numbers of a list.
  init(_ numbers: NumberSet) {
    self.init()
    for range in numbers.ranges { insert(range) }
  }
}

extension RefusedSetting.Setting {
  /// The bit in a spawn plan.
  var flag: hive_spawn_set {
    switch self {
    case .cpus: HIVE_SET_AFFINITY
    case .nice: HIVE_SET_NICE
    case .policy: HIVE_SET_POLICY
    case .ioPriority: HIVE_SET_IO_PRIORITY
    case .memoryPolicy: HIVE_SET_MEMORY_POLICY
    }
  }
}
