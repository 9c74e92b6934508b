// start, stop, restart, signal: what is asked, supervisorctl's lines for how it went, and its exit statuses.

import ArgumentParser
import ControlProtocol

/// What every action takes.
struct ActionOptions: ParsableArguments {
  @OptionGroup var control: ControlOptions
  @OptionGroup var format: JSONOption

  @Flag(name: .customLong("no-wait"), help: "Return as soon as it is accepted.")
  var noWait = false

  @Argument(help: "Which programs: NAME, GROUP:NAME, GROUP:* or all.", completion: ProgramCompletion.kind)
  var names: [String]

  /// Seconds; the daemon answers TIMED_OUT then, and the action goes on.
  var patience: Double { control.timeout ?? 600 }

  var wait: WaitOptions { WaitOptions(wait: !noWait, timeout: noWait ? nil : patience) }

  func run(_ action: Action, _ route: (String) -> Route) throws {
    var client = try control.client(otherwise: patience)
    if noWait { client.timeout = control.timeout ?? 5 }
    var worst: Int32 = 0
    for name in names {
      // supervisorctl's restart says what was stopped; the daemon's restart is one step, so that a client that dies in
      // between leaves nothing stopped.
      let before = action == .restart && !format.json ? try runningNames(client) : []
      let reply = try noWait ? client.ask(route(name)) : client.act(route(name))
      let outcome = try ActionOutcome(reply, target: name, action: action, runningBefore: before, client: client)
      if format.json {
        Output.bytes(reply.body + [0x0A])
      } else {
        for line in outcome.lines { Output.line(line) }
        for remark in outcome.remarks { Output.error(remark) }
      }
      worst = max(worst, outcome.status)
    }
    if worst != 0 { throw ExitCode(worst) }
  }

  private func runningNames(_ client: ControlClient) throws -> Set<String> {
    var brief = client
    brief.timeout = min(client.timeout, 5)
    let status = try brief.document(.status, StatusDocument.init(json:)).document
    let running = ["STARTING", "RUNNING", "BACKOFF", "STOPPING"]
    return Set(status.programs.filter { running.contains($0.state) }.map(\.namespec))
  }
}

/// What can be done to programs.
enum Action: String {
  case start
  case stop
  case restart
  case signal
  case pin

  /// supervisorctl's word when it was done.
  var done: String {
    switch self {
    case .start, .restart: "started"
    case .stop: "stopped"
    case .signal: "signalled"
    case .pin: "pinned"
    }
  }
}

/// How an action went, in supervisorctl's words (supervisor/supervisorctl.py, `_startresult`, `_stopresult`, `_signalresult`, 4.3.0).
struct ActionOutcome: Equatable {
  /// For standard output.
  var lines: [String] = []
  /// For people, on standard error: what the words do not say.
  var remarks: [String] = []
  /// The exit status.
  var status: Int32 = 0

  init(
    _ reply: ControlReply, target: String, action: Action, runningBefore: Set<String>, client: ControlClient
  ) throws(Problem) {
    let json = try? JSONValue(parsing: reply.body, maximumBytes: 64 << 20)
    if let document = json.flatMap(ResultsDocument.init(json:)) {
      for result in document.results { add(result, action: action, runningBefore: runningBefore) }
    } else if let fault = json.flatMap(ControlFault.init(json:)) {
      add(fault, target: target, action: action)
    } else {
      throw client.strange(reply)
    }
  }

  private mutating func add(_ result: ResultDocument, action: Action, runningBefore: Set<String>) {
    let name = harmless(result.namespec)
    if action == .restart {
      lines.append(runningBefore.contains(result.namespec) ? "\(name): stopped" : "\(name): ERROR (not running)")
    }
    guard result.code != .success else {
      lines.append("\(name): \(action.done)")
      return
    }
    lines.append("\(name): ERROR (\(Self.words(result.code, result.message)))")
    if !result.message.isEmpty && Self.hasOwnWords(result.code) {
      remarks.append("\(name): \(harmless(result.message))")
    }
    status = max(status, Self.status(result.code, action))
  }

  private mutating func add(_ fault: ControlFault, target: String, action: Action) {
    status = max(status, Self.status(fault.code, action))
    switch fault.code {
    case .badName: lines.append(ProgramNames.unknown(target))
    case .badSignal, .alreadyStarted, .notRunning, .noFile, .notExecutable, .spawnError, .abnormalTermination:
      lines.append("\(harmless(target)): ERROR (\(Self.words(fault.code, fault.message)))")
      if fault.code != .badSignal { remarks.append(harmless(fault.message)) }
    default: lines.append("\(harmless(target)): ERROR (\(Self.words(fault.code, fault.message)))")
    }
  }

  private static func hasOwnWords(_ code: ControlFault.Code) -> Bool {
    switch code {
    case .noFile, .notExecutable, .spawnError, .abnormalTermination: true
    default: false
    }
  }

  static func words(_ code: ControlFault.Code, _ message: String) -> String {
    switch code {
    case .badName: "no such process"
    case .badSignal: "bad signal name"
    case .noFile: "no such file"
    case .notExecutable: "file is not executable"
    case .alreadyStarted: "already started"
    case .spawnError: "spawn error"
    case .abnormalTermination: "abnormal termination"
    case .notRunning: "not running"
    case .shutdownState: "the supervisor is shutting down"
    default: message.isEmpty ? code.rawValue : harmless(message)
    }
  }

  /// supervisorctl's exit status: a program that is already where it should be is no error, save for a signal.
  static func status(_ code: ControlFault.Code, _ action: Action) -> Int32 {
    switch code {
    case .success, .alreadyStarted: 0
    case .notRunning: action == .signal ? ExitStatusCode.notRunning : 0
    case .badName: ExitStatusCode.unknown
    case .spawnError, .abnormalTermination: ExitStatusCode.notRunning
    default: ExitStatusCode.failed
    }
  }
}

struct Start: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Start programs and wait until they are up.")
  @OptionGroup var options: ActionOptions

  func run() throws { try options.run(.start) { .start(target: $0, options.wait) } }
}

struct Stop: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Stop programs and wait until they are down.")
  @OptionGroup var options: ActionOptions

  @Flag(name: .long, help: "Move a program that is already stopping to the next step of its stop plan.")
  var now = false

  func run() throws { try options.run(.stop) { .stop(target: $0, options.wait, now: now) } }
}

struct Restart: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Stop programs, start them again, and wait until they are up.")
  @OptionGroup var options: ActionOptions

  func run() throws { try options.run(.restart) { .restart(target: $0, options.wait) } }
}

struct Signal: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Send a signal to programs.")
  @OptionGroup var control: ControlOptions
  @OptionGroup var format: JSONOption

  @Argument(
    help: "A name with or without SIG, or a number.",
    completion: .list(["HUP", "INT", "QUIT", "USR1", "USR2", "TERM", "KILL", "STOP", "CONT", "WINCH"]))
  var signal: String

  @Argument(help: "Which programs: NAME, GROUP:NAME, GROUP:* or all.", completion: ProgramCompletion.kind)
  var names: [String]

  func run() throws {
    var options = ActionOptions()
    options.control = control
    options.format = format
    options.names = names
    options.noWait = true
    try options.run(.signal) { .signal(target: $0, signal: signal) }
  }
}
