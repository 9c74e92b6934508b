// Time as values. The core never reads a clock: every event brings the moment at which it happened.

/// A length of time in nanoseconds. Negative values are legal in arithmetic and mean "already past".
public struct Interval: Comparable, Hashable, Sendable {
  /// Nanoseconds.
  public var nanoseconds: Int64

  /// An interval of `nanoseconds`.
  public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

  /// No time at all.
  public static let zero = Interval(nanoseconds: 0)

  /// An interval of whole or fractional seconds; saturates instead of overflowing; not a number is zero.
  public static func seconds(_ seconds: Double) -> Interval {
    let nanoseconds = seconds * 1e9
    if nanoseconds.isNaN { return .zero }
    if nanoseconds >= 9.2e18 { return Interval(nanoseconds: .max) }
    if nanoseconds <= -9.2e18 { return Interval(nanoseconds: .min) }
    // Not rounded(): that would be the only reason for PID 1's pure part to need libm.
    return Interval(nanoseconds: Int64(nanoseconds + (nanoseconds < 0 ? -0.5 : 0.5)))
  }

  /// An interval of whole milliseconds.
  public static func milliseconds(_ milliseconds: Int64) -> Interval {
    Interval(nanoseconds: milliseconds.multipliedReportingOverflow(by: 1_000_000).partialValue)
  }

  /// The interval in seconds.
  public var inSeconds: Double { Double(nanoseconds) / 1e9 }

  /// The interval in milliseconds.
  public var inMilliseconds: Double { Double(nanoseconds) / 1e6 }

  /// Shorter first.
  public static func < (a: Interval, b: Interval) -> Bool { a.nanoseconds < b.nanoseconds }

  /// The sum; saturates.
  public static func + (a: Interval, b: Interval) -> Interval {
    let (sum, overflow) = a.nanoseconds.addingReportingOverflow(b.nanoseconds)
    return Interval(nanoseconds: overflow ? (a.nanoseconds < 0 ? .min : .max) : sum)
  }

  /// The difference; saturates.
  public static func - (a: Interval, b: Interval) -> Interval {
    let (difference, overflow) = a.nanoseconds.subtractingReportingOverflow(b.nanoseconds)
    return Interval(nanoseconds: overflow ? (a.nanoseconds < 0 ? .min : .max) : difference)
  }
}

/// A point on the monotonic clock (CLOCK_MONOTONIC, nanoseconds). Deadlines are made of these and of nothing else.
public struct Instant: Comparable, Hashable, Sendable {
  /// Nanoseconds since an arbitrary start (on Linux: boot, without suspend).
  public var nanoseconds: UInt64

  /// The instant `nanoseconds` after the clock's start.
  public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

  /// Earlier first.
  public static func < (a: Instant, b: Instant) -> Bool { a.nanoseconds < b.nanoseconds }

  /// The instant `interval` later; saturates at both ends.
  public static func + (a: Instant, interval: Interval) -> Instant {
    if interval.nanoseconds >= 0 {
      let (sum, overflow) = a.nanoseconds.addingReportingOverflow(UInt64(interval.nanoseconds))
      return Instant(nanoseconds: overflow ? .max : sum)
    }
    let back = interval.nanoseconds.magnitude
    return Instant(nanoseconds: a.nanoseconds < back ? 0 : a.nanoseconds - back)
  }

  /// How much later `a` is than `b`; saturates.
  public static func - (a: Instant, b: Instant) -> Interval {
    if a.nanoseconds >= b.nanoseconds {
      return Interval(nanoseconds: Int64(clamping: a.nanoseconds - b.nanoseconds))
    }
    return Interval(nanoseconds: 0 - Int64(clamping: b.nanoseconds - a.nanoseconds))
  }
}

/// A point on the wall clock (CLOCK_REALTIME, nanoseconds since 1970-01-01T00:00:00Z). For display and cron, never for deadlines.
public struct WallTime: Comparable, Hashable, Sendable {
  /// Nanoseconds since the Unix epoch.
  public var nanoseconds: Int64

  /// The wall time `nanoseconds` after the epoch.
  public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

  /// Whole seconds since the Unix epoch, rounded down.
  public var unixSeconds: Int64 {
    let quotient = nanoseconds / 1_000_000_000
    return nanoseconds % 1_000_000_000 < 0 ? quotient - 1 : quotient
  }

  /// Earlier first.
  public static func < (a: WallTime, b: WallTime) -> Bool { a.nanoseconds < b.nanoseconds }
}

/// When something happened, on both clocks.
public struct Moment: Hashable, Sendable {
  /// For deadlines.
  public var instant: Instant
  /// For people.
  public var wall: WallTime

  /// A moment read from both clocks.
  public init(instant: Instant, wall: WallTime) {
    self.instant = instant
    self.wall = wall
  }
}
