// A generator whose sequence is the same on every machine: a failing case is named by its seed.

import CPUTopology

/// SplitMix64.
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var value = state
    value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
    value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
    return value ^ (value >> 31)
  }

  mutating func below(_ limit: Int) -> Int { Int.random(in: 0..<max(limit, 1), using: &self) }
  mutating func chance(_ percent: Int) -> Bool { below(100) < percent }
  mutating func pick<T>(_ choices: [T]) -> T { choices[below(choices.count)] }

  /// A set with single CPUs and runs; now and then empty, or up to the largest number there is.
  mutating func set(below limit: Int) -> CPUSet {
    var set = CPUSet()
    for _ in 0..<below(6) {
      let low = below(limit)
      set.insert(low...min(low + (chance(50) ? 0 : below(70)), limit - 1))
    }
    return set
  }

  /// Bytes that look like what the kernel writes, and some that do not.
  mutating func bytes(most: Int) -> [UInt8] {
    let telling = Array("0123456789,-:/ \n\tabcdefxKM\\\0".utf8)
    return (0..<below(most + 1)).map { _ in chance(92) ? pick(telling) : UInt8(below(256)) }
  }
}
