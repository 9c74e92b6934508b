// tail and events: what is there, and with -f what comes.

import ArgumentParser
import ControlProtocol

struct Tail: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show the last output of a program.",
    discussion: "As in supervisorctl, -N after the word tail is the number of bytes: 'tail -5000 postgresql'.")
  @OptionGroup var control: ControlOptions
  @OptionGroup var format: JSONOption

  @Flag(name: [.customShort("f"), .long], help: "Go on with what comes, until Ctrl-C.")
  var follow = false

  @Option(name: [.customShort("n"), .long], help: "How many bytes.")
  var bytes: Int = Route.defaultLogBytes

  @Argument(help: "Which program.", completion: ProgramCompletion.kind)
  var name: String

  @Argument(help: "stdout, stderr or both.", completion: .list(LogStream.allCases.map(\.rawValue)))
  var stream: String = "both"

  func validate() throws {
    guard (0...Route.mostLogBytes).contains(bytes) else {
      throw ValidationError("cannot show \(bytes) bytes: give 0 to \(Route.mostLogBytes)")
    }
    guard LogStream(rawValue: stream) != nil else {
      throw ValidationError("cannot show '\(stream)': the streams are stdout, stderr and both")
    }
  }

  func run() throws {
    let client = try control.client()
    let route = Route.logs(target: name, stream: LogStream(rawValue: stream) ?? .both, bytes: bytes, follow: follow)
    let reply: ControlReply
    if follow {
      let style = Style.current()
      if style.isTerminal && !format.json { Output.line("==> Press Ctrl-C to exit <==") }
      var lines = LineSplitter()
      reply = try client.follow(route) { bytes in
        if format.json {
          for line in lines.take(bytes) { Output.bytes(document("line", line)) }
        } else {
          Output.bytes(bytes)
        }
        return true
      }
      if reply.status == 200 {
        throw Problem("cannot follow \(name) any longer: the daemon ended the stream", status: ExitStatusCode.failed)
      }
    } else {
      reply = try client.ask(route)
    }
    guard reply.status == 200 else {
      guard let json = try? JSONValue(parsing: reply.body), let fault = ControlFault(json: json) else {
        throw client.strange(reply)
      }
      if format.json { Output.bytes(reply.body + [0x0A]) }
      let words =
        fault.code == .badName
        ? "no such process name" : fault.code == .noFile ? "no log file" : harmless(fault.message)
      if !format.json { Output.line("\(harmless(name)): ERROR (\(words))") }
      throw ExitCode(fault.code == .badName ? ExitStatusCode.unknown : ExitStatusCode.failed)
    }
    if format.json { return Output.bytes(document("text", reply.body)) }
    Output.bytes(reply.body + (reply.body.last == 0x0A || reply.body.isEmpty ? [] : [0x0A]))
  }

  private func document(_ member: String, _ text: some Collection<UInt8>) -> [UInt8] {
    var writer = JSONWriter()
    writer.beginObject()
    writer.member("program", name)
    writer.member("stream", stream)
    writer.key(member)
    writer.value(bytes: text)
    writer.endObject()
    writer.endLine()
    return writer.take()
  }
}

struct Events: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Show what happened: state changes and their causes.")
  @OptionGroup var control: ControlOptions
  @OptionGroup var format: JSONOption

  @Flag(name: [.customShort("f"), .long], help: "Go on with what comes, until Ctrl-C.")
  var follow = false

  @Option(name: .long, help: ArgumentHelp("Only what came after this event.", valueName: "number"))
  var since: UInt64 = 0

  func validate() throws {
    if since > UInt64(Int64.max) {
      throw ValidationError("cannot begin after event \(since): there cannot be that many")
    }
  }

  func run() throws {
    let client = try control.client()
    let style = Style.current()
    guard follow else {
      let (events, _) = try client.document(.events(since: since, follow: false), EventsDocument.init(json:))
      if events.missed > 0 && !format.json { Output.error("\(events.missed) older events are not kept any more") }
      for event in events.events { show(event, style) }
      return
    }
    var lines = LineSplitter()
    let reply = try client.follow(.events(since: since, follow: true)) { bytes in
      for line in lines.take(bytes) {
        guard let json = try? JSONValue(parsing: line), let event = EventDocument(json: json) else { continue }
        show(event, style)
      }
      return true
    }
    if let json = try? JSONValue(parsing: reply.body), let fault = ControlFault(json: json) {
      throw ControlClient.problem(fault)
    }
    guard reply.status == 200 else { throw client.strange(reply) }
    throw Problem("cannot follow events any longer: the daemon ended the stream", status: ExitStatusCode.failed)
  }

  private func show(_ event: EventDocument, _ style: Style) {
    if format.json { Output.bytes(event.line) } else { Output.line(Self.text(event, style)) }
  }

  /// `2026-11-20T10:00:00.000Z 42 postgresql STARTING -> RUNNING pid 12: is ready`
  static func text(_ event: EventDocument, _ style: Style) -> String {
    var words = [style.paint(event.timestamp.rfc3339, .grey), String(event.seq)]
    words.append(event.program.isEmpty ? "supervisor" : harmless(event.program))
    if let from = event.from, let to = event.to {
      words.append("\(from) -> \(style.paint(to, colour(to)))")
    }
    if let pid = event.pid { words.append("pid \(pid)") }
    return words.joined(separator: " ") + ": " + harmless(event.cause)
  }

  private static func colour(_ state: String) -> Style.Colour? {
    switch state {
    case "RUNNING": .green
    case "FATAL", "UNKNOWN": .red
    case "STARTING", "BACKOFF", "STOPPING": .yellow
    default: .grey
    }
  }
}
