// Noticing that CPUs came or went, or that the cpuset was changed, without reading the whole machine again.

/// The few facts about the machine that change while it runs, and that placements depend on.
public struct TopologyFingerprint: Equatable, Sendable {
  /// The CPUs online.
  public var online: CPUSet
  /// The CPUs isolated.
  public var isolated: CPUSet
  /// The CPUs of cpu_core, cpu_atom and cpu_lowpower.
  public var eventSources: [CPUSet]
  /// What this process may use.
  public var allowance: Allowance

  /// What is different from what was before, a clause each, for the log; empty when nothing is.
  public func changes(since before: TopologyFingerprint) -> [String] {
    var changes: [String] = []
    let came = online.subtracting(before.online)
    let went = before.online.subtracting(online)
    if !came.isEmpty { changes.append("CPU \(came) came online") }
    if !went.isEmpty { changes.append("CPU \(went) went offline") }
    if isolated != before.isolated { changes.append("isolated CPUs: \(Self.text(isolated))") }
    if eventSources != before.eventSources && online == before.online {
      changes.append("the kernel's event sources for core classes name other CPUs")
    }
    if allowance.affinity != before.allowance.affinity {
      changes.append("CPUs allowed by affinity: \(Self.text(allowance.affinity))")
    }
    if allowance.cpuset != before.allowance.cpuset {
      changes.append("CPUs allowed by the cpuset: \(Self.text(allowance.cpuset))")
    }
    if allowance.quota != before.allowance.quota {
      changes.append("CPU quota: \(allowance.quota.map { decimals($0.cpus) } ?? "none")")
    }
    return changes
  }

  private static func text(_ cpus: CPUSet?) -> String {
    guard let cpus else { return "unknown" }
    return cpus.isEmpty ? "none" : cpus.list
  }
}

extension Machine {
  /// The machine's fingerprint: about a dozen small reads, however many CPUs there are. Read the topology again when it
  /// differs.
  public func fingerprint() -> TopologyFingerprint {
    let allowance = allowance()
    let online = online(allowance.affinity).cpus
    return TopologyFingerprint(
      online: online, isolated: (files.list(Self.cpu + "isolated") ?? []).intersection(online),
      eventSources: ["cpu_core", "cpu_atom", "cpu_lowpower"].map {
        (ClassDetection.eventSource($0, files) ?? []).intersection(online)
      },
      allowance: allowance)
  }
}
