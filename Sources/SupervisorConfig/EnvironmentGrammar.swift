// `environment=A=b,C="d e"`: supervisord's `dict_of_key_value_pairs` (supervisor/datatypes.py 4.3.0) over Python's
// shlex.

/// What an `environment=` says.
struct EnvironmentPairs: Equatable {
  /// Names and values in the order of writing, each name once.
  var pairs: [(name: String, value: String)] = []
  /// Tokens where a comma should stand: supervisord drops them without a word.
  var dropped: [String] = []

  static func == (a: EnvironmentPairs, b: EnvironmentPairs) -> Bool {
    a.dropped == b.dropped && a.pairs.elementsEqual(b.pairs) { $0.name == $1.name && $0.value == $1.value }
  }

  fileprivate mutating func set(_ name: String, _ value: String) {
    if let index = pairs.firstIndex(where: { $0.name == name }) {
      pairs[index].value = value
    } else {
      pairs.append((name, value))
    }
  }
}

/// Why an `environment=` is none.
enum EnvironmentProblem: Error, Equatable {
  /// The pairs do not come out even.
  case unevenPairs
  /// The quotes do not.
  case words(ShellWordProblem)
}

/// Reads an `environment=`. supervisord 4.3's rules come first; a text that they refuse is read by 4.4's, which know
/// backslashes inside of quotes. So every text that 4.3 accepts keeps its meaning.
func environmentPairs(_ text: String) throws(EnvironmentProblem) -> EnvironmentPairs {
  do {
    return try pairs(of: try EnvironmentLexer.tokens(of: text, posix: false), legacy: true)
  } catch {
    guard let newer = try? pairs(of: try EnvironmentLexer.tokens(of: text, posix: true), legacy: false) else {
      throw error
    }
    return newer
  }
}

/// Strides of four: name, `=`, value, and something that ought to be a comma.
private func pairs(of tokens: [String], legacy: Bool) throws(EnvironmentProblem) -> EnvironmentPairs {
  var result = EnvironmentPairs()
  var index = 0
  while index < tokens.count {
    guard index + 2 < tokens.count, tokens[index + 1] == "=" else { throw .unevenPairs }
    let value = tokens[index + 2]
    result.set(tokens[index], legacy ? withoutQuotes(value) : value)
    if index + 3 < tokens.count, tokens[index + 3] != "," { result.dropped.append(tokens[index + 3]) }
    index += 4
  }
  return result
}

/// `value.strip('\'"')`.
private func withoutQuotes(_ text: String) -> String {
  var bytes = Array(text.utf8)[...]
  while let first = bytes.first, first == UInt8(ascii: "'") || first == UInt8(ascii: "\"") { bytes = bytes.dropFirst() }
  while let last = bytes.last, last == UInt8(ascii: "'") || last == UInt8(ascii: "\"") { bytes = bytes.dropLast() }
  return String(decoding: bytes, as: UTF8.self)
}

/// `shlex.shlex(text, posix=…)` with `wordchars += '/.+-():'`.
private struct EnvironmentLexer {
  private let text: [Unicode.Scalar]
  private let posix: Bool
  private var index = 0
  private var state = State.space
  /// A punctuation character that ended a word and is the next token itself.
  private var pushedBack: String?

  private enum State: Equatable {
    case end
    case space
    case word
    case quote(Unicode.Scalar)
    /// After a backslash, inside of a quote (nil: inside of a word).
    case escape(Unicode.Scalar?)
  }

  static func tokens(of text: String, posix: Bool) throws(EnvironmentProblem) -> [String] {
    var lexer = EnvironmentLexer(text: Array(text.unicodeScalars), posix: posix)
    var tokens: [String] = []
    while let token = try lexer.next() { tokens.append(token) }
    return tokens
  }

  private init(text: [Unicode.Scalar], posix: Bool) {
    self.text = text
    self.posix = posix
  }

  private mutating func read() -> Unicode.Scalar? {
    guard index < text.count else { return nil }
    index += 1
    return text[index - 1]
  }

  /// A `#` outside of quotes drops the rest of its line.
  private mutating func skipLine() {
    while index < text.count, text[index] != "\n" { index += 1 }
    index = min(index + 1, text.count)
  }

  private mutating func next() throws(EnvironmentProblem) -> String? {
    if let token = pushedBack {
      pushedBack = nil
      return token
    }
    var token = String.UnicodeScalarView()
    var wasQuoted = false
    reading: while true {
      let scalar = read()
      switch state {
      case .end: break reading
      case .space:
        guard let scalar else {
          state = .end
          break reading
        }
        if isSpace(scalar) {
          if !token.isEmpty || (posix && wasQuoted) { break reading }
        } else if scalar == "#" {
          skipLine()
        } else if posix && scalar == "\\" {
          state = .escape(nil)
        } else if isWordCharacter(scalar) {
          token = String.UnicodeScalarView([scalar])
          state = .word
        } else if scalar == "'" || scalar == "\"" {
          if !posix { token = String.UnicodeScalarView([scalar]) }
          state = .quote(scalar)
        } else {
          token = String.UnicodeScalarView([scalar])
          break reading
        }
      case .quote(let open):
        wasQuoted = true
        guard let scalar else { throw .words(.noClosingQuotation) }
        if scalar == open {
          if posix {
            state = .word
          } else {
            token.append(scalar)
            state = .space
            break reading
          }
        } else if posix && scalar == "\\" && open == "\"" {
          state = .escape(open)
        } else {
          token.append(scalar)
        }
      case .escape(let open):
        guard let scalar else { throw .words(.noEscapedCharacter) }
        if let open, scalar != "\\", scalar != open { token.append("\\") }
        token.append(scalar)
        state = open.map { .quote($0) } ?? .word
      case .word:
        guard let scalar else {
          state = .end
          break reading
        }
        if isSpace(scalar) {
          state = .space
          if !token.isEmpty || (posix && wasQuoted) { break reading }
        } else if scalar == "#" {
          skipLine()
          if posix {
            state = .space
            if !token.isEmpty || wasQuoted { break reading }
          }
        } else if posix && (scalar == "'" || scalar == "\"") {
          state = .quote(scalar)
        } else if posix && scalar == "\\" {
          state = .escape(nil)
        } else if isWordCharacter(scalar) || scalar == "'" || scalar == "\"" {
          token.append(scalar)
        } else {
          pushedBack = String(scalar)
          state = .space
          if !token.isEmpty || (posix && wasQuoted) { break reading }
        }
      }
    }
    if token.isEmpty && !(posix && wasQuoted) { return nil }
    return String(token)
  }

  private func isSpace(_ scalar: Unicode.Scalar) -> Bool {
    scalar == " " || scalar == "\t" || scalar == "\r" || scalar == "\n"
  }

  private func isWordCharacter(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar {
    case "a"..."z", "A"..."Z", "0"..."9", "_", "/", ".", "+", "-", "(", ")", ":": true
    // Latin-1's letters, in POSIX mode only.
    case "\u{DF}"..."\u{F6}", "\u{F8}"..."\u{FF}", "\u{C0}"..."\u{D6}", "\u{D8}"..."\u{DE}": posix
    default: false
    }
  }
}
