// s6's readiness protocol: the program writes a newline to a descriptor that it was given (s6 "notification-fd").

import Glibc
import SupervisorCore

/// The read end of a program's notification pipe.
public final class NotifyDescriptor {
  private let loop: EventLoop
  private var descriptor: Int32
  private var registration: Registration?
  private let onReady: () -> Void

  /// Takes over `readEnd` and watches it. `onReady` is called once, at the first newline; at end of file without one, never. When it
  /// throws, `readEnd` is still the caller's.
  public init(loop: EventLoop, readEnd: Int32, onReady: @escaping () -> Void) throws(SystemError) {
    self.loop = loop
    self.onReady = onReady
    descriptor = readEnd
    let flags = fcntl(readEnd, F_GETFL)
    if flags >= 0 { _ = fcntl(readEnd, F_SETFL, flags | O_NONBLOCK) }
    do {
      registration = try loop.add(readEnd, .readable) { [weak self] _ in self?.drain() }
    } catch {
      descriptor = -1
      throw error
    }
  }

  deinit { close() }

  /// Whether the newline may still come.
  public var isOpen: Bool { descriptor >= 0 }

  /// Reads what is there now. Call it before the program's exit is handled, so that "ready, then exit" is seen in this order.
  public func drain() {
    var bytes = [UInt8](repeating: 0, count: 256)
    // Bounded: a program that writes without a newline gets no more than this a turn.
    for _ in 0..<16 where descriptor >= 0 {
      let count = read(descriptor, &bytes, bytes.count)
      if count > 0 {
        guard bytes[..<count].contains(0x0a) else { continue }
        close()
        onReady()
        return
      }
      if count < 0 && errno == EINTR { continue }
      if count < 0 && errno == EAGAIN { return }
      close()
    }
  }

  /// Stops watching and closes the pipe.
  public func close() {
    if let registration { loop.remove(registration) }
    registration = nil
    if descriptor >= 0 { Glibc.close(descriptor) }
    descriptor = -1
  }
}
