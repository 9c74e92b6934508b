// The parts of Python's text model that supervisord's file format rests on: which characters are white space, what
// `int()` reads, and how `repr()` quotes.

/// How many bytes of white space (Python's `str.isspace`) begin at `index`; 0 when none do. `bytes` is valid UTF-8.
func whitespaceLength<Bytes: RandomAccessCollection>(_ bytes: Bytes, at index: Int) -> Int
where Bytes.Element == UInt8, Bytes.Index == Int {
  guard index < bytes.endIndex else { return 0 }
  let first = bytes[index]
  if first < 0x80 { return isASCIIWhitespace(first) ? 1 : 0 }
  // U+0085, U+00A0: C2 85, C2 A0.
  if first == 0xC2 {
    guard index + 1 < bytes.endIndex else { return 0 }
    return bytes[index + 1] == 0x85 || bytes[index + 1] == 0xA0 ? 2 : 0
  }
  guard first == 0xE1 || first == 0xE2 || first == 0xE3, index + 2 < bytes.endIndex else { return 0 }
  let second = bytes[index + 1]
  let third = bytes[index + 2]
  switch (first, second) {
  case (0xE1, 0x9A): return third == 0x80 ? 3 : 0  // U+1680
  case (0xE2, 0x80): return (0x80...0x8A).contains(third) || third == 0xA8 || third == 0xA9 || third == 0xAF ? 3 : 0
  case (0xE2, 0x81): return third == 0x9F ? 3 : 0  // U+205F
  case (0xE3, 0x80): return third == 0x80 ? 3 : 0  // U+3000
  default: return 0
  }
}

/// How many bytes of white space end just before `index`; 0 when none do.
func whitespaceLength<Bytes: RandomAccessCollection>(_ bytes: Bytes, before index: Int) -> Int
where Bytes.Element == UInt8, Bytes.Index == Int {
  for length in 1...3 {
    let start = index - length
    guard start >= bytes.startIndex else { return 0 }
    if whitespaceLength(bytes, at: start) == length { return length }
    if bytes[start] < 0x80 || bytes[start] >= 0xC0 { return 0 }
  }
  return 0
}

/// Python's ASCII white space: the usual six and the four separators U+001C…U+001F.
func isASCIIWhitespace(_ byte: UInt8) -> Bool {
  byte == 0x20 || (0x09...0x0D).contains(byte) || (0x1C...0x1F).contains(byte)
}

/// `str.strip()`.
func stripped(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
  var start = bytes.startIndex
  var end = bytes.endIndex
  while start < end {
    let length = whitespaceLength(bytes, at: start)
    if length == 0 { break }
    start += length
  }
  while end > start {
    let length = whitespaceLength(bytes, before: end)
    if length == 0 { break }
    end -= length
  }
  return start < end ? bytes[start..<end] : bytes[start..<start]
}

/// `str.strip()`.
func stripped(_ text: String) -> String {
  let bytes = Array(text.utf8)
  guard let first = bytes.first, let last = bytes.last else { return text }
  if first > 0x20 && first < 0x80 && last > 0x20 && last < 0x80 { return text }
  return String(decoding: stripped(bytes[...]), as: UTF8.self)
}

/// Lower case; ASCII, which nearly all of it is, without Unicode's tables.
func lowercased(_ bytes: ArraySlice<UInt8>) -> String {
  if bytes.allSatisfy({ $0 < 0x80 }) {
    return String(decoding: bytes.map { (0x41...0x5A).contains($0) ? $0 | 0x20 : $0 }, as: UTF8.self)
  }
  return String(decoding: bytes, as: UTF8.self).lowercased()
}

/// What Python's `int(text, base)` made of a text.
enum PythonInteger: Equatable {
  /// A number.
  case value(Int)
  /// A number that 64 bits cannot hold.
  case outOfRange
  /// Not a number.
  case invalid
}

/// Python's `int(text, base)`: white space around, a sign, digits with single underscores between them, and in base 8
/// an optional `0o`.
func pythonInteger(_ text: String, base: Int = 10) -> PythonInteger {
  var digits = stripped(Array(text.utf8)[...])
  var negative = false
  if let sign = digits.first, sign == UInt8(ascii: "-") || sign == UInt8(ascii: "+") {
    negative = sign == UInt8(ascii: "-")
    digits = digits.dropFirst()
  }
  if base == 8, digits.count >= 2, digits[digits.startIndex] == UInt8(ascii: "0"),
    digits[digits.startIndex + 1] | 0x20 == UInt8(ascii: "o")
  {
    digits = digits.dropFirst(2)
    if digits.first == UInt8(ascii: "_") { digits = digits.dropFirst() }
  }
  guard !digits.isEmpty else { return .invalid }
  var value = 0
  var overflow = false
  var afterDigit = false
  for byte in digits {
    if byte == UInt8(ascii: "_") {
      guard afterDigit else { return .invalid }
      afterDigit = false
      continue
    }
    guard byte >= UInt8(ascii: "0"), Int(byte) - 0x30 < base else { return .invalid }
    afterDigit = true
    let (product, overflow1) = value.multipliedReportingOverflow(by: base)
    let (sum, overflow2) = product.addingReportingOverflow(Int(byte) - 0x30)
    overflow = overflow || overflow1 || overflow2
    value = overflow ? 0 : sum
  }
  guard afterDigit else { return .invalid }
  if overflow { return .outOfRange }
  return .value(negative ? 0 - value : value)
}

/// Python's `repr()` of a text: single quotes, or double ones when it contains single ones only.
func pythonRepresentation(_ text: String) -> String {
  let quote: Unicode.Scalar =
    text.unicodeScalars.contains("'") && !text.unicodeScalars.contains("\"") ? "\"" : "'"
  var result = String(quote)
  for scalar in text.unicodeScalars {
    switch scalar {
    case quote, "\\":
      result += "\\"
      result.unicodeScalars.append(scalar)
    case "\n": result += "\\n"
    case "\r": result += "\\r"
    case "\t": result += "\\t"
    default:
      if scalar.value < 0x20 || scalar.value == 0x7F || (0x80...0xA0).contains(scalar.value) || scalar.value == 0xAD {
        result += "\\x" + hexadecimal(scalar.value, digits: 2)
      } else {
        result.unicodeScalars.append(scalar)
      }
    }
  }
  result.unicodeScalars.append(quote)
  return result
}

/// Python's `ascii()` of a text: `repr()` with everything beyond ASCII escaped.
func pythonASCIIRepresentation(_ text: String) -> String {
  var result = ""
  for scalar in pythonRepresentation(text).unicodeScalars {
    if scalar.value < 0x80 {
      result.unicodeScalars.append(scalar)
    } else if scalar.value < 0x100 {
      result += "\\x" + hexadecimal(scalar.value, digits: 2)
    } else if scalar.value < 0x10000 {
      result += "\\u" + hexadecimal(scalar.value, digits: 4)
    } else {
      result += "\\U" + hexadecimal(scalar.value, digits: 8)
    }
  }
  return result
}

/// `value` in base 16, lower case, with at least `digits` digits.
func hexadecimal(_ value: UInt32, digits: Int) -> String {
  let text = String(value, radix: 16)
  return String(repeating: "0", count: max(0, digits - text.utf8.count)) + text
}

/// Python's order of texts: by code point. (Swift's own `<` compares canonical equivalents.)
func precedes(_ a: String, _ b: String) -> Bool { a.utf8.lexicographicallyPrecedes(b.utf8) }
