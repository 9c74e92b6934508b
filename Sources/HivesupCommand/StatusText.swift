// How a program's status reads: supervisorctl's lines for programs, a table for people, and which programs count as down.

import CommandOutput
import ControlProtocol
@preconcurrency import Glibc

enum StatusText {
  /// supervisorctl's line: the namespec padded to the longest (at least 30) and three more, the state padded to 10, the description
  /// (supervisor/supervisorctl.py, `_show_statuses`, 4.3.0).
  static func lines(_ programs: [ProgramDocument], localTime: (Timestamp) -> String) -> [String] {
    let longest = programs.map(\.namespec.count).max() ?? 0
    let width = max(30, longest) + 3
    return programs.map { program in
      let name = harmless(program.namespec)
      let padding = String(repeating: " ", count: max(width - name.count, 0))
      let state = program.state + String(repeating: " ", count: max(10 - program.state.count, 0))
      return name + padding + state + description(program, localTime: localTime)
    }
  }

  /// supervisord's description (supervisor/rpcinterface.py, `_interpretProcessInfo`), and for what it does not know: what a
  /// program waits for, and when it runs next.
  static func description(_ program: ProgramDocument, localTime: (Timestamp) -> String) -> String {
    switch program.state {
    case "RUNNING": return "pid \(program.pid ?? 0), uptime \(uptime(program.uptimeSeconds ?? 0))"
    case "FATAL", "BACKOFF":
      return program.spawnError.isEmpty
        ? "unknown error (try \"tail \(harmless(program.namespec))\")" : harmless(program.spawnError)
    case "STOPPED", "EXITED":
      if !program.waitingFor.isEmpty { return waiting(program) }
      return program.stoppedAt.map(localTime) ?? "Not started"
    default:
      return program.waitingFor.isEmpty ? "" : waiting(program)
    }
  }

  /// `1 day, 2:03:04`, as Python writes a timedelta.
  static func uptime(_ seconds: Double) -> String { uptimeText(seconds) }

  /// `%b %d %I:%M %p` in local time, always in English: it is read by programs.
  static func localTime(_ time: Timestamp) -> String {
    var seconds = time_t(time.unixSeconds)
    var local = tm()
    guard localtime_r(&seconds, &local) != nil else { return time.rfc3339 }
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    let month = months.indices.contains(Int(local.tm_mon)) ? months[Int(local.tm_mon)] : "???"
    func pad(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
    let hour = local.tm_hour % 12 == 0 ? 12 : local.tm_hour % 12
    return "\(month) \(pad(local.tm_mday)) \(pad(hour)):\(pad(local.tm_min)) \(local.tm_hour < 12 ? "AM" : "PM")"
  }

  /// Whether the program counts as down for the exit status: supervisord's stopped states, but not a oneshot that has done its work,
  /// one that still waits for others, a scheduled program between two runs, nor one that nobody has started yet (`autostart=false`), unless
  /// it was asked for by its name.
  static func isDown(_ program: ProgramDocument, isNamed: Bool = false) -> Bool {
    switch program.state {
    case "FATAL", "UNKNOWN": return true
    case "EXITED": return !program.completed
    case "STOPPED":
      let waits = !program.waitingFor.isEmpty || program.nextStartAt != nil
      let isUntouched = !isNamed && program.startedAt == nil && program.stoppedAt == nil
      return !waits && !isUntouched && !(program.type != "service" && program.completed)
    default: return false
    }
  }

  /// The table for people.
  static func table(_ programs: [ProgramDocument], now: Timestamp, localTime: (Timestamp) -> String) -> Table {
    var table = Table(["NAME", "STATE", "READY", "PID", "UPTIME", "RESTARTS", "DETAIL"])
    for program in programs {
      let completed = program.completed && program.state == "EXITED"
      table.add([
        .init(harmless(program.namespec)), .init(completed ? "COMPLETED" : program.state, colour(program)),
        .init(
          program.ready ? "yes" : program.state == "RUNNING" || program.state == "STARTING" ? "no" : "-",
          program.ready ? .green : nil),
        .init(program.pid.map(String.init) ?? "-"), .init(program.uptimeSeconds.map(uptime) ?? "-"),
        .init(String(program.restarts), program.restarts > 0 ? .yellow : nil),
        .init(
          detail(program, now: now, localTime: localTime), PinningText.summary(program).isEmpty ? .grey : .yellow),
      ])
    }
    return table
  }

  private static func colour(_ program: ProgramDocument) -> Style.Colour? {
    switch program.state {
    case "RUNNING": program.ready ? .green : .yellow
    case "STARTING", "BACKOFF", "STOPPING": .yellow
    default: isDown(program) ? .red : .grey
    }
  }

  /// What is worth knowing besides the columns.
  private static func detail(_ program: ProgramDocument, now: Timestamp, localTime: (Timestamp) -> String) -> String {
    if !program.waitingFor.isEmpty { return waiting(program) }
    // First, because the end of a long line is cut off.
    var parts = PinningText.summary(program)
    if program.state == "RUNNING" {
      if !program.statusText.isEmpty { parts.append(harmless(program.statusText)) }
      if program.restarts > 0, let exit = program.lastExit { parts.append("before: \(self.exit(exit))") }
    } else {
      if program.state == "FATAL" || program.state == "BACKOFF" {
        parts.append(description(program, localTime: localTime))
      }
      if program.state == "EXITED" || program.state == "STOPPED" {
        if let exit = program.lastExit { parts.append(self.exit(exit)) }
        parts.append(program.stoppedAt.map(localTime) ?? "not started")
      }
      if let next = program.nextStartAt {
        parts.append("next start in \(uptime(Double(next.nanoseconds &- now.nanoseconds) / 1e9))")
      }
    }
    return parts.joined(separator: ", ")
  }

  /// `waiting for postgresql:ready, postgres-migrate:completed`
  private static func waiting(_ program: ProgramDocument) -> String {
    let prefix = "waiting for "
    let conditions = program.waitingFor.map { $0.hasPrefix(prefix) ? String($0.dropFirst(prefix.count)) : $0 }
    return prefix + harmless(conditions.joined(separator: ", "))
  }

  /// `exit status 3` or `SIGKILL, out of memory`.
  static func exit(_ exit: ExitDocument) -> String {
    var text = exit.signal ?? "exit status \(exit.exitStatus ?? 0)"
    if exit.coreDumped { text += " (core dumped)" }
    if exit.oomKilled { text += ", out of memory" }
    return text
  }
}

/// Which programs a person names: `name`, `group:name`, `group:*` (or `group:`), `all`.
enum ProgramNames {
  /// The programs of one name; nil when there is none.
  static func select(_ name: String, from programs: [ProgramDocument]) -> [ProgramDocument]? {
    if name == "all" { return programs }
    let found: [ProgramDocument]
    if let colon = name.firstIndex(of: ":") {
      let group = name[..<colon]
      let member = name[name.index(after: colon)...]
      found = programs.filter { $0.group == group && (member.isEmpty || member == "*" || $0.name == member) }
    } else {
      // A group of the same name with one member: what supervisord calls a homogeneous group.
      found = programs.filter { $0.namespec == name }
    }
    return found.isEmpty ? nil : found
  }

  /// supervisorctl's words for a name that is not there.
  static func unknown(_ name: String) -> String {
    let text = harmless(name)
    guard let colon = text.firstIndex(of: ":") else { return "\(text): ERROR (no such process)" }
    let member = text[text.index(after: colon)...]
    return member.isEmpty || member == "*"
      ? "\(text[..<colon]): ERROR (no such group)" : "\(text): ERROR (no such process)"
  }
}
