// The container's own output: descriptor 1 or 2 as inherited. It is written and never reopened, because /dev/stdout may be a
// socket (ENXIO) or belong to another user (EACCES).
//
// A reader that does not read must not stop PID 1, and the open file description may be shared with processes that expect it to
// block. So O_NONBLOCK is only the last resort:
//
//   socket         send(2) with MSG_DONTWAIT
//   pipe           pwritev2(2) with RWF_NOWAIT (pipes since Linux 6.4); before that poll(2), and at most PIPE_BUF bytes after it
//                  said POLLOUT: that much fits then (pipe(7))
//   regular file   write(2): disks are not waited for by poll(2), and epoll refuses them with EPERM
//   terminal, …    O_NONBLOCK while the supervisor runs, and the old flags at its exit

import CHiveSys
import Glibc
import SupervisorCore

/// One of the container's output descriptors, shared by everything that writes there.
///
/// What the reader does not take waits in a ring of bounded size. While more than half of it is in use and the reader is at work, the
/// pumps wait (`isCongested`), so that a burst costs no line. A reader that takes nothing for `patience` is stuck, and holds up nobody
/// until it reads again: when the ring is full, whole writes are dropped and counted by lines, and once the reader has taken half of it,
/// a line says how many there were.
///
/// One object a descriptor. SIGPIPE must be ignored or blocked by the process.
public final class ContainerOutput {
  private enum Kind {
    case socket
    case pipe
    case file
    case other
  }

  /// How a write ended.
  private enum Outcome {
    case wrote(Int)
    case wouldBlock
    case broken
    case noSpace
  }

  /// How long a reader may take nothing before it counts as stuck.
  static let patience = Interval.milliseconds(500)

  /// The inherited descriptor; never closed.
  public let descriptor: Int32
  /// How the line about dropped lines looks.
  public let format: LogFormat
  /// How many bytes wait for the reader at most.
  public let capacity: Int
  /// Lines that were dropped since the start, reported or not.
  public private(set) var droppedLines: UInt64 = 0
  /// Whether the reader is gone (EPIPE): all later output is thrown away.
  public private(set) var isBroken = false

  private let loop: EventLoop
  private var kind: Kind
  /// Whether RWF_NOWAIT is tried; found out at the first write, and set by tests of the way without it.
  var usesNowait = true
  private var savedFlags: Int32?
  private var registration: Registration?

  /// What waits: a ring, allocated when something has to wait and freed when nothing does.
  private var ring: [UInt8] = []
  private var head = 0
  private var waiting = 0
  /// Lines dropped and not yet reported; not zero means that everything is dropped until the reader has caught up.
  private var unreported: UInt64 = 0
  private var endsInsideLine = false

  /// When the reader last took something, or when something began to wait for it.
  private var lastProgress = Instant(nanoseconds: 0)
  private var isStuck = false
  private var patienceTimer: TimerID?
  private var relief: [() -> Void] = []

  /// Takes the descriptor into use. No byte is written yet.
  public init(loop: EventLoop, descriptor: Int32, format: LogFormat = .raw, capacity: Int = 256 * 1024) {
    self.loop = loop
    self.descriptor = descriptor
    self.format = format
    self.capacity = max(4096, capacity)
    var status = stat()
    if fstat(descriptor, &status) != 0 {
      kind = .other
      isBroken = true
      return
    }
    switch status.st_mode & S_IFMT {
    case S_IFSOCK: kind = .socket
    case S_IFIFO: kind = .pipe
    case S_IFREG: kind = .file
    default: kind = .other
    }
    if kind == .other && !isPollable() { kind = .file }
    if kind == .other {
      let flags = fcntl(descriptor, F_GETFL)
      if flags >= 0 && flags & O_NONBLOCK == 0 && fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) == 0 {
        savedFlags = flags
      }
    }
  }

  deinit {
    if let registration { loop.remove(registration) }
    if let patienceTimer { loop.cancel(patienceTimer) }
    restore()
  }

  /// Whether epoll can wait for it: not for /dev/null and its like (EPERM), which never need to be waited for.
  private func isPollable() -> Bool {
    guard let probe = try? loop.add(descriptor, .writable, { _ in }) else { return false }
    loop.remove(probe)
    return true
  }

  /// How many bytes wait for the reader.
  public var backlog: Int { waiting }

  /// Whether those who can wait should: much waits already, and the reader is at work.
  public var isCongested: Bool { waiting > capacity / 2 && !isStuck && !isBroken }

  /// How many bytes fit before something must be dropped.
  var room: Int { capacity - waiting }

  /// Calls `body` once when the congestion is over: the reader has caught up, is stuck, or is gone.
  func whenRelieved(_ body: @escaping () -> Void) {
    relief.append(body)
    guard patienceTimer == nil else { return }
    patienceTimer = loop.schedule(at: lastProgress + ContainerOutput.patience) { [weak self] in self?.losePatience() }
  }

  private func losePatience() {
    patienceTimer = nil
    guard !relief.isEmpty else { return }
    let limit = lastProgress + ContainerOutput.patience
    if Clock.instant() < limit {
      patienceTimer = loop.schedule(at: limit) { [weak self] in self?.losePatience() }
      return
    }
    isStuck = true
    relieve()
  }

  private func relieve() {
    let bodies = relief
    relief = []
    if let patienceTimer { loop.cancel(patienceTimer) }
    patienceTimer = nil
    for body in bodies { body() }
  }

  private func noteProgress() {
    lastProgress = Clock.instant()
    isStuck = false
  }

  /// Writes what the reader takes now and keeps the rest; never waits.
  public func write(_ bytes: UnsafeRawBufferPointer) {
    guard !bytes.isEmpty, !isBroken else { return }
    // Something waits and epoll was refused when it was to be watched: try by hand.
    if waiting > 0 && registration == nil { flush() }
    if unreported > 0 {
      reportDrops()
      if unreported > 0 { return drop(bytes) }
    }
    if isBroken { return }
    var rest = bytes
    if waiting == 0 {
      while !rest.isEmpty {
        switch put(rest) {
        case .wrote(let count):
          note(UnsafeRawBufferPointer(rebasing: rest[..<count]))
          rest = UnsafeRawBufferPointer(rebasing: rest[count...])
          continue
        case .wouldBlock: break
        case .broken: return giveUp()
        case .noSpace: return drop(rest)
        }
        break
      }
    }
    enqueue(rest)
  }

  /// The same for an array.
  public func write(_ bytes: [UInt8]) { bytes.withUnsafeBytes { write($0) } }

  /// The end: waits at most `limit` altogether for the readers to take what is left, then gives the descriptors their old flags back.
  /// This is the only call that waits. All outputs at once, because two descriptors may share one open file description, which must
  /// not block again before both are done.
  public static func finish(_ outputs: [ContainerOutput], within limit: Interval) {
    let deadline = Clock.instant() + limit
    for output in outputs { output.drain(until: deadline) }
    for output in outputs { output.restore() }
  }

  private func drain(until deadline: Instant) {
    while !isBroken {
      flush()
      if waiting == 0 && unreported == 0 || kind == .file { break }
      let left = deadline - Clock.instant()
      if left <= .zero { break }
      var request = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
      let milliseconds = Int32(clamping: left.nanoseconds / 1_000_000 + 1)
      if poll(&request, 1, milliseconds) < 0 && errno != EINTR { break }
    }
    watch(false)
  }

  private func restore() {
    if let savedFlags { _ = fcntl(descriptor, F_SETFL, savedFlags) }
    savedFlags = nil
  }

  private func put(_ bytes: UnsafeRawBufferPointer) -> Outcome {
    while true {
      var count = 0
      switch kind {
      case .socket:
        count = send(descriptor, bytes.baseAddress, bytes.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
      case .pipe:
        count = putIntoPipe(bytes)
      case .file, .other:
        count = Glibc.write(descriptor, bytes.baseAddress, bytes.count)
      }
      if count > 0 { return .wrote(count) }
      switch count == 0 ? EAGAIN : errno {
      case EINTR: continue
      case EAGAIN, ENOBUFS: return .wouldBlock
      case ENOSPC, EDQUOT, EFBIG: return .noSpace
      // EPIPE, EIO of a terminal that hung up, ECONNRESET, EBADF: nobody will ever read this.
      default: return .broken
      }
    }
  }

  private func putIntoPipe(_ bytes: UnsafeRawBufferPointer) -> Int {
    if usesNowait {
      let count = hive_write_nowait(descriptor, bytes.baseAddress, bytes.count)
      if count >= 0 || errno != EOPNOTSUPP { return count }
      usesNowait = false
    }
    var request = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
    let ready = poll(&request, 1, 0)
    if ready < 0 { return -1 }
    if ready == 0 {
      errno = EAGAIN
      return -1
    }
    return Glibc.write(descriptor, bytes.baseAddress, min(bytes.count, Int(PIPE_BUF)))
  }

  private func note(_ bytes: UnsafeRawBufferPointer) {
    if let last = bytes.last { endsInsideLine = last != 0x0a }
  }

  /// Keeps what fits; of what does not, whole lines as far as they fit.
  private func enqueue(_ bytes: UnsafeRawBufferPointer) {
    guard !bytes.isEmpty else { return }
    var kept = bytes
    if bytes.count > room {
      let fits = bytes.prefix(room)
      let end = fits.lastIndex(of: 0x0a).map { $0 + 1 } ?? 0
      kept = UnsafeRawBufferPointer(rebasing: bytes[..<end])
    }
    if waiting == 0 { lastProgress = Clock.instant() }
    store(kept)
    if kept.count < bytes.count { drop(UnsafeRawBufferPointer(rebasing: bytes[kept.count...])) }
    watch(waiting > 0)
  }

  private func drop(_ bytes: UnsafeRawBufferPointer) {
    var lines: UInt64 = 0
    for byte in bytes where byte == 0x0a { lines &+= 1 }
    if bytes.last != 0x0a { lines &+= 1 }
    unreported &+= lines
    droppedLines &+= lines
  }

  private func store(_ bytes: UnsafeRawBufferPointer) {
    guard !bytes.isEmpty else { return }
    note(bytes)
    if waiting + bytes.count > ring.count { grow(toHold: waiting + bytes.count) }
    let position = (head + waiting) % ring.count
    let first = min(bytes.count, ring.count - position)
    ring.withUnsafeMutableBytes { target in
      UnsafeMutableRawBufferPointer(rebasing: target[position..<position + first])
        .copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<first]))
      if first < bytes.count {
        UnsafeMutableRawBufferPointer(rebasing: target[0..<bytes.count - first])
          .copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[first...]))
      }
    }
    waiting += bytes.count
  }

  private func grow(toHold needed: Int) {
    var size = max(ring.count, 4096)
    while size < needed { size *= 2 }
    var bigger: [UInt8] = []
    bigger.reserveCapacity(size)
    if waiting > 0 {
      let first = min(waiting, ring.count - head)
      bigger.append(contentsOf: ring[head..<head + first])
      bigger.append(contentsOf: ring[0..<waiting - first])
    }
    bigger.append(contentsOf: repeatElement(0, count: size - bigger.count))
    ring = bigger
    head = 0
  }

  /// Gives the reader what it takes of what waits.
  private func flush() {
    while waiting > 0 {
      let first = min(waiting, ring.count - head)
      let outcome = ring.withUnsafeBytes { put(UnsafeRawBufferPointer(rebasing: $0[head..<head + first])) }
      guard case .wrote(let count) = outcome else {
        if case .broken = outcome { giveUp() }
        break
      }
      head = (head + count) % ring.count
      waiting -= count
      noteProgress()
    }
    if waiting == 0 {
      ring = []
      head = 0
    }
    if unreported > 0 { reportDrops() }
    watch(waiting > 0)
    if waiting <= capacity / 4 && !relief.isEmpty { relieve() }
  }

  /// Tells of dropped lines once half of the ring is free: a reader that barely keeps up gets one such line, not a thousand.
  private func reportDrops() {
    guard !isBroken, waiting <= capacity / 2 else { return }
    let count = unreported
    unreported = 0
    var report: [UInt8] = endsInsideLine ? [0x0a] : []
    let text = "\(count) lines dropped: the container's output is not read fast enough"
    if format == .raw {
      report.append(contentsOf: "hivesupd: \(text)\n".utf8)
    } else {
      var formatter = LineFormatter(format: format, program: "hivesupd", stream: "log")
      report.append(contentsOf: Array("\(text)\n".utf8).withUnsafeBytes { formatter.format($0, at: Clock.wall()) })
    }
    if kind != .file {
      report.withUnsafeBytes { enqueue($0) }
      return
    }
    // A full disk: the report goes out whole or not at all, and nothing waits for a descriptor that epoll cannot watch.
    let outcome = report.withUnsafeBytes { put($0) }
    switch outcome {
    case .wrote: endsInsideLine = false
    case .wouldBlock, .noSpace: unreported = count
    case .broken: giveUp()
    }
  }

  private func giveUp() {
    isBroken = true
    ring = []
    head = 0
    waiting = 0
    unreported = 0
    watch(false)
    if !relief.isEmpty { relieve() }
  }

  private func watch(_ wanted: Bool) {
    if !wanted {
      if let registration { loop.remove(registration) }
      registration = nil
      return
    }
    guard registration == nil, kind != .file else { return }
    // Refused (no memory): the next write tries again.
    registration = try? loop.add(descriptor, .writable) { [weak self] _ in self?.flush() }
  }
}
