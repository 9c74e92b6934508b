// Where the processor's temperature is read: hwmon and thermal zones (kernel, Documentation/hwmon/sysfs-interface.rst and
// driver-api/thermal/sysfs-api.rst), best source first. A container sees them read-only; a virtual machine has none. Reads fail now and
// then (EAGAIN, EIO, ENODATA), and some drivers answer 0, -274000 or 127000 when they do not know.

/// One file with a temperature in thousandths of a degree.
public struct ThermalSensor: Equatable, Sendable {
  /// The file.
  public var path: String
  /// What it is, for people: "coretemp Package id 0", "x86_pkg_temp".
  public var name: String
}

/// What a look at the sensors gave.
public enum ThermalSample: Equatable, Sendable {
  /// The hottest of the best source's sensors, in degrees Celsius.
  case celsius(Double, sensor: String)
  /// There are sensors, but none gave a believable value; the text says why.
  case lost(String)
  /// The machine shows no processor temperature.
  case absent
}

/// The processor's temperature below a root directory, `/sys` on a live machine.
public struct ThermalSensors: Sendable {
  /// What is believed, in degrees Celsius. The open ends are what broken sensors say: 0, 127.
  static let believable = 1.0...125.0

  private let root: String
  private(set) var sensors: [ThermalSensor] = []
  /// Looks left until the directories are read again: drivers are loaded late.
  private var looksUntilSearch = 0
  private static let searchEvery = 30

  /// Sensors below `root`.
  public init(root: String) { self.root = root }

  /// Reads the temperature.
  public mutating func sample() -> ThermalSample {
    if sensors.isEmpty {
      if looksUntilSearch == 0 {
        sensors = ThermalSensors.find(root)
        looksUntilSearch = ThermalSensors.searchEvery
      }
      looksUntilSearch -= 1
      guard !sensors.isEmpty else { return .absent }
    }
    var best: (celsius: Double, name: String)?
    var problem = ""
    for sensor in sensors {
      switch ThermalSensors.read(sensor.path) {
      case .success(let celsius):
        if celsius > best?.celsius ?? -.infinity { best = (celsius, sensor.name) }
      case .failure(let why):
        problem = "\(sensor.name): \(why.text)"
      }
    }
    guard let best else {
      // A driver that was unloaded and loaded again has another number.
      looksUntilSearch -= 1
      if looksUntilSearch <= 0 {
        let found = ThermalSensors.find(root)
        if !found.isEmpty { sensors = found }
        looksUntilSearch = ThermalSensors.searchEvery
      }
      return .lost(problem)
    }
    return .celsius(best.celsius, sensor: best.name)
  }

  struct Unbelievable: Error { var text: String }

  /// A temperature file's value in degrees.
  static func read(_ path: String) -> Result<Double, Unbelievable> {
    do throws(Failure) {
      guard let text = try FileSystem.readText(path) else { return .failure(Unbelievable(text: "\(path) is gone")) }
      return parse(text)
    } catch {
      return .failure(Unbelievable(text: error.message))
    }
  }

  /// Thousandths of a degree as the kernel writes them.
  static func parse(_ text: String) -> Result<Double, Unbelievable> {
    let word = text.prefix(32).filter { !$0.isWhitespace }
    guard let number = Int32(word) else {
      return .failure(Unbelievable(text: "'\(word.prefix(12))' is no temperature"))
    }
    let celsius = Double(number) / 1000
    guard believable.contains(celsius) else { return .failure(Unbelievable(text: "\(celsius) °C cannot be true")) }
    return .success(celsius)
  }

  // MARK: Finding them

  private static let hwmonDrivers = ["coretemp", "k10temp", "zenpower", "cpu_thermal"]
  private static let packageLabels = ["Package id", "Tctl", "Tdie"]
  private static let zoneTypes = ["x86_pkg_temp", "TCPU", "cpu-thermal", "soc-thermal", "cpu_thermal"]

  /// The sensors of the best source that there is: hwmon drivers of processors, thermal zones of processors, and `acpitz`, which may
  /// be anywhere on the board, only where it is alone.
  static func find(_ root: String) -> [ThermalSensor] {
    let hwmon = hwmonSensors(Path.join(root, "class/hwmon"))
    if !hwmon.isEmpty { return hwmon }
    var zones: [(type: String, path: String)] = []
    for (_, directory) in numbered(Path.join(root, "class/thermal"), "thermal_zone") {
      guard let type = word(Path.join(directory, "type")) else { continue }
      zones.append((type, Path.join(directory, "temp")))
    }
    for wanted in zoneTypes {
      let found = zones.filter { $0.type == wanted || (wanted == "cpu-thermal" && isClusterZone($0.type)) }
      if !found.isEmpty { return found.map { ThermalSensor(path: $0.path, name: $0.type) } }
    }
    guard !zones.isEmpty, zones.allSatisfy({ $0.type == "acpitz" }) else { return [] }
    return zones.map { ThermalSensor(path: $0.path, name: $0.type) }
  }

  /// "bigcore0-thermal", "littlecore-thermal", "cpu0-thermal": one zone for each cluster (Rockchip, Qualcomm).
  private static func isClusterZone(_ type: String) -> Bool {
    type.hasSuffix("-thermal") && (type.hasPrefix("cpu") || type.hasPrefix("bigcore") || type.hasPrefix("littlecore"))
  }

  private static func hwmonSensors(_ directory: String) -> [ThermalSensor] {
    var best: (rank: Int, sensors: [ThermalSensor])?
    for (_, device) in numbered(directory, "hwmon") {
      guard let name = word(Path.join(device, "name")), let rank = hwmonDrivers.firstIndex(of: name) else { continue }
      var all: [ThermalSensor] = []
      var packages: [ThermalSensor] = []
      let files = ((try? FileSystem.list(device)) ?? []).filter { $0.hasPrefix("temp") && $0.hasSuffix("_input") }
      for file in files.sorted() {
        let label = word(Path.join(device, String(file.dropLast("_input".count)) + "_label")) ?? ""
        let sensor = ThermalSensor(path: Path.join(device, file), name: label.isEmpty ? name : "\(name) \(label)")
        all.append(sensor)
        if packageLabels.contains(where: label.hasPrefix) { packages.append(sensor) }
      }
      let chosen = packages.isEmpty ? all : packages
      guard !chosen.isEmpty else { continue }
      if let found = best, found.rank <= rank {
        // Two sockets: two devices of one driver.
        if found.rank == rank { best?.sensors += chosen }
      } else {
        best = (rank, chosen)
      }
    }
    return best?.sensors ?? []
  }

  /// Entries `prefix` + number, by number.
  private static func numbered(_ directory: String, _ prefix: String) -> [(number: Int, path: String)] {
    ((try? FileSystem.list(directory)) ?? []).compactMap { name in
      guard name.hasPrefix(prefix), let number = Int(name.dropFirst(prefix.count)) else { return nil }
      return (number, Path.join(directory, name))
    }.sorted { $0.number < $1.number }
  }

  private static func word(_ path: String) -> String? {
    guard let text = try? FileSystem.readText(path) else { return nil }
    let trimmed = String(text.prefix(64).prefix { $0 != "\n" })
    return trimmed.isEmpty ? nil : trimmed
  }
}
