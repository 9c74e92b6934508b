// The last bytes of one output stream, for `ctl tail`. Offsets are absolute: byte 0 is the first one ever appended, so that a
// reader who comes back with an offset sees what it missed, or learns how much is gone.

/// A reader that is told of every byte as it comes.
public struct FollowerID: Hashable, Sendable {
  let number: UInt64
}

/// A bounded ring of the last bytes of one stream.
///
/// Nothing is allocated before the first byte; the storage doubles up to the capacity, so a silent program costs nothing.
public final class TailBuffer {
  /// Part of a stream.
  public struct Slice: Equatable, Sendable {
    /// The absolute offset of the first byte of `bytes`: later than the offset that was asked for when those bytes are gone.
    public var offset: UInt64
    /// The bytes.
    public var bytes: [UInt8]
    /// The absolute offset after the last byte of `bytes`.
    public var end: UInt64 { offset &+ UInt64(bytes.count) }
  }

  /// How many bytes are kept at most.
  public let capacity: Int
  /// The absolute offset after the last byte: how many bytes have ever been appended.
  public private(set) var end: UInt64 = 0
  /// The absolute offset of the oldest byte that is still kept.
  public var start: UInt64 { end &- UInt64(count) }

  private static let smallest = 1024
  private var storage: [UInt8] = []
  /// Where the oldest byte is.
  private var head = 0
  private var count = 0
  private var followers: [(id: FollowerID, body: (UInt64, UnsafeRawBufferPointer) -> Void)] = []
  private var nextFollower: UInt64 = 1

  /// An empty buffer. A capacity of 0 or less keeps nothing but still counts and tells followers.
  public init(capacity: Int) { self.capacity = max(0, capacity) }

  /// How many bytes of memory the ring takes now.
  public var allocated: Int { storage.count }

  /// Whether anybody follows.
  public var hasFollowers: Bool { !followers.isEmpty }

  /// Appends; the oldest bytes go when there is no room. Followers are told before the call returns.
  public func append(_ bytes: UnsafeRawBufferPointer) {
    guard !bytes.isEmpty else { return }
    let offset = end
    store(bytes)
    end &+= UInt64(bytes.count)
    guard !followers.isEmpty else { return }
    // A follower may leave, or make others leave, while it is told: go by identity over a copy.
    for follower in followers where followers.contains(where: { $0.id == follower.id }) {
      follower.body(offset, bytes)
    }
  }

  /// What is kept from `offset` on, at most `limit` bytes. An offset that is gone starts at the oldest byte; one that has not been
  /// reached yet gives no bytes and the current end.
  public func read(from offset: UInt64, limit: Int = .max) -> Slice {
    let first = min(max(offset, start), end)
    let length = min(Int(clamping: end &- first), max(0, limit))
    return Slice(offset: first, bytes: copy(skip: count - Int(clamping: end &- first), length: length))
  }

  /// The last `length` bytes, or fewer when fewer are kept.
  public func tail(_ length: Int) -> Slice {
    let length = min(max(0, length), count)
    return Slice(offset: end &- UInt64(length), bytes: copy(skip: count - length, length: length))
  }

  /// Forgets what is kept; offsets go on.
  public func clear() {
    storage = []
    head = 0
    count = 0
  }

  /// Calls `body` with the absolute offset and the bytes of every later `append`, until `unfollow`. The bytes are only valid during
  /// the call.
  public func follow(_ body: @escaping (UInt64, UnsafeRawBufferPointer) -> Void) -> FollowerID {
    let id = FollowerID(number: nextFollower)
    nextFollower &+= 1
    followers.append((id, body))
    return id
  }

  /// Ends a `follow`; nothing happens when it has already ended.
  public func unfollow(_ id: FollowerID) { followers.removeAll { $0.id == id } }

  private func store(_ bytes: UnsafeRawBufferPointer) {
    guard capacity > 0 else { return }
    let kept = UnsafeRawBufferPointer(rebasing: bytes.suffix(capacity))
    grow(toHold: min(capacity, count + kept.count))
    let size = storage.count
    let overflow = max(0, count + kept.count - size)
    head = (head + overflow) % size
    count -= overflow
    let position = (head + count) % size
    let first = min(kept.count, size - position)
    storage.withUnsafeMutableBytes { target in
      UnsafeMutableRawBufferPointer(rebasing: target[position..<position + first])
        .copyMemory(from: UnsafeRawBufferPointer(rebasing: kept[0..<first]))
      if first < kept.count {
        UnsafeMutableRawBufferPointer(rebasing: target[0..<kept.count - first])
          .copyMemory(from: UnsafeRawBufferPointer(rebasing: kept[first...]))
      }
    }
    count += kept.count
  }

  private func grow(toHold needed: Int) {
    guard needed > storage.count else { return }
    var size = max(storage.count, TailBuffer.smallest)
    while size < needed { size *= 2 }
    size = min(size, capacity)
    var bigger = copy(skip: 0, length: count)
    bigger.reserveCapacity(size)
    bigger.append(contentsOf: repeatElement(0, count: size - bigger.count))
    storage = bigger
    head = 0
  }

  private func copy(skip: Int, length: Int) -> [UInt8] {
    guard length > 0, storage.count > 0 else { return [] }
    let position = (head + skip) % storage.count
    let first = min(length, storage.count - position)
    var bytes: [UInt8] = []
    bytes.reserveCapacity(length)
    bytes.append(contentsOf: storage[position..<position + first])
    if first < length { bytes.append(contentsOf: storage[0..<length - first]) }
    return bytes
  }
}
