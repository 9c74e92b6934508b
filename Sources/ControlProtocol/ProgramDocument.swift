// One program as `GET /v1/status` and `GET /v1/programs/NAME` show it.

/// How a run ended.
public struct ExitDocument: Equatable, Sendable {
  /// The exit status, 0…255. nil: a signal ended it.
  public var exitStatus: Int?
  /// The signal's name, e.g. `SIGKILL`. nil: it exited.
  public var signal: String?
  /// Whether a core file was written.
  public var coreDumped: Bool
  /// Whether the kernel's out-of-memory killer did it.
  public var oomKilled: Bool
  /// Whether it was expected: stopped on request, or a status in `exitcodes`.
  public var expected: Bool
  /// When.
  public var at: Timestamp

  /// An end.
  public init(
    exitStatus: Int?, signal: String?, coreDumped: Bool = false, oomKilled: Bool = false, expected: Bool, at: Timestamp
  ) {
    self.exitStatus = exitStatus
    self.signal = signal
    self.coreDumped = coreDumped
    self.oomKilled = oomKilled
    self.expected = expected
    self.at = at
  }

  /// Writes it as an object.
  public func write(to writer: inout JSONWriter) {
    writer.beginObject()
    writer.member("exit_status", exitStatus)
    writer.member("signal", signal)
    writer.member("core_dumped", coreDumped)
    writer.member("oom_killed", oomKilled)
    writer.member("expected", expected)
    writer.member("at", at)
    writer.endObject()
  }

  /// The end in a document; nil when there is none.
  public init?(json: JSONValue?) {
    guard let json, let at = json["at"]?.timestamp else { return nil }
    self.init(
      exitStatus: json["exit_status"]?.int.flatMap { Int(exactly: $0) }, signal: json["signal"]?.string,
      coreDumped: json["core_dumped"]?.bool ?? false, oomKilled: json["oom_killed"]?.bool ?? false,
      expected: json["expected"]?.bool ?? false, at: at)
  }
}

/// One program.
public struct ProgramDocument: Equatable, Sendable {
  /// Its name.
  public var name: String
  /// Its group.
  public var group: String
  /// The section it comes from.
  public var program: String
  /// `service`, `oneshot` or `scheduled`.
  public var type: String
  /// supervisord's state name, e.g. `RUNNING`.
  public var state: String
  /// supervisord's number of the state.
  public var stateCode: Int
  /// Since when it is in this state.
  public var since: Timestamp
  /// The main process; nil: none.
  public var pid: Int?
  /// How long the present run is up, in seconds. nil: there is none.
  public var uptimeSeconds: Double?
  /// When the present or last run began. nil: never.
  public var startedAt: Timestamp?
  /// When the last run ended. nil: never.
  public var stoppedAt: Timestamp?
  /// Whether it is ready: RUNNING and, where it declares `ready=`, found so.
  public var ready: Bool
  /// A oneshot or scheduled one whose last run ended as expected.
  public var completed: Bool
  /// How often the supervisor started it again.
  public var restarts: Int
  /// Failed starts in a row.
  public var failedStarts: Int
  /// How the last run ended. nil: none has.
  public var lastExit: ExitDocument?
  /// What the last start failed of; empty when it did not.
  public var spawnError: String
  /// What it waits for before it is started.
  public var waitingFor: [String]
  /// When it is started next, by its schedule or after BACKOFF. nil: nothing is planned.
  public var nextStartAt: Timestamp?
  /// The last `STATUS=` that it told by sd_notify; empty: none.
  public var statusText: String
  /// Where it runs and how it is scheduled. nil: the daemon is too old to say.
  public var pinning: PinningDocument?

  /// A program that has never run.
  public init(
    name: String, group: String, program: String, type: String, state: String, stateCode: Int, since: Timestamp
  ) {
    self.name = name
    self.group = group
    self.program = program
    self.type = type
    self.state = state
    self.stateCode = stateCode
    self.since = since
    ready = false
    completed = false
    restarts = 0
    failedStarts = 0
    spawnError = ""
    waitingFor = []
    statusText = ""
  }

  /// supervisord's namespec: `name` when the group has the same name, else `group:name`.
  public var namespec: String { group == name ? name : "\(group):\(name)" }

  /// Writes it as an object.
  public func write(to writer: inout JSONWriter) {
    writer.beginObject()
    writer.member("name", name)
    writer.member("group", group)
    writer.member("namespec", namespec)
    writer.member("program", program)
    writer.member("type", type)
    writer.member("state", state)
    writer.member("state_code", stateCode)
    writer.member("since", since)
    writer.member("pid", pid)
    writer.member("uptime_seconds", uptimeSeconds, decimals: 3)
    writer.member("started_at", startedAt)
    writer.member("stopped_at", stoppedAt)
    writer.member("ready", ready)
    writer.member("completed", completed)
    writer.member("restarts", restarts)
    writer.member("failed_starts", failedStarts)
    writer.key("last_exit")
    if let lastExit { lastExit.write(to: &writer) } else { writer.null() }
    writer.member("spawn_error", spawnError)
    writer.member("waiting_for", waitingFor)
    writer.member("next_start_at", nextStartAt)
    writer.member("status_text", statusText)
    writer.key("pinning")
    if let pinning { pinning.write(to: &writer) } else { writer.null() }
    writer.endObject()
  }

  /// The program in a document; nil when it lacks a name, a state or since when.
  public init?(json: JSONValue) {
    guard let name = json["name"]?.string, let state = json["state"]?.string,
      let code = json["state_code"]?.int.flatMap({ Int(exactly: $0) }), let since = json["since"]?.timestamp
    else { return nil }
    self.init(
      name: name, group: json["group"]?.string ?? name, program: json["program"]?.string ?? name,
      type: json["type"]?.string ?? "service", state: state, stateCode: code, since: since)
    pid = json["pid"]?.int.flatMap { Int(exactly: $0) }
    uptimeSeconds = json["uptime_seconds"]?.double
    startedAt = json["started_at"]?.timestamp
    stoppedAt = json["stopped_at"]?.timestamp
    ready = json["ready"]?.bool ?? false
    completed = json["completed"]?.bool ?? false
    restarts = json["restarts"]?.int.flatMap { Int(exactly: $0) } ?? 0
    failedStarts = json["failed_starts"]?.int.flatMap { Int(exactly: $0) } ?? 0
    lastExit = ExitDocument(json: json["last_exit"])
    spawnError = json["spawn_error"]?.string ?? ""
    waitingFor = json["waiting_for"]?.array?.compactMap(\.string) ?? []
    nextStartAt = json["next_start_at"]?.timestamp
    statusText = json["status_text"]?.string ?? ""
    pinning = PinningDocument(json: json["pinning"])
  }

  /// The program as an answer.
  public var json: [UInt8] {
    var writer = JSONWriter(reserving: 768)
    write(to: &writer)
    return writer.take()
  }
}
