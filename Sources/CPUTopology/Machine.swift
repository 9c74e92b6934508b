// The way in: a machine is read, and a topology comes out.

/// A machine to read: this one, or the files of another.
public struct Machine: Sendable {
  /// Its sysfs and procfs.
  public var files: MachineFiles
  /// sched_getaffinity(2) of the process that asks; nil when unknown.
  public var affinity: @Sendable () -> CPUSet?
  /// The design of each of these CPUs by CPUID; empty where CPUID tells nothing. nil: not asked.
  public var coreKinds: (@Sendable (CPUSet) -> [Int: CoreKind])?

  /// A machine.
  public init(
    files: MachineFiles, affinity: @escaping @Sendable () -> CPUSet?,
    coreKinds: (@Sendable (CPUSet) -> [Int: CoreKind])? = nil
  ) {
    self.files = files
    self.affinity = affinity
    self.coreKinds = coreKinds
  }

  /// This machine. Its CPUs are asked with CPUID only when the files leave the classes open and the processor says that
  /// it is hybrid; the calling thread then visits each CPU that it may use, and returns.
  public static var live: Machine {
    Machine(
      files: MachineFiles(sysfs: "/sys", procfs: "/proc"), affinity: { Affinity.current() },
      coreKinds: CoreKindReader.read)
  }

  /// Another machine, or one of a test.
  /// - Parameters:
  ///   - sysfs: what stands for /sys.
  ///   - procfs: what stands for /proc; nil: nothing is known of the process and its control group.
  public static func files(sysfs: String, procfs: String?) -> Machine {
    let files = MachineFiles(sysfs: sysfs, procfs: procfs)
    return Machine(files: files, affinity: { statusAffinity(files) })
  }

  /// Everything about it.
  /// - Parameter environment: the value of a variable, for the overrides; nil when it is not set.
  /// - Throws: when the overrides cannot be used.
  public func topology(environment: (String) -> String?) throws(ClassOverrideError) -> Topology {
    let possible = files.list(Self.cpu + "possible") ?? online(affinity()).cpus
    return topology(overrides: try ClassOverrides(possible: possible, environment: environment))
  }

  /// Everything about it, with these overrides; CPUs that they name and that are not there are left out.
  public func topology(overrides: ClassOverrides = ClassOverrides()) -> Topology {
    let allowance = allowance()
    let (online, isKnown) = online(allowance.affinity)
    var topology = Topology(online: online)
    topology.allowance = allowance
    topology.possible = (files.list(Self.cpu + "possible") ?? online).union(online)
    topology.offline = (files.list(Self.cpu + "present") ?? online).subtracting(online)
    topology.isolated = (files.list(Self.cpu + "isolated") ?? []).intersection(online)
    topology.nodes = CPUReader.nodes(files, online: online)
    var reader = CPUReader(files: files, online: online)
    topology.cpus = reader.cpus(nodes: topology.nodes)
    topology.caches = reader.caches
    topology.model = CPUReader.model(files, cpus: topology.cpus)

    let detection = ClassDetection(
      files: files, online: online, cpus: topology.cpus, caches: reader.caches, withCaches: reader.withCaches,
      coreKinds: coreKinds, allowed: topology.allowed)
    let found = detection.run()
    topology.classes = found.classes
    topology.basis = found.basis
    topology.lowPowerBasis = found.lowPowerBasis
    if !isKnown { topology.notes.append(.onlineUnknown) }
    topology.notes += found.notes
    if !overrides.isEmpty {
      topology.classes = overrides.applied(to: found.classes, online: online)
      topology.basis = .overrides
      topology.lowPowerBasis = nil
      let offline = CoreClass.allCases.reduce(into: CPUSet()) { $0.formUnion(overrides[$1] ?? []) }.subtracting(online)
      if !offline.isEmpty { topology.notes.append(.overriddenOffline(offline)) }
    }
    if !topology.classes.unclassified.isEmpty { topology.notes.append(.unclassified(topology.classes.unclassified)) }
    if let cpuset = allowance.cpuset, topology.allowed.isDisjoint(with: cpuset), !online.isEmpty {
      topology.notes.append(.cpusetElsewhere(cpuset))
    }
    return topology
  }

  static let cpu = "sys/devices/system/cpu/"

  /// The CPUs online. Where sysfs is hidden, those of which something else is known.
  func online(_ affinity: CPUSet?) -> (cpus: CPUSet, isKnown: Bool) {
    if let online = files.list(Self.cpu + "online"), !online.isEmpty { return (online, true) }
    return (affinity ?? [], false)
  }

  /// What this process may use.
  func allowance() -> Allowance {
    let groups = ControlGroups(files)
    let cpuset = groups.cpuset()
    return Allowance(
      affinity: affinity(), cpuset: cpuset?.cpus, cpusetVersion: cpuset?.version, quota: groups.quota())
  }

  /// Cpus_allowed_list of /proc/self/status.
  private static func statusAffinity(_ files: MachineFiles) -> CPUSet? {
    for line in (files.whole("proc/self/status", 64 * 1024) ?? []).lines {
      guard line.starts(with: "Cpus_allowed_list:".utf8), let colon = line.firstIndex(of: 0x3A) else { continue }
      return try? CPUSet(list: line[(colon &+ 1)...])
    }
    return nil
  }
}
