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
    discussion: """
      hivesup [--] PROGRAM [ARGUMENT …] runs any other program under hivesup as its init: signals are forwarded, orphans reaped, and its exit \
      status kept. Exit status 2 means that the command line or the configuration is wrong.
      """,
    version: HivesupVersion.text,
    subcommands: [
      Run.self, Check.self, Doctor.self, TopologyCommand.self, Ctl.self, Healthcheck.self, Completions.self,
    ])

  /// What the first word may be.
  static var vocabulary: FirstWord.Vocabulary {
    func names(_ commands: [any ParsableCommand.Type]) -> [String] {
      commands.flatMap { [$0._commandName] + $0.configuration.aliases }
    }
    return FirstWord.Vocabulary(
      commands: names(configuration.subcommands) + ["help"], controlCommands: names(Ctl.configuration.subcommands))
  }

  /// Parses and runs. ArgumentParser would end with 64 (EX_USAGE) on a wrong word; supervisord ends with 2, and so does hivesup.
  static func runAndEnd() -> Never {
    // A reader that goes away (`| head`) ends a command silently, as other commands do; a daemon that goes away is an error to report.
    signal(SIGPIPE, SIG_DFL)
    PID1Signals.endOnRequest()
    do {
      let words = Array(CommandLine.arguments.dropFirst())
      try becomeInit(words)
      var command = try parseAsRoot(CommandLineWords.translated(words))
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

  /// Returns when the words are a command's.
  private static func becomeInit(_ words: [String]) throws(Problem) {
    let first = FirstWord.classify(
      words, vocabulary: vocabulary, searchPath: environmentValue("PATH"), file: FirstWord.File.look)
    switch first {
    case .command: return
    case .program(let file, let index):
      // The program gets the bytes of its words, not the text that Swift makes of them.
      let program = (1 + index..<Int(CommandLine.argc)).map { CommandLine.unsafeArgv[$0] }
      try DaemonExecutable.supervise(["--init", file, "--"], program: program)
    case .refused(let problem): throw problem
    case .unknown(let word, let suggestion):
      throw Problem(unknownText(word, suggestion: suggestion), status: ExitStatusCode.usage)
    }
  }

  private static func unknownText(_ word: String, suggestion: String?) -> String {
    let lines = [
      "cannot run '\(harmless(word))': it is neither a command of hivesup nor a program in PATH",
      suggestion.map { "Did you mean 'hivesup \($0)'?" },
      "Usage: hivesup <command> …",
      "       hivesup [--] PROGRAM [ARGUMENT …]",
      "Commands: \(vocabulary.commands.joined(separator: ", "))",
      "See 'hivesup --help' for more information.",
    ]
    return lines.compactMap { $0 }.joined(separator: "\n")
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
  /// `hivesup PROGRAM`: there is such a file, and it cannot be executed.
  static let cannotExecute: Int32 = 126
  /// `hivesup PROGRAM`: there is no such file.
  static let programNotFound: Int32 = 127
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
