// A random generator that gives the same numbers on every run (SplitMix64).

struct Seeded: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var value = state
    value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
    value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
    return value ^ value >> 31
  }

  static let shellCharacters = Array("ab -=/ \\\"'#\n\t\"'\\ x!~{")

  mutating func text(of characters: [Character], upTo count: Int) -> String {
    String((0..<Int.random(in: 0...count, using: &self)).compactMap { _ in characters.randomElement(using: &self) })
  }

  /// Changes, removes or inserts a few bytes.
  mutating func mutate(_ bytes: [UInt8]) -> [UInt8] {
    var bytes = bytes
    for _ in 0..<Int.random(in: 1...4, using: &self) {
      let index = bytes.isEmpty ? 0 : Int.random(in: 0..<bytes.count, using: &self)
      switch Int.random(in: 0...3, using: &self) {
      case 0 where !bytes.isEmpty: bytes[index] = UInt8.random(in: 0...255, using: &self)
      case 1 where !bytes.isEmpty: bytes.remove(at: index)
      case 2: bytes.insert(UInt8.random(in: 0...255, using: &self), at: index)
      default: bytes.removeLast(min(bytes.count, Int.random(in: 0...8, using: &self)))
      }
    }
    return bytes
  }
}
