// The heat's way through the monitor: sensors → machine → the brakes' file and a reload; and a word to the API and to PID 1.

import ControlProtocol
import Glibc

/// Reads the temperature and keeps the brakes as the state wants them.
struct ThermalControl {
  private var sensors: ThermalSensors
  private(set) var machine: ThermalMachine
  /// The server's own values, learned while nothing is braked. Not known yet: no parallelism is never more than it has.
  private(set) var brakes = ThermalBrakes(parallelWorkers: 0, parallelWorkersPerGather: 0)
  /// Looks until the server's values are its own again: a reload reaches a session a moment later.
  private var looksUntilLearning = 0
  private static let learningDelay = 3
  /// What is in the brakes' file, as far as this process has written it.
  private var written: ThermalState?
  /// The server that was told to read it.
  private var told: ProcessIdentity?
  private var remarks: [String] = []
  private let directory: String
  private let flag: String

  /// Brakes for the server that reads its configuration from `serverFiles`; `runDirectory` is where the API looks for `thermal`.
  init(root: String, thresholds: ThermalThresholds, serverFiles: String, runDirectory: String) {
    sensors = ThermalSensors(root: root)
    machine = ThermalMachine(thresholds: thresholds)
    directory = Path.join(serverFiles, ThermalBrakes.directoryName)
    flag = Path.join(runDirectory, ThermalFlag.fileName)
  }

  /// One look: takes a sample and does what the state wants. Returns the change, when there was one.
  mutating func look(
    at now: ContinuousClock.Instant, postmaster: ProcessIdentity?, console: Console
  ) -> ThermalMachine.Transition? {
    let knowledge = machine.knowledge
    let transition = machine.take(sensors.sample(), at: now)
    if let transition {
      let text = "\(transition.celsius) °C (\(machine.sensor)): \(transition.from.rawValue) → \(transition.to.rawValue)"
      if transition.to == .normal { console.info(text) } else { console.warning(text) }
    }
    if knowledge == .known, machine.knowledge == .unknown {
      console.warning("the temperature sensors are lost: the state stays \(machine.state.rawValue)")
    }
    apply(machine.state, postmaster, console)
    return transition
  }

  /// Takes the brakes off: at the end of the monitor nobody would do it.
  mutating func release(postmaster: ProcessIdentity?, console: Console) {
    if let written, written != .normal { apply(.normal, postmaster, console) }
  }

  private mutating func apply(_ state: ThermalState, _ postmaster: ProcessIdentity?, _ console: Console) {
    ThermalFlag.write(state, to: flag)
    // A server that was started since has emptied the file.
    let isNew = state != .normal && postmaster != nil && told != postmaster
    guard written != state || isNew else { return }
    let path = Path.join(directory, ThermalBrakes.fileName)
    let text = brakes.text(state, celsius: machine.celsius)
    // The monitor's first look: an empty file, or the brakes of a monitor that died in the heat.
    if written == nil, state == .normal {
      let present = ((try? FileSystem.readText(path)) ?? nil) ?? ""
      if !present.contains("=") {
        written = .normal
        told = postmaster
        return
      }
    }
    do throws(Failure) {
      try FileSystem.makeDirectories(directory, mode: 0o700)
      try FileSystem.writeAtomically(path, text.utf8, mode: 0o600)
    } catch {
      // Tried again at the next look.
      console.warning("the brakes stay as they are: \(error.message)")
      return
    }
    if state == .normal { looksUntilLearning = ThermalControl.learningDelay }
    written = state
    if let postmaster, ProcessTable.isAlive(postmaster) {
      guard kill(postmaster.pid, SIGHUP) == 0 else {
        console.warning("cannot reload the server: \(Failure.describe(errno))")
        written = nil
        return
      }
      told = postmaster
    }
  }

  /// The server's settings as a session sees them, in the order of `ThermalBrakes.names`: what they are without brakes, or which
  /// brakes something else overrides.
  mutating func learn(_ values: [String: String]) {
    remarks = []
    guard let written else { return }
    if written == .normal {
      guard looksUntilLearning == 0 else {
        looksUntilLearning -= 1
        return
      }
      if let workers = values["max_parallel_workers"].flatMap({ Int($0) }),
        let gather = values["max_parallel_workers_per_gather"].flatMap({ Int($0) })
      {
        brakes = ThermalBrakes(parallelWorkers: workers, parallelWorkersPerGather: gather)
      }
      return
    }
    for (name, wanted) in brakes.settings(written) {
      guard let value = values[name], value != wanted else { continue }
      remarks.append(
        "\(name) is \(value), not \(wanted): set on the command line or by ALTER SYSTEM, which stand above")
    }
  }

  /// For PID 1.
  func document(interval: Duration) -> ThermalDocument {
    ThermalDocument(
      state: machine.state.rawValue, knowledge: machine.knowledge.rawValue, celsius: machine.celsius,
      sensor: machine.sensor, warning: machine.thresholds.warning, critical: machine.thresholds.critical,
      transitions: machine.transitions,
      brakes: brakes.settings(written ?? .normal).map { "\($0.name) = \($0.value)" }, remarks: remarks,
      intervalSeconds: interval / .seconds(1))
  }
}

/// The file that tells the API how hot it is. It is there only while it is hot, and written anew at every look: an old one
/// belongs to a monitor that is gone, and counts for nothing.
enum ThermalFlag {
  static let fileName = "thermal"

  static func write(_ state: ThermalState, to path: String) {
    guard state != .normal else {
      unlink(path)
      return
    }
    let fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o644)
    guard fd >= 0 else { return }
    defer { close(fd) }
    let text = Array("\(state.rawValue)\n".utf8)
    _ = text.withUnsafeBytes { Glibc.write(fd, $0.baseAddress, $0.count) }
  }
}
