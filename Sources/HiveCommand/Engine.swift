// What is asked of docker and compose, and what their answers mean. Each question has a deadline: an engine that hangs is told of, not
// waited for.

@preconcurrency import Glibc

/// The engine, through docker's and compose's command lines.
struct Engine: Sendable {
  /// How long a question may take that changes nothing, in seconds.
  static let patience = 15.0

  var runner = ProcessRunner()

  /// Makes sure that there is an engine that answers.
  func check() async throws {
    let answer = try await ask(Docker.version)
    guard answer.succeeded else { throw EngineFault.unreachable(answer.error) }
  }

  /// Which compose there is.
  func compose() async throws -> ComposeTool {
    if let plugin = try? await runner.capture(ComposeTool.askPlugin, within: Self.patience), plugin.succeeded {
      return .plugin
    }
    try Task.checkCancellation()
    do {
      let answer = try await runner.capture(ComposeTool.askStandalone, within: Self.patience)
      guard answer.succeeded else {
        throw Problem(
          "cannot use docker-compose: \(ComposeTool.askStandalone.text) ended with exit status \(answer.status); install it anew",
          status: ExitStatusCode.noEngine, details: EngineFault.lastLines(answer.error, 3))
      }
      return .standalone(version: EngineFault.lastLine(answer.text))
    } catch RunFailure.notFound {
      throw EngineFault.noCompose
    } catch RunFailure.tooLate {
      throw Problem(
        "cannot use docker-compose: it did not tell its version within \(Int(Self.patience)) s",
        status: ExitStatusCode.noEngine)
    }
  }

  /// The container of a role. nil: none was made, or it was removed.
  func container(_ project: ComposeProject) async throws -> ContainerDocument? {
    let answer = try await ask(project.containers())
    guard answer.succeeded else {
      throw EngineFault.compose("look for", project.role, status: answer.status, said: answer.error)
    }
    let ids = answer.text.split(whereSeparator: \.isWhitespace).map(String.init)
    return ContainerDocument.service(among: try await inspect(ids))
  }

  /// The containers of these ids that are still there.
  func inspect(_ ids: [String]) async throws -> [ContainerDocument] {
    guard !ids.isEmpty else { return [] }
    let invocation = Docker.inspect(ids)
    let answer = try await ask(invocation)
    // Some of them may be gone: docker then prints the others and ends with 1.
    guard let found = ContainerDocument.list(answer.output) else {
      if answer.error.contains("No such ") { return [] }
      throw Problem("cannot understand the answer of '\(invocation.text)': \(EngineFault.lastLine(answer.error))")
    }
    return found
  }

  /// Looks at a role's container once.
  func look(_ role: Role, _ container: ContainerDocument?) async throws -> Observation {
    var seen = Observation(role: role, container: container)
    guard let container, container.isRunning else { return seen }
    do {
      let answer = try await runner.capture(Docker.health(container.id, seconds: 3), within: Self.patience)
      seen.supervisor = SupervisorAnswer(status: answer.status, output: answer.output, error: answer.error)
    } catch RunFailure.tooLate {
      seen.supervisor = .silent("docker exec took more than \(Int(Self.patience)) s")
    }
    return seen
  }

  /// A program's last lines as its supervisor keeps them; nil when that cannot be asked.
  func lastWords(_ container: ContainerDocument, program: String, lines: Int) async throws -> [String]? {
    guard container.isRunning else { return nil }
    let bytes = 16 << 10
    let answer = try await ask(Docker.tail(container.id, program: program, bytes: bytes, follow: false))
    guard answer.succeeded else { return nil }
    return LastWords.lines(answer.output, most: lines, isCut: answer.output.count >= bytes)
  }

  /// The container's last output, of its current or last run.
  func output(_ container: ContainerDocument, lines: Int) async throws -> [LogLine] {
    let answer = try await ask(
      Docker.logs(container.id, lines: lines, follow: false, since: container.startedAt?.rfc3339))
    // Docker hands over both streams apart; their own times put them in order again.
    let all = LastWords.lines(answer.output, most: lines) + LastWords.lines(Array(answer.error.utf8), most: lines)
    return LastWords.inOrder(all.map(LogLine.init))
  }

  /// Runs a command that must succeed as far as running it goes; what is missing or hangs is told as a problem.
  func ask(_ invocation: Invocation, within seconds: Double = Engine.patience) async throws -> Outcome {
    do {
      return try await runner.capture(invocation, within: seconds)
    } catch let failure as RunFailure {
      throw Self.problem(invocation, failure, seconds)
    }
  }

  /// Like `ask`, with every line handed over as it comes, and without a deadline.
  func follow(_ invocation: Invocation, _ take: (String) async -> Void) async throws -> Outcome {
    do {
      return try await runner.follow(invocation, take)
    } catch let failure as RunFailure {
      throw Self.problem(invocation, failure, 0)
    }
  }

  /// Becomes a command of docker's.
  static func become(_ invocation: Invocation) throws(Problem) -> Never {
    do throws(RunFailure) {
      try ProcessRunner.become(invocation)
    } catch {
      throw problem(invocation, error, 0)
    }
  }

  static func problem(_ invocation: Invocation, _ failure: RunFailure, _ seconds: Double) -> Problem {
    switch failure {
    case .notFound: invocation.program == "docker" ? EngineFault.noDocker : EngineFault.noCompose
    case .tooLate:
      Problem(
        "cannot get an answer to '\(invocation.text)' within \(Int(seconds)) s: the engine hangs or is overloaded; "
          + "try the command by hand", status: ExitStatusCode.noEngine)
    case .other(let why):
      Problem("cannot run '\(invocation.text)': \(why)", status: ExitStatusCode.noEngine)
    }
  }
}
