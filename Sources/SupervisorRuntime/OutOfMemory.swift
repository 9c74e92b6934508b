// Was that SIGKILL the kernel's, for want of memory? The cgroup counts its OOM kills: `oom_kill` in memory.events (v2,
// Documentation/admin-guide/cgroup-v2.rst) or in memory.oom_control (v1, since Linux 4.13).

import Glibc
import SupervisorCore

/// The OOM kills of this container.
public final class OutOfMemoryCounter {
  /// The file with the counter; nil where there is no memory controller to be seen.
  public let path: String?
  private let limitPath: String?
  private var accounted: UInt64
  private var recent: Instant?
  private let loop: EventLoop?
  private var descriptor: Int32 = -1
  private var registration: Registration?

  /// A kill that was noticed this long ago may still explain an exit: the kernel counts first and the process dies after that.
  static let memory = Interval.seconds(2)

  /// The memory limit of this container in bytes, where it has one.
  public var limit: UInt64? { limitPath.flatMap { OutOfMemoryCounter.limit(in: $0) } }
  /// All kills since this was made.
  public private(set) var kills: UInt64 = 0

  /// Called with the number of new kills when some are found, whichever process they hit: of v2 at once, of v1 at the next `look`.
  public var noticed: ((UInt64) -> Void)?

  /// The counter of this place. With a loop, a v2 counter is watched, so that a kill that hit a process of a program's tree is not
  /// taken for the reason of somebody's SIGKILL hours later.
  public init(place: CgroupPlace, loop: EventLoop? = nil) {
    let candidates = [place.unified.map { "\($0)/memory.events" }, place.memory.map { "\($0)/memory.oom_control" }]
    path = candidates.compactMap { $0 }.first { OutOfMemoryCounter.kills(in: $0) != nil }
    limitPath = path.map { path in
      let directory = path.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
      return path.hasSuffix("/memory.events") ? "\(directory)/memory.max" : "\(directory)/memory.limit_in_bytes"
    }
    accounted = path.flatMap { OutOfMemoryCounter.kills(in: $0) } ?? 0
    self.loop = loop
    guard let loop, let path, path.hasSuffix("/memory.events") else { return }
    descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return }
    // kernfs files report changes as POLLPRI. A file system that cannot be polled refuses (EPERM), and the counter is only read.
    registration = try? loop.add(descriptor, Readiness(rawValue: 0x002)) { [weak self] _ in self?.changed() }
  }

  deinit {
    if let registration { loop?.remove(registration) }
    if descriptor >= 0 { close(descriptor) }
  }

  /// Whether a process that has just died by SIGKILL, which nobody here sent, was killed for want of memory: the counter has gone up
  /// since it was last looked at, or did so a moment ago.
  public func explainsKill(at now: Instant) -> Bool {
    if look() > 0 {
      recent = nil
      return true
    }
    guard let recent, now - recent <= OutOfMemoryCounter.memory else { return false }
    self.recent = nil
    return true
  }

  /// Looks at the counter: how many kills there have been since the last look. v1 tells nobody who may not write to the cgroup, so
  /// somebody has to look now and then.
  @discardableResult
  func look() -> UInt64 {
    guard let path, let count = OutOfMemoryCounter.kills(in: path) else { return 0 }
    let new = count > accounted ? count - accounted : 0
    accounted = count
    guard new > 0 else { return 0 }
    kills &+= new
    recent = Clock.instant()
    noticed?(new)
    return new
  }

  private func changed() {
    // Reading the watched descriptor itself acknowledges the event; a read of another one would be reported again.
    var byte: UInt8 = 0
    _ = pread(descriptor, &byte, 1, 0)
    look()
  }

  /// The number in a limit's file; nil for none, which v2 calls `max`, and v1 the largest number of pages.
  static func limit(in path: String) -> UInt64? {
    guard let bytes = try? FileBytes.read(path, limit: 64),
      let value = bytes.split(separator: 0x0A).first.flatMap({ decimalNumber($0) as UInt64? }), value < 1 << 62
    else { return nil }
    return value
  }

  /// The value after `oom_kill ` in a counter file.
  static func kills(in path: String) -> UInt64? {
    guard let bytes = try? FileBytes.read(path, limit: 4096) else { return nil }
    for line in bytes.split(separator: 0x0A) {
      let words = line.split(separator: 0x20)
      if words.count == 2, words[0].elementsEqual("oom_kill".utf8) { return decimalNumber(words[1]) }
    }
    return nil
  }
}
