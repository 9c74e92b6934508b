// The command that people type. It parses words, asks the daemon over its unix socket, and prints; `run` and `doctor` become the daemon.

import ArgumentParser
import ControlProtocol
// `stdout`, `environ` and their like are variables to the importer.
@preconcurrency import Glibc

/// Does what the words of the command line say and ends the process with the command's exit status.
public func runHivesup() -> Never { Hivesup.runAndEnd() }

struct Hivesup: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "hivesup",
    abstract: "Supervises the processes of a container, and talks to the supervisor.",
    discussion: "Exit status 2 means that the command line or the configuration is wrong.",
    version: HivesupVersion.text,
    subcommands: [Run.self, Check.self, Doctor.self, Ctl.self, Healthcheck.self, Completions.self])

  /// Parses and runs. ArgumentParser would end with 64 (EX_USAGE) on a wrong word; supervisord ends with 2, and so does hivesup.
  static func runAndEnd() -> Never {
    // A reader that goes away (`| head`) ends a command silently, as other commands do; a daemon that goes away is an error to report.
    signal(SIGPIPE, SIG_DFL)
    do {
      var command = try parseAsRoot(CommandLineWords.translated(Array(CommandLine.arguments.dropFirst())))
      try command.run()
    } catch let code as ExitCode {
      end(code.rawValue)
    } catch let problem as Problem {
      Output.error(problem.text)
      end(problem.status)
    } catch {
      let status = exitCode(for: error)
      let message = fullMessage(for: error)
      if status == .success {
        if !message.isEmpty { Output.line(message) }
        end(0)
      }
      Output.error(message)
      end(status == .validationFailure ? ExitStatusCode.usage : status.rawValue)
    }
    end(0)
  }

  private static func end(_ status: Int32) -> Never { Glibc.exit(status) }
}

/// The exit statuses of `hivesup` besides 0; those of `ctl` are supervisorctl's (its LSB codes).
enum ExitStatusCode {
  /// It was not done: a general failure.
  static let failed: Int32 = 1
  /// The command line or the configuration is wrong.
  static let usage: Int32 = 2
  /// A program that was shown is down.
  static let down: Int32 = 3
  /// There is no such program, or no daemon.
  static let unknown: Int32 = 4
  /// The process does not run, or could not be brought to run.
  static let notRunning: Int32 = 7
}

/// An error that is told in one sentence, "cannot X: Y".
struct Problem: Error, Equatable {
  /// The sentence, and the remedy where one is known.
  var text: String
  /// How the command ends.
  var status: Int32

  init(_ text: String, status: Int32 = ExitStatusCode.failed) {
    self.text = text
    self.status = status
  }
}
