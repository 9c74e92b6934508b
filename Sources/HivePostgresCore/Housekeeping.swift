// What the monitor does whether or not a check is under way: the temperature, the processes' CPUs, the sign of life. A check may hang for a
// second (somebody has locked pg_database, say), and PID 1 may take one to answer: these do not wait for that.

import ControlProtocol
import Glibc

/// The monitor's work that is due by the clock alone. Whoever waits for something calls `turn` in between, in the same thread.
final class Housekeeping {
  /// How often the temperature is read, where checks are not more frequent: hysteresis counts samples, and the API believes a
  /// flag for 30 s.
  private static let heatInterval = Duration.seconds(2)
  /// The same where there is nothing to read: how often the sensors are looked for.
  private static let searchInterval = Duration.seconds(60)

  private(set) var thermal: ThermalControl
  private(set) var pinner: Pinner
  /// The temperature was read since this was last taken back.
  var hasNews = false

  private let dataDirectory: String
  private let console: Console
  private let notify: Notify
  private let checkInterval: Duration
  private let clock = ContinuousClock()
  private var heatDue: ContinuousClock.Instant
  private var polled: ContinuousClock.Instant
  private var alive: ContinuousClock.Instant

  init(
    thermal: ThermalControl, pinner: Pinner, dataDirectory: String, checkInterval: Duration, notify: Notify,
    console: Console, at start: ContinuousClock.Instant
  ) {
    self.thermal = thermal
    self.pinner = pinner
    self.dataDirectory = dataDirectory
    self.notify = notify
    self.console = console
    self.checkInterval = checkInterval
    // The checks' own rhythm: one wake-up for both where they are as frequent.
    heatDue = start
    polled = start
    alive = start
  }

  /// How often the temperature is read here.
  var heatInterval: Duration {
    min(
      checkInterval,
      thermal.machine.knowledge == .unavailable ? Housekeeping.searchInterval : Housekeeping.heatInterval)
  }

  /// Does what is due; returns how long until something is.
  func turn() -> Duration {
    let now = clock.now
    if now >= heatDue {
      hasNews = true
      let postmaster = StoppedProcesses.postmaster(of: dataDirectory)
      if thermal.look(at: now, postmaster: postmaster?.identity, console: console) != nil {
        pinner.look(StoppedProcesses.server(of: dataDirectory), state: thermal.machine.state)
      }
      // A fixed rhythm, but never two samples at once after a long wait.
      heatDue += heatInterval
      if heatDue <= now { heatDue = now + heatInterval }
    }
    if let every = pinner.interval, now - polled >= every {
      polled = now
      pinner.poll()
    }
    if let every = notify.watchdogInterval, now - alive >= every { isAlive("WATCHDOG=1", now) }
    var next = heatDue - now
    if let every = pinner.interval { next = min(next, polled + every - now) }
    if let every = notify.watchdogInterval { next = min(next, alive + every - now) }
    return max(next, .milliseconds(1))
  }

  /// Tells the supervisor something that is a sign of life too.
  func isAlive(_ message: String, _ now: ContinuousClock.Instant) {
    notify.send(message)
    alive = now
  }

  /// With every check: all of the server.
  func look(_ server: (postmaster: ProcessInfo, children: [ProcessInfo])?) {
    pinner.look(server, state: thermal.machine.state)
    polled = clock.now
  }

  /// Where everything runs now: what the check itself has started is among it.
  func pinning() -> ServerPinningDocument? {
    pinner.poll()
    polled = clock.now
    return pinner.document()
  }

  /// The server's settings, as a check had them; `origins` tells where those come from that stand above the brakes. It may fail: then
  /// nothing is said of them yet, and the next check's are asked for again.
  func learn(
    _ values: [String: String], origins: ([String]) throws(SQLFailure) -> [String: SettingOrigin]
  ) throws(SQLFailure) {
    let deviations = thermal.learn(values, at: clock.now)
    guard !deviations.isEmpty else { return }
    let found = try origins(deviations.map(\.name))
    thermal.explain(deviations, found, console)
  }

  /// At the end: nobody would take back what was done against the heat.
  func release() {
    pinner.release()
    thermal.release(postmaster: StoppedProcesses.postmaster(of: dataDirectory)?.identity, console: console)
  }
}
