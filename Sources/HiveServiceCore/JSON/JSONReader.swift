/// Why a text is not JSON, in the words and with the positions of Python's `json.JSONDecodeError`, which FastAPI passes
/// on to its clients.
struct JSONSyntaxError: Error, Hashable {
  /// e.g. `Expecting value`.
  var message: String
  /// Counted in code points from zero.
  var position: Int
}

/// Reads JSON (RFC 8259) as Python's `json` does, without its extensions `NaN` and `Infinity`, which `jsonb` refuses.
struct JSONReader {
  /// A text that is JSON but cannot be used.
  enum Refusal: Error, Hashable {
    /// Not UTF-8.
    case encoding
    /// More than `maximumDepth` arrays and objects inside each other.
    case depth
  }

  static let maximumDepth = 256

  private let scalars: [Unicode.Scalar]
  private var position = 0
  private var depth = 0

  private init(_ scalars: [Unicode.Scalar]) { self.scalars = scalars }

  /// Throws `JSONSyntaxError` or `Refusal`. A byte order mark in front is skipped.
  static func read(_ bytes: some Collection<UInt8>) throws -> JSONValue {
    guard let text = String(validating: bytes, as: UTF8.self) else { throw Refusal.encoding }
    var scalars = Array(text.unicodeScalars)
    if scalars.first == "\u{FEFF}" { scalars.removeFirst() }
    var reader = JSONReader(scalars)
    reader.skipSpace()
    let value = try reader.readValue()
    reader.skipSpace()
    guard reader.position == scalars.count else { throw reader.error("Extra data") }
    return value
  }

  private var next: Unicode.Scalar? { position < scalars.count ? scalars[position] : nil }

  private func error(_ message: String, at position: Int? = nil) -> JSONSyntaxError {
    JSONSyntaxError(message: message, position: position ?? self.position)
  }

  private mutating func skipSpace() {
    while let next, next == " " || next == "\n" || next == "\t" || next == "\r" { position += 1 }
  }

  private mutating func readValue() throws -> JSONValue {
    switch next {
    case "\"": return .string(try readString())
    case "{": return try nested { try $0.readObject() }
    case "[": return try nested { try $0.readArray() }
    case "n" where take("null"): return .null
    case "t" where take("true"): return .bool(true)
    case "f" where take("false"): return .bool(false)
    default: return try readNumber()
    }
  }

  private mutating func take(_ word: String) -> Bool {
    let word = word.unicodeScalars
    guard scalars[position...].starts(with: word) else { return false }
    position += word.count
    return true
  }

  private mutating func nested(_ read: (inout JSONReader) throws -> JSONValue) throws -> JSONValue {
    guard depth < Self.maximumDepth else { throw Refusal.depth }
    depth += 1
    defer { depth -= 1 }
    position += 1
    skipSpace()
    return try read(&self)
  }

  private mutating func readObject() throws -> JSONValue {
    var object = JSONObject()
    if next == "}" {
      position += 1
      return .object(object)
    }
    while true {
      guard next == "\"" else { throw error("Expecting property name enclosed in double quotes") }
      let key = try readString()
      skipSpace()
      guard next == ":" else { throw error("Expecting ':' delimiter") }
      position += 1
      skipSpace()
      object[key] = try readValue()
      skipSpace()
      if next == "}" { break }
      guard next == "," else { throw error("Expecting ',' delimiter") }
      position += 1
      skipSpace()
    }
    position += 1
    return .object(object)
  }

  private mutating func readArray() throws -> JSONValue {
    var array: [JSONValue] = []
    if next == "]" {
      position += 1
      return .array(array)
    }
    while true {
      array.append(try readValue())
      skipSpace()
      if next == "]" { break }
      guard next == "," else { throw error("Expecting ',' delimiter") }
      position += 1
      skipSpace()
    }
    position += 1
    return .array(array)
  }

  private mutating func readNumber() throws -> JSONValue {
    let start = position
    var text = String.UnicodeScalarView()

    func digits(from index: Int) -> ArraySlice<Unicode.Scalar> {
      scalars[index...].prefix { ("0"..."9").contains($0) }
    }

    var end = start
    if next == "-" { end += 1 }
    let whole = digits(from: end)
    guard let first = whole.first else { throw error("Expecting value", at: start) }
    // A leading zero is a number by itself; what follows it is then extra data.
    end += first == "0" ? 1 : whole.count
    if end < scalars.count, scalars[end] == "." {
      let fraction = digits(from: end + 1)
      if !fraction.isEmpty { end = fraction.endIndex }
    }
    if end < scalars.count, scalars[end] == "e" || scalars[end] == "E" {
      var exponent = end + 1
      if exponent < scalars.count, scalars[exponent] == "+" || scalars[exponent] == "-" { exponent += 1 }
      let power = digits(from: exponent)
      if !power.isEmpty { end = power.endIndex }
    }
    text.append(contentsOf: scalars[start..<end])
    position = end
    return .number(String(text))
  }

  private mutating func readString() throws -> String {
    let start = position
    position += 1
    var text = String.UnicodeScalarView()
    while true {
      guard let scalar = next else { throw error("Unterminated string starting at", at: start) }
      switch scalar {
      case "\"":
        position += 1
        return String(text)
      case "\\":
        text.append(try readEscape(stringStart: start))
      case _ where scalar.value < 0x20:
        throw error("Invalid control character at")
      default:
        text.append(scalar)
        position += 1
      }
    }
  }

  private mutating func readEscape(stringStart: Int) throws -> Unicode.Scalar {
    let start = position
    position += 1
    guard let letter = next else { throw error("Unterminated string starting at", at: stringStart) }
    position += 1
    switch letter {
    case "\"", "\\", "/": return letter
    case "b": return "\u{8}"
    case "f": return "\u{C}"
    case "n": return "\n"
    case "r": return "\r"
    case "t": return "\t"
    case "u":
      let unit = try readHex()
      if let scalar = Unicode.Scalar(unit) { return scalar }
      // A surrogate needs its other half; alone it is no character, and neither text nor jsonb can hold it.
      if (0xD800...0xDBFF).contains(unit), scalars[position...].starts(with: "\\u".unicodeScalars) {
        position += 2
        let low = try readHex()
        if (0xDC00...0xDFFF).contains(low) {
          let value = 0x10000 + ((UInt32(unit) - 0xD800) << 10) + (UInt32(low) - 0xDC00)
          if let scalar = Unicode.Scalar(value) { return scalar }
        }
      }
      throw error("Unpaired surrogate in \\uXXXX escape", at: start)
    default:
      throw error("Invalid \\escape", at: start)
    }
  }

  /// Four hexadecimal digits; `position` is behind the `u`.
  private mutating func readHex() throws -> UInt16 {
    let digits = scalars[position...].prefix(4)
    guard digits.count == 4, digits.allSatisfy({ $0.isASCII && $0.properties.isASCIIHexDigit }),
      let unit = UInt16(String(String.UnicodeScalarView(digits)), radix: 16)
    else { throw error("Invalid \\uXXXX escape", at: position - 1) }
    position += 4
    return unit
  }
}
