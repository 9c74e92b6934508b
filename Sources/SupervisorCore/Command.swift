// What clients may ask for, and what they are answered: supervisord's requests and faults.

/// What a client asks for.
public enum Command: Equatable, Sendable {
  /// Start. Targets as in `Supervisor.resolve`. With `wait` the answer comes when the process is RUNNING (a oneshot or scheduled
  /// one: completed) or its first attempt failed; without, once the start is accepted.
  case start(target: String, wait: Bool)
  /// Stop. With `wait` the answer comes when it is down. `now` moves a process that is already STOPPING to the next step of its stop
  /// plan; without it a second stop joins the first.
  case stop(target: String, wait: Bool, now: Bool)
  /// Stop, then start. With `wait` the answer comes when it is RUNNING again.
  case restart(target: String, wait: Bool)
  /// Send a signal, 1…64, to the main process.
  case signal(target: String, signal: Int32)
  /// Run it elsewhere, or as it is configured (nil), without a restart. Answered at once; the whole tree of a run is moved.
  case pin(target: String, LivePin?)
  /// Apply this configuration. Answered with the difference; what follows from it happens afterwards.
  case reload(SupervisorSpec)
  /// Stop everything and exit. Answered at once.
  case shutdown
}

/// supervisord's fault codes (supervisor/xmlrpc.py, `Faults`).
public enum RequestFault: Int, CaseIterable, Sendable {
  /// The supervisor is shutting down.
  case shutdownState = 6
  /// There is no such process or group.
  case badName = 10
  /// There is no such signal.
  case badSignal = 11
  /// The command's file was not found.
  case noFile = 20
  /// The command's file may not be executed.
  case notExecutable = 21
  /// It cannot be done for another reason; the text says which.
  case failed = 30
  /// The process ended before it was up.
  case abnormalTermination = 40
  /// The process could not be spawned.
  case spawnError = 50
  /// It is already started.
  case alreadyStarted = 60
  /// It is not running.
  case notRunning = 70
  /// The configuration could not be read.
  case cantReread = 92

  /// supervisord's name, as in a fault string.
  public var name: String {
    switch self {
    case .shutdownState: "SHUTDOWN_STATE"
    case .badName: "BAD_NAME"
    case .badSignal: "BAD_SIGNAL"
    case .noFile: "NO_FILE"
    case .notExecutable: "NOT_EXECUTABLE"
    case .failed: "FAILED"
    case .abnormalTermination: "ABNORMAL_TERMINATION"
    case .spawnError: "SPAWN_ERROR"
    case .alreadyStarted: "ALREADY_STARTED"
    case .notRunning: "NOT_RUNNING"
    case .cantReread: "CANT_REREAD"
    }
  }
}

/// How a request went for one process.
public struct ProcessResult: Equatable, Sendable {
  /// Its name.
  public var name: String
  /// Its group.
  public var group: String
  /// nil: done.
  public var fault: RequestFault?
  /// For people: why not; empty when done.
  public var text: String

  /// A result.
  public init(name: String, group: String, fault: RequestFault? = nil, text: String = "") {
    self.name = name
    self.group = group
    self.fault = fault
    self.text = text
  }

  /// supervisord's namespec.
  public var namespec: String { group == name ? name : "\(group):\(name)" }
}

/// What a reload changes, as namespecs in the order of the configuration.
public struct ReloadSummary: Equatable, Sendable {
  /// New processes.
  public var added: [String] = []
  /// Processes that are stopped, replaced and started.
  public var changed: [String] = []
  /// Processes whose new settings (priority, stop plan, checks, …) apply without a restart.
  public var adjusted: [String] = []
  /// Processes that are stopped and removed.
  public var removed: [String] = []

  /// Nothing changes.
  public init() {}

  /// Whether nothing changes.
  public var isEmpty: Bool { added.isEmpty && changed.isEmpty && adjusted.isEmpty && removed.isEmpty }
}

/// The answer to a request.
public enum CommandResult: Equatable, Sendable {
  /// start, stop, restart, signal, pin: one result for each process that was acted upon. For a single process that is one; of a group (or
  /// `all`) those that are already where they are asked to be are left out, as in supervisord.
  case processes([ProcessResult])
  /// reload.
  case reload(ReloadSummary)
  /// shutdown: it has begun.
  case accepted
  /// The request as a whole is refused.
  case fault(RequestFault, text: String)
}
