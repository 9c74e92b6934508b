// In which order programs are started, and stopped.
//
// A program's place is a pair: its *rank*, from (group priority, priority), and its *depth*, from its dependencies at the same rank. What
// depends on something comes after it, whatever the priorities say: its rank is raised to that of its dependency. Programs of one place
// form a tier.
//
// Starting: at boot a program waits for the readiness of all programs of lower ranks that declare any (`ready=`, or being a oneshot); where
// none does, everything is started in one go, as by supervisord. Depth plays no role then: dependencies are waited for by their own
// conditions, which may be weaker than readiness.
// Stopping: tier by tier backwards, everything in a tier at once.

/// In which order a configuration is started (and, reversed, stopped), and what is wrong with its dependencies.
public struct StartPlan: Equatable, Sendable {
  /// Indexes into the programs. Tiers start one after the other and stop in reverse order; inside a tier everything happens at once.
  public private(set) var tiers: [[Int]] = []
  /// For each program the number of its rank, from 1: at boot it waits for the lower ranks.
  public private(set) var ranks: [Int] = []
  /// Dependency cycles, each as the namespecs along it. Their programs would wait for each other forever.
  public private(set) var cycles: [[String]] = []
  /// Dependencies on names that no program has.
  public private(set) var unknown: [UnknownDependency] = []

  /// A dependency on a name that no program has.
  public struct UnknownDependency: Equatable, Sendable {
    /// Index of the program that depends.
    public var program: Int
    /// The name.
    public var name: String
  }

  private struct Place: Hashable, Comparable {
    var rank: Int
    var depth: Int
    static func < (a: Place, b: Place) -> Bool { a.rank != b.rank ? a.rank < b.rank : a.depth < b.depth }
  }

  private struct Priority: Hashable, Comparable {
    var group: Int
    var own: Int
    static func < (a: Priority, b: Priority) -> Bool { a.group != b.group ? a.group < b.group : a.own < b.own }
  }

  /// The plan for a configuration.
  public init(_ spec: SupervisorSpec) {
    let names = ProgramNames(spec.programs)
    self.init(
      programs: spec.programs,
      dependencies: spec.programs.map { program in program.dependencies.map { names.dependency($0.program) } })
  }

  /// The plan for programs whose dependencies are already resolved to indexes.
  init(programs: [ProgramSpec], dependencies: [[[Int]]]) {
    let priorities = programs.map { Priority(group: $0.groupPriority, own: $0.priority) }
    let sorted = Set(priorities).sorted()
    var rankOf: [Priority: Int] = [:]
    for (index, priority) in sorted.enumerated() { rankOf[priority] = index + 1 }

    for (index, program) in programs.enumerated() {
      for (position, dependency) in program.dependencies.enumerated() where dependencies[index][position].isEmpty {
        unknown.append(UnknownDependency(program: index, name: dependency.program))
      }
    }

    // Depth-first, without recursion (a chain may be as long as the configuration), every edge once.
    var places: [Place?] = Array(repeating: nil, count: programs.count)
    var isOnPath = Array(repeating: false, count: programs.count)
    let edges = dependencies.map { Array($0.joined()) }
    for root in programs.indices where places[root] == nil {
      var path: [(program: Int, edge: Int, place: Place)] = []
      func place(of program: Int) -> Place { Place(rank: rankOf[priorities[program]] ?? 1, depth: 0) }
      path.append((root, 0, place(of: root)))
      isOnPath[root] = true
      while let top = path.last {
        if top.edge < edges[top.program].count {
          path[path.count - 1].edge += 1
          let other = edges[top.program][top.edge]
          if isOnPath[other] {
            let start = path.firstIndex { $0.program == other } ?? 0
            let names = path[start...].map { programs[$0.program].namespec } + [programs[other].namespec]
            if !cycles.contains(names) { cycles.append(names) }
          } else if let known = places[other] {
            path[path.count - 1].place = max(top.place, Place(rank: known.rank, depth: known.depth + 1))
          } else {
            path[path.count - 1].edge -= 1
            path.append((other, 0, place(of: other)))
            isOnPath[other] = true
          }
        } else {
          places[top.program] = top.place
          isOnPath[top.program] = false
          path.removeLast()
        }
      }
    }
    ranks = places.map { $0?.rank ?? 1 }

    var members: [Place: [Int]] = [:]
    for (index, place) in places.enumerated() { members[place ?? Place(rank: 1, depth: 0), default: []].append(index) }
    tiers = members.sorted { $0.key < $1.key }.map(\.value)
  }
}

/// Names of programs: by namespec, process name, section and group.
struct ProgramNames: Sendable {
  private var byNamespec: [String: Int] = [:]
  private var byName: [String: [Int]] = [:]
  private var bySection: [String: [Int]] = [:]
  private var byGroup: [String: [Int]] = [:]

  init() {}

  init(_ programs: [ProgramSpec]) {
    for (index, program) in programs.enumerated() {
      byNamespec["\(program.group):\(program.name)"] = index
      byName[program.name, default: []].append(index)
      bySection[program.program, default: []].append(index)
      byGroup[program.group, default: []].append(index)
    }
  }

  /// What a dependency, listener or reported check means: a section's processes, else the process of this name or namespec.
  func dependency(_ name: String) -> [Int] {
    if let section = bySection[name] { return section }
    if let one = byNamespec[name] { return [one] }
    return byName[name] ?? []
  }

  /// The process of this namespec (`group:name`).
  func exact(group: String, name: String) -> Int? { byNamespec["\(group):\(name)"] }

  /// What a request's target means. nil: nothing.
  func target(_ text: String, count: Int) -> [Int]? {
    if text == "all" { return Array(0..<count) }
    if let colon = text.firstIndex(of: ":") {
      let group = String(text[..<colon])
      let name = String(text[text.index(after: colon)...])
      if name.isEmpty || name == "*" { return byGroup[group] }
      return byNamespec[text].map { [$0] }
    }
    if let own = byNamespec["\(text):\(text)"] { return [own] }
    // supervisord knows a process of a heterogeneous group by its namespec only; an unambiguous bare name is as good.
    if let named = byName[text], named.count == 1 { return named }
    return nil
  }

  /// Whether the target is a group or `all`: those leave out what is already where it is asked to be.
  static func isGroup(_ text: String) -> Bool { text == "all" || text.hasSuffix(":*") || text.hasSuffix(":") }
}
