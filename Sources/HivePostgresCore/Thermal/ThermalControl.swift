// The heat's way through the monitor: sensors → machine → the brakes' file and a reload; and a word to the API and to PID 1.

import ControlProtocol
import Glibc

/// Reads the temperature and keeps the brakes as the state wants them.
struct ThermalControl {
  private var sensors: ThermalSensors
  private(set) var machine: ThermalMachine
  /// The server's own values, learned while nothing is braked. Not known yet: no parallelism is never more than it has.
  private(set) var brakes = ThermalBrakes(parallelWorkers: 0, parallelWorkersPerGather: 0, vacuum: nil)
  /// What is in the brakes' file, as far as this process has written it.
  private var written: Written?

  private struct Written {
    var state: ThermalState
    /// What the file sets, for comparison.
    var lines: [String]
    /// nil: it was so when this process came.
    var at: ContinuousClock.Instant?

    /// A reload reaches a session a moment later: until then it has the values from before.
    static let settling = Duration.seconds(3)
    func isSettled(_ now: ContinuousClock.Instant) -> Bool { at.map { now - $0 >= Written.settling } ?? true }
  }

  /// The server that was told to read it.
  private var told: ProcessIdentity?
  /// Settings that do not follow the brakes, and why.
  private var deviations: [BrakeDeviation] = []
  /// `explain` was told why they do not.
  private var isExplained = true
  private var remarks: [String] = []
  /// Sensors that do not answer.
  private var sensorRemark: String?
  private var said: Set<String> = []
  /// Settings of which the log has said that they do not follow.
  private var warned: Set<String> = []
  private let directory: String
  private let flag: String

  /// Brakes for the server that reads its configuration from `serverFiles`; `runDirectory` is where the API looks for `thermal`.
  init(root: String, thresholds: ThermalThresholds, serverFiles: String, runDirectory: String) {
    self.init(
      sensors: ThermalSensors(root: root), thresholds: thresholds, serverFiles: serverFiles, runDirectory: runDirectory)
  }

  init(sensors: ThermalSensors, thresholds: ThermalThresholds, serverFiles: String, runDirectory: String) {
    self.sensors = sensors
    machine = ThermalMachine(thresholds: thresholds)
    directory = Path.join(serverFiles, ThermalBrakes.directoryName)
    flag = Path.join(runDirectory, ThermalFlag.fileName)
  }

  /// One look: takes a sample and does what the state wants. Returns the change, when there was one.
  mutating func look(
    at now: ContinuousClock.Instant, postmaster: ProcessIdentity?, console: Console
  ) -> ThermalMachine.Transition? {
    let knowledge = machine.knowledge
    let sample = sensors.sample(at: now)
    let transition = machine.take(sample, at: now)
    if let transition {
      let text = "\(transition.celsius) °C (\(machine.sensor)): \(transition.from.rawValue) → \(transition.to.rawValue)"
      if transition.to == .normal { console.info(text) } else { console.warning(text) }
    }
    sensorRemark =
      switch sample {
      case .celsius, .absent: nil
      case .lost(let why): "no sensor answers, the state stays \(machine.state.rawValue): \(why)"
      case .atLeast(_, _, let lost): "a sensor is lost, the state may rise and does not fall: \(lost)"
      }
    if machine.knowledge == .unknown, knowledge != .unknown, let sensorRemark { console.warning(sensorRemark) }
    if machine.knowledge == .known, knowledge == .unknown { console.info("the temperature sensors answer again") }
    for name in sensors.takeForgotten() {
      console.warning("the sensor \(name) is not there any more: the others tell the temperature without it")
    }
    apply(machine.state, at: now, postmaster, console)
    return transition
  }

  /// Takes the brakes off: at the end of the monitor nobody would do it.
  mutating func release(postmaster: ProcessIdentity?, console: Console) {
    if let written, written.state != .normal { apply(.normal, at: .now, postmaster, console) }
  }

  private func lines(_ state: ThermalState) -> [String] { brakes.settings(state).map { "\($0.name) = \($0.value)" } }

  private mutating func apply(
    _ state: ThermalState, at now: ContinuousClock.Instant, _ postmaster: ProcessIdentity?, _ console: Console
  ) {
    ThermalFlag.write(state, to: flag)
    // A server that was started since has emptied the file.
    let isNew = state != .normal && postmaster != nil && told != postmaster
    // The same state sets something else when the server's own values have become known since.
    let lines = lines(state)
    guard written?.state != state || written?.lines != lines || isNew else { return }
    let path = Path.join(directory, ThermalBrakes.fileName)
    let text = brakes.text(state, celsius: machine.celsius)
    // The monitor's first look: an empty file, or the brakes of a monitor that died in the heat.
    if written == nil, state == .normal {
      let present = ((try? FileSystem.readText(path)) ?? nil) ?? ""
      if !present.contains("=") {
        written = Written(state: .normal, lines: [], at: nil)
        told = postmaster
        return
      }
    }
    do throws(Failure) {
      try FileSystem.makeDirectories(directory, mode: 0o700)
      try FileSystem.writeAtomically(path, text.utf8, mode: 0o600)
      // A monitor that is root writes for a server that is not.
      if geteuid() == 0, let server = try FileSystem.status(directory) {
        try FileSystem.changeOwner(path, to: server.owner, group: server.group)
      }
    } catch {
      // Tried again at the next look.
      say(console, "the brakes stay as they are: \(error.message)")
      return
    }
    written = Written(state: state, lines: lines, at: now)
    deviations = []
    remarks = []
    if let postmaster, ProcessTable.isAlive(postmaster) {
      guard kill(postmaster.pid, SIGHUP) == 0 else {
        say(console, "cannot reload the server: \(Failure.describe(errno))")
        written = nil
        return
      }
      told = postmaster
    }
  }

  private mutating func say(_ console: Console, _ warning: String) {
    if said.insert(warning).inserted { console.warning(warning) }
  }

  /// Takes the server's settings as a session sees them, by `ThermalBrakes.learned`; none when there was no answer. Returns the
  /// settings that something else stands above, when they are others than before or not yet explained: `explain` wants to know about
  /// them.
  mutating func learn(_ values: [String: String], at now: ContinuousClock.Instant) -> [BrakeDeviation] {
    guard let written, written.isSettled(now), !values.isEmpty else { return [] }
    // Also in the heat, as far as nothing of ours stands above: a monitor that came into it has seen the server only so.
    let isPaceOurs = written.lines.contains { $0.hasPrefix(VacuumPace.names[0]) }
    if !isPaceOurs, let pace = VacuumPace(values) { brakes.vacuum = pace }
    if written.state == .normal, let workers = values["max_parallel_workers"].flatMap({ Int($0) }),
      let gather = values["max_parallel_workers_per_gather"].flatMap({ Int($0) })
    {
      brakes.parallelWorkers = workers
      brakes.parallelWorkersPerGather = gather
    }
    // What is learned just now is braked at the next look.
    let braked = brakes.settings(written.state).filter { setting in
      written.lines.contains("\(setting.name) = \(setting.value)")
    }
    let found = BrakeDeviation.find(braked, values)
    guard found != deviations || !isExplained else { return [] }
    deviations = found
    isExplained = found.isEmpty
    remarks = found.map { $0.text(nil) }
    return found
  }

  /// Says why settings do not follow the brakes: each once in the log, with what would help.
  mutating func explain(_ found: [BrakeDeviation], _ origins: [String: SettingOrigin], _ console: Console) {
    isExplained = true
    remarks = found.map { $0.text(origins[$0.name]) }
    for deviation in found where warned.insert(deviation.name).inserted {
      let remedy = origins[deviation.name]?.remedy(deviation.name) ?? "look at pg_settings and pg_file_settings"
      console.warning(
        "the heat does not brake the server: \(deviation.text(origins[deviation.name])); to let the brakes hold, \(remedy)"
      )
    }
  }

  /// For the check's detail: the settings that do not follow the brakes. nil: all do.
  var shortcoming: String? {
    guard let first = remarks.first else { return nil }
    let more = remarks.count > 1 ? " (and \(remarks.count - 1) more)" : ""
    return "the heat does not brake the server: \(first)\(more)"
  }

  /// PID 1 takes no more of one remark.
  private static func clipped(_ text: String) -> String {
    var text = text
    while text.utf8.count > 512 { text.removeLast() }
    return text
  }

  /// For PID 1.
  func document(interval: Duration) -> ThermalDocument {
    ThermalDocument(
      state: machine.state.rawValue, knowledge: machine.knowledge.rawValue, celsius: machine.celsius,
      sensor: machine.sensor, warning: machine.thresholds.warning, critical: machine.thresholds.critical,
      transitions: machine.transitions,
      brakes: written?.lines ?? [],
      remarks: (remarks + (sensorRemark.map { [$0] } ?? [])).map(ThermalControl.clipped),
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
