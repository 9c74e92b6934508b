// The kernel's two ways to write a set of CPUs: lists ("0-3,8", with groups "0-15:2/4") and masks ("ff,ffffffff"). The
// grammars are those of bitmap_parselist and bitmap_parse (lib/bitmap-str.c,
// Documentation/admin-guide/kernel-parameters.rst, "cpu lists").

/// Why a text is no list or mask of CPUs.
public struct CPUSetError: Error, Equatable, Sendable {
  /// At which byte, from 0.
  public var offset: Int
  /// What is wrong there.
  public var reason: String

  /// An error.
  public init(offset: Int, reason: String) {
    self.offset = offset
    self.reason = reason
  }
}

extension CPUSet {
  /// Reads a list: numbers and ranges with commas or white space between them; `A-B:USED/GROUP` is the first USED of
  /// every GROUP CPUs. Nothing at all is the empty set.
  /// - Throws: for anything else, for a range that goes down, and for CPUs from 8192 on.
  public init(list bytes: some Collection<UInt8>) throws(CPUSetError) {
    self.init()
    var reader = ListReader(bytes: Array(bytes))
    while reader.skipSeparators() {
      let start = reader.position
      let low = try reader.cpu()
      var high = low
      var used = 1
      var group = 1
      if reader.accept(0x2D) {
        high = try reader.cpu()
        guard high >= low else { throw CPUSetError(offset: start, reason: "the range \(low)-\(high) goes down") }
        if reader.accept(0x3A) {
          let groupStart = reader.position
          used = try reader.number()
          guard reader.accept(0x2F) else { throw reader.error("expected '/' and the size of a group") }
          group = try reader.number()
          guard used > 0, group > 0, used <= group else {
            throw CPUSetError(offset: groupStart, reason: "\(used) of every \(group) is no group")
          }
        }
      }
      guard reader.isAtSeparator else { throw reader.error("expected a comma") }
      // All numbers are clamped by the reader: nothing here can overflow.
      for base in stride(from: low, through: high, by: used == group ? CPUSet.capacity : group) {
        insert(base...(used == group ? high : Swift.min(base &+ used &- 1, high)))
      }
    }
  }

  /// Reads a list; see `init(list:)` for bytes.
  public init(list text: String) throws(CPUSetError) { try self.init(list: Array(text.utf8)) }

  /// Reads a mask: groups of up to eight hexadecimal digits, 32 CPUs each, the highest first, with commas between them.
  /// - Throws: for anything else, and for CPUs from 8192 on.
  public init(mask bytes: some Collection<UInt8>) throws(CPUSetError) {
    var groups: [UInt32] = []
    var digits = 0
    var value: UInt32 = 0
    let trimmed = Array(bytes).trimmingSpace
    guard !trimmed.isEmpty else { throw CPUSetError(offset: 0, reason: "expected a hexadecimal digit") }
    for (offset, byte) in trimmed.enumerated() {
      if byte == 0x2C, digits > 0 {
        groups.append(value)
        (value, digits) = (0, 0)
      } else if let digit = hexadecimalValue(byte), digits < 8 {
        value = value << 4 | digit
        digits &+= 1
      } else {
        throw CPUSetError(
          offset: offset, reason: digits == 8 ? "more than eight digits in a group" : "expected a hexadecimal digit")
      }
    }
    guard digits > 0 else { throw CPUSetError(offset: trimmed.count, reason: "expected a hexadecimal digit") }
    groups.append(value)

    self.init()
    for (index, group) in groups.reversed().enumerated() where group != 0 {
      var rest = group
      while rest != 0 {
        guard insert(index &* 32 &+ rest.trailingZeroBitCount) else {
          throw CPUSetError(offset: 0, reason: "a CPU beyond \(Self.capacity - 1)")
        }
        rest &= rest &- 1
      }
    }
  }

  /// Reads a mask; see `init(mask:)` for bytes.
  public init(mask text: String) throws(CPUSetError) { try self.init(mask: Array(text.utf8)) }

  /// As the kernel lists it, e.g. `0-3,8`; nothing for the empty set.
  public var list: String {
    var text = ""
    var run: ClosedRange<Int>?
    func write(_ run: ClosedRange<Int>) {
      if !text.isEmpty { text += "," }
      text += run.count == 1 ? "\(run.lowerBound)" : "\(run.lowerBound)-\(run.upperBound)"
    }
    for cpu in self {
      if let before = run, before.upperBound &+ 1 == cpu {
        run = before.lowerBound...cpu
      } else {
        if let before = run { write(before) }
        run = cpu...cpu
      }
    }
    if let run { write(run) }
    return text
  }

  /// As the kernel writes a mask, without groups of zeros in front, e.g. `ff,ffffffff`; `0` for the empty set.
  public var mask: String {
    var text = ""
    for word in words.reversed() {
      for group in [UInt32(truncatingIfNeeded: word >> 32), UInt32(truncatingIfNeeded: word)] {
        if text.isEmpty {
          if group != 0 { text = String(group, radix: 16) }
        } else {
          let digits = String(group, radix: 16)
          text += "," + String(repeating: "0", count: 8 - digits.utf8.count) + digits
        }
      }
    }
    return text.isEmpty ? "0" : text
  }
}

extension CPUSet: CustomStringConvertible {
  /// The list.
  public var description: String { list }
}

/// Steps through a list.
private struct ListReader {
  let bytes: [UInt8]
  var position = 0

  private var current: UInt8? { position < bytes.count ? bytes[position] : nil }

  /// Whether nothing, a comma or white space comes next.
  var isAtSeparator: Bool { current.map { $0 == 0x2C || isSpace($0) } ?? true }

  /// Steps over commas and white space; false at the end.
  mutating func skipSeparators() -> Bool {
    while current != nil, isAtSeparator { position &+= 1 }
    return current != nil
  }

  mutating func accept(_ byte: UInt8) -> Bool {
    guard current == byte else { return false }
    position &+= 1
    return true
  }

  /// A number of decimal digits; what is larger than any CPU number is clamped to one that is too.
  mutating func number() throws(CPUSetError) -> Int {
    guard let first = current, isDigit(first) else { throw error("expected a number") }
    var value = 0
    while let digit = current, isDigit(digit) {
      value = Swift.min(value &* 10 &+ Int(digit &- 0x30), CPUSet.capacity &* 16)
      position &+= 1
    }
    return value
  }

  mutating func cpu() throws(CPUSetError) -> Int {
    let start = position
    let value = try number()
    guard value < CPUSet.capacity else {
      throw CPUSetError(offset: start, reason: "a CPU beyond \(CPUSet.capacity - 1)")
    }
    return value
  }

  func error(_ reason: String) -> CPUSetError { CPUSetError(offset: position, reason: reason) }
}
