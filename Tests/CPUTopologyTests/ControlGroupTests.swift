// Where the cpuset and the quota are found, in every way in which cgroups are mounted.

import CPUTopology
import Testing

@Suite struct ControlGroupTests {
  private func allowance(_ files: [String: String]) -> Allowance {
    var tree = MachineTree()
    tree.files = files.mapValues { Array($0.utf8) }
    tree.files["sys/devices/system/cpu/online"] = Array("0-7\n".utf8)
    return tree.machine.topology().allowance
  }

  private let v2 = "30 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"

  @Test func theNearestGroupWithAFileCounts() {
    let found = allowance([
      "proc/self/mountinfo": v2, "proc/self/cgroup": "0::/a/b/c\n",
      "sys/fs/cgroup/cpuset.cpus.effective": "0-7\n", "sys/fs/cgroup/a/cpuset.cpus.effective": "0-3\n",
    ])
    #expect(found.cpuset == CPUSet(0...3) && found.cpusetVersion == 2)
  }

  @Test func theNarrowestQuotaCounts() {
    let found = allowance([
      "proc/self/mountinfo": v2, "proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
      "sys/fs/cgroup/a/cpu.max": "30000 20000\n", "sys/fs/cgroup/cpu.max": "400000 100000\n",
    ])
    #expect(found.quota == CPUQuota(quota: 30000, period: 20000) && found.quota?.cpus == 1.5)
  }

  /// A path that leads out of what is mounted names another container's group.
  @Test func aPathOutOfTheNamespaceIsNotFollowed() {
    let found = allowance([
      "proc/self/mountinfo": v2, "proc/self/cgroup": "0::/../other\n",
      "sys/fs/cgroup/../other/cpuset.cpus.effective": "7\n", "sys/fs/cgroup/cpuset.cpus.effective": "2\n",
      "sys/fs/cgroup/cpu.max": "0 100000\n",
    ])
    #expect(found.cpuset == [2])
    #expect(found.quota == nil)
  }

  @Test func noQuotaIsNone() {
    let found = allowance([
      "proc/self/mountinfo": "30 20 0:26 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n",
      "proc/self/cgroup": "4:cpu,cpuacct:/\n", "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
      "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
    ])
    #expect(found.quota == nil)
  }

  /// A container whose cgroup file shows the host's path, with and without the mount's root to match it.
  @Test func theMountsRootIsTakenOff() {
    for (root, path, directory) in [
      ("/docker/x", "/docker/x", ""), ("/docker/x", "/docker/x/inner", "inner/"), ("/docker/x", "/other", ""),
      ("/", "/../../elsewhere", ""), ("/docker/x", "/docker/xy", ""),
    ] {
      let found = allowance([
        "proc/self/mountinfo": "30 20 0:26 \(root) /sys/fs/cgroup/cpuset ro - cgroup cgroup rw,cpuset\n",
        "proc/self/cgroup": "5:cpuset:\(path)\n", "sys/fs/cgroup/cpuset/\(directory)cpuset.cpus": "2-3\n",
      ])
      #expect(found.cpuset == [2, 3] && found.cpusetVersion == 1, "\(root) \(path)")
    }
  }

  @Test func escapedMountPointsAreRead() {
    let found = allowance([
      "proc/self/mountinfo": "30 20 0:26 / /sys/fs/c\\040g rw shared:1 master:2 - cgroup2 none rw\n",
      "proc/self/cgroup": "0::/\n", "sys/fs/c g/cpuset.cpus.effective": "5\n",
    ])
    #expect(found.cpuset == [5])
  }

  /// A cpuset that has nothing in common with where the process may run is not its own.
  @Test func anothersCPUSetNarrowsNothing() throws {
    var tree = try MachineTree(named: "vm-kvm")
    tree.files["sys/fs/cgroup/cpuset/cpuset.effective_cpus"] = Array("6-7\n".utf8)
    let topology = tree.machine.topology()
    #expect(topology.allowed == [0, 1] && topology.notes == [.cpusetElsewhere([6, 7])])
  }
}
