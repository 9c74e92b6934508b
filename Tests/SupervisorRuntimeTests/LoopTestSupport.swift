// What the tests of pumps, sockets and probes share: a loop that is turned until something is true, a directory of one's own, and
// clients that never block.

import CHiveSys
import Foundation
import SupervisorCore
import Testing

@testable import SupervisorRuntime

extension EventLoop {
  /// Turns the loop until `condition` is true; false when it is not within `limit`.
  func turns(within limit: Interval = .seconds(10), until condition: () -> Bool) -> Bool {
    let deadline = Clock.instant() + limit
    let timer = schedule(at: deadline) {}
    defer { cancel(timer) }
    while !condition() {
      if Clock.instant() >= deadline { return false }
      turn(wait: true)
    }
    return true
  }

  /// Handles everything that is ready now, and what that makes ready.
  func settle() {
    for _ in 0..<200 { turn(wait: false) }
  }
}

/// A directory that is removed with the object.
final class ScratchDirectory {
  let path: String

  init() throws {
    var template = Array("/tmp/hivesup-test-XXXXXX".utf8CString)
    let made = template.withUnsafeMutableBufferPointer { buffer in
      buffer.baseAddress.flatMap { mkdtemp($0) }.map { String(cString: $0) }
    }
    path = try #require(made)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func file(_ name: String) -> String { "\(path)/\(name)" }

  /// The names in the directory, sorted.
  var names: [String] { ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted() }

  func bytes(_ name: String) -> [UInt8] { FileManager.default.contents(atPath: file(name)).map { Array($0) } ?? [] }

  func text(_ name: String) -> String { String(decoding: bytes(name), as: UTF8.self) }
}

/// SIGPIPE as hivesupd has it. Idempotent.
func ignoreBrokenPipes() { signal(SIGPIPE, SIG_IGN) }

/// Writes all of `bytes` to a blocking descriptor.
func writeAll(_ descriptor: Int32, _ text: String) {
  let bytes = Array(text.utf8)
  var done = 0
  while done < bytes.count {
    let count = bytes[done...].withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
    if count <= 0 { return }
    done += count
  }
}

/// What a descriptor gives without waiting.
func readAvailable(_ descriptor: Int32, limit: Int = 1 << 22) -> [UInt8] {
  var all: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 65536)
  while all.count < limit {
    var request = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    guard poll(&request, 1, 0) > 0 else { break }
    let count = read(descriptor, &buffer, min(buffer.count, limit - all.count))
    if count <= 0 { break }
    all.append(contentsOf: buffer[..<count])
  }
  return all
}

/// A blocking pipe.
func makePipe() throws -> (read: Int32, write: Int32) {
  var ends: [Int32] = [-1, -1]
  try #require(pipe(&ends) == 0)
  return (ends[0], ends[1])
}

/// How many descriptors this process has.
func descriptorCount() -> Int {
  ((try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? []).count
}

/// A client that never blocks: it says things and keeps what it hears.
final class TestClient {
  private(set) var descriptor: Int32
  private(set) var heard: [UInt8] = []
  private(set) var isEnded = false
  private(set) var wasReset = false

  init(unix path: String) throws {
    descriptor = try TestClient.connected(try #require(KernelAddress.toConnect(.unix(path: path)).first))
  }

  init(port: UInt16, host: String = "127.0.0.1") throws {
    descriptor = try TestClient.connected(try #require(KernelAddress.toConnect(.tcp(host: host, port: port)).first))
  }

  init(adopting descriptor: Int32) throws {
    try #require(descriptor >= 0)
    self.descriptor = descriptor
  }

  deinit { close() }

  private static func connected(_ address: KernelAddress) throws -> Int32 {
    let descriptor = socket(address.family, Int32(SOCK_STREAM.rawValue), 0)
    try #require(descriptor >= 0)
    // Loopback and unix sockets connect to the queue of a listener without its help.
    let result = address.withPointer { connect(descriptor, $0, $1) }
    let reason = errno
    if result == 0 { return descriptor }
    Glibc.close(descriptor)
    throw SystemError("connect", errno: reason)
  }

  func say(_ text: String) {
    let bytes = Array(text.utf8)
    _ = bytes.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
  }

  func shutdownWriting() { _ = shutdown(descriptor, Int32(SHUT_WR)) }

  func close() {
    if descriptor >= 0 { Glibc.close(descriptor) }
    descriptor = -1
  }

  /// Takes what has arrived.
  func listen() {
    var buffer = [UInt8](repeating: 0, count: 65536)
    while descriptor >= 0 && !isEnded {
      let count = recv(descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT))
      if count > 0 {
        heard.append(contentsOf: buffer[..<count])
      } else if count == 0 {
        isEnded = true
      } else {
        if errno != EAGAIN {
          isEnded = true
          wasReset = true
        }
        return
      }
    }
  }

  var text: String { String(decoding: heard, as: UTF8.self) }

  /// Turns the loop until the other side has closed.
  func waitForEnd(_ loop: EventLoop, within limit: Interval = .seconds(10)) -> Bool {
    loop.pollingTurns(within: limit) {
      listen()
      return isEnded
    }
  }

  /// Turns the loop until what was heard contains `part`.
  func waitFor(_ part: String, _ loop: EventLoop, within limit: Interval = .seconds(10)) -> Bool {
    loop.pollingTurns(within: limit) {
      listen()
      return text.contains(part)
    }
  }
}

extension EventLoop {
  /// Turns the loop until `condition` is true, looking again every few milliseconds because what changes it is not in the loop.
  func pollingTurns(within limit: Interval = .seconds(10), until condition: () -> Bool) -> Bool {
    let deadline = Clock.instant() + limit
    while !condition() {
      if Clock.instant() >= deadline { return false }
      let timer = schedule(after: .milliseconds(2)) {}
      turn(wait: true)
      cancel(timer)
    }
    return true
  }
}

/// Calls `body` with the bytes of `text`.
func withBytes<Result>(_ text: String, _ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
  try Array(text.utf8).withUnsafeBytes { try body($0) }
}

/// A small generator of reproducible numbers (SplitMix64).
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64
  init(seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}

/// Something that happens beside the loop, as it would in another process. Threads instead of processes: a test of the reaper that runs
/// in this process at the same time would take our children for its own.
final class Beside: @unchecked Sendable {
  private let lock = NSLock()
  private var isFinished = false

  /// Runs `body` on a thread of its own.
  init(_ body: @escaping @Sendable () -> Void) {
    Thread.detachNewThread {
      body()
      self.lock.withLock { self.isFinished = true }
    }
  }

  var isDone: Bool { lock.withLock { isFinished } }

  /// Waits without a loop.
  func wait() { while !isDone { usleep(1000) } }
}
