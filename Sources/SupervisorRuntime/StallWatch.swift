// Notices a program that has stopped accepting on its listener (SIGSTOP, an endless loop), without a tick and without a wake-up for
// each connection:
//
//   armed      one EPOLLONESHOT registration; the first connection after a while wakes us
//   sampling   the accept queue's length every `interval`, until it is empty (then: armed) or has not shrunk for `samples` samples
//              in a row (then: stalled). A server that is merely busy takes something out between two samples.
//   stalled    the supervisor accepts. Every `retry` it stops for one `interval` and connects to the listener itself: when somebody
//              else takes that connection out of the queue, the program is back.

import CHiveSys
import Glibc
import SupervisorCore

/// Watches one TCP listener while a program accepts on it.
final class StallWatch {
  private enum State {
    case off
    case armed(Registration)
    case sampling(TimerID)
    case stalled(TimerID)
    case retrying(TimerID, Int32)
  }

  /// Time between two samples of the queue.
  static let interval = Interval.milliseconds(250)
  /// How many samples without progress make a stall.
  static let samples = 8
  /// Time between two looks whether the program is back.
  static let retry = Interval.seconds(1)

  private let loop: EventLoop
  private let listener: Listener
  private let acceptor: Acceptor
  private let onStall: (Int) -> Void
  private let onRecovery: () -> Void
  private let isProgramUp: () -> Bool
  private var state = State.off
  private var lastLength = 0
  private var stuckSamples = 0

  /// `onStall` gets the queue's length. While stalled, `acceptor` is stopped for one interval at a time, as long as `isProgramUp` says
  /// that there is a program which may come back. After `onRecovery` it is stopped.
  init(
    loop: EventLoop, listener: Listener, acceptor: Acceptor, onStall: @escaping (Int) -> Void,
    onRecovery: @escaping () -> Void, isProgramUp: @escaping () -> Bool
  ) {
    self.loop = loop
    self.listener = listener
    self.acceptor = acceptor
    self.onStall = onStall
    self.onRecovery = onRecovery
    self.isProgramUp = isProgramUp
  }

  /// Whether a stall has been told and not taken back.
  var isStalled: Bool {
    switch state {
    case .stalled, .retrying: true
    case .off, .armed, .sampling: false
    }
  }

  /// The program accepts from now on.
  func start() {
    if case .off = state { arm() }
  }

  /// The program accepts no more (it is down, or draining).
  func stop() {
    switch state {
    case .off: break
    case .armed(let registration): loop.remove(registration)
    case .sampling(let timer), .stalled(let timer): loop.cancel(timer)
    case .retrying(let timer, let descriptor):
      loop.cancel(timer)
      close(descriptor)
    }
    state = .off
  }

  private func arm() {
    // EPOLLONESHOT: said once, then silent until armed anew. Without it every connection would wake PID 1.
    let once = Readiness(rawValue: Readiness.readable.rawValue | 1 << 30)
    do {
      state = .armed(try loop.add(listener.descriptor, once) { [weak self] _ in self?.connectionArrived() })
    } catch {
      // No descriptor left for epoll: look again later.
      state = .sampling(loop.schedule(after: StallWatch.retry) { [weak self] in self?.sample() })
    }
  }

  private func connectionArrived() {
    guard case .armed(let registration) = state else { return }
    loop.remove(registration)
    lastLength = 0
    stuckSamples = 0
    state = .sampling(loop.schedule(after: StallWatch.interval) { [weak self] in self?.sample() })
  }

  private func sample() {
    guard case .sampling = state else { return }
    guard let queue = listener.acceptQueue, queue.length > 0 else { return arm() }
    stuckSamples = queue.length >= lastLength ? stuckSamples + 1 : 0
    lastLength = queue.length
    if stuckSamples < StallWatch.samples {
      state = .sampling(loop.schedule(after: StallWatch.interval) { [weak self] in self?.sample() })
      return
    }
    state = .stalled(loop.schedule(after: StallWatch.retry) { [weak self] in self?.lookAgain() })
    onStall(queue.length)
  }

  private func lookAgain() {
    guard case .stalled = state else { return }
    guard isProgramUp() else {
      state = .off
      return
    }
    let probe = hive_connect_self(listener.descriptor)
    if probe < 0 {
      state = .stalled(loop.schedule(after: StallWatch.retry) { [weak self] in self?.lookAgain() })
      return
    }
    acceptor.stop()
    state = .retrying(loop.schedule(after: StallWatch.interval) { [weak self] in self?.judge() }, probe)
  }

  private func judge() {
    guard case .retrying(_, let descriptor) = state else { return }
    close(descriptor)
    if let queue = listener.acceptQueue, queue.length > 0 {
      acceptor.start()
      state = .stalled(loop.schedule(after: StallWatch.retry) { [weak self] in self?.lookAgain() })
      return
    }
    state = .off
    onRecovery()
  }
}
