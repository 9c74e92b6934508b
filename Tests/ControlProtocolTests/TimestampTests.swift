import ControlProtocol
import Testing

@Suite struct TimestampTests {
  @Test func writesKnownTimes() {
    let cases: [(Int64, String, String)] = [
      (0, "1970-01-01T00:00:00.000Z", "Thu, 01 Jan 1970 00:00:00 GMT"),
      (-1, "1969-12-31T23:59:59.999Z", "Wed, 31 Dec 1969 23:59:59 GMT"),
      (951_782_400_000_000_000, "2000-02-29T00:00:00.000Z", "Tue, 29 Feb 2000 00:00:00 GMT"),
      (1_795_168_800_123_999_999, "2026-11-20T10:00:00.123Z", "Fri, 20 Nov 2026 10:00:00 GMT"),
      (784_111_777_000_000_000, "1994-11-06T08:49:37.000Z", "Sun, 06 Nov 1994 08:49:37 GMT"),
      (.max, "2262-04-11T23:47:16.854Z", "Fri, 11 Apr 2262 23:47:16 GMT"),
      (.min, "1677-09-21T00:12:43.145Z", "Tue, 21 Sep 1677 00:12:43 GMT"),
    ]
    for (nanoseconds, rfc3339, http) in cases {
      #expect(Timestamp(nanoseconds: nanoseconds).rfc3339 == rfc3339)
      #expect(Timestamp(nanoseconds: nanoseconds).httpDate == http)
    }
  }

  @Test func readsWhatItWrites() {
    for seed in 0..<fuzzCases {
      var random = SeededGenerator(seed: seed)
      let milliseconds = Int64.random(in: -9_000_000_000_000...9_000_000_000_000, using: &random)
      let time = Timestamp(nanoseconds: milliseconds * 1_000_000)
      #expect(Timestamp(rfc3339: time.rfc3339) == time, "\(time.rfc3339)")
    }
  }

  @Test func everyDayOfFourCenturiesHasItsDate() {
    // Counted up by hand, month by month, against the arithmetic.
    var day = Int64(-25_567)  // 1900-01-01
    for year in 1900..<2261 {
      for month in 1...12 {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        let length = [31, leap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1]
        func pad(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
        for date in [1, length] {
          let time = Timestamp(nanoseconds: (day + Int64(date) - 1) * 86_400_000_000_000)
          #expect(time.rfc3339 == "\(year)-\(pad(month))-\(pad(date))T00:00:00.000Z")
        }
        day += Int64(length)
      }
    }
  }

  @Test func readsOffsetsAndFractions() {
    let base = Timestamp(rfc3339: "2026-11-20T10:00:00Z")
    #expect(base?.nanoseconds == 1_795_168_800_000_000_000)
    #expect(Timestamp(rfc3339: "2026-11-20t12:30:00.000000001+02:30")?.nanoseconds == 1_795_168_800_000_000_001)
    #expect(Timestamp(rfc3339: "2026-11-20T05:00:00.5-05:00")?.nanoseconds == 1_795_168_800_500_000_000)
    #expect(Timestamp(rfc3339: "2026-11-20T10:00:00.1234567899999z")?.nanoseconds == 1_795_168_800_123_456_789)
  }

  @Test func refusesWhatIsNoTime() {
    for text in [
      "", "2026-11-20", "2026-11-20T10:00:00", "2026-13-20T10:00:00Z", "2026-02-29T10:00:00Z", "2026-11-31T10:00:00Z",
      "2026-11-00T10:00:00Z",
      "2026-11-20T24:00:00Z", "2026-11-20T10:60:00Z", "2026-11-20T10:00:60Z", "2026-11-20T10:00:00.Z",
      "2026-11-20T10:00:00ZZ",
      "2026-11-20T10:00:00+2:00", "2026-11-20T10:00:00+24:00", "1600-01-01T00:00:00Z", "2300-01-01T00:00:00Z",
      "2026-11-20 10:00:00Z",
      "２026-11-20T10:00:00Z",
    ] {
      #expect(Timestamp(rfc3339: text) == nil, "\(text)")
    }
  }
}
