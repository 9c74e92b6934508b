// supervisord's value types (supervisor/datatypes.py 4.3.0), with its error texts.

import SupervisorCore

/// Why a value is none of its type.
struct ValueProblem: Error, Equatable {
  /// What is wrong.
  var message: String
  /// What to write instead.
  var remedy: String
  /// What was probably meant.
  var suggestion: String?

  init(_ message: String, remedy: String = "", suggestion: String? = nil) {
    self.message = message
    self.remedy = remedy
    self.suggestion = suggestion
  }
}

/// `integer`.
func integerValue(_ text: String) throws(ValueProblem) -> Int {
  switch pythonInteger(text) {
  case .value(let value): return value
  case .outOfRange:
    throw ValueProblem("\(text) is out of range", remedy: "write a number that fits in 64 bits")
  case .invalid:
    throw ValueProblem(
      "invalid literal for int() with base 10: \(pythonRepresentation(text))", remedy: "write a whole number")
  }
}

/// An integer of a range.
func integerValue(_ text: String, in range: ClosedRange<Int>) throws(ValueProblem) -> Int {
  let value = try integerValue(text)
  guard range.contains(value) else {
    throw ValueProblem(
      "\(value) is out of range", remedy: "write a number from \(range.lowerBound) to \(range.upperBound)")
  }
  return value
}

/// `boolean`.
func booleanValue(_ text: String) throws(ValueProblem) -> Bool {
  switch text.lowercased() {
  case "yes", "true", "on", "1": return true
  case "no", "false", "off", "0": return false
  default:
    throw ValueProblem(
      "not a valid boolean value: \(pythonRepresentation(text))", remedy: "write true or false",
      suggestion: nearest(to: text, among: ["yes", "true", "on", "no", "false", "off"]))
  }
}

/// `byte_size`: a number with an optional KB, MB or GB (of 1024).
func byteSizeValue(_ text: String) throws(ValueProblem) -> Int64 {
  let lower = text.lowercased()
  var multiplier: Int64 = 1
  var number = lower
  for (suffix, factor) in [("kb", 1024), ("mb", 1024 * 1024), ("gb", 1024 * 1024 * 1024)] as [(String, Int64)]
  where lower.ends(with: suffix) {
    multiplier = factor
    number = lower.dropping(last: 2)
  }
  let remedy = "write bytes, or a whole number with KB, MB or GB"
  switch pythonInteger(number) {
  case .value(let value):
    let (bytes, overflow) = Int64(value).multipliedReportingOverflow(by: multiplier)
    guard !overflow else { throw ValueProblem("\(text) is out of range", remedy: remedy) }
    return bytes
  case .outOfRange: throw ValueProblem("\(text) is out of range", remedy: remedy)
  case .invalid:
    throw ValueProblem("invalid literal for int() with base 10: \(pythonRepresentation(number))", remedy: remedy)
  }
}

/// `octal_type`.
func octalValue(_ text: String) throws(ValueProblem) -> Int {
  switch pythonInteger(text, base: 8) {
  case .value(let value): return value
  case .outOfRange: throw ValueProblem("\(text) is out of range", remedy: "write an octal mode, e.g. 022")
  case .invalid:
    throw ValueProblem("\(text) can not be converted to an octal type", remedy: "write an octal mode, e.g. 022")
  }
}

/// An octal file mode. The kernel looks at the last nine bits of a umask only.
func modeValue(_ text: String) throws(ValueProblem) -> UInt32 {
  let value = try octalValue(text)
  guard (0...0o7777).contains(value) else {
    throw ValueProblem("\(text) is out of range", remedy: "write an octal mode from 000 to 777")
  }
  return UInt32(value) & 0o777
}

/// `list_of_strings`: commas; nothing for an empty text.
func listValue(_ text: String) -> [String] {
  if text.isEmpty { return [] }
  return split(text, on: ",").map(stripped)
}

/// `list_of_exitcodes`.
func exitCodesValue(_ text: String) throws(ValueProblem) -> [Int32] {
  if text.isEmpty { return [] }
  var codes: [Int32] = []
  for part in split(text, on: ",") {
    guard case .value(let code) = pythonInteger(part), (0...255).contains(code) else {
      throw ValueProblem(
        "not a valid list of exit codes: \(pythonRepresentation(text))",
        remedy: "write exit statuses from 0 to 255 with commas between them")
    }
    codes.append(Int32(code))
  }
  return codes
}

/// `auto_restart`.
func autoRestartValue(_ text: String) throws(ValueProblem) -> AutoRestart {
  switch text.lowercased() {
  case "yes", "true", "on", "1": return .always
  case "no", "false", "off", "0": return .never
  case "unexpected": return .unexpected
  default:
    throw ValueProblem(
      "invalid 'autorestart' value \(pythonRepresentation(text.lowercased()))",
      remedy: "write true, false or unexpected",
      suggestion: nearest(to: text, among: ["true", "false", "unexpected"]))
  }
}

/// `logging_level`.
func logLevelValue(_ text: String) throws(ValueProblem) -> LogLevel {
  let levels: [(String, LogLevel)] = [
    ("critical", .critical), ("error", .error), ("warn", .warn), ("info", .info), ("debug", .debug), ("trace", .trace),
    ("blather", .blather),
  ]
  for (name, level) in levels where name == text.lowercased() { return level }
  throw ValueProblem(
    "bad logging level name \(pythonRepresentation(text))",
    remedy: "write one of \(levels.map(\.0).joined(separator: ", "))",
    suggestion: text.lowercased() == "warning" ? "warn" : nearest(to: text, among: levels.map(\.0)))
}

/// `process_or_group_name`. Empty names, which supervisord lets pass, could never be addressed.
func nameValue(_ text: String) throws(ValueProblem) -> String {
  let name = stripped(text)
  for character in [" ", ":", "/"] where name.contains(bytesOf: character) {
    throw ValueProblem(
      "Invalid name: \(pythonRepresentation(text)) because of character: \(pythonRepresentation(character))",
      remedy: "use a name without spaces, colons and slashes")
  }
  guard !name.isEmpty else { throw ValueProblem("Invalid name: '' because it is empty", remedy: "give it a name") }
  guard name.unicodeScalars.allSatisfy({ $0.value >= 0x20 && $0.value != 0x7F }) else {
    throw ValueProblem(
      "Invalid name: \(pythonRepresentation(text)) because of a control character", remedy: "use printable characters")
  }
  return name
}

/// Seconds with an optional fraction, or a number with `ms`, `s`, `m` or `h`. Never negative.
func durationValue(_ text: String) throws(ValueProblem) -> Interval {
  let problem = ValueProblem(
    "not a valid duration: \(pythonRepresentation(text))",
    remedy: "write seconds, e.g. 10 or 0.5, or 500ms, 10s, 5m, 1h")
  let trimmed = stripped(text).lowercased()
  var number = trimmed
  var factor = 1.0
  for (suffix, seconds) in [("ms", 0.001), ("s", 1), ("m", 60), ("h", 3600)] where trimmed.ends(with: suffix) {
    number = stripped(trimmed.dropping(last: suffix.utf8.count))
    factor = seconds
    break
  }
  guard let value = decimalValue(number), value * factor <= 1e9 else { throw problem }
  return .seconds(value * factor)
}

/// A duration where `0` and `none` mean that there is none.
func optionalDurationValue(_ text: String) throws(ValueProblem) -> Interval? {
  if stripped(text).lowercased() == "none" { return nil }
  let duration = try durationValue(text)
  return duration == .zero ? nil : duration
}

/// A duration that is longer than nothing.
func positiveDurationValue(_ text: String) throws(ValueProblem) -> Interval {
  let duration = try durationValue(text)
  guard duration > .zero else {
    throw ValueProblem("\(text) is out of range", remedy: "write a duration that is longer than 0")
  }
  return duration
}

/// Digits with an optional point: no sign, no exponent.
func decimalValue(_ text: String) -> Double? {
  let bytes = Array(text.utf8)
  guard !bytes.isEmpty, bytes.count <= 32, bytes.contains(where: { (0x30...0x39).contains($0) }),
    bytes.allSatisfy({ (0x30...0x39).contains($0) || $0 == UInt8(ascii: ".") })
  else { return nil }
  return Double(text.begins(with: ".") ? "0" + text : text.ends(with: ".") ? text + "0" : text)
}

/// An environment variable's name, for our own keys. (supervisord's `environment=` does not look.)
func isEnvironmentName(_ text: String) -> Bool {
  guard let first = text.utf8.first, !(0x30...0x39).contains(first) else { return false }
  return text.utf8.allSatisfy {
    $0 == UInt8(ascii: "_") || (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0)
  }
}
