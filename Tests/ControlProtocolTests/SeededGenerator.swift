// A generator whose sequence is the same on every machine: a failing case is named by its seed.

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

  /// Text of any length up to `most` with what usually hurts.
  mutating func text(most: Int) -> String {
    let nasty: [Unicode.Scalar] = [
      "\0", "\n", "\r", "\"", "\\", "%", "/", "&", "=", "+", ":", "é", "日", "😀", "\u{7F}", "\u{FFFD}", " ",
    ]
    var scalars = String.UnicodeScalarView()
    for _ in 0..<below(most + 1) {
      scalars.append(chance(40) ? pick(nasty) : Unicode.Scalar(UInt8(97 + below(26))))
    }
    return String(scalars)
  }

  /// A copy with a few bytes changed, removed, doubled or inserted.
  mutating func mutated(_ bytes: [UInt8]) -> [UInt8] {
    let telling: [UInt8] = [0, 9, 10, 13, 32, 34, 37, 44, 47, 48, 58, 91, 92, 93, 123, 125, 127, 128, 192, 255]
    var result = bytes
    for _ in 0..<(1 + below(4)) {
      let position = below(result.count + 1)
      switch below(5) {
      case 0 where position < result.count: result[position] = UInt8(below(256))
      case 1 where position < result.count: result.remove(at: position)
      case 2: result.insert(pick(telling), at: position)
      case 3:
        let end = min(result.count, position + below(12))
        result.insert(contentsOf: Array(result[position..<end]), at: position)
      default: result.removeLast(min(result.count, below(6)))
      }
    }
    return result
  }

  /// The bytes in pieces.
  mutating func pieces(_ bytes: [UInt8]) -> [[UInt8]] {
    var pieces: [[UInt8]] = []
    var rest = bytes[...]
    while !rest.isEmpty {
      let piece = rest.prefix(1 + below(9))
      pieces.append(Array(piece))
      rest = rest.dropFirst(piece.count)
    }
    return pieces
  }
}
