// The value types of our own keys.

import SupervisorCore

/// `INT:6, QUIT:2`.
func stopPlanValue(_ text: String) throws(ValueProblem) -> [StopStep] {
  var steps: [StopStep] = []
  for part in listValue(text) {
    let pair = split(part, on: ":", maxSplits: 1)
    guard pair.count == 2 else {
      throw ValueProblem(
        "\(pythonRepresentation(part)) has no duration", remedy: "write SIGNAL:SECONDS, e.g. INT:6, QUIT:2")
    }
    let signal = try signalValue(stripped(pair[0]))
    guard signal != 9 else {
      throw ValueProblem("KILL cannot be a step: it follows the last one by itself", remedy: "leave KILL out")
    }
    steps.append(StopStep(signal: signal, wait: try durationValue(pair[1])))
  }
  guard !steps.isEmpty, steps.count <= 16 else {
    throw ValueProblem("a plan has 1 to 16 steps", remedy: "write SIGNAL:SECONDS, e.g. INT:6, QUIT:2")
  }
  return steps
}

/// A stop plan, or `none` for SIGKILL at once.
func treePlanValue(_ text: String) throws(ValueProblem) -> [StopStep] {
  stripped(text).lowercased() == "none" ? [] : try stopPlanValue(text)
}

/// `initial:0.1, factor:2, max:30, jitter:0.1`; what is missing has these values.
func backoffValue(_ text: String) throws(ValueProblem) -> Backoff {
  var backoff = Backoff(initial: .milliseconds(100), factor: 2, maximum: .seconds(30), jitter: 0.1)
  var isMaximumGiven = false
  for part in listValue(text) {
    let pair = split(part, on: ":", maxSplits: 1)
    let value = pair.count == 2 ? stripped(pair[1]) : ""
    switch stripped(pair[0]) {
    case "initial": backoff.initial = try durationValue(value)
    case "max":
      backoff.maximum = try durationValue(value)
      isMaximumGiven = true
    case "factor":
      guard let factor = decimalValue(value), (1...1000).contains(factor) else {
        throw ValueProblem(
          "factor \(pythonRepresentation(value)) is out of range", remedy: "write a factor from 1 to 1000")
      }
      backoff.factor = factor
    case "jitter":
      guard let jitter = decimalValue(value), (0...1).contains(jitter) else {
        throw ValueProblem(
          "jitter \(pythonRepresentation(value)) is out of range", remedy: "write a jitter from 0 to 1")
      }
      backoff.jitter = jitter
    default:
      throw ValueProblem(
        "not a part of a backoff: \(pythonRepresentation(part))",
        remedy: "write initial:SECONDS, factor:NUMBER, max:SECONDS, jitter:FRACTION",
        suggestion: nearest(to: stripped(pair[0]), among: ["initial", "factor", "max", "jitter"]))
    }
  }
  if backoff.maximum < backoff.initial {
    guard !isMaximumGiven else {
      throw ValueProblem("max is shorter than initial", remedy: "make max at least \(seconds(backoff.initial))")
    }
    backoff.maximum = backoff.initial
  }
  return backoff
}

/// One of an enumeration's words.
func wordValue<Value: RawRepresentable & CaseIterable>(_ text: String) throws(ValueProblem) -> Value
where Value.RawValue == String {
  let word = stripped(text).lowercased()
  let words = Value.allCases.map(\.rawValue)
  guard let value = Value(rawValue: word) else {
    throw ValueProblem(
      "not a valid value: \(pythonRepresentation(text))", remedy: "write one of \(words.joined(separator: ", "))",
      suggestion: nearest(to: word, among: words))
  }
  return value
}

/// `/a, -/b`: files, relative to the working directory; `-` marks one that may be absent.
func environmentFilesValue(_ text: String, in input: ConfigurationInput) throws(ValueProblem) -> [EnvironmentFile] {
  var files: [EnvironmentFile] = []
  for part in listValue(text) {
    let optional = part.begins(with: "-")
    let path = stripped(optional ? part.dropping(first: 1) : part)
    guard !path.isEmpty else {
      throw ValueProblem("a file has no name", remedy: "write PATH, or -PATH for a file that may be absent")
    }
    files.append(EnvironmentFile(path: input.absolutePath(input.expandingUser(path)), optional: optional))
  }
  return files
}

/// `NAME, NAME`.
func secretsValue(_ text: String) throws(ValueProblem) -> [String] {
  var names: [String] = []
  for name in listValue(text) {
    guard isEnvironmentName(name) else {
      throw ValueProblem(
        "not the name of an environment variable: \(pythonRepresentation(name))",
        remedy: "write the variable's name without _FILE, e.g. POSTGRES_PASSWORD")
    }
    if !names.contains(name) { names.append(name) }
  }
  return names
}

/// `soft`, or `soft:hard`; numbers, `unlimited`, and KB, MB, GB for what is counted in bytes.
func limitValue(_ text: String, resource: String) throws(ValueProblem) -> ResourceLimit {
  let isBytes = ["as", "core", "data", "fsize", "memlock", "msgqueue", "rss", "stack"].contains(resource)
  let pair = split(stripped(text), on: ":", maxSplits: 1)
  func number(_ text: String) throws(ValueProblem) -> UInt64 {
    let word = stripped(text)
    if ["unlimited", "infinity"].contains(word.lowercased()) { return .max }
    let value: Int64 = isBytes ? try byteSizeValue(word) : Int64(try integerValue(word))
    guard let limit = UInt64(exactly: value) else {
      throw ValueProblem("\(word) is out of range", remedy: "write a number that is not negative, or unlimited")
    }
    return limit
  }
  let soft = try number(pair[0])
  let hard = pair.count == 2 ? try number(pair[1]) : soft
  guard soft <= hard else {
    throw ValueProblem("the soft limit is above the hard one", remedy: "write SOFT:HARD with SOFT not above HARD")
  }
  return ResourceLimit(resource: resource, soft: soft, hard: hard)
}

/// A log's sink: `NONE`, `AUTO`, the supervisor's own descriptors, or a file.
func sinkValue(_ text: String, in input: ConfigurationInput) throws(ValueProblem) -> LogSpec.Sink {
  switch text.lowercased() {
  case "none", "off", "": return .discard
  case "auto": return .automatic
  case "syslog":
    throw ValueProblem(
      "cannot log to syslog: hivesup does not do that yet", remedy: "write /dev/stdout, a file or NONE")
  default:
    if let descriptor = inheritedDescriptor(text) { return .descriptor(descriptor) }
    return .file(joinPath(input.workingDirectory, try input.existingDirectoryPath(text)))
  }
}

/// The paths that mean the supervisor's own output or error output.
func inheritedDescriptor(_ path: String) -> Int32? {
  switch path {
  case "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1": 1
  case "/dev/stderr", "/dev/fd/2", "/proc/self/fd/2": 2
  default: nil
  }
}

/// An interval for people: `9 s`, `0.1 s`.
func seconds(_ interval: Interval) -> String {
  let thousandths = interval.nanoseconds / 1_000_000
  if interval.nanoseconds % 1_000_000_000 == 0 { return "\(interval.nanoseconds / 1_000_000_000) s" }
  if thousandths == 0 { return "\(interval.nanoseconds) ns" }
  var fraction = String(thousandths.magnitude % 1000)
  fraction = String(repeating: "0", count: 3 - fraction.utf8.count) + fraction
  while fraction.ends(with: "0") { fraction.removeLast() }
  return "\(thousandths / 1000)\(fraction.isEmpty ? "" : "." + fraction) s"
}
