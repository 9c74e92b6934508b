// Where the server's processes ran before a monitor placed them, and where it has placed them, kept in the run directory: a monitor that
// comes later and is told to place nothing (HIVE_PG_PIN=off after a reload) can put back what one before it has done to a server that
// runs on, and only that: the supervisor, or a person, may have placed it anew since.

import CPUTopology
import Glibc

/// What a monitor has moved.
struct PinRecord: Equatable {
  /// The server: its next one has never been moved.
  var postmaster: ProcessIdentity
  /// Where it ran when it was met first.
  var cpus: CPUSet
  /// Where it was placed last.
  var placed: [PinGroup: CPUSet]

  init(postmaster: ProcessIdentity, cpus: CPUSet, placed: [PinGroup: CPUSet] = [:]) {
    self.postmaster = postmaster
    self.cpus = cpus
    self.placed = placed
  }

  /// "PID START CPUS", then "GROUP=CPUS" for each group that was placed. nil for anything else.
  init?(text: String) {
    let words = text.split(whereSeparator: \.isWhitespace)
    guard words.count >= 3, let pid = pid_t(words[0]), pid > 0, let start = UInt64(words[1]),
      let cpus = try? CPUSet(list: String(words[2])), !cpus.isEmpty
    else { return nil }
    self.init(postmaster: ProcessIdentity(pid: pid, start: start), cpus: cpus)
    for word in words.dropFirst(3) {
      let parts = word.split(separator: "=", maxSplits: 1)
      guard parts.count == 2, let group = PinGroup(rawValue: String(parts[0])),
        let cpus = try? CPUSet(list: String(parts[1])), !cpus.isEmpty
      else { return nil }
      placed[group] = cpus
    }
  }

  var text: String {
    let places = PinGroup.allCases.compactMap { group in placed[group].map { " \(group.rawValue)=\($0.list)" } }
    return "\(postmaster.pid) \(postmaster.start) \(cpus.list)\(places.joined())\n"
  }

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
