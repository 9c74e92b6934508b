// The cpuset and the CPU quota of this process's control group, v1 and v2 (Documentation/admin-guide/cgroup-v2.rst,
// cgroup-v1/cpusets.rst, scheduler/sched-bwc.rst).

/// Finds this process's control groups below /sys/fs/cgroup.
struct ControlGroups {
  private let files: MachineFiles
  private let mounts: [Mount]
  private let paths: [(controllers: [String], path: String)]

  /// One mounted hierarchy.
  private struct Mount {
    /// Which of its groups is the mount's own root.
    var root: String
    /// Where, named as MachineFiles does: `sys/fs/cgroup`.
    var point: String
    /// nil: version 2.
    var controllers: [String]?
  }

  init(_ files: MachineFiles) {
    self.files = files
    mounts = (files.whole("proc/self/mountinfo", 1 << 20) ?? []).lines.compactMap(Self.mount)
    paths = (files.whole("proc/self/cgroup", 64 * 1024) ?? []).lines.prefix(64).compactMap { line in
      // hierarchy-ID:controller-list:cgroup-path (cgroups(7)); the path may have colons of its own.
      let fields = line.split(separator: 0x3A, maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { return nil }
      let controllers = fields[1].split(separator: 0x2C).map { String(decoding: $0, as: UTF8.self) }
      return (controllers, String(decoding: fields[2], as: UTF8.self))
    }
  }

  /// The cpuset in force, and its cgroup version; nil when it cannot be seen.
  func cpuset() -> (cpus: CPUSet, version: Int)? {
    for directory in directories(of: "cpuset") {
      for name in ["cpuset.effective_cpus", "cpuset.cpus"] {
        if let cpus = files.list("\(directory)/\(name)"), !cpus.isEmpty { return (cpus, 1) }
      }
    }
    for directory in directories(of: nil) {
      // A group above has the file where the controller is not enabled for this one, which then has its cpuset.
      if let cpus = files.list("\(directory)/cpuset.cpus.effective"), !cpus.isEmpty { return (cpus, 2) }
    }
    return nil
  }

  /// The narrowest quota of this group and those above it.
  func quota() -> CPUQuota? {
    var narrowest: CPUQuota?
    func consider(_ quota: Int?, _ period: Int?) {
      guard let quota, let period, quota > 0, period > 0 else { return }
      let candidate = CPUQuota(quota: quota, period: period)
      if narrowest.map({ candidate.cpus < $0.cpus }) ?? true { narrowest = candidate }
    }
    for directory in directories(of: "cpu") {
      // -1, no number here, is no quota.
      consider(files.number("\(directory)/cpu.cfs_quota_us"), files.number("\(directory)/cpu.cfs_period_us"))
    }
    for directory in directories(of: nil) {
      guard let bytes = files.whole("\(directory)/cpu.max", 128) else { continue }
      // "max 100000" is no quota.
      let words = bytes.trimmingSpace.split(whereSeparator: isSpace)
      if words.count == 2 { consider(decimal(words[0]), decimal(words[1])) }
    }
    return narrowest
  }

  /// The directories of this process's group and those above it, nearest first.
  /// - Parameter controller: of version 1; nil: version 2.
  private func directories(of controller: String?) -> [String] {
    let path = paths.first { controller.map($0.controllers.contains) ?? $0.controllers.isEmpty }?.path
    let mount = mounts.first { mount in
      guard let controller else { return mount.controllers == nil }
      return mount.controllers?.contains(controller) ?? false
    }
    guard let path, let mount else { return [] }
    var names = Self.names(path)
    let rootNames = Self.names(mount.root)
    // Outside of what is mounted here (a cgroup namespace shows "/../…" then): only the mount's root can be seen.
    if names.contains("..") || !names.starts(with: rootNames) { names = rootNames }
    names.removeFirst(rootNames.count)

    var directories: [String] = []
    while true {
      directories.append(([mount.point] + names).joined(separator: "/"))
      guard !names.isEmpty, directories.count < 64 else { return directories }
      names.removeLast()
    }
  }

  private static func names(_ path: String) -> [String] { path.split(separator: "/").map(String.init) }

  /// A line of mountinfo (proc_pid_mountinfo(5)) if it is a cgroup hierarchy below /sys.
  private static func mount(_ line: ArraySlice<UInt8>) -> Mount? {
    let fields = line.split(separator: 0x20, maxSplits: 64)
    guard fields.count > 9, let dash = fields.firstIndex(where: { $0.elementsEqual("-".utf8) }),
      dash + 3 < fields.count
    else { return nil }
    let point = unescaped(fields[4])
    guard point.hasPrefix("/sys/") else { return nil }
    let mount = Mount(root: unescaped(fields[3]), point: String(point.dropFirst()), controllers: nil)
    if fields[dash + 1].elementsEqual("cgroup2".utf8) { return mount }
    guard fields[dash + 1].elementsEqual("cgroup".utf8) else { return nil }
    let options = fields[dash + 3].split(separator: 0x2C).map { String(decoding: $0, as: UTF8.self) }
    return Mount(root: mount.root, point: mount.point, controllers: options)
  }

  /// mountinfo writes space, tab, newline and backslash as \ooo.
  private static func unescaped(_ field: ArraySlice<UInt8>) -> String {
    var bytes: [UInt8] = []
    var rest = field
    while let byte = rest.popFirst() {
      let digits = rest.prefix(3)
      if byte == 0x5C, digits.count == 3, digits.allSatisfy({ $0 >= 0x30 && $0 <= 0x37 }) {
        bytes.append(digits.reduce(0) { $0 << 3 | ($1 & 7) })
        rest = rest.dropFirst(3)
      } else {
        bytes.append(byte)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
