// A wall-clock time and its two texts: RFC 3339 for documents, RFC 9110's IMF-fixdate for the `Date` header. Pure arithmetic
// on the proleptic Gregorian calendar: no time zone database, no locale.

/// A point in time for documents. Never for deadlines.
public struct Timestamp: Comparable, Hashable, Sendable {
  /// Nanoseconds since 1970-01-01T00:00:00Z.
  public var nanoseconds: Int64

  /// The time so many nanoseconds after the epoch; negative is before.
  public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

  /// Earlier first.
  public static func < (a: Timestamp, b: Timestamp) -> Bool { a.nanoseconds < b.nanoseconds }

  /// Whole seconds since the epoch, rounded down.
  public var unixSeconds: Int64 { floorDivide(nanoseconds, by: 1_000_000_000).quotient }

  /// `2026-11-20T10:00:00.000Z`: UTC, milliseconds, rounded down.
  public var rfc3339: String {
    let (seconds, rest) = floorDivide(nanoseconds, by: 1_000_000_000)
    let civil = CivilTime(unixSeconds: seconds)
    var text: [UInt8] = []
    text.reserveCapacity(24)
    Self.pad(civil.year, 4, to: &text)
    text.append(ASCII.minus)
    Self.pad(civil.month, 2, to: &text)
    text.append(ASCII.minus)
    Self.pad(civil.day, 2, to: &text)
    text.append(0x54)
    Self.clock(civil, to: &text)
    text.append(ASCII.dot)
    Self.pad(rest / 1_000_000, 3, to: &text)
    text.append(0x5A)
    return String(decoding: text, as: UTF8.self)
  }

  /// `Fri, 20 Nov 2026 10:00:00 GMT` (RFC 9110 section 5.6.7).
  public var httpDate: String {
    let civil = CivilTime(unixSeconds: unixSeconds)
    var text: [UInt8] = []
    text.reserveCapacity(29)
    text.append(contentsOf: civil.weekdayName.utf8)
    text.append(contentsOf: ", ".utf8)
    Self.pad(civil.day, 2, to: &text)
    text.append(ASCII.space)
    text.append(contentsOf: civil.monthName.utf8)
    text.append(ASCII.space)
    Self.pad(civil.year, 4, to: &text)
    text.append(ASCII.space)
    Self.clock(civil, to: &text)
    text.append(contentsOf: " GMT".utf8)
    return String(decoding: text, as: UTF8.self)
  }

  /// The time of an RFC 3339 text in UTC (`Z`) or with a numeric offset; up to nine digits of a fraction count. nil for
  /// anything else, for a leap second, and outside of 1678…2261.
  public init?(rfc3339 text: String) {
    let bytes = Array(text.utf8)
    guard bytes.count >= 20, bytes.count <= 40, bytes[4] == ASCII.minus, bytes[7] == ASCII.minus,
      bytes[10] | 0x20 == 0x74, bytes[13] == ASCII.colon, bytes[16] == ASCII.colon,
      let year = ASCII.decimal(bytes[0..<4]), let month = ASCII.decimal(bytes[5..<7]),
      let day = ASCII.decimal(bytes[8..<10]), let hour = ASCII.decimal(bytes[11..<13]),
      let minute = ASCII.decimal(bytes[14..<16]), let second = ASCII.decimal(bytes[17..<19]),
      (1678...2261).contains(year), (1...12).contains(month),
      (1...CivilTime.days(inMonth: month, of: year)).contains(day), hour < 24, minute < 60, second < 60
    else { return nil }
    var rest = bytes[19...]
    var fraction: Int64 = 0
    if rest.first == ASCII.dot {
      let digits = rest.dropFirst().prefix(while: ASCII.isDigit)
      guard !digits.isEmpty else { return nil }
      var unit: Int64 = 100_000_000
      for digit in digits {
        fraction += Int64(digit &- ASCII.zero) * unit
        unit /= 10
      }
      rest = rest[digits.endIndex...]
    }
    guard let offset = Self.offset(rest) else { return nil }
    let days = CivilTime.daysSinceEpoch(year: Int64(year), month: Int64(month), day: Int64(day))
    let seconds = days * 86_400 + Int64(hour * 3600 + minute * 60 + second) - offset
    self.init(nanoseconds: seconds * 1_000_000_000 + fraction)
  }

  /// The offset from UTC in seconds.
  private static func offset(_ bytes: ArraySlice<UInt8>) -> Int64? {
    let text = Array(bytes)
    if text.count == 1, text[0] | 0x20 == 0x7A { return 0 }
    guard text.count == 6, text[0] == 0x2B || text[0] == ASCII.minus, text[3] == ASCII.colon,
      let hours = ASCII.decimal(text[1..<3]), let minutes = ASCII.decimal(text[4..<6]), hours < 24, minutes < 60
    else { return nil }
    let seconds = Int64(hours * 3600 + minutes * 60)
    return text[0] == ASCII.minus ? -seconds : seconds
  }

  private static func clock(_ civil: CivilTime, to text: inout [UInt8]) {
    pad(civil.hour, 2, to: &text)
    text.append(ASCII.colon)
    pad(civil.minute, 2, to: &text)
    text.append(ASCII.colon)
    pad(civil.second, 2, to: &text)
  }

  private static func pad(_ number: Int64, _ width: Int, to text: inout [UInt8]) {
    let digits = String(number)
    for _ in digits.utf8.count..<max(width, digits.utf8.count) { text.append(ASCII.zero) }
    text.append(contentsOf: digits.utf8)
  }
}

/// Division that rounds down, with a remainder that is never negative.
private func floorDivide(_ value: Int64, by divisor: Int64) -> (quotient: Int64, remainder: Int64) {
  let (quotient, remainder) = value.quotientAndRemainder(dividingBy: divisor)
  return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
}

/// A UTC date and time of day. The day arithmetic is the usual one with years that begin in March, so that the leap day is
/// the last of its year; exact for every Int64 of nanoseconds.
struct CivilTime {
  var year: Int64
  var month: Int64
  var day: Int64
  var hour: Int64
  var minute: Int64
  var second: Int64
  /// 0 is Sunday.
  var weekday: Int64

  init(unixSeconds: Int64) {
    let (days, time) = floorDivide(unixSeconds, by: 86_400)
    hour = time / 3600
    minute = time % 3600 / 60
    second = time % 60
    weekday = floorDivide(days + 4, by: 7).remainder
    let (era, dayOfEra) = floorDivide(days + 719_468, by: 146_097)
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shifted = (5 * dayOfYear + 2) / 153
    day = dayOfYear - (153 * shifted + 2) / 5 + 1
    month = shifted < 10 ? shifted + 3 : shifted - 9
    year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
  }

  var monthName: String {
    let names = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    let index = Int(month) - 1
    return names.indices.contains(index) ? names[index] : ""
  }

  var weekdayName: String {
    let names = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
    let index = Int(weekday)
    return names.indices.contains(index) ? names[index] : ""
  }

  static func daysSinceEpoch(year: Int64, month: Int64, day: Int64) -> Int64 {
    let shiftedYear = month <= 2 ? year - 1 : year
    let (era, yearOfEra) = floorDivide(shiftedYear, by: 400)
    let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
    return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
  }

  static func days(inMonth month: Int, of year: Int) -> Int {
    switch month {
    case 4, 6, 9, 11: 30
    case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
    default: 31
    }
  }
}
