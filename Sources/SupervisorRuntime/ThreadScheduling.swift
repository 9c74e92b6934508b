// Changing how a run's threads are scheduled while they run. The kernel's calls are for one thread each, and a thread that is born meanwhile
// has what its creator had: so every thread of every process is set, and looked for again until nobody new is there.

import CHiveSys
import CPUTopology
import Glibc
import SupervisorCore

/// What shall hold for every thread of a run; nil: leave it alone.
struct ThreadSettings {
  /// sched_setaffinity(2).
  var cpus: CPUSet?
  /// Which threads' CPUs are left alone, by those they have now; nil: none.
  var keeps: ((CPUSet) -> Bool)?
  /// setpriority(2).
  var nice: Int32?
  /// sched_setscheduler(2).
  var policy: SchedulingPolicy?
  /// ioprio_set(2)'s value.
  var ioPriority: Int32?

  /// Whether there is nothing to do.
  var isEmpty: Bool { cpus == nil && nice == nil && policy == nil && ioPriority == nil }
}

/// What came of it.
struct ThreadOutcome {
  /// How many processes and threads there were.
  var processes = 0
  /// See `processes`.
  var threads = 0
  /// The first errno of each setting that a thread was refused.
  var refused: [RefusedSetting.Setting: Int32] = [:]
}

extension ThreadSettings {
  /// How often the tree is looked through for threads that were born meanwhile.
  private static let rounds = 16

  /// Sets it for all threads of these processes.
  /// - Parameter members: the living processes, asked again for each round.
  func apply(table: ProcessTable = ProcessTable(), members: () -> [ProcessEntry]) -> ThreadOutcome {
    var outcome = ThreadOutcome()
    var processes: Set<Int32> = []
    var threads: Set<Int32> = []
    for _ in 0..<Self.rounds {
      var isComplete = true
      for process in members() {
        processes.insert(process.pid)
        for thread in table.threads(of: process.pid) where threads.insert(thread).inserted {
          isComplete = false
          set(thread, table, &outcome)
        }
      }
      if isComplete { break }
    }
    outcome.processes = processes.count
    outcome.threads = threads.count
    return outcome
  }

  private func set(_ thread: Int32, _ table: ProcessTable, _ outcome: inout ThreadOutcome) {
    var refused = set(thread)
    // Root without CAP_SYS_NICE (Docker's default) may not change another user's threads, and that user may.
    if refused.values.contains(EPERM), geteuid() == 0, let user = table.user(of: thread), user != 0,
      hive_enter_user(user) == 0
    {
      refused = set(thread)
      hive_leave_user()
    }
    for (setting, error) in refused where error != ESRCH && outcome.refused[setting] == nil {
      outcome.refused[setting] = error
    }
  }

  /// The errnos of what could not be set; ESRCH: the thread has ended.
  private func set(_ thread: Int32) -> [RefusedSetting.Setting: Int32] {
    var refused: [RefusedSetting.Setting: Int32] = [:]
    func note(_ setting: RefusedSetting.Setting, _ error: Int32) { if error != 0 { refused[setting] = error } }
    if let cpus, keeps.map({ keeps in !(Affinity.current(of: thread).map(keeps) ?? false) }) ?? true {
      note(.cpus, Affinity.set(cpus, of: thread))
    }
    if let nice { note(.nice, hive_set_nice(thread, nice)) }
    if let policy {
      let (number, priority) = policy.kernelValue
      note(.policy, hive_set_policy(thread, number, priority))
    }
    if let ioPriority { note(.ioPriority, hive_set_io_priority(thread, ioPriority)) }
    return refused
  }
}
