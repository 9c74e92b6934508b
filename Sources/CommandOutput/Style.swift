// How text looks: coloured only where somebody looks at it, cut to the terminal's width.

@preconcurrency import Glibc

/// How text may look on a descriptor.
package struct Style: Sendable {
  /// Whether it is a terminal: tables are for people, lines for programs.
  package var isTerminal: Bool
  /// Whether escape sequences for colour are written.
  package var hasColour: Bool
  /// The terminal's width in columns.
  package var width: Int

  /// A style.
  package init(isTerminal: Bool, hasColour: Bool, width: Int) {
    self.isTerminal = isTerminal
    self.hasColour = hasColour
    self.width = width
  }

  /// As a descriptor is. NO_COLOR (no-color.org) and TERM=dumb switch colour off.
  package static func of(_ descriptor: Int32) -> Style {
    let terminal = isatty(descriptor) == 1
    let plain = environmentValue("NO_COLOR").map { !$0.isEmpty } ?? false
    var size = winsize()
    let known = terminal && ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0
    return Style(
      isTerminal: terminal, hasColour: terminal && !plain && environmentValue("TERM") != "dumb",
      width: known ? Int(size.ws_col) : 80)
  }

  /// As standard output is.
  package static func current() -> Style { of(STDOUT_FILENO) }

  /// The colours of ECMA-48 that mean something here.
  package enum Colour: Int, Sendable {
    case red = 31
    case green = 32
    case yellow = 33
    case grey = 90
  }

  /// The text in a colour, where colours are written.
  package func paint(_ text: String, _ colour: Colour?) -> String {
    guard hasColour, let colour, !text.isEmpty else { return text }
    return "\u{1B}[\(colour.rawValue)m\(text)\u{1B}[0m"
  }
}
