// From temperatures to states, with hysteresis and dwell, so that a temperature at a threshold does not make the server reload for
// every sample. Pure: time comes in with each sample.

/// How hot it is.
public enum ThermalState: String, CaseIterable, Comparable, Sendable {
  case normal, warning, critical

  /// 0, 1, 2: the value in /metrics.
  public var level: Int {
    switch self {
    case .normal: 0
    case .warning: 1
    case .critical: 2
    }
  }

  /// Cooler.
  public static func < (left: ThermalState, right: ThermalState) -> Bool { left.level < right.level }
}

/// When one state becomes another. Temperatures in degrees Celsius.
public struct ThermalThresholds: Equatable, Sendable {
  /// `THERMAL_THRESHOLD_WARNING`.
  public var warning = 80.0
  /// `THERMAL_THRESHOLD_CRITICAL`.
  public var critical = 85.0
  /// `THERMAL_HYSTERESIS_WARNING`: this far below `warning` it is normal again.
  public var warningHysteresis = 5.0
  /// `THERMAL_HYSTERESIS_CRITICAL`: this far below `critical` it is a warning again.
  public var criticalHysteresis = 3.0

  /// Samples in a row at or above `warning` that make a warning; `critical` needs one.
  static let warningSamples = 2
  /// Samples in a row below `critical - criticalHysteresis` that end a critical state.
  static let coolToWarningSamples = 5
  /// Samples in a row below `warning - warningHysteresis` that end a warning.
  static let coolToNormalSamples = 15
  /// The least time between two changes; only a rise to critical does not wait.
  static let dwell = Duration.seconds(10)
  /// Samples in a row without a value after which the state is no more known.
  static let lostSamples = 5

  /// The defaults.
  public init() {}

  /// Thresholds from the environment.
  /// - Throws: a value that is no temperature (20…125), a hysteresis outside 0…40, or a warning that is not below critical.
  public init(environment: [String: String]) throws(Failure) {
    func number(_ name: String, _ fallback: Double, _ range: ClosedRange<Double>) throws(Failure) -> Double {
      // As everywhere: a variable that is empty is not set.
      guard let text = environment[name], !text.isEmpty else { return fallback }
      guard let value = Double(text), range.contains(value) else {
        throw Failure(
          .configuration, "cannot use \(name)=\(text): it is no number from \(range.lowerBound) to \(range.upperBound)",
          remedy: "give degrees Celsius, or leave it out for \(fallback)")
      }
      return value
    }
    warning = try number("THERMAL_THRESHOLD_WARNING", warning, 20...125)
    critical = try number("THERMAL_THRESHOLD_CRITICAL", critical, 20...125)
    warningHysteresis = try number("THERMAL_HYSTERESIS_WARNING", warningHysteresis, 0...40)
    criticalHysteresis = try number("THERMAL_HYSTERESIS_CRITICAL", criticalHysteresis, 0...40)
    guard warning < critical else {
      throw Failure(
        .configuration,
        "cannot use THERMAL_THRESHOLD_WARNING=\(warning) with THERMAL_THRESHOLD_CRITICAL=\(critical): the warning would not come first",
        remedy: "give a warning threshold below the critical one")
    }
  }
}

/// The states and what leads from one to the other.
public struct ThermalMachine: Equatable, Sendable {
  /// How much is known.
  public enum Knowledge: String, Sendable {
    /// Sensors answer.
    case known
    /// Some or all of those that answered once do not any more: the state does not fall.
    case unknown
    /// There have never been any.
    case unavailable
  }

  /// A change of state.
  public struct Transition: Equatable, Sendable {
    /// The state before.
    public var from: ThermalState
    /// The state after.
    public var to: ThermalState
    /// The sample that made the change.
    public var celsius: Double
  }

  /// The thresholds that it was made with.
  public let thresholds: ThermalThresholds
  /// The present state.
  public private(set) var state = ThermalState.normal
  /// Whether the state rests on present readings.
  public private(set) var knowledge = Knowledge.unavailable
  /// The last believable temperature; nil: none ever.
  public private(set) var celsius: Double?
  /// The sensor that gave it.
  public private(set) var sensor = ""
  /// How many transitions there have been.
  public private(set) var transitions = 0
  /// When the present state began; nil: it is the first.
  public private(set) var since: ContinuousClock.Instant?

  private var hot = 0
  private var cool = 0
  private var lost = 0

  /// A machine that has seen nothing.
  public init(thresholds: ThermalThresholds) { self.thresholds = thresholds }

  /// Takes a sample; returns the change that it causes.
  public mutating func take(_ sample: ThermalSample, at now: ContinuousClock.Instant) -> Transition? {
    switch sample {
    case .celsius(let value, let name):
      lost = 0
      knowledge = .known
      celsius = value
      sensor = name
      return judge(value, mayFall: true, at: now)
    case .atLeast(let value, let name, _):
      lose()
      celsius = value
      sensor = name
      return judge(value, mayFall: false, at: now)
    case .absent where knowledge == .unavailable:
      return nil
    case .lost, .absent:
      // Whatever was counted is not in a row any more. A sensor that is there and has never answered is worth saying, too.
      hot = 0
      cool = 0
      lose()
      return nil
    }
  }

  private mutating func lose() {
    lost = min(lost + 1, ThermalThresholds.lostSamples + 1)
    if lost > ThermalThresholds.lostSamples { knowledge = .unknown }
  }

  private mutating func judge(_ value: Double, mayFall: Bool, at now: ContinuousClock.Instant) -> Transition? {
    if value >= thresholds.critical {
      hot += 1
      cool = 0
      return state == .critical ? nil : move(to: .critical, value, now)
    }
    let mayMove = since.map { now - $0 >= ThermalThresholds.dwell } ?? true
    switch state {
    case .normal:
      hot = value >= thresholds.warning ? hot + 1 : 0
      guard hot >= ThermalThresholds.warningSamples, mayMove else { return nil }
      return move(to: .warning, value, now)
    case .warning:
      cool = mayFall && value < thresholds.warning - thresholds.warningHysteresis ? cool + 1 : 0
      guard cool >= ThermalThresholds.coolToNormalSamples, mayMove else { return nil }
      return move(to: .normal, value, now)
    case .critical:
      cool = mayFall && value < thresholds.critical - thresholds.criticalHysteresis ? cool + 1 : 0
      guard cool >= ThermalThresholds.coolToWarningSamples, mayMove else { return nil }
      return move(to: .warning, value, now)
    }
  }

  private mutating func move(to next: ThermalState, _ value: Double, _ now: ContinuousClock.Instant) -> Transition {
    let transition = Transition(from: state, to: next, celsius: value)
    state = next
    since = now
    transitions += 1
    hot = 0
    cool = 0
    return transition
  }
}
