// `hivesup healthcheck`: the container's HEALTHCHECK. Exit status 0 or 1 within a second, and the reason in one line.

import ArgumentParser
import ControlProtocol

struct Healthcheck: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Exit with 0 when everything is healthy, else with 1, within a second.",
    discussion: "Asks the control socket; needs no network, no shell, no curl.")

  @Option(name: .long, help: ArgumentHelp("The daemon's control socket.", valueName: "path"), completion: .file())
  var socket: String?

  @Option(
    name: [.customShort("c"), .customLong("configuration")],
    help: ArgumentHelp("The daemon's configuration, for its control_socket.", valueName: "file"), completion: .file())
  var configuration: String?

  @Option(name: .long, help: ArgumentHelp("How long to wait for the verdict, at most 60.", valueName: "seconds"))
  var timeout: Double = 0.9

  @Flag(name: .long, help: "Print the health document.")
  var json = false

  func validate() throws {
    guard timeout > 0 && timeout <= 60 else {
      throw ValidationError("cannot wait for \(timeout) s: give --timeout between 0 and 60")
    }
  }

  func run() throws {
    let verdict = Self.verdict(
      socket: socket, configuration: configuration, environment: environmentValue("HIVESUP_SOCKET"), timeout: timeout)
    if json, !verdict.body.isEmpty { Output.bytes(verdict.body + [0x0A]) } else { Output.line(verdict.text) }
    if !verdict.passed { throw ExitCode(ExitStatusCode.failed) }
  }

  /// What was found out.
  struct Verdict: Equatable {
    var passed: Bool
    /// One line.
    var text: String
    var body: [UInt8] = []
  }

  static func verdict(socket: String?, configuration: String?, environment: String?, timeout: Double) -> Verdict {
    do throws(Problem) {
      let location = try ControlLocation.find(socket: socket, configuration: configuration, environment: environment)
      let client = ControlClient(location: location, timeout: timeout)
      let (health, body) = try client.document(.health, HealthDocument.init(json:))
      let container = harmless(health.container)
      if health.isHealthy {
        return Verdict(
          passed: true, text: "healthy: \(container), up \(StatusText.uptime(health.uptimeSeconds))", body: body)
      }
      let reasons = health.reasons.isEmpty ? "no reason is known" : health.reasons.joined(separator: "; ")
      return Verdict(passed: false, text: "\(harmless(health.status)): \(container): \(harmless(reasons))", body: body)
    } catch {
      return Verdict(passed: false, text: "unhealthy: \(error.text.split(separator: "\n").joined(separator: "; "))")
    }
  }
}
