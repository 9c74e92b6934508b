// Ctrl-C, TERM and HUP: the first one cancels what the command does, so that it can say what it leaves behind; the second one ends
// it at once.

@preconcurrency import Glibc
import Synchronization

/// Listens for the signals that ask this process to end.
///
/// They are blocked in every thread and read by one of its own (sigwait(3)): nothing runs in a signal handler. It has to be made
/// before any other thread, because threads inherit the mask of the one that makes them (pthread_sigmask(3)).
final class Interruption: Sendable {
  private let signals = Interruption.wanted()
  private let received = Mutex<Int32?>(nil)
  private let cancel = Mutex<(@Sendable () -> Void)?>(nil)

  init() {
    // A reader that goes away (`| head`) ends a command silently, as other commands do.
    Glibc.signal(SIGPIPE, SIG_DFL)
    var set = signals
    pthread_sigmask(SIG_BLOCK, &set, nil)
    var thread = pthread_t()
    let context = Unmanaged.passRetained(self)
    let problem = pthread_create(
      &thread, nil,
      { context in
        if let context { Unmanaged<Interruption>.fromOpaque(context).takeRetainedValue().listen() }
        return nil
      }, context.toOpaque())
    if problem == 0 {
      pthread_detach(thread)
    } else {
      // Without the thread signals keep their default action.
      context.release()
      pthread_sigmask(SIG_UNBLOCK, &set, nil)
    }
  }

  /// The first signal that came. nil: none.
  var signal: Int32? { received.withLock { $0 } }

  /// What the first signal does; at once when it has come already.
  func onFirst(_ action: @escaping @Sendable () -> Void) {
    cancel.withLock { $0 = action }
    if signal != nil { action() }
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

  private func listen() {
    var set = signals
    while true {
      var number: Int32 = 0
      guard sigwait(&set, &number) == 0 else { continue }
      let isFirst = received.withLock { first in
        guard first == nil else { return false }
        first = number
        return true
      }
      guard isFirst else { _exit(ExitStatusCode.signalled(number)) }
      cancel.withLock { $0 }?()
    }
  }
}
