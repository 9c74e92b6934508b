// crontab(5): when does it run next?
//
// Five fields: minute 0…59, hour 0…23, day of month 1…31, month 1…12 or jan…dec, day of week 0…7 (0 and 7 are Sunday) or sun…sat. A field is a
// list, separated by commas, of `*`, `a`, `a-b`, each with an optional step `/n` (`a/n` means `a-MAX/n`). When both days are restricted
// (neither field begins with `*`), one of them matching is enough; that is cron's rule.
//
// Daylight saving. Local times are what people write, so a time that a change of the clock leaves out, or brings twice, needs a rule:
// - Expressions for every hour (the hour field matches all 24) run by elapsed time: whenever the local clock shows a matching minute. Nothing
//   is left out, and the hour that comes twice runs twice.
// - All others run once a day at each of their times: a time in the gap runs at the first moment after the gap, a time that comes twice
//   runs the first time. (Several times in one gap are one run.)

/// A parsed cron expression (crontab(5): minute, hour, day of month, month, day of week).
public struct CronExpression: Equatable, Sendable {
  // Bit n: the value n matches.
  private var minutes: UInt64
  private var hours: UInt64
  private var days: UInt64
  private var months: UInt64
  private var weekdays: UInt64
  /// Neither day field begins with `*`: either is enough.
  private var eitherDay: Bool

  /// Parses five fields or one of `@yearly @annually @monthly @weekly @daily @midnight @hourly`.
  public init(_ text: String) throws(CronError) {
    var words = text.split(whereSeparator: { $0 == " " || $0 == "\t" })
    if words.count == 1, let first = words.first, first.hasPrefix("@") {
      guard let expansion = Self.nickname(first.lowercased()) else {
        throw CronError(
          text: "cannot use schedule `\(clipped(text))`: the names are @yearly, @monthly, @weekly, @daily and @hourly")
      }
      words = expansion.split(separator: " ")
    }
    guard words.count == 5 else {
      throw CronError(
        text: "cannot use schedule `\(clipped(text))`: it has \(words.count) fields instead of five "
          + "(minute hour day-of-month month day-of-week, e.g. `0 3 * * *`)")
    }
    minutes = try Field.minute.parse(words[0])
    hours = try Field.hour.parse(words[1])
    days = try Field.day.parse(words[2])
    months = try Field.month.parse(words[3])
    var week = try Field.weekday.parse(words[4])
    if week & (1 << 7) != 0 { week = (week | 1) & ~(1 << 7) }
    weekdays = week
    eitherDay = !words[2].hasPrefix("*") && !words[4].hasPrefix("*")
    if !eitherDay, !hasPossibleDay {
      throw CronError(
        text: "cannot use schedule `\(clipped(text))`: no such day ever comes; check day of month and month")
    }
  }

  private static func nickname(_ name: String) -> String? {
    switch name {
    case "@yearly", "@annually": "0 0 1 1 *"
    case "@monthly": "0 0 1 * *"
    case "@weekly": "0 0 * * 0"
    case "@daily", "@midnight": "0 0 * * *"
    case "@hourly": "0 * * * *"
    default: nil
    }
  }

  /// Whether one of its months is long enough for one of its days.
  private var hasPossibleDay: Bool {
    for month in 1...12 where months & (1 << UInt64(month)) != 0 {
      let length = month == 2 ? 29 : CivilDate.daysInMonth(year: 2001, month: month)
      for day in 1...length where days & (1 << UInt64(day)) != 0 { return true }
    }
    return false
  }

  // MARK: The next time

  /// The first time after `moment` at which it runs, to the minute. nil: none within the next 40 years.
  public func nextFire(after moment: WallTime, in zone: TimeZoneRules) -> WallTime? {
    let seconds = moment.unixSeconds
    // Beyond these there is nothing to plan for, and arithmetic stays far from its limits.
    guard seconds > -1_000_000_000_000, seconds < 1_000_000_000_000 else { return nil }
    let next = hours == (1 << 24) - 1 ? nextByElapsedTime(after: seconds, zone) : nextByLocalTime(after: seconds, zone)
    guard let next else { return nil }
    let (nanoseconds, overflow) = next.multipliedReportingOverflow(by: 1_000_000_000)
    return overflow ? nil : WallTime(nanoseconds: nanoseconds)
  }

  private static let horizonDays = 40 * 366

  /// Every-hour expressions: along the real time line, whole days skipped when their date does not match.
  private func nextByElapsedTime(after seconds: Int64, _ zone: TimeZoneRules) -> Int64? {
    var time = seconds + 60 - floorMod(seconds, 60)
    let end = seconds + Int64(Self.horizonDays) * 86_400
    while time < end {
      let local = time + zone.offset(at: time)
      let secondOfDay = floorMod(local, 86_400)
      if !matches(CivilDate(daysSinceEpoch: floorDiv(local, 86_400))) {
        // To the next local midnight; minute by minute only where the clock changes before it.
        let rest = 86_400 - secondOfDay
        let isSteady = zone.offset(at: time + rest) == zone.offset(at: time)
        time += isSteady ? rest : 60 - floorMod(secondOfDay, 60)
        continue
      }
      // Offsets need not be whole minutes (local mean times): align to the local minute.
      let partial = floorMod(secondOfDay, 60)
      if partial != 0 {
        time += 60 - partial
        continue
      }
      if minutes & (1 << UInt64(secondOfDay / 60 % 60)) != 0 { return time }
      time += 60
    }
    return nil
  }

  /// All others: along the local calendar.
  private func nextByLocalTime(after seconds: Int64, _ zone: TimeZoneRules) -> Int64? {
    // A day earlier, because a gap at the end of that day may push a time into this one.
    let today = floorDiv(seconds + zone.offset(at: seconds), 86_400)
    for day in (today - 1)...(today + Int64(Self.horizonDays)) where matches(CivilDate(daysSinceEpoch: day)) {
      for hour in 0..<24 where hours & (1 << UInt64(hour)) != 0 {
        for minute in 0..<60 where minutes & (1 << UInt64(minute)) != 0 {
          let time = zone.time(local: day * 86_400 + Int64(hour * 3600 + minute * 60))
          if time > seconds { return time }
        }
      }
    }
    return nil
  }

  private func matches(_ date: CivilDate) -> Bool {
    guard months & (1 << UInt64(date.month)) != 0 else { return false }
    let day = days & (1 << UInt64(date.day)) != 0
    let weekday = weekdays & (1 << UInt64(date.weekday)) != 0
    return eitherDay ? day || weekday : day && weekday
  }
}

/// Why a cron expression cannot be used.
public struct CronError: Error, Equatable, Sendable {
  /// "cannot use minute `60`: it must be 0…59".
  public var text: String
}

/// One of the five fields.
private enum Field {
  case minute, hour, day, month, weekday

  var name: String {
    switch self {
    case .minute: "minute"
    case .hour: "hour"
    case .day: "day of month"
    case .month: "month"
    case .weekday: "day of week"
    }
  }

  var range: ClosedRange<Int> {
    switch self {
    case .minute: 0...59
    case .hour: 0...23
    case .day: 1...31
    case .month: 1...12
    case .weekday: 0...7
    }
  }

  var names: [String] {
    switch self {
    case .minute, .hour, .day: []
    case .month: ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
    case .weekday: ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
    }
  }

  func error(_ word: Substring, _ why: String) -> CronError {
    CronError(text: "cannot use \(name) `\(clipped(String(word)))`: \(why)")
  }

  /// The bits of what matches.
  func parse(_ text: Substring) throws(CronError) -> UInt64 {
    var bits: UInt64 = 0
    for item in text.split(separator: ",", omittingEmptySubsequences: false) {
      let parts = item.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
      var step = 1
      if parts.count == 2 {
        guard let number = digits(parts[1]), number > 0 else {
          throw error(item, "the step after `/` must be a whole number, 1 or more")
        }
        step = number
      }
      var bounds = range
      if parts[0] != "*" {
        let ends = parts[0].split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
        let low = try value(ends[0], in: item)
        let high = ends.count == 2 ? try value(ends[1], in: item) : parts.count == 2 ? range.upperBound : low
        guard low <= high else { throw error(item, "the range runs backwards") }
        bounds = low...high
      }
      for number in stride(from: bounds.lowerBound, through: bounds.upperBound, by: min(step, 64)) {
        bits |= 1 << UInt64(number)
      }
    }
    return bits
  }

  private func value(_ text: Substring, in item: Substring) throws(CronError) -> Int {
    if let position = names.firstIndex(of: text.lowercased()) { return position + (self == .month ? 1 : 0) }
    guard let number = digits(text), range.contains(number) else {
      let also = names.isEmpty ? "" : " or \(names[0])…\(names[names.count - 1])"
      throw error(item, "it must be \(range.lowerBound)…\(range.upperBound)\(also), `*`, a range or a list")
    }
    return number
  }

  /// Up to four ASCII digits.
  private func digits(_ text: Substring) -> Int? {
    guard !text.isEmpty, text.utf8.count <= 4, text.utf8.allSatisfy({ (48...57).contains($0) }) else { return nil }
    return Int(text)
  }
}

/// For messages: not longer than 64 characters.
private func clipped(_ text: String) -> String { text.count <= 64 ? text : "\(text.prefix(63))…" }
