// The supervisor as a value. (The API first; the machine behind it follows.)

/// The whole supervisor: every program, every deadline, every pending request, in one value. It reads no clock and calls nothing: events
/// go in through `handle`, actions come out.
public struct Supervisor: Sendable {
  /// The configuration in force.
  public private(set) var spec: SupervisorSpec
  /// When it was made: the start of the container's uptime.
  public let startedAt: Moment
  /// What happened.
  public internal(set) var events: EventRing

  /// A supervisor that waits for `.boot`. `seed` feeds the jitter of `backoff=`.
  public init(spec: SupervisorSpec, at moment: Moment, seed: UInt64) {
    self.spec = spec
    startedAt = moment
    events = EventRing(capacity: spec.eventCapacity)
  }

  /// Takes in an event that happened at this moment and appends what has to be done about it. Moments may come late but their
  /// instants must not run backwards.
  public mutating func handle(_ event: Event, at moment: Moment, into actions: inout [Action]) {}

  /// The same, with the actions as its result.
  public mutating func handle(_ event: Event, at moment: Moment) -> [Action] {
    var actions: [Action] = []
    handle(event, at: moment, into: &actions)
    return actions
  }

  /// When `.timeReached` is wanted next. nil: nothing waits for time (no wakeup is needed).
  public var nextDeadline: Instant? { nil }

  /// All processes in the order of the configuration.
  public var programs: [ProgramID] { [] }

  /// What the target names: `all`, `group:*` (or `group:`), `group:name`, `name`. nil: nothing of that name.
  public func resolve(_ target: String) -> [ProgramID]? { nil }

  /// The spec that the process has, or had in its present run. nil: no such process.
  public func spec(of id: ProgramID) -> ProgramSpec? { nil }

  /// Its run that is under way (a process, or processes that it left behind). nil: none.
  public func run(of id: ProgramID) -> RunID? { nil }

  /// The process as it is now.
  public func snapshot(of id: ProgramID, at moment: Moment) -> ProgramSnapshot? { nil }

  /// All processes as they are now, in the order of the configuration.
  public func snapshots(at moment: Moment) -> [ProgramSnapshot] { [] }

  /// How it is.
  public func health(at moment: Moment) -> HealthReport {
    HealthReport(
      status: .starting, container: spec.container, at: moment, uptime: moment.instant - startedAt.instant,
      database: nil,
      reasons: [], services: [], live: ProbeVerdict(passed: true, reasons: []),
      ready: ProbeVerdict(passed: false, reasons: []),
      started: ProbeVerdict(passed: false, reasons: []))
  }

  /// Whether it is on its way down.
  public var isShuttingDown: Bool { false }

  /// The order of starting and stopping.
  public var plan: StartPlan { StartPlan(spec) }
}
