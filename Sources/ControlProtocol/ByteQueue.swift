// Bytes that have arrived and are not yet understood.

/// A queue of bytes with a memory of how far the search for a line's end has come, so that feeding a message byte by byte
/// costs no more than feeding it whole.
struct ByteQueue {
  private var storage: [UInt8] = []
  private var start = 0
  /// Up to here there is no LF.
  private var searched = 0

  /// How many bytes wait.
  var count: Int { storage.count - start }

  mutating func append(_ bytes: some Collection<UInt8>) { storage.append(contentsOf: bytes) }

  mutating func append(_ bytes: UnsafeRawBufferPointer) { storage.append(contentsOf: bytes) }

  /// How long the next line is without its LF, once the LF is there.
  mutating func lineLength() -> Int? {
    searched = max(searched, start)
    guard let end = storage[searched...].firstIndex(of: ASCII.lineFeed) else {
      searched = storage.count
      return nil
    }
    searched = end
    return end - start
  }

  /// Takes up to `length` bytes.
  mutating func take(_ length: Int) -> ArraySlice<UInt8> {
    let end = start + min(max(length, 0), count)
    let taken = storage[start..<end]
    start = end
    compact()
    return taken
  }

  /// Takes a line whose length was just told, and its LF.
  mutating func takeLine(_ length: Int) -> ArraySlice<UInt8> { take(length + 1).dropLast() }

  /// Forgets everything.
  mutating func removeAll() {
    storage = []
    start = 0
    searched = 0
  }

  private mutating func compact() {
    if start == storage.count {
      // A slice that is still in use keeps the old storage; the queue begins anew.
      storage = []
      start = 0
      searched = 0
    } else if start >= 16 * 1024 {
      storage.removeFirst(start)
      searched = max(searched - start, 0)
      start = 0
    }
  }
}
