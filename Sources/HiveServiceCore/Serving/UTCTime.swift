import Glibc
import Synchronization

/// Wall-clock time as text, without Foundation.
enum UTCTime {
  /// RFC 3339 with milliseconds: `2026-11-20T10:00:00.000Z`.
  static func rfc3339() -> String {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    return format("%Y-%m-%dT%H:%M:%S.", now.tv_sec) + padded(now.tv_nsec / 1_000_000) + "Z"
  }

  /// RFC 9110's IMF-fixdate: `Sun, 06 Nov 1994 08:49:37 GMT`.
  static func httpDate(_ seconds: time_t) -> String { format("%a, %d %b %Y %H:%M:%S GMT", seconds) }

  private static func padded(_ milliseconds: Int) -> String {
    let digits = String(milliseconds)
    return String(repeating: "0", count: max(0, 3 - digits.count)) + digits
  }

  // The process stays in the C locale, so that names of days are English.
  private static func format(_ pattern: String, _ seconds: time_t) -> String {
    var seconds = seconds
    var parts = tm()
    gmtime_r(&seconds, &parts)
    var buffer = [CChar](repeating: 0, count: 64)
    let length = strftime(&buffer, buffer.count, pattern, &parts)
    return String(decoding: buffer.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}

/// The `Date` header's value, made once a second.
final class HTTPDateCache: Sendable {
  private let cached = Mutex<(second: time_t, text: String)>((0, ""))

  func current() -> String {
    let second = time(nil)
    return cached.withLock { cached in
      if cached.second != second { cached = (second, UTCTime.httpDate(second)) }
      return cached.text
    }
  }
}
