import Testing

@testable import SupervisorRuntime

@Suite("The last bytes of a stream")
struct TailBufferTests {
  private func append(_ buffer: TailBuffer, _ text: String) { withBytes(text) { buffer.append($0) } }

  @Test("takes no memory before the first byte, and grows only as far as it is filled")
  func growsLazily() {
    let buffer = TailBuffer(capacity: 16 * 1024)
    #expect(buffer.allocated == 0)
    append(buffer, "x")
    #expect(buffer.allocated == 1024)
    append(buffer, String(repeating: "y", count: 3000))
    #expect(buffer.allocated == 4096)
    for _ in 0..<100 { append(buffer, String(repeating: "z", count: 1000)) }
    #expect(buffer.allocated == 16 * 1024)
  }

  @Test(
    "holds exactly the last bytes, whatever the sizes of the pieces", arguments: [1, 2, 7, 64, 1000, 1024, 1025, 5000])
  func keepsTheLastBytes(capacity: Int) {
    var generator = SeededGenerator(seed: UInt64(capacity))
    let buffer = TailBuffer(capacity: capacity)
    var all: [UInt8] = []
    for _ in 0..<300 {
      let piece = (0..<Int.random(in: 0...capacity * 2, using: &generator)).map { _ in
        UInt8.random(in: 0...255, using: &generator)
      }
      piece.withUnsafeBytes { buffer.append($0) }
      all += piece
      #expect(buffer.end == UInt64(all.count))
      #expect(buffer.tail(.max).bytes == Array(all.suffix(capacity)))
      #expect(buffer.start == UInt64(max(0, all.count - capacity)))
      let offset = Int.random(in: 0...all.count, using: &generator)
      let limit = Int.random(in: 0...capacity, using: &generator)
      let slice = buffer.read(from: UInt64(offset), limit: limit)
      let first = max(offset, all.count - capacity)
      #expect(slice.offset == UInt64(first))
      #expect(slice.bytes == Array(all[first...].prefix(limit)))
    }
  }

  @Test("an offset that has not been reached gives the end")
  func offsetBeyondTheEnd() {
    let buffer = TailBuffer(capacity: 10)
    append(buffer, "abc")
    #expect(buffer.read(from: 99) == TailBuffer.Slice(offset: 3, bytes: []))
  }

  @Test("a capacity of nothing counts and tells followers all the same")
  func keepsNothing() {
    let buffer = TailBuffer(capacity: 0)
    var heard: [UInt8] = []
    _ = buffer.follow { _, bytes in heard += Array(bytes) }
    append(buffer, "abc")
    #expect(buffer.end == 3)
    #expect(buffer.tail(10).bytes.isEmpty)
    #expect(heard == Array("abc".utf8))
  }

  @Test("a follower gets every later byte with its offset, until it leaves")
  func followers() {
    let buffer = TailBuffer(capacity: 4)
    append(buffer, "before")
    var heard: [(UInt64, String)] = []
    let id = buffer.follow { offset, bytes in heard.append((offset, String(decoding: bytes, as: UTF8.self))) }
    append(buffer, "one")
    append(buffer, "two")
    buffer.unfollow(id)
    append(buffer, "three")
    #expect(heard.map(\.0) == [6, 9])
    #expect(heard.map(\.1) == ["one", "two"])
    #expect(!buffer.hasFollowers)
  }

  @Test("a follower may make itself and others leave while it is told")
  func leavingWithinACall() {
    let buffer = TailBuffer(capacity: 4)
    var heard: [String] = []
    var ids: [FollowerID] = []
    ids.append(
      buffer.follow { _, _ in
        heard.append("first")
        for id in ids { buffer.unfollow(id) }
      })
    ids.append(buffer.follow { _, _ in heard.append("second") })
    append(buffer, "x")
    append(buffer, "y")
    #expect(heard == ["first"])
  }

  @Test("clear forgets the bytes and keeps counting")
  func clear() {
    let buffer = TailBuffer(capacity: 10)
    append(buffer, "abc")
    buffer.clear()
    #expect(buffer.tail(10) == TailBuffer.Slice(offset: 3, bytes: []))
    append(buffer, "d")
    #expect(buffer.read(from: 0) == TailBuffer.Slice(offset: 3, bytes: Array("d".utf8)))
  }
}
