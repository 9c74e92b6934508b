// The machine's CPUs as PID 1 needs to know them: read when a program first asks for some, and again when they are not what they were.

import CPUTopology
import SupervisorCore

/// What is known of the machine.
final class MachineView {
  private let live: Machine
  private let affinity: (() -> CPUSet?)?
  private let environment: (String) -> String?
  private var topology: Topology?
  private var fingerprint: TopologyFingerprint?
  /// What is wrong with HIVE_CPU_…, once it has been looked at.
  private(set) var overrideProblems: [String] = []
  /// How often the CPUs were found to have changed.
  private(set) var changes = 0

  /// A view of this machine.
  /// - Parameters:
  ///   - environment: the value of a variable (HIVE_CPU_PERFORMANCE and its like); nil when it is not set.
  ///   - affinity: the CPUs that may be used; nil: those that this thread has.
  init(
    machine: Machine = .live, environment: @escaping (String) -> String?, affinity: (() -> CPUSet?)? = nil
  ) {
    live = machine
    self.environment = environment
    self.affinity = affinity
  }

  /// The machine with the CPUs that may be used now.
  private var machine: Machine {
    guard let affinity else { return live }
    let allowed = affinity()
    var machine = live
    machine.affinity = { allowed }
    return machine
  }

  /// Looks whether CPUs came or went, or the cpuset was changed: about a dozen small reads. What changed, a clause each; empty when nothing
  /// did, or nothing was known before.
  func look() -> [String] {
    guard let before = fingerprint else { return [] }
    let now = machine.fingerprint()
    guard now != before else { return [] }
    fingerprint = now
    topology = nil
    changes += 1
    let found = now.changes(since: before)
    return found.isEmpty ? ["the machine's CPUs changed"] : found
  }

  /// What a program's wish comes to here.
  func placement(_ pinning: PinningSpec) -> Placement {
    switch pinning.cpus {
    case .any: return whole(pinning).placement(.any, onePerCore: pinning.threads == .onePerCore)
    case .list(let cpus):
      return whole(pinning).placement(.cpus(CPUSet(cpus)), onePerCore: pinning.threads == .onePerCore)
    case .classes(let classes):
      return known().placement(
        .classes(classes.compactMap { CoreClass(rawValue: $0.rawValue) }), onePerCore: pinning.threads == .onePerCore)
    }
  }

  /// Whether the machine has more than one kind of core, as far as it was asked for.
  var isHybrid: Bool { topology?.classes.isHybrid ?? false }

  /// Reading every core costs some ten files each: only who needs to know them has that done.
  private func whole(_ pinning: PinningSpec) -> Topology {
    if pinning.threads == .onePerCore { return known() }
    if let topology { return topology }
    let now = fingerprint ?? machine.fingerprint()
    fingerprint = now
    var plain = Topology(online: now.online)
    plain.isolated = now.isolated
    plain.allowance = now.allowance
    return plain
  }

  private func known() -> Topology {
    if let topology { return topology }
    if fingerprint == nil { fingerprint = machine.fingerprint() }
    let found: Topology
    do throws(ClassOverrideError) {
      found = try machine.topology(environment: environment)
      overrideProblems = []
    } catch {
      overrideProblems = error.messages
      found = machine.topology()
    }
    topology = found
    return found
  }
}
