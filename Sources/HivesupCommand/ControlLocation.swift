// Where the daemon listens: `--socket`, `-c FILE`, HIVESUP_SOCKET, or the default path; and the client that asks there.

import ArgumentParser
import ControlProtocol
import SupervisorConfig

/// How to find the daemon. What is named explicitly is the only place that is tried: another daemon must not answer for it.
struct ControlOptions: ParsableArguments {
  @Option(name: .long, help: ArgumentHelp("The daemon's control socket.", valueName: "path"), completion: .file())
  var socket: String?

  @Option(
    name: [.customShort("c"), .customLong("configuration")],
    help: ArgumentHelp("The daemon's configuration, for its control_socket.", valueName: "file"), completion: .file())
  var configuration: String?

  @Option(name: .long, help: ArgumentHelp("How long to wait for an answer.", valueName: "seconds"))
  var timeout: Double?

  func validate() throws {
    if let timeout, !(timeout > 0 && timeout <= Route.longestTimeout) {
      throw ValidationError(
        "cannot wait for \(timeout) s: give --timeout between 0 and \(describe(seconds: Route.longestTimeout))")
    }
  }

  /// The daemon's place.
  func location() throws(Problem) -> ControlLocation {
    try ControlLocation.find(
      socket: socket, configuration: configuration, environment: environmentValue("HIVESUP_SOCKET"))
  }

  /// A client; questions are answered within `otherwise` seconds unless `--timeout` says else.
  func client(otherwise: Double = 5) throws(Problem) -> ControlClient {
    ControlClient(location: try location(), timeout: timeout ?? otherwise)
  }
}

/// A socket's path, and why this one.
struct ControlLocation: Equatable {
  static let defaultPath = "/run/hivesup/control.sock"

  var path: String
  /// Who named it, for messages.
  var source: String

  static func find(socket: String?, configuration: String?, environment: String?) throws(Problem) -> ControlLocation {
    if let socket { return ControlLocation(path: socket, source: "--socket") }
    if let configuration {
      let result = loadConfiguration(.live(path: configuration))
      guard let spec = result.spec else {
        let first = result.errors.first.map { "\($0)" } ?? "\(configuration) cannot be used"
        throw Problem("cannot find the control socket: \(first)\nname it with --socket", status: ExitStatusCode.usage)
      }
      guard let path = spec.controlSocket else {
        throw Problem(
          "cannot find the control socket: \(configuration) sets none; add control_socket=PATH to its [supervisord]",
          status: ExitStatusCode.usage)
      }
      return ControlLocation(path: path, source: "control_socket in \(configuration)")
    }
    if let environment, !environment.isEmpty { return ControlLocation(path: environment, source: "HIVESUP_SOCKET") }
    return ControlLocation(path: defaultPath, source: "the default")
  }
}

/// Asks the daemon.
struct ControlClient {
  var location: ControlLocation
  /// Seconds.
  var timeout: Double

  /// Asks a question and gives the answer, whatever its status.
  func ask(_ route: Route) throws(Problem) -> ControlReply {
    do throws(ControlError) {
      let connection = try ControlConnection(path: location.path, timeout: timeout)
      return try connection.ask(route)
    } catch {
      throw problem(error)
    }
  }

  /// Asks for something that takes its time. While nothing comes, the daemon is asked every five seconds whether it is alive.
  func act(_ route: Route) throws(Problem) -> ControlReply {
    do throws(ControlError) {
      let connection = try ControlConnection(path: location.path, timeout: timeout + 5)
      let path = location.path
      return try connection.ask(route) { () throws(ControlError) in
        let second = try ControlConnection(path: path, timeout: 5)
        _ = try second.ask(.version)
      }
    } catch {
      throw problem(error)
    }
  }

  /// Follows a stream.
  func follow(_ route: Route, _ piece: ([UInt8]) -> Bool) throws(Problem) -> ControlReply {
    do throws(ControlError) {
      let connection = try ControlConnection(path: location.path, timeout: timeout)
      return try connection.follow(route, piece)
    } catch {
      throw problem(error)
    }
  }

  /// The document of an answer with status 200 (or another that carries one).
  func document<Document>(
    _ route: Route, _ read: (JSONValue) -> Document?
  ) throws(Problem) -> (document: Document, body: [UInt8]) {
    let reply = try ask(route)
    guard let json = try? JSONValue(parsing: reply.body, maximumBytes: 64 << 20) else { throw strange(reply) }
    if let document = read(json) { return (document, reply.body) }
    if let fault = ControlFault(json: json) { throw Self.problem(fault) }
    throw strange(reply)
  }

  /// The problem of a fault.
  static func problem(_ fault: ControlFault) -> Problem {
    Problem(harmless(fault.message), status: fault.code == .badName ? ExitStatusCode.unknown : ExitStatusCode.failed)
  }

  /// The problem of an answer that is none of the documents it should be.
  func strange(_ reply: ControlReply) -> Problem {
    let start = harmless(String(decoding: reply.body.prefix(120), as: UTF8.self))
    return Problem(
      "cannot understand the answer of \(location.path) (status \(reply.status)): \(start.isEmpty ? "it is empty" : start)"
    )
  }

  private func problem(_ error: ControlError) -> Problem {
    let place = "\(location.path) (\(location.source))"
    switch error.kind {
    case .unreachable:
      return Problem(
        "cannot reach hivesupd: tried \(place): \(error.reason); is it running? name its socket with --socket, -c FILE or HIVESUP_SOCKET",
        status: ExitStatusCode.unknown)
    case .stuck:
      return Problem(
        "cannot get an answer from hivesupd at \(place): \(error.reason); it is stuck or overloaded",
        status: ExitStatusCode.unknown)
    case .broken:
      return Problem("cannot get an answer from hivesupd at \(place): \(error.reason)", status: ExitStatusCode.failed)
    }
  }
}
