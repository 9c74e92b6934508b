// Settings that stand above the brakes' file: PostgreSQL reads postgresql.auto.conf, which ALTER SYSTEM writes, after every other file, and
// the command line, databases and roles stand above all files (manual, 20.1).

/// Where a setting's value comes from: `pg_settings.source` and `sourcefile`.
struct SettingOrigin: Equatable {
  var source: String
  var file: String?

  /// Who set it, in words.
  var text: String {
    switch source {
    case "configuration file" where Path.name(file ?? "") == "postgresql.auto.conf": "set by ALTER SYSTEM"
    case "configuration file": "set in \(file ?? "a file"), or the server has not read its files again"
    case "default": "set nowhere: the server has not read its files again"
    case "command line": "set on the server's command line"
    case "database", "user", "database user":
      "set for the \(source == "database user" ? "role in the database" : source)"
    default: "set by its source '\(source)'"
    }
  }

  /// What lets the brakes hold.
  func remedy(_ name: String) -> String {
    switch source {
    case "configuration file" where Path.name(file ?? "") == "postgresql.auto.conf":
      "run ALTER SYSTEM RESET \(name) and SELECT pg_reload_conf(), and set it in postgresql.conf"
    case "command line": "set it in postgresql.conf instead"
    case "default": "look into the server's log for why"
    case "database": "run ALTER DATABASE … RESET \(name)"
    case "user": "run ALTER ROLE \(Migrator.monitorRole) RESET \(name)"
    case "database user": "run ALTER ROLE \(Migrator.monitorRole) IN DATABASE … RESET \(name)"
    default: "look at pg_settings and pg_file_settings"
    }
  }
}

/// A setting that is not as gentle as the brakes want it.
struct BrakeDeviation: Equatable {
  var name: String
  /// What the server has.
  var value: String
  /// What the brakes' file says.
  var wanted: String

  /// Those among the brakes' settings that do not hold. A server that is gentler still is not one.
  static func find(_ settings: [(name: String, value: String)], _ values: [String: String]) -> [BrakeDeviation] {
    let pace = VacuumPace(values)
    return settings.compactMap { name, wanted in
      guard let value = values[name], !isHeld(name, value, wanted, pace) else { return nil }
      return BrakeDeviation(name: name, value: value, wanted: wanted)
    }
  }

  private static func isHeld(_ name: String, _ value: String, _ wanted: String, _ pace: VacuumPace?) -> Bool {
    switch name {
    case "autovacuum_vacuum_cost_delay":
      guard let pace, let delay = ThermalBrakes.milliseconds(wanted) else { return value == wanted }
      return pace.delayMilliseconds > delay - 0.0005
    case "autovacuum_vacuum_cost_limit":
      guard let pace, let limit = Int(wanted) else { return value == wanted }
      return pace.limit <= limit
    default:
      guard let present = Int(value), let most = Int(wanted) else { return value == wanted }
      return present <= most
    }
  }

  /// What is wrong, and why.
  func text(_ origin: SettingOrigin?) -> String {
    "\(name) is \(value), not \(wanted): \(origin?.text ?? "set on the command line or by ALTER SYSTEM, which stand above")"
  }
}
