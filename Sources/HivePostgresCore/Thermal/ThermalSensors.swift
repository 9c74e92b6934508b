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
  /// The hottest of those that answer, in degrees Celsius, while others do not that once did: it may be hotter, and is not cooler. The
  /// text names them and says why.
  case atLeast(Double, sensor: String, lost: String)
  /// There are sensors, but none gave a believable value; the text says why.
  case lost(String)
  /// The machine shows no processor temperature.
  case absent
}

/// The processor's temperature below a root directory, `/sys` on a live machine.
public struct ThermalSensors: Sendable {
  /// Reads a file; nil where there is none.
  typealias Reader = @Sendable (_ path: String) throws(Failure) -> String?

  /// What is believed, in degrees Celsius. The open ends are what broken sensors say: 0, 127.
  static let believable = 1.0...125.0
  /// How often the directories are read again: drivers are loaded late, better ones than those that were there first.
  static let searchInterval = Duration.seconds(60)
  /// The same while a sensor does not answer: a driver that was unloaded and loaded again has another number.
  static let searchIntervalWhenLost = Duration.seconds(10)
  /// How long a sensor that is not there any more (a processor was taken out, a driver unloaded) is waited for, while others are.
  static let patience = Duration.seconds(60)

  private struct Watched: Sendable {
    var sensor: ThermalSensor
    var hasAnswered = false
    /// The first search that did not find it; nil: the last one did.
    var goneSince: ContinuousClock.Instant?
  }

  private let root: String
  private let reader: Reader
  private var watched: [Watched] = []
  private var rank = Int.max
  private var searchedAt: ContinuousClock.Instant?
  private var isComplete = true
  private var forgotten: [String] = []

  /// Sensors below `root`.
  public init(root: String) { self.init(root: root, reader: { path throws(Failure) in try FileSystem.readText(path) }) }

  init(root: String, reader: @escaping Reader) {
    self.root = root
    self.reader = reader
  }

  /// Reads the temperature.
  public mutating func sample(at now: ContinuousClock.Instant) -> ThermalSample {
    let interval = isComplete ? ThermalSensors.searchInterval : ThermalSensors.searchIntervalWhenLost
    if searchedAt.map({ now - $0 >= interval }) ?? true {
      searchedAt = now
      search(now)
    }
    isComplete = true
    guard !watched.isEmpty else { return .absent }
    var best: (celsius: Double, name: String)?
    var problem = ""
    var lost: [String] = []
    for index in watched.indices {
      let name = watched[index].sensor.name
      switch read(watched[index].sensor.path) {
      case .success(let celsius):
        watched[index].hasAnswered = true
        if celsius > best?.celsius ?? -.infinity { best = (celsius, name) }
      case .failure(let why):
        problem = "\(name): \(why.text)"
        isComplete = false
        if watched[index].hasAnswered { lost.append(problem) }
      }
    }
    guard let best else { return .lost(problem) }
    return lost.isEmpty
      ? .celsius(best.celsius, sensor: best.name)
      : .atLeast(best.celsius, sensor: best.name, lost: lost.joined(separator: "; "))
  }

  /// The names of the sensors that are no longer waited for, since this was asked last.
  mutating func takeForgotten() -> [String] {
    defer { forgotten = [] }
    return forgotten
  }

  /// Takes over what is there now. A sensor that is gone stays among the watched, and is lost, for as long as `patience` says; the last
  /// ones for ever: where nothing answers, nothing tells that it is cool.
  private mutating func search(_ now: ContinuousClock.Instant) {
    let found = ThermalSensors.find(root)
    guard !found.sensors.isEmpty else { return }
    let known = watched
    watched = found.sensors.map { sensor in
      var one = known.first { $0.sensor == sensor } ?? Watched(sensor: sensor)
      one.goneSince = nil
      return one
    }
    // A better source stands in for all of a worse one.
    if found.rank >= rank {
      var newcomers = found.sensors.filter { sensor in !known.contains { $0.sensor == sensor } }.map(\.name)
      for var one in known where one.hasAnswered && !found.sensors.contains(one.sensor) {
        // The same one under another number.
        if let index = newcomers.firstIndex(of: one.sensor.name) {
          newcomers.remove(at: index)
          continue
        }
        let since = one.goneSince ?? now
        one.goneSince = since
        if now - since < ThermalSensors.patience {
          watched.append(one)
        } else {
          forgotten.append(one.sensor.name)
        }
      }
    }
    rank = found.rank
  }

  struct Unbelievable: Error { var text: String }

  /// A temperature file's value in degrees.
  private func read(_ path: String) -> Result<Double, Unbelievable> {
    do throws(Failure) {
      guard let text = try reader(path) else { return .failure(Unbelievable(text: "\(path) is gone")) }
      return ThermalSensors.parse(text)
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
  /// be anywhere on the board, only where it is alone. The rank is lower for a better source.
  static func find(_ root: String) -> (rank: Int, sensors: [ThermalSensor]) {
    if let hwmon = hwmonSensors(Path.join(root, "class/hwmon")) { return hwmon }
    var zones: [(type: String, path: String)] = []
    for (_, directory) in numbered(Path.join(root, "class/thermal"), "thermal_zone") {
      let file = Path.join(directory, "temp")
      guard let type = word(Path.join(directory, "type")), (try? FileSystem.exists(file)) ?? false else { continue }
      zones.append((type, file))
    }
    func sensors(_ zones: [(type: String, path: String)]) -> [ThermalSensor] {
      zones.map { ThermalSensor(path: $0.path, name: $0.type) }
    }
    for (index, wanted) in zoneTypes.enumerated() {
      let found = zones.filter { $0.type == wanted || (wanted == "cpu-thermal" && isClusterZone($0.type)) }
      if !found.isEmpty { return (hwmonDrivers.count + index, sensors(found)) }
    }
    let last = hwmonDrivers.count + zoneTypes.count
    return (last, zones.allSatisfy { $0.type == "acpitz" } ? sensors(zones) : [])
  }

  /// "bigcore0-thermal", "littlecore-thermal", "cpu0-thermal": one zone for each cluster (Rockchip, Qualcomm).
  private static func isClusterZone(_ type: String) -> Bool {
    type.hasSuffix("-thermal") && (type.hasPrefix("cpu") || type.hasPrefix("bigcore") || type.hasPrefix("littlecore"))
  }

  private static func hwmonSensors(_ directory: String) -> (rank: Int, sensors: [ThermalSensor])? {
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
    return best
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
