// Control groups (cgroups(7)): where they are, and one directory per run where we may make one. All paths below injectable roots.

import CHiveSys
import Glibc

/// Where this process stands in the cgroup hierarchies.
public struct CgroupPlace: Equatable, Sendable {
  /// The hierarchies that are mounted.
  public enum Version: String, Sendable {
    /// None is visible.
    case none
    /// Only the old per-controller hierarchies.
    case v1
    /// Old controllers, and an empty v2 hierarchy beside them (`/sys/fs/cgroup/unified`).
    case hybrid
    /// Only the unified hierarchy.
    case v2
  }

  /// What is mounted.
  public var version: Version
  /// The directory of our own v2 cgroup.
  public var unified: String?
  /// The directory of our own cgroup of the v1 memory controller.
  public var memory: String?
  /// The `cpuset.cpus` of our own cgroup and of those above it, as far as they can be seen, nearest first.
  public var cpusetFiles: [String] = []

  /// Looks it up below `root`, by the lines of `selfCgroup` (`4:memory:/path`, `0::/path`).
  public static func detect(
    root: String = "/sys/fs/cgroup", selfCgroup: String = "/proc/self/cgroup"
  ) -> CgroupPlace {
    let lines = (try? FileBytes.read(selfCgroup, limit: 64 * 1024)) ?? []
    var unifiedPath: String?
    var memoryPath: String?
    var cpusetPath: String?
    for line in String(decoding: lines, as: UTF8.self).split(separator: "\n") {
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { continue }
      if fields[0] == "0" && fields[1].isEmpty { unifiedPath = String(fields[2]) }
      let controllers = fields[1].split(separator: ",")
      if controllers.contains("memory") { memoryPath = String(fields[2]) }
      if controllers.contains("cpuset") { cpusetPath = String(fields[2]) }
    }
    let unifiedRoot: String?
    let version: Version
    if exists("\(root)/cgroup.procs") {
      (unifiedRoot, version) = (root, .v2)
    } else if exists("\(root)/unified/cgroup.procs") {
      (unifiedRoot, version) = ("\(root)/unified", .hybrid)
    } else {
      (unifiedRoot, version) = (nil, exists("\(root)/memory") || exists("\(root)/cpu") ? .v1 : .none)
    }
    let unified = unifiedRoot.flatMap { place(in: $0, path: unifiedPath, marker: "cgroup.procs") }
    let cpuset = place(in: "\(root)/cpuset", path: cpusetPath, marker: "cgroup.procs")
    return CgroupPlace(
      version: version, unified: unified,
      memory: place(in: "\(root)/memory", path: memoryPath, marker: "cgroup.procs"),
      cpusetFiles: cpusetFiles(from: cpuset, to: "\(root)/cpuset") + cpusetFiles(from: unified, to: unifiedRoot ?? ""))
  }

  private static func cpusetFiles(from place: String?, to mount: String) -> [String] {
    guard var directory = place else { return [] }
    var files: [String] = []
    while files.count < 16 {
      if exists("\(directory)/cpuset.cpus") { files.append("\(directory)/cpuset.cpus") }
      guard directory.utf8.count > mount.utf8.count, let slash = directory.lastIndex(of: "/") else { break }
      directory = String(directory[..<slash])
    }
    return files
  }

  /// Without a cgroup namespace the path is the host's, while the mount shows only our own part of the tree.
  private static func place(in mount: String, path: String?, marker: String) -> String? {
    if let path, path != "/", !path.split(separator: "/").contains(".."), exists("\(mount)\(path)/\(marker)") {
      return "\(mount)\(path)"
    }
    return exists("\(mount)/\(marker)") ? mount : nil
  }

  private static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }
}

/// A cgroup v2 of ours, for the processes of one run. Its directory goes with the object.
public final class Cgroup {
  /// Its directory.
  public let path: String
  /// For `SpawnRequest.cgroup`.
  public let descriptor: Int32

  /// Makes `name` below `parent`, or takes the one that is there. Throws where the hierarchy is read-only (most containers), or
  /// not ours.
  public init(parent: String, name: String) throws(SystemError) {
    // A program's name may be anything but a path.
    let safe = String(name.map { $0 == "/" || $0 == "\0" ? "_" : $0 })
    path = "\(parent)/\(safe.isEmpty || safe.first == "." ? "_\(safe)" : safe)"
    if mkdir(path, 0o755) != 0 && errno != EEXIST {
      let reason = errno
      descriptor = -1
      throw SystemError("make the cgroup \(path)", errno: reason)
    }
    descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if descriptor < 0 { throw SystemError("open the cgroup \(path)", errno: errno) }
  }

  deinit {
    if descriptor >= 0 { close(descriptor) }
    remove()
  }

  /// Whether no process is in it or below it.
  public var isEmpty: Bool {
    guard let bytes = try? FileBytes.read("\(path)/cgroup.events", limit: 4096) else { return processes().isEmpty }
    return !String(decoding: bytes, as: UTF8.self).split(separator: "\n").contains("populated 1")
  }

  /// The processes in it, zombies not among them. Processes of foreign pid namespaces, shown as 0, are left out.
  public func processes() -> [Int32] {
    guard let bytes = try? FileBytes.read("\(path)/cgroup.procs", limit: 16 * 1024 * 1024) else { return [] }
    return bytes.split(separator: 0x0A).compactMap { decimalNumber($0).flatMap { Int32(exactly: $0) } }.filter {
      $0 > 0
    }
  }

  /// Kills all in it at once (cgroup.kill, Linux 5.14). False where that cannot be done: no such file, a threaded cgroup
  /// (EOPNOTSUPP), a runtime that refuses it (EINVAL) - or this process itself is inside. The caller's signals then do it.
  @discardableResult
  public func kill() -> Bool {
    if processes().contains(getpid()) { return false }
    let file = open("\(path)/cgroup.kill", O_WRONLY | O_CLOEXEC)
    if file < 0 { return false }
    defer { close(file) }
    return write(file, "1", 1) == 1
  }

  /// Removes the directory; false while something is in it (EBUSY).
  @discardableResult
  public func remove() -> Bool { rmdir(path) == 0 || errno == ENOENT }
}

/// A cgroup for each run, below one of the supervisor's own. Only for a supervisor that owns the hierarchy that it sees: PID 1 of a
/// container, or where somebody delegated it (systemd's `Delegate=yes`).
///
/// No cgroup is used twice: once cgroup.kill has been written, Linux (seen on 6.18) kills every process that is born into it by
/// CLONE_INTO_CGROUP, for cgroup_css_set_fork() compares the kill count of the parent's cgroup with that of the child's.
public final class ProgramCgroups {
  /// The directory that holds them.
  public let path: String
  private var made: UInt64 = 0

  /// Makes the directory below the place's own cgroup, and tries whether a child can be born in one; nil where that cannot be done,
  /// which `hivesup doctor` explains.
  public init?(place: CgroupPlace) {
    guard let unified = place.unified else { return nil }
    // Nobody else's, ever: pid namespaces may share a cgroup (then everybody is PID 1), and what a predecessor left behind may be spent.
    var fresh = ""
    for _ in 0..<8 {
      fresh = "\(unified)/hivesup.\(String(UInt64.random(in: 0...UInt64.max), radix: 16))"
      if mkdir(fresh, 0o755) == 0 { break }
      if errno != EEXIST { return nil }
    }
    path = fresh
    guard let trial = cgroup(for: "trial"), hive_probe_cgroup(trial.descriptor) == 0 else {
      removeDirectory()
      return nil
    }
  }

  deinit { removeDirectory() }

  /// At exit: nothing of ours stays. What still holds a process (EBUSY) goes with the container.
  public func removeDirectory() { rmdir(path) }

  /// The cgroup for the next run of a program (its namespec); nil when the kernel refuses (a limit of descendants is reached): the
  /// program then runs without one.
  public func cgroup(for program: String) -> Cgroup? {
    made &+= 1
    return try? Cgroup(parent: path, name: "\(program).\(made)")
  }
}
