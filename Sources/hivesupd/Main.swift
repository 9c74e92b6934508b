// PID 1. `hivesup run` has checked the words; what arrives here is `-c FILE` and supervisord's flags that override the file. `hivesup
// PROGRAM …` arrives as `--init FILE -- PROGRAM …`.

import ControlProtocol
import Glibc
import SupervisorConfig
import SupervisorCore
import SupervisorRuntime

@main
struct HivesupDaemon {
  static func main() {
    // C programs' habits, so that the first message of the daemon is not lost behind a closed descriptor.
    StandardDescriptors.ensureOpen()
    switch CommandWords.parse(Array(CommandLine.arguments.dropFirst())) {
    case .failure(let refused):
      say("hivesupd: \(refused.text)")
      exit(SupervisorExit.configuration)
    case .success(.version):
      print(HivesupVersion.text)
    case .success(.doctor(let json)):
      exit(runDoctor(json: json))
    case .success(.program(let file, let firstWord)):
      // The bytes of argv, not the text that Swift makes of them; the first of it is our own name.
      let count = Int(CommandLine.argc)
      let words = (0..<count).map { CommandLine.unsafeArgv[$0] }.dropFirst(1 + firstWord)
      exit(ProgramInit.run(file: file, arguments: Array(words)) { say("hivesup: \($0)") })
    case .success(.run(let overrides)):
      exit(run(overrides))
    }
  }

  /// Everything in the order in which it may fail without having changed anything.
  private static func run(_ overrides: Overrides) -> Int32 {
    do {
      let loop = try EventLoop()
      let receiver = SignalReceiver()
      // First of all, so that a TERM during the rest is kept.
      let signals = try Signals(loop: loop) { receiver.daemon?.received($0) }
      guard let spec = load(overrides, report: say) else { return SupervisorExit.configuration }
      if let directory = spec.directory, chdir(directory) != 0 {
        say("cannot change to directory \(directory): \(errorText(errno))")
        return SupervisorExit.configuration
      }
      umask(spec.umask)
      if let user = spec.user { try OwnUser.become(user) }
      let daemon = try Daemon(
        DaemonOptions(spec: spec, version: HivesupVersion.text) {
          var errors: [String] = []
          guard let spec = load(overrides, report: { errors.append($0) }) else {
            return .failure(ConfigurationRefused(errors.joined(separator: "\n")))
          }
          return .success(spec)
        },
        loop: loop)
      receiver.daemon = daemon
      return daemon.run(signals: signals)
    } catch {
      say("hivesupd: \(error)")
      return SupervisorExit.configuration
    }
  }

  /// Reads the configuration; nil when it has errors. `report` gets each diagnostic.
  private static func load(_ overrides: Overrides, report: (String) -> Void) -> SupervisorSpec? {
    let result = loadConfiguration(.live(path: overrides.path))
    for diagnostic in result.diagnostics { report("\(diagnostic)") }
    guard var spec = result.spec, result.errors.isEmpty else { return nil }
    overrides.apply(to: &spec)
    return spec
  }

  private static func say(_ line: String) {
    let bytes = Array("\(line)\n".utf8)
    _ = write(2, bytes, bytes.count)
  }
}

/// Where signals go once there is a daemon; until then they wait in the signal descriptor.
private final class SignalReceiver {
  var daemon: Daemon?
}
