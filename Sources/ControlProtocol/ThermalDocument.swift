// How hot the machine is and what is done about it: `POST /v1/thermal` by who reads the sensors (`hive-postgres monitor`), `GET /v1/thermal`
// for everybody, and the member `thermal` of the health document.

/// The heat of the machine.
public struct ThermalDocument: Equatable, Sendable {
  /// `normal`, `warning` or `critical`; the last known one while the sensors are lost.
  public var state: String
  /// `known`, `unknown` (the sensors are lost, or the reporter is) or `unavailable` (the machine has none).
  public var knowledge: String
  /// The last temperature, in degrees Celsius. nil: none yet.
  public var celsius: Double?
  /// The sensor that gave it; empty when there is none.
  public var sensor: String
  /// The warning threshold, in degrees Celsius.
  public var warning: Double
  /// The critical threshold, in degrees Celsius.
  public var critical: Double
  /// How often the state has changed since the reporter's start.
  public var transitions: Int
  /// What is braked now, for people: `max_parallel_workers = 4`.
  public var brakes: [String]
  /// What should be known: a setting that somebody else's overrides, a sensor's error.
  public var remarks: [String]
  /// How often it is reported, in seconds, 0.1…86 400: after three of these without a report nothing is known.
  public var intervalSeconds: Double

  /// Where the server's processes run, which the heat may change. nil: they are not pinned.
  public var pinning: ServerPinningDocument?

  /// The states, coolest first: their places are the values of the metric.
  public static let states = ["normal", "warning", "critical"]
  /// What may be known.
  public static let knowledges = ["known", "unknown", "unavailable"]
  static let limit = 16

  /// A heat.
  public init(
    state: String, knowledge: String, celsius: Double?, sensor: String, warning: Double, critical: Double,
    transitions: Int, brakes: [String], remarks: [String], intervalSeconds: Double,
    pinning: ServerPinningDocument? = nil
  ) {
    self.state = state
    self.knowledge = knowledge
    self.celsius = celsius
    self.sensor = sensor
    self.warning = warning
    self.critical = critical
    self.transitions = transitions
    self.brakes = brakes
    self.remarks = remarks
    self.intervalSeconds = intervalSeconds
    self.pinning = pinning
  }

  /// 0 normal, 1 warning, 2 critical.
  public var level: Int { Self.states.firstIndex(of: state) ?? 0 }

  /// Writes it as an object.
  public func write(to writer: inout JSONWriter) {
    writer.beginObject()
    writer.member("state", state)
    writer.member("knowledge", knowledge)
    writer.member("celsius", celsius, decimals: 1)
    writer.member("sensor", sensor)
    writer.member("warning_celsius", warning, decimals: 1)
    writer.member("critical_celsius", critical, decimals: 1)
    writer.member("transitions", transitions)
    writer.member("brakes", brakes)
    writer.member("remarks", remarks)
    writer.member("interval_seconds", intervalSeconds, decimals: 3)
    if let pinning {
      writer.key("pinning")
      pinning.write(to: &writer)
    }
    writer.endObject()
  }

  /// The document as text.
  public var json: [UInt8] {
    var writer = JSONWriter(reserving: 512)
    write(to: &writer)
    return writer.take()
  }

  /// The heat in a body.
  /// - Throws: INCORRECT_PARAMETERS when a member is missing or of another kind, BAD_ARGUMENTS when one is out of its bounds.
  public init(json: JSONValue) throws(ControlFault) {
    guard let state = json["state"]?.string, let knowledge = json["knowledge"]?.string,
      let warning = json["warning_celsius"]?.double, let critical = json["critical_celsius"]?.double,
      let interval = json["interval_seconds"]?.double
    else {
      throw ControlFault(
        .incorrectParameters,
        "cannot take the temperature: it needs state, knowledge, warning_celsius, critical_celsius and interval_seconds"
      )
    }
    let celsius = json["celsius"]?.double
    let transitions = json["transitions"]?.int.flatMap { Int(exactly: $0) } ?? 0
    guard Self.states.contains(state), Self.knowledges.contains(knowledge), (0.1...86_400).contains(interval),
      (-300...1000).contains(celsius ?? 0), (-300...1000).contains(warning), (-300...1000).contains(critical),
      transitions >= 0
    else {
      throw ControlFault(.badArguments, "cannot take the temperature: a member is out of its bounds")
    }
    func lines(_ name: String) throws(ControlFault) -> [String] {
      let list = json[name]?.array?.compactMap(\.string) ?? []
      guard list.count <= Self.limit, list.allSatisfy({ $0.utf8.count <= 512 }) else {
        throw ControlFault(.badArguments, "cannot take the temperature: \(name) has too much text")
      }
      return list
    }
    let sensor = json["sensor"]?.string ?? ""
    guard sensor.utf8.count <= 128 else {
      throw ControlFault(.badArguments, "cannot take the temperature: sensor has too much text")
    }
    self.init(
      state: state, knowledge: knowledge, celsius: celsius, sensor: sensor, warning: warning, critical: critical,
      transitions: transitions, brakes: try lines("brakes"), remarks: try lines("remarks"), intervalSeconds: interval,
      pinning: try json["pinning"].map { value throws(ControlFault) in try ServerPinningDocument(json: value) })
  }
}
