// Shows progress on standard error: a live line on a terminal, a line for each change elsewhere, nothing when asked for quiet.

import CommandOutput

/// What several roles do at the same time, on one line.
actor ProgressBoard {
  private let style: Style
  private let isQuiet: Bool
  private let clock = ContinuousClock()
  private var parts: [Progress.Part] = []
  private var began: [Role: ContinuousClock.Instant] = [:]
  /// What was written where there is no live line: a state that comes and goes is news once.
  private var told: Set<String> = []
  private var isDrawn = false

  init(_ style: Style, quiet: Bool) {
    self.style = style
    isQuiet = quiet
  }

  /// What a role does now. Its time runs from the first call on.
  func set(_ role: Role, _ state: Progress.Part.State = .working, _ text: String) {
    let text = harmless(text)
    let start = began[role] ?? clock.now
    began[role] = start
    let part = Progress.Part(role: role, state: state, text: text, elapsed: elapsed(role))
    let index = parts.firstIndex { $0.role == role }
    if let index { parts[index] = part } else { parts.append(part) }
    guard !isQuiet else { return }
    if style.isTerminal {
      draw()
    } else if told.insert("\(role.rawValue): \(text)").inserted {
      Output.note("\(role.rawValue): \(text)")
    }
  }

  /// Lets the time run until the task is cancelled.
  func tick() async {
    guard style.isTerminal && !isQuiet else { return }
    while !Task.isCancelled {
      draw()
      try? await Task.sleep(for: .milliseconds(100))
    }
  }

  /// Takes the live line away, so that others can write.
  func clear() {
    parts = []
    guard isDrawn else { return }
    // To the line's beginning, and what is there erased (ECMA-48 EL).
    Output.write(Array("\r\u{1B}[K".utf8), to: 2)
    isDrawn = false
  }

  /// Seconds since the role's first call of `set`.
  func elapsed(_ role: Role) -> Double {
    guard let start = began[role] else { return 0 }
    let parts = start.duration(to: clock.now).components
    return Double(parts.seconds) + Double(parts.attoseconds) / 1e18
  }

  private func draw() {
    guard !parts.isEmpty else { return }
    for index in parts.indices where parts[index].state == .working {
      parts[index].elapsed = elapsed(parts[index].role)
    }
    Output.write(Array("\r\(Progress.line(parts, style))\u{1B}[K".utf8), to: 2)
    isDrawn = true
  }
}
