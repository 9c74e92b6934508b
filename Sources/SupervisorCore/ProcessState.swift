// supervisord's process states, with its numeric codes (supervisor/states.py, 4.3.0).

/// The state of one process, as supervisord names and numbers it.
public enum ProcessState: Int, CaseIterable, Sendable {
  /// Not started, or stopped on request.
  case stopped = 0
  /// Spawned, and not yet up for `startsecs` (or, with `ready=`, not yet ready).
  case starting = 10
  /// Up.
  case running = 20
  /// Failed to start; waiting for the next attempt.
  case backoff = 30
  /// Asked to stop; still there.
  case stopping = 40
  /// Exited by itself.
  case exited = 100
  /// Failed to start as often as is allowed; stays down until a person starts it.
  case fatal = 200
  /// In a state that the supervisor cannot name (a signal could not be delivered).
  case unknown = 1000

  /// supervisord's name, as in `supervisorctl status`.
  public var name: String {
    switch self {
    case .stopped: "STOPPED"
    case .starting: "STARTING"
    case .running: "RUNNING"
    case .backoff: "BACKOFF"
    case .stopping: "STOPPING"
    case .exited: "EXITED"
    case .fatal: "FATAL"
    case .unknown: "UNKNOWN"
    }
  }

  /// supervisord's STOPPED_STATES: down, and nothing is under way.
  public var isStopped: Bool {
    switch self {
    case .stopped, .exited, .fatal, .unknown: true
    case .starting, .running, .backoff, .stopping: false
    }
  }

  /// supervisord's RUNNING_STATES: up or on the way there.
  public var isRunning: Bool {
    switch self {
    case .starting, .running, .backoff: true
    case .stopped, .stopping, .exited, .fatal, .unknown: false
    }
  }

  /// supervisord's SIGNALLABLE_STATES: there is a process to signal.
  public var isSignallable: Bool {
    switch self {
    case .starting, .running, .stopping: true
    case .stopped, .backoff, .exited, .fatal, .unknown: false
    }
  }
}
