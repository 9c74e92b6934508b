// A set of CPU numbers as the kernel's cpumask: words of bits. A value without a fixed size, because cpu_set_t ends at
// 1024 CPUs and Linux does not (CONFIG_NR_CPUS may be 8192).

/// A set of logical CPUs, 0…8191.
public struct CPUSet: Equatable, Hashable, Sendable {
  /// One more than the largest CPU number that a set can hold: CONFIG_NR_CPUS's own limit on x86-64 and arm64.
  public static let capacity = 8192

  /// The bits, CPU 0 in the lowest bit of the first word; the last word is never 0. On 64-bit Linux this is the memory
  /// of a cpu_set_t.
  public private(set) var words: [UInt64] = []

  /// The empty set.
  public init() {}

  /// The set of these CPUs. What no set can hold (negative numbers, 8192 and above) is left out.
  public init(_ cpus: some Sequence<Int>) {
    for cpu in cpus { insert(cpu) }
  }

  /// The set with these bits; what is beyond CPU 8191 is left out.
  public init(words: some Sequence<UInt64>) {
    self.words = Array(words.prefix(Self.capacity / 64))
    trim()
  }

  /// Whether it holds no CPU.
  public var isEmpty: Bool { words.isEmpty }

  /// How many CPUs it holds.
  public var count: Int { words.reduce(0) { $0 &+ $1.nonzeroBitCount } }

  /// The lowest CPU; nil when it is empty.
  public var first: Int? {
    for (index, word) in words.enumerated() where word != 0 { return index &* 64 &+ word.trailingZeroBitCount }
    return nil
  }

  /// The highest CPU; nil when it is empty.
  public var last: Int? { words.last.map { words.count &* 64 &- 1 &- $0.leadingZeroBitCount } }

  /// Whether it holds this CPU.
  public func contains(_ cpu: Int) -> Bool {
    guard cpu >= 0, cpu / 64 < words.count else { return false }
    return words[cpu / 64] & (1 << UInt64(cpu % 64)) != 0
  }

  /// Adds a CPU.
  /// - Returns: false when no set can hold it; the set is as before.
  @discardableResult
  public mutating func insert(_ cpu: Int) -> Bool {
    guard cpu >= 0, cpu < Self.capacity else { return false }
    while words.count <= cpu / 64 { words.append(0) }
    words[cpu / 64] |= 1 << UInt64(cpu % 64)
    return true
  }

  /// Adds every CPU of a range; what no set can hold is left out.
  public mutating func insert(_ range: ClosedRange<Int>) {
    let low = Swift.max(range.lowerBound, 0)
    let high = Swift.min(range.upperBound, Self.capacity - 1)
    guard low <= high else { return }
    while words.count <= high / 64 { words.append(0) }
    for index in low / 64...high / 64 {
      var bits = UInt64.max
      if index == low / 64 { bits &= UInt64.max << UInt64(low % 64) }
      if index == high / 64 { bits &= UInt64.max >> UInt64(63 - high % 64) }
      words[index] |= bits
    }
  }

  /// Takes a CPU out.
  public mutating func remove(_ cpu: Int) {
    guard contains(cpu) else { return }
    words[cpu / 64] &= ~(1 << UInt64(cpu % 64))
    trim()
  }

  /// What is in either.
  public func union(_ other: CPUSet) -> CPUSet { combined(with: other) { $0 | $1 } }

  /// What is in both.
  public func intersection(_ other: CPUSet) -> CPUSet { combined(with: other) { $0 & $1 } }

  /// What is in this one and not in the other.
  public func subtracting(_ other: CPUSet) -> CPUSet { combined(with: other) { $0 & ~$1 } }

  /// Adds what is in the other.
  public mutating func formUnion(_ other: CPUSet) { self = union(other) }

  /// Takes out what is in the other.
  public mutating func subtract(_ other: CPUSet) { self = subtracting(other) }

  /// Whether the other holds all of this one's CPUs.
  public func isSubset(of other: CPUSet) -> Bool { subtracting(other).isEmpty }

  /// Whether they have no CPU in common.
  public func isDisjoint(with other: CPUSet) -> Bool { intersection(other).isEmpty }

  private func combined(with other: CPUSet, _ operation: (UInt64, UInt64) -> UInt64) -> CPUSet {
    var result = CPUSet()
    let count = Swift.max(words.count, other.words.count)
    result.words.reserveCapacity(count)
    for index in 0..<count {
      result.words.append(
        operation(index < words.count ? words[index] : 0, index < other.words.count ? other.words[index] : 0))
    }
    result.trim()
    return result
  }

  private mutating func trim() {
    while words.last == 0 { words.removeLast() }
  }
}

extension CPUSet: Sequence {
  /// Gives the CPUs from the lowest to the highest.
  public struct Iterator: IteratorProtocol {
    private let words: [UInt64]
    private var index = 0
    private var rest: UInt64

    init(_ words: [UInt64]) {
      self.words = words
      rest = words.first ?? 0
    }

    /// The next CPU; nil after the last one.
    public mutating func next() -> Int? {
      while rest == 0 {
        index &+= 1
        guard index < words.count else { return nil }
        rest = words[index]
      }
      let bit = rest.trailingZeroBitCount
      rest &= rest &- 1
      return index &* 64 &+ bit
    }
  }

  /// The CPUs from the lowest to the highest.
  public func makeIterator() -> Iterator { Iterator(words) }

  /// As `count`: a sequence's own guess would be 0.
  public var underestimatedCount: Int { count }
}

extension CPUSet: ExpressibleByArrayLiteral {
  /// The set of these CPUs; what no set can hold is left out.
  public init(arrayLiteral elements: Int...) { self.init(elements) }
}
