// What the core may ask the runtime for. The runtime performs a list of actions in order and feeds back what happens.

/// Whom a signal reaches.
public enum SignalScope: Equatable, Sendable {
  /// The main process alone, through its pidfd.
  case process
  /// Its process group (`stopasgroup`, `killasgroup`).
  case group
}

/// Who accepts connections on a listener with `fallback=health`.
public enum ListenerMode: Equatable, Sendable {
  /// No program does: the supervisor accepts and answers by itself.
  case acceptBySupervisor
  /// The program does: the supervisor leaves the socket alone.
  case leaveToProgram
}

/// One thing that the runtime has to do.
public enum Action: Equatable, Sendable {
  /// Start the program of this run with its present spec (`Supervisor.spec(of:)`). Answered by the events of the run.
  case spawn(RunID)
  /// Send a signal.
  case signal(RunID, Int32, SignalScope)
  /// Send this signal to every process that the run has left behind and report `treeEnded` when none is alive (at once, if so).
  case endTree(RunID, signal: Int32)
  /// SIGKILL every process that the run has left behind, now and whenever a new one shows up, until `treeEnded`.
  case killTree(RunID)
  /// Forget what belongs to a run that is over (its pidfd, cgroup, notification socket): there is no event of it to come. Not sent while
  /// processes that it left behind may be alive.
  case releaseRun(RunID)
  /// Run the check of this role once, for at most `timeout`; answered by `probeFinished`.
  case probe(RunID, CheckRole, timeout: Interval)
  /// Drop this run's probes that are under way; they are not answered.
  case cancelProbes(RunID)
  /// Who accepts on this listener from now on. At the start the supervisor does.
  case listener(String, ListenerMode)
  /// Set the CPUs, the policy and the priorities of every thread of this run as `Supervisor.pinning(of:)` and its spec now say.
  case pin(RunID)
  /// Write a line to the supervisor's own log.
  case log(LogLevel, String)
  /// Reopen the log files (SIGUSR2).
  case reopenLogs
  /// Read the configuration again and report `reloaded` or `reloadFailed` (SIGHUP).
  case rereadConfiguration(by: Requester)
  /// Tell followers of the event ring.
  case publish(EventRecord)
  /// Answer a request.
  case answer(RequestID, CommandResult)
  /// A process joined the configuration on reload: prepare its logs.
  case programAdded(ProgramID)
  /// The configuration of a process was replaced on reload while it was down: reopen its logs.
  case programChanged(ProgramID)
  /// A process left the configuration: drop all that belongs to it.
  case programRemoved(ProgramID)
  /// All programs are down: send this signal to every process that is left (of whatever origin) and report `remainingEnded` when none is.
  case endRemaining(signal: Int32)
  /// SIGKILL every process that is left until `remainingEnded`.
  case killRemaining
  /// End the supervisor with this exit status. The last action.
  case exit(Int32)
}
