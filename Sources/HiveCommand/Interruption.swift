// Ctrl-C, TERM and HUP: the first one cancels what the command does, so that it can say what it leaves behind; the second one ends
// it at once.

@preconcurrency import Glibc
import Synchronization

/// The signals that ask this process to end, read by the main thread (sigwait(3)): nothing runs in a signal handler.
///
/// It has to be made before any other thread, because threads inherit the mask of the one that makes them (pthread_sigmask(3)). The
/// main thread must not be given to libdispatch (an `async` main does that): there it waits with no signal blocked.
final class Interruption: Sendable {
  private let signals = Interruption.wanted()
  private let received = Mutex<Int32?>(nil)

  init() {
    // A reader that goes away (`| head`) ends a command silently, as other commands do.
    Glibc.signal(SIGPIPE, SIG_DFL)
    var set = signals
    pthread_sigmask(SIG_BLOCK, &set, nil)
  }

  /// The first signal that came. nil: none.
  var signal: Int32? { received.withLock { $0 } }

  /// Waits for signals for ever. The first one calls `cancel`, the second one ends the process.
  func listen(cancel: () -> Void) -> Never {
    var set = signals
    while true {
      var number: Int32 = 0
      // It wakes up for nothing at times (EINTR, after SIGCONT).
      guard sigwait(&set, &number) == 0 else { continue }
      if let first = signal { _exit(ExitStatusCode.signalled(first)) }
      received.withLock { $0 = number }
      cancel()
    }
  }

  private static func wanted() -> sigset_t {
    var set = sigset_t()
    sigemptyset(&set)
    for number in [SIGINT, SIGTERM, SIGHUP] {
      // What whoever started this ignores (nohup(1), a shell's background job) stays ignored.
      var action = sigaction()
      let isIgnored =
        sigaction(number, nil, &action) == 0
        && unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self)
      if !isIgnored { sigaddset(&set, number) }
    }
    return set
  }
}
