// How hot the machine is, as the one who reads the sensors says it. PID 1 keeps the last report, writes down each change, and says
// "unknown" when the reports stop coming; what is done about the heat is not its business.

import ControlProtocol
import SupervisorCore

/// The last report.
struct ThermalReport {
  var document: ThermalDocument
  var at: Moment

  /// What is known of the heat now: a report that is older than three of its intervals tells the last state, and no more that it holds.
  func document(at now: Moment) -> ThermalDocument {
    let age = (now.instant - at.instant).inSeconds
    guard age > document.intervalSeconds * 3 else { return document }
    var old = document
    // Processes come and go: where they run is not known any more.
    old.pinning = nil
    guard document.knowledge != "unavailable" else { return old }
    old.knowledge = "unknown"
    old.remarks = ["no report for \(Int(max(0, min(age, 1e9)))) s"] + old.remarks
    return old
  }
}

extension Daemon {
  /// `POST /v1/thermal`.
  func take(_ document: ThermalDocument) {
    let now = Clock.now()
    let before = thermal?.document
    thermal = ThermalReport(document: document, at: now)
    guard before?.state != document.state || before?.knowledge != document.knowledge else { return }
    let temperature = document.celsius.map { " at \(tenths($0)) °C" } ?? ""
    let was = before.map { " (was \($0.state)\($0.knowledge == "known" ? "" : ", \($0.knowledge)"))" } ?? ""
    let text: String
    switch document.knowledge {
    case "unavailable": text = "temperature unavailable: the machine shows no sensor\(was)"
    case "unknown": text = "temperature unknown: the sensors are lost; the state stays \(document.state)\(was)"
    default: text = "temperature \(document.state)\(temperature)\(was)"
    }
    // A machine that is well, or has no sensors, is no news when it is first heard of.
    let isNews = before != nil || document.state != "normal"
    if isNews { send(.remark(text, isWarning: document.state != "normal" || document.knowledge == "unknown")) }
  }

  /// `GET /v1/thermal`; nil before the first report.
  func thermalDocument() -> ThermalDocument? { thermal?.document(at: Clock.now()) }

  /// The part of the metrics page.
  func writeThermal(to page: inout PrometheusWriter) {
    guard let document = thermalDocument() else { return }
    if let celsius = document.celsius, document.knowledge == "known" {
      page.metric("system_cpu_temperature", .gauge, help: "The processor's temperature in degrees Celsius.")
      page.sample("system_cpu_temperature", [("sensor", document.sensor)], celsius)
    }
    page.metric("hivesup_thermal_state", .gauge, help: "0 normal, 1 warning, 2 critical.")
    page.sample("hivesup_thermal_state", [], document.level)
    page.metric("hivesup_thermal_known", .gauge, help: "1 while the state rests on present readings.")
    page.sample("hivesup_thermal_known", [], document.knowledge == "known" ? 1 : 0)
    page.metric("hivesup_thermal_transitions_total", .counter, help: "Changes of the thermal state.")
    page.sample("hivesup_thermal_transitions_total", [], document.transitions)
    if let pinning = document.pinning { write(pinning, to: &page) }
  }

  private func write(_ pinning: ServerPinningDocument, to page: inout PrometheusWriter) {
    page.metric(
      "hivesup_postgres_processes", .gauge, help: "Processes of the database server by role, and their CPUs as planned."
    )
    for role in pinning.roles {
      page.sample("hivesup_postgres_processes", [("role", role.name), ("cpus", role.cpus)], role.processes)
    }
    page.metric(
      "hivesup_postgres_processes_elsewhere", .gauge, help: "How many of them the kernel runs on other CPUs than these."
    )
    for role in pinning.roles {
      page.sample("hivesup_postgres_processes_elsewhere", [("role", role.name)], role.elsewhere)
    }
    page.metric(
      "hivesup_postgres_affinity_refused", .gauge, help: "For how many processes the kernel refused other CPUs.")
    page.sample(
      "hivesup_postgres_affinity_refused", [], pinning.refused.reduce(0) { $0 &+ $1.processes })
  }

  private func tenths(_ value: Double) -> String {
    let whole = Int((max(-1000, min(value, 10_000)) * 10).rounded())
    return "\(whole / 10).\(abs(whole % 10))"
  }
}
