// The one loop of PID 1: epoll for descriptors, one timerfd for every deadline. Single-threaded; nothing here blocks but `run`.
//
// Handlers are found by a registration number that travels in the epoll event, never by the descriptor: an event that was queued for
// a descriptor that has since been closed and reused finds no handler and is dropped (SwiftNIO's SelectorEpoll does the same).

import CHiveSys
import Glibc
import SupervisorCore

/// What epoll said about a descriptor.
public struct Readiness: OptionSet, Sendable {
  /// EPOLL* bits.
  public let rawValue: UInt32
  /// From EPOLL* bits.
  public init(rawValue: UInt32) { self.rawValue = rawValue }
  /// EPOLLIN.
  public static let readable = Readiness(rawValue: 0x001)
  /// EPOLLOUT.
  public static let writable = Readiness(rawValue: 0x004)
  /// EPOLLERR; always reported.
  public static let error = Readiness(rawValue: 0x008)
  /// EPOLLHUP; always reported.
  public static let hangup = Readiness(rawValue: 0x010)
  /// EPOLLRDHUP.
  public static let peerClosed = Readiness(rawValue: 0x2000)
}

/// A descriptor's place in the loop.
public struct Registration: Hashable, Sendable {
  let number: UInt64
}

/// A deadline's place in the loop.
public struct TimerID: Hashable, Sendable {
  let number: UInt64
}

/// epoll(7) and one timerfd.
public final class EventLoop {
  private struct Watch {
    var descriptor: Int32
    var handler: (Readiness) -> Void
  }

  private struct Deadline {
    var instant: Instant
    var number: UInt64
    var isBefore: (Instant, UInt64) { (instant, number) }
  }

  private let epoll: Int32
  private let timer: Int32
  private let timerNumber: UInt64 = 0
  private var nextNumber: UInt64 = 1
  private var watches: [UInt64: Watch] = [:]
  private var heap: [Deadline] = []
  private var timers: [UInt64: () -> Void] = [:]
  private var armed: Instant?
  private var stopped = false
  private var events = [epoll_event](repeating: epoll_event(), count: 64)

  /// How often the loop has woken up; `doctor` and the tests read it.
  public private(set) var wakeups: UInt64 = 0

  /// How many deadlines have neither passed nor been cancelled.
  var pendingTimers: Int { timers.count }

  /// Called after each batch of events and before sleeping: the place to arm what the batch changed.
  public var beforeSleep: (() -> Void)?

  /// An empty loop. Throws when the kernel gives no epoll or timer descriptor.
  public init() throws(SystemError) {
    epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
    if epoll < 0 { throw SystemError("create the epoll descriptor", errno: errno) }
    timer = timerfd_create(CLOCK_MONOTONIC, Int32(TFD_CLOEXEC) | Int32(TFD_NONBLOCK))
    if timer < 0 { throw SystemError("create the timer descriptor", errno: errno) }
    var event = epoll_event(events: Readiness.readable.rawValue, data: epoll_data_t(u64: timerNumber))
    if epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &event) != 0 {
      throw SystemError("watch the timer descriptor", errno: errno)
    }
  }

  // Also runs when `init` throws after the last stored property was set.
  deinit {
    if timer >= 0 { close(timer) }
    close(epoll)
  }

  /// Watches `descriptor` (level-triggered) until `remove`. The loop does not own the descriptor: remove it before closing it.
  public func add(
    _ descriptor: Int32, _ interest: Readiness, _ handler: @escaping (Readiness) -> Void
  ) throws(SystemError) -> Registration {
    let number = takeNumber()
    var event = epoll_event(events: interest.rawValue, data: epoll_data_t(u64: number))
    if epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) != 0 {
      throw SystemError("watch descriptor \(descriptor)", errno: errno)
    }
    watches[number] = Watch(descriptor: descriptor, handler: handler)
    return Registration(number: number)
  }

  /// Changes what is watched for; an empty interest still reports errors and hang-ups.
  public func modify(_ registration: Registration, _ interest: Readiness) {
    guard let watch = watches[registration.number] else { return }
    var event = epoll_event(events: interest.rawValue, data: epoll_data_t(u64: registration.number))
    _ = epoll_ctl(epoll, EPOLL_CTL_MOD, watch.descriptor, &event)
  }

  /// Stops watching; events that are already queued are dropped.
  public func remove(_ registration: Registration) {
    guard let watch = watches.removeValue(forKey: registration.number) else { return }
    _ = epoll_ctl(epoll, EPOLL_CTL_DEL, watch.descriptor, nil)
  }

  /// Calls `body` once, at `instant` or as soon after it as the loop gets there.
  @discardableResult
  public func schedule(at instant: Instant, _ body: @escaping () -> Void) -> TimerID {
    let number = takeNumber()
    timers[number] = body
    push(Deadline(instant: instant, number: number))
    return TimerID(number: number)
  }

  /// Calls `body` once, `interval` from now.
  @discardableResult
  public func schedule(after interval: Interval, _ body: @escaping () -> Void) -> TimerID {
    schedule(at: Clock.instant() + interval, body)
  }

  /// Forgets a deadline; nothing happens when it has already passed.
  public func cancel(_ timer: TimerID) {
    timers[timer.number] = nil
    // Entries of the heap whose body is gone are skipped when they surface; drop them early when they are many.
    if heap.count > 64 && heap.count > timers.count * 2 { compact() }
  }

  /// Runs until `stop()`.
  public func run() {
    while !stopped { turn(wait: true) }
  }

  /// Handles what is ready now, and waits for something first when `wait` is set.
  public func turn(wait: Bool) {
    beforeSleep?()
    if stopped { return }
    arm()
    let count = epoll_wait(epoll, &events, Int32(events.count), wait ? -1 : 0)
    wakeups &+= 1
    // EINTR: nothing was ready. Signals arrive by signalfd, so only a debugger's stop and continue comes here.
    if count <= 0 { return }
    for index in 0..<Int(count) {
      let event = events[index]
      let number = event.data.u64
      if number == timerNumber {
        var expirations: UInt64 = 0
        _ = read(timer, &expirations, 8)
        armed = nil
        continue
      }
      watches[number]?.handler(Readiness(rawValue: event.events))
    }
    fire()
  }

  /// Ends `run` after the current batch.
  public func stop() { stopped = true }

  private func takeNumber() -> UInt64 {
    let number = nextNumber
    nextNumber &+= 1
    return number
  }

  private func fire() {
    guard !heap.isEmpty else { return }
    let now = Clock.instant()
    // Only what is due at this moment: a body that schedules itself anew for "now" has its next turn after everybody else's.
    var due: [UInt64] = []
    while let first = heap.first, first.instant <= now {
      pop()
      due.append(first.number)
    }
    for number in due { timers.removeValue(forKey: number)?() }
  }

  private func arm() {
    while let first = heap.first, timers[first.number] == nil { pop() }
    let next = heap.first?.instant
    if next == armed { return }
    var setting = itimerspec()
    if let next {
      // A zero it_value disarms the timer (timerfd_settime(2)); instant 0 is past anyway.
      let nanoseconds = max(next.nanoseconds, 1)
      setting.it_value.tv_sec = Int(nanoseconds / 1_000_000_000)
      setting.it_value.tv_nsec = Int(nanoseconds % 1_000_000_000)
    }
    if timerfd_settime(timer, Int32(TFD_TIMER_ABSTIME), &setting, nil) == 0 { armed = next }
  }

  private func push(_ deadline: Deadline) {
    heap.append(deadline)
    var child = heap.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      if heap[parent].isBefore <= heap[child].isBefore { return }
      heap.swapAt(parent, child)
      child = parent
    }
  }

  private func pop() {
    heap.swapAt(0, heap.count - 1)
    heap.removeLast()
    sink(0)
  }

  private func sink(_ start: Int) {
    var parent = start
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2]
      where child < heap.count && heap[child].isBefore < heap[least].isBefore {
        least = child
      }
      if least == parent { return }
      heap.swapAt(least, parent)
      parent = least
    }
  }

  private func compact() {
    heap.removeAll { timers[$0.number] == nil }
    for index in stride(from: heap.count / 2, through: 0, by: -1) { sink(index) }
  }
}
