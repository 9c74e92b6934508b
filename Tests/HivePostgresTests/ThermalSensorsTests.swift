import Glibc
import Testing

@testable import HivePostgresCore

private let start = ContinuousClock.now

/// Files that answer with an error of the kernel's.
private final class BrokenFiles: @unchecked Sendable {
  var errors: [String: Int32] = [:]

  var reader: ThermalSensors.Reader {
    { [self] path throws(Failure) in
      if let code = errors.first(where: { path.hasSuffix($0.key) })?.value { throw .system("read \(path)", code) }
      return try FileSystem.readText(path)
    }
  }
}

/// What a console was given.
final class Said: @unchecked Sendable {
  var lines: [String] = []
}

/// A sysfs of its own.
final class FakeSysfs {
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
    #expect(sensors.sample(at: start) == .celsius(27.8, sensor: "acpitz"))
    try sysfs.write("class/thermal/thermal_zone1/type", "x86_pkg_temp\n")
    try sysfs.write("class/thermal/thermal_zone1/temp", "51000\n")
    sensors = ThermalSensors(root: sysfs.root)
    #expect(sensors.sample(at: start) == .celsius(51, sensor: "x86_pkg_temp"))
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
    #expect(sensors.sample(at: start) == .celsius(64, sensor: "coretemp Package id 1"))
    // One of two fails: it is at least as hot as the other says.
    try sysfs.write("class/hwmon/hwmon4/temp1_input", "127000\n")
    guard case .atLeast(62, sensor: "coretemp Package id 0", let lost) = sensors.sample(at: start) else {
      Issue.record("\(sensors.sample(at: start))")
      return
    }
    #expect(lost == "coretemp Package id 1: 127.0 °C cannot be true")
    // One that has never told a temperature is not missed.
    sensors = ThermalSensors(root: sysfs.root)
    #expect(sensors.sample(at: start) == .celsius(62, sensor: "coretemp Package id 0"))
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
    #expect(sensors.sample(at: start) == .celsius(66, sensor: "bigcore0-thermal"))
  }

  @Test(arguments: ["", "\n", "garbage", "-274000", "0", "127000", "999999999999999999", "12 000", "4e4", "\u{0}\u{0}"])
  func whatCannotBeTrueIsLost(_ text: String) throws {
    let sysfs = FakeSysfs()
    try sysfs.write("class/thermal/thermal_zone0/type", "cpu-thermal")
    try sysfs.write("class/thermal/thermal_zone0/temp", text)
    var sensors = ThermalSensors(root: sysfs.root)
    let sample = sensors.sample(at: start)
    if text == "12 000" {
      #expect(sample == .celsius(12, sensor: "cpu-thermal"))
    } else {
      guard case .lost = sample else {
        Issue.record("\(text.debugDescription): \(sample)")
        return
      }
    }
  }

  @Test(arguments: [EIO, ENODATA, EAGAIN, ENXIO, EACCES])
  func aFileThatCannotBeReadIsLostAndComesBack(_ code: Int32) throws {
    let sysfs = FakeSysfs()
    let broken = BrokenFiles()
    try sysfs.write("class/thermal/thermal_zone0/type", "cpu-thermal")
    try sysfs.write("class/thermal/thermal_zone0/temp", "55000")
    var sensors = ThermalSensors(root: sysfs.root, reader: broken.reader)
    for round in 0..<3 {
      broken.errors = ["zone0/temp": code]
      for second in 0..<30 {
        guard case .lost(let why) = sensors.sample(at: start + .seconds(30 * round + second)) else {
          Issue.record("error \(code) has no temperature")
          return
        }
        #expect(why.contains(Failure.describe(code)))
      }
      broken.errors = [:]
      #expect(sensors.sample(at: start + .seconds(30 * round + 29)) == .celsius(55, sensor: "cpu-thermal"))
    }
  }

  /// A directory in the file's place, on a real file system.
  @Test func whatIsNoFileIsLost() throws {
    let sysfs = FakeSysfs()
    try sysfs.write("class/thermal/thermal_zone0/type", "cpu-thermal")
    try sysfs.write("class/thermal/thermal_zone0/temp/x", "")
    var sensors = ThermalSensors(root: sysfs.root)
    guard case .lost = sensors.sample(at: start) else {
      Issue.record("a directory has no temperature")
      return
    }
  }

  private func twoPackages(_ sysfs: FakeSysfs) throws {
    for (number, celsius) in [90, 45].enumerated() {
      try sysfs.write("class/hwmon/hwmon\(number)/name", "coretemp\n")
      try sysfs.write("class/hwmon/hwmon\(number)/temp1_label", "Package id \(number)\n")
      try sysfs.write("class/hwmon/hwmon\(number)/temp1_input", "\(celsius)000\n")
    }
  }

  /// The hot one of two stops answering: however long that lasts, the cool one is not the machine.
  @Test(arguments: [EIO, ENODATA]) func theOtherPackageDoesNotCoolTheLostOne(_ code: Int32) throws {
    let sysfs = FakeSysfs()
    let broken = BrokenFiles()
    try twoPackages(sysfs)
    var control = ThermalControl(
      sensors: ThermalSensors(root: sysfs.root, reader: broken.reader), thresholds: ThermalThresholds(),
      serverFiles: sysfs.root, runDirectory: sysfs.root)
    let said = Said()
    let console = Console { said.lines.append($0) }
    _ = control.look(at: start, postmaster: nil, console: console)
    #expect(control.machine.state == .critical)
    broken.errors = ["hwmon0/temp1_input": code]
    for second in 1...300 { _ = control.look(at: start + .seconds(second), postmaster: nil, console: console) }
    let document = control.document(interval: .seconds(2))
    #expect(document.state == "critical" && document.knowledge == "unknown" && document.celsius == 45)
    #expect(document.remarks.count == 1 && document.remarks[0].contains("Package id 0"), "\(document.remarks)")
    #expect(said.lines.count { $0.contains("a sensor is lost") } == 1, "\(said.lines)")
    broken.errors = [:]
    try sysfs.write("class/hwmon/hwmon0/temp1_input", "50000\n")
    for second in 301...400 { _ = control.look(at: start + .seconds(second), postmaster: nil, console: console) }
    #expect(control.machine.state == .normal && control.document(interval: .seconds(2)).remarks == [])
  }

  @Test func aPackageThatWasTakenOutIsForgottenAfterAWhile() throws {
    let sysfs = FakeSysfs()
    try twoPackages(sysfs)
    var sensors = ThermalSensors(root: sysfs.root)
    #expect(sensors.sample(at: start) == .celsius(90, sensor: "coretemp Package id 0"))
    try sysfs.removeContents(Path.join(sysfs.root, "class/hwmon/hwmon0"))
    var samples: [ThermalSample] = []
    for second in 1...300 { samples.append(sensors.sample(at: start + .seconds(second))) }
    let first = try #require(samples.firstIndex(of: .celsius(45, sensor: "coretemp Package id 1")))
    // A search every ten seconds; the first one that misses it begins the minute.
    #expect(60...90 ~= first, "\(first)")
    for (index, sample) in samples.enumerated() {
      if case .atLeast(45, _, _) = sample { #expect(index < first) } else { #expect(index >= first) }
    }
    #expect(sensors.takeForgotten() == ["coretemp Package id 0"] && sensors.takeForgotten().isEmpty)
    // It is put in again.
    try twoPackages(sysfs)
    let isBack = (301...400).contains {
      sensors.sample(at: start + .seconds($0)) == .celsius(90, sensor: "coretemp Package id 0")
    }
    #expect(isBack)
  }

  /// Nothing is left that could tell that it is cool.
  @Test func theLastSensorIsNeverForgotten() throws {
    let sysfs = FakeSysfs()
    try twoPackages(sysfs)
    var sensors = ThermalSensors(root: sysfs.root)
    _ = sensors.sample(at: start)
    try sysfs.removeContents(Path.join(sysfs.root, "class/hwmon"))
    for second in 1...200 {
      guard case .lost = sensors.sample(at: start + .seconds(second)) else {
        Issue.record("second \(second)")
        return
      }
    }
  }

  @Test func aDriverThatComesBackUnderAnotherNumberIsTheSameSensor() throws {
    let sysfs = FakeSysfs()
    try twoPackages(sysfs)
    var sensors = ThermalSensors(root: sysfs.root)
    _ = sensors.sample(at: start)
    try sysfs.removeContents(Path.join(sysfs.root, "class/hwmon/hwmon0"))
    try sysfs.write("class/hwmon/hwmon7/name", "coretemp\n")
    try sysfs.write("class/hwmon/hwmon7/temp1_label", "Package id 0\n")
    try sysfs.write("class/hwmon/hwmon7/temp1_input", "88000\n")
    guard case .atLeast = sensors.sample(at: start + .seconds(1)) else {
      Issue.record("it was not missed")
      return
    }
    // As soon as the directories are read again; the old one has not to be waited for.
    _ = sensors.sample(at: start + .seconds(70))
    #expect(sensors.sample(at: start + .seconds(71)) == .celsius(88, sensor: "coretemp Package id 0"))
  }

  @Test func aBetterSourceThatComesLaterIsTaken() throws {
    let sysfs = FakeSysfs()
    try sysfs.write("class/thermal/thermal_zone0/type", "acpitz\n")
    try sysfs.write("class/thermal/thermal_zone0/temp", "27800\n")
    var sensors = ThermalSensors(root: sysfs.root)
    #expect(sensors.sample(at: start) == .celsius(27.8, sensor: "acpitz"))
    try twoPackages(sysfs)
    var second = 1
    while second <= 120, sensors.sample(at: start + .seconds(second)) == .celsius(27.8, sensor: "acpitz") {
      second += 1
    }
    #expect(second <= 60)
    // Complete: the sensor that was second best is not missed, nor is it read.
    try sysfs.removeContents(Path.join(sysfs.root, "class/thermal"))
    #expect(sensors.sample(at: start + .seconds(61)) == .celsius(90, sensor: "coretemp Package id 0"))
  }

  @Test func sensorsThatComeLateAreFound() throws {
    let sysfs = FakeSysfs()
    var sensors = ThermalSensors(root: sysfs.root)
    #expect(sensors.sample(at: start) == .absent)
    try sysfs.write("class/thermal/thermal_zone0/type", "cpu-thermal")
    try sysfs.write("class/thermal/thermal_zone0/temp", "55000")
    let found = (1...60).contains { sensors.sample(at: start + .seconds($0)) != .absent }
    #expect(found)
  }
}
