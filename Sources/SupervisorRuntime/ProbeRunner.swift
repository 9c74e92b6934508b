// Active checks: one probe at a time is asked, and answers with one `ProbeResult` within its timeout. Nothing here decides what a
// result means; the core does.

import Glibc
import SupervisorCore

/// A command that runs for an `exec` probe.
public struct ProbeCommand {
  /// Ends it and everything that it has started, at once (SIGKILL to its group).
  public var kill: () -> Void

  /// A running command.
  public init(kill: @escaping () -> Void) { self.kill = kill }
}

/// Starts the command of an `exec` probe with the program's own user, directory and environment. `ended` is called once with how it
/// ended and what it said (its first line is shown to people).
public typealias ProbeCommandStarter = (
  _ arguments: [String], _ ended: @escaping (ExitStatus, String) -> Void
) throws(SpawnFailure) -> ProbeCommand

/// A probe that is under way.
public final class RunningProbe {
  private var abort: (() -> Void)?

  init() {}

  /// Forgets the probe: its completion will not be called. A command is killed.
  public func cancel() {
    let abort = self.abort
    self.abort = nil
    abort?()
  }

  /// Whether the completion is still to come.
  public var isRunning: Bool { abort != nil }

  func begin(abort: @escaping () -> Void) { self.abort = abort }
  func end() { abort = nil }
}

/// Starts probes.
public final class ProbeRunner {
  private let loop: EventLoop

  /// Probes run on `loop`.
  public init(loop: EventLoop) { self.loop = loop }

  /// Asks once. `completion` is called exactly once, never from inside this call, at the latest when `timeout` has passed; after
  /// `cancel` not at all. `notify` and `notify-fd` are told by the program and cannot be asked: for these, nil is returned.
  public func start(
    _ probe: Probe, timeout: Interval, execute: ProbeCommandStarter? = nil, completion: @escaping (ProbeResult) -> Void
  ) -> RunningProbe? {
    switch probe {
    case .notify, .notifyDescriptor: return nil
    case .tcp(let host, let port):
      return connect(.tcp(host: host, port: port), ConnectDialogue(), timeout, completion)
    case .unix(let path):
      return connect(.unix(path: path), ConnectDialogue(), timeout, completion)
    case .http(let http):
      return connect(http.address, HTTPDialogue(host: http.host, target: http.target), timeout, completion)
    case .postgres(let postgres):
      return connect(
        .unix(path: postgres.socketPath), PostgresDialogue(user: postgres.user, database: postgres.database), timeout,
        completion)
    case .exec(let arguments):
      return run(arguments, timeout, execute, completion)
    }
  }

  private func connect(
    _ address: SocketAddress, _ dialogue: any ProbeDialogue, _ timeout: Interval,
    _ completion: @escaping (ProbeResult) -> Void
  ) -> RunningProbe {
    let running = RunningProbe()
    let connection = ProbeConnection(loop: loop, address: address, dialogue: dialogue, timeout: timeout) { result in
      running.end()
      completion(result)
    }
    running.begin { connection.cancel() }
    connection.start()
    return running
  }

  private func run(
    _ arguments: [String], _ timeout: Interval, _ execute: ProbeCommandStarter?,
    _ completion: @escaping (ProbeResult) -> Void
  ) -> RunningProbe {
    let running = RunningProbe()
    let begun = Clock.instant()
    var timer: TimerID?
    var command: ProbeCommand?
    let loop = self.loop
    // The first of exit, timeout and cancellation wins; the others find the probe no longer running.
    let finish = { (passed: Bool, detail: String) in
      guard running.isRunning else { return }
      running.end()
      if let timer { loop.cancel(timer) }
      completion(ProbeResult(passed: passed, latency: Clock.instant() - begun, detail: detail))
    }
    running.begin {
      if let timer { loop.cancel(timer) }
      command?.kill()
    }
    guard let execute else {
      timer = loop.schedule(after: .zero) {
        finish(false, "cannot run \(arguments.first ?? ""): commands are not run here")
      }
      return running
    }
    do throws(SpawnFailure) {
      command = try execute(arguments) { status, output in
        finish(status == .exited(0), ProbeRunner.describe(status, output))
      }
    } catch {
      timer = loop.schedule(after: .zero) { finish(false, error.text) }
      return running
    }
    guard running.isRunning else { return running }
    timer = loop.schedule(after: timeout) {
      guard running.isRunning else { return }
      command?.kill()
      finish(false, "no exit within \(seconds(timeout)) s: killed")
    }
    return running
  }

  private static func describe(_ status: ExitStatus, _ output: String) -> String {
    let said = printableLine(output.utf8, limit: 200)
    switch status {
    case .exited(0): return said
    case .exited(let code): return said.isEmpty ? "exit status \(code)" : "exit status \(code): \(said)"
    case .signaled(let signal, _):
      return said.isEmpty ? "ended by signal \(signal)" : "ended by signal \(signal): \(said)"
    }
  }
}

/// An interval in seconds as people write it: 1, 0.25.
func seconds(_ interval: Interval) -> String {
  let milliseconds = interval.nanoseconds / 1_000_000
  if milliseconds % 1000 == 0 { return "\(milliseconds / 1000)" }
  var fraction = "\(1000 + (milliseconds % 1000).magnitude)".dropFirst()
  while fraction.last == "0" { fraction.removeLast() }
  return "\(milliseconds / 1000).\(fraction)"
}

/// The first line of what somebody else sent, cut to `limit` bytes, with control characters as spaces.
func printableLine(_ bytes: some Sequence<UInt8>, limit: Int) -> String {
  var line: [UInt8] = []
  for byte in bytes {
    if byte == 0x0a && !line.isEmpty { break }
    if line.isEmpty && (byte <= 0x20) { continue }
    if line.count == limit { break }
    line.append(byte < 0x20 || byte == 0x7f ? 0x20 : byte)
  }
  while line.last == 0x20 { line.removeLast() }
  return String(decoding: line, as: UTF8.self)
}
