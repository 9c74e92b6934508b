// Where the server's processes ran before a monitor placed them, kept in the run directory: a monitor that comes later and is told to place
// nothing (HIVE_PG_PIN=off after a reload) can put back what one before it has done to a server that runs on.

import CPUTopology
import Glibc

/// What a monitor has moved.
struct PinRecord: Equatable {
  /// The server: its next one has never been moved.
  var postmaster: ProcessIdentity
  /// Where it ran when it was met first.
  var cpus: CPUSet

  init(postmaster: ProcessIdentity, cpus: CPUSet) {
    self.postmaster = postmaster
    self.cpus = cpus
  }

  /// "PID START CPUS". nil for anything else.
  init?(text: String) {
    let words = text.split(whereSeparator: \.isWhitespace)
    guard words.count == 3, let pid = pid_t(words[0]), pid > 0, let start = UInt64(words[1]),
      let cpus = try? CPUSet(list: String(words[2])), !cpus.isEmpty
    else { return nil }
    self.init(postmaster: ProcessIdentity(pid: pid, start: start), cpus: cpus)
  }

  var text: String { "\(postmaster.pid) \(postmaster.start) \(cpus.list)\n" }

  /// The record's place, or a test's.
  struct Store {
    var read: () -> PinRecord?
    /// nil: there is nothing to put back any more.
    var write: (PinRecord?) -> Void

    /// Nowhere.
    static var none: Store { Store(read: { nil }, write: { _ in }) }

    /// A file of the run directory. Where it cannot be written, nothing is put back.
    static func file(in directory: String) -> Store {
      let path = Path.join(directory, "pinned")
      return Store(
        read: { ((try? FileSystem.readText(path)) ?? nil).flatMap { PinRecord(text: $0) } },
        write: { record in
          if let record {
            try? FileSystem.writeAtomically(path, record.text.utf8, mode: 0o644)
          } else {
            unlink(path)
          }
        })
    }
  }
}
