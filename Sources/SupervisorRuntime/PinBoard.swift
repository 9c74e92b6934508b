// What was asked for each program's CPUs and priorities, what was set, and what the kernel refused.

import CPUTopology
import Glibc
import SupervisorCore

/// The present state of what programs asked for, and what has been said about it.
final class PinBoard {
  /// One program's.
  struct Entry {
    /// What its CPUs came to when they were last set; nil: it asks for none.
    var placement: Placement?
    /// The CPUs that were set; nil: those of the supervisor.
    var cpus: CPUSet?
    /// What was set besides.
    var policy: SchedulingPolicy?
    var priorities = Priorities()
    /// What the kernel refused of it.
    var refused: [RefusedSetting] = []
  }

  let view: MachineView
  /// Where the supervisor itself runs.
  let own: OwnPlace
  /// Waits only where a program asks for CPUs.
  var watch: CPUChangeWatch?
  private(set) var entries: [ProgramID: Entry] = [:]
  private var said: Set<String> = []

  /// A board with nothing on it.
  init(own: OwnPlace = OwnPlace(), environment: @escaping (String) -> String?) {
    self.own = own
    view = MachineView(environment: environment, affinity: own.allowed)
  }

  /// What is known of a program; an empty entry where nothing is.
  subscript(_ program: ProgramID) -> Entry {
    get { entries[program] ?? Entry() }
    set { entries[program] = newValue }
  }

  /// The program is gone.
  func remove(_ program: ProgramID) { entries[program] = nil }

  /// Whether this is said for the first time.
  func isNew(_ text: String) -> Bool { said.insert(text).inserted }

  /// Writes down what the kernel refused of these settings, in place of what it refused of them before.
  func note(_ program: ProgramID, _ refused: [RefusedSetting], of settings: Set<RefusedSetting.Setting>) {
    var entry = self[program]
    entry.refused.removeAll { settings.contains($0.setting) }
    entry.refused += refused
    entries[program] = entry
  }
}
