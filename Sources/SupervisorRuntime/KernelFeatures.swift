import CHiveSys

/// Features that younger kernels have and that there is a fallback for. As a set of what to do *without*, it forces the fallbacks.
public struct KernelFeatures: OptionSet, Sendable {
  /// `HIVE_WITHOUT_*` bits of spawn.c.
  public let rawValue: UInt32

  /// From bits.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  private init(_ flag: hive_spawn_without) { self.init(rawValue: flag.rawValue) }

  /// CLONE_PIDFD, Linux 5.2. Fallback: pidfd_open.
  public static let clonePidfd = KernelFeatures(HIVE_WITHOUT_CLONE_PIDFD)
  /// pidfd_open(2), Linux 5.3. Fallback: the pid, whose zombie only we reap.
  public static let pidfdOpen = KernelFeatures(HIVE_WITHOUT_PIDFD_OPEN)
  /// CLOSE_RANGE_CLOEXEC, Linux 5.11. Fallback: close_range around the status pipe.
  public static let closeRangeCloexec = KernelFeatures(HIVE_WITHOUT_CLOSE_RANGE_CLOEXEC)
  /// close_range(2), Linux 5.9. Fallback: /proc/self/fd.
  public static let closeRange = KernelFeatures(HIVE_WITHOUT_CLOSE_RANGE)
  /// /proc/self/fd. Fallback: every number up to the limit, at most 65536.
  public static let procDescriptors = KernelFeatures(HIVE_WITHOUT_PROC_FD)
  /// CLONE_VM and CLONE_VFORK, which emulators turn into a fork. Fallback: the outcome arrives later, on the status pipe.
  public static let sharedMemory = KernelFeatures(HIVE_WITHOUT_SHARED_MEMORY)
  /// CLONE_INTO_CGROUP, Linux 5.7. Fallback: the supervisor's own cgroup.
  public static let cloneIntoCgroup = KernelFeatures(HIVE_WITHOUT_CLONE_INTO_CGROUP)
}
