// The machine drawn for people: a line for each class, what a request for each comes to, and which program runs where.

extension Topology {
  /// The drawing, line by line.
  /// - Parameter programs: where the supervised programs run; nil: nobody was asked.
  public func lines(programs: [PlacedProgram]? = nil) -> [String] {
    var lines = [model ?? "unknown processor"]
    lines += facts
    lines += [""] + classTable.lines
    lines += [""] + requestTable.lines
    if let programs, !programs.isEmpty { lines += [""] + Self.programTable(programs).lines }
    if !notes.isEmpty { lines += [""] + notes.map { "note: \($0.text)" } }
    return lines
  }

  private var facts: [String] {
    var facts: [(String, String)] = []
    let counts = [counted(online.count, "CPU"), counted(cores.count, "core"), counted(packages, "package")]
    facts.append(("online", "\(Self.text(online)): \(counts.joined(separator: ", "))"))
    if !offline.isEmpty { facts.append(("offline", offline.list)) }
    if !isolated.isEmpty { facts.append(("isolated", isolated.list)) }
    facts.append(("allowed", allowedText))
    if let quota = allowance.quota {
      facts.append(("quota", "\(decimals(quota.cpus)) CPUs: \(quota.quota) of every \(quota.period) us"))
    }
    if nodes.count > 1 { facts += nodeFacts }
    facts += [2, 3].compactMap { level in sharingText(level).map { ("L\(level)", $0) } }
    facts.append(("classes", basisText))
    let width = facts.map(\.0.utf8.count).max() ?? 0
    return facts.map { "\(padded($0.0, width + 2))\($0.1)" }
  }

  /// The allowed CPUs, and what of affinity and cpuset narrows them.
  private var allowedText: String {
    var text = Self.text(allowed)
    if let cpuset = allowance.cpuset, !online.isSubset(of: cpuset) {
      text += ", by the cpuset\(cpuset == allowed ? "" : " \(cpuset)")"
      if let version = allowance.cpusetVersion { text += " (cgroup v\(version))" }
    }
    if let affinity = allowance.affinity, !online.isSubset(of: affinity), affinity != allowance.cpuset {
      text += ", by affinity\(affinity == allowed ? "" : " \(Self.text(affinity))")"
    }
    return text
  }

  /// The NUMA nodes; neighbours that are alike (a Raspberry Pi 5 has eight) in one line.
  private var nodeFacts: [(String, String)] {
    var groups: [(ids: CPUSet, node: NUMANode)] = []
    for node in nodes {
      if let last = groups.last, last.node.cpus == node.cpus, last.node.memoryBytes == node.memoryBytes {
        groups[groups.count - 1].ids.insert(node.id)
      } else {
        groups.append(([node.id], node))
      }
    }
    return groups.map { ids, node in
      let memory = node.memoryBytes.map { ", \(sizeText($0)) of memory\(ids.count > 1 ? " each" : "")" } ?? ""
      return (ids.count > 1 ? "nodes \(ids)" : "node \(ids)", Self.text(node.cpus) + memory)
    }
  }

  /// Which CPUs share the caches of a level, as far as more than one core does; nil when none is shared.
  private func sharingText(_ level: Int) -> String? {
    let cores = Set(self.cores)
    let shared = caches.filter { $0.level == level && $0.cpus.count > 1 && !cores.contains($0.cpus) }
    guard let last = shared.last else { return nil }
    let lists =
      shared.count <= 16 ? shared.map(\.cpus.list) : shared.prefix(15).map(\.cpus.list) + ["...", last.cpus.list]
    return "shared by " + lists.joined(separator: " | ")
  }

  private var basisText: String {
    let text =
      switch basis {
      case .overrides: "by HIVE_CPU_PERFORMANCE, HIVE_CPU_EFFICIENCY, HIVE_CPU_LOW_POWER"
      case .eventSources: "by the kernel's event sources for hybrid processors"
      case .capacity: "by cpu_capacity"
      case .cpuid: "by CPUID"
      case .frequency: "by maximum frequency"
      case .homogeneous: "none: nothing tells the cores apart, so all count as performance"
      }
    switch lowPowerBasis {
    case .noL3: return "\(text); low-power are those without an L3"
    case .frequency: return "\(text); low-power are the slowest of the small ones"
    case .eventSource, nil: return text
    }
  }

  private var classTable: Columns {
    let hasThreads = cores.contains { $0.count > 1 }
    let hasNames = cpus.contains { $0.coreName != nil }
    let capacities = Set(cpus.compactMap(\.capacity))
    var table = Columns(["CLASS", "CPUS", "CORES"])
    if hasNames { table.addColumn("CORE") }
    if hasThreads { table.addColumn("THREADS") }
    table.addColumn("MAX GHZ")
    table.addColumn("BASE GHZ")
    if capacities.count > 1 { table.addColumn("CAPACITY") }
    table.addColumn("L2")
    table.addColumn("L3")
    let rows = CoreClass.allCases.map { ($0.rawValue, classes[$0]) } + [("unclassified", classes.unclassified)]
    for (name, set) in rows where !set.isEmpty {
      let members = cpus.filter { set.contains($0.id) }
      let cores = self.cores.filter { !$0.isDisjoint(with: set) }
      var row = [name, set.list, String(cores.count)]
      if hasNames { row.append(unique(members.map { $0.coreName ?? "-" }).joined(separator: ", ")) }
      if hasThreads { row.append(Self.threads(cores)) }
      row.append(rangeText(members.compactMap(\.maximumKilohertz).map(gigahertzText)))
      row.append(rangeText(members.compactMap(\.baseKilohertz).map(gigahertzText)))
      if capacities.count > 1 { row.append(rangeText(members.compactMap(\.capacity).sorted().map(String.init))) }
      row.append(cacheText(2, set))
      row.append(cacheText(3, set))
      table.add(row)
    }
    return table
  }

  private var requestTable: Columns {
    let hasThreads = cores.contains { $0.count > 1 }
    var table = Columns(["REQUEST", "RUNS ON"] + (hasThreads ? ["ONE PER CORE"] : []) + ["WHY"])
    for request in [.any] + CoreClass.allCases.map({ CPURequest.classes([$0]) }) {
      let placement = placement(request)
      var row = [request.text, Self.text(placement.cpus)]
      if hasThreads { row.append(Self.text(onePerCore(placement.cpus))) }
      table.add(row + [placement.explanation])
    }
    return table
  }

  private static func programTable(_ programs: [PlacedProgram]) -> Columns {
    var table = Columns(["PROGRAM", "PID", "REQUEST", "RUNS ON", "WHY"])
    for program in programs {
      table.add([
        program.name, program.pid.map(String.init) ?? "-", program.requested ?? "any",
        program.cpus.map(text) ?? (program.pid == nil ? "-" : "unknown"), program.explanation,
      ])
    }
    return table
  }

  /// `0+1 2+3`; the first two and the last where there are many.
  private static func threads(_ cores: [CPUSet]) -> String {
    let shared = cores.filter { $0.count > 1 }.map { $0.map(String.init).joined(separator: "+") }
    guard let last = shared.last else { return "-" }
    return shared.count <= 8 ? shared.joined(separator: " ") : "\(shared[0]) \(shared[1]) ... \(last)"
  }

  /// `6 x 2 MiB`; `none` where other caches are known, `-` where none is.
  private func cacheText(_ level: Int, _ set: CPUSet) -> String {
    let own = caches.filter { !$0.cpus.isDisjoint(with: set) }
    let found = own.filter { $0.level == level }
    guard !found.isEmpty else { return own.isEmpty ? "-" : "none" }
    return unique(found.map(\.bytes)).map { bytes in
      let count = found.count { $0.bytes == bytes }
      let size = bytes > 0 ? sizeText(bytes) : "unknown size"
      return count == 1 ? size : "\(count) x \(size)"
    }.joined(separator: " + ")
  }

  private static func text(_ cpus: CPUSet) -> String { cpus.isEmpty ? "none" : cpus.list }
}

/// Columns as wide as their widest cell.
private struct Columns {
  private var headings: [String]
  private var rows: [[String]] = []

  init(_ headings: [String]) { self.headings = headings }

  mutating func addColumn(_ heading: String) { headings.append(heading) }
  mutating func add(_ row: [String]) { rows.append(row) }

  /// The lines, without spaces at their ends.
  var lines: [String] {
    let all = [headings] + rows
    let widths = headings.indices.map { column in
      all.map { column < $0.count ? $0[column].utf8.count : 0 }.max() ?? 0
    }
    return all.map { row in
      var line = ""
      for (cell, width) in zip(row, widths) { line += padded(cell, width + 2) }
      while line.last == " " { line.removeLast() }
      return line
    }
  }
}

private func padded(_ text: String, _ width: Int) -> String {
  text + String(repeating: " ", count: max(width - text.utf8.count, 0))
}

private func counted(_ count: Int, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }

private func unique<T: Equatable>(_ values: [T]) -> [T] {
  values.reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
}

/// The lowest and the highest of sorted or unsorted texts of numbers: `3.8`, `4.5-4.8`, `-` for none.
private func rangeText(_ values: [String]) -> String {
  let sorted = unique(values).sorted { (Double($0) ?? 0) < (Double($1) ?? 0) }
  guard let low = sorted.first, let high = sorted.last else { return "-" }
  return low == high ? low : "\(low)-\(high)"
}

/// kHz as GHz with at most two decimals.
private func gigahertzText(_ kilohertz: Int) -> String { decimals(Double(kilohertz) / 1e6) }

/// At most two decimals.
func decimals(_ number: Double) -> String {
  guard number.isFinite, number >= 0, number < 1e12 else { return "unknown" }
  let hundredths = Int((number * 100).rounded())
  let rest = hundredths % 100
  if rest == 0 { return String(hundredths / 100) }
  return rest % 10 == 0 ? "\(hundredths / 100).\(rest / 10)" : "\(hundredths / 100).\(rest < 10 ? "0" : "")\(rest)"
}

/// Bytes in the largest unit that leaves at least 1.
private func sizeText(_ bytes: Int) -> String {
  var value = Double(bytes)
  for unit in ["bytes", "KiB", "MiB", "GiB"] {
    if value < 1024 { return "\(decimals(value)) \(unit)" }
    value /= 1024
  }
  return "\(decimals(value)) TiB"
}
