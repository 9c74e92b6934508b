// Python's shlex in the two modes that supervisord uses: `shlex.split` for commands, and the old non-POSIX lexer for
// `environment=` (CPython 3.11 Lib/shlex.py `read_token`).

/// Why a text cannot be split.
enum ShellWordProblem: Error, Equatable {
  /// A quote is opened and never closed.
  case noClosingQuotation
  /// The text ends in a backslash.
  case noEscapedCharacter

  /// Python's words.
  var text: String {
    switch self {
    case .noClosingQuotation: "No closing quotation"
    case .noEscapedCharacter: "No escaped character"
    }
  }
}

/// `shlex.split(text)`: words as a shell would see them, without any other meaning of a shell.
func shellWords(_ text: String) throws(ShellWordProblem) -> [String] {
  var words: [String] = []
  var word: [UInt8] = []
  var hasWord = false
  var quote: UInt8?
  var bytes = Array(text.utf8)[...]
  while let byte = bytes.popFirst() {
    if let open = quote {
      if byte == open {
        quote = nil
      } else if byte == UInt8(ascii: "\\"), open == UInt8(ascii: "\"") {
        guard let escaped = bytes.popFirst() else { throw .noEscapedCharacter }
        if escaped != open, escaped != UInt8(ascii: "\\") { word.append(byte) }
        word.append(escaped)
      } else {
        word.append(byte)
      }
      continue
    }
    switch byte {
    case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"), UInt8(ascii: "\n"):
      if hasWord { words.append(String(decoding: word, as: UTF8.self)) }
      word = []
      hasWord = false
    case UInt8(ascii: "'"), UInt8(ascii: "\""):
      quote = byte
      hasWord = true
    case UInt8(ascii: "\\"):
      guard let escaped = bytes.popFirst() else { throw .noEscapedCharacter }
      word.append(escaped)
      hasWord = true
    default:
      word.append(byte)
      hasWord = true
    }
  }
  if quote != nil { throw .noClosingQuotation }
  if hasWord { words.append(String(decoding: word, as: UTF8.self)) }
  return words
}

/// The words as a person would type them: quoted where a shell would need it.
func shellQuoted(_ words: [String]) -> String {
  words.map { word in
    let isPlain =
      !word.isEmpty
      && word.utf8.allSatisfy { byte in
        byte >= 0x80 || (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
          || "_@%+=:,./-".utf8.contains(byte)
      }
    if isPlain { return word }
    return "'" + split(word, on: "'").joined(separator: "'\"'\"'") + "'"
  }.joined(separator: " ")
}
