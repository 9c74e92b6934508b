// What a command tells about each role, as JSON: one document on standard output, whatever happened.

import ControlProtocol

/// What is told about one role.
struct RoleReport: Sendable {
  var role: Role
  /// What was seen last. nil: nothing was looked at.
  var seen: Observation?
  /// Why the command failed for this role.
  var problem: Problem?
  /// How long it took until it was healthy, in seconds.
  var seconds: Double?
  /// The last lines of what failed.
  var lastWords: [LastWords] = []
  /// What was done: `created`, `replaced`, `started`, `restarted`, `removed` or `unchanged`. nil: nothing, it was only looked at.
  var action: String?

  init(_ role: Role, seen: Observation? = nil) {
    self.role = role
    self.seen = seen
  }

  func write(to writer: inout JSONWriter, now: Timestamp) {
    writer.beginObject()
    writer.member("role", role.rawValue)
    if let action { writer.member("action", action) }
    if let seen {
      writer.member("health", seen.health)
      writer.member("reasons", seen.reasons)
      writer.key("container")
      if let container = seen.container { container.write(to: &writer, now: now) } else { writer.null() }
      writer.key("document")
      if let health = seen.supervisor.health { health.write(to: &writer) } else { writer.null() }
    }
    if let seconds { writer.member("seconds", seconds, decimals: 3) }
    if let problem {
      writer.member("error", problem.text)
      writer.member("details", problem.details)
    }
    if !lastWords.isEmpty {
      writer.key("logs")
      writer.beginArray()
      for words in lastWords {
        writer.beginObject()
        writer.member("program", words.program)
        writer.member("lines", words.lines)
        writer.endObject()
      }
      writer.endArray()
    }
    writer.endObject()
  }
}

/// What a command tells.
struct Report: Sendable {
  /// The command's word.
  var command: String
  var roles: [RoleReport] = []
  /// Why the command failed as a whole.
  var problem: Problem?
  /// The exit status.
  var status: Int32 = 0

  /// The document and the end of a line.
  func json(now: Timestamp) -> [UInt8] {
    var writer = JSONWriter(reserving: 4096)
    writer.beginObject()
    writer.member("command", command)
    writer.member("ok", status == 0)
    writer.member("exit_status", status)
    if let problem {
      writer.member("error", problem.text)
      writer.member("details", problem.details)
    }
    writer.key("roles")
    writer.beginArray()
    for role in roles { role.write(to: &writer, now: now) }
    writer.endArray()
    writer.endObject()
    writer.endLine()
    return writer.take()
  }
}

extension ContainerDocument {
  func write(to writer: inout JSONWriter, now: Timestamp) {
    writer.beginObject()
    writer.member("id", id)
    writer.member("name", name)
    writer.member("image", image)
    writer.member("state", state)
    writer.member("engine_health", engineHealth)
    writer.member("started_at", startedAt)
    writer.member("finished_at", isRunning ? nil : finishedAt)
    writer.member("uptime_seconds", uptime(at: now), decimals: 3)
    writer.member("restarts", restarts)
    writer.member("exit_status", isRunning ? nil : exitStatus)
    writer.member("oom_killed", oomKilled)
    writer.member("error", error)
    writer.member("ports", ports)
    writer.endObject()
  }
}
