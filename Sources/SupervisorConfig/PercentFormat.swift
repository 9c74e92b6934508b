// Python's `text % mapping` (CPython Objects/unicodeobject.c `PyUnicode_Format`), which is how supervisord expands
// values.

/// What a name stands for.
enum ExpansionValue: Equatable {
  /// A text: `here`, `program_name`, every `ENV_` name, …
  case text(String)
  /// `process_num` and `numprocs`.
  case number(Int)
}

/// The names that a value may use: a large set that many values share, and a small one of its own that hides it.
struct Expansions {
  /// What all values of a configuration share.
  var shared: [String: ExpansionValue] = [:]
  /// What is this program's or this process's own.
  var own: [String: ExpansionValue] = [:]

  /// The value of a name.
  subscript(name: String) -> ExpansionValue? {
    get { own[name] ?? shared[name] }
    set { own[name] = newValue }
  }

  /// All names.
  var names: [String] { Array(shared.keys) + own.keys.filter { shared[$0] == nil } }
}

/// Why a text could not be expanded.
enum ExpansionProblem: Error, Equatable {
  /// It uses a name that does not exist.
  case unknownName(String)
  /// It is no valid format; Python's own words.
  case badFormat(String)
}

/// `text % expansions`.
func expand(_ text: String, with expansions: Expansions) throws(ExpansionProblem) -> String {
  guard text.utf8.contains(UInt8(ascii: "%")) else { return text }
  var formatter = PercentFormatter(text: Array(text.unicodeScalars), expansions: expansions)
  return try formatter.run()
}

/// One run over one text.
private struct PercentFormatter {
  let text: [Unicode.Scalar]
  let expansions: Expansions
  var index = 0

  /// Wider than any line that a person writes, and small enough not to fill the memory of PID 1.
  static let widest = 4096

  mutating func run() throws(ExpansionProblem) -> String {
    var result = String.UnicodeScalarView()
    while index < text.count {
      let scalar = text[index]
      index += 1
      if scalar == "%" {
        result.append(contentsOf: try conversion().unicodeScalars)
      } else {
        result.append(scalar)
      }
    }
    return String(result)
  }

  /// What follows a `%`.
  private mutating func conversion() throws(ExpansionProblem) -> String {
    if peek() == "%" {
      index += 1
      return "%"
    }
    var value: ExpansionValue?
    if peek() == "(" { value = try mappedValue() }
    var format = Format()
    flags: while let flag = peek() {
      switch flag {
      case "-": format.left = true
      case "+": format.plus = true
      case " ": format.space = true
      case "#": format.alternate = true
      case "0": format.zero = true
      default: break flags
      }
      index += 1
    }
    if peek() == "*" { throw .badFormat("* wants int") }
    format.width = try number(tooBig: "width too big") ?? 0
    if peek() == "." {
      index += 1
      if peek() == "*" { throw .badFormat("* wants int") }
      format.precision = try number(tooBig: "precision too big") ?? 0
    }
    if let modifier = peek(), modifier == "h" || modifier == "l" || modifier == "L" { index += 1 }
    guard let type = peek() else { throw .badFormat("incomplete format") }
    index += 1
    guard let value else {
      // Python formats the whole mapping for %s, %r and %a; nobody has ever meant that.
      throw .badFormat("%\(type) names nothing")
    }
    return try format.apply(type, to: value, at: index - 1)
  }

  private func peek() -> Unicode.Scalar? { index < text.count ? text[index] : nil }

  /// `(name)`; parentheses nest.
  private mutating func mappedValue() throws(ExpansionProblem) -> ExpansionValue {
    index += 1
    var depth = 1
    let start = index
    while index < text.count {
      if text[index] == "(" { depth += 1 }
      if text[index] == ")" { depth -= 1 }
      index += 1
      if depth == 0 { break }
    }
    guard depth == 0 else { throw .badFormat("incomplete format key") }
    var name = String.UnicodeScalarView()
    name.append(contentsOf: text[start..<(index - 1)])
    guard let value = expansions[String(name)] else { throw .unknownName(String(name)) }
    return value
  }

  private mutating func number(tooBig message: String) throws(ExpansionProblem) -> Int? {
    var value: Int?
    while let digit = peek(), ("0"..."9").contains(digit) {
      value = (value ?? 0) * 10 + Int(digit.value) - 0x30
      if let value, value > Self.widest { throw .badFormat(message) }
      index += 1
    }
    return value
  }
}

/// The flags, width and precision of one conversion.
private struct Format {
  var left = false
  var plus = false
  var space = false
  var alternate = false
  var zero = false
  var width = 0
  var precision: Int?

  /// One conversion, as Python does it. `position` is that of the type, for the message.
  func apply(_ type: Unicode.Scalar, to value: ExpansionValue, at position: Int) throws(ExpansionProblem) -> String {
    switch type {
    case "s", "r", "a": return pad(clip(text(type, value)))
    case "c": return pad(try character(value))
    case "d", "i", "u":
      guard case .number(let number) = value else {
        throw .badFormat("%\(type) format: a real number is required, not str")
      }
      return integer(number, digits: String(number.magnitude), prefix: "")
    case "x", "X", "o":
      guard case .number(let number) = value else {
        throw .badFormat("%\(type) format: an integer is required, not str")
      }
      let digits = String(number.magnitude, radix: type == "o" ? 8 : 16, uppercase: type == "X")
      return integer(number, digits: digits, prefix: alternate ? "0\(type)" : "")
    case "e", "E", "f", "F", "g", "G":
      guard case .number(let number) = value else { throw .badFormat("must be real number, not str") }
      let decimal = WholeDecimal(number)
      let precision = precision ?? 6
      let digits: String
      switch type {
      case "f", "F": digits = decimal.fixed(precision, point: alternate)
      case "e", "E": digits = decimal.exponential(precision, point: alternate)
      default: digits = decimal.general(precision, alternate: alternate)
      }
      return signed(number < 0, type == "E" || type == "G" ? digits.uppercased() : digits, prefix: "")
    default:
      throw .badFormat(
        "unsupported format character \(pythonRepresentation(String(type))) (0x\(hexadecimal(type.value, digits: 1))) at index \(position)"
      )
    }
  }

  private func text(_ type: Unicode.Scalar, _ value: ExpansionValue) -> String {
    switch (value, type) {
    case (.number(let number), _): String(number)
    case (.text(let text), "r"): pythonRepresentation(text)
    case (.text(let text), "a"): pythonASCIIRepresentation(text)
    case (.text(let text), _): text
    }
  }

  private func character(_ value: ExpansionValue) throws(ExpansionProblem) -> String {
    switch value {
    case .text(let text):
      guard text.unicodeScalars.count == 1 else { throw .badFormat("%c requires int or char") }
      return text
    case .number(let number):
      guard let code = UInt32(exactly: number), let scalar = Unicode.Scalar(code) else {
        throw .badFormat("%c arg not in range(0x110000)")
      }
      return String(scalar)
    }
  }

  /// `%.3s` keeps three characters.
  private func clip(_ text: String) -> String {
    guard let precision, text.unicodeScalars.count > precision else { return text }
    return String(String.UnicodeScalarView(text.unicodeScalars.prefix(precision)))
  }

  private func pad(_ text: String) -> String {
    let missing = width - text.unicodeScalars.count
    guard missing > 0 else { return text }
    let spaces = String(repeating: " ", count: missing)
    return left ? text + spaces : spaces + text
  }

  /// An integer: the precision is the least number of digits.
  private func integer(_ number: Int, digits: String, prefix: String) -> String {
    let missing = max(0, (precision ?? 0) - digits.utf8.count)
    return signed(number < 0, String(repeating: "0", count: missing) + digits, prefix: prefix)
  }

  /// Sign, prefix, zeros up to the width, digits; or spaces around.
  private func signed(_ isNegative: Bool, _ digits: String, prefix: String) -> String {
    let sign = isNegative ? "-" : plus ? "+" : space ? " " : ""
    let missing = width - sign.utf8.count - prefix.utf8.count - digits.utf8.count
    if zero && !left && missing > 0 { return sign + prefix + String(repeating: "0", count: missing) + digits }
    return pad(sign + prefix + digits)
  }
}

/// A whole number's magnitude in decimal, for Python's `%e`, `%f` and `%g` (which convert it to a double first; process
/// numbers are far below the 2^53 up to which that is exact).
private struct WholeDecimal {
  let digits: [UInt8]

  init(_ number: Int) { digits = Array(String(number.magnitude).utf8) }

  func fixed(_ precision: Int, point: Bool) -> String {
    text(digits) + (precision > 0 ? "." + String(repeating: "0", count: precision) : point ? "." : "")
  }

  func exponential(_ precision: Int, point: Bool) -> String {
    let (kept, exponent) = rounded(to: precision + 1)
    let fraction = kept.dropFirst()
    return text(kept.prefix(1)) + (fraction.isEmpty ? (point ? "." : "") : "." + text(Array(fraction)))
      + suffix(exponent)
  }

  func general(_ precision: Int, alternate: Bool) -> String {
    let significant = max(1, precision)
    let (kept, exponent) = rounded(to: significant)
    if exponent >= significant {
      var fraction = Array(kept.dropFirst())
      if !alternate { while fraction.last == UInt8(ascii: "0") { fraction.removeLast() } }
      return text(kept.prefix(1)) + (fraction.isEmpty ? (alternate ? "." : "") : "." + text(fraction))
        + suffix(exponent)
    }
    let whole = text(kept.prefix(exponent + 1))
    guard alternate else { return whole }
    return whole + "." + text(kept.dropFirst(exponent + 1))
  }

  /// The first `count` digits, correctly rounded (ties to even), padded with zeros; and the exponent of the first one.
  private func rounded(to count: Int) -> (kept: [UInt8], exponent: Int) {
    if digits.count <= count {
      return (digits + [UInt8](repeating: UInt8(ascii: "0"), count: count - digits.count), digits.count - 1)
    }
    var kept = Array(digits.prefix(count))
    let rest = digits.dropFirst(count)
    let half = rest.first.map { Int($0) - 0x30 } ?? 0
    let beyondHalf = rest.dropFirst().contains { $0 != UInt8(ascii: "0") }
    let lastIsOdd = (kept.last.map { $0 & 1 } ?? 0) == 1
    guard half > 5 || (half == 5 && (beyondHalf || lastIsOdd)) else { return (kept, digits.count - 1) }
    for position in kept.indices.reversed() {
      if kept[position] < UInt8(ascii: "9") {
        kept[position] += 1
        return (kept, digits.count - 1)
      }
      kept[position] = UInt8(ascii: "0")
    }
    return ([UInt8(ascii: "1")] + kept.dropLast(), digits.count)
  }

  private func suffix(_ exponent: Int) -> String { "e+" + (exponent < 10 ? "0" : "") + String(exponent) }

  private func text<Digits: Sequence>(_ digits: Digits) -> String where Digits.Element == UInt8 {
    String(decoding: Array(digits), as: UTF8.self)
  }
}
