// What the server is told to do less of, and how: a configuration file of its own that is included last, and a reload. No session is
// needed, which a saturated machine may not give; nothing that a person has set is written over; and the file is emptied at every start
// of the server and of the monitor, so that a crash in the heat cannot leave the brakes on.

/// How much autovacuum works before it sleeps, and for how long: what holds for its workers in the end (PostgreSQL manual, 19.10).
public struct VacuumPace: Equatable, Sendable {
  /// The sleep, in milliseconds.
  public var delayMilliseconds: Double
  /// The cost after which it sleeps.
  public var limit: Int

  /// A pace.
  public init(delayMilliseconds: Double, limit: Int) {
    self.delayMilliseconds = delayMilliseconds
    self.limit = limit
  }

  /// The settings that it comes from.
  static let names = [
    "autovacuum_vacuum_cost_delay", "autovacuum_vacuum_cost_limit", "vacuum_cost_delay", "vacuum_cost_limit",
  ]

  /// From the values of `names` as SHOW gives them: -1 is that of all vacuums, and so is a limit of 0. nil when one of them is missing
  /// or is no number.
  init?(_ values: [String: String]) {
    guard var delay = values["autovacuum_vacuum_cost_delay"].flatMap(ThermalBrakes.milliseconds),
      var limit = values["autovacuum_vacuum_cost_limit"].flatMap({ Int($0) })
    else { return nil }
    if delay < 0 {
      guard let common = values["vacuum_cost_delay"].flatMap(ThermalBrakes.milliseconds), common >= 0 else {
        return nil
      }
      delay = common
    }
    if limit <= 0 {
      guard let common = values["vacuum_cost_limit"].flatMap({ Int($0) }), common > 0 else { return nil }
      limit = common
    }
    self.init(delayMilliseconds: delay, limit: limit)
  }

  /// In critical heat: never faster than it was.
  var slowed: VacuumPace { VacuumPace(delayMilliseconds: max(delayMilliseconds, 20), limit: min(limit, 50)) }
}

/// The settings that brake, as the server has them without us.
public struct ThermalBrakes: Equatable, Sendable {
  /// `max_parallel_workers` without brakes.
  public var parallelWorkers: Int
  /// `max_parallel_workers_per_gather` without brakes.
  public var parallelWorkersPerGather: Int
  /// Autovacuum's pace without brakes; nil: not known, and therefore left as it is.
  public var vacuum: VacuumPace?

  /// PostgreSQL's own defaults.
  public init(
    parallelWorkers: Int = 8, parallelWorkersPerGather: Int = 2,
    vacuum: VacuumPace? = VacuumPace(delayMilliseconds: 2, limit: 200)
  ) {
    self.parallelWorkers = parallelWorkers
    self.parallelWorkersPerGather = parallelWorkersPerGather
    self.vacuum = vacuum
  }

  /// The names, which all can be changed by a reload.
  static let names = [
    "max_parallel_workers", "max_parallel_workers_per_gather", "max_parallel_maintenance_workers",
    "autovacuum_vacuum_cost_delay", "autovacuum_vacuum_cost_limit",
  ]

  /// What has to be known of the server: `names`, and what they stand in for.
  static let learned = names + VacuumPace.names.filter { !names.contains($0) }

  /// What is set in a state; none when it is normal. Never more parallelism and never a faster vacuum than the server would have
  /// without us.
  public func settings(_ state: ThermalState) -> [(name: String, value: String)] {
    switch state {
    case .normal: return []
    case .warning:
      return [
        ("max_parallel_workers", String(max(parallelWorkers, 0) / 2)),
        ("max_parallel_workers_per_gather", String(min(max(parallelWorkersPerGather, 0), 1))),
        ("max_parallel_maintenance_workers", "0"),
      ]
    case .critical:
      let slowed = vacuum?.slowed
      return [
        ("max_parallel_workers", "0"), ("max_parallel_workers_per_gather", "0"),
        ("max_parallel_maintenance_workers", "0"),
      ]
        + (slowed.map {
          [
            ("autovacuum_vacuum_cost_delay", ThermalBrakes.text(milliseconds: $0.delayMilliseconds)),
            ("autovacuum_vacuum_cost_limit", String($0.limit)),
          ]
        } ?? [])
    }
  }

  /// The file's text.
  public func text(_ state: ThermalState, celsius: Double?) -> String {
    let head = "# Written by `hive-postgres monitor`, emptied at every start: do not edit.\n"
    guard state != .normal else { return head }
    let temperature = celsius.map { " at \($0) °C" } ?? ""
    return head + "# The machine is hot (\(state.rawValue)\(temperature)).\n"
      + settings(state).map { "\($0.name) = \($0.value)\n" }.joined()
  }

  /// Where the file is, in the directory of the server's configuration copies.
  static let directoryName = "conf.d"
  static let fileName = "90-hivesup-thermal.conf"
  /// The last line of the server's postgresql.conf.
  static let includeLine = "\ninclude_dir = '\(directoryName)'\n"

  // MARK: Values

  /// A time as SHOW gives it: "20ms", "1500us", "1s", "0", "-1". nil for anything else.
  static func milliseconds(_ text: String) -> Double? {
    let number = text.prefix { $0.isNumber || $0 == "-" || $0 == "." }
    guard let value = Double(number), value.isFinite else { return nil }
    switch text[number.endIndex...] {
    case "", "ms": return value
    case "us": return value / 1000
    case "s": return value * 1000
    case "min": return value * 60_000
    default: return nil
    }
  }

  private static func text(milliseconds: Double) -> String {
    let micros = Int((min(max(milliseconds, 0), 100) * 1000).rounded())
    return micros % 1000 == 0 ? "\(micros / 1000)ms" : "\(micros)us"
  }
}
