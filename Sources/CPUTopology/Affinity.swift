// sched_getaffinity and sched_setaffinity for any number of CPUs.

import CCPUTopology
import Glibc

/// The CPUs on which a thread may run (sched_setaffinity(2)).
public enum Affinity {
  /// The CPUs on which this thread may run, as far as they are active. The kernel keeps the cpuset within it.
  /// - Parameter thread: a thread's id; 0 is the calling one.
  /// - Returns: nil when there is no such thread, or the machine has more than 8192 CPUs.
  public static func current(of thread: pid_t = 0) -> CPUSet? {
    var words = [UInt64](repeating: 0, count: CPUSet.capacity / 64)
    return hive_get_affinity(thread, &words, words.count) == 0 ? CPUSet(words: words) : nil
  }

  /// Whether a thread may run on these CPUs and no others. For those who ask about hundreds of threads: it allocates nothing.
  /// - Parameter thread: a thread's id; 0 is the calling one.
  /// - Returns: nil when there is no such thread, or the machine has more than 8192 CPUs.
  public static func isExactly(_ cpus: CPUSet, of thread: pid_t = 0) -> Bool? {
    let count = CPUSet.capacity / 64
    return withUnsafeTemporaryAllocation(of: UInt64.self, capacity: count) { words -> Bool? in
      guard let base = words.baseAddress, hive_get_affinity(thread, base, count) == 0 else { return nil }
      // The last word of a set is never 0, and the kernel's are 0 beyond it when the sets are the same.
      let used = cpus.words.count
      return cpus.words.withUnsafeBytes { wanted in
        if let start = wanted.baseAddress, memcmp(start, base, wanted.count) != 0 { return false }
        for index in used..<count where words[index] != 0 { return false }
        return true
      }
    }
  }

  /// Lets a thread run on these CPUs alone. The kernel takes out silently what the cpuset does not allow (cpuset(7)):
  /// read it back.
  /// - Parameter thread: a thread's id; 0 is the calling one.
  /// - Returns: 0, or errno: EINVAL when nothing of the set is allowed, EPERM for another user's thread without
  ///   CAP_SYS_NICE, ESRCH.
  public static func set(_ cpus: CPUSet, of thread: pid_t = 0) -> Int32 {
    var words = cpus.words
    while words.count < CPUSet.capacity / 64 { words.append(0) }
    return hive_set_affinity(thread, words, words.count)
  }
}
