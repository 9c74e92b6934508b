import Glibc
import Testing

@testable import SupervisorCore

@Suite(.serialized)
struct TimeZoneTests {
  /// A TZif file with these transitions and this footer.
  static func tzif(
    version: UInt8 = 0x32, offsets: [Int32] = [0], transitions: [(Int64, UInt8)] = [], footer: String = "UTC0"
  ) -> [UInt8] {
    func bytes(_ value: Int64, _ size: Int) -> [UInt8] {
      (0..<size).map { UInt8(truncatingIfNeeded: value >> Int64(8 * (size - 1 - $0))) }
    }
    func block(_ size: Int) -> [UInt8] {
      var out = Array("TZif".utf8) + [version] + Array(repeating: 0, count: 15)
      for count in [0, 0, 0, transitions.count, offsets.count, 4] { out += bytes(Int64(count), 4) }
      for (time, _) in transitions { out += bytes(time, size) }
      for (_, type) in transitions { out.append(type) }
      for offset in offsets { out += bytes(Int64(offset), 4) + [0, 0] }
      return out + Array("ABC\0".utf8)
    }
    if version == 0 { return block(4) }
    return block(4) + block(8) + Array("\n\(footer)\n".utf8)
  }

  static func berlin() throws -> TimeZoneRules {
    try TimeZoneRules(tzif: tzif(offsets: [3600], footer: "CET-1CEST,M3.5.0,M10.5.0/3"))
  }

  static func lordHowe() throws -> TimeZoneRules {
    try TimeZoneRules(tzif: tzif(version: 0x33, offsets: [37_800], footer: "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0"))
  }

  @Test func versionsOneToThreeAreRead() throws {
    let one = try TimeZoneRules(tzif: Self.tzif(version: 0, offsets: [0, 3600], transitions: [(1000, 1), (2000, 0)]))
    #expect([999, 1000, 1999, 2000].map { one.offset(at: $0) } == [0, 3600, 3600, 0])
    for version in [UInt8(0x32), 0x33, 0x34] {
      let zone = try TimeZoneRules(
        tzif: Self.tzif(version: version, offsets: [-18_000, 3600], transitions: [(-5_000_000_000, 1)], footer: ""))
      #expect(zone.offset(at: -5_000_000_001) == -18_000)
      #expect(zone.offset(at: 5_000_000_000) == 3600)
    }
  }

  @Test func theFooterHoldsAfterTheLastTransition() throws {
    let zone = try TimeZoneRules(
      tzif: Self.tzif(offsets: [0, 7200], transitions: [(1000, 1)], footer: "CET-1CEST,M3.5.0,M10.5.0/3"))
    #expect(zone.offset(at: 0) == 0)
    #expect(zone.offset(at: CronTests.utc(2026, 7, 1)) == 7200)
    #expect(zone.offset(at: CronTests.utc(2026, 12, 1)) == 3600)
    #expect(zone.offset(at: CronTests.utc(2026, 3, 29, 0, 59, 59)) == 3600)
    #expect(zone.offset(at: CronTests.utc(2026, 3, 29, 1)) == 7200)
    #expect(zone.offset(at: CronTests.utc(2400, 10, 29, 0, 59)) == 7200)
    #expect(zone.offset(at: CronTests.utc(2400, 10, 29, 1)) == 3600)
  }

  @Test func rulesOfAllKindsAreUnderstood() throws {
    func zone(_ footer: String) throws -> TimeZoneRules { try TimeZoneRules(tzif: Self.tzif(footer: footer)) }
    // South: summer spans the new year.
    let sydney = try zone("AEST-10AEDT,M10.1.0,M4.1.0/3")
    #expect(sydney.offset(at: CronTests.utc(2026, 1, 1)) == 39_600)
    #expect(sydney.offset(at: CronTests.utc(2026, 6, 1)) == 36_000)
    // Negative hours, hours beyond a day, negative daylight saving.
    let nuuk = try zone("<-02>2<-01>,M3.5.0/-1,M10.5.0/0")
    #expect(nuuk.offset(at: CronTests.utc(2026, 3, 29, 0, 59)) == -7200)
    #expect(nuuk.offset(at: CronTests.utc(2026, 3, 29, 1)) == -3600)
    let jerusalem = try zone("IST-2IDT,M3.4.4/26,M10.5.0")
    #expect(jerusalem.offset(at: CronTests.utc(2026, 3, 26, 23, 59)) == 7200)
    #expect(jerusalem.offset(at: CronTests.utc(2026, 3, 27, 0)) == 10_800)
    let dublin = try zone("IST-1GMT0,M10.5.0,M3.5.0/1")
    #expect(dublin.offset(at: CronTests.utc(2026, 7, 1)) == 3600)
    #expect(dublin.offset(at: CronTests.utc(2026, 1, 1)) == 0)
    // Day numbers.
    let julian = try zone("XXX0YYY,J60/0,J300/0")
    #expect(julian.offset(at: CronTests.utc(2028, 2, 29, 23)) == 0, "J60 is 1 March in every year")
    #expect(julian.offset(at: CronTests.utc(2028, 3, 1)) == 3600)
    let zeroBased = try zone("XXX0YYY,59/0,299/0")
    #expect(zeroBased.offset(at: CronTests.utc(2028, 2, 29)) == 3600, "59 is 29 February in a leap year")
    #expect(try zone("<+0545>-5:45").offset(at: 0) == 20_700)
  }

  @Test func localTimesAreFoundInGapsAndOverlaps() throws {
    let zone = try Self.berlin()
    // 29 March 2026, 02:30 does not exist; 25 October, 02:30 comes twice.
    #expect(zone.time(local: CronTests.utc(2026, 3, 29, 2, 30)) == CronTests.utc(2026, 3, 29, 1))
    #expect(zone.time(local: CronTests.utc(2026, 10, 25, 2, 30)) == CronTests.utc(2026, 10, 25, 0, 30))
    #expect(zone.time(local: CronTests.utc(2026, 10, 25, 3)) == CronTests.utc(2026, 10, 25, 2))
    #expect(TimeZoneRules.utc.time(local: 12_345) == 12_345)
  }

  @Test func brokenFilesAreRefusedWithAReason() {
    let good = Self.tzif(offsets: [0, 3600], transitions: [(1000, 1)], footer: "CET-1CEST,M3.5.0,M10.5.0/3")
    for length in 0..<good.count {
      #expect(throws: TimeZoneError.self, "cut off after \(length) bytes") {
        try TimeZoneRules(tzif: Array(good.prefix(length)))
      }
    }
    for (footer, part) in [
      ("C", "a name"), ("CET", "a number"), ("CET-25", "out of range"), ("CET-1CEST", "lacks when"),
      ("CET-1CEST,M3.5.0", "lacks when"),
      ("CET-1CEST,M13.5.0,M10.5.0", "out of range"), ("CET-1CEST,M3.5,M10.5.0", "incomplete"),
      ("CET-1CEST,M3.5.0,M10.5.0x", "behind its end"),
      ("CET-1CEST,J0,J1", "out of range"), ("CET-1CEST,M3.5.0/168,M10.5.0", "out of range"), ("<CET-1", "no end"),
    ] {
      do {
        _ = try TimeZoneRules(tzif: Self.tzif(footer: footer))
        Issue.record("\(footer) was taken")
      } catch {
        #expect(
          error.text.hasPrefix("cannot read the time zone: ") && error.text.contains(part), "\(footer): \(error.text)")
      }
    }
    #expect(throws: TimeZoneError("its transitions are not in order")) {
      try TimeZoneRules(tzif: Self.tzif(offsets: [0], transitions: [(2, 0), (1, 0)]))
    }
    #expect(throws: TimeZoneError("a transition leads to an offset that is not defined")) {
      try TimeZoneRules(tzif: Self.tzif(offsets: [0], transitions: [(2, 9)]))
    }
  }

  @Test func aParserOfHostileBytesNeverTraps() {
    var random = RandomNumbers(seed: 11)
    let good = Self.tzif(
      offsets: [0, 3600], transitions: [(1000, 1), (90_000, 0)], footer: "CET-1CEST,M3.5.0,M10.5.0/3")
    var taken = 0
    for _ in 0..<20_000 {
      var bytes = good
      for _ in 0...(random.next() % 4) {
        let position = Int(random.next() % UInt64(bytes.count))
        switch random.next() % 3 {
        case 0: bytes[position] = UInt8(truncatingIfNeeded: random.next())
        case 1: bytes.remove(at: position)
        default: bytes.insert(UInt8(truncatingIfNeeded: random.next()), at: position)
        }
      }
      if let zone = try? TimeZoneRules(tzif: bytes) {
        taken += 1
        for _ in 0..<4 {
          let time = Int64(bitPattern: random.next()) / 10_000_000
          #expect(abs(zone.offset(at: time)) < 93_600)
          _ = zone.time(local: time)
        }
      }
    }
    #expect(taken > 100, "some mutations are harmless")
  }

  @Test(.enabled(if: access("/usr/share/zoneinfo/Europe/Berlin", R_OK) == 0, "needs tzdata in /usr/share/zoneinfo"))
  func theSystemsZonesAgreeWithLibc() throws {
    var random = RandomNumbers(seed: 5)
    for name in [
      "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Africa/Casablanca", "America/Nuuk",
      "Asia/Gaza",
      "Pacific/Apia", "Europe/Dublin", "Antarctica/Troll", "America/Sao_Paulo", "UTC",
    ] {
      guard let file = fopen("/usr/share/zoneinfo/\(name)", "r") else { continue }
      defer { fclose(file) }
      var buffer = [UInt8](repeating: 0, count: 65_536)
      let count = fread(&buffer, 1, buffer.count, file)
      let zone = try TimeZoneRules(tzif: Array(buffer.prefix(count)))
      setenv("TZ", name, 1)
      tzset()
      for _ in 0..<2000 {
        // 1900 … 2100
        var time = time_t(Int64(random.next() % 6_311_000_000) - 2_208_000_000)
        var fields = tm()
        localtime_r(&time, &fields)
        #expect(zone.offset(at: Int64(time)) == Int64(fields.tm_gmtoff), "\(name) at \(time)")
      }
    }
    unsetenv("TZ")
    tzset()
  }
}
