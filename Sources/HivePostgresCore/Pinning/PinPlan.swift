// From what is asked for, the machine and the heat to the CPUs of each role. Pure.

import CPUTopology

/// The CPUs of every role.
public struct PinPlan: Equatable, Sendable {
  /// What one group gets.
  public struct Entry: Equatable, Sendable {
    /// What was asked for, by a variable or by the profile.
    public var wish: PinWish
    /// What it comes to here and now.
    public var placement: Placement
    /// The heat has moved it.
    public var isMoved = false

    /// Why the CPUs are not those that were asked for; empty when they are.
    public var explanation: String {
      isMoved ? "on efficient cores while the machine is hot" : placement.explanation
    }
  }

  /// The profile that holds.
  public let profile: PinProfile
  /// Every group has an entry.
  private let entries: [PinGroup: Entry]
  private let everywhere: Placement

  /// A plan.
  public init(_ settings: PinSettings, _ topology: Topology, _ state: ThermalState) {
    profile = settings.profile(on: topology)
    everywhere = topology.placement(.any)
    let table = PinPlan.table(profile, topology)
    func place(_ wish: PinWish) -> Placement {
      switch wish {
      case .any, .asBackends: return topology.placement(.any)
      case .classes(let classes): return topology.placement(.classes(classes), onePerCore: settings.onePerCore)
      case .cpus(let cpus): return topology.placement(.cpus(cpus))
      case .seats(let cpus, let otherwise):
        if cpus.isDisjoint(with: topology.allowed) {
          var placement = topology.placement(.classes(otherwise), onePerCore: settings.onePerCore)
          placement.reasons.insert(.noneAllowed(cpus), at: 0)
          return placement
        }
        return topology.placement(.cpus(cpus))
      }
    }
    let efficient = topology.classes.efficiency.union(topology.classes.lowPower)
    let isCoolable = !efficient.isDisjoint(with: topology.schedulable)
    func entry(_ group: PinGroup) -> Entry {
      let wish = settings.overrides[group] ?? table[group] ?? .any
      let entry = Entry(wish: wish, placement: place(wish))
      guard isCoolable, let leavesAt = group.leavesAt, state >= leavesAt, wish != .any, wish != .asBackends,
        !entry.placement.cpus.isSubset(of: efficient)
      else { return entry }
      return Entry(wish: wish, placement: topology.placement(.classes([.efficiency, .lowPower])), isMoved: true)
    }
    let backends = entry(.backends)
    var entries: [PinGroup: Entry] = [:]
    for group in PinGroup.allCases {
      var one = entry(group)
      if one.wish == .asBackends {
        one.placement = backends.placement
        one.isMoved = backends.isMoved
      }
      entries[group] = one
    }
    self.entries = entries
  }

  /// What a group gets.
  public subscript(_ group: PinGroup) -> Entry { entries[group] ?? Entry(wish: .any, placement: everywhere) }

  /// Where the server's groups run.
  var placements: [PinGroup: CPUSet] {
    var placements: [PinGroup: CPUSet] = [:]
    for group in PinGroup.allCases where group != .monitor && !self[group].placement.cpus.isEmpty {
      placements[group] = self[group].placement.cpus
    }
    return placements
  }

  /// One line for the log: which groups run on which CPUs.
  var summary: String {
    var places: [(cpus: CPUSet, groups: [String])] = []
    for group in PinGroup.allCases {
      let cpus = self[group].placement.cpus
      let name = group.rawValue.replacing("_", with: " ") + (self[group].isMoved ? " (heat)" : "")
      if let index = places.firstIndex(where: { $0.cpus == cpus }) {
        places[index].groups.append(name)
      } else {
        places.append((cpus, [name]))
      }
    }
    return "cores by role (\(profile.rawValue)): "
      + places.map { "CPU \($0.cpus): \($0.groups.joined(separator: ", "))" }.joined(separator: "; ")
  }

  /// The profile's wishes; a group without one may run anywhere.
  private static func table(_ profile: PinProfile, _ topology: Topology) -> [PinGroup: PinWish] {
    if profile == .off { return [:] }
    let seats = profile == .meteorLake ? ReferenceSeats(topology) : nil
    func wish(_ cpus: CPUSet?, _ classes: CoreClass...) -> PinWish {
      cpus.map { .seats($0, otherwise: classes) } ?? .classes(classes)
    }
    let primary = wish(seats?.primary, .performance)
    let wal = wish(seats?.walWriter, .performance)
    let writer = wish(seats?.backgroundWriter, .performance)
    let maintenance = wish(seats?.maintenance, .efficiency)
    let statistics = wish(seats?.statistics, .efficiency)
    return [
      .backends: primary, .parallelWorkers: primary, .logicalWorkers: primary, .startup: primary, .ioWorkers: primary,
      .others: .asBackends,
      // Synchronous commits wait for the walsender as they wait for the walwriter.
      .walWriter: wal, .replication: wal,
      .backgroundWriter: writer, .checkpointer: writer,
      // The archiver runs archive_command, which may compress.
      .autovacuum: maintenance, .archiver: maintenance,
      .logicalLauncher: statistics, .logger: statistics,
      .monitor: wish(seats?.monitoring, .lowPower, .efficiency),
    ]
  }
}

/// The places of the profile `meteor-lake`: on a Core Ultra 155H as Linux usually numbers it, the CPUs in the comments. The same processor
/// is numbered otherwise on other boards (P-cores 0–1 and 10–19): there it is the same cores in the order of their numbers.
struct ReferenceSeats: Equatable {
  /// The postmaster and its backends: the first four P-cores, one thread of each (0,2,4,6).
  var primary: CPUSet
  /// The fifth P-core (8).
  var walWriter: CPUSet
  /// The sixth (10).
  var backgroundWriter: CPUSet
  /// The first four E-cores (12-15).
  var maintenance: CPUSet
  /// The fifth (16), for those who do what the statistics collector did, or as little: it ended with PostgreSQL 15.
  var statistics: CPUSet
  /// The first LP-E-core (20).
  var monitoring: CPUSet

  /// nil where the machine has not at least six P-cores, eight E-cores and two LP-E-cores.
  init?(_ topology: Topology) {
    let cores = topology.cores
    func seats(_ cpus: CPUSet) -> [Int] { cores.compactMap { $0.isSubset(of: cpus) ? $0.first : nil } }
    var fast = seats(topology.classes.performance)
    let efficient = seats(topology.classes.efficiency)
    let low = seats(topology.classes.lowPower)
    guard fast.count >= 6, efficient.count >= 8, low.count >= 2 else { return nil }
    // The usual numbers, where they are what they are taken for: another thread of the same core may be the lower one.
    let usual = [0, 2, 4, 6, 8, 10]
    if fast.count == 6, Set(usual.compactMap { cpu in cores.firstIndex { $0.contains(cpu) } }).count == 6,
      CPUSet(usual).isSubset(of: topology.classes.performance)
    {
      fast = usual
    }
    primary = CPUSet(fast[0..<4])
    walWriter = [fast[4]]
    backgroundWriter = [fast[5]]
    maintenance = CPUSet(efficient[0..<4])
    statistics = [efficient[4]]
    monitoring = [low[0]]
  }
}
