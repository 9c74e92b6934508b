// What the engine knows about a container: the parts of `docker inspect` that are of use here.

import ControlProtocol

/// A container as the engine sees it. https://docs.docker.com/reference/api/engine/ (ContainerInspect), the same since API 1.25.
struct ContainerDocument: Equatable, Sendable {
  /// The engine's id.
  var id: String
  /// Its name, without the slash that the engine writes before it.
  var name: String
  /// The image as it was named when the container was made.
  var image: String
  /// `created`, `running`, `paused`, `restarting`, `removing`, `exited` or `dead`.
  var state: String
  /// How the last run ended; of no meaning while it runs.
  var exitStatus: Int
  /// The engine's words for why it could not be started; empty: nothing to say.
  var error: String
  /// Whether the kernel killed it at its memory limit.
  var oomKilled: Bool
  /// How often the engine started it again by its restart policy.
  var restarts: Int
  /// When the current or the last run began. nil: never.
  var startedAt: Timestamp?
  /// When the last run ended. nil: never.
  var finishedAt: Timestamp?
  /// The engine's verdict by HEALTHCHECK: `starting`, `healthy` or `unhealthy`. nil: none is configured.
  var engineHealth: String?
  /// Published ports: `127.0.0.1:48886->48886/tcp`.
  var ports: [String]
  /// Made by `compose run` for one command, and so not the service.
  var isOneOff: Bool

  /// The container in a document; nil when it has no id or state.
  init?(json: JSONValue) {
    guard let id = json["Id"]?.string, let state = json["State"], let status = state["Status"]?.string else {
      return nil
    }
    self.id = id
    let name = json["Name"]?.string ?? id
    self.name = name.hasPrefix("/") ? String(name.dropFirst()) : name
    image = json["Config"]?["Image"]?.string ?? ""
    self.state = status
    exitStatus = state["ExitCode"]?.int.flatMap { Int(exactly: $0) } ?? 0
    error = state["Error"]?.string ?? ""
    oomKilled = state["OOMKilled"]?.bool ?? false
    restarts = json["RestartCount"]?.int.flatMap { Int(exactly: $0) } ?? 0
    startedAt = Self.time(state["StartedAt"])
    finishedAt = Self.time(state["FinishedAt"])
    engineHealth = state["Health"]?["Status"]?.string.flatMap { $0 == "none" ? nil : $0 }
    ports = Self.ports(json["NetworkSettings"]?["Ports"])
    isOneOff = json["Config"]?["Labels"]?["com.docker.compose.oneoff"]?.string == "True"
  }

  /// The containers of `docker inspect`'s answer; nil when it is none.
  static func list(_ answer: [UInt8]) -> [ContainerDocument]? {
    guard let json = try? JSONValue(parsing: answer, maximumDepth: 64, maximumBytes: 64 << 20) else { return nil }
    return json.array?.compactMap(ContainerDocument.init(json:))
  }

  /// The container of a service among those that compose lists: a running one before others, else the newest.
  static func service(among all: [ContainerDocument]) -> ContainerDocument? {
    let candidates = all.filter { !$0.isOneOff }
    return candidates.first(where: \.isRunning)
      ?? candidates.max { ($0.startedAt?.nanoseconds ?? 0) < ($1.startedAt?.nanoseconds ?? 0) }
  }

  /// Whether its processes run.
  var isRunning: Bool { state == "running" }

  /// How long the current run lasts, in seconds. nil: it does not run.
  func uptime(at now: Timestamp) -> Double? {
    guard isRunning, let startedAt else { return nil }
    return max(0, Double(now.nanoseconds &- startedAt.nanoseconds) / 1e9)
  }

  /// How the last run ended: `exit status 3`, `exit status 137 (SIGKILL), out of memory`.
  var ending: String {
    var text = "exit status \(exitStatus)"
    if let meaning = Self.meaning(exitStatus) { text += " (\(meaning))" }
    if oomKilled { text += ", out of memory" }
    if !error.isEmpty { text += ": \(error)" }
    return text
  }

  /// What hivesup's own exit statuses mean (docs/running.md), and those of signals.
  static func meaning(_ status: Int) -> String? {
    switch status {
    case 2: "the configuration or the command line is wrong"
    case 70: "a program had to be killed to stop it"
    case 71: "not everything was ready within start_timeout"
    case 126: "a program may not be executed"
    case 127: "a program was not found"
    case 129...192:
      signalNames[status - 128].map { "ended by SIG\($0)" } ?? "ended by signal \(status - 128)"
    default: nil
    }
  }

  private static let signalNames = [
    1: "HUP", 2: "INT", 3: "QUIT", 4: "ILL", 6: "ABRT", 7: "BUS", 8: "FPE", 9: "KILL", 11: "SEGV", 13: "PIPE",
    15: "TERM",
    24: "XCPU", 25: "XFSZ", 31: "SYS",
  ]

  /// The engine writes year 1 for "never".
  private static func time(_ json: JSONValue?) -> Timestamp? {
    guard let text = json?.string, !text.hasPrefix("0001-") else { return nil }
    return Timestamp(rfc3339: text)
  }

  private static func ports(_ json: JSONValue?) -> [String] {
    var found: [String] = []
    for port in json?.members ?? [] {
      for binding in port.value.array ?? [] {
        guard let published = binding["HostPort"]?.string else { continue }
        let address = binding["HostIp"]?.string ?? ""
        found.append("\(address.contains(":") ? "[\(address)]" : address):\(published)->\(port.name)")
      }
    }
    return found
  }
}
