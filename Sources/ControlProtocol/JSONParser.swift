// Parsing JSON text exactly as RFC 8259 defines it, within bounds. Strings must be UTF-8; half a surrogate pair in an escape,
// which the grammar allows and Unicode does not, becomes U+FFFD. A byte order mark is refused.

/// Why a text is not JSON.
public struct JSONError: Error, Equatable, Sendable {
  /// At which byte, from 0.
  public var offset: Int
  /// What is wrong there.
  public var reason: String

  /// The sentence for people.
  public var message: String { "cannot read JSON: \(reason) at byte \(offset)" }
}

extension JSONValue {
  /// The value of a JSON text.
  /// - Parameters:
  ///   - bytes: the text, with nothing but white space around the value.
  ///   - maximumDepth: how deep arrays and objects may nest.
  ///   - maximumBytes: how long the text may be.
  /// - Throws: where it is not JSON or exceeds a bound.
  public init(
    parsing bytes: some Collection<UInt8>, maximumDepth: Int = 32, maximumBytes: Int = 1 << 20
  ) throws(JSONError) {
    guard bytes.count <= maximumBytes else {
      throw JSONError(offset: maximumBytes, reason: "more than \(maximumBytes) bytes")
    }
    var parser = JSONParser(bytes: Array(bytes), maximumDepth: maximumDepth)
    self = try parser.document()
  }
}

/// A recursive-descent parser; its recursion is bounded by `maximumDepth`.
private struct JSONParser {
  let bytes: [UInt8]
  let maximumDepth: Int
  var position = 0

  init(bytes: [UInt8], maximumDepth: Int) {
    self.bytes = bytes
    self.maximumDepth = maximumDepth
  }

  mutating func document() throws(JSONError) -> JSONValue {
    let value = try value(depth: 0)
    skipSpace()
    guard position == bytes.count else { throw unexpected("text after the value") }
    return value
  }

  private var current: UInt8? { position < bytes.count ? bytes[position] : nil }

  private func unexpected(_ reason: String) -> JSONError {
    JSONError(offset: position, reason: position < bytes.count ? reason : "unexpected end")
  }

  private mutating func skipSpace() {
    while let byte = current, byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D { position += 1 }
  }

  /// Steps over this byte if it is next.
  private mutating func accept(_ byte: UInt8) -> Bool {
    guard current == byte else { return false }
    position += 1
    return true
  }

  private mutating func value(depth: Int) throws(JSONError) -> JSONValue {
    skipSpace()
    switch current {
    case 0x7B: return try object(depth: depth)
    case 0x5B: return try array(depth: depth)
    case ASCII.quote: return .string(try string())
    case 0x74: return try word("true", .bool(true))
    case 0x66: return try word("false", .bool(false))
    case 0x6E: return try word("null", .null)
    case .some(let byte) where byte == ASCII.minus || ASCII.isDigit(byte): return try number()
    default: throw unexpected("unexpected character")
    }
  }

  private mutating func word(_ text: String, _ value: JSONValue) throws(JSONError) -> JSONValue {
    guard bytes[position...].starts(with: text.utf8) else { throw unexpected("unknown word") }
    position += text.utf8.count
    return value
  }

  private mutating func object(depth: Int) throws(JSONError) -> JSONValue {
    guard depth < maximumDepth else { throw unexpected("nested too deeply") }
    position += 1
    var members: [JSONValue.Member] = []
    skipSpace()
    if accept(0x7D) { return .object(members) }
    while true {
      skipSpace()
      guard current == ASCII.quote else { throw unexpected("a member's name is missing") }
      let name = try string()
      skipSpace()
      guard accept(ASCII.colon) else { throw unexpected("a colon is missing") }
      members.append(JSONValue.Member(name, try value(depth: depth + 1)))
      skipSpace()
      if accept(0x7D) { return .object(members) }
      guard accept(ASCII.comma) else { throw unexpected("a comma is missing") }
    }
  }

  private mutating func array(depth: Int) throws(JSONError) -> JSONValue {
    guard depth < maximumDepth else { throw unexpected("nested too deeply") }
    position += 1
    var elements: [JSONValue] = []
    skipSpace()
    if accept(0x5D) { return .array(elements) }
    while true {
      elements.append(try value(depth: depth + 1))
      skipSpace()
      if accept(0x5D) { return .array(elements) }
      guard accept(ASCII.comma) else { throw unexpected("a comma is missing") }
    }
  }

  private mutating func digits() throws(JSONError) {
    guard let first = current, ASCII.isDigit(first) else { throw unexpected("a digit is missing") }
    while let byte = current, ASCII.isDigit(byte) { position += 1 }
  }

  private mutating func number() throws(JSONError) -> JSONValue {
    let start = position
    let negative = accept(ASCII.minus)
    if accept(ASCII.zero) {
      if let byte = current, ASCII.isDigit(byte) { throw unexpected("a number begins with 0") }
    } else {
      try digits()
    }
    var whole = true
    if accept(ASCII.dot) {
      whole = false
      try digits()
    }
    if accept(0x65) || accept(0x45) {
      whole = false
      if !accept(0x2B) { _ = accept(ASCII.minus) }
      try digits()
    }
    let text = String(decoding: bytes[start..<position], as: UTF8.self)
    // -0 is a Double: an Int64 would lose the sign.
    if whole, let integer = Int64(text), !(integer == 0 && negative) { return .int(integer) }
    guard let double = Double(text), double.isFinite else {
      throw JSONError(offset: start, reason: "a number is out of range")
    }
    return .double(double)
  }

  private mutating func string() throws(JSONError) -> String {
    position += 1
    let start = position
    var text: [UInt8] = []
    while let byte = current {
      position += 1
      switch byte {
      case ASCII.quote:
        guard let string = String(validating: text, as: UTF8.self) else {
          throw JSONError(offset: start, reason: "a string is not UTF-8")
        }
        return string
      case ASCII.backslash: try escape(into: &text)
      case 0..<0x20:
        position -= 1
        throw unexpected("a control character in a string")
      default: text.append(byte)
      }
    }
    throw unexpected("a string has no end")
  }

  private mutating func escape(into text: inout [UInt8]) throws(JSONError) {
    guard let letter = current else { throw unexpected("a string has no end") }
    position += 1
    switch letter {
    case ASCII.quote, ASCII.backslash, ASCII.slash: text.append(letter)
    case 0x62: text.append(0x08)
    case 0x66: text.append(0x0C)
    case 0x6E: text.append(ASCII.lineFeed)
    case 0x72: text.append(ASCII.carriageReturn)
    case 0x74: text.append(ASCII.tab)
    case 0x75:
      let scalar = try unicodeEscape()
      text.append(contentsOf: Character(scalar).utf8)
    default:
      position -= 1
      throw unexpected("an unknown escape")
    }
  }

  private mutating func unicodeEscape() throws(JSONError) -> Unicode.Scalar {
    let replacement: Unicode.Scalar = "\u{FFFD}"
    let unit = try fourDigits()
    guard unit >= 0xD800 && unit <= 0xDFFF else { return Unicode.Scalar(unit) ?? replacement }
    guard unit <= 0xDBFF, bytes[position...].starts(with: "\\u".utf8) else { return replacement }
    let before = position
    position += 2
    let low = try fourDigits()
    guard low >= 0xDC00 && low <= 0xDFFF else {
      // Not its other half: this one is replaced, and the next is read by itself.
      position = before
      return replacement
    }
    return Unicode.Scalar(0x10000 + (UInt32(unit) - 0xD800) << 10 + (UInt32(low) - 0xDC00)) ?? replacement
  }

  private mutating func fourDigits() throws(JSONError) -> UInt16 {
    var unit: UInt16 = 0
    for _ in 0..<4 {
      guard let digit = current.flatMap(ASCII.hexValue) else { throw unexpected("a \\u escape needs four digits") }
      unit = unit << 4 | UInt16(digit)
      position += 1
    }
    return unit
  }
}
