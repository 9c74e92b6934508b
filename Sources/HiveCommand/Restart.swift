// `hive restart`: a container, or one program in it, and wait until it is healthy again.

import ArgumentParser
import CommandOutput
import ControlProtocol
@preconcurrency import Glibc

struct Restart: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Restart a container, or one program in it.",
    discussion: """
      With a program the container and the other programs stay; the port stays open. Without one the whole container is stopped in \
      order and started again.
      """)

  @OptionGroup var compose: ComposeOptions
  @OptionGroup var waiting: WaitOptions
  @OptionGroup var format: FormatOption
  @OptionGroup var role: RoleArgument

  @Argument(help: "Only this program: NAME, GROUP:NAME or GROUP:*.")
  var program: String?

  func run() async throws {
    let engine = Engine()
    let board = ProgressBoard(.of(STDERR_FILENO), quiet: waiting.quiet)
    let role = try role.chosen()
    try await reporting("restart", json: format.json) {
      guard let project = try await compose.open([role], engine).first,
        let container = try await engine.container(project)
      else {
        throw Problem("cannot restart \(role.rawValue): there is no container; 'hive up \(role.rawValue)' makes it")
      }
      do {
        return try await withTicking(board) {
          if let program { return try await restart(program, project, container, engine, board) }
          return try await restart(project, container, engine, board)
        }
      } catch is CancellationError {
        throw Hive.interrupted("the restart goes on in the container; see 'hive status \(role.rawValue)'")
      }
    }
  }

  private func restart(
    _ project: ComposeProject, _ container: ContainerDocument, _ engine: Engine, _ board: ProgressBoard
  ) async throws -> Report {
    let role = project.role
    try await perform("restart", project.restart(), role, engine, board)
    return try await awaited(project, try await engine.container(project), engine, board)
  }

  private func restart(
    _ program: String, _ project: ComposeProject, _ container: ContainerDocument, _ engine: Engine,
    _ board: ProgressBoard
  ) async throws -> Report {
    let role = project.role
    let subject = "cannot restart \(role.rawValue)/\(program)"
    guard container.isRunning else {
      throw Problem("\(subject): the container does not run (\(container.state)); 'hive up \(role.rawValue)' starts it")
    }
    await board.set(role, .working, "restarting \(program)")
    let seconds = Int(waiting.timeout.rounded(.up))
    let answer = try await engine.ask(
      Docker.restart(container.id, program: program, wait: waiting.wait, seconds: seconds),
      within: waiting.timeout + Engine.patience)
    if let problem = Self.problem(answer, subject, role) {
      await board.clear()
      Hive.tell(problem)
      var report = RoleReport(role, seen: try await engine.look(role, container))
      report.problem = problem
      if problem.status != ExitStatusCode.usage,
        let lines = try await engine.lastWords(container, program: program, lines: Waiter.mostLines), !lines.isEmpty
      {
        report.lastWords = [LastWords(program: program, lines: lines)]
        for line in report.lastWords.flatMap(\.text) { Output.note(line) }
      }
      return Report(command: "restart", roles: [report], status: problem.status)
    }
    return try await awaited(project, container, engine, board)
  }

  /// Waits until everything is healthy again, where that is wanted.
  private func awaited(
    _ project: ComposeProject, _ before: ContainerDocument?, _ engine: Engine, _ board: ProgressBoard
  ) async throws -> Report {
    var report: RoleReport
    if waiting.wait {
      let waiter = Waiter(engine: engine, board: board, timeout: waiting.timeout)
      report = try await waiter.wait(project, Watch(project.role, before: before))
    } else {
      report = RoleReport(project.role, seen: try await engine.look(project.role, try await engine.container(project)))
    }
    report.action = "restarted"
    await board.clear()
    return finish("restart", [report], json: format.json)
  }

  /// What the supervisor's answer to a restart means; nil: it was done.
  static func problem(_ answer: Outcome, _ subject: String, _ role: Role) -> Problem? {
    if answer.succeeded { return nil }
    let json = EngineFault.lastLine(answer.text)
    let value = try? JSONValue(parsing: Array(json.utf8))
    var reason = EngineFault.lastLine(answer.error)
    var code: ControlFault.Code?
    if let value, let results = ResultsDocument(json: value),
      let failed = results.results.first(where: { $0.code != .success })
    {
      code = failed.code
      reason = failed.message
    } else if let value, let fault = ControlFault(json: value) {
      code = fault.code
      reason = fault.message
    }
    // The supervisor's sentence begins as this one does.
    if reason.hasPrefix("cannot restart "), let colon = reason.firstRange(of: ": ") {
      reason = String(reason[colon.upperBound...])
    }
    if reason.isEmpty { reason = code?.rawValue ?? "exit status \(answer.status)" }
    switch code {
    case .badName:
      return Problem(
        "\(subject): \(harmless(reason)); 'hive status \(role.rawValue)' lists the programs",
        status: ExitStatusCode.usage)
    case .timedOut: return Problem("\(subject) in time: \(harmless(reason))", status: ExitStatusCode.timedOut)
    default: return Problem("\(subject): \(harmless(reason))")
    }
  }
}
