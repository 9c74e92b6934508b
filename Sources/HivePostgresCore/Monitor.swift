// `hive-postgres monitor`: what only SQL can tell of the database's health, on one kept connection, reported to PID 1 after every
// check. It outlives the database, PID 1's restarts and everything else but a stop signal.

import ControlProtocol
import Glibc

/// Watches a database.
public struct Monitor {
  /// What one check found.
  public struct Finding: Equatable, Sendable {
    /// The database does its work.
    public var passed: Bool
    /// For people: what is wrong, or how it is.
    public var detail: String
    /// How long the database took, in milliseconds.
    public var latencyMilliseconds: Double
  }

  private let settings: Settings
  private let role: Role
  private let console: Console
  private let interruption: Interruption
  private let notify: Notify
  private let volume: Volume
  private let thermal: ThermalControl

  /// Below this free space the check fails: PostgreSQL could not start again (`DiskSpace`).
  private static let criticalBytes = DiskSpace.needed(walSegmentBytes: 16 << 20)

  /// A monitor for the database of the settings' role.
  public init(settings: Settings, console: Console, interruption: Interruption, notify: Notify) throws(Failure) {
    self.settings = settings
    role = try settings.requiredRole()
    self.console = console
    self.interruption = interruption
    self.notify = notify
    // The state file may not be readable for this user: only the place to measure free space depends on it.
    let own = Path.join(Path.join(settings.volume, Volume.privateName), "state.json")
    let state = (try? InstallationState.read(own)) ?? nil
    volume = try Volume(settings: settings, state: state)
    thermal = ThermalControl(
      root: settings.sysfsRoot, thresholds: settings.thermal, serverFiles: volume.serverFiles,
      runDirectory: settings.runDirectory)
  }

  /// Checks until a stop signal comes; returns then.
  public func run() {
    let clock = ContinuousClock()
    var next = clock.now
    let house = Housekeeping(
      thermal: thermal,
      pinner: Pinner.live(
        settings: settings.pinning, environment: settings.childEnvironment, dataDirectory: volume.dataDirectory,
        runDirectory: settings.runDirectory, console: console),
      dataDirectory: volume.dataDirectory, checkInterval: settings.monitorInterval, notify: notify, console: console,
      at: next)
    var session = Session()
    var last: Finding?
    var lastReport = ""
    var isReady = false
    var frozen = StoppedProcesses()
    while true {
      // Before SQL, which a frozen process may keep from ever answering.
      _ = house.turn()
      let server = StoppedProcesses.server(of: volume.dataDirectory)
      house.look(server)
      let standstill = server.flatMap { look($0, &frozen) }
      guard var finding = check(&session, house) else { break }
      do throws(SQLFailure) {
        try house.learn(session.settings) { (names) throws(SQLFailure) in
          try Monitor.origins(names, session.connection, timeout)
        }
      } catch {
        // Whoever noticed the stop signal has taken it: it is not there for anybody else.
        if case .interrupted = error.kind { break }
        session.connection = nil
      }
      if let standstill {
        finding.passed = finding.passed && !standstill.isFailure
        finding.detail = "\(standstill.detail); \(finding.detail)"
      }
      if let refusal = house.pinner.document()?.refused.first {
        finding.detail += ", degraded: \(refusal.processes) processes are not on their cores: \(refusal.message)"
      }
      if let shortcoming = house.thermal.shortcoming { finding.detail += ", degraded: \(shortcoming)" }
      if last.map({ $0.passed != finding.passed }) ?? true {
        console.info(
          finding.passed ? "the database is well: \(finding.detail)" : "the database is not well: \(finding.detail)")
      }
      last = finding
      guard let problem = report(finding, house) else { break }
      // Where nothing is known of the heat and nothing is pinned, that is said once, and again to a PID 1 that was away.
      let thermal = document(house)
      if thermal.knowledge != "unavailable" || thermal.pinning != nil || !session.isHeatReported
        || problem != lastReport
      {
        guard let refused = post("/v1/thermal", thermal.json, house) else { break }
        session.isHeatReported = refused.isEmpty
      }
      house.hasNews = false
      if problem != lastReport {
        if problem.isEmpty { console.info("PID 1 takes reports") } else { console.warning(problem) }
        lastReport = problem
      }
      var status = "STATUS=\(finding.passed ? "passing" : "failing"): \(finding.detail)\nWATCHDOG=1"
      if !isReady { status += "\nREADY=1" }
      isReady = true
      house.isAlive(status, clock.now)

      // A fixed rhythm, but never two checks at once after a long one.
      next += standstill == nil ? settings.monitorInterval : min(settings.monitorInterval, .seconds(1))
      next = max(next, clock.now + .milliseconds(100))
      guard sleep(until: next, clock, house) else { break }
    }
    notify.send("STOPPING=1")
    house.release()
  }

  /// A check that is as near as this reports the heat, too.
  private static let near = Duration.milliseconds(200)

  /// False on a stop signal. Wakes up in between for what else is due, and tells PID 1 how hot it is.
  private func sleep(
    until instant: ContinuousClock.Instant, _ clock: ContinuousClock, _ house: Housekeeping
  ) -> Bool {
    while true {
      guard instant > clock.now else { return true }
      let wait = house.turn()
      if house.hasNews, house.thermal.machine.knowledge != .unavailable, instant - clock.now > Monitor.near {
        house.hasNews = false
        // Whether it took it is said with the next check.
        guard post("/v1/thermal", document(house).json, house) != nil else { return false }
        continue
      }
      let left = instant - clock.now
      guard left > .zero else { return true }
      if case .stop = interruption.wait(atMost: min(left, wait)) { return false }
    }
  }

  /// The heat and the processes' CPUs, for PID 1. The interval is that at which it gets one.
  private func document(_ house: Housekeeping) -> ThermalDocument {
    let isKnown = house.thermal.machine.knowledge != .unavailable
    var document = house.thermal.document(interval: isKnown ? house.heatInterval : settings.monitorInterval)
    document.pinning = house.pinning()
    return document
  }

  /// How long one check may take: a database that is stopped (SIGSTOP) or thrashing does not answer at all.
  private var timeout: Duration { min(settings.monitorInterval, .seconds(1)) }

  // MARK: One check

  private static let statement = """
    SELECT pg_catalog.pg_is_in_recovery(),
      (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend'),
      pg_catalog.current_setting('max_connections')
    """ + ThermalBrakes.learned.map { ",\n  pg_catalog.current_setting('\($0)')" }.joined()

  /// What is kept between two checks.
  private struct Session {
    var connection: SQLConnection?
    var opened = ContinuousClock.now
    /// The settings that the heat's brakes need to know; empty when the last check had no answer.
    var settings: [String: String] = [:]
    /// PID 1 has taken a document on the heat.
    var isHeatReported = false
  }

  /// A kept connection goes on working when the postmaster itself is stopped or stuck and lets nobody in any more, so a new one is
  /// made now and then. Each costs the server a fork.
  private static let connectionAge = Duration.seconds(5)

  /// nil on a stop signal.
  private func check(_ session: inout Session, _ house: Housekeeping) -> Finding? {
    let start = ContinuousClock.now
    func finding(_ passed: Bool, _ detail: String) -> Finding {
      Finding(passed: passed, detail: detail, latencyMilliseconds: (ContinuousClock.now - start) / .milliseconds(1))
    }
    if start - session.opened >= Monitor.connectionAge { session.connection = nil }
    session.settings = [:]
    // A lost connection is no news: a new one tells how the database is now. Hence the second attempt.
    let attempts = session.connection == nil ? 1 : 2
    for attempt in 1...attempts {
      do throws(SQLFailure) {
        let current = if let kept = session.connection { kept } else { try connect(house) }
        if session.connection == nil {
          session.connection = current
          session.opened = start
        }
        let rows = try current.query(Monitor.statement, within: timeout)
        let measured = finding(true, "")
        let space = try? FileSystem.freeBytes(volume.dataDirectory)
        session.settings = Dictionary(
          zip(ThermalBrakes.learned, (rows.first ?? []).dropFirst(3)).compactMap { name, value in
            value.map { (name, $0) }
          },
          uniquingKeysWith: { first, _ in first })
        let (passed, detail) = Monitor.judge(rows.first ?? [], free: space?.free, total: space?.total)
        return Finding(passed: passed, detail: detail, latencyMilliseconds: measured.latencyMilliseconds)
      } catch {
        session.connection = nil
        switch error.kind {
        case .interrupted: return nil
        case .connection where error.isFull:
          return finding(true, "degraded: \(error.message)")
        case .connection where attempt < attempts: continue
        case .timeout: return finding(false, "no answer within \(timeout)\(spaceRemark)")
        case .connection, .statement: return finding(false, "\(error.message)\(spaceRemark)")
        }
      }
    }
    return finding(false, "no connection")
  }

  /// Where settings come from. Files are named to members of pg_read_all_settings, as this role is.
  private static func origins(
    _ names: [String], _ connection: SQLConnection?, _ timeout: Duration
  ) throws(SQLFailure) -> [String: SettingOrigin] {
    guard let connection else { return [:] }
    let rows = try connection.query(
      """
      SELECT name, source, sourcefile FROM pg_catalog.pg_settings
      WHERE name = ANY (pg_catalog.string_to_array($1, ','))
      """, [names.joined(separator: ",")], within: timeout)
    var origins: [String: SettingOrigin] = [:]
    for row in rows where row.count == 3 {
      guard let name = row[0], let source = row[1] else { continue }
      origins[name] = SettingOrigin(source: source, file: row[2])
    }
    return origins
  }

  /// A server that is away may be so for want of space: then that is the reason to act on. Empty: there is enough.
  private var spaceRemark: String {
    guard let free = try? FileSystem.freeBytes(volume.dataDirectory).free, free < Monitor.criticalBytes else {
      return ""
    }
    return "; disk full: \(free >> 20) MB free, PostgreSQL may need \(Monitor.criticalBytes >> 20) to start"
  }

  private func connect(_ house: Housekeeping) throws(SQLFailure) -> SQLConnection {
    try SQLConnection(
      [
        ("host", settings.runDirectory), ("port", String(settings.port)), ("user", Migrator.monitorRole),
        ("dbname", role.database), ("application_name", "hive-postgres monitor"),
      ], within: timeout, interruption, meanwhile: { house.turn() })
  }

  /// The verdict on an answer: recovery state, connections, their limit.
  static func judge(_ row: [String?], free: UInt64?, total: UInt64?) -> (passed: Bool, detail: String) {
    guard row.count >= 3, let recovery = row[0], let used = row[1].flatMap({ Int($0) }),
      let limit = row[2].flatMap({ Int($0) })
    else { return (false, "the answer has not the expected form") }
    var remarks: [String] = []
    var passed = true
    if recovery == "t" {
      passed = false
      remarks.append("in recovery: read-only")
    }
    remarks.append("\(used) of \(limit) connections")
    if used * 10 >= limit * 9 { remarks.append("degraded: nearly out of connections") }
    if let free, let total, total > 0 {
      remarks.append("\(free >> 20) MB free")
      if free < criticalBytes {
        passed = false
        remarks.append("disk full: PostgreSQL could not be started again")
      } else if free < total / 10 {
        remarks.append("degraded: disk more than 90 % full")
      }
    }
    return (passed, remarks.joined(separator: ", "))
  }

  // MARK: Frozen processes

  /// What stands still in the server, in words.
  private struct Standstill {
    var detail: String
    var isFailure: Bool
  }

  /// Lets frozen server processes go on; nil when there is none.
  private func look(
    _ server: (postmaster: ProcessInfo, children: [ProcessInfo]), _ frozen: inout StoppedProcesses
  ) -> Standstill? {
    let verdict = frozen.judge(postmaster: server.postmaster, children: server.children, at: .now)
    func name(_ pid: pid_t) -> String {
      let title = ProcessTable.title(pid)
      return title.isEmpty ? "process \(pid)" : "process \(pid) (\(title))"
    }
    var remarks: [String] = []
    if verdict.postmasterStopped {
      remarks.append("the postmaster (process \(server.postmaster.identity.pid)) is stopped by a signal")
    }
    if !verdict.stopped.isEmpty {
      let some = verdict.stopped.prefix(3).map(name).joined(separator: ", ")
      let more = verdict.stopped.count > 3 ? " and \(verdict.stopped.count - 3) more" : ""
      remarks.append("stopped by a signal: \(some)\(more)")
    }
    if !verdict.traced.isEmpty {
      remarks.append("degraded: held by a debugger: " + verdict.traced.prefix(3).map(name).joined(separator: ", "))
    }
    for process in verdict.resume where ProcessTable.isAlive(process) {
      let described = name(process.pid)
      if kill(process.pid, SIGCONT) == 0 {
        console.warning("\(described) was stopped by a signal and may hold locks: sent it CONT")
      } else if errno != ESRCH {
        console.warning(
          "cannot continue \(described): \(Failure.describe(errno)); as its user or root, run: kill -CONT \(process.pid)"
        )
      }
    }
    guard !remarks.isEmpty else { return nil }
    return Standstill(
      detail: remarks.joined(separator: "; "), isFailure: verdict.postmasterStopped || !verdict.stopped.isEmpty)
  }

  // MARK: The report

  /// The body of POST /v1/checks/postgresql.
  static func body(_ finding: Finding, interval: Duration) -> [UInt8] {
    // PID 1 refuses more than 1024 bytes; what the database says of itself may be longer.
    var detail = finding.detail
    while detail.utf8.count > 1024 { detail.removeLast() }
    return ReportDocument(
      name: "database", type: "sql", passed: finding.passed,
      latencyMilliseconds: (finding.latencyMilliseconds * 1000).rounded() / 1000, detail: detail,
      intervalSeconds: interval / .seconds(1)
    ).json
  }

  /// Empty when PID 1 took it, a sentence when it did not, nil on a stop signal.
  private func report(_ finding: Finding, _ house: Housekeeping) -> String? {
    post("/v1/checks/postgresql", Monitor.body(finding, interval: settings.monitorInterval), house)
  }

  /// Tells PID 1; the result is `report`'s.
  private func post(_ path: String, _ body: [UInt8], _ house: Housekeeping) -> String? {
    guard let socket = settings.controlSocket else {
      return "HIVESUP_SOCKET is not set: reporting to nobody but this log"
    }
    do throws(ControlClient.Problem) {
      try ControlClient(socketPath: socket, interruption: interruption, meanwhile: { house.turn() })
        .post(path, body, within: .seconds(1))
      return ""
    } catch {
      switch error {
      case .interrupted: return nil
      case .unreachable(let why): return "cannot report to \(socket): \(why); trying again"
      case .refused(let status, let why):
        return "cannot report to \(socket): PID 1 answered \(status) \(why); trying again"
      }
    }
  }
}
