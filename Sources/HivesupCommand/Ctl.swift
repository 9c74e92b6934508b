// `hivesup ctl`: supervisorctl's commands, for what supervisord knows and what it does not.

import ArgumentParser
import ControlProtocol
@preconcurrency import Glibc

struct Ctl: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Ask and tell the running supervisor.",
    discussion: """
      The daemon is found by --socket, by the control_socket of -c FILE, by HIVESUP_SOCKET, or at \(ControlLocation.defaultPath). Without a \
      command it is status. A name is NAME, GROUP:NAME, GROUP:* or all. On a terminal there are tables, otherwise supervisorctl's lines. Exit status: \
      0; 1 not done; 2 wrong words; 3 a program that was shown is down; 4 no such program or no daemon; 7 not running.
      """,
    subcommands: [
      Status.self, Start.self, Stop.self, Restart.self, Signal.self, Pin.self, Tail.self, Events.self, Health.self,
      Thermal.self, Pid.self, Reload.self, Shutdown.self, Version.self,
    ])
}

/// `--json`.
struct JSONOption: ParsableArguments {
  @Flag(name: .long, help: "Print the daemon's JSON instead of text.")
  var json = false
}

struct Status: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Show programs and their states.")
  @OptionGroup var control: ControlOptions
  @OptionGroup var format: JSONOption
  @Argument(help: "Which programs; all of them when none is named.", completion: ProgramCompletion.kind)
  var names: [String] = []

  func run() throws {
    let client = try control.client()
    var (status, body) = try client.document(.status, StatusDocument.init(json:))
    var shown: [ProgramDocument] = []
    var unknown: [String] = []
    for name in names {
      guard let found = ProgramNames.select(name, from: status.programs) else {
        unknown.append(name)
        continue
      }
      for program in found where !shown.contains(where: { $0.namespec == program.namespec }) { shown.append(program) }
    }
    if names.isEmpty { shown = status.programs }
    if format.json {
      if !names.isEmpty {
        status.programs = shown
        body = status.json
      }
      Output.bytes(body + [0x0A])
      for name in unknown { Output.error(ProgramNames.unknown(name)) }
    } else {
      let style = Style.current()
      let remarks = (names.isEmpty ? PinningText.statusRemarks(status) : []) + shown.flatMap(PinningText.statusRemarks)
      var lines =
        style.isTerminal
        ? StatusText.table(shown, now: status.timestamp, localTime: StatusText.localTime).lines(style)
        : StatusText.lines(shown, localTime: StatusText.localTime)
      if style.isTerminal, !remarks.isEmpty { lines += [""] + remarks }
      let all = (shown.isEmpty ? [] : lines) + unknown.map(ProgramNames.unknown)
      if !all.isEmpty { Output.line(all.joined(separator: "\n")) }
      // Programs read supervisorctl's lines, and whoever asks for all of them does so every minute: they get these lines and nothing else.
      if !style.isTerminal, !names.isEmpty { for remark in remarks { Output.error(remark) } }
    }
    if !unknown.isEmpty { throw ExitCode(ExitStatusCode.unknown) }
    if shown.contains(where: { StatusText.isDown($0, isNamed: !names.isEmpty) }) { throw ExitCode(ExitStatusCode.down) }
  }
}

struct Health: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show the combined health.", discussion: "Exit status 0 when it is healthy, else 3.")
  @OptionGroup var control: ControlOptions
  @OptionGroup var format: JSONOption

  func run() throws {
    let (health, body) = try control.client().document(.health, HealthDocument.init(json:))
    if format.json { Output.bytes(body + [0x0A]) } else { Output.line(Self.text(health, Style.current())) }
    if !health.isHealthy { throw ExitCode(ExitStatusCode.down) }
  }

  static func text(_ health: HealthDocument, _ style: Style) -> String {
    var lines = [
      "\(harmless(health.container)): \(style.paint(health.status, colour(health.status))), up \(StatusText.uptime(health.uptimeSeconds))"
        + (health.database.map { ", database \($0)" } ?? "")
    ]
    lines += health.reasons.map { "  \(harmless($0))" }
    var table = Table(["SERVICE", "HEALTH", "STATE", "CHECK", "RESULT", "LATENCY", "DETAIL"])
    for service in health.services {
      let own: [Table.Cell] = [
        .init(harmless(service.name)), .init(service.status, colour(service.status)), .init(service.state),
      ]
      if service.checks.isEmpty { table.add(own + [.init("-")]) }
      for (index, check) in service.checks.enumerated() {
        table.add(
          (index == 0 ? own : [.init(""), .init(""), .init("")]) + [
            .init("\(harmless(check.name)) (\(harmless(check.type)))"),
            .init(check.status, check.status == "passing" ? .green : check.status == "failing" ? .red : .yellow),
            .init(check.latencyMilliseconds.map { "\(($0 * 1000).rounded() / 1000) ms" } ?? "-"),
            .init(harmless(check.detail), .grey),
          ])
      }
    }
    return (lines + table.lines(style)).joined(separator: "\n")
  }

  private static func colour(_ status: String) -> Style.Colour? {
    switch status {
    case "healthy": .green
    case "starting": .yellow
    case "unhealthy": .red
    default: .grey
    }
  }
}

struct Pid: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Print process ids: the daemon's, a program's, or of all programs.",
    discussion: "A program that does not run has the id 0; exit status 7 then.")
  @OptionGroup var control: ControlOptions
  @OptionGroup var format: JSONOption
  @Argument(help: "Which programs; the daemon itself when none is named.", completion: ProgramCompletion.kind)
  var names: [String] = []

  func run() throws {
    let client = try control.client()
    guard !names.isEmpty else {
      let version = try client.document(.version, VersionDocument.init(json:)).document
      return Output.line(format.json ? "{\"pid\":\(version.pid)}" : "\(version.pid)")
    }
    let status = try client.document(.status, StatusDocument.init(json:)).document
    var worst: Int32 = 0
    var writer = JSONWriter()
    writer.beginObject()
    for name in names {
      guard let found = ProgramNames.select(name, from: status.programs) else {
        if format.json {
          Output.error("no such process \(harmless(name))")
        } else {
          Output.line("No such process \(harmless(name))")
        }
        worst = ExitStatusCode.unknown
        continue
      }
      for program in found {
        writer.member(program.namespec, program.pid ?? 0)
        if !format.json { Output.line(String(program.pid ?? 0)) }
        if program.pid == nil, worst == 0 { worst = ExitStatusCode.notRunning }
      }
    }
    writer.endObject()
    if format.json { Output.line(writer.text) }
    if worst != 0 { throw ExitCode(worst) }
  }
}

struct Reload: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Read the configuration again and apply what has changed.",
    discussion: "With an error in the configuration nothing changes; exit status 1 then.")
  @OptionGroup var control: ControlOptions
  @OptionGroup var format: JSONOption

  func run() throws {
    let client = try control.client(otherwise: 30)
    let reply = try client.ask(.reload)
    let json = try? JSONValue(parsing: reply.body)
    if format.json, json != nil { Output.bytes(reply.body + [0x0A]) }
    guard let document = json.flatMap(ReloadDocument.init(json:)) else {
      guard let fault = json.flatMap(ControlFault.init(json:)) else { throw client.strange(reply) }
      if !format.json { Output.line("ERROR: \(fault.code.rawValue): \(fault.message)") }
      throw ExitCode(ExitStatusCode.failed)
    }
    guard !format.json else { return }
    Output.line(Self.lines(document).joined(separator: "\n"))
    for warning in document.warnings { Output.error(warning) }
  }

  static func lines(_ document: ReloadDocument) -> [String] {
    let lines =
      document.added.map { "\($0): added" } + document.changed.map { "\($0): changed" }
      + document.adjusted.map { "\($0): adjusted" } + document.removed.map { "\($0): removed" }
    // supervisorctl's words.
    return lines.isEmpty ? ["No config updates to processes"] : lines.map(harmless)
  }
}

struct Shutdown: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Stop everything in order and end the supervisor.")
  @OptionGroup var control: ControlOptions
  @OptionGroup var format: JSONOption

  func run() throws {
    let client = try control.client()
    let reply = try client.ask(.shutdown)
    if let json = try? JSONValue(parsing: reply.body), let fault = ControlFault(json: json) {
      if format.json { Output.bytes(reply.body + [0x0A]) }
      throw ControlClient.problem(fault)
    }
    guard reply.status == 202 else { throw client.strange(reply) }
    Output.line(format.json ? "{\"accepted\":true}" : "Shut down")
  }
}

struct Version: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Print the daemon's version.")
  @OptionGroup var control: ControlOptions
  @OptionGroup var format: JSONOption

  func run() throws {
    let (version, body) = try control.client().document(.version, VersionDocument.init(json:))
    if format.json { Output.bytes(body + [0x0A]) } else { Output.line(version.version) }
  }
}
