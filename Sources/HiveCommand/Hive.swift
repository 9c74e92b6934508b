// The command that people type on the host. It parses words, runs docker and compose, and tells what came of it.

import ArgumentParser
import CommandOutput
import ControlProtocol
@preconcurrency import Glibc

/// Does what the words of the command line say and ends the process with the command's exit status.
///
/// To be called on the main thread before anything else starts a thread: signals are set up here.
public func runHive() -> Never {
  let interruption = Interruption()
  let words = Array(CommandLine.arguments.dropFirst())
  let work = Task.detached {
    exit(await Hive.$interruption.withValue(interruption) { await Hive.status(of: words) })
  }
  interruption.listen { work.cancel() }
}

struct Hive: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "hive",
    abstract: "Starts, stops and watches the containers genie and agent on this host.",
    discussion: """
      Uses the commands docker and 'docker compose' (or docker-compose), and the project's compose files.

      Exit statuses: 0 done and healthy; 1 failed, or not healthy; 2 the command line or a compose file is wrong; 3 there is no Docker \
      engine to be used; 4 not healthy in time; 128 + n interrupted by signal n. 'hive exec' ends as its command does, or with 125.
      """,
    version: HivesupVersion.text,
    subcommands: [
      Up.self, Down.self, Status.self, Health.self, Logs.self, Restart.self, Exec.self, Completions.self,
    ])

  /// Parses, runs, and gives the exit status. ArgumentParser would end with 64 (EX_USAGE) on a wrong word; it is 2 here, as in hivesup.
  static func status(of words: [String]) async -> Int32 {
    do {
      var command = try parseAsRoot(words)
      if var command = command as? any AsyncParsableCommand {
        try await command.run()
      } else {
        try command.run()
      }
      return 0
    } catch let code as ExitCode {
      return code.rawValue
    } catch let problem as Problem {
      tell(problem)
      return problem.status
    } catch is CancellationError {
      tell(interrupted(""))
      return interrupted("").status
    } catch {
      let status = exitCode(for: error)
      let message = fullMessage(for: error)
      guard status == .success else {
        Output.note(message)
        return status == .validationFailure ? ExitStatusCode.usage : status.rawValue
      }
      if !message.isEmpty { Output.line(message) }
      return 0
    }
  }

  /// What cancels the command; nil in tests.
  @TaskLocal static var interruption: Interruption?

  /// The end of a command that a signal interrupted. `state`: what is left as it is.
  static func interrupted(_ state: String) -> Problem {
    Problem(
      "interrupted" + (state.isEmpty ? "" : ": \(state)"),
      status: ExitStatusCode.signalled(interruption?.signal ?? SIGINT))
  }

  static func tell(_ problem: Problem) {
    Output.error(problem.text, from: "hive")
    for line in problem.details { Output.note("  " + harmless(line)) }
  }
}

/// Does a command's work and tells what came of it: as text, or as one JSON document that is also there when it failed.
func reporting(_ command: String, json: Bool, _ work: () async throws -> Report) async throws {
  var report: Report
  do {
    report = try await work()
  } catch let problem as Problem where json {
    Hive.tell(problem)
    report = Report(command: command, problem: problem, status: problem.status)
  }
  if json { Output.bytes(report.json(now: wallTime())) }
  if report.status != 0 { throw ExitCode(report.status) }
}

/// The wall clock, for uptimes.
func wallTime() -> Timestamp {
  var time = timespec()
  clock_gettime(CLOCK_REALTIME, &time)
  return Timestamp(nanoseconds: Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec))
}

struct Completions: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Print the completion script for a shell.",
    discussion: "For instance: hive completions bash > /etc/bash_completion.d/hive")

  @Argument(help: "bash, zsh or fish.", completion: .list(["bash", "zsh", "fish"]))
  var shell: String

  func run() throws {
    guard let kind = CompletionShell(rawValue: shell) else {
      throw ValidationError("cannot write a script for '\(shell)': the shells are bash, zsh and fish")
    }
    Output.line(Hive.completionScript(for: kind))
  }
}
