// The exit statuses of `hivesup run`.

/// Exit statuses of the supervisor that are its own. A critical program's final failure ends it with that program's exit
/// status instead, or 128 + the number of the signal that ended it.
public enum SupervisorExit {
  /// Asked to stop, and everything stopped in time and by itself.
  public static let success: Int32 = 0
  /// The configuration or the command line has errors (as in supervisord).
  public static let configuration: Int32 = 2
  /// Asked to stop, and something had to be killed: its stop plan or the shutdown deadline ran out.
  public static let killed: Int32 = 70
  /// `start_timeout` passed before everything was ready; everything has been stopped.
  public static let startTimedOut: Int32 = 71
  /// A critical program may not be executed (shell convention: EACCES from execve).
  public static let notExecutable: Int32 = 126
  /// A critical program was not found or could not be started (shell convention).
  public static let notStarted: Int32 = 127
}
