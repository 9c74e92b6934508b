// Writing to standard output and standard error: whole, unbuffered, and coloured only where somebody looks at it.

@preconcurrency import Glibc

/// Where the command's words go.
enum Output {
  /// A line of text.
  static func line(_ text: String) { write(Array("\(text)\n".utf8), to: STDOUT_FILENO) }

  /// Bytes as they are.
  static func bytes(_ bytes: [UInt8]) { write(bytes, to: STDOUT_FILENO) }

  /// A line for people on standard error, with the command's name in front.
  static func error(_ text: String) {
    let named = text.hasPrefix("hivesup") || text.hasPrefix("Error:") ? text : "hivesup: \(text)"
    write(Array("\(named)\n".utf8), to: STDERR_FILENO)
  }

  /// Writes everything, however often the kernel takes only a part. A full non-blocking terminal is waited for.
  static func write(_ bytes: [UInt8], to descriptor: Int32) {
    var sent = 0
    while sent < bytes.count {
      let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress.map { $0 + sent }, $0.count - sent) }
      if count >= 0 {
        sent += count
      } else if errno == EAGAIN {
        var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        _ = poll(&waiting, 1, 1000)
      } else if errno != EINTR {
        return
      }
    }
  }
}

/// How text may look.
struct Style {
  /// Whether standard output is a terminal: tables are for people, lines for programs.
  var isTerminal: Bool
  /// Whether escape sequences for colour are written.
  var hasColour: Bool
  /// The terminal's width in columns.
  var width: Int

  /// As standard output is. NO_COLOR (no-color.org) and TERM=dumb switch colour off.
  static func current() -> Style {
    let terminal = isatty(STDOUT_FILENO) == 1
    let plain = environmentValue("NO_COLOR").map { !$0.isEmpty } ?? false
    var size = winsize()
    let known = terminal && ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0
    return Style(
      isTerminal: terminal, hasColour: terminal && !plain && environmentValue("TERM") != "dumb",
      width: known ? Int(size.ws_col) : 80)
  }

  enum Colour: Int {
    case red = 31
    case green = 32
    case yellow = 33
    case grey = 90
  }

  func paint(_ text: String, _ colour: Colour?) -> String {
    guard hasColour, let colour, !text.isEmpty else { return text }
    return "\u{1B}[\(colour.rawValue)m\(text)\u{1B}[0m"
  }
}

/// A table whose columns are as wide as their widest cell; the last one takes what is left of the line.
struct Table {
  /// A cell's text and its colour.
  struct Cell {
    var text: String
    var colour: Style.Colour?

    init(_ text: String, _ colour: Style.Colour? = nil) {
      self.text = text
      self.colour = colour
    }
  }

  private let headings: [String]
  private var rows: [[Cell]] = []

  init(_ headings: [String]) { self.headings = headings }

  mutating func add(_ cells: [Cell]) { rows.append(cells) }

  /// The lines, each without spaces at its end.
  func lines(_ style: Style) -> [String] {
    let all = [headings.map { Cell($0, .grey) }] + rows
    let widths = headings.indices.map { column in
      all.map { $0.indices.contains(column) ? $0[column].text.count : 0 }.max() ?? 0
    }
    return all.map { row in
      var line = ""
      var used = 0
      for (column, cell) in row.enumerated() {
        let isLast = column == row.count - 1
        var text = cell.text
        if isLast && style.isTerminal && used + text.count > style.width {
          text = String(text.prefix(max(style.width - used - 1, 8))) + "…"
        }
        line += style.paint(text, cell.colour)
        guard !isLast else { continue }
        let gap = max(widths[column] - cell.text.count, 0) + 2
        line += String(repeating: " ", count: gap)
        used += cell.text.count + gap
      }
      while line.hasSuffix(" ") { line.removeLast() }
      return line
    }
  }
}

/// Text of another process on its way to a terminal: control characters, which could move the cursor or change colours, as `?`.
func harmless(_ text: String) -> String {
  String(
    String.UnicodeScalarView(text.unicodeScalars.map { $0.value < 0x20 || (0x7F..<0xA0).contains($0.value) ? "?" : $0 })
  )
}

/// A variable of the environment; nil when it is not set.
func environmentValue(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

/// The kernel's text for an errno.
func errorText(_ number: Int32) -> String { strerror(number).map { String(cString: $0) } ?? "error \(number)" }
