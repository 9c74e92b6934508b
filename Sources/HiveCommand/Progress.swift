// How waiting looks: one line that is rewritten on a terminal, a line for each change elsewhere. Pure text; who writes it is
// ProgressBoard.

import CommandOutput
import ControlProtocol

enum Progress {
  /// What a container does, from its health document: what starts, what waits for that, what is wrong.
  static func doing(_ health: HealthDocument) -> String {
    let starting = health.services.filter { $0.status == "starting" && $0.pid != nil }.map(\.name)
    let waiting = health.services.filter { $0.status == "starting" && $0.pid == nil }.map(\.name)
    let failing = health.services.filter { $0.status == "unhealthy" }.map(\.name)
    var parts: [String] = []
    if !failing.isEmpty {
      // The reasons begin with the program's name.
      parts.append(
        health.reasons.first { reason in failing.contains { reason.hasPrefix($0) } } ?? list(failing) + " failing")
    }
    if !starting.isEmpty { parts.append("starting \(list(starting))") }
    if !waiting.isEmpty { parts.append("then \(list(waiting))") }
    if parts.isEmpty { parts = [health.reasons.first ?? health.status] }
    return harmless(parts.joined(separator: "; "))
  }

  private static func list(_ names: [String]) -> String { names.joined(separator: ", ") }

  /// One role's part of the line.
  struct Part: Equatable, Sendable {
    enum State: Equatable, Sendable {
      case working
      case done
      case failed
    }

    var role: Role
    var state: State = .working
    var text: String
    /// Seconds since its start was asked for.
    var elapsed: Double
  }

  /// The line for a terminal, at most `width` columns.
  static func line(_ parts: [Part], _ style: Style) -> String {
    let texts = parts.map { "\($0.role.rawValue) \(seconds($0.elapsed)) \($0.text)" }
    let separator = "  |  "
    let room = style.width - 1 - separator.count * max(parts.count - 1, 0)
    let share = max(room / max(parts.count, 1), 12)
    // What one part does not need, the others may have.
    let spare = texts.map { max(share - $0.count, 0) }.reduce(0, +)
    let long = texts.count { $0.count > share }
    let limit = long == 0 ? share : share + spare / long
    return zip(parts, texts).map { part, text in
      let cut = text.count > limit ? String(text.prefix(max(limit - 1, 1))) + "…" : text
      let colour: Style.Colour? =
        switch part.state {
        case .working: nil
        case .done: .green
        case .failed: .red
        }
      return style.paint(cut, colour)
    }.joined(separator: separator)
  }

  /// `3.1 s`; from a minute on `1:23`.
  static func seconds(_ seconds: Double) -> String {
    let bounded = seconds.isFinite ? min(max(seconds, 0), 1e9) : 0
    guard bounded < 60 else {
      let whole = Int(bounded)
      let rest = whole % 60
      return "\(whole / 60):\(rest < 10 ? "0" : "")\(rest)"
    }
    let tenths = Int(bounded * 10)
    return "\(tenths / 10).\(tenths % 10) s"
  }
}
