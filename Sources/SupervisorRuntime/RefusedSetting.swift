// What the kernel refused of a program's CPUs and priorities: the program runs without it, and this is what people are told.

import CHiveSys
import Glibc
import SupervisorCore

/// A setting that the kernel refused.
public struct RefusedSetting: Equatable, Hashable, Sendable {
  /// Which.
  public enum Setting: String, CaseIterable, Sendable {
    /// sched_setaffinity(2).
    case cpus
    /// setpriority(2).
    case nice
    /// sched_setscheduler(2).
    case policy = "sched_policy"
    /// ioprio_set(2).
    case ioPriority = "ionice"
    /// set_mempolicy(2).
    case memoryPolicy = "numa_policy"

    init?(_ flag: UInt32) {
      guard let found = Self.allCases.first(where: { $0.flag.rawValue == flag }) else { return nil }
      self = found
    }
  }

  /// Which.
  public var setting: Setting
  /// What was asked for, as the configuration has it.
  public var requested: String
  /// errno.
  public var error: Int32
  /// Whether the program ran already, with what it was started with.
  public var whileRunning: Bool

  /// A refusal.
  public init(_ setting: Setting, _ requested: String, error: Int32, whileRunning: Bool = false) {
    self.setting = setting
    self.requested = requested
    self.error = error
    self.whileRunning = whileRunning
  }

  /// "cannot set nice=-5: Permission denied".
  public var text: String {
    "cannot \(setting == .cpus ? "run on CPU \(requested)" : "set \(setting.rawValue)=\(requested)"): \(errorText(error))"
  }

  /// What would allow it. nil: that is not known.
  public var remedy: String? {
    let needsNice = "CAP_SYS_NICE (docker run --cap-add SYS_NICE)"
    switch (setting, error) {
    case (.cpus, EINVAL): return "name CPUs that the container may use (docker run --cpuset-cpus; hivesup topology)"
    case (.cpus, EPERM) where whileRunning: return "processes of another user need \(needsNice)"
    case (.cpus, EPERM), (.cpus, ENOSYS): return "a seccomp profile that allows sched_setaffinity"
    case (.nice, EACCES), (.nice, EPERM): return "a lower value needs \(needsNice), or limit_nice"
    case (.policy, EPERM) where requested.hasPrefix("fifo") || requested.hasPrefix("rr"):
      return
        "\(needsNice), or limit_rtprio; with cgroup v1 also real-time runtime for the container (docker run --cpu-rt-runtime)"
    case (.policy, EPERM): return "leaving another policy needs \(needsNice)"
    case (.policy, ENOSYS): return "a seccomp profile that allows sched_setscheduler"
    case (.ioPriority, EPERM): return "the realtime class, and processes of another user, need \(needsNice)"
    case (.memoryPolicy, EPERM): return "Docker's seccomp profile allows set_mempolicy with \(needsNice)"
    case (.memoryPolicy, EINVAL):
      return "name NUMA nodes that the machine has and the container may use (cpuset.mems; hivesup topology)"
    case (.memoryPolicy, ENOSYS): return "a kernel with CONFIG_NUMA"
    default: return nil
    }
  }
}

extension hive_spawn_result {
  /// The refusals, in words of what was asked for.
  func refused(_ requested: (RefusedSetting.Setting) -> String) -> [RefusedSetting] {
    var list: [RefusedSetting] = []
    withUnsafeBytes(of: refusals) { bytes in
      for one in bytes.bindMemory(to: hive_refusal.self).prefix(Int(refusal_count)) {
        guard let setting = RefusedSetting.Setting(one.setting) else { continue }
        list.append(RefusedSetting(setting, requested(setting), error: one.error))
      }
    }
    return list
  }
}
