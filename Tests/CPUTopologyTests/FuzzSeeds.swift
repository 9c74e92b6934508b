// The seeds of the generators: always the same ones first, and new ones for as long as HIVE_FUZZ_SECONDS says (CI gives
// each test a share).

import Glibc

/// 0, 1, … `count` - 1; then, with HIVE_FUZZ_SECONDS, seeds that no run had before until that time is over. A test
/// names the seed that it failed with, so every failure can be repeated.
struct FuzzSeeds: Sequence, IteratorProtocol {
  private let count: UInt64
  private var given: UInt64 = 0
  private var fresh = UInt64.random(in: 1 << 32...UInt64.max >> 1)
  private let end: Int

  init(_ count: UInt64) {
    self.count = count
    let seconds = getenv("HIVE_FUZZ_SECONDS").flatMap { Int(String(cString: $0)) } ?? 0
    end = seconds > 0 ? time(nil) + seconds : 0
  }

  mutating func next() -> UInt64? {
    given += 1
    if given <= count { return given - 1 }
    guard end > 0, time(nil) < end else { return nil }
    fresh &+= 1
    return fresh
  }
}
