// The combined health of everything, as values. What decides them is in Health.swift.

/// One word for how it is.
public enum HealthStatus: String, CaseIterable, Sendable {
  /// On its way up, nothing has failed.
  case starting
  /// Everything that should be up is up and ready.
  case healthy
  /// Something that should be up is not.
  case unhealthy
  /// Stopped, or on its way down.
  case stopped
}

/// Whether the database can be used.
public enum DatabaseStatus: String, CaseIterable, Sendable {
  /// It answers.
  case connected
  /// It does not.
  case disconnected
  /// Nobody has asked it yet.
  case unknown
}

/// The verdict of one check.
public enum CheckStatus: String, CaseIterable, Sendable {
  /// It passes.
  case passing
  /// It fails, or its last result is too old.
  case failing
  /// There is no result yet.
  case pending
}

/// One check in the health document.
public struct CheckReport: Equatable, Sendable {
  /// `ready`, `liveness`, or the name under which it is reported.
  public var name: String
  /// The dialect: `notify`, `postgres`, `http`, `tcp`, `unix`, `exec`, or the reporter's.
  public var type: String
  /// The verdict.
  public var status: CheckStatus
  /// How long the last probe took. nil: none yet, or nothing to measure (`notify`).
  public var latency: Interval?
  /// When the last result came. nil: none yet.
  public var observedAt: WallTime?
  /// What the last probe saw; empty when there is nothing to say.
  public var detail: String
}

/// One process in the health document.
public struct ServiceHealth: Equatable, Sendable {
  /// Its namespec.
  public var name: String
  /// One word.
  public var status: HealthStatus
  /// Its state.
  public var state: ProcessState
  /// The main process; 0: none.
  public var pid: Int32
  /// How long it is up. nil: it is not.
  public var uptime: Interval?
  /// How often it was started again.
  public var restarts: Int
  /// How the last run ended.
  public var lastExit: LastExit?
  /// Its checks: `ready`, `liveness`, then the reported ones by name.
  public var checks: [CheckReport]
  /// Why it is not healthy, without its name; empty when it is.
  public var reason: String
}

/// One of the three verdicts that orchestrators ask for.
public struct ProbeVerdict: Equatable, Sendable {
  /// Whether it passes.
  public var passed: Bool
  /// Why not; empty when it passes.
  public var reasons: [String]
}

/// The health of everything.
public struct HealthReport: Equatable, Sendable {
  /// One word.
  public var status: HealthStatus
  /// The container's name.
  public var container: String
  /// When this was said.
  public var at: Moment
  /// How long the supervisor is up.
  public var uptime: Interval
  /// The database. nil: no program asks or reports one.
  public var database: DatabaseStatus?
  /// What a person should know or do, in the order of the programs. Never empty unless healthy; while healthy it may name what is
  /// degraded (a scheduled run that failed).
  public var reasons: [String]
  /// The processes in the order of the configuration.
  public var services: [ServiceHealth]
  /// The supervisor handles events and is not ending because of a failure: a reason to replace the container when it fails.
  public var live: ProbeVerdict
  /// Send traffic here: `status` is healthy.
  public var ready: ProbeVerdict
  /// Everything that is started at boot has been ready (or completed) once.
  public var started: ProbeVerdict
}
