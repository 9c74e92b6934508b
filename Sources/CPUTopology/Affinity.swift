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
