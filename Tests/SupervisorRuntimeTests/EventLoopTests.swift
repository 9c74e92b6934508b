import Glibc
import SupervisorCore
import Testing

@testable import SupervisorRuntime

@Suite("EventLoop")
struct EventLoopTests {
  private func makePipe() throws -> (read: Int32, write: Int32) {
    var ends: [Int32] = [-1, -1]
    try #require(pipe(&ends) == 0)
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    return (ends[0], ends[1])
  }

  @Test("Deadlines fire in order of time, then of their making, and each once")
  func order() throws {
    let loop = try EventLoop()
    let now = Clock.instant()
    var fired: [Int] = []
    for (index, delay) in [5, 1, 3, 1, 0, 3].enumerated() {
      loop.schedule(at: now + .milliseconds(Int64(delay))) { fired.append(index) }
    }
    #expect(loop.turns { fired.count == 6 })
    #expect(fired == [4, 1, 3, 2, 5, 0])
    loop.settle()
    #expect(fired.count == 6)
  }

  @Test("A heap of thousands, half of them cancelled, fires the others in order")
  func manyTimers() throws {
    let loop = try EventLoop()
    var random = SeededGenerator(seed: 11)
    let now = Clock.instant()
    var fired: [UInt64] = []
    var wanted: [UInt64] = []
    var cancelled: [TimerID] = []
    for _ in 0..<5000 {
      let instant = Instant(nanoseconds: now.nanoseconds - .random(in: 0..<1_000_000, using: &random))
      let timer = loop.schedule(at: instant) { fired.append(instant.nanoseconds) }
      if Bool.random(using: &random) { cancelled.append(timer) } else { wanted.append(instant.nanoseconds) }
    }
    for timer in cancelled { loop.cancel(timer) }
    #expect(loop.turns { fired.count == wanted.count })
    #expect(fired == wanted.sorted())
    #expect(loop.pendingTimers == 0)
  }

  @Test("A deadline that is cancelled by an earlier one of the same turn does not fire")
  func cancelWithinTurn() throws {
    let loop = try EventLoop()
    let now = Clock.instant()
    var fired = false
    var later: TimerID?
    loop.schedule(at: now) { if let later { loop.cancel(later) } }
    later = loop.schedule(at: now) { fired = true }
    loop.settle()
    #expect(!fired)
  }

  @Test("A body that always schedules itself for now starves nobody")
  func noStarvation() throws {
    let loop = try EventLoop()
    var rounds = 0
    func again() {
      rounds += 1
      loop.schedule(at: Instant(nanoseconds: 0)) { again() }
    }
    again()
    let pipe = try makePipe()
    defer { close(pipe.write) }
    var sawTimer = false
    var sawPipe = false
    loop.schedule(after: .milliseconds(1)) { sawTimer = true }
    let registration = try loop.add(pipe.read, .readable) { _ in sawPipe = true }
    writeAll(pipe.write, "x")
    #expect(loop.turns { sawTimer && sawPipe })
    #expect(rounds < 100_000)
    loop.remove(registration)
    close(pipe.read)
  }

  @Test("Readiness is level-triggered, changes with the interest, and ends with removal")
  func descriptors() throws {
    let loop = try EventLoop()
    let pipe = try makePipe()
    defer { close(pipe.read) }
    var seen: [Readiness] = []
    let registration = try loop.add(pipe.read, .readable) { seen.append($0) }
    loop.turn(wait: false)
    #expect(seen.isEmpty)
    writeAll(pipe.write, "x")
    loop.turn(wait: true)
    loop.turn(wait: true)
    #expect(seen == [.readable, .readable])
    loop.modify(registration, [])
    loop.turn(wait: false)
    #expect(seen.count == 2)
    close(pipe.write)
    loop.turn(wait: true)
    #expect(seen.last == .hangup)
    loop.remove(registration)
    loop.turn(wait: false)
    #expect(seen.count == 3)
    loop.remove(registration)
  }

  @Test("An event of a descriptor that was removed in the same turn, closed and reused, reaches nobody")
  func reusedDescriptor() throws {
    let loop = try EventLoop()
    let one = try makePipe()
    let other = try makePipe()
    writeAll(one.write, "x")
    writeAll(other.write, "x")
    var registrations: [Int32: Registration] = [:]
    var calls = 0
    var strangers = 0
    // Whoever comes first removes the other one, closes it, and puts a new pipe at its number.
    for (mine, theirs) in [(one, other), (other, one)] {
      registrations[mine.read] = try loop.add(mine.read, .readable) { _ in
        calls += 1
        guard let registration = registrations.removeValue(forKey: theirs.read) else { return }
        loop.remove(registration)
        close(theirs.read)
        close(theirs.write)
        if let fresh = try? makePipe() {
          #expect(fresh.read == theirs.read)
          _ = try? loop.add(fresh.read, .readable) { _ in strangers += 1 }
        }
      }
    }
    loop.turn(wait: true)
    loop.turn(wait: false)
    #expect(calls == 2)
    #expect(strangers == 0)
  }

  @Test("What cannot be watched is refused: a closed descriptor, a regular file, the same one twice")
  func refusals() throws {
    let loop = try EventLoop()
    #expect(throws: SystemError("watch descriptor 1000000", errno: EBADF)) {
      try loop.add(1_000_000, .readable) { _ in }
    }
    let file = open("/etc/passwd", O_RDONLY | O_CLOEXEC)
    defer { close(file) }
    #expect(throws: SystemError("watch descriptor \(file)", errno: EPERM)) { try loop.add(file, .readable) { _ in } }
    let pipe = try makePipe()
    _ = try loop.add(pipe.read, .readable) { _ in }
    #expect(throws: SystemError("watch descriptor \(pipe.read)", errno: EEXIST)) {
      try loop.add(pipe.read, .readable) { _ in }
    }
  }

  @Test("An idle loop does not wake: with a far deadline, it sleeps until somebody writes")
  func idle() throws {
    let loop = try EventLoop()
    loop.schedule(after: .seconds(3600)) {}
    // A deadline that has been cancelled must not wake either.
    loop.cancel(loop.schedule(after: .milliseconds(1)) {})
    var due = false
    loop.schedule(after: .milliseconds(50)) { due = true }
    let before = loop.wakeups
    while !due { loop.turn(wait: true) }
    #expect(loop.wakeups - before == 1)
  }

  @Test("stop ends run after the batch; beforeSleep runs before each wait")
  func stop() throws {
    let loop = try EventLoop()
    var sleeps = 0
    loop.beforeSleep = { sleeps += 1 }
    var turns = 0
    func step() {
      turns += 1
      if turns == 3 { loop.stop() } else { loop.schedule(after: .milliseconds(1)) { step() } }
    }
    loop.schedule(after: .zero) { step() }
    loop.run()
    #expect(turns == 3 && sleeps >= 3)
  }

  @Test("The end of time is no deadline that has passed")
  func extremes() throws {
    let loop = try EventLoop()
    var fired: [String] = []
    loop.schedule(at: Instant(nanoseconds: .max)) { fired.append("never") }
    loop.schedule(after: Interval(nanoseconds: .max)) { fired.append("never") }
    loop.schedule(after: Interval(nanoseconds: .min)) { fired.append("past") }
    #expect(loop.turns { !fired.isEmpty })
    loop.settle()
    #expect(fired == ["past"])
  }
}
