// How a command that could not do its work ends: one sentence and an exit status.

/// The exit statuses of `hive` besides 0. Those of `hive exec` are the command's own, and `notRun`.
enum ExitStatusCode {
  /// It was not done, or what was asked for is not healthy.
  static let failed: Int32 = 1
  /// The command line is wrong, or there is no such compose file or program.
  static let usage: Int32 = 2
  /// There is no engine to talk to: no docker command, no compose, no daemon, or no permission.
  static let noEngine: Int32 = 3
  /// It was not healthy in time. It goes on starting.
  static let timedOut: Int32 = 4
  /// `hive exec`: the command was not run, as in `docker run`, env(1) and timeout(1).
  static let notRun: Int32 = 125

  /// Ended by a signal, as shells tell it.
  static func signalled(_ signal: Int32) -> Int32 { 128 + signal }
}

/// An error that is told in one sentence, "cannot X: Y; remedy".
struct Problem: Error, Equatable {
  /// The sentence, and the remedy where one is known.
  var text: String
  /// How the command ends.
  var status: Int32
  /// What another program said about it, for people, line by line.
  var details: [String]

  init(_ text: String, status: Int32 = ExitStatusCode.failed, details: [String] = []) {
    self.text = text
    self.status = status
    self.details = details
  }
}
