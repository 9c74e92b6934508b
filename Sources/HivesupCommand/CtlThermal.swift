// `hivesup ctl thermal`: how hot the machine is and what is braked.

import ArgumentParser
import ControlProtocol

struct Thermal: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show how hot the machine is, and what is braked.",
    discussion: """
      The sensors are read by `hive-postgres monitor`. Exit status 0 while it is normal or the machine has no sensors, 3 while it is hot or \
      the sensors are lost, 4 when nobody has reported a temperature.
      """)
  @OptionGroup var control: ControlOptions
  @OptionGroup var format: JSONOption

  func run() throws {
    let (heat, body) = try control.client().document(.thermal, { try? ThermalDocument(json: $0) })
    if format.json { Output.bytes(body + [0x0A]) } else { Output.line(Self.text(heat, Style.current())) }
    if heat.state != "normal" || heat.knowledge == "unknown" { throw ExitCode(ExitStatusCode.down) }
  }

  static func text(_ heat: ThermalDocument, _ style: Style) -> String {
    let places = heat.pinning.map { lines($0, style) } ?? []
    guard heat.knowledge != "unavailable" else {
      return (["unavailable: this machine shows no processor temperature"] + places).joined(separator: "\n")
    }
    func degrees(_ value: Double) -> String { "\((value * 10).rounded() / 10) °C" }
    var line = style.paint(heat.state, heat.state == "normal" ? .green : heat.state == "critical" ? .red : .yellow)
    if heat.knowledge == "unknown" { line += " (" + style.paint("unknown", .yellow) + ": the sensors are lost)" }
    if let celsius = heat.celsius { line += ", \(degrees(celsius)) (\(harmless(heat.sensor)))" }
    line += ", warning at \(degrees(heat.warning)), critical at \(degrees(heat.critical)), "
    line += "\(heat.transitions) \(heat.transitions == 1 ? "change" : "changes")"
    return
      ([line] + heat.brakes.map { "  braked: \(harmless($0))" } + heat.remarks.map { "  \(harmless($0))" }
      + places).joined(separator: "\n")
  }

  /// Where the server's processes run, a line for each set of CPUs; then what the kernel refused.
  private static func lines(_ pinning: ServerPinningDocument, _ style: Style) -> [String] {
    var places: [(cpus: String, roles: [String])] = []
    for role in pinning.roles {
      var text = harmless(role.name)
      if role.isMoved { text += style.paint(" (heat)", .yellow) }
      if role.elsewhere > 0 { text += style.paint(" (\(role.elsewhere) of \(role.processes) elsewhere)", .red) }
      if let index = places.firstIndex(where: { $0.cpus == role.cpus }) {
        places[index].roles.append(text)
      } else {
        places.append((role.cpus, [text]))
      }
    }
    return places.map { "  CPU \(harmless($0.cpus)): \($0.roles.joined(separator: ", "))" }
      + pinning.refused.map { "  \($0.processes) processes: \(harmless($0.message)); \(harmless($0.remedy))" }
  }
}
