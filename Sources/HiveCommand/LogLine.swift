// Lines of a container's output, taken apart: hivesup's `log_format=prefix` and `json`; anything else is a line without a program.

import ControlProtocol

/// A line of the container's output.
struct LogLine: Equatable, Sendable {
  /// RFC 3339, as it was written. nil: the line has none.
  var timestamp: String?
  /// The program that wrote it, `hivesupd` for the supervisor's own. nil: the line does not tell.
  var program: String?
  /// `stdout`, `stderr` or `log`. nil: the line does not tell.
  var stream: String?
  /// What it said.
  var message: String

  /// The supervisor's own lines are its `log`.
  private static let streams: Set<String> = ["stdout", "stderr", "log"]

  /// A line without its end.
  init(_ line: String) {
    if line.hasPrefix("{"), let json = try? JSONValue(parsing: Array(line.utf8)), let text = json["message"]?.string {
      timestamp = json["timestamp"]?.string
      program = json["program"]?.string
      stream = json["stream"]?.string
      message = text
      return
    }
    // `2026-11-20T10:00:00.000Z postgresql stderr | LOG:  …`
    if let bar = line.firstRange(of: " | ") {
      let head = line[..<bar.lowerBound].split(separator: " ", omittingEmptySubsequences: false)
      if head.count == 3, Self.streams.contains(String(head[2])), Timestamp(rfc3339: String(head[0])) != nil {
        timestamp = String(head[0])
        program = String(head[1])
        stream = String(head[2])
        message = String(line[bar.upperBound...])
        return
      }
    }
    message = line
  }

  /// As one JSON object and the end of a line.
  func json(_ role: Role) -> [UInt8] {
    var writer = JSONWriter(reserving: message.utf8.count + 128)
    writer.beginObject()
    writer.member("role", role.rawValue)
    writer.member("timestamp", timestamp)
    writer.member("program", program)
    writer.member("stream", stream)
    writer.member("message", message)
    writer.endObject()
    writer.endLine()
    return writer.take()
  }
}
