// Linux's signals (signal(7)), as numbers and names.

/// Names and numbers of signals on Linux (x86 and ARM; glibc keeps 32 and 33 for itself, so the real-time ones begin at
/// 34).
public enum SignalNames {
  /// Names without `SIG`, the usual one of each number first.
  static let table: [(String, Int32)] = [
    ("HUP", 1), ("INT", 2), ("QUIT", 3), ("ILL", 4), ("TRAP", 5), ("ABRT", 6), ("BUS", 7), ("FPE", 8), ("KILL", 9),
    ("USR1", 10), ("SEGV", 11), ("USR2", 12), ("PIPE", 13), ("ALRM", 14), ("TERM", 15), ("STKFLT", 16), ("CHLD", 17),
    ("CONT", 18), ("STOP", 19), ("TSTP", 20), ("TTIN", 21), ("TTOU", 22), ("URG", 23), ("XCPU", 24), ("XFSZ", 25),
    ("VTALRM", 26), ("PROF", 27), ("WINCH", 28), ("IO", 29), ("PWR", 30), ("SYS", 31), ("RTMIN", 34), ("RTMAX", 64),
    ("CLD", 17), ("IOT", 6), ("POLL", 29),
  ]

  /// The number of a name or of a number in text: any case, with or without `SIG`, `RTMIN+1`, `RTMAX-1`. nil: no
  /// signal.
  public static func number(of text: String) -> Int32? {
    if case .value(let number) = pythonInteger(text) {
      return (1...31).contains(number) || (34...64).contains(number) ? Int32(number) : nil
    }
    var name = stripped(text).uppercased()
    if name.begins(with: "SIG") { name = name.dropping(first: 3) }
    for (known, number) in table where known == name { return number }
    for (base, start, sign) in [("RTMIN+", 34, 1), ("RTMAX-", 64, -1)] where name.begins(with: base) {
      guard case .value(let offset) = pythonInteger(name.dropping(first: base.utf8.count)), (0...30).contains(offset)
      else {
        return nil
      }
      return Int32(start + sign * offset)
    }
    return nil
  }
}

/// `signal_number`.
func signalValue(_ text: String) throws(ValueProblem) -> Int32 {
  if let number = SignalNames.number(of: text) { return number }
  if case .invalid = pythonInteger(text) {
    var name = stripped(text).uppercased()
    if name.begins(with: "SIG") { name = name.dropping(first: 3) }
    throw ValueProblem(
      "value \(pythonRepresentation(text)) is not a valid signal name",
      remedy: "write a name from kill -l, e.g. TERM, or its number",
      suggestion: nearest(to: name, among: SignalNames.table.map(\.0)))
  }
  throw ValueProblem(
    "value \(pythonRepresentation(text)) is not a valid signal number", remedy: "write a number from kill -l, e.g. 15")
}
