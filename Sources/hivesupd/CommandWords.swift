// The few words that PID 1 understands: what `hivesup run` hands on. supervisord's flags, with its letters.

import SupervisorCore
import SupervisorRuntime

/// What the words ask for.
enum CommandWords {
  case run(Overrides)
  case doctor(json: Bool)
  /// Be the init of one program: the file, and which of our words its first one is.
  case program(file: String, firstWord: Int)
  case version

  static let usage =
    "usage: hivesupd -c FILE [-n] [-s] [-k] [-e LEVEL] [-l FILE] [-y BYTES] [-z COUNT] [-j FILE] [-q DIR] [-i NAME]"
    + " | --doctor [--json] | --init FILE -- NAME [ARGUMENT …] | --version"

  static func parse(_ words: [String]) -> Result<CommandWords, ConfigurationRefused> {
    if words.first == "--version" { return .success(.version) }
    if words.first == "--doctor" { return .success(.doctor(json: words.contains("--json"))) }
    if words.first == "--init" {
      guard words.count >= 4, words[2] == "--" else {
        return .failure(ConfigurationRefused("cannot run: --init needs a file, -- and the program's words; \(usage)"))
      }
      return .success(.program(file: words[1], firstWord: 3))
    }
    var overrides = Overrides()
    var index = 0
    while index < words.count {
      let flag = words[index]
      index += 1
      switch flag {
      // It never leaves the foreground.
      case "-n": continue
      case "-s": overrides.changes.append { $0.log.silent = true }
      case "-k": overrides.changes.append { $0.keepOldChildLogs = true }
      default:
        guard index < words.count else {
          return .failure(ConfigurationRefused("cannot run: \(flag) has no value; \(usage)"))
        }
        let value = words[index]
        index += 1
        guard overrides.take(flag, value) else {
          return .failure(ConfigurationRefused("cannot run: '\(flag) \(value)' is not understood; \(usage)"))
        }
      }
    }
    guard !overrides.path.isEmpty else {
      return .failure(ConfigurationRefused("cannot run: no configuration; \(usage)"))
    }
    return .success(.run(overrides))
  }
}

/// What the command line says over the file (supervisord: the command line wins).
struct Overrides {
  /// `-c`.
  var path = ""
  var changes: [(inout SupervisorSpec) -> Void] = []

  func apply(to spec: inout SupervisorSpec) {
    for change in changes { change(&spec) }
  }

  mutating func take(_ flag: String, _ value: String) -> Bool {
    switch flag {
    case "-c": path = value
    case "-l":
      let none = ["none", "off"].contains(value.lowercased())
      changes.append { $0.log.file = none ? nil : value }
    case "-j": changes.append { $0.pidfile = value }
    case "-q": changes.append { $0.childLogDirectory = value }
    case "-i": changes.append { $0.identifier = value }
    case "-y":
      guard let bytes = Int64(value), bytes >= 0 else { return false }
      changes.append { $0.log.maxBytes = bytes }
    case "-z":
      guard let count = Int(value), count >= 0 else { return false }
      changes.append { $0.log.backups = count }
    case "-e":
      let names: [String: LogLevel] = [
        "critical": .critical, "error": .error, "warn": .warn, "info": .info, "debug": .debug, "trace": .trace,
        "blather": .blather,
      ]
      guard let level = names[value.lowercased()] else { return false }
      changes.append { $0.log.level = level }
    default: return false
    }
    return true
  }
}
