// How a process is known to belong to a run, whatever it does: a number that the kernel hands down to every descendant.
//
// A daemon leaves its process group and session (setsid), its parent (double fork), its environment (PostgreSQL writes its status
// line over it), and where it was changed to another user, PID 1 may not even look at its environment or files without
// CAP_SYS_PTRACE, which containers do not have. What is left is a resource limit: inherited by fork, kept by exec, and shown to
// everybody in /proc/PID/limits. RLIMIT_LOCKS has had no effect since Linux 2.4.25 (getrlimit(2)), so its soft value is free.
//
// Limits of the method: a process may change its own limits (`ulimit -x`); sandboxes such as gVisor refuse the call; a program that
// supervises others itself with hivesup gives them tags of its own. Group, session, descent and cgroup are asked as well.

/// The mark of one run.
public struct RunTag: Hashable, Sendable {
  /// The soft value of RLIMIT_LOCKS.
  public let value: UInt64

  /// What tags are taken from: above anything that somebody would set by hand, below infinity (which is 2⁶⁴ - 1).
  static let range: Range<UInt64> = 1 << 62..<1 << 63

  /// The tag with this value, e.g. one that a journal kept.
  public init(value: UInt64) { self.value = value }
}

/// Hands out tags that no other supervisor in this container is likely to hand out too.
public struct RunTagSource: Sendable {
  private var next: UInt64

  /// A source with its own range of a million million tags, chosen by the kernel's random numbers.
  public init() { self.init(range: UInt32.random(in: 0...0x1F_FFFF)) }

  /// The source of a given range.
  init(range: UInt32) {
    next = RunTag.range.lowerBound | UInt64(range) << 40
  }

  /// A tag that has not been handed out before.
  public mutating func take() -> RunTag {
    next &+= 1
    return RunTag(value: next)
  }
}
