// `cpu_class`, `cpu_affinity`, `cpu_smt`, `sched_policy`, `numa_policy`: where a program runs. Whether the machine has such CPUs is not
// asked here: the same configuration is for every machine.

import SupervisorCore

/// Reads `cpu_class` and `cpu_affinity`.
func readCPUs(_ reader: SectionReader) -> CPUDemand {
  let classes: CPUDemand? = reader.optional("cpu_class") { text throws(ValueProblem) in
    do throws(PinningProblem) { return try CPUDemand(classes: text) } catch { throw ValueProblem(error) }
  }
  let cpus: CPUDemand? = reader.optional("cpu_affinity") { text throws(ValueProblem) in
    do throws(PinningProblem) { return try CPUDemand(cpus: text) } catch { throw ValueProblem(error) }
  }
  if let classes, classes != .any, cpus != nil {
    reader.error(
      "cpu_affinity", "cannot be used together with cpu_class=\(classes.text)",
      remedy: "keep cpu_class, which fits every machine, or cpu_affinity, which is for one")
  }
  return cpus ?? classes ?? .any
}

/// Reads where the program runs, and what of it does not go together.
func readPinning(_ reader: SectionReader, _ spec: inout ProgramSpec) {
  spec.pinning.cpus = readCPUs(reader)
  spec.pinning.threads = reader.value("cpu_smt", .all) { text throws(ValueProblem) in
    do throws(PinningProblem) { return try ThreadUse(text) } catch { throw ValueProblem(error) }
  }
  spec.pinning.policy = reader.optional("sched_policy") { text throws(ValueProblem) in
    do throws(PinningProblem) { return try SchedulingPolicy(text) } catch { throw ValueProblem(error) }
  }
  spec.execution.memoryPolicy = reader.optional("numa_policy") { text throws(ValueProblem) in
    do throws(PinningProblem) { return try MemoryPolicy(text) } catch { throw ValueProblem(error) }
  }
  if let policy = spec.pinning.policy, policy.isRealtime, spec.execution.nice != nil {
    reader.warning(
      "nice", "has no effect with sched_policy=\(policy.text)", remedy: "remove nice, or write sched_policy=other")
  }
}

extension ValueProblem {
  init(_ problem: PinningProblem) {
    self.init(
      problem.message, remedy: problem.remedy,
      suggestion: problem.word.isEmpty ? nil : nearest(to: problem.word, among: problem.candidates))
  }
}

/// Where the program runs, for people; empty when nothing is asked for.
func describe(_ pinning: PinningSpec) -> String {
  var parts: [String] = []
  switch pinning.cpus {
  case .any: if pinning.threads == .onePerCore { parts.append("any") }
  case .classes(let classes): parts.append(classes.map { "\($0.rawValue) cores" }.joined(separator: ", else "))
  case .list(let cpus): parts.append("CPU \(cpus.text)")
  }
  if pinning.threads == .onePerCore { parts.append("one thread of each core") }
  return parts.joined(separator: ", ")
}

/// How the program is scheduled, for people; empty when nothing is asked for.
func describeScheduling(_ program: ProgramSpec) -> String {
  var parts: [String] = []
  if let policy = program.pinning.policy { parts.append("policy \(policy.text)") }
  if let nice = program.execution.nice { parts.append("nice \(nice)") }
  if let ionice = program.execution.ionice { parts.append("I/O \(ionice.text)") }
  if let memory = program.execution.memoryPolicy { parts.append("memory \(memory.text)") }
  return parts.joined(separator: ", ")
}
