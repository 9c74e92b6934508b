// POSIX TZ strings, as in the footer of TZif files: `CET-1CEST,M3.5.0,M10.5.0/3` (POSIX.1-2017 8.3, with the hours -167…167 of RFC 8536, 3.3.1).

/// A time zone by rule.
struct PosixTimeZone: Equatable, Sendable {
  private var standard: Int64 = 0
  private var daylight: Daylight?

  private struct Daylight: Equatable, Sendable {
    var offset: Int64
    var start: Rule
    var end: Rule
  }

  /// A day of the year, and a time of that day in seconds.
  private struct Rule: Equatable, Sendable {
    var day: Day
    var time: Int64 = 7200

    enum Day: Equatable, Sendable {
      /// `Jn`: 1…365, 29 February is never counted.
      case julian(Int)
      /// `n`: 0…365, 29 February is counted.
      case zeroBased(Int)
      /// `Mm.w.d`: the w-th (5: the last) weekday d of the month m.
      case month(Int, week: Int, weekday: Int)
    }

    /// Seconds from the epoch on the local clock, in this year.
    func local(in year: Int64) -> Int64 {
      let newYear = CivilDate.daysSinceEpoch(year: year, month: 1, day: 1)
      let date: Int64
      switch day {
      case .julian(let number): date = newYear + Int64(number - 1) + (CivilDate.isLeap(year) && number >= 60 ? 1 : 0)
      case .zeroBased(let number): date = newYear + Int64(number)
      case .month(let month, let week, let weekday):
        let first = CivilDate.daysSinceEpoch(year: year, month: month, day: 1)
        let lead = (weekday - CivilDate(daysSinceEpoch: first).weekday + 7) % 7
        var number = lead + (week - 1) * 7
        if number >= CivilDate.daysInMonth(year: year, month: month) { number -= 7 }
        date = first + Int64(number)
      }
      return date * 86_400 + time
    }
  }

  init(_ bytes: [UInt8]) throws(TimeZoneError) {
    var parser = Parser(bytes: bytes[...])
    try parser.name()
    standard = -(try parser.time(limit: 24))
    guard !parser.isAtEnd else { return }
    try parser.name()
    var offset = standard + 3600
    if !parser.isAtEnd, !parser.isAt(0x2C) { offset = -(try parser.time(limit: 24)) }
    // Without rules POSIX leaves them to the implementation; TZif files always have them.
    let start = try parser.rule()
    let end = try parser.rule()
    guard parser.isAtEnd else { throw TimeZoneError("its rule has something behind its end") }
    daylight = Daylight(offset: offset, start: start, end: end)
  }

  /// Seconds east of UTC at this time (seconds since the epoch).
  func offset(at time: Int64) -> Int64 {
    guard let daylight else { return standard }
    let year = CivilDate(daysSinceEpoch: floorDiv(time + standard, 86_400)).year
    // Rules of the year before and after reach into this one where their hours are beyond the day.
    for candidate in [year - 1, year, year + 1] {
      let start = daylight.start.local(in: candidate) - standard
      var end = daylight.end.local(in: candidate) - daylight.offset
      // In the south daylight saving begins in one year and ends in the next.
      if end <= start { end = daylight.end.local(in: candidate + 1) - daylight.offset }
      if start <= time, time < end { return daylight.offset }
    }
    return standard
  }

  private struct Parser {
    var bytes: ArraySlice<UInt8>

    var isAtEnd: Bool { bytes.isEmpty }
    func isAt(_ byte: UInt8) -> Bool { bytes.first == byte }

    mutating func take(_ byte: UInt8) -> Bool {
      guard isAt(byte) else { return false }
      bytes.removeFirst()
      return true
    }

    /// `CET` or `<+0330>`.
    mutating func name() throws(TimeZoneError) {
      if take(0x3C) {
        guard let end = bytes.firstIndex(of: 0x3E) else { throw TimeZoneError("a name in its rule has no end") }
        bytes = bytes[(end + 1)...]
        return
      }
      let name = bytes.prefix { (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0) }
      guard name.count >= 3 else { throw TimeZoneError("a name in its rule is missing") }
      bytes = bytes.dropFirst(name.count)
    }

    mutating func number(_ range: ClosedRange<Int>) throws(TimeZoneError) -> Int {
      var value = 0
      var count = 0
      while let digit = bytes.first, (0x30...0x39).contains(digit), count < 4 {
        value = value * 10 + Int(digit - 0x30)
        count += 1
        bytes.removeFirst()
      }
      guard count > 0, range.contains(value) else { throw TimeZoneError("a number in its rule is out of range") }
      return value
    }

    /// `[+-]hh[:mm[:ss]]` in seconds.
    mutating func time(limit hours: Int) throws(TimeZoneError) -> Int64 {
      let isNegative = take(0x2D)
      if !isNegative { _ = take(0x2B) }
      var seconds = try number(0...hours) * 3600
      if take(0x3A) {
        seconds += try number(0...59) * 60
        if take(0x3A) { seconds += try number(0...59) }
      }
      return Int64(isNegative ? -seconds : seconds)
    }

    /// `,M3.5.0/2`, `,J60`, `,59`.
    mutating func rule() throws(TimeZoneError) -> Rule {
      guard take(0x2C) else { throw TimeZoneError("its rule lacks when daylight saving begins or ends") }
      var rule: Rule
      if take(0x4D) {
        let month = try number(1...12)
        guard take(0x2E) else { throw TimeZoneError("a date in its rule is incomplete") }
        let week = try number(1...5)
        guard take(0x2E) else { throw TimeZoneError("a date in its rule is incomplete") }
        rule = Rule(day: .month(month, week: week, weekday: try number(0...6)))
      } else if take(0x4A) {
        rule = Rule(day: .julian(try number(1...365)))
      } else {
        rule = Rule(day: .zeroBased(try number(0...365)))
      }
      if take(0x2F) { rule.time = try time(limit: 167) }
      return rule
    }
  }
}
