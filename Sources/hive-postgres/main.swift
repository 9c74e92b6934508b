// The command line of hive-postgres: one word (`own` takes a user too). What each command does is configured by the environment, as the supervisor's
// programs are; an argument parser would bring Foundation into a process that is meant to stay small.

import Glibc
import HivePostgresCore

/// One word of the command line.
enum Command: String, CaseIterable {
  case initialise = "init"
  case exec
  case migrate
  case monitor
  case bindir
  case own

  var summary: String {
    switch self {
    case .initialise: "make or adopt the data directory: whole, or not at all"
    case .exec: "do what must be done before a start, then become the server under the same process id"
    case .migrate: "wait for the server, then bring roles, database, extension and schema up to date"
    case .monitor: "check the database over one kept connection and report to PID 1"
    case .bindir: "print the directory of the PostgreSQL programs that the other commands use"
    case .own: "as root: give the volume and its clusters to a user (UID:GID, or HIVE_POSTGRES_USER)"
    }
  }

  /// How many words may follow.
  var arguments: ClosedRange<Int> { self == .own ? 0...1 : 0...0 }

  func run(_ arguments: [String], _ console: Console) throws(Failure) {
    let interruption = try Interruption.block()
    let environment = ProcessEnvironment.current
    ProcessEnvironment.forgetClientVariables()
    let settings = try Settings(
      environment: environment, workingDirectory: ProcessEnvironment.workingDirectory, firstStart: self == .initialise)
    let executable = ProcessEnvironment.executable
    func workspace() throws(Failure) -> Workspace {
      try Workspace(settings: settings, executable: executable, console: console, interruption: interruption)
    }
    switch self {
    case .initialise:
      let workspace = try workspace()
      try workspace.enter { () throws(Failure) in try workspace.checkGivenPassword() }
      try Initialiser(workspace).run()
    case .exec:
      try Launcher(try workspace()).run()
    case .migrate:
      let workspace = try workspace()
      try Migrator(workspace).run()
      try Pooler.writeConfiguration(workspace)
    case .monitor:
      try Monitor(
        settings: settings, console: console, interruption: interruption, notify: Notify(environment: environment)
      )
      .run()
    case .bindir:
      print(try PostgresInstallation.find(settings, executable: executable, interruption: interruption).binaryDirectory)
    case .own:
      try Ownership(settings: settings, user: arguments.first, console: console, interruption: interruption).run()
    }
  }

  static var usage: String {
    let lines = allCases.map { command in
      "  \(command.rawValue)\(String(repeating: " ", count: max(1, 10 - command.rawValue.utf8.count)))\(command.summary)"
    }
    return "usage: hive-postgres COMMAND\n\n" + lines.joined(separator: "\n")
      + "\n\nEverything else comes from the environment: HIVE_ROLE, HIVE_DATA, HIVE_RUN_DIR, … (docs/postgres.md)"
  }
}

let arguments = CommandLine.arguments.dropFirst()
let console = Console.standardError
if let first = arguments.first, ["-h", "--help", "help"].contains(first) {
  print(Command.usage)
  exit(0)
}
guard let word = arguments.first, let command = Command(rawValue: word),
  command.arguments.contains(arguments.count - 1)
else {
  let given = arguments.map(ShellWords.quote).joined(separator: " ")
  console.error(
    Failure(
      .usage,
      given.isEmpty ? "cannot tell what to do: no command was given" : "cannot understand the arguments '\(given)'",
      remedy: "give one of " + Command.allCases.map(\.rawValue).joined(separator: ", ")))
  exit(Failure.Status.usage.code)
}
do throws(Failure) {
  try command.run(Array(arguments.dropFirst()), console)
} catch {
  console.error(error)
  exit(error.status.code)
}
