// The topology as JSON. Frequencies are in kHz and sizes in bytes, as the kernel has them; sets of CPUs are lists in
// its own words ("0-3,8").

import ControlProtocol

extension Topology {
  /// Writes it as one object.
  /// - Parameter programs: where the supervised programs run; nil: nobody was asked.
  public func write(to writer: inout JSONWriter, programs: [PlacedProgram]? = nil) {
    writer.beginObject()
    writer.member("model", model)
    writer.member("hybrid", classes.isHybrid)
    writer.member("basis", basis.rawValue)
    writer.member("low_power_basis", lowPowerBasis?.rawValue)
    writer.member("packages", packages)
    writer.member("cores", cores.count)
    writer.member("online", online.list)
    writer.member("offline", offline.list)
    writer.member("possible", possible.list)
    writer.member("isolated", isolated.list)
    writeAllowance(to: &writer)
    writer.key("classes")
    writer.beginArray()
    for coreClass in CoreClass.allCases where !classes[coreClass].isEmpty { write(coreClass, to: &writer) }
    writer.endArray()
    writer.member("unclassified", classes.unclassified.list)
    writer.key("requests")
    writer.beginArray()
    for coreClass in CoreClass.allCases { write(placement(.classes([coreClass])), to: &writer) }
    writer.endArray()
    writer.key("caches")
    writer.beginArray()
    for cache in caches { write(cache, to: &writer) }
    writer.endArray()
    writer.key("nodes")
    writer.beginArray()
    for node in nodes {
      writer.beginObject()
      writer.member("node", node.id)
      writer.member("cpus", node.cpus.list)
      writer.member("memory_bytes", node.memoryBytes)
      writer.endObject()
    }
    writer.endArray()
    writer.key("cpus")
    writer.beginArray()
    for cpu in cpus { write(cpu, to: &writer) }
    writer.endArray()
    writer.member("notes", notes.map(\.text))
    writer.key("programs")
    if let programs {
      writer.beginArray()
      for program in programs { write(program, to: &writer) }
      writer.endArray()
    } else {
      writer.null()
    }
    writer.endObject()
  }

  private func writeAllowance(to writer: inout JSONWriter) {
    writer.member("allowed", allowed.list)
    writer.member("affinity", allowance.affinity?.list)
    writer.key("cpuset")
    if let cpuset = allowance.cpuset {
      writer.beginObject()
      writer.member("version", allowance.cpusetVersion)
      writer.member("cpus", cpuset.list)
      writer.endObject()
    } else {
      writer.null()
    }
    writer.key("quota")
    if let quota = allowance.quota {
      writer.beginObject()
      writer.member("cpus", quota.cpus, decimals: 3)
      writer.member("quota_microseconds", quota.quota)
      writer.member("period_microseconds", quota.period)
      writer.endObject()
    } else {
      writer.null()
    }
  }

  private func write(_ coreClass: CoreClass, to writer: inout JSONWriter) {
    let set = classes[coreClass]
    let members = cpus.filter { set.contains($0.id) }
    writer.beginObject()
    writer.member("class", coreClass.rawValue)
    writer.member("cpus", set.list)
    writer.member("allowed", set.intersection(allowed).list)
    writer.member("one_per_core", onePerCore(set).list)
    writer.member("cores", cores.count { !$0.isDisjoint(with: set) })
    writer.member("lowest_maximum_khz", members.compactMap(\.maximumKilohertz).min())
    writer.member("highest_maximum_khz", members.compactMap(\.maximumKilohertz).max())
    writer.member("base_khz", members.compactMap(\.baseKilohertz).max())
    writer.endObject()
  }

  private func write(_ placement: Placement, to writer: inout JSONWriter) {
    writer.beginObject()
    writer.member("request", placement.request.text)
    writer.member("cpus", placement.cpus.list)
    writer.member("one_per_core", onePerCore(placement.cpus).list)
    writer.member("class", placement.coreClass?.rawValue)
    writer.key("reasons")
    writer.beginArray()
    for reason in placement.reasons {
      writer.beginObject()
      writer.member("code", reason.code)
      writer.member("text", reason.text)
      writer.endObject()
    }
    writer.endArray()
    writer.endObject()
  }

  private func write(_ cache: CPUCache, to writer: inout JSONWriter) {
    writer.beginObject()
    writer.member("level", cache.level)
    writer.member("type", cache.type)
    writer.member("bytes", cache.bytes)
    writer.member("cpus", cache.cpus.list)
    writer.endObject()
  }

  private func write(_ cpu: LogicalCPU, to writer: inout JSONWriter) {
    writer.beginObject()
    writer.member("cpu", cpu.id)
    writer.member("class", classes.of(cpu.id)?.rawValue)
    writer.member("siblings", cpu.siblings.list)
    writer.member("package", cpu.package)
    writer.member("node", cpu.node)
    writer.member("core_name", cpu.coreName)
    writer.member("maximum_khz", cpu.maximumKilohertz)
    writer.member("base_khz", cpu.baseKilohertz)
    writer.member("capacity", cpu.capacity)
    writer.endObject()
  }

  private func write(_ program: PlacedProgram, to writer: inout JSONWriter) {
    writer.beginObject()
    writer.member("name", program.name)
    writer.member("pid", program.pid)
    writer.member("requested", program.requested)
    writer.member("cpus", program.cpus?.list)
    writer.member("explanation", program.explanation)
    writer.endObject()
  }
}
