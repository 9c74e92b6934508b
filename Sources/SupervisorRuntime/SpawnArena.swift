// The C side of one start: argument and environment vectors in one buffer that is reused from start to start. A thousand starts
// allocate as often as one does.

import CHiveSys
import Glibc
import SupervisorCore

/// Strings and vectors for execve(2).
struct SpawnArena: ~Copyable {
  private var text: UnsafeMutablePointer<CChar>
  private var textCapacity: Int
  private var textCount = 0
  /// Where each string of the vectors begins, -1 for the NULL at a vector's end.
  private var offsets: [Int] = []
  private var vectors: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
  private var vectorCapacity: Int

  init() {
    textCapacity = 8192
    text = .allocate(capacity: textCapacity)
    vectorCapacity = 128
    vectors = .allocate(capacity: vectorCapacity)
  }

  deinit {
    text.deallocate()
    vectors.deallocate()
  }

  /// Forgets everything and keeps the memory, unless an unusually large start has made it more than a resident should hold.
  mutating func reset() {
    if textCapacity > 256 * 1024 {
      text.deallocate()
      textCapacity = 8192
      text = .allocate(capacity: textCapacity)
    }
    textCount = 0
    offsets.removeAll(keepingCapacity: true)
  }

  /// Adds a string with its NUL; its offset, or nil when it contains a NUL itself, at which the kernel would cut it.
  mutating func add(_ first: String, _ second: String = "", _ third: String = "") -> Int? {
    let start = textCount
    guard append(first), append(second), append(third) else { return nil }
    reserve(1)
    text[textCount] = 0
    textCount += 1
    return start
  }

  /// Adds `name=` and room for a pid, which the child fills in; the offset of the entry and of the room.
  mutating func addPidSlot(_ name: String) -> (entry: Int, slot: Int)? {
    let start = textCount
    guard append(name), append("=") else { return nil }
    let slot = textCount
    reserve(Int(HIVE_PID_SLOT))
    for index in 0..<Int(HIVE_PID_SLOT) { text[slot + index] = 0 }
    textCount += Int(HIVE_PID_SLOT)
    return (start, slot)
  }

  /// Adds the string at `offset` to the vector that is being made.
  mutating func point(to offset: Int) { offsets.append(offset) }

  /// Ends the vector that is being made.
  mutating func endVector() { offsets.append(-1) }

  /// Where the next vector will begin.
  var nextVector: Int { offsets.count }

  /// The string at an offset, once nothing more is added.
  func string(at offset: Int) -> UnsafeMutablePointer<CChar> { text + offset }

  /// Turns offsets into addresses; the vector that began at `n` is at the result + `n`.
  mutating func finishVectors() -> UnsafeMutablePointer<UnsafeMutablePointer<CChar>?> {
    if vectorCapacity < offsets.count {
      vectors.deallocate()
      vectorCapacity = offsets.count * 2
      vectors = .allocate(capacity: vectorCapacity)
    }
    for (index, offset) in offsets.enumerated() { vectors[index] = offset < 0 ? nil : text + offset }
    return vectors
  }

  private mutating func append(_ string: String) -> Bool {
    var string = string
    // `withUTF8` of a native string is its own storage: one memcpy.
    return string.withUTF8 { bytes in
      guard let base = bytes.baseAddress, !bytes.isEmpty else { return true }
      if memchr(base, 0, bytes.count) != nil { return false }
      reserve(bytes.count)
      memcpy(text + textCount, base, bytes.count)
      textCount += bytes.count
      return true
    }
  }

  private mutating func reserve(_ count: Int) {
    if textCount + count <= textCapacity { return }
    let capacity = max(textCapacity * 2, textCount + count)
    let larger = UnsafeMutablePointer<CChar>.allocate(capacity: capacity)
    memcpy(larger, text, textCount)
    text.deallocate()
    text = larger
    textCapacity = capacity
  }
}
