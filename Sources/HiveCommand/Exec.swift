// `hive exec`: a command in a container, with the terminal where there is one and the command's own exit status.

import ArgumentParser
import CommandOutput
@preconcurrency import Glibc

struct Exec: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Run a command in a running container.",
    discussion: """
      Standard input is passed on; the command gets a terminal when standard input and output are one. Ends as the command does; with \
      125 when it could not be run, 126 and 127 when it may not be executed or is not in the container. Options of hive stand before \
      the role.
      """)

  @OptionGroup var compose: ComposeOptions

  @Option(help: ArgumentHelp("As which user; the image's own when not given.", valueName: "name or uid[:gid]"))
  var user: String?

  @OptionGroup var role: RoleArgument

  @Argument(parsing: .captureForPassthrough, help: "The command and its arguments.")
  var command: [String]

  func validate() throws {
    if command.isEmpty {
      throw ValidationError("cannot run a command: none is given; for instance 'hive exec genie psql'")
    }
  }

  func run() async throws {
    let engine = Engine()
    do {
      let role = try role.chosen()
      guard let project = try await compose.open([role], engine).first,
        let container = try await engine.container(project)
      else {
        throw Problem(
          "cannot run a command in \(role.rawValue): there is no container; 'hive up \(role.rawValue)' makes it")
      }
      guard container.isRunning else {
        throw Problem(
          "cannot run a command in \(role.rawValue): the container does not run (\(container.state)); 'hive up \(role.rawValue)' starts it"
        )
      }
      let words = command.first == "--" ? Array(command.dropFirst()) : command
      let terminal = isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1
      try Engine.become(Docker.exec(container.id, words, user: user, terminal: terminal))
    } catch var problem as Problem {
      problem.status = ExitStatusCode.notRun
      throw problem
    }
  }
}
