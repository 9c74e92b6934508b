// Signals are blocked and asked for, so that a stop is noticed exactly where nothing is half-done.

import CHivePostgres
import Glibc

/// The stop signals of a command that works to an end.
public struct Interruption: Sendable {
  /// Readable while a stop signal is pending, for those who wait for something else too.
  let descriptor: Int32

  static let stopSignals: [Int32] = [SIGTERM, SIGINT, SIGQUIT, SIGHUP]

  /// Blocks the stop signals and SIGCHLD from now on.
  public static func block() throws(Failure) -> Interruption {
    // A parent may have left SIGCHLD ignored: children would be reaped by the kernel, and their status lost (wait(2)).
    signal(SIGCHLD, SIG_DFL)
    signal(SIGPIPE, SIG_IGN)
    var set = signals(stopSignals + [SIGCHLD])
    sigprocmask(SIG_BLOCK, &set, nil)
    var stop = signals(stopSignals)
    let descriptor = hpg_signal_descriptor(&stop)
    guard descriptor >= 0 else { throw .system("wait for signals", errno) }
    return Interruption(descriptor: descriptor)
  }

  static func signals(_ numbers: [Int32]) -> sigset_t {
    var set = sigset_t()
    sigemptyset(&set)
    for number in numbers { sigaddset(&set, number) }
    return set
  }

  /// What ended a wait.
  enum Event: Equatable {
    case stop(Int32)
    case child
    case timeout
  }

  /// Waits for a stop signal, for a child to change, or for the time to pass.
  func wait(atMost duration: Duration) -> Event {
    var set = Interruption.signals(Interruption.stopSignals + [SIGCHLD])
    var time = timespec(max(duration, .zero))
    switch sigtimedwait(&set, nil, &time) {
    case SIGCHLD: return .child
    case let number where number > 0: return .stop(number)
    // EINTR: a signal that is not ours, SIGCONT for one; the callers look at their clock and ask again.
    default: return .timeout
    }
  }

  /// Throws when a stop signal has arrived.
  public func check() throws(Failure) {
    var set = Interruption.signals(Interruption.stopSignals)
    var none = timespec()
    let number = sigtimedwait(&set, nil, &none)
    if number > 0 { throw .interrupted(number) }
  }

  /// Waits until `condition` holds; false when `duration` passed first. Throws on a stop signal.
  func poll(every step: Duration, atMost duration: Duration, until condition: () throws(Failure) -> Bool)
    throws(Failure)
    -> Bool
  {
    let deadline = ContinuousClock.now + duration
    while true {
      if try condition() { return true }
      let left = deadline - ContinuousClock.now
      guard left > .zero else { return false }
      if case .stop(let number) = wait(atMost: min(step, left)) { throw .interrupted(number) }
    }
  }
}

extension timespec {
  init(_ duration: Duration) {
    let parts = duration.components
    self.init(tv_sec: Int(parts.seconds), tv_nsec: Int(parts.attoseconds / 1_000_000_000))
  }
}
