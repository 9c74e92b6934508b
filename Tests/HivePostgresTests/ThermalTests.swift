import Glibc
import Testing

@testable import HivePostgresCore

private let start = ContinuousClock.now

/// Feeds a machine a temperature every two seconds.
private struct Curve {
  var machine: ThermalMachine
  var time = 0
  var changes: [(second: Int, to: ThermalState)] = []

  init(_ thresholds: ThermalThresholds = ThermalThresholds()) { machine = ThermalMachine(thresholds: thresholds) }

  mutating func feed(_ samples: [ThermalSample]) {
    for sample in samples {
      if let change = machine.take(sample, at: start + .seconds(time)) { changes.append((time, change.to)) }
      time += 2
    }
  }

  mutating func feed(_ celsius: Double, times: Int = 1) {
    feed(Array(repeating: .celsius(celsius, sensor: "x"), count: times))
  }
}

@Suite struct ThermalMachineTests {
  @Test func warmsUpAndCoolsDownStepByStep() {
    var curve = Curve()
    curve.feed(60, times: 5)
    curve.feed(81)
    #expect(curve.machine.state == .normal)
    curve.feed(81)
    #expect(curve.machine.state == .warning)
    curve.feed(85)
    #expect(curve.machine.state == .critical)
    curve.feed(81.9, times: 4)
    #expect(curve.machine.state == .critical)
    curve.feed(81.9)
    #expect(curve.machine.state == .warning)
    curve.feed(74.9, times: 14)
    #expect(curve.machine.state == .warning)
    curve.feed(74.9)
    #expect(curve.machine.state == .normal)
    #expect(curve.machine.transitions == 4 && curve.changes.map(\.to) == [.warning, .critical, .warning, .normal])
  }

  @Test func criticalComesAtOnceFromAnyState() {
    var curve = Curve()
    curve.feed(90)
    #expect(curve.machine.state == .critical && curve.machine.transitions == 1)
  }

  @Test(arguments: [(79.9, 80.1), (84.9, 85.1), (74.9, 75.1), (81.9, 82.1)])
  func flappingChangesAtMostOnceADwell(_ pair: (Double, Double)) {
    for begin in [60.0, 83, 90] {
      var curve = Curve()
      curve.feed(begin, times: 3)
      for _ in 0..<500 {
        curve.feed(pair.0)
        curve.feed(pair.1)
      }
      for (earlier, later) in zip(curve.changes, curve.changes.dropFirst()) where later.to != .critical {
        #expect(later.second - earlier.second >= 10, "\(curve.changes)")
      }
      // Around one threshold there is one answer, not one for each sample.
      #expect(curve.changes.count <= 3, "\(pair) from \(begin): \(curve.changes)")
    }
  }

  @Test func aLostSensorKeepsTheBrakes() {
    var curve = Curve()
    curve.feed(90)
    curve.feed(Array(repeating: .lost("EIO"), count: ThermalThresholds.lostSamples))
    #expect(curve.machine.knowledge == .known)
    curve.feed([.lost("EIO")])
    #expect(curve.machine.knowledge == .unknown && curve.machine.state == .critical)
    curve.feed(Array(repeating: .lost("EIO"), count: 1000))
    #expect(curve.machine.state == .critical && curve.machine.celsius == 90)
    // It comes back cool: not believed before it has been so for a while.
    curve.feed(50, times: 4)
    #expect(curve.machine.state == .critical && curve.machine.knowledge == .known)
    curve.feed(50)
    #expect(curve.machine.state == .warning)
  }

  @Test func aLostSampleBreaksARow() {
    var curve = Curve()
    curve.feed(81)
    curve.feed([.lost("EIO")])
    curve.feed(81)
    #expect(curve.machine.state == .normal)
  }

  @Test func noSensorsAreNoError() {
    var curve = Curve()
    curve.feed(Array(repeating: .absent, count: 100))
    #expect(curve.machine.knowledge == .unavailable && curve.machine.state == .normal && curve.changes.isEmpty)
  }

  @Test func randomCurvesKeepTheRules() {
    var random = Seeded(seed: 4711)
    for _ in 0..<200 {
      var curve = Curve()
      var celsius = 60.0
      var last = ThermalState.normal
      for _ in 0..<300 {
        celsius += Double(Int.random(in: -40...40, using: &random)) / 10
        celsius = max(20, min(celsius, 110))
        if Int.random(in: 0..<20, using: &random) == 0 { curve.feed([.lost("x")]) } else { curve.feed(celsius) }
        let state = curve.machine.state
        // Down one step at a time; never normal at or above the warning threshold for two samples; critical at once.
        #expect(last.level - state.level <= 1)
        if celsius >= 85, curve.machine.celsius == celsius { #expect(state == .critical) }
        last = state
      }
      for (earlier, later) in zip(curve.changes, curve.changes.dropFirst()) where later.to != .critical {
        #expect(later.second - earlier.second >= 10)
      }
    }
  }

  @Test func thresholdsComeFromTheEnvironmentAndMustMakeSense() throws {
    let given = try ThermalThresholds(
      environment: ["THERMAL_THRESHOLD_WARNING": "70", "THERMAL_THRESHOLD_CRITICAL": "75.5"])
    #expect(given.warning == 70 && given.critical == 75.5)
    #expect(try ThermalThresholds(environment: ["THERMAL_THRESHOLD_WARNING": ""]) == ThermalThresholds())
    for wrong in [
      ["THERMAL_THRESHOLD_WARNING": "90"], ["THERMAL_THRESHOLD_CRITICAL": "80"], ["THERMAL_THRESHOLD_WARNING": "hot"],
      ["THERMAL_THRESHOLD_CRITICAL": "1000"], ["THERMAL_HYSTERESIS_WARNING": "-1"],
      ["THERMAL_THRESHOLD_WARNING": "nan"],
    ] {
      #expect(throws: Failure.self, "\(wrong)") { try ThermalThresholds(environment: wrong) }
    }
  }
}

/// A sysfs of its own.
private final class FakeSysfs {
  let root: String

  init() {
    var template = Array("/tmp/hivesup-sysfs.XXXXXX".utf8CString)
    root = template.withUnsafeMutableBufferPointer { buffer in
      buffer.baseAddress.flatMap { mkdtemp($0) }.map { String(cString: $0) } ?? ""
    }
  }

  func write(_ path: String, _ text: String) throws {
    let full = Path.join(root, path)
    try FileSystem.makeDirectories(Path.parent(full), mode: 0o755)
    try FileSystem.writeAtomically(full, text.utf8, mode: 0o644)
  }

  func removeContents(_ path: String) throws {
    try FileSystem.removeContents(path)
    rmdir(path)
  }

  deinit { try? removeContents(root) }
}

@Suite struct ThermalSensorsTests {
  @Test func prefersThePackageOfAProcessorsDriver() throws {
    let sysfs = FakeSysfs()
    try sysfs.write("class/thermal/thermal_zone0/type", "acpitz\n")
    try sysfs.write("class/thermal/thermal_zone0/temp", "27800\n")
    var sensors = ThermalSensors(root: sysfs.root)
    #expect(sensors.sample() == .celsius(27.8, sensor: "acpitz"))
    try sysfs.write("class/thermal/thermal_zone1/type", "x86_pkg_temp\n")
    try sysfs.write("class/thermal/thermal_zone1/temp", "51000\n")
    sensors = ThermalSensors(root: sysfs.root)
    #expect(sensors.sample() == .celsius(51, sensor: "x86_pkg_temp"))
    try sysfs.write("class/hwmon/hwmon0/name", "nvme\n")
    try sysfs.write("class/hwmon/hwmon0/temp1_input", "99000\n")
    try sysfs.write("class/hwmon/hwmon3/name", "coretemp\n")
    try sysfs.write("class/hwmon/hwmon3/temp1_label", "Package id 0\n")
    try sysfs.write("class/hwmon/hwmon3/temp1_input", "62000\n")
    try sysfs.write("class/hwmon/hwmon3/temp2_label", "Core 0\n")
    try sysfs.write("class/hwmon/hwmon3/temp2_input", "70000\n")
    try sysfs.write("class/hwmon/hwmon4/name", "coretemp\n")
    try sysfs.write("class/hwmon/hwmon4/temp1_label", "Package id 1\n")
    try sysfs.write("class/hwmon/hwmon4/temp1_input", "64000\n")
    sensors = ThermalSensors(root: sysfs.root)
    #expect(sensors.sample() == .celsius(64, sensor: "coretemp Package id 1"))
    // One of two fails: the other counts.
    try sysfs.write("class/hwmon/hwmon4/temp1_input", "127000\n")
    #expect(sensors.sample() == .celsius(62, sensor: "coretemp Package id 0"))
  }

  @Test func everyClusterOfABoardCounts() throws {
    let sysfs = FakeSysfs()
    for (number, zone) in [("soc-thermal", "41000"), ("bigcore0-thermal", "66000"), ("littlecore-thermal", "50000")]
      .enumerated()
    {
      try sysfs.write("class/thermal/thermal_zone\(number)/type", zone.0)
      try sysfs.write("class/thermal/thermal_zone\(number)/temp", zone.1)
    }
    var sensors = ThermalSensors(root: sysfs.root)
    #expect(sensors.sample() == .celsius(66, sensor: "bigcore0-thermal"))
  }

  @Test(arguments: ["", "\n", "garbage", "-274000", "0", "127000", "999999999999999999", "12 000", "4e4", "\u{0}\u{0}"])
  func whatCannotBeTrueIsLost(_ text: String) throws {
    let sysfs = FakeSysfs()
    try sysfs.write("class/thermal/thermal_zone0/type", "cpu-thermal")
    try sysfs.write("class/thermal/thermal_zone0/temp", text)
    var sensors = ThermalSensors(root: sysfs.root)
    let sample = sensors.sample()
    if text == "12 000" {
      #expect(sample == .celsius(12, sensor: "cpu-thermal"))
    } else {
      guard case .lost = sample else {
        Issue.record("\(text.debugDescription): \(sample)")
        return
      }
    }
  }

  @Test func aFileThatCannotBeReadIsLostAndComesBack() throws {
    let sysfs = FakeSysfs()
    try sysfs.write("class/thermal/thermal_zone0/type", "cpu-thermal")
    // A directory in the file's place: EISDIR, as an unreadable sensor's EIO.
    try sysfs.write("class/thermal/thermal_zone0/temp/x", "")
    var sensors = ThermalSensors(root: sysfs.root)
    for _ in 0..<100 {
      guard case .lost = sensors.sample() else {
        Issue.record("a directory has no temperature")
        return
      }
    }
    try sysfs.removeContents(Path.join(sysfs.root, "class/thermal/thermal_zone0/temp"))
    try sysfs.write("class/thermal/thermal_zone0/temp", "55000")
    #expect(sensors.sample() == .celsius(55, sensor: "cpu-thermal"))
  }

  @Test func sensorsThatComeLateAreFound() throws {
    let sysfs = FakeSysfs()
    var sensors = ThermalSensors(root: sysfs.root)
    #expect(sensors.sample() == .absent)
    try sysfs.write("class/thermal/thermal_zone0/type", "cpu-thermal")
    try sysfs.write("class/thermal/thermal_zone0/temp", "55000")
    let found = (0..<100).contains { _ in sensors.sample() != .absent }
    #expect(found)
  }
}

@Suite struct ThermalBrakesTests {
  @Test func brakesNeverGiveMoreParallelismThanTheServerHas() {
    for workers in [-1, 0, 1, 2, 8, 1024] {
      for gather in [-1, 0, 1, 2, 64] {
        let brakes = ThermalBrakes(parallelWorkers: workers, parallelWorkersPerGather: gather)
        for state in [ThermalState.warning, .critical] {
          let settings = Dictionary(uniqueKeysWithValues: brakes.settings(state).map { ($0.name, $0.value) })
          #expect((settings["max_parallel_workers"].flatMap { Int($0) } ?? .max) <= max(workers, 0))
          #expect((settings["max_parallel_workers_per_gather"].flatMap { Int($0) } ?? .max) <= max(gather, 0))
        }
        #expect(brakes.settings(.normal).isEmpty && !brakes.text(.normal, celsius: 90).contains("="))
      }
    }
  }

  /// Settings as SHOW gives them, and what critical heat makes of them.
  static let paces: [(shown: [String], braked: [String])] = [
    // delay, limit, and those of all vacuums.
    (["2ms", "-1", "0", "200"], ["20ms", "50"]), (["60ms", "20", "0", "200"], ["60ms", "20"]),
    (["-1", "-1", "0", "200"], ["20ms", "50"]), (["-1", "-1", "60ms", "20"], ["60ms", "20"]),
    (["-1", "30", "35500us", "20"], ["35500us", "30"]), (["0", "0", "90ms", "40"], ["20ms", "40"]),
    (["100ms", "1", "0", "200"], ["100ms", "1"]), (["1500us", "10000", "0", "1"], ["20ms", "50"]),
  ]

  @Test(arguments: paces) func vacuumIsNeverMadeFaster(_ pace: (shown: [String], braked: [String])) throws {
    let values = Dictionary(uniqueKeysWithValues: zip(VacuumPace.names, pace.shown))
    let learned: VacuumPace = try #require(VacuumPace(values))
    let brakes = ThermalBrakes(vacuum: learned)
    let settings = Dictionary(uniqueKeysWithValues: brakes.settings(.critical).map { ($0.name, $0.value) })
    #expect(settings["autovacuum_vacuum_cost_delay"] == pace.braked[0], "\(pace)")
    #expect(settings["autovacuum_vacuum_cost_limit"] == pace.braked[1], "\(pace)")
    #expect(!brakes.settings(.warning).contains { $0.name.contains("vacuum") })
  }

  @Test(arguments: [
    ["fast", "-1", "0", "200"], ["-1", "-1", "soon", "200"], ["-1", "-1", "0", "many"], ["2 h", "-1", "0", "200"],
  ])
  func aPaceThatIsNotUnderstoodIsLeftAlone(_ shown: [String]) {
    #expect(VacuumPace(Dictionary(uniqueKeysWithValues: zip(VacuumPace.names, shown))) == nil)
    #expect(!ThermalBrakes(vacuum: nil).settings(.critical).contains { $0.name.contains("vacuum") })
  }

  /// A monitor that comes into the heat knows nothing of the server: its pace is learned, and then braked.
  @Test func whatIsNotKnownIsLearnedInTheHeat() throws {
    let sysfs = FakeSysfs()
    let console = Console { _ in }
    try sysfs.write("sys/class/thermal/thermal_zone0/type", "cpu-thermal")
    try sysfs.write("sys/class/thermal/thermal_zone0/temp", "90000")
    var control = ThermalControl(
      root: Path.join(sysfs.root, "sys"), thresholds: ThermalThresholds(), serverFiles: sysfs.root,
      runDirectory: sysfs.root)
    func look(_ second: Int, _ values: [String]) throws -> String {
      _ = control.look(at: start + .seconds(second), postmaster: nil, console: console)
      control.learn(
        Dictionary(uniqueKeysWithValues: zip(VacuumPace.names, values)), at: start + .seconds(second))
      return try FileSystem.readText(Path.join(sysfs.root, "conf.d/90-hivesup-thermal.conf")) ?? ""
    }
    // What a session says just after the reload may be the brakes of a monitor before this one.
    #expect(try !look(0, ["20ms", "50", "0", "200"]).contains("vacuum"))
    #expect(try !look(2, ["60ms", "20", "0", "200"]).contains("vacuum"))
    #expect(try !look(4, ["60ms", "20", "0", "200"]).contains("vacuum"))
    let text = try look(6, ["60ms", "20", "0", "200"])
    #expect(text.contains("autovacuum_vacuum_cost_delay = 60ms\n") && text.contains("max_parallel_workers = 0\n"))
    #expect(text.contains("autovacuum_vacuum_cost_limit = 20\n"))
    // Its own brakes are not what it learns from.
    #expect(try look(20, ["100ms", "1", "0", "200"]) == text)
  }

  @Test func theServersOwnValuesAreNotLearnedFromTheBrakes() throws {
    let sysfs = FakeSysfs()
    let console = Console { _ in }
    try sysfs.write("sys/class/thermal/thermal_zone0/type", "cpu-thermal")
    try sysfs.write("sys/class/thermal/thermal_zone0/temp", "50000")
    var control = ThermalControl(
      root: Path.join(sysfs.root, "sys"), thresholds: ThermalThresholds(), serverFiles: sysfs.root,
      runDirectory: sysfs.root)
    var second = 0
    func look(_ celsius: Int, _ workers: Int) throws {
      try sysfs.write("sys/class/thermal/thermal_zone0/temp", "\(celsius)000")
      _ = control.look(at: start + .seconds(second), postmaster: nil, console: console)
      control.learn(
        ["max_parallel_workers": "\(workers)", "max_parallel_workers_per_gather": "2"], at: start + .seconds(second))
      second += 2
    }
    try look(50, 8)
    try look(82, 8)
    for _ in 0..<3 { try look(82, 4) }
    #expect(control.machine.state == .warning && control.brakes.parallelWorkers == 8)
    // Cool again, but the session has not read the new file yet.
    while control.machine.state == .warning { try look(60, 4) }
    try look(60, 4)
    #expect(control.brakes.parallelWorkers == 8)
    // A person has changed it meanwhile.
    for _ in 0..<5 { try look(60, 6) }
    #expect(control.brakes.parallelWorkers == 6)
  }

  @Test func theFileFollowsTheStateAndOnlyOurBrakesAreTakenOff() throws {
    let sysfs = FakeSysfs()
    let console = Console { _ in }
    let files = Path.join(sysfs.root, "server")
    let path = Path.join(files, "conf.d/90-hivesup-thermal.conf")
    func text() throws -> String { try FileSystem.readText(path) ?? "" }
    func control() -> ThermalControl {
      ThermalControl(
        root: Path.join(sysfs.root, "sys"), thresholds: ThermalThresholds(), serverFiles: files,
        runDirectory: sysfs.root)
    }
    try sysfs.write("sys/class/thermal/thermal_zone0/type", "cpu-thermal")
    try sysfs.write("sys/class/thermal/thermal_zone0/temp", "90000")
    var hot = control()
    _ = hot.look(at: start, postmaster: nil, console: console)
    #expect(try text().contains("max_parallel_workers = 0\n"))
    #expect(try FileSystem.readText(Path.join(sysfs.root, "thermal")) == "critical\n")
    #expect(hot.document(interval: .seconds(2)).brakes.contains("max_parallel_workers = 0"))
    hot.learn(["max_parallel_workers": "6"], at: start + .seconds(2))
    #expect(hot.document(interval: .seconds(2)).remarks.first?.contains("max_parallel_workers is 6, not 0") == true)
    // It died in the heat; the next one finds the machine cool.
    try sysfs.write("sys/class/thermal/thermal_zone0/temp", "50000")
    var next = control()
    _ = next.look(at: start, postmaster: nil, console: console)
    #expect(try !text().contains("max_parallel_workers"))
    #expect(try FileSystem.exists(Path.join(sysfs.root, "thermal")) == false)
  }
}
