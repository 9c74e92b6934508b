// `hive status` and `hive health`: how the containers are, for people and for scripts.

import ArgumentParser
import CommandOutput
import ControlProtocol

struct Status: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show containers and the programs in them.",
    discussion:
      "Ends with 0 whatever the state is, as long as it could be found out; 'hive health' is the one that judges.")

  @OptionGroup var compose: ComposeOptions
  @OptionGroup var format: FormatOption
  @OptionGroup var roles: RolesArgument

  func run() async throws {
    try await reporting("status", json: format.json) {
      let seen = try await observe(try roles.chosen(), compose, Engine())
      if !format.json { for line in StatusText.lines(seen, now: wallTime(), .current()) { Output.line(line) } }
      return Report(command: "status", roles: seen.map { RoleReport($0.role, seen: $0) })
    }
  }
}

struct Health: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Tell whether containers are healthy, and why not.",
    discussion: "Ends with 0 when all of them are healthy, else with 1. A container that is not there is not healthy.")

  @OptionGroup var compose: ComposeOptions
  @OptionGroup var format: FormatOption
  @OptionGroup var roles: RolesArgument

  func run() async throws {
    try await reporting("health", json: format.json) {
      let seen = try await observe(try roles.chosen(), compose, Engine())
      if !format.json { for line in StatusText.health(seen, .current()) { Output.line(line) } }
      return Report(
        command: "health", roles: seen.map { RoleReport($0.role, seen: $0) },
        status: seen.allSatisfy(\.isHealthy) ? 0 : ExitStatusCode.failed)
    }
  }
}

/// Looks at each role once, at all of them at the same time.
func observe(_ roles: [Role], _ compose: ComposeOptions, _ engine: Engine) async throws -> [Observation] {
  let projects = try await compose.open(roles, engine)
  return try await withThrowingTaskGroup(of: Observation.self) { group in
    for project in projects {
      group.addTask { try await engine.look(project.role, try await engine.container(project)) }
    }
    var seen: [Observation] = []
    for try await observation in group { seen.append(observation) }
    return projects.compactMap { project in seen.first { $0.role == project.role } }
  }
}

/// How the state of containers reads.
enum StatusText {
  /// The containers as a table, then the programs as another.
  static func lines(_ seen: [Observation], now: Timestamp, _ style: Style) -> [String] {
    var containers = Table(["ROLE", "CONTAINER", "STATE", "HEALTH", "UPTIME", "RESTARTS", "PORTS"])
    for one in seen {
      let container = one.container
      containers.add([
        .init(one.role.rawValue), .init(container.map { harmless($0.name) } ?? "-"),
        .init(container?.state ?? "absent"),
        .init(one.health, colour(one.health)), .init(container?.uptime(at: now).map(uptimeText) ?? "-"),
        .init(container.map { String($0.restarts) } ?? "-", (container?.restarts ?? 0) > 0 ? .yellow : nil),
        .init(container.flatMap { $0.ports.isEmpty ? nil : $0.ports.joined(separator: ", ") } ?? "-"),
      ])
    }
    var programs = Table(["PROGRAM", "STATE", "HEALTH", "PID", "UPTIME", "RESTARTS", "DETAIL"])
    var hasPrograms = false
    for one in seen {
      for service in one.supervisor.health?.services ?? [] {
        hasPrograms = true
        programs.add([
          .init("\(one.role.rawValue)/\(harmless(service.name))"), .init(service.state),
          .init(service.status, colour(service.status)), .init(service.pid.map(String.init) ?? "-"),
          .init(service.uptimeSeconds.map(uptimeText) ?? "-"),
          .init(String(service.restarts), service.restarts > 0 ? .yellow : nil), .init(detail(service), .grey),
        ])
      }
    }
    var lines = containers.lines(style)
    if hasPrograms { lines += [""] + programs.lines(style) }
    let reasons = seen.flatMap { one in one.isHealthy ? [] : one.reasons.map { "\(one.role.rawValue): \(harmless($0))" }
    }
    if !reasons.isEmpty { lines += [""] + reasons }
    return lines
  }

  /// One line for each role, and its reasons below.
  static func health(_ seen: [Observation], _ style: Style) -> [String] {
    seen.flatMap { one in
      var line = "\(one.role.rawValue): \(style.paint(one.health, colour(one.health)))"
      if let health = one.supervisor.health {
        line +=
          ", up \(uptimeText(health.uptimeSeconds))" + (health.database.map { ", database \(harmless($0))" } ?? "")
      }
      return [line] + one.reasons.map { "  \(harmless($0))" }
    }
  }

  /// What a program's failing checks saw, else how its last run ended.
  private static func detail(_ service: ServiceDocument) -> String {
    if let check = service.checks.first(where: { $0.status == "failing" }) {
      return harmless("\(check.name): \(check.detail)")
    }
    guard let exit = service.lastExit else { return "" }
    var text = exit.signal ?? "exit status \(exit.exitStatus ?? 0)"
    if exit.coreDumped { text += " (core dumped)" }
    if exit.oomKilled { text += ", out of memory" }
    return service.pid == nil ? text : "before: \(text)"
  }

  private static func colour(_ health: String) -> Style.Colour? {
    switch health {
    case "healthy": .green
    case "starting": .yellow
    case "unhealthy": .red
    default: .grey
    }
  }
}
