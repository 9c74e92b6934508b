// `depends_on`: who is meant, and whether it can ever come true.

import SupervisorCore

/// A dependency as written.
struct PendingDependency: Equatable {
  /// What stands before the condition.
  var name: String
  /// nil: not written, so it follows from the other program's type.
  var condition: Dependency.Condition?
}

/// `a:ready, b:completed`. The names are looked up when all programs are known.
func dependenciesValue(_ text: String) throws(ValueProblem) -> [PendingDependency] {
  var dependencies: [PendingDependency] = []
  for part in listValue(text) {
    let words = split(part, on: ":").map(stripped)
    guard words.allSatisfy({ !$0.isEmpty }) else {
      throw ValueProblem(
        "not a dependency: \(pythonRepresentation(part))",
        remedy: "write PROGRAM or PROGRAM:CONDITION, with commas between them")
    }
    var dependency = PendingDependency(name: words.joined(separator: ":"), condition: nil)
    if words.count > 1, let last = words.last, let condition = Dependency.Condition(rawValue: last.lowercased()) {
      dependency = PendingDependency(name: words.dropLast().joined(separator: ":"), condition: condition)
    }
    if !dependencies.contains(dependency) { dependencies.append(dependency) }
  }
  return dependencies
}

/// Looks up the names, fills in `ProgramSpec.dependencies`, and reports what cannot come true.
func resolveDependencies(_ processes: inout [ParsedProcess]) {
  let directory = ProcessDirectory(processes.map(\.spec))
  var facts: [String: TargetFacts] = [:]
  for index in processes.indices {
    var resolved: [Dependency] = []
    for pending in processes[index].dependencies {
      guard let targets = directory.targets(of: pending.name) else {
        reportUnknown(pending, processes[index], directory)
        continue
      }
      for target in targets {
        let known = facts[target] ?? TargetFacts(directory.members(of: target).map { processes[$0].spec })
        facts[target] = known
        let condition = pending.condition ?? (known.hasService ? .ready : .completed)
        let dependency = Dependency(program: target, condition: condition)
        check(dependency, of: processes[index], on: known)
        if !resolved.contains(dependency) { resolved.append(dependency) }
      }
    }
    processes[index].spec.dependencies = resolved
  }
  for cycle in DependencyGraph(processes.map(\.spec), directory).cycles() {
    guard let first = cycle.first else { continue }
    let names = (cycle + [first]).map { processes[$0].spec.namespec }
    processes[first].reader.error(
      "depends_on", "programs wait for each other: \(names.joined(separator: " → "))",
      remedy: "remove one of these dependencies")
  }
}

/// What matters of the processes that a dependency names, gathered once for all that depend on them.
private struct TargetFacts {
  var hasService = false
  var hasServiceWithoutLiveness = false
  var isStartedByItself = true
  /// The last place in the order of starting: priorities of the group and of the process.
  var latest = (group: Int.min, own: Int.min)

  init(_ specs: [ProgramSpec]) {
    for spec in specs {
      if spec.kind == .service {
        hasService = true
        hasServiceWithoutLiveness = hasServiceWithoutLiveness || spec.liveness == nil
      }
      isStartedByItself = isStartedByItself && spec.autostart
      let place = (group: spec.groupPriority, own: spec.priority)
      if place > latest { latest = place }
    }
  }
}

private func check(_ dependency: Dependency, of process: ParsedProcess, on target: TargetFacts) {
  let name = dependency.program
  if dependency.condition == .completed, target.hasService {
    process.reader.error(
      "depends_on", "\(name):completed can never be true: \(name) is a service",
      remedy: "write \(name):ready, or set type=oneshot in [program:\(name)]")
  }
  if dependency.condition == .healthy, target.hasServiceWithoutLiveness {
    process.reader.warning(
      "depends_on", "\(name):healthy means \(name):ready, because \(name) has no liveness=",
      remedy: "add liveness= to [program:\(name)], or write \(name):ready")
  }
  if process.spec.autostart, !target.isStartedByItself {
    process.reader.warning(
      "depends_on",
      "\(name) is not started by itself (autostart=false), so \(process.spec.namespec) waits until somebody starts it",
      remedy: "set autostart=true in [program:\(name)], or autostart=false here")
  }
  let own = (process.spec.groupPriority, process.spec.priority)
  if (target.latest.group, target.latest.own) > own {
    let isGroup = target.latest.group > own.0
    let theirs = isGroup ? target.latest.group : target.latest.own
    let mine = isGroup ? own.0 : own.1
    process.reader.warning(
      "depends_on",
      "\(name) has priority \(theirs) and would start after \(process.spec.namespec) (\(mine)); the dependency wins",
      remedy: "give \(name) no higher a number than \(mine)")
  }
}

private func reportUnknown(_ pending: PendingDependency, _ process: ParsedProcess, _ directory: ProcessDirectory) {
  var message = "depends on the unknown program \(pending.name)"
  var suggestion = nearest(to: pending.name, among: directory.names)
  let words = split(pending.name, on: ":")
  if pending.condition == nil, words.count > 1, let last = words.last,
    directory.targets(of: words.dropLast().joined(separator: ":")) != nil,
    let condition = nearest(to: last, among: Dependency.Condition.allCases.map(\.rawValue))
  {
    message = "not a condition: \(pythonRepresentation(last))"
    suggestion = condition
  }
  process.reader.error(
    "depends_on", message,
    remedy: "name a [program:x], optionally with :started, :ready, :completed or :healthy", suggestion: suggestion)
}

/// Who is meant by a name: a program's section, a process, or a group.
struct ProcessDirectory {
  private var bySection: [String: [Int]] = [:]
  private var byNamespec: [String: Int] = [:]
  private var byName: [String: [Int]] = [:]
  private var byGroup: [String: [Int]] = [:]
  private let specs: [ProgramSpec]

  init(_ specs: [ProgramSpec]) {
    self.specs = specs
    for (index, spec) in specs.enumerated() {
      bySection[spec.program, default: []].append(index)
      byNamespec[spec.namespec] = index
      byName[spec.name, default: []].append(index)
      byGroup[spec.group, default: []].append(index)
    }
  }

  /// Every name that a dependency may use.
  var names: [String] { Array(Set(bySection.keys).union(byNamespec.keys).union(byGroup.keys)) }

  /// The section names and namespecs that a name stands for; nil when nobody has it.
  func targets(of name: String) -> [String]? {
    if bySection[name] != nil || byNamespec[name] != nil { return [name] }
    if let indexes = byName[name], indexes.count == 1, let index = indexes.first { return [specs[index].namespec] }
    if let indexes = byGroup[name] {
      var programs: [String] = []
      for index in indexes where !programs.contains(specs[index].program) { programs.append(specs[index].program) }
      return programs
    }
    return nil
  }

  /// The section name of a program or process.
  func section(of name: String) -> String? {
    if bySection[name] != nil { return name }
    if let index = byNamespec[name] { return specs[index].program }
    if let indexes = byName[name], indexes.count == 1, let index = indexes.first { return specs[index].program }
    return nil
  }

  /// The processes of a target, as indexes.
  func members(of target: String) -> [Int] { bySection[target] ?? byNamespec[target].map { [$0] } ?? [] }
}

/// Who waits for whom. A program's processes are reached through one node of their own, so that many processes that
/// wait for many others are not many times many edges.
private struct DependencyGraph {
  /// Edges by node: the processes first, then the targets.
  private var edges: [[Int]]
  private let processCount: Int

  init(_ specs: [ProgramSpec], _ directory: ProcessDirectory) {
    processCount = specs.count
    edges = [[Int]](repeating: [], count: specs.count)
    var nodes: [String: Int] = [:]
    for (index, spec) in specs.enumerated() {
      for dependency in spec.dependencies {
        if let node = nodes[dependency.program] {
          edges[index].append(node)
          continue
        }
        nodes[dependency.program] = edges.count
        edges[index].append(edges.count)
        edges.append(directory.members(of: dependency.program))
      }
    }
  }

  /// The processes of each cycle in the order of waiting. Of cycles that share processes only one or some are found: what breaks it may
  /// break the others. Depth first, without recursion.
  func cycles() -> [[Int]] {
    enum Mark { case new, open, done }
    var cycles: [[Int]] = []
    var marks = [Mark](repeating: .new, count: edges.count)
    for start in 0..<processCount where marks[start] == .new {
      var path: [(node: Int, next: Int)] = [(start, 0)]
      marks[start] = .open
      while let top = path.last {
        guard top.next < edges[top.node].count else {
          marks[top.node] = .done
          path.removeLast()
          continue
        }
        path[path.count - 1].next += 1
        let target = edges[top.node][top.next]
        switch marks[target] {
        case .done: continue
        case .new:
          marks[target] = .open
          path.append((target, 0))
        case .open:
          guard let first = path.lastIndex(where: { $0.node == target }) else { continue }
          let cycle = path[first...].map(\.node)
          cycles.append(cycle.filter { $0 < processCount })
          for node in cycle { marks[node] = .done }
          path.removeSubrange(first...)
        }
      }
    }
    return cycles
  }
}
