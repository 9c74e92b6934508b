// What the doctor has to say about core classes: which there are within what is allowed, what the overrides name, and what CAP_SYS_NICE
// (or its absence) means for priorities.

import CPUTopology
import SupervisorCore

extension Doctor {
  /// The classes, and the variables that make them.
  func coreClasses() -> [DoctorFinding] {
    var problems: [String] = []
    let topology: Topology
    do throws(ClassOverrideError) {
      topology = try machine.topology(environment: environment)
    } catch {
      problems = error.messages
      topology = machine.topology()
    }
    return [classes(of: topology), overrides(of: topology, problems)]
  }

  private func classes(of topology: Topology) -> DoctorFinding {
    let feature = "core-classes"
    let classes = topology.classes
    let present = CoreClass.allCases.filter { !classes[$0].isEmpty }
    if present.count < 2, topology.basis == .homogeneous {
      return DoctorFinding(
        feature, true, .useful, "all cores are alike: every class is CPU \(topology.schedulable.list)")
    }
    var words: [String] = []
    var remedies: [String] = []
    var falls: [String] = []
    for coreClass in present {
      let all = classes[coreClass]
      let usable = all.intersection(topology.schedulable)
      guard usable.isEmpty else {
        words.append("\(coreClass.rawValue) \(usable.list)" + (usable == all ? "" : " of \(all.list)"))
        continue
      }
      let placement = topology.placement(.classes([coreClass]))
      words.append("\(coreClass.rawValue) empty, none of \(all.list)")
      falls.append("\(placement.explanation): CPU \(placement.cpus.list)")
      let isolated = all.intersection(topology.allowed)
      remedies.append(
        isolated.isEmpty
          ? "allow CPU \(all.list) (docker run --cpuset-cpus)"
          : "leave CPU \(isolated.list) to the scheduler (isolcpus=)")
    }
    if !classes.unclassified.isEmpty { words.append("unclassified \(classes.unclassified.list)") }
    return DoctorFinding(
      feature, falls.isEmpty, .useful, words.joined(separator: ", "), remedy: remedies.joined(separator: ", "),
      fallback: falls.joined(separator: "; "))
  }

  private func overrides(of topology: Topology, _ problems: [String]) -> DoctorFinding {
    let feature = "core-class-overrides"
    guard problems.isEmpty,
      let overrides = try? ClassOverrides(possible: topology.possible, environment: environment)
    else {
      return DoctorFinding(
        feature, false, .useful, problems.joined(separator: "; "), remedy: "correct these variables, or unset them",
        fallback: "the classes are those that were detected")
    }
    let set = CoreClass.allCases.compactMap { coreClass in
      overrides[coreClass].map { (name: ClassOverrides.variable(coreClass), cpus: $0) }
    }
    guard !set.isEmpty else {
      return DoctorFinding(feature, true, .information, "none: the classes are those that were detected")
    }
    let forbidden = set.compactMap { one in
      let cpus = one.cpus.subtracting(topology.allowed)
      return cpus.isEmpty ? nil : (name: one.name, cpus: cpus)
    }
    guard forbidden.isEmpty else {
      let cpus = forbidden.reduce(into: CPUSet()) { $0.formUnion($1.cpus) }
      return DoctorFinding(
        feature, false, .useful,
        forbidden.map { "\($0.name) names CPU \($0.cpus.list), which is not allowed here" }.joined(separator: "; "),
        remedy: "allow CPU \(cpus.list) (docker run --cpuset-cpus), or name CPUs of \(topology.allowed.list)",
        fallback: "nothing runs on CPU \(cpus.list)")
    }
    return DoctorFinding(
      feature, true, .useful,
      set.map { "\($0.name)=\($0.cpus.isEmpty ? "none" : $0.cpus.list)" }.joined(separator: ", "))
  }

  /// What the kernel refuses of priorities, and whether it would not with the capability.
  /// - Parameter outcomes: what was tried and its errno, 0 where it was granted.
  func niceCapability(_ hasIt: Bool, _ outcomes: [(what: String, error: Int32)]) -> DoctorFinding {
    let refused = outcomes.filter { $0.error != 0 }.map { "\($0.what) (\(errorText($0.error)))" }
    return DoctorFinding(
      "cap-sys-nice", hasIt, .useful,
      "CAP_SYS_NICE is \(hasIt ? "there" : "missing"); "
        + (refused.isEmpty ? "no priority is refused" : "refused: \(refused.joined(separator: ", "))"),
      remedy: "docker run --cap-add SYS_NICE",
      fallback:
        "programs that ask for what is refused run without it, and hivesup says so; core classes need no capability")
  }
}
