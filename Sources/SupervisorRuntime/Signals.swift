// Every signal that can be caught arrives in the loop as data: blocked for good, read from a signalfd (signalfd(2)).
//
// * As PID 1 of a namespace the kernel drops signals that have the default action - but never blocked ones (pid_namespaces(7), and
//   sig_ignored() in kernel/signal.c), so nothing is lost between start and loop once `Signals` exists. Make it first.
// * Synchronous signals (SEGV, BUS, FPE, ILL, TRAP, SYS, ABRT) stay as they are: blocking them would kill without a trace.
// * SIGPIPE is ignored: a write to a closed pipe answers EPIPE. Children get the default back (spawn.c).
// * TTIN and TTOU are blocked and dropped: with TTOU blocked, writing to the terminal and tcsetattr(3) work from the background.
// * TSTP (Ctrl-Z) is delivered like any other signal; a supervisor that stopped would leave its programs without one.

import CHiveSys
import Glibc
import SupervisorCore

/// One signal that arrived.
public struct ReceivedSignal: Equatable, Sendable {
  /// Its number.
  public var number: Int32
  /// Who sent it; 0 for the kernel and for senders outside of this pid namespace.
  public var pid: Int32
  /// The sender's real user.
  public var uid: UInt32
}

/// The signals of the supervisor.
public final class Signals {
  private let descriptor: Int32
  private let loop: EventLoop
  private var registration: Registration?

  /// What is never taken: these report a fault of the very instruction that runs, or cannot be caught.
  public static let untouchable: [Int32] = [
    SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT, SIGKILL, SIGSTOP, SIGPIPE,
  ]

  /// All signals that the supervisor takes: 1…31 without the untouchable ones, and the real-time signals that glibc leaves free. (Those
  /// that it does not are blocked and stay pending.)
  public static var all: [Int32] { (1...64).filter { !untouchable.contains($0) && !(32...33).contains($0) } }

  /// Blocks `numbers` in this thread, of which there must be no other yet, and calls `handler` in the loop for each that arrives.
  /// SIGCHLD is the call to reap: several exits may be one signal.
  public init(
    _ numbers: [Int32] = Signals.all, loop: EventLoop, handler: @escaping (ReceivedSignal) -> Void
  ) throws(SystemError) {
    var set = sigset_t()
    sigemptyset(&set)
    for number in numbers { sigaddset(&set, number) }
    if pthread_sigmask(SIG_BLOCK, &set, nil) != 0 { throw SystemError("block the signals", errno: EINVAL) }
    _ = hive_block_reserved_signals()
    _ = hive_ignore_signal(SIGPIPE)
    // A parent that ignored it would make the kernel reap our children behind our back (wait(2)); that outlives execve(2).
    _ = hive_default_signal(SIGCHLD)
    descriptor = signalfd(-1, &set, Int32(SFD_CLOEXEC) | Int32(SFD_NONBLOCK))
    self.loop = loop
    if descriptor < 0 { throw SystemError("create the signal descriptor", errno: errno) }
    let descriptor = self.descriptor
    registration = try loop.add(descriptor, .readable) { _ in Signals.drain(descriptor, handler) }
  }

  deinit {
    if let registration { loop.remove(registration) }
    close(descriptor)
  }

  /// At most this many signals are handled in one turn of the loop; real-time signals queue without end.
  private static let batch = 32

  private static func drain(_ descriptor: Int32, _ handler: (ReceivedSignal) -> Void) {
    let size = MemoryLayout<signalfd_siginfo>.size
    withUnsafeTemporaryAllocation(of: signalfd_siginfo.self, capacity: batch) { buffer in
      // One read takes all that fit; more keep the descriptor readable for the next turn.
      let bytes = read(descriptor, buffer.baseAddress, batch * size)
      guard bytes > 0 else { return }
      for information in buffer.prefix(bytes / size) {
        let number = Int32(bitPattern: information.ssi_signo)
        if number == SIGTTIN || number == SIGTTOU { continue }
        handler(
          ReceivedSignal(number: number, pid: Int32(bitPattern: information.ssi_pid), uid: information.ssi_uid))
      }
    }
  }
}
