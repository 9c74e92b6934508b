// `hive logs`: what a container, or one program in it, has written.

import ArgumentParser
import CommandOutput
@preconcurrency import Glibc

struct Logs: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show the output of a container or of one program in it.",
    discussion: """
      Without a program: the container's output, as 'docker logs' keeps it. With one: what the supervisor keeps of that program's last \
      output; of a container that does not run, the program's lines in the container's output.
      """)

  @OptionGroup var compose: ComposeOptions

  @Flag(name: [.short, .long], help: "Go on with what comes, until Ctrl-C.")
  var follow = false

  @Option(name: [.customShort("n"), .long], help: ArgumentHelp("How many lines: a number or all.", valueName: "lines"))
  var tail: String = "100"

  @Flag(help: "One JSON object for each line.")
  var json = false

  @OptionGroup var role: RoleArgument

  @Argument(help: "Only this program's output.")
  var program: String?

  /// nil: all.
  private var lines: Int? { tail == "all" ? nil : Int(tail) }

  func validate() throws {
    guard tail == "all" || (Int(tail).map { (0...1_000_000).contains($0) } ?? false) else {
      throw ValidationError("cannot show '\(tail)' lines: give --tail a number up to 1000000, or all")
    }
  }

  func run() async throws {
    let engine = Engine()
    let role = try role.chosen()
    let projects = try await compose.open([role], engine)
    guard let project = projects.first, let container = try await engine.container(project) else {
      throw Problem(
        "cannot show the output of \(role.rawValue): there is no container; 'hive up \(role.rawValue)' makes it")
    }
    guard let program else { return try await ofContainer(container, role, engine) }
    if container.isRunning {
      try await kept(program, container, role, engine)
    } else {
      try await fromContainer(program, container, role, engine)
    }
  }

  private func ofContainer(_ container: ContainerDocument, _ role: Role, _ engine: Engine) async throws {
    let invocation = Docker.logs(container.id, lines: lines, follow: follow)
    guard json else { try Engine.become(invocation) }
    let outcome = try await engine.follow(invocation) { Output.bytes(LogLine($0).json(role)) }
    if !outcome.succeeded { throw ExitCode(ExitStatusCode.failed) }
  }

  /// What the supervisor keeps.
  private func kept(_ program: String, _ container: ContainerDocument, _ role: Role, _ engine: Engine) async throws {
    let bytes = 16 << 20
    let answer = try await engine.ask(Docker.tail(container.id, program: program, bytes: bytes, follow: false))
    guard answer.succeeded else {
      let subject = "cannot show the output of \(role.rawValue)/\(program)"
      // supervisorctl's status for a name that is not there.
      if answer.status == 4, answer.text.contains("no such process") {
        throw Problem(
          "\(subject): there is no such program; 'hive status \(role.rawValue)' lists them",
          status: ExitStatusCode.usage)
      }
      throw Problem("\(subject): \(harmless(EngineFault.lastLine(answer.text.isEmpty ? answer.error : answer.text)))")
    }
    let last = LastWords.lines(answer.output, most: lines ?? .max)
    guard follow else {
      for line in last { show(line, program, role) }
      return
    }
    // As many bytes as the lines that are asked for have, and then what comes.
    let size = last.reduce(0) { $0 + $1.utf8.count + 1 }
    let invocation = Docker.tail(container.id, program: program, bytes: size, follow: true)
    guard json else { try Engine.become(invocation) }
    let outcome = try await engine.follow(invocation) { show($0, program, role) }
    if !outcome.succeeded { throw ExitCode(ExitStatusCode.failed) }
  }

  /// What a container that does not run has left in the engine's log.
  private func fromContainer(_ program: String, _ container: ContainerDocument, _ role: Role, _ engine: Engine)
    async throws
  {
    let answer = try await engine.ask(Docker.logs(container.id, lines: nil, follow: false), within: 120)
    guard answer.succeeded else {
      throw Problem(
        "cannot show the output of \(role.rawValue)/\(program): \(EngineFault.lastLine(answer.error))")
    }
    let all = LastWords.lines(answer.output, most: .max) + LastWords.lines(Array(answer.error.utf8), most: .max)
    let own = LastWords.inOrder(all.map(LogLine.init)).filter { $0.program == program }
    guard !own.isEmpty else {
      throw Problem(
        "cannot show the output of \(role.rawValue)/\(program): the container does not run, and has no line of that program in its "
          + "output; 'hive logs \(role.rawValue)' shows all of it")
    }
    for line in own.suffix(lines ?? .max) { json ? Output.bytes(line.json(role)) : Output.line(line.message) }
  }

  private func show(_ text: String, _ program: String, _ role: Role) {
    guard json else { return Output.line(text) }
    var line = LogLine(text)
    if line.program == nil { line.program = program }
    Output.bytes(line.json(role))
  }
}
