// What sysfs tells about each CPU that is online (Documentation/ABI/testing/sysfs-devices-system-cpu).

/// Reads the CPUs, their caches and the NUMA nodes.
struct CPUReader {
  let files: MachineFiles
  let online: CPUSet
  private(set) var caches: [CPUCache] = []
  /// The CPUs of which at least one cache, of any level, is known.
  private(set) var withCaches: CPUSet = []
  private var known: Set<CPUCache> = []

  init(files: MachineFiles, online: CPUSet) {
    self.files = files
    self.online = online
  }

  /// All CPUs that are online.
  mutating func cpus(nodes: [NUMANode]) -> [LogicalCPU] {
    var result: [LogicalCPU] = []
    for id in online {
      let directory = "sys/devices/system/cpu/cpu\(id)"
      var cpu = LogicalCPU(id: id)
      // thread_siblings_list is the older name of core_cpus_list, and every kernel has it.
      if let siblings = files.list("\(directory)/topology/thread_siblings_list") {
        cpu.siblings = siblings.intersection(online).union([id])
      }
      cpu.package = files.number("\(directory)/topology/physical_package_id")
      cpu.node = nodes.first { $0.cpus.contains(id) }?.id
      cpu.capacity = files.number("\(directory)/cpu_capacity")
      cpu.maximumKilohertz = files.number("\(directory)/cpufreq/cpuinfo_max_freq").flatMap(plausible)
      cpu.baseKilohertz = files.number("\(directory)/cpufreq/base_frequency").flatMap(plausible)
      if cpu.baseKilohertz == nil, let megahertz = files.number("\(directory)/acpi_cppc/nominal_freq") {
        cpu.baseKilohertz = plausible(megahertz.multipliedReportingOverflow(by: 1000).partialValue)
      }
      cpu.highestPerformance = files.number("\(directory)/acpi_cppc/highest_perf")
      cpu.coreName = files.hexadecimal("\(directory)/regs/identification/midr_el1").flatMap(CoreNames.arm)
      readCaches(of: id, in: directory)
      result.append(cpu)
    }
    caches.sort { ($0.level, $0.cpus.first ?? 0, $0.type) < ($1.level, $1.cpus.first ?? 0, $1.type) }
    return result
  }

  /// A frequency in kHz that a CPU can have: 1 MHz to 100 GHz. Virtual machines tell 0.
  private func plausible(_ kilohertz: Int) -> Int? { (1000...100_000_000).contains(kilohertz) ? kilohertz : nil }

  /// The caches of a CPU. Levels, not index numbers: a CPU without an L1 entry begins with its L2.
  private mutating func readCaches(of id: Int, in directory: String) {
    for index in 0..<16 {
      let cache = "\(directory)/cache/index\(index)"
      guard let level = files.number("\(cache)/level") else { return }
      withCaches.insert(id)
      guard level >= 2, level <= 9 else { continue }
      let cpus = (files.list("\(cache)/shared_cpu_list") ?? []).intersection(online).union([id])
      let found = CPUCache(
        level: level, type: files.line("\(cache)/type") ?? "Unified",
        bytes: files.whole("\(cache)/size", 64).flatMap(Self.size) ?? 0, cpus: cpus)
      if known.insert(found).inserted { caches.append(found) }
    }
  }

  /// `2048K`, as the kernel writes every size of a cache (drivers/base/cacheinfo.c); `24M` for those who make trees by
  /// hand.
  private static func size(_ bytes: [UInt8]) -> Int? {
    let text = bytes.trimmingSpace
    let unit: Int =
      switch text.last {
      case 0x4B: 1 << 10
      case 0x4D: 1 << 20
      default: 1
      }
    guard let number = decimal(unit == 1 ? text : text.dropLast()), number <= 1 << 40 else { return nil }
    return number &* unit
  }

  /// The NUMA nodes that are online; nothing where the kernel has no NUMA.
  static func nodes(_ files: MachineFiles, online: CPUSet) -> [NUMANode] {
    let directory = "sys/devices/system/node"
    return (files.list("\(directory)/online") ?? []).prefix(1024).map { id in
      NUMANode(
        id: id, cpus: (files.list("\(directory)/node\(id)/cpulist") ?? []).intersection(online),
        memoryBytes: files.whole("\(directory)/node\(id)/meminfo", 16 * 1024).flatMap(memory))
    }
  }

  /// `Node 0 MemTotal:       16384000 kB`
  private static func memory(_ meminfo: [UInt8]) -> Int? {
    for line in meminfo.lines {
      let words = line.split(whereSeparator: isSpace)
      guard words.count >= 4, words[2].elementsEqual("MemTotal:".utf8) else { continue }
      return decimal(words[3]).flatMap { $0 <= 1 << 50 ? $0 &* 1024 : nil }
    }
    return nil
  }

  /// The processor's name (x86), else the board's (ARM boards tell it in cpuinfo, in the device tree or nowhere), else
  /// the names of the cores.
  static func model(_ files: MachineFiles, cpus: [LogicalCPU]) -> String? {
    // cpuinfo grows with every CPU; x86 tells the name in the first lines, small boards at the end of a few KB.
    let lines = (files.read("proc/cpuinfo", 64 * 1024) ?? []).lines
    for name in ["model name", "Model"] {
      for line in lines {
        guard line.starts(with: name.utf8), let colon = line.firstIndex(of: 0x3A) else { continue }
        guard Array(line[..<colon]).trimmingSpace.elementsEqual(name.utf8) else { continue }
        let value = Array(line[(colon &+ 1)...]).trimmingSpace
        if !value.isEmpty { return harmlessText(value, limit: 128) }
      }
    }
    if let board = files.line("proc/device-tree/model") { return board }
    var names: [String] = []
    for name in cpus.compactMap(\.coreName) where !names.contains(name) { names.append(name) }
    return names.isEmpty ? nil : "ARM " + names.joined(separator: ", ")
  }
}
