// Texts byte by byte. Swift's own operations work on characters, where a combining mark after a comma or a slash makes
// another character of it; the file format, the kernel and Python know no such thing.

extension String {
  /// Whether the first bytes are these.
  func begins(with prefix: String) -> Bool { utf8.starts(with: prefix.utf8) }

  /// Whether the last bytes are these.
  func ends(with suffix: String) -> Bool { utf8.reversed().starts(with: suffix.utf8.reversed()) }

  /// Whether these bytes occur in it.
  func contains(bytesOf needle: String) -> Bool {
    var rest = utf8[...]
    while true {
      if rest.starts(with: needle.utf8) { return true }
      if rest.popFirst() == nil { return false }
    }
  }

  /// Without so many bytes at the beginning. They must be ASCII for the rest to stay a text.
  func dropping(first count: Int) -> String { String(decoding: Array(utf8.dropFirst(count)), as: UTF8.self) }

  /// Without so many bytes at the end. They must be ASCII for the rest to stay a text.
  func dropping(last count: Int) -> String { String(decoding: Array(utf8.dropLast(count)), as: UTF8.self) }
}

/// `text.split(separator)`, with an ASCII separator.
func split(_ text: String, on separator: Unicode.Scalar, maxSplits: Int = .max) -> [String] {
  let byte = UInt8(truncatingIfNeeded: separator.value)
  return text.utf8.split(separator: byte, maxSplits: maxSplits, omittingEmptySubsequences: false).map { part in
    String(decoding: Array(part), as: UTF8.self)
  }
}
