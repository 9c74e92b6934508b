// The supervisor and all of its programs: `GET /v1/status`, and who it is: `GET /v1/version`.

/// The supervisor and its programs.
public struct StatusDocument: Equatable, Sendable {
  /// The container's name.
  public var container: String
  /// supervisord's `identifier`.
  public var identifier: String
  /// The version of the daemon.
  public var version: String
  /// The daemon's process id.
  public var pid: Int
  /// supervisord's word for the supervisor itself: `RUNNING`, `RESTARTING` or `SHUTDOWN`.
  public var state: String
  /// One word for all programs: `starting`, `healthy`, `unhealthy` or `stopped`.
  public var health: String
  /// Why it is not healthy.
  public var reasons: [String]
  /// When this was said.
  public var timestamp: Timestamp
  /// How long the daemon is up, in seconds.
  public var uptimeSeconds: Double
  /// The configuration's path.
  public var configuration: String
  /// Where the daemon itself runs; nil: an older daemon did not tell.
  public var pinning: PinningDocument?
  /// The programs in the order of the configuration.
  public var programs: [ProgramDocument]

  /// A status.
  public init(
    container: String, identifier: String, version: String, pid: Int, state: String, health: String, reasons: [String],
    timestamp: Timestamp, uptimeSeconds: Double, configuration: String, pinning: PinningDocument? = nil,
    programs: [ProgramDocument]
  ) {
    self.container = container
    self.identifier = identifier
    self.version = version
    self.pid = pid
    self.state = state
    self.health = health
    self.reasons = reasons
    self.timestamp = timestamp
    self.uptimeSeconds = uptimeSeconds
    self.configuration = configuration
    self.pinning = pinning
    self.programs = programs
  }

  /// Writes it as an object.
  public func write(to writer: inout JSONWriter) {
    writer.beginObject()
    writer.member("container", container)
    writer.member("identifier", identifier)
    writer.member("version", version)
    writer.member("pid", pid)
    writer.member("state", state)
    writer.member("health", health)
    writer.member("reasons", reasons)
    writer.member("timestamp", timestamp)
    writer.member("uptime_seconds", uptimeSeconds, decimals: 3)
    writer.member("configuration", configuration)
    writer.key("pinning")
    if let pinning { pinning.write(to: &writer) } else { writer.null() }
    writer.key("programs")
    writer.beginArray()
    for program in programs { program.write(to: &writer) }
    writer.endArray()
    writer.endObject()
  }

  /// The status in a document; nil when it is none.
  public init?(json: JSONValue) {
    guard let programs = json["programs"]?.array, let pid = json["pid"]?.int.flatMap({ Int(exactly: $0) }),
      let timestamp = json["timestamp"]?.timestamp
    else { return nil }
    self.init(
      container: json["container"]?.string ?? "", identifier: json["identifier"]?.string ?? "",
      version: json["version"]?.string ?? "", pid: pid, state: json["state"]?.string ?? "",
      health: json["health"]?.string ?? "", reasons: json["reasons"]?.array?.compactMap(\.string) ?? [],
      timestamp: timestamp, uptimeSeconds: json["uptime_seconds"]?.double ?? 0,
      configuration: json["configuration"]?.string ?? "", pinning: PinningDocument(json: json["pinning"]),
      programs: programs.compactMap(ProgramDocument.init(json:)))
  }

  /// The status as an answer.
  public var json: [UInt8] {
    var writer = JSONWriter(reserving: 512 + 768 * programs.count)
    write(to: &writer)
    return writer.take()
  }
}

/// Who the daemon is.
public struct VersionDocument: Equatable, Sendable {
  /// The version of the daemon.
  public var version: String
  /// The version of this API: 1.
  public var api: Int
  /// The daemon's process id.
  public var pid: Int

  /// A version.
  public init(version: String, api: Int = 1, pid: Int) {
    self.version = version
    self.api = api
    self.pid = pid
  }

  /// Writes it as an object.
  public func write(to writer: inout JSONWriter) {
    writer.beginObject()
    writer.member("version", version)
    writer.member("api", api)
    writer.member("pid", pid)
    writer.endObject()
  }

  /// The version in a document; nil when it is none.
  public init?(json: JSONValue) {
    guard let version = json["version"]?.string, let pid = json["pid"]?.int.flatMap({ Int(exactly: $0) }) else {
      return nil
    }
    self.init(version: version, api: json["api"]?.int.flatMap { Int(exactly: $0) } ?? 1, pid: pid)
  }

  /// The version as an answer.
  public var json: [UInt8] {
    var writer = JSONWriter(reserving: 96)
    write(to: &writer)
    return writer.take()
  }
}
