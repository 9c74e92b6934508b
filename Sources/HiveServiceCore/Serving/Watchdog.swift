import NIOCore

/// Sends `WATCHDOG=1` at half of the interval that was asked for, and only while every event loop still turns: a loop
/// that is stuck leaves its connections without an answer, and this is how PID 1 gets to know.
struct Watchdog: Sendable {
  let notifier: ServiceNotifier
  let interval: Duration
  let eventLoopGroup: any EventLoopGroup

  /// Runs until its task is cancelled: through the drain, too.
  func run() async {
    while !Task.isCancelled {
      for loop in eventLoopGroup.makeIterator() { try? await loop.submit {}.get() }
      notifier.send("WATCHDOG=1")
      try? await Task.sleep(for: interval / 2)
    }
  }
}
