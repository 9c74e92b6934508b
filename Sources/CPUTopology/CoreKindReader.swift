// Asking each CPU of this machine by CPUID what it is. CPUID answers for the CPU that executes it, so the thread goes
// there.

import CCPUTopology

/// CPUID's answer, CPU by CPU.
enum CoreKindReader {
  /// The kinds of these CPUs; empty unless the processor says that its cores differ (hypervisors usually hide that).
  /// The calling thread's affinity is as before afterwards.
  static func read(_ cpus: CPUSet) -> [Int: CoreKind] {
    guard hive_cpuid_is_hybrid() != 0, let before = Affinity.current() else { return [:] }
    // Should the CPUs that were allowed before be gone meanwhile, any CPU is better than the last one visited.
    defer { if Affinity.set(before) != 0 { _ = Affinity.set(CPUSet(words: repeatElement(.max, count: 128))) } }
    var kinds: [Int: CoreKind] = [:]
    for cpu in cpus where Affinity.set([cpu]) == 0 {
      switch hive_cpuid_core_kind() {
      case 1: kinds[cpu] = .core
      case 2: kinds[cpu] = .atom
      default: break
      }
    }
    return kinds
  }
}
