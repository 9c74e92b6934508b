// Deadlines: a binary heap of (instant, program, kind). Each program knows when each of its timers is due, so an entry of the heap
// that does not match any more is stale: it is skipped when it comes to the top, and swept out when stale ones are the majority.

/// What a program's timer is for. One of each kind at most.
enum TimerKind: UInt8, CaseIterable, Sendable {
  /// `startsecs`, or `ready_deadline`.
  case startup
  /// The delay before the next attempt (BACKOFF).
  case delay
  /// The present step of the stop plan.
  case stop
  /// The present step of the tree plan.
  case tree
  /// The next readiness probe, or the end of patience for the one under way.
  case ready
  /// The same for liveness; the watchdog's deadline.
  case liveness
  /// The next look at the schedule.
  case schedule
  /// Patience for an exec status that has not come although the process has exited.
  case execStatus
}

/// When each of a program's timers is due.
struct ProgramTimers: Sendable {
  private var due: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (
    .max, .max, .max, .max, .max, .max, .max, .max
  )

  subscript(kind: TimerKind) -> Instant? {
    get {
      let value =
        switch kind {
        case .startup: due.0
        case .delay: due.1
        case .stop: due.2
        case .tree: due.3
        case .ready: due.4
        case .liveness: due.5
        case .schedule: due.6
        case .execStatus: due.7
        }
      return value == .max ? nil : Instant(nanoseconds: value)
    }
    set {
      let value = newValue?.nanoseconds ?? .max
      switch kind {
      case .startup: due.0 = value
      case .delay: due.1 = value
      case .stop: due.2 = value
      case .tree: due.3 = value
      case .ready: due.4 = value
      case .liveness: due.5 = value
      case .schedule: due.6 = value
      case .execStatus: due.7 = value
      }
    }
  }
}

/// An entry of the heap.
struct TimerEntry: Equatable, Sendable {
  var instant: Instant
  var program: ProgramID
  var kind: TimerKind
}

/// The heap itself, earliest first; ties go by program, then by kind, so that the order is a function of the contents.
struct TimerHeap: Sendable {
  private(set) var entries: [TimerEntry] = []

  var first: TimerEntry? { entries.first }
  var count: Int { entries.count }

  private static func before(_ a: TimerEntry, _ b: TimerEntry) -> Bool {
    if a.instant != b.instant { return a.instant < b.instant }
    if a.program != b.program { return a.program < b.program }
    return a.kind.rawValue < b.kind.rawValue
  }

  mutating func push(_ entry: TimerEntry) {
    entries.append(entry)
    var child = entries.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard Self.before(entries[child], entries[parent]) else { break }
      entries.swapAt(child, parent)
      child = parent
    }
  }

  mutating func popFirst() -> TimerEntry? {
    guard let first = entries.first else { return nil }
    let last = entries.removeLast()
    if !entries.isEmpty {
      entries[0] = last
      sink(0)
    }
    return first
  }

  /// Keeps the entries for which this holds.
  mutating func sweep(keeping isLive: (TimerEntry) -> Bool) {
    entries.removeAll { !isLive($0) }
    for parent in stride(from: entries.count / 2 - 1, through: 0, by: -1) { sink(parent) }
  }

  private mutating func sink(_ start: Int) {
    var parent = start
    while true {
      var least = parent
      let left = 2 * parent + 1
      let right = left + 1
      if left < entries.count, Self.before(entries[left], entries[least]) { least = left }
      if right < entries.count, Self.before(entries[right], entries[least]) { least = right }
      if least == parent { return }
      entries.swapAt(parent, least)
      parent = least
    }
  }
}
