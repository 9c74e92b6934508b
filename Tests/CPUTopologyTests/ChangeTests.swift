import CPUTopology
import Testing

@Suite struct ChangeTests {
  private func fingerprint(_ tree: MachineTree) -> TopologyFingerprint { tree.machine.fingerprint() }

  @Test func everyChangeIsNoticedAndNamed() throws {
    let tree = try MachineTree(named: "container-cpuset-v2")
    let before = fingerprint(tree)
    #expect(fingerprint(tree).changes(since: before).isEmpty)
    let changes: [(file: String, content: String, change: String)] = [
      ("sys/devices/system/cpu/online", "0-19", "CPU 20-21 went offline"),
      ("sys/devices/system/cpu/isolated", "4-5", "isolated CPUs: 4-5"),
      ("sys/devices/cpu_atom/cpus", "12-19", "the kernel's event sources for core classes name other CPUs"),
      ("sys/fs/cgroup/cpuset.cpus.effective", "1", "CPUs allowed by the cpuset: 1"),
      ("proc/self/status", "Cpus_allowed_list:\t1-2", "CPUs allowed by affinity: 1-2"),
      ("sys/fs/cgroup/cpu.max", "max 100000", "CPU quota: none"),
      ("sys/fs/cgroup/cpu.max", "25000 100000", "CPU quota: 0.25"),
    ]
    for (file, content, change) in changes {
      var changed = tree
      changed.files[file] = Array((content + "\n").utf8)
      let after = fingerprint(changed)
      #expect(after != before && after.changes(since: before) == [change], "\(file)")
    }
  }

  @Test func comingBackIsToldToo() throws {
    let all = try MachineTree(named: "alder-lake-12700k").machine.fingerprint()
    let some = try MachineTree(named: "alder-lake-nosmt").machine.fingerprint()
    #expect(all.changes(since: some).first == "CPU 1,3,5,7,9,11,13,15 came online")
    #expect(some.changes(since: all).first == "CPU 1,3,5,7,9,11,13,15 went offline")
  }
}
