// Accepting on a listening socket, on and off.

import CHiveSys
import Glibc
import SupervisorCore

/// Accepts connections while it is started.
///
/// A lack of descriptors does not make the loop spin: one descriptor is kept in reserve, so that even then connections are answered
/// one by one, and where that is used up accepting pauses for a moment.
public final class Acceptor {
  /// How many connections one wake-up accepts.
  private static let batch = 16
  /// How long accepting pauses when there are no descriptors or no memory.
  static let pause = Interval.milliseconds(100)

  /// How often accepting had to pause for a lack of descriptors or memory.
  public private(set) var pauses: UInt64 = 0

  private let loop: EventLoop
  private let listener: Int32
  private let onConnection: (Int32) -> Void
  private var registration: Registration?
  private var timer: TimerID?
  private var reserve: Int32 = -1
  private var isStarted = false

  /// For a listening socket, which stays the caller's. `onConnection` gets each connection (close-on-exec, non-blocking) and owns it.
  public init(loop: EventLoop, listener: Int32, onConnection: @escaping (Int32) -> Void) {
    self.loop = loop
    self.listener = listener
    self.onConnection = onConnection
  }

  deinit { stop() }

  /// Whether connections are accepted.
  public var isAccepting: Bool { isStarted }

  /// Accepts from now on; what has been waiting in the queue is accepted first. Nothing happens when it is already started.
  public func start() {
    guard !isStarted else { return }
    isStarted = true
    resume()
  }

  /// Accepts no more; further connections wait in the kernel's queue for whoever accepts next.
  public func stop() {
    isStarted = false
    suspend()
    if let timer { loop.cancel(timer) }
    timer = nil
    if reserve >= 0 { close(reserve) }
    reserve = -1
  }

  private func resume() {
    timer = nil
    guard isStarted, registration == nil else { return }
    if reserve < 0 { reserve = open("/dev/null", O_RDONLY | O_CLOEXEC) }
    // Without the reserve, descriptors are still short.
    guard reserve >= 0 else { return pauseAndRetry() }
    registration = try? loop.add(listener, .readable) { [weak self] _ in self?.acceptBatch() }
    if registration == nil { pauseAndRetry() }
  }

  private func suspend() {
    if let registration { loop.remove(registration) }
    registration = nil
  }

  private func pauseAndRetry() {
    suspend()
    pauses &+= 1
    if let timer { loop.cancel(timer) }
    timer = loop.schedule(after: Acceptor.pause) { [weak self] in self?.resume() }
  }

  private func acceptBatch() {
    // A program that shares the socket may have made it blocking again.
    let flags = fcntl(listener, F_GETFL)
    if flags >= 0 && flags & O_NONBLOCK == 0 { _ = fcntl(listener, F_SETFL, flags | O_NONBLOCK) }
    for _ in 0..<Acceptor.batch {
      guard isStarted, registration != nil else { return }
      let connection = hive_accept(listener)
      if connection >= 0 {
        onConnection(connection)
        continue
      }
      switch errno {
      case EAGAIN: return
      case EMFILE, ENFILE:
        acceptWithReserve()
        return
      case ENOMEM, ENOBUFS, EBADF, EINVAL, ENOTSOCK, EOPNOTSUPP:
        pauseAndRetry()
        return
      // EINTR, ECONNABORTED, and what accept(2) passes on from the network: the next one may be well.
      default: continue
      }
    }
  }

  private func acceptWithReserve() {
    guard reserve >= 0 else { return pauseAndRetry() }
    close(reserve)
    reserve = -1
    let connection = hive_accept(listener)
    if connection >= 0 { onConnection(connection) }
    reserve = open("/dev/null", O_RDONLY | O_CLOEXEC)
    if reserve < 0 { pauseAndRetry() }
  }
}
