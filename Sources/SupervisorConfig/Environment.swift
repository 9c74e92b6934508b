// A child's whole environment, in supervisord's order: the supervisor's own, SUPERVISOR_*, `[supervisord] environment`,
// the program's `environment` (supervisor/process.py `spawn`, 4.3.0).

import SupervisorCore

/// Sorted entries over which other entries are laid.
struct EnvironmentBase {
  private let entries: [EnvironmentEntry]

  /// The supervisor's own environment; the last of equal names counts.
  init(_ environment: [(String, String)]) {
    var values: [String: String] = [:]
    for (name, value) in environment { values[name] = value }
    entries = values.map { EnvironmentEntry($0.key, $0.value) }.sorted { precedes($0.name, $1.name) }
  }

  /// These entries with others over them, sorted by name.
  func overlaid(with overlay: [String: String]) -> [EnvironmentEntry] {
    let above = overlay.map { EnvironmentEntry($0.key, $0.value) }.sorted { precedes($0.name, $1.name) }
    var result: [EnvironmentEntry] = []
    result.reserveCapacity(entries.count + above.count)
    var next = 0
    for entry in entries {
      while next < above.count, precedes(above[next].name, entry.name) {
        result.append(above[next])
        next += 1
      }
      if next < above.count, above[next].name == entry.name {
        result.append(above[next])
        next += 1
      } else {
        result.append(entry)
      }
    }
    result.append(contentsOf: above[next...])
    return result
  }
}
