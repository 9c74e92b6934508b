// `hive up`: start what is to be started, wait until it is healthy, and tell why when it is not.

import ArgumentParser
import CommandOutput
@preconcurrency import Glibc

/// How long and how loudly to wait.
struct WaitOptions: ParsableArguments {
  @Flag(inversion: .prefixedNo, help: "Wait until it is healthy.")
  var wait = true

  @Option(
    help: ArgumentHelp("How long to wait for it to be healthy, from its start on, at most 86400.", valueName: "seconds")
  )
  var timeout: Double = 60

  @Flag(name: [.short, .long], help: "No progress on standard error.")
  var quiet = false

  func validate() throws {
    guard timeout > 0 && timeout <= 86_400 else {
      throw ValidationError("cannot wait for \(timeout) s: give --timeout between 0 and 86400")
    }
  }
}

struct Up: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Start containers, and wait until they are healthy.",
    discussion: """
      Makes what is missing: image (built or pulled as the compose file says), network, volumes, container. A container that runs \
      already and is up to date is left alone. Ctrl-C ends the waiting, not the containers.
      """)

  @OptionGroup var compose: ComposeOptions
  @OptionGroup var waiting: WaitOptions
  @OptionGroup var format: FormatOption

  @Flag(help: "Build the image first, also when there is one.")
  var build = false

  @Flag(help: "Pull the image first, also when there is one.")
  var pull = false

  @OptionGroup var roles: RolesArgument

  func run() async throws {
    let engine = Engine()
    let board = ProgressBoard(.of(STDERR_FILENO), quiet: waiting.quiet)
    let chosen = try roles.chosen()
    try await reporting("up", json: format.json) {
      let projects = try await compose.open(chosen, engine)
      let names = chosen.map(\.rawValue).joined(separator: " ")
      do {
        let reports = try await withTicking(board) { try await start(projects, engine, board) }
        return finish("up", reports, json: format.json)
      } catch is CancellationError {
        throw Hive.interrupted(
          "nothing was stopped, and what has been started goes on; see 'hive status \(names)', stop it with 'hive down \(names)'"
        )
      }
    }
  }

  /// Starts the roles one after the other, because their images share layers, and waits for all of them at the same time.
  private func start(_ projects: [ComposeProject], _ engine: Engine, _ board: ProgressBoard) async throws
    -> [RoleReport]
  {
    try await withThrowingTaskGroup(of: RoleReport.self) { group in
      var reports: [RoleReport] = []
      var befores: [Role: ContainerDocument] = [:]
      for project in projects {
        let role = project.role
        let before = try await engine.container(project)
        befores[role] = before
        do {
          if pull { try await perform("pull", project.pull(), role, engine, board) }
          try await perform("start", project.up(build: build), role, engine, board)
        } catch let problem as Problem {
          await board.set(role, .failed, "failed")
          var report = RoleReport(role)
          report.problem = problem
          reports.append(report)
          continue
        }
        let waiter = Waiter(engine: engine, board: board, timeout: waiting.timeout)
        let watch = Watch(role, before: before)
        if waiting.wait {
          await board.set(role, .working, "the container is being started")
          group.addTask { try await waiter.wait(project, watch) }
        } else {
          let container = try await engine.container(project)
          reports.append(RoleReport(role, seen: try await engine.look(role, container)))
          await board.set(role, .done, "started")
        }
      }
      for try await report in group { reports.append(report) }
      return projects.compactMap { project in
        reports.first { $0.role == project.role }.map { report in
          var report = report
          report.action = Self.action(before: befores[project.role], after: report.seen?.container)
          return report
        }
      }
    }
  }
}

extension Up {
  /// What became of the container: `created`, `replaced`, `started` or `unchanged`. nil: there is none.
  static func action(before: ContainerDocument?, after: ContainerDocument?) -> String? {
    guard let after else { return nil }
    guard let before else { return "created" }
    if before.id != after.id { return "replaced" }
    return before.startedAt == after.startedAt ? "unchanged" : "started"
  }
}

/// Lets the live line's time run while something is done, and takes the line away afterwards.
func withTicking<Result: Sendable>(
  _ board: ProgressBoard, _ work: () async throws -> Result
) async throws -> Result {
  let ticking = Task { await board.tick() }
  func end() async {
    ticking.cancel()
    await ticking.value
    await board.clear()
  }
  do {
    let result = try await work()
    await end()
    return result
  } catch {
    await end()
    throw error
  }
}

/// Runs a compose command with its last line as progress.
/// - Throws: what it says when it does not succeed, as a problem.
func perform(
  _ doing: String, _ invocation: Invocation, _ role: Role, _ engine: Engine, _ board: ProgressBoard
) async throws {
  var said: [String] = []
  await board.set(
    role, .working, "compose: \(invocation.arguments.last { !$0.hasPrefix("-") && $0 != role.rawValue } ?? "")")
  let outcome = try await engine.follow(invocation) { line in
    guard line.contains(where: { !$0.isWhitespace }) else { return }
    said.append(line)
    // What explains a failure stands at the end.
    if said.count > 500 { said.removeFirst(250) }
    await board.set(role, .working, "compose: \(line.drop(while: \.isWhitespace))")
  }
  try Task.checkCancellation()
  guard outcome.succeeded else {
    throw EngineFault.compose(doing, role, status: outcome.status, said: said.joined(separator: "\n"))
  }
}

/// Tells people about each role and makes the report of a command that waited.
func finish(_ command: String, _ reports: [RoleReport], json: Bool) -> Report {
  var report = Report(command: command, roles: reports)
  for role in reports {
    if let problem = role.problem {
      Hive.tell(problem)
      for words in role.lastWords { for line in words.text { Output.note(line) } }
      if report.status == 0 { report.status = problem.status }
    } else if !json {
      Output.line(Summary.up(role))
    }
  }
  return report
}

/// One line for people.
enum Summary {
  /// `genie is healthy after 2.1 s, http on 127.0.0.1:48886`
  static func up(_ report: RoleReport) -> String {
    let role = report.role.rawValue
    var text = "\(role) is \(report.seen?.health ?? "started")"
    if let seconds = report.seconds { text += " after \(Progress.seconds(seconds))" }
    let ports = report.seen?.container?.ports ?? []
    if !ports.isEmpty { text += ", \(ports.joined(separator: ", "))" }
    return text
  }
}
