// What the server is told to do less of, and how: a configuration file of its own that is included last, and a reload. No session is
// needed, which a saturated machine may not give; nothing that a person has set is written over; and the file is emptied at every start
// of the server and of the monitor, so that a crash in the heat cannot leave the brakes on.

/// The settings that brake, as the server has them without us.
public struct ThermalBrakes: Equatable, Sendable {
  /// `max_parallel_workers` without brakes.
  public var parallelWorkers: Int
  /// `max_parallel_workers_per_gather` without brakes.
  public var parallelWorkersPerGather: Int

  /// PostgreSQL's own defaults.
  public init(parallelWorkers: Int = 8, parallelWorkersPerGather: Int = 2) {
    self.parallelWorkers = parallelWorkers
    self.parallelWorkersPerGather = parallelWorkersPerGather
  }

  /// The names, which all can be changed by a reload.
  static let names = [
    "max_parallel_workers", "max_parallel_workers_per_gather", "max_parallel_maintenance_workers",
    "autovacuum_vacuum_cost_delay", "autovacuum_vacuum_cost_limit",
  ]

  /// What is set in a state; none when it is normal. Never more parallelism than the server would have without us.
  public func settings(_ state: ThermalState) -> [(name: String, value: String)] {
    switch state {
    case .normal: []
    case .warning:
      [
        ("max_parallel_workers", String(max(parallelWorkers, 0) / 2)),
        ("max_parallel_workers_per_gather", String(min(max(parallelWorkersPerGather, 0), 1))),
        ("max_parallel_maintenance_workers", "0"),
      ]
    case .critical:
      [
        ("max_parallel_workers", "0"), ("max_parallel_workers_per_gather", "0"),
        ("max_parallel_maintenance_workers", "0"),
        ("autovacuum_vacuum_cost_delay", "20ms"), ("autovacuum_vacuum_cost_limit", "50"),
      ]
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
}
