// Which CPU is of which class. The sources in the order of how much they can be believed; the first that tells the CPUs
// apart decides.

/// Finds the classes.
struct ClassDetection {
  let files: MachineFiles
  let online: CPUSet
  let cpus: [LogicalCPU]
  let caches: [CPUCache]
  /// The CPUs of which at least one cache, of any level, is known.
  let withCaches: CPUSet
  /// CPUID on each of these CPUs; empty where it tells nothing.
  let coreKinds: ((CPUSet) -> [Int: CoreKind])?
  /// What may be used: only there can CPUID be asked.
  let allowed: CPUSet

  struct Result {
    var classes: CoreClasses
    var basis: ClassBasis
    var lowPowerBasis: LowPowerBasis?
    var notes: [TopologyNote] = []
  }

  /// The classes of all CPUs that are online.
  func run() -> Result {
    var notes: [TopologyNote] = []
    var result =
      byEventSources(&notes) ?? byCapacity() ?? byCoreKinds() ?? byFrequency()
      ?? Result(classes: CoreClasses(performance: online), basis: .homogeneous)
    result.notes = notes
    return result
  }

  // MARK: - Intel's hybrid PMUs

  /// The CPUs of an event source; nil without one.
  static func eventSource(_ name: String, _ files: MachineFiles) -> CPUSet? {
    files.list("sys/devices/\(name)/cpus") ?? files.list("sys/bus/event_source/devices/\(name)/cpus")
  }

  private func byEventSources(_ notes: inout [TopologyNote]) -> Result? {
    let core = Self.eventSource("cpu_core", files)?.intersection(online)
    let atom = Self.eventSource("cpu_atom", files)?.intersection(online)
    let low = Self.eventSource("cpu_lowpower", files)?.intersection(online) ?? []
    guard core != nil || atom != nil else { return nil }
    let (performance, small) = (core ?? [], atom ?? [])
    let twice = performance.intersection(small).union(performance.union(small).intersection(low))
    guard twice.isEmpty else {
      notes.append(.eventSourcesOverlap(twice))
      return nil
    }
    // Sources that are there for none of the CPUs online say nothing.
    guard !performance.union(small).union(low).isEmpty else { return nil }
    var classes = CoreClasses(performance: performance, efficiency: small, lowPower: low)
    var basis: LowPowerBasis? = low.isEmpty ? nil : .eventSource
    if low.isEmpty, let (cpus, found) = lowPower(among: small) {
      classes.lowPower = cpus
      classes.efficiency = small.subtracting(cpus)
      basis = found
    }
    classes.unclassified = online.subtracting(performance).subtracting(small).subtracting(low)
    return Result(classes: classes, basis: .eventSources, lowPowerBasis: basis)
  }

  /// Meteor Lake's E- and LP-E-cores are of one design, so one event source has both. Those on the SoC tile have no L3.
  private func lowPower(among small: CPUSet) -> (cpus: CPUSet, basis: LowPowerBasis)? {
    guard !small.isEmpty else { return nil }
    let withL3 = caches.reduce(into: CPUSet()) { if $1.level == 3 { $0.formUnion($1.cpus) } }
    // Only where caches are told at all, and somebody has an L3, does its absence say something.
    if !withL3.isEmpty, small.isSubset(of: withCaches) {
      let without = small.subtracting(withL3)
      return without.isEmpty ? nil : (without, .noL3)
    }
    let groups = speedGroups(of: small)
    guard groups.count > 1, let slowest = groups.last else { return nil }
    return (slowest, .frequency)
  }

  // MARK: - cpu_capacity

  private func byCapacity() -> Result? {
    let capacities = cpus.compactMap(\.capacity)
    guard capacities.count == cpus.count, let largest = capacities.max(), largest > 0 else { return nil }
    // Big from 0.8 of the largest, middle from 0.35: chips with two kinds have their small ones in either.
    var tiers: [CPUSet] = [[], [], []]
    for (cpu, capacity) in zip(cpus, capacities) {
      let share = Double(capacity) / Double(largest)
      tiers[share >= 0.8 ? 0 : share >= 0.35 ? 1 : 2].insert(cpu.id)
    }
    return ranked(tiers, basis: .capacity)
  }

  // MARK: - CPUID

  private func byCoreKinds() -> Result? {
    guard let kinds = coreKinds?(allowed), !kinds.isEmpty else { return nil }
    let core = CPUSet(kinds.compactMap { $0.value == .core ? $0.key : nil }).intersection(online)
    let atom = CPUSet(kinds.compactMap { $0.value == .atom ? $0.key : nil }).intersection(online)
    guard !core.isEmpty || !atom.isEmpty else { return nil }
    var classes = CoreClasses(
      performance: core, efficiency: atom, unclassified: online.subtracting(core).subtracting(atom))
    let low = lowPower(among: atom)
    if let low {
      classes.lowPower = low.cpus
      classes.efficiency = atom.subtracting(low.cpus)
    }
    return Result(classes: classes, basis: .cpuid, lowPowerBasis: low?.basis)
  }

  // MARK: - Frequencies

  private func byFrequency() -> Result? {
    let groups = speedGroups(of: online)
    guard groups.count > 1 else { return nil }
    return ranked([groups[0], groups[1], groups.dropFirst(2).reduce(CPUSet()) { $0.union($1) }], basis: .frequency)
  }

  /// The CPUs in groups of alike speed, the fastest first: between two groups are more than 15 %, so that favoured
  /// cores (4.8 among 4.5 GHz) are no class of their own. By the first of maximum frequency, guaranteed frequency and
  /// CPPC's highest performance that all of them tell.
  private func speedGroups(of wanted: CPUSet) -> [CPUSet] {
    let candidates = cpus.filter { wanted.contains($0.id) }
    let sources: [(LogicalCPU) -> Int?] = [\.maximumKilohertz, \.baseKilohertz, \.highestPerformance]
    for source in sources {
      let speeds = candidates.compactMap { cpu in source(cpu).map { (speed: $0, id: cpu.id) } }
      guard speeds.count == candidates.count, !speeds.isEmpty else { continue }
      var groups: [CPUSet] = []
      var before: Int?
      for (speed, id) in speeds.sorted(by: { ($0.speed, $1.id) > ($1.speed, $0.id) }) {
        if let before, Double(speed) >= Double(before) * 0.85 {
          groups[groups.count - 1].insert(id)
        } else {
          groups.append([id])
        }
        before = speed
      }
      return groups
    }
    return []
  }

  /// The fastest tier that is there is performance, the next efficiency, a third low-power; one alone tells nothing
  /// apart.
  private func ranked(_ tiers: [CPUSet], basis: ClassBasis) -> Result? {
    let filled = tiers.filter { !$0.isEmpty }
    guard filled.count > 1 else { return nil }
    return Result(
      classes: CoreClasses(
        performance: filled[0], efficiency: filled[1], lowPower: filled.count > 2 ? filled[2] : []),
      basis: basis)
  }
}
