// The few facts about bytes that HTTP and JSON need; no locale, no Unicode tables.

/// Named bytes and byte classes.
enum ASCII {
  static let tab: UInt8 = 0x09
  static let lineFeed: UInt8 = 0x0A
  static let carriageReturn: UInt8 = 0x0D
  static let space: UInt8 = 0x20
  static let quote: UInt8 = 0x22
  static let percent: UInt8 = 0x25
  static let comma: UInt8 = 0x2C
  static let minus: UInt8 = 0x2D
  static let dot: UInt8 = 0x2E
  static let slash: UInt8 = 0x2F
  static let zero: UInt8 = 0x30
  static let colon: UInt8 = 0x3A
  static let semicolon: UInt8 = 0x3B
  static let equals: UInt8 = 0x3D
  static let question: UInt8 = 0x3F
  static let backslash: UInt8 = 0x5C

  static func isDigit(_ byte: UInt8) -> Bool { byte >= 0x30 && byte <= 0x39 }

  static func isLetter(_ byte: UInt8) -> Bool {
    let lower = byte | 0x20
    return lower >= 0x61 && lower <= 0x7A
  }

  /// The value of a hexadecimal digit.
  static func hexValue(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 0x30...0x39: byte &- 0x30
    case 0x41...0x46: byte &- 0x37
    case 0x61...0x66: byte &- 0x57
    default: nil
    }
  }

  /// The hexadecimal digit of the low four bits, in upper case.
  static func hexDigit(_ value: UInt8) -> UInt8 {
    let nibble = value & 0x0F
    return nibble < 10 ? 0x30 &+ nibble : 0x37 &+ nibble
  }

  /// RFC 9110 section 5.6.2: what a method or a field name consists of.
  static func isTokenByte(_ byte: UInt8) -> Bool {
    if isDigit(byte) || isLetter(byte) { return true }
    switch byte {
    case 0x21, 0x23, 0x24, 0x25, 0x26, 0x27, 0x2A, 0x2B, 0x2D, 0x2E, 0x5E, 0x5F, 0x60, 0x7C, 0x7E: return true
    default: return false
    }
  }

  /// RFC 9110 section 5.5: visible characters, obs-text, space and tab.
  static func isFieldValueByte(_ byte: UInt8) -> Bool { byte == tab || (byte >= 0x20 && byte != 0x7F) }

  /// Lower case of a letter; any other byte as it is.
  static func lower(_ byte: UInt8) -> UInt8 { byte >= 0x41 && byte <= 0x5A ? byte | 0x20 : byte }

  /// Whether two texts are the same but for the case of ASCII letters.
  static func equalIgnoringCase(_ a: String, _ b: String) -> Bool {
    a.utf8.count == b.utf8.count && zip(a.utf8, b.utf8).allSatisfy { lower($0) == lower($1) }
  }

  /// Without spaces and tabs at both ends.
  static func trimmed(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    var rest = bytes
    while let first = rest.first, first == space || first == tab { rest = rest.dropFirst() }
    while let last = rest.last, last == space || last == tab { rest = rest.dropLast() }
    return rest
  }

  /// A number of decimal digits and nothing else. `.max` when it is larger than an Int can be; nil when it is no number.
  static func decimal(_ bytes: some Collection<UInt8>) -> Int? {
    guard !bytes.isEmpty else { return nil }
    var value = 0
    var saturated = false
    for byte in bytes {
      guard isDigit(byte) else { return nil }
      let (tens, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) = tens.addingReportingOverflow(Int(byte &- zero))
      if overflow || carry { saturated = true } else { value = sum }
    }
    return saturated ? .max : value
  }
}

/// RFC 3986 percent-encoding.
public enum PercentEncoding {
  /// The decoded text; nil for a broken escape, an escaped NUL, or bytes that are not UTF-8. `+` is a plus sign.
  public static func decode(_ bytes: some Collection<UInt8>) -> String? {
    var decoded: [UInt8] = []
    decoded.reserveCapacity(bytes.count)
    var iterator = bytes.makeIterator()
    while let byte = iterator.next() {
      guard byte == ASCII.percent else {
        decoded.append(byte)
        continue
      }
      guard let high = iterator.next().flatMap(ASCII.hexValue), let low = iterator.next().flatMap(ASCII.hexValue)
      else { return nil }
      decoded.append(high << 4 | low)
    }
    guard !decoded.contains(0) else { return nil }
    return String(validating: decoded, as: UTF8.self)
  }

  /// Everything but RFC 3986's unreserved characters escaped; `:` and `*` stay, which are legal in a path segment and
  /// frequent in program names.
  public static func encode(_ text: String) -> String {
    var encoded: [UInt8] = []
    for byte in text.utf8 {
      switch byte {
      case ASCII.minus, ASCII.dot, 0x5F, 0x7E, ASCII.colon, 0x2A: encoded.append(byte)
      case _ where ASCII.isDigit(byte) || ASCII.isLetter(byte): encoded.append(byte)
      default:
        encoded.append(ASCII.percent)
        encoded.append(ASCII.hexDigit(byte >> 4))
        encoded.append(ASCII.hexDigit(byte))
      }
    }
    return String(decoding: encoded, as: UTF8.self)
  }
}
