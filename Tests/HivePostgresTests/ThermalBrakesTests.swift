import Glibc
import Testing

@testable import HivePostgresCore

private let start = ContinuousClock.now

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
      _ = control.learn(
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
      _ = control.learn(
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

  static let origins: [(source: String, file: String?, text: String, remedy: String)] = [
    ("configuration file", "/v/pgdata/postgresql.auto.conf", "ALTER SYSTEM", "ALTER SYSTEM RESET max_parallel_workers"),
    ("configuration file", "/v/other.conf", "/v/other.conf", "pg_file_settings"),
    ("command line", nil, "command line", "postgresql.conf"), ("default", nil, "not read", "log"),
    ("database", nil, "database", "ALTER DATABASE"), ("user", nil, "user", "ALTER ROLE hive_monitor RESET"),
    ("database user", nil, "role in the database", "IN DATABASE"), ("override", nil, "override", "pg_settings"),
  ]

  @Test(arguments: origins)
  func whatStandsAboveTheBrakesIsSaidOnceWithTheRemedy(
    _ origin: (source: String, file: String?, text: String, remedy: String)
  ) throws {
    let sysfs = FakeSysfs()
    let said = Said()
    let console = Console { said.lines.append($0) }
    try sysfs.write("sys/class/thermal/thermal_zone0/type", "cpu-thermal")
    try sysfs.write("sys/class/thermal/thermal_zone0/temp", "90000")
    var control = ThermalControl(
      root: Path.join(sysfs.root, "sys"), thresholds: ThermalThresholds(), serverFiles: sysfs.root,
      runDirectory: sysfs.root)
    for second in 0..<20 {
      _ = control.look(at: start + .seconds(second), postmaster: nil, console: console)
      let found = control.learn(["max_parallel_workers": "6"], at: start + .seconds(second))
      if !found.isEmpty {
        control.explain(
          found, ["max_parallel_workers": SettingOrigin(source: origin.source, file: origin.file)], console)
      }
      // A check without an answer changes nothing.
      #expect(control.learn([:], at: start + .seconds(second)).isEmpty)
    }
    let warnings = said.lines.filter { $0.contains("does not brake") }
    #expect(warnings.count == 1, "\(said.lines)")
    #expect(warnings.first?.contains("max_parallel_workers is 6, not 0") == true)
    #expect(warnings.first?.contains(origin.text) == true && warnings.first?.contains(origin.remedy) == true)
    let remarks = control.document(interval: .seconds(2)).remarks
    #expect(remarks.count == 1 && remarks.first?.contains(origin.text) == true)
    #expect(control.shortcoming?.contains("max_parallel_workers is 6") == true)
    // Put right.
    #expect(control.learn(["max_parallel_workers": "0"], at: start + .seconds(21)).isEmpty)
    #expect(control.shortcoming == nil && control.document(interval: .seconds(2)).remarks == [])
  }

  /// The question where a setting comes from had no answer: it is asked again, and nothing was said of it.
  @Test func whatIsNotExplainedIsAskedForAgain() throws {
    let sysfs = FakeSysfs()
    let said = Said()
    let console = Console { said.lines.append($0) }
    try sysfs.write("sys/class/thermal/thermal_zone0/type", "cpu-thermal")
    try sysfs.write("sys/class/thermal/thermal_zone0/temp", "90000")
    var control = ThermalControl(
      root: Path.join(sysfs.root, "sys"), thresholds: ThermalThresholds(), serverFiles: sysfs.root,
      runDirectory: sysfs.root)
    var asked: [Int] = []
    for second in 0..<10 {
      _ = control.look(at: start + .seconds(second), postmaster: nil, console: console)
      let found = control.learn(["max_parallel_workers": "6"], at: start + .seconds(second))
      if found.isEmpty { continue }
      asked.append(second)
      #expect(control.shortcoming?.contains("max_parallel_workers is 6") == true)
      if asked.count == 3 {
        control.explain(found, ["max_parallel_workers": SettingOrigin(source: "command line", file: nil)], console)
      } else {
        #expect(!said.lines.contains { $0.contains("does not brake") })
      }
    }
    #expect(asked.count == 3, "\(asked)")
    #expect(said.lines.filter { $0.contains("does not brake") && $0.contains("command line") }.count == 1)
  }

  @Test func aGentlerServerFollowsTheBrakes() {
    let brakes = ThermalBrakes()
    var values = Dictionary(uniqueKeysWithValues: brakes.settings(.critical).map { ($0.name, $0.value) })
    func names() -> [String] { BrakeDeviation.find(brakes.settings(.critical), values).map(\.name) }
    #expect(names() == [])
    values["autovacuum_vacuum_cost_delay"] = "60ms"
    values["autovacuum_vacuum_cost_limit"] = "10"
    #expect(names() == [])
    values["autovacuum_vacuum_cost_delay"] = "19999us"
    values["autovacuum_vacuum_cost_limit"] = "51"
    values["max_parallel_maintenance_workers"] = "1"
    #expect(
      names() == [
        "max_parallel_maintenance_workers", "autovacuum_vacuum_cost_delay", "autovacuum_vacuum_cost_limit",
      ])
    // Those of all vacuums.
    values = ["autovacuum_vacuum_cost_delay": "-1", "autovacuum_vacuum_cost_limit": "-1", "vacuum_cost_delay": "100ms"]
    values["vacuum_cost_limit"] = "40"
    #expect(names() == [])
    values["vacuum_cost_limit"] = "200"
    #expect(names() == ["autovacuum_vacuum_cost_limit"])
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
    // A session has not read it yet.
    #expect(hot.learn(["max_parallel_workers": "6"], at: start + .seconds(2)).isEmpty)
    #expect(hot.document(interval: .seconds(2)).remarks == [] && hot.shortcoming == nil)
    #expect(hot.learn(["max_parallel_workers": "6"], at: start + .seconds(4)).map(\.name) == ["max_parallel_workers"])
    #expect(hot.document(interval: .seconds(2)).remarks.first?.contains("max_parallel_workers is 6, not 0") == true)
    // It died in the heat; the next one finds the machine cool.
    try sysfs.write("sys/class/thermal/thermal_zone0/temp", "50000")
    var next = control()
    _ = next.look(at: start, postmaster: nil, console: console)
    #expect(try !text().contains("max_parallel_workers"))
    #expect(try FileSystem.exists(Path.join(sysfs.root, "thermal")) == false)
  }
}
