import Testing

@testable import SupervisorCore

struct CronTests {
  /// Seconds since the epoch of a date in UTC.
  static func utc(_ year: Int64, _ month: Int, _ day: Int, _ hour: Int = 0, _ minute: Int = 0, _ second: Int = 0)
    -> Int64
  {
    CivilDate.daysSinceEpoch(year: year, month: month, day: day) * 86_400 + Int64(hour * 3600 + minute * 60 + second)
  }

  private func next(_ text: String, after seconds: Int64, _ zone: TimeZoneRules = .utc) throws -> Int64? {
    try CronExpression(text).nextFire(after: WallTime(nanoseconds: seconds * 1_000_000_000), in: zone)?.unixSeconds
  }

  @Test func theNextTimeIsFound() throws {
    let now = Self.utc(2026, 11, 20, 10, 0, 30)  // a Friday
    let cases: [(String, Int64)] = [
      ("* * * * *", Self.utc(2026, 11, 20, 10, 1)),
      ("0 3 * * *", Self.utc(2026, 11, 21, 3)),
      ("*/15 * * * *", Self.utc(2026, 11, 20, 10, 15)),
      ("5/20 * * * *", Self.utc(2026, 11, 20, 10, 5)),
      ("0 0 1 * *", Self.utc(2026, 12, 1)),
      ("0 0 29 2 *", Self.utc(2028, 2, 29)),
      ("0 0 * * 0", Self.utc(2026, 11, 22)),
      ("0 0 * * 7", Self.utc(2026, 11, 22)),
      ("0 0 * * sun", Self.utc(2026, 11, 22)),
      ("0 12 * JAN-mar mon-fri", Self.utc(2027, 1, 1, 12)),
      ("59 23 31 12 *", Self.utc(2026, 12, 31, 23, 59)),
      ("0,30 8-18/2 * * 1-5", Self.utc(2026, 11, 20, 10, 30)),
      ("0 0 * * 5-7", Self.utc(2026, 11, 21)),
      ("@hourly", Self.utc(2026, 11, 20, 11)), ("@daily", Self.utc(2026, 11, 21)),
      ("@midnight", Self.utc(2026, 11, 21)),
      ("@weekly", Self.utc(2026, 11, 22)), ("@monthly", Self.utc(2026, 12, 1)), ("@YEARLY", Self.utc(2027, 1, 1)),
      ("@annually", Self.utc(2027, 1, 1)),
      // Both days restricted: either is enough. One beginning with `*`: both must match.
      ("0 0 13 * 5", Self.utc(2026, 11, 27)), ("0 0 */2 * 5", Self.utc(2026, 11, 27)),
      ("0 0 25 * *", Self.utc(2026, 11, 25)),
      ("0 0 23 * 5", Self.utc(2026, 11, 23)),
      ("  0\t3  * * *  ", Self.utc(2026, 11, 21, 3)),
    ]
    for (text, expected) in cases { #expect(try next(text, after: now) == expected, "\(text)") }
  }

  @Test func theNextTimeIsLaterThanTheMoment() throws {
    let exact = Self.utc(2026, 11, 20, 10)
    #expect(try next("0 10 * * *", after: exact) == Self.utc(2026, 11, 21, 10))
    #expect(try next("0 10 * * *", after: exact - 1) == exact)
    #expect(try next("* * * * *", after: -1) == 0)
    #expect(try next("* * * * *", after: -3601) == -3600)
  }

  @Test func errorsNameTheFieldAndTheRemedy() {
    let cases = [
      ("", "it has 0 fields instead of five"), ("* * * *", "it has 4 fields"), ("* * * * * *", "it has 6 fields"),
      ("60 * * * *", "cannot use minute `60`: it must be 0…59"), ("* 24 * * *", "cannot use hour `24`"),
      ("* * 0 * *", "cannot use day of month `0`: it must be 1…31"), ("* * * 13 *", "it must be 1…12 or jan…dec"),
      ("* * * * 8", "it must be 0…7 or sun…sat"), ("5-1 * * * *", "the range runs backwards"),
      ("*/0 * * * *", "the step after `/`"), ("*/x * * * *", "the step after `/`"), ("1, * * * *", "cannot use minute"),
      ("-1 * * * *", "cannot use minute"), ("+1 * * * *", "cannot use minute"), ("1-2-3 * * * *", "cannot use minute"),
      ("1/2/3 * * * *", "the step"), ("٣ * * * *", "cannot use minute"), ("@reboot", "the names are @yearly"),
      ("* * 30 2 *", "no such day ever comes"), ("* * 31 4,6,9,11 *", "no such day ever comes"),
    ]
    for (text, part) in cases {
      do {
        _ = try CronExpression(text)
        Issue.record("`\(text)` was taken")
      } catch {
        #expect(error.text.contains(part), "`\(text)`: \(error.text)")
        #expect(error.text.hasPrefix("cannot use"))
      }
    }
  }

  /// The expression read a second time, minute by minute, in the plainest way.
  private struct Plain {
    var fields: [Set<Int>]
    var either: Bool

    func matches(_ local: Int64) -> Bool {
      let date = CivilDate(daysSinceEpoch: floorDiv(local, 86_400))
      let minute = Int(floorMod(local, 86_400)) / 60
      guard fields[0].contains(minute % 60), fields[1].contains(minute / 60), fields[3].contains(date.month) else {
        return false
      }
      let day = fields[2].contains(date.day)
      let week = fields[4].contains(date.weekday) || (date.weekday == 0 && fields[4].contains(7))
      return either ? day || week : day && week
    }
  }

  @Test func randomExpressionsAgreeWithAWalkMinuteByMinute() throws {
    var random = RandomNumbers(seed: 42)
    let ranges = [0...59, 0...23, 1...31, 1...12, 0...7]
    func number(_ range: ClosedRange<Int>) -> Int { range.lowerBound + Int(random.next() % UInt64(range.count)) }
    let zones = [TimeZoneRules.utc, try TimeZoneTests.berlin(), try TimeZoneTests.lordHowe()]
    var compared = 0
    for round in 0..<240 {
      var words: [String] = []
      var fields: [Set<Int>] = []
      for (position, range) in ranges.enumerated() {
        // Sparse enough to be interesting, dense enough to come within a few days.
        switch random.next() % (position < 2 ? 3 : 4) {
        case 0:
          let low = number(range)
          let high = number(low...range.upperBound)
          words.append("\(low)-\(high)")
          fields.append(Set(low...high))
        case 1:
          let step = number(1...5)
          words.append("*/\(step)")
          fields.append(Set(stride(from: range.lowerBound, through: range.upperBound, by: step)))
        default:
          words.append("*")
          fields.append(Set(range))
        }
      }
      let text = words.joined(separator: " ")
      guard let cron = try? CronExpression(text) else { continue }
      let plain = Plain(fields: fields, either: !words[2].hasPrefix("*") && !words[4].hasPrefix("*"))
      let zone = zones[round % zones.count]
      let start = Self.utc(2026, number(1...12), number(1...28), number(0...23), number(0...59), number(0...59))
      let found = cron.nextFire(after: WallTime(nanoseconds: start * 1_000_000_000), in: zone)?.unixSeconds
      // The walk knows no special rule, so it is asked only where the clock does not change on the way.
      var time = start - floorMod(start, 60) + 60
      let end = start + 4 * 86_400
      while time < end, !plain.matches(time + zone.offset(at: time)) { time += 60 }
      let steady = zone.offset(at: start)
      let hours = stride(from: start - 86_400, through: min(time, end) + 86_400, by: 3600)
      if hours.contains(where: { zone.offset(at: $0) != steady }) { continue }
      compared += 1
      if time < end {
        #expect(found == time, "\(text) after \(start)")
      } else {
        #expect((found ?? .max) >= end, "\(text)")
      }
    }
    #expect(compared > 100)
  }

  // MARK: Daylight saving, Berlin 2026: forward on 29 March 02:00 → 03:00 (01:00 UTC), back on 25 October 03:00 → 02:00 (01:00 UTC)

  private func times(_ text: String, from start: Int64, _ count: Int) throws -> [Int64] {
    let zone = try TimeZoneTests.berlin()
    var result: [Int64] = []
    var time = start
    for _ in 0..<count {
      guard let found = try next(text, after: time, zone) else { break }
      result.append(found)
      time = found
    }
    return result
  }

  @Test func aTimeInTheGapRunsAtItsEnd() throws {
    let start = Self.utc(2026, 3, 28, 12)
    #expect(try times("30 2 * * *", from: start, 2) == [Self.utc(2026, 3, 29, 1), Self.utc(2026, 3, 30, 0, 30)])
    #expect(
      try times("0,30 2,3 * * *", from: start, 4) == [
        Self.utc(2026, 3, 29, 1), Self.utc(2026, 3, 29, 1, 30), Self.utc(2026, 3, 30, 0), Self.utc(2026, 3, 30, 0, 30),
      ], "several times in the gap are one run")
  }

  @Test func aTimeThatComesTwiceRunsOnce() throws {
    let start = Self.utc(2026, 10, 24, 12)
    #expect(try times("30 2 * * *", from: start, 2) == [Self.utc(2026, 10, 25, 0, 30), Self.utc(2026, 10, 26, 1, 30)])
    // Asked between the two: the first was the one.
    let zone = try TimeZoneTests.berlin()
    #expect(try next("30 2 * * *", after: Self.utc(2026, 10, 25, 0, 45), zone) == Self.utc(2026, 10, 26, 1, 30))
  }

  @Test func everyHourRunsByElapsedTime() throws {
    let spring = try times("0 * * * *", from: Self.utc(2026, 3, 28, 23), 5)
    #expect(zip(spring.dropFirst(), spring).map { $0 - $1 } == [3600, 3600, 3600, 3600])
    let autumn = try times("*/30 * * * *", from: Self.utc(2026, 10, 24, 23), 8)
    #expect(zip(autumn.dropFirst(), autumn).map { $0 - $1 } == Array(repeating: 1800, count: 7))
  }

  @Test func anOffsetThatChangesByHalfAnHourIsNoProblem() throws {
    // Lord Howe: +10:30, in summer +11:00; forward on the first Sunday of October at 02:00 → 02:30.
    let zone = try TimeZoneTests.lordHowe()
    let before = Self.utc(2026, 10, 3, 12)
    #expect(
      try next("15 2 * * *", after: before, zone) == Self.utc(2026, 10, 3, 15, 30), "the end of the gap is 02:30 +11")
  }

  @Test func aParserOfHostileTextNeverTraps() {
    var random = RandomNumbers(seed: 7)
    let alphabet = Array("0123456789*/-,@ \t\u{0}abcjansunäé٣%+.")
    for _ in 0..<20_000 {
      var text = ""
      for _ in 0..<(random.next() % 24) { text.append(alphabet[Int(random.next() % UInt64(alphabet.count))]) }
      if random.next() % 2 == 0 { text += " * * * *" }
      if let cron = try? CronExpression(text) {
        _ = cron.nextFire(after: WallTime(nanoseconds: Int64(bitPattern: random.next())), in: .utc)
      }
    }
  }
}
