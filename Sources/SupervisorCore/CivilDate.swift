// The proleptic Gregorian calendar (days ↔ dates; Hinnant, "chrono-Compatible Low-Level Date Algorithms").

/// A date.
struct CivilDate: Equatable, Sendable {
  var year: Int64
  /// 1…12.
  var month: Int
  /// 1…31.
  var day: Int
  /// 0 (Sunday)…6.
  var weekday: Int

  /// The date so many days after 1970-01-01.
  init(daysSinceEpoch days: Int64) {
    let shifted = days + 719_468
    let era = floorDiv(shifted, 146_097)
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let monthFromMarch = (5 * dayOfYear + 2) / 153
    day = Int(dayOfYear - (153 * monthFromMarch + 2) / 5 + 1)
    month = Int(monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9)
    year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    weekday = Int(floorMod(days + 4, 7))
  }

  /// Days from 1970-01-01 to this date.
  static func daysSinceEpoch(year: Int64, month: Int, day: Int) -> Int64 {
    let shifted = month <= 2 ? year - 1 : year
    let era = floorDiv(shifted, 400)
    let yearOfEra = shifted - era * 400
    let monthFromMarch = Int64(month > 2 ? month - 3 : month + 9)
    let dayOfYear = (153 * monthFromMarch + 2) / 5 + Int64(day) - 1
    let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
    return era * 146_097 + dayOfEra - 719_468
  }

  static func isLeap(_ year: Int64) -> Bool { year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) }

  static func daysInMonth(year: Int64, month: Int) -> Int {
    switch month {
    case 4, 6, 9, 11: 30
    case 2: isLeap(year) ? 29 : 28
    default: 31
    }
  }
}

/// Division that rounds down; `b` > 0.
func floorDiv(_ a: Int64, _ b: Int64) -> Int64 { a / b - (a % b < 0 ? 1 : 0) }

/// The remainder of that, 0…b-1.
func floorMod(_ a: Int64, _ b: Int64) -> Int64 { a % b < 0 ? a % b + b : a % b }
