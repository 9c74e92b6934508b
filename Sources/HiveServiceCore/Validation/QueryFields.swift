/// Reads a request's query string and collects everything that is wrong with it. Of a name that is given several times
/// the last value counts; unknown names are ignored.
struct QueryFields {
  private var values: [String: String] = [:]
  private(set) var issues: [ValidationIssue] = []

  /// `query` is what follows `?`, encoded as `application/x-www-form-urlencoded`.
  init(_ query: String?) {
    for pair in (query ?? "").utf8.split(separator: UInt8(ascii: "&")) {
      let parts = pair.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
      values[PercentEncoding.decode(parts[0], plusIsSpace: true)] =
        parts.count > 1 ? PercentEncoding.decode(parts[1], plusIsSpace: true) : ""
    }
  }

  /// An integer within `range`, or `fallback` when it is absent.
  mutating func integer(_ name: String, in range: ClosedRange<Int64>, default fallback: Int64) -> Int64 {
    guard let text = values[name] else { return fallback }
    let location = ValidationIssue.Location.query(name)
    switch DecimalInteger(text) {
    case .notAnInteger: issues.append(.notAnInteger(location, input: .string(text)))
    case .tooManyDigits: issues.append(.integerTooBig(location, input: .string(text)))
    case .value(let value) where value < range.lowerBound:
      issues.append(.below(location, minimum: range.lowerBound, input: .string(text)))
    case .value(let value) where value > range.upperBound:
      issues.append(.above(location, maximum: range.upperBound, input: .string(text)))
    case .value(let value): return value
    case .belowInt64: issues.append(.below(location, minimum: range.lowerBound, input: .string(text)))
    case .aboveInt64: issues.append(.above(location, maximum: range.upperBound, input: .string(text)))
    }
    return fallback
  }

  /// A string within its length, or nil when it is absent or refused.
  mutating func string(_ name: String, _ rule: StringRule) -> String? {
    guard let text = values[name] else { return nil }
    if let issue = rule.check(text, at: .query(name)) {
      issues.append(issue)
      return nil
    }
    return text
  }
}

/// An integer as Pydantic reads it from text: white space around it, a sign, single underscores between digits, and a
/// fraction of zeros are allowed.
enum DecimalInteger: Equatable {
  case value(Int64)
  case belowInt64
  case aboveInt64
  case tooManyDigits
  case notAnInteger

  init(_ text: String) {
    let space: (UInt8) -> Bool = { $0 == 0x20 || (0x09...0x0D).contains($0) }
    var rest = Array(text.utf8)[...]
    rest = rest.drop(while: space)
    while let last = rest.last, space(last) { rest.removeLast() }
    var isNegative = false
    if let sign = rest.first, sign == UInt8(ascii: "-") || sign == UInt8(ascii: "+") {
      isNegative = sign == UInt8(ascii: "-")
      rest.removeFirst()
    }
    if let point = rest.firstIndex(of: UInt8(ascii: ".")) {
      let fraction = rest[(point + 1)...]
      guard !fraction.isEmpty, fraction.allSatisfy({ $0 == UInt8(ascii: "0") }) else {
        self = .notAnInteger
        return
      }
      rest = rest[..<point]
    }
    var digits: [UInt8] = []
    var mayBeUnderscore = false
    for byte in rest {
      if byte == UInt8(ascii: "_"), mayBeUnderscore {
        mayBeUnderscore = false
      } else if (0x30...0x39).contains(byte) {
        digits.append(byte)
        mayBeUnderscore = true
      } else {
        self = .notAnInteger
        return
      }
    }
    guard mayBeUnderscore else {
      self = .notAnInteger
      return
    }
    // Python's limit on the conversion of text to int.
    if digits.count > 4300 {
      self = .tooManyDigits
    } else if let value = Int64((isNegative ? "-" : "") + String(decoding: digits, as: UTF8.self)) {
      self = .value(value)
    } else {
      self = isNegative ? .belowInt64 : .aboveInt64
    }
  }
}

/// RFC 3986, section 2.1.
enum PercentEncoding {
  /// Decodes; what is not an escape stays as it is, what is not UTF-8 becomes U+FFFD.
  static func decode(_ text: some Collection<UInt8>, plusIsSpace: Bool) -> String {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(text.count)
    var index = text.startIndex
    while index < text.endIndex {
      let byte = text[index]
      if byte == UInt8(ascii: "%") {
        let digits = text[text.index(after: index)...].prefix(2)
        if digits.count == 2, digits.allSatisfy({ Unicode.Scalar($0).properties.isASCIIHexDigit }),
          let value = UInt8(String(decoding: digits, as: UTF8.self), radix: 16)
        {
          bytes.append(value)
          index = text.index(index, offsetBy: 3)
          continue
        }
      }
      bytes.append(plusIsSpace && byte == UInt8(ascii: "+") ? UInt8(ascii: " ") : byte)
      index = text.index(after: index)
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
