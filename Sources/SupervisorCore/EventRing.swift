// What happened, in order, bounded. Every record has both clocks and its cause; the choke points that write here are
// `Supervisor.transition` (state changes) and `Supervisor.note` (everything else).

/// Why something happened.
public enum Cause: Equatable, Sendable {
  /// Somebody asked for it.
  case requested(Requester)
  /// A process came to be and is executing its program.
  case spawned(pid: Int32)
  /// It has stayed up for `startsecs`.
  case stayedUp(seconds: Int)
  /// It reported or was found to be ready.
  case ready(String)
  /// It was ready and is not any more.
  case notReady(String)
  /// It ended. `expected`: by `exitcodes`.
  case exited(ExitStatus, expected: Bool, oomKilled: Bool)
  /// It ended before it had been up for `startsecs` (or was ready).
  case exitedTooQuickly(ExitStatus, oomKilled: Bool)
  /// It could not be started.
  case spawnFailure(SpawnFailure)
  /// `ready_deadline` passed.
  case readyDeadlineMissed(Interval)
  /// Its liveness check failed as often as is allowed.
  case livenessFailed(String)
  /// A check changed its verdict.
  case check(name: String, passed: Bool, detail: String)
  /// The delay before this attempt is over; attempts count from 1.
  case retry(attempt: Int)
  /// The delay before this restart is over, after so many crashes in a row.
  case restart(crashes: Int)
  /// All attempts are used up; the text says what the last one died of.
  case gaveUp(attempts: Int, String)
  /// A step of the stop plan.
  case stopSignal(Int32)
  /// The stop plan ran out: SIGKILL.
  case killed
  /// A signal could not be delivered.
  case signalFailed(Int32, String)
  /// What it waited for before its start has come.
  case dependenciesSatisfied
  /// Its schedule says so.
  case schedule
  /// Anything else, in words.
  case text(String)

  /// The sentence for people (without the program's name).
  public var text: String {
    switch self {
    case .requested(let who): "asked by \(who.text)"
    case .spawned(let pid): "spawned with pid \(pid)"
    case .stayedUp(let seconds): "has stayed up for \(seconds) s"
    case .ready(let detail): detail.isEmpty ? "is ready" : "is ready: \(detail)"
    case .notReady(let detail): detail.isEmpty ? "is not ready any more" : "is not ready any more: \(detail)"
    case .exited(let status, let expected, let oom):
      "\(status.text(oomKilled: oom)); \(expected ? "expected" : "not expected")"
    case .exitedTooQuickly(let status, let oom): "exited too quickly (\(status.text(oomKilled: oom)))"
    case .spawnFailure(let failure): failure.text
    case .readyDeadlineMissed(let deadline): "was not ready within \(deadline.text)"
    case .livenessFailed(let detail): "liveness check failed: \(detail)"
    case .check(let name, let passed, let detail):
      "check \(name) \(passed ? "passes" : "fails")\(detail.isEmpty ? "" : ": \(detail)")"
    case .retry(let attempt): "attempt \(attempt)"
    case .restart(let crashes): crashes > 1 ? "restart after \(crashes) crashes in a row" : "restart after a crash"
    case .gaveUp(let attempts, let last): "gave up after \(attempts) \(attempts == 1 ? "attempt" : "attempts"): \(last)"
    case .stopSignal(let signal): "stopping with \(signalName(signal))"
    case .killed: "did not stop in time: SIGKILL"
    case .signalFailed(let signal, let why): "cannot send \(signalName(signal)): \(why)"
    case .dependenciesSatisfied: "everything it waited for has come"
    case .schedule: "scheduled"
    case .text(let text): text
    }
  }
}

/// One thing that happened.
public struct EventRecord: Equatable, Sendable {
  /// A running number from 1, without gaps.
  public var seq: UInt64
  /// When.
  public var moment: Moment
  /// To which process; nil: to the supervisor itself.
  public var program: ProgramID?
  /// Its namespec; empty for the supervisor itself.
  public var namespec: String
  /// The state before; nil when this is no change of state.
  public var from: ProcessState?
  /// The state after; nil when this is no change of state.
  public var to: ProcessState?
  /// The main process at that time; 0: none.
  public var pid: Int32
  /// How many attempts in a row have failed before this one (supervisord's `tries`).
  public var tries: Int
  /// Why.
  public var cause: Cause
}

/// The last events, oldest first. Memory is taken as events come, never more than `capacity` records.
public struct EventRing: Sendable {
  /// How many are kept, at least 1.
  public private(set) var capacity: Int
  private var records: [EventRecord] = []
  private var start = 0
  private var lastSeq: UInt64 = 0

  init(capacity: Int) { self.capacity = max(1, capacity) }

  /// How many there are.
  public var count: Int { records.count }
  /// The number of the last record ever written; 0: none.
  public var newest: UInt64 { lastSeq }
  /// The number of the oldest record that is still kept; 0: none.
  public var oldest: UInt64 { records.isEmpty ? 0 : lastSeq - UInt64(records.count) + 1 }

  /// Everything after `seq` (0: everything that is kept), oldest first, at most `limit` of the newest.
  public func records(after seq: UInt64 = 0, limit: Int = .max) -> [EventRecord] {
    let first = max(oldest, seq == .max ? seq : seq + 1)
    guard !records.isEmpty, first <= lastSeq, limit > 0 else { return [] }
    let wanted = min(Int(lastSeq - first) + 1, limit)
    var result: [EventRecord] = []
    result.reserveCapacity(wanted)
    for offset in (records.count - wanted)..<records.count {
      result.append(records[(start + offset) % records.count])
    }
    return result
  }

  /// Numbers the record, keeps it and returns it; the oldest goes when the ring is full.
  mutating func append(_ record: EventRecord) -> EventRecord {
    lastSeq &+= 1
    var numbered = record
    numbered.seq = lastSeq
    if records.count < capacity {
      if start != 0 {
        records = Array(records[start...] + records[..<start])
        start = 0
      }
      records.append(numbered)
    } else {
      records[start] = numbered
      start = (start + 1) % records.count
    }
    return numbered
  }

  /// Changes the capacity on reload; the newest stay.
  mutating func resize(to capacity: Int) {
    let kept = self.records(limit: max(1, capacity))
    self.capacity = max(1, capacity)
    records = kept
    start = 0
  }
}

extension Requester {
  /// For people: `the configuration`, `client (pid 7, uid 0)`, `SIGTERM from pid 7`.
  public var text: String {
    switch self {
    case .configuration: "the configuration"
    case .client(let pid, let uid): "client (pid \(pid), uid \(uid))"
    case .signal(let signal, let pid, let uid):
      pid == 0 ? signalName(signal) : "\(signalName(signal)) from pid \(pid), uid \(uid)"
    case .supervisor(let why): "the supervisor: \(why)"
    }
  }
}

extension ExitStatus {
  /// supervisord's wording: `exit status 3`, `terminated by SIGKILL`, `terminated by SIGSEGV (core dumped)`.
  public var text: String {
    switch self {
    case .exited(let status): "exit status \(status)"
    case .signaled(let signal, let core): "terminated by \(signalName(signal))\(core ? " (core dumped)" : "")"
    }
  }

  /// The same with a remark when the kernel ran out of memory.
  func text(oomKilled: Bool) -> String { oomKilled ? "\(text), out of memory" : text }
}

extension Interval {
  /// For people: `9 s`, `0.25 s`, `40 ms`.
  public var text: String {
    let milliseconds = nanoseconds / 1_000_000
    if milliseconds.magnitude < 1000 && nanoseconds != 0 { return "\(milliseconds) ms" }
    let rest = (milliseconds % 1000).magnitude
    if rest == 0 { return "\(milliseconds / 1000) s" }
    var digits = String(1000 + rest).dropFirst()
    while digits.hasSuffix("0") { digits = digits.dropLast() }
    return "\(milliseconds / 1000).\(digits) s"
  }
}
