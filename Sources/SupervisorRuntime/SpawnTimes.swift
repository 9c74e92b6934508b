// How long starts hold up the loop: for `/metrics`, and for who wonders why something else was late.

import SupervisorCore

/// The times of the last starts, and the sum of all.
struct SpawnTimes {
  /// How many of the last starts the quantiles are of.
  static let kept = 256

  /// Starts so far.
  private(set) var count: UInt64 = 0
  /// What they took together.
  private(set) var total = Interval.zero
  /// The last ones in nanoseconds, a ring once it is full; 4 s and more are one.
  private var last: [UInt32] = []

  /// Adds the time of one start.
  mutating func add(_ time: Interval) {
    let slot = Int(count % UInt64(SpawnTimes.kept))
    count &+= 1
    total = total + time
    let nanoseconds = UInt32(clamping: time.nanoseconds)
    if last.indices.contains(slot) {
      last[slot] = nanoseconds
    } else {
      last.append(nanoseconds)
    }
  }

  /// The time that this many percent of the last starts (1…100) did not exceed; nil before the first.
  func quantile(percent: Int) -> Interval? {
    guard !last.isEmpty, (1...100).contains(percent) else { return nil }
    let rank = (percent * last.count + 99) / 100
    return Interval(nanoseconds: Int64(last.sorted()[rank - 1]))
  }
}
