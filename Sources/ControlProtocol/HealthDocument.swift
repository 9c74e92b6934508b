// The combined health: `GET /v1/health` on the control socket, `/api/v1/health` and `/health` on the container's port.

/// One check.
public struct CheckDocument: Equatable, Sendable {
  /// `ready`, `liveness`, or the name under which it is reported.
  public var name: String
  /// The dialect: `notify`, `postgres`, `http`, `tcp`, `unix`, `exec`, or the reporter's.
  public var type: String
  /// `passing`, `failing` or `pending`.
  public var status: String
  /// How long the last probe took, in milliseconds. nil: none yet, or nothing to measure.
  public var latencyMilliseconds: Double?
  /// When the last result came. nil: none yet.
  public var observedAt: Timestamp?
  /// What it saw; empty when there is nothing to say.
  public var detail: String

  /// A check.
  public init(
    name: String, type: String, status: String, latencyMilliseconds: Double?, observedAt: Timestamp?, detail: String
  ) {
    self.name = name
    self.type = type
    self.status = status
    self.latencyMilliseconds = latencyMilliseconds
    self.observedAt = observedAt
    self.detail = detail
  }

  /// Writes it as an object.
  public func write(to writer: inout JSONWriter) {
    writer.beginObject()
    writer.member("name", name)
    writer.member("type", type)
    writer.member("status", status)
    writer.member("latency_ms", latencyMilliseconds, decimals: 3)
    writer.member("observed_at", observedAt)
    writer.member("detail", detail)
    writer.endObject()
  }

  /// The check in a document; nil when it has no name or status.
  public init?(json: JSONValue) {
    guard let name = json["name"]?.string, let status = json["status"]?.string else { return nil }
    self.init(
      name: name, type: json["type"]?.string ?? "", status: status, latencyMilliseconds: json["latency_ms"]?.double,
      observedAt: json["observed_at"]?.timestamp, detail: json["detail"]?.string ?? "")
  }
}

/// One process in the health document.
public struct ServiceDocument: Equatable, Sendable {
  /// Its namespec: the member's name under `services`.
  public var name: String
  /// `starting`, `healthy`, `unhealthy` or `stopped`.
  public var status: String
  /// supervisord's state name.
  public var state: String
  /// The main process; nil: none.
  public var pid: Int?
  /// How long it is up, in seconds. nil: it is not.
  public var uptimeSeconds: Double?
  /// How often it was started again.
  public var restarts: Int
  /// How the last run ended.
  public var lastExit: ExitDocument?
  /// Its checks.
  public var checks: [CheckDocument]

  /// A process.
  public init(
    name: String, status: String, state: String, pid: Int?, uptimeSeconds: Double?, restarts: Int,
    lastExit: ExitDocument?,
    checks: [CheckDocument]
  ) {
    self.name = name
    self.status = status
    self.state = state
    self.pid = pid
    self.uptimeSeconds = uptimeSeconds
    self.restarts = restarts
    self.lastExit = lastExit
    self.checks = checks
  }

  /// Writes it as an object, without its name.
  public func write(to writer: inout JSONWriter) {
    writer.beginObject()
    writer.member("status", status)
    writer.member("state", state)
    writer.member("pid", pid)
    writer.member("uptime_seconds", uptimeSeconds, decimals: 3)
    writer.member("restarts", restarts)
    writer.key("last_exit")
    if let lastExit { lastExit.write(to: &writer) } else { writer.null() }
    writer.key("checks")
    writer.beginArray()
    for check in checks { check.write(to: &writer) }
    writer.endArray()
    writer.endObject()
  }

  /// The process in a document; nil when it has no status.
  public init?(name: String, json: JSONValue) {
    guard let status = json["status"]?.string else { return nil }
    self.init(
      name: name, status: status, state: json["state"]?.string ?? "",
      pid: json["pid"]?.int.flatMap { Int(exactly: $0) },
      uptimeSeconds: json["uptime_seconds"]?.double, restarts: json["restarts"]?.int.flatMap { Int(exactly: $0) } ?? 0,
      lastExit: ExitDocument(json: json["last_exit"]),
      checks: json["checks"]?.array?.compactMap(CheckDocument.init(json:)) ?? [])
  }
}

/// The health of everything.
public struct HealthDocument: Equatable, Sendable {
  /// `starting`, `healthy`, `unhealthy` or `stopped`.
  public var status: String
  /// The container's name.
  public var container: String
  /// The version of the daemon.
  public var version: String
  /// When this was said.
  public var timestamp: Timestamp
  /// How long the daemon is up, in seconds.
  public var uptimeSeconds: Double
  /// `connected`, `disconnected` or `unknown`. nil: no program asks or reports one; the member is left out.
  public var database: String?
  /// What a person should know or do. Never empty unless healthy.
  public var reasons: [String]
  /// How hot the machine is. nil: nobody has reported it; the member is left out.
  public var thermal: ThermalDocument?
  /// The processes in the order of the configuration.
  public var services: [ServiceDocument]

  /// A health.
  public init(
    status: String, container: String, version: String, timestamp: Timestamp, uptimeSeconds: Double, database: String?,
    reasons: [String], services: [ServiceDocument], thermal: ThermalDocument? = nil
  ) {
    self.status = status
    self.container = container
    self.version = version
    self.timestamp = timestamp
    self.uptimeSeconds = uptimeSeconds
    self.database = database
    self.reasons = reasons
    self.services = services
    self.thermal = thermal
  }

  /// Whether the answer is 200.
  public var isHealthy: Bool { status == "healthy" }

  /// Writes it as an object.
  public func write(to writer: inout JSONWriter) {
    writer.beginObject()
    writer.member("status", status)
    writer.member("container", container)
    writer.member("version", version)
    writer.member("timestamp", timestamp)
    writer.member("uptime_seconds", uptimeSeconds, decimals: 3)
    if let database { writer.member("database", database) }
    writer.member("reasons", reasons)
    if let thermal {
      writer.key("thermal")
      thermal.write(to: &writer)
    }
    writer.key("services")
    writer.beginObject()
    for service in services {
      writer.key(service.name)
      service.write(to: &writer)
    }
    writer.endObject()
    writer.endObject()
  }

  /// The health in a document; nil when it has no status, time or services.
  public init?(json: JSONValue) {
    guard let status = json["status"]?.string, let timestamp = json["timestamp"]?.timestamp,
      let services = json["services"]?.members
    else { return nil }
    self.init(
      status: status, container: json["container"]?.string ?? "", version: json["version"]?.string ?? "",
      timestamp: timestamp, uptimeSeconds: json["uptime_seconds"]?.double ?? 0, database: json["database"]?.string,
      reasons: json["reasons"]?.array?.compactMap(\.string) ?? [],
      services: services.compactMap { ServiceDocument(name: $0.name, json: $0.value) },
      thermal: json["thermal"].flatMap { try? ThermalDocument(json: $0) })
  }

  /// The document as text.
  public var json: [UInt8] {
    var writer = JSONWriter(reserving: 512 + 512 * services.count)
    write(to: &writer)
    return writer.take()
  }

  /// The answer: 200 when healthy, else 503; never cached.
  public var response: HTTPResponse { .json(json, status: isHealthy ? 200 : 503) }
}
