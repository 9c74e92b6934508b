// When a process is started again, and when no more. Numbers in, numbers out.
//
// Two counters decide:
// - `failedStarts`: attempts in a row that ended before the process was up (supervisord's `backoff`). Reaching RUNNING resets it (for a
//   oneshot: completing). `startretries` bounds it: attempts = startretries + 1; negative never gives up.
// - `crashes`: unexpected exits from RUNNING (and failed liveness checks) in a row after which the process was started again, without a run
//   in between that held. Nothing bounds it, as in supervisord: it only makes the next start wait.
// An exit with an expected status (`autorestart=true`) is neither: what works off its share and ends is started again and again, for years.
//
// A run *holds* when, from RUNNING on (with `ready=`, that is: from ready on), it lives at least as long as the longest of startsecs, one
// second, and the delay that preceded it. So what becomes ready and dies at once does not spin, and the delay of a crash loop never
// shrinks to nothing between two crashes. Without `backoff=` supervisord's promise is kept instead, that an exit from RUNNING is answered at
// once: the run holds when it lived, from its spawn on, for the longer of startsecs and one second. That only ever delays startsecs=0.
//
// Delays:
// - without `backoff=`: the n-th failed start waits n seconds (supervisord), the n-th crash after the first n - 1 seconds, 60 at most;
// - after an expected exit: none, as in supervisord. But a start is at least a second after the one before, so that what ends at once does
//   not spin; supervisord's loop, which comes around once a second, does in effect the same;
// - with `backoff=`: n = failedStarts + crashes, the first crash being free: initial × factor^(n-1), at most `maximum`, plus up to `jitter` of itself.

/// The restart policy.
enum RestartPolicy {
  /// Whether another attempt is allowed after this many failed ones.
  static func attemptsLeft(failedStarts: Int, startretries: Int) -> Bool {
    startretries < 0 || failedStarts <= startretries
  }

  /// The delay after a failed start: `failedStarts` counts it already.
  static func delayAfterFailedStart(
    failedStarts: Int, crashes: Int, backoff: Backoff?, random: inout RandomNumbers
  ) -> Interval {
    guard let backoff else { return .seconds(Double(max(1, failedStarts))) }
    return exponential(max(1, failedStarts &+ max(0, crashes &- 1)), backoff, &random)
  }

  /// The delay before the restart after an exit from RUNNING: `crashes` counts it already.
  static func delayAfterCrash(crashes: Int, backoff: Backoff?, random: inout RandomNumbers) -> Interval {
    guard crashes > 1 else { return .zero }
    guard let backoff else { return .seconds(Double(min(60, crashes - 1))) }
    return exponential(crashes - 1, backoff, &random)
  }

  /// The delay before the restart after an expected exit from RUNNING, this long after its spawn.
  static func delayAfterExpectedExit(sinceSpawn: Interval) -> Interval { max(.zero, .seconds(1) - sinceSpawn) }

  /// Whether a run that was up for `sinceRunning`, and alive for `sinceSpawn`, held.
  static func held(
    sinceRunning: Interval, sinceSpawn: Interval, startsecs: Int, delayBefore: Interval, backoff: Backoff?
  ) -> Bool {
    let least = max(Interval.seconds(1), .seconds(Double(startsecs)))
    return backoff == nil ? sinceSpawn >= least : sinceRunning >= max(least, delayBefore)
  }

  /// The delay after the n-th lack of a resource in a row (n ≥ 1): 0.1 s, doubling up to 5 s.
  static func delayAfterShortage(_ shortages: Int) -> Interval {
    .milliseconds(min(5000, 100 << Int64(min(6, max(0, shortages - 1)))))
  }

  private static func exponential(_ n: Int, _ backoff: Backoff, _ random: inout RandomNumbers) -> Interval {
    var delay = backoff.initial.inSeconds
    let maximum = max(0, backoff.maximum.inSeconds)
    let factor = max(1, backoff.factor)
    var step = 1
    while step < n, delay < maximum, factor > 1 {
      delay *= factor
      step += 1
    }
    delay = min(max(0, delay), maximum)
    let jitter = min(1, max(0, backoff.jitter))
    return .seconds(delay + delay * jitter * random.fraction())
  }
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, seeded, part of the supervisor's value.
struct RandomNumbers: Sendable {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  /// The next number.
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// The next fraction, 0 ≤ x < 1.
  mutating func fraction() -> Double { Double(next() >> 11) * 0x1p-53 }
}
