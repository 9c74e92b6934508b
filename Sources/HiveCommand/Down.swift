// `hive down`: stop and remove containers; data stays unless it is given up in so many words.

import ArgumentParser
import CommandOutput
@preconcurrency import Glibc

struct Down: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Stop and remove containers; volumes are kept.",
    discussion: """
      Every program is stopped in order first, as 'docker stop' does within the compose file's stop_grace_period. With --volumes the \
      data, logs and backups are deleted too, which nothing brings back: that wants --delete-all-data besides.
      """)

  @OptionGroup var compose: ComposeOptions
  @OptionGroup var format: FormatOption

  @Flag(help: "Delete the volumes too: all data, logs and backups. Needs --delete-all-data.")
  var volumes = false

  @Flag(name: .customLong("delete-all-data"), help: "Confirms --volumes.")
  var deletesAllData = false

  @Flag(name: [.short, .long], help: "No progress on standard error.")
  var quiet = false

  @OptionGroup var roles: RolesArgument

  func validate() throws {
    if deletesAllData && !volumes {
      throw ValidationError("cannot use --delete-all-data alone: it confirms --volumes")
    }
  }

  func run() async throws {
    let engine = Engine()
    let board = ProgressBoard(.of(STDERR_FILENO), quiet: quiet)
    let chosen = try roles.chosen()
    try await reporting("down", json: format.json) {
      let projects = try await compose.open(chosen, engine)
      if volumes && !deletesAllData {
        var names: [String] = []
        for project in projects {
          let answer = try await engine.ask(project.volumes())
          names += answer.text.split(whereSeparator: \.isWhitespace).map { "\(project.role.rawValue)/\($0)" }
        }
        throw Problem(
          "cannot delete volumes without confirmation: \(names.isEmpty ? "they hold" : names.joined(separator: ", ") + " hold") "
            + "all data and backups; add --delete-all-data, or leave --volumes out to keep them",
          status: ExitStatusCode.usage)
      }
      do {
        return try await withTicking(board) {
          var report = Report(command: "down")
          for project in projects {
            let role = try await remove(project, engine, board)
            if let problem = role.problem, report.status == 0 { report.status = problem.status }
            report.roles.append(role)
          }
          return report
        }
      } catch is CancellationError {
        throw Hive.interrupted("what was not yet stopped goes on; 'hive status' shows it, 'hive down' goes on stopping")
      }
    }
  }

  private func remove(_ project: ComposeProject, _ engine: Engine, _ board: ProgressBoard) async throws -> RoleReport {
    let role = project.role
    var report = RoleReport(role)
    do {
      let before = try await engine.container(project)
      try await perform("stop", project.down(volumes: volumes), role, engine, board)
      report.action = before == nil ? "unchanged" : "removed"
      await board.clear()
      if !format.json {
        let kept = volumes ? "its volumes are deleted" : "its volumes are kept"
        Output.line("\(role.rawValue) \(before == nil ? "was not there" : "is removed"), \(kept)")
      }
    } catch let problem as Problem {
      await board.clear()
      Hive.tell(problem)
      report.problem = problem
    }
    return report
  }
}
