// What the kernel's out-of-memory killer did in this container. It mostly hits a process that is nobody's child here (a backend of
// PostgreSQL), whose end nobody but its own parent sees, and only as signal 9.

import SupervisorCore

extension Daemon {
  /// Log and event of kills that were found.
  func watchMemory() {
    memory.noticed = { [weak self] count in
      guard let self else { return }
      let processes = count == 1 ? "a process" : "\(count) processes"
      let limit = self.memory.limit.map { "; the memory limit is \($0 >> 20) MB" } ?? ""
      self.send(
        .remark(
          "out of memory: the kernel has killed \(processes) of this container (\(self.memory.kills) since the start)\(limit); give it more memory, or let its programs use less",
          isWarning: true))
    }
  }
}
